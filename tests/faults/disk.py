"""A disk that fails at its Nth change, and one that forgets what was not synced when the power goes."""

import errno
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

KILLED = 137
GROWING = ("open", "write", "mkdir", "link")
CHANGES = (*GROWING, "replace", "rename", "unlink", "rmdir")

Fault = Callable[[], None]


def die() -> None:
    """End at once, as after `kill -9`."""
    os._exit(KILLED)


def overflow() -> None:
    """Be full."""
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def refuse() -> None:
    """Be read-only."""
    raise OSError(errno.EROFS, os.strerror(errno.EROFS))


def break_down() -> None:
    """Fail to read or write."""
    raise OSError(errno.EIO, os.strerror(errno.EIO))


@dataclass
class Counter:
    """How many changes there were, and which of them were struck."""

    changes: int = 0
    struck: list[str] = field(default_factory=list)


def strike(number: int, fault: Fault, inside: Path) -> Counter:
    """Let the Nth and all later changes below a folder be faults, for good; a `write` is done by half before.

    A full disk hinders only what takes room. 0 hinders nothing, and counts.
    """
    counter = Counter()
    ours: set[int] = set()  # descriptors of files below the folder

    def watched(name: str) -> Callable[..., Any]:
        real = getattr(os, name)

        def operation(*args: Any, **more: Any) -> Any:
            mine = args[0] in ours if name == "write" else _below(inside, args, more)
            changes = name != "open" or args[1] & (os.O_CREAT | os.O_TRUNC)
            if mine and changes and (name in GROWING or fault is not overflow):
                counter.changes += 1
                if counter.changes >= number > 0:
                    counter.struck.append(name)
                    if name == "write":
                        real(args[0], args[1][: len(args[1]) // 2])
                    fault()
            result = real(*args, **more)
            if name == "open" and mine:
                ours.add(result)
            return result

        return operation

    close = os.close

    def closing(descriptor: int) -> None:
        ours.discard(descriptor)
        close(descriptor)

    os.close = closing
    for name in CHANGES:
        setattr(os, name, watched(name))
    return counter


def _below(folder: Path, args: tuple[Any, ...], more: dict[str, Any]) -> bool:
    named = [str(one) for one in args[:2] if isinstance(one, (str, Path))]
    if more.get("dir_fd") is not None:
        with suppress(OSError):
            named = [str(Path(f"/proc/self/fd/{more['dir_fd']}").readlink() / named[0])]
    return any(name.startswith(str(folder)) for name in named)


# --- Power that goes.


@dataclass
class File:
    """A file: what was written, and what of it is on disk for certain."""

    content: bytes = b""
    safe: bytes = b""


Names = dict[str, "File | None"]
"""Every path below a folder; None is a folder."""


class Journal:
    """Everything that changes names below a folder, in order, and what was written and synced into which file.

    Names are kept in order, as journals of file systems do: what a crash leaves is all changes up to some point, which
    lies no earlier than the last sync of a folder. What was written into a file but not synced may be gone although
    its name is there.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.states: list[tuple[Names, dict[int, tuple[File, bytes, bytes]]]] = []
        self.committed: list[int] = []
        """For each state, which earlier one is on disk for certain."""
        self._names: Names = {}
        self._open: dict[int, File | str] = {}
        self._last = 0
        self._note()

    def _note(self) -> None:
        files = {id(file): (file, file.content, file.safe) for file in self._names.values() if file}
        self.states.append((dict(self._names), files))
        self.committed.append(self._last)

    def lost(self) -> Iterator[tuple[int, Names]]:
        """What may lie on the disk after a crash at each point: with the names of then, or those of the last sync.

        Of each file there is what was synced until the crash.
        """
        for number, (names, files) in enumerate(self.states):
            for before in {self.committed[number], number}:
                seen = self.states[before][0] if before != number else names
                yield (
                    number,
                    {
                        path: file and File(files.get(id(file), (file, b"", file.safe))[2])
                        for path, file in seen.items()
                    },
                )

    @contextmanager
    def recording(self) -> Iterator[None]:
        """Write down what happens meanwhile."""
        with pytest.MonkeyPatch.context() as patch:
            for name in (*CHANGES, "fsync", "close"):
                patch.setattr(os, name, self._watch(name))
            yield

    def _watch(self, name: str) -> Callable[..., Any]:
        real = getattr(os, name)

        def operation(*args: Any, **more: Any) -> Any:
            place = self._place(args, more)
            result = real(*args, **more)
            self._happened(name, place, args, result)
            return result

        return operation

    def _place(self, args: tuple[Any, ...], more: dict[str, Any]) -> list[str]:
        named = [Path(one) for one in args[:2] if isinstance(one, (str, Path))]
        if more.get("dir_fd") is not None and named:
            named = [Path(f"/proc/self/fd/{more['dir_fd']}").readlink() / named[0]]
        return [str(path.relative_to(self.root)) for path in named if path.is_relative_to(self.root)]

    def _happened(self, name: str, place: list[str], args: tuple[Any, ...], result: Any) -> None:
        if name in ("write", "fsync", "close"):
            file = self._open.get(args[0])
            if name == "close":
                self._open.pop(args[0], None)
            elif name == "write" and isinstance(file, File):
                file.content += bytes(args[1][:result])
            elif name == "fsync" and isinstance(file, File):
                file.safe = file.content
            elif name == "fsync" and isinstance(file, str):
                self._last = len(self.states)
            else:
                return
        elif not place:
            return
        elif name == "open":
            if place[0] not in self._names and args[1] & os.O_CREAT:
                self._names[place[0]] = File()
            elif args[1] & os.O_TRUNC and (old := self._names.get(place[0])):
                old.content = old.safe = b""
            self._open[result] = self._names.get(place[0]) or place[0]
        elif name == "mkdir":
            self._names[place[0]] = None
        elif name == "link":
            self._names[place[-1]] = self._names[place[0]]
        elif name in ("unlink", "rmdir"):
            self._names.pop(place[0], None)
        else:
            self._moved(*place)
        self._note()

    def _moved(self, source: str, target: str) -> None:
        inner = [path for path in self._names if path == source or path.startswith(f"{source}/")]
        for path in inner:
            self._names[target + path[len(source) :]] = self._names.pop(path)


def lay(root: Path, names: Names) -> None:
    """Make a folder hold exactly this."""
    shutil.rmtree(root, ignore_errors=True)
    root.mkdir(parents=True)
    for path, file in sorted(names.items()):
        if file is None:
            (root / path).mkdir(parents=True, exist_ok=True)
        else:
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            (root / path).write_bytes(file.content)
