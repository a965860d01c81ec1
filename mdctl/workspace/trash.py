"""The trash: what `rm` takes away lies here whole, and comes back by its name.

    golf@20261122-071403/         a project
    golf@20261122-071500.part/    parts of one, at the places that they had in it, and a note of what they are
    20261122-0731_5f0c21aa_x.mp4  a file that `--force` replaced

Whatever moves, moves by a rename, so that a crash leaves it on the one side or the other. Nothing leaves the trash by
itself: for `KEPT_DAYS` it stays whatever happens, and after that until its user empties the trash.
"""

import json
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from mdctl.errors import NoSpace, NotFound, UsageFault
from mdctl.workspace import atomic, locations, locks

KEPT_DAYS = 30
"""For so long nothing is due to be removed for good."""

_PART, _NOTE = ".part", "note.json"
_ENTRY = re.compile(r"(?P<name>[a-z0-9][a-z0-9_-]{0,63})@(?P<stamp>\d{8}-\d{6})(?:_(?P<number>\d{1,6}))?(?:\.part)?")
_FILE = re.compile(r"(?P<stamp>\d{8}-\d{4})_[0-9a-f]{8}_(?P<name>.+)", re.DOTALL)
_STAMP = "%Y%m%d-%H%M%S"
_WAIT_S = 10.0  # the trash is held for a few file operations


