"""What the tests of `bench run` share: how the tiny model does it in a moment, and what came out."""

import json
from pathlib import Path
from typing import Any

import pytest

QUICK = ("--steps", "2", "--rank", "2", "--threads", "1", "--sample-steps", "2")
TINY = (*QUICK, "--size", "32x32", "--frames", "4")


@pytest.fixture
def line(model: Path, tmp_path: Path) -> tuple[str, ...]:
    """What makes the tiny model do it in a moment, into the folder `out`."""
    return ("--model", str(model), *TINY, "-o", str(tmp_path / "out"))


def rows(out: Path) -> list[dict[str, Any]]:
    """The result rows."""
    return [json.loads(line) for line in (out / "results.jsonl").read_text(encoding="utf-8").splitlines()]


def table(out: Path) -> dict[str, Any]:
    """The aggregate."""
    found: dict[str, Any] = json.loads((out / "table.json").read_text(encoding="utf-8"))
    return found
