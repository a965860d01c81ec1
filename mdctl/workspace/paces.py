"""How fast this computer was, and what it took: a small file that later estimates are made from, and may be deleted."""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mdctl.workspace import atomic, locations

MOST = 500
"""Entries that are kept, the newest."""


def file() -> Path:
    """Where it lies."""
    return locations.state() / "paces.json"


def key(about: Mapping[str, Any]) -> str:
    """The name of what was measured: all that its figures depend on."""
    return json.dumps(about, sort_keys=True)


def known(about: Mapping[str, Any]) -> dict[str, float]:
    """The figures of the last time that just this was done here; empty where it never was, or nobody can read them."""
    found = _read().get(key(about), {})
    return {name: float(value) for name, value in found.items() if _is_figure(value)}


def note(about: Mapping[str, Any], **figures: float) -> None:
    """Keep figures for the next time; those that are not named stay."""
    table = _read()
    name = key(about)
    entry = {**table.pop(name, {}), **{what: round(value, 4) for what, value in figures.items()}}
    atomic.write(file(), json.dumps(dict([*table.items(), (name, entry)][-MOST:]), indent=1))


def _read() -> dict[str, dict[str, Any]]:
    try:
        table = json.loads(file().read_text("utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    if not isinstance(table, dict):
        return {}
    return {name: entry for name, entry in table.items() if isinstance(entry, dict)}


def _is_figure(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