@dataclass(frozen=True)
class Trashed:
    """One thing in the trash."""

    path: Path
    """Where it lies."""
    name: str
    """Of the project that it is, or was part of; of a single file its own."""
    what: str
    """What it is, in a word or two: `project`, `run 2`, `14 videos`, `file`."""
    removed: datetime
    """When it came here, UTC."""
    number: int = 1
    """Its place among those of the same name and second."""
    created: str = ""
    """When the project was made whose part it is, which tells it from others of its name."""

    @property
    def whole(self) -> bool:
        """Whether it is a project."""
        return self.what == "project"

    @property
    def size_bytes(self) -> int:
        """What it takes on disk."""
        return size_bytes(self.path)

    @property
    def days_left(self) -> int:
        """For how many days more it is kept in any case, 0 when it is due."""
        left = self.removed + timedelta(days=KEPT_DAYS) - datetime.now(UTC)
        return max(0, -(-left // timedelta(days=1)))


# What is there


def things() -> list[Trashed]:
    """Everything in the trash, what was removed last at the end."""
    try:
        paths = [Path(entry) for entry in os.scandir(locations.trash()) if entry.name[0] != "."]
    except OSError:
        return []
    found = [_thing(path) for path in paths]
    return sorted((thing for thing in found if thing), key=lambda thing: (thing.removed, thing.number, thing.name))


def last(name: str, *, whole: bool = False) -> Trashed:
    """What was removed last under a project's name, or the last that is a project; `NotFound` when nothing was."""
    mine = [thing for thing in things() if thing.name == name and thing.what != "file"]
    if found := [thing for thing in mine if thing.whole or not whole]:
        return found[-1]
    what = f"there is no {'whole ' if mine else ''}'{name}' in the trash."
    raise NotFound(what, why=str(locations.trash()), fix="mdctl trash list")


def held() -> AbstractContextManager[None]:
    """Let nobody else put anything into the trash or take it out meanwhile."""
    return locks.writer(locations.trash(), "trash", _WAIT_S)


def size_bytes(path: Path) -> int:
    """What a file takes on disk, or a folder with all that is in it; 0 when it is not there."""
    total = 0
    with suppress(OSError):
        if not path.is_dir():
            return path.lstat().st_size
        with os.scandir(path) as entries:
            for entry in entries:
                with suppress(OSError):
                    deeper = entry.is_dir(follow_symlinks=False)
                    total += size_bytes(Path(entry)) if deeper else entry.stat(follow_symlinks=False).st_size
    return total


# In and out


def discard(folder: Path) -> Path:
    """Move a project's folder here, and tell where it lies."""
    with held():
        return atomic.move(folder, _place(folder.name))


def discard_parts(folder: Path, parts: Sequence[Path], what: str, created: str) -> Path:
    """Move these parts of a project's folder here as one thing, and tell where it lies."""
    with held():
        place = _place(folder.name, _PART)
        with suppress(NoSpace):  # the note is a courtesy: a full disk must not keep anybody from making room
            atomic.write(place / _NOTE, json.dumps({"schema": 1, "what": what, "created": created}))
        for part in parts:
            atomic.move(part, place / part.relative_to(folder))
    return place


def put_back(thing: Trashed, folder: Path) -> None:
    """Move parts to the places in a project's folder from which they came; `UsageFault` when one of these is taken."""
    parts = [part for part in sorted(thing.path.iterdir()) if part.name != _NOTE]
    moves = [move for part in parts for move in _moves(part, folder / part.name)]
    if taken := [target for _, target in moves if os.path.lexists(target)]:
        raise UsageFault(
            f"the place of {thing.what} of '{thing.name}' is taken.",
            why=", ".join(str(target) for target in taken[:3]),
            saved="nothing was moved.",
            fix=("move that away,", f"mdctl restore {thing.name}"),
            code="MD-EXISTS",
        )
    for source, target in moves:
        atomic.move(source, target)
    atomic.remove(thing.path)


def empty(gone: Sequence[Trashed]) -> None:
    """Remove these things for good, and what a crash has left."""
    with held():
        for thing in gone:
            atomic.remove(thing.path)
        for path in locations.trash().glob(f"*{_PART}"):
            if _thing(path) is None:
                atomic.remove(path)
        atomic.sweep(locations.trash())


def _thing(path: Path) -> Trashed | None:
    """What lies here, None where a crash has left only the places of parts that are back where they were."""
    if known := _ENTRY.fullmatch(path.name):
        removed, number = _moment(known["stamp"], _STAMP), int(known["number"] or 1)
        if path.suffix != _PART:
            return Trashed(path, known["name"], "project", removed, number)
        if not any(inner.is_file() and inner.name != _NOTE for inner in path.rglob("*")):
            return None
        note = _note(path / _NOTE)
        return Trashed(path, known["name"], note.get("what", "parts"), removed, number, note.get("created", ""))
    if known := _FILE.fullmatch(path.name):
        return Trashed(path, known["name"], "file", _moment(known["stamp"], "%Y%m%d-%H%M"))
    return Trashed(path, path.name, "file", datetime.fromtimestamp(path.lstat().st_mtime, UTC))


def _moment(stamp: str, form: str) -> datetime:
    with suppress(ValueError):
        return datetime.strptime(stamp, form).replace(tzinfo=UTC)
    return datetime.fromtimestamp(0, UTC)


def _note(path: Path) -> dict[str, str]:
    with suppress(OSError, ValueError, RecursionError):
        found: Any = json.loads(path.read_bytes())
        if isinstance(found, dict):
            return {key: value for key, value in found.items() if isinstance(value, str)}
    return {}


def _place(name: str, suffix: str = "") -> Path:
    """Where the next thing of this name goes: it sorts after all others, also when the clock was set back."""
    moment, number = datetime.now(UTC).replace(microsecond=0), 1
    with suppress(NotFound):
        before = last(name)
        if before.removed >= moment:
            moment, number = before.removed, before.number + 1
    return locations.trash() / f"{name}@{moment.strftime(_STAMP)}{f'_{number}' * (number > 1)}{suffix}"


def _moves(source: Path, target: Path) -> Iterator[tuple[Path, Path]]:
    """What goes where, so that folders which are there again are filled up; a save is never mixed with another."""
    if source.is_dir() and target.is_dir() and source.parent.name != "ckpt":
        for inner in sorted(source.iterdir()):
            yield from _moves(inner, target / inner.name)
    else:
        yield source, target
