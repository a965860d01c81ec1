"""Command lines that meet a fault at their Nth change of the disk, forked from a parent that has the libraries."""

import os
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import stage
from disk import Fault, die, strike
from rows import disarm

MANY = 10_000


@dataclass(frozen=True)
class Ended:
    """How a command line ended that met a fault."""

    code: int
    changes: int
    """How many changes of the disk it came to."""
    err: str


def attempt(
    line: Sequence[str], home: Path, number: int, fault: Fault, guards: Sequence[tuple[Any, Any]] = ()
) -> Ended:
    """Run one command line in a home whose disk fails at this change; 0 fails at none."""
    folder = home.parent / "attempt"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    stage._CONTEXT.set_forkserver_preload(stage._HEAVY)  # type: ignore[attr-defined]
    process = stage._CONTEXT.Process(target=_act, args=(list(line), home, number, fault, folder, guards))
    process.start()
    process.join(stage.PATIENCE_S)
    if process.exitcode is None:
        process.kill()
        process.join()
    told = (folder / "changes").read_text()  # nothing, when it was killed
    return Ended(process.exitcode or 0, int(told or number), (folder / "err").read_text(errors="replace"))


def _act(
    line: list[str], home: Path, number: int, fault: Fault, folder: Path, guards: Sequence[tuple[Any, Any]]
) -> None:
    os.environ["MDCTL_HOME"] = str(home)
    os.fsync = lambda _: None  # type: ignore[assignment]  # here the machine itself goes on
    sys.stdout, sys.stderr = (open(folder / name, "w", encoding="utf-8") for name in ("out", "err"))  # noqa: SIM115, PTH123
    told = os.open(folder / "changes", os.O_WRONLY | os.O_CREAT)
    write = os.write
    for guard, without in guards:
        disarm(guard, without)
    counter = strike(number, fault, home)
    from mdctl.cli.app import main

    code = main(line)
    write(told, str(counter.changes).encode())
    sys.stderr.flush()
    os._exit(code)


def all_numbers(name: str, line: Sequence[str], base: Path, home: Path, few: int) -> list[int]:
    """At which changes a command line is to be struck: all there are, or a few of them, first and last among them.

    How many there are is found out once for each name.
    """
    if name not in _CHANGES:
        prepare(base, home)
        ended = attempt(line, home, 0, die)
        assert ended.code == 0, (line, ended.err)
        assert ended.changes > 0, line
        _CHANGES[name] = ended.changes
    changes = _CHANGES[name]
    if few >= changes:
        return list(range(1, changes + 1))
    if few == 1:
        return [(1 + changes) // 2]
    return sorted({1 + round(place * (changes - 1) / (few - 1)) for place in range(few)})


_CHANGES: dict[str, int] = {}


def prepare(base: Path, home: Path) -> None:
    """A home as it was."""
    shutil.rmtree(home, ignore_errors=True)
    shutil.copytree(base, home)
