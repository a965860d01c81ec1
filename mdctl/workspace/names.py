"""What a project may be called, and which names are taken: compared without case and Unicode form, on every system."""

import os
import re
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from mdctl.errors import UsageFault
from mdctl.text import safe, slug
from mdctl.workspace import locations, locks

_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
_DEVICES = {"con", "prn", "aux", "nul", *(f"{port}{number}" for port in ("com", "lpt") for number in range(10))}


def check_name(name: str) -> str:
    """The name itself when a project may be called so on every system; else `UsageFault` with the nearest that may."""
    if _NAME.fullmatch(name) and name not in _DEVICES:
        return name
    near = slug(name)
    known = taken(name) or (taken(near) if near else None)
    if known and _NAME.fullmatch(known):
        raise exists(name, known, fix=f"mdctl show {known}")
    if near in _DEVICES or not near:
        near = f"{near}-motion" if near else "my-motion"
    why = "a name has 1 to 64 of a-z, 0-9, _ and -, begins with a letter or digit, and is no device of Windows."
    raise UsageFault(f"'{safe(name, 80)}' cannot be the name of a project.", why=why, fix=f"call it {near}")


@contextmanager
def claimed(name: str, command: str, inside: Path | None = None, fix: str = "") -> Iterator[Path]:
    """Hold a name that is free, and tell the folder that may bear it now; `UsageFault` when it is taken.

    `inside` is another folder of projects than the user's own.
    """
    folder = (inside or locations.projects()) / check_name(name)
    _require_free(name, folder.parent, fix)  # at once, because whoever asks may hold the one that bears it
    with locks.writer(folder, command):
        _require_free(name, folder.parent, fix)
        yield folder


def exists(name: str, known: str, fix: str = "") -> UsageFault:
    """The refusal of a name that is taken already, by a project of that name or of one that counts as the same."""
    what = f"'{safe(name, 80)}' exists as {known}." if name != known else f"a project '{name}' exists already."
    return UsageFault(what, fix=fix or f"call it {known}-2", code="MD-EXISTS")


def folders(home: Path | None = None) -> list[str]:
    """The names of all that lies in a folder of projects, readable or not."""
    with suppress(OSError), os.scandir(home or locations.projects()) as entries:
        return sorted(entry.name for entry in entries if entry.name[0] != "." and entry.is_dir())
    return []


def taken(name: str, home: Path | None = None) -> str | None:
    """Who bears a name, or one that counts as the same; None when it is free."""
    return next((known for known in folders(home) if _folded(known) == _folded(name)), None)


def _require_free(name: str, home: Path, fix: str) -> None:
    if known := taken(name, home):
        raise exists(name, known, fix)


def _folded(name: str) -> str:
    return unicodedata.normalize("NFKC", name).casefold()
