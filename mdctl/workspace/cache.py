"""What lies in the cache, how long it was not used, and what of it may go; base models are left to `models rm`.

Latents are read whole when a training or a video begins, and nothing locks them; while a project is being trained they
stay, so that it finds them again when it goes on. A look of a picture is a project, with the locks of one.
"""

import os
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from mdctl.errors import Busy, MdctlError
from mdctl.workspace import atomic, locations, locks
from mdctl.workspace.project import Project
from mdctl.workspace.pulled import header_fault

UNUSED_S = 30 * 24 * 3600
"""After so long without use something may go."""

_RESTING_S = 3600
"""What other commands lay aside for a moment is theirs for so long."""


@dataclass(frozen=True)
class Entry:
    """One thing in the cache."""

    path: Path
    part: str
    """The folder of the cache that it lies in."""

    size_bytes: int
    used: float
    """When one of its files was last read or written, as far as the file system notes it; seconds since 1970."""

    @property
    def kept(self) -> bool:
        """Whether it is a base model, or a part of one that is still being pulled."""
        return self.part == locations.models().name

    @property
    def name(self) -> str:
        """What its user calls it."""
        model = self.path.name.removeprefix(".pull-").removeprefix(".old-").replace("--", "/")
        return model if self.kept else self.path.name


def entries() -> list[Entry]:
    """Everything in the cache, part by part; locks and what is just being written are left out."""
    found = []
    for part in _listed(locations.cache()):
        if part.is_dir():
            hidden = (".locks", ".tmp-") if part == locations.models() else "."  # an unfinished pull counts
            found += [_entry(path, part.name) for path in _listed(part) if not path.name.startswith(hidden)]
    return found


def unused(now: float | None = None) -> list[Entry]:
    """What was not used for 30 days, and no base model."""
    before = (time.time() if now is None else now) - UNUSED_S
    return [entry for entry in entries() if entry.used < before and not entry.kept]


def training() -> str:
    """Who trains a project, or the look of a picture, just now, as a sentence; '' when nobody does."""
    for project in [*Project.all(), *map(Project, _listed(locations.images()))]:
        with suppress(MdctlError):
            if all(run.finished for run in project.runs()[-1:]):
                continue  # only a run that was begun and has not ended can be at work
            try:
                with locks.writer(project.folder, "prune"):
                    pass
            except Busy as busy:
                return busy.what
    return ""


def remove(entry: Entry) -> str:
    """Delete something of the cache, and tell why it stays where somebody uses it; '' when it is gone."""
    if entry.part == locations.images().name:
        return remove_look(Project(entry.path))
    if entry.part != locations.latents().name and time.time() - entry.used < _RESTING_S:
        return f"{entry.part}/{entry.name} may be in use: it is not an hour old."
    try:
        atomic.remove(entry.path)
    except MdctlError as fault:  # Windows lets nobody delete what somebody reads
        return f"{fault.what} {fault.why}"
    return ""


def remove_look(look: Project) -> str:
    """Delete the look of a picture, and tell why it stays where somebody uses it; '' when it is gone."""
    try:
        with locks.writer(look.folder, "prune"):
            for save in (save for run in look.runs() for save in run.saves()):
                with locks.vacant(save.folder) as vacant:
                    if not vacant:
                        return f"{look.name} is being used for a video."
            atomic.remove(look.folder)
    except MdctlError as fault:
        return fault.what
    return ""


def damaged() -> list[Entry]:
    """Encoded clips whose file is not whole; they would be made again."""
    latents = [entry for entry in entries() if entry.part == locations.latents().name and entry.path.is_file()]
    return [entry for entry in latents if _fault(entry.path)]


def sweep() -> int:
    """Delete what dead processes left half-written, in the cache and beside the projects, and tell how many."""
    return sum(len(atomic.sweep(folder)) for folder in _folders())


def leftovers(now: float | None = None) -> int:
    """How many half-written files and folders are older than a day, and so probably of dead processes."""
    before = (time.time() if now is None else now) - 24 * 3600
    return sum(path.lstat().st_mtime < before for folder in _folders() for path in folder.glob(".tmp-*"))


def _folders() -> Iterator[Path]:
    """Every folder of mdctl's; what is still a draft is not looked into."""
    homes = {locations.home(), locations.config(), locations.cache(), locations.state()}
    for home in homes:
        for folder, inner, _ in os.walk(home) if homes.isdisjoint(home.parents) else ():
            inner[:] = [name for name in inner if not name.startswith(".tmp-")]
            yield Path(folder)


def _fault(path: Path) -> str:
    """What is wrong with a file of weights; to look at it is not to use it, so it stays as old as it was."""
    status = path.stat()
    fault = header_fault(path)
    with suppress(OSError):
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    return fault


def _listed(folder: Path) -> list[Path]:
    with suppress(OSError):
        return sorted(folder.iterdir())
    return []


def _entry(path: Path, part: str) -> Entry:
    files = [path, *(path.rglob("*") if path.is_dir() else ())]
    size, used = 0, 0.0
    for file in files:
        with suppress(OSError):
            status = file.lstat()
            if not file.is_dir():
                size, used = size + status.st_size, max(used, status.st_atime, status.st_mtime)
    return Entry(path, part, size, used or time.time())
