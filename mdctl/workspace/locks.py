"""One writer to a project, many readers to a save.

A lock is one of the operating system and ends with its process, so nothing that is left behind blocks anybody. The
lock files of a folder lie in `.locks/` beside it (0700, ours), not in it, so that it can be moved while it is held.

A reader's hold is a file of its own which the reader keeps locked. Whoever can lock such a file knows that its reader
is gone. That takes nothing but plain exclusive locks, which every system has; shared ones differ between systems.
"""

import json
import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from mdctl.errors import Busy, NoSpace, NotFound, NotReady
from mdctl.workspace import atomic, processes

if TYPE_CHECKING:
    from filelock import FileLock

_DOING = {
    "new": "created",
    "train": "trained",
    "clips": "changed",
    "rename": "renamed",
    "copy": "copied",
    "rm": "removed",
    "restore": "restored",
    "import": "imported",
    "pull": "pulled",
}
_GATE_S = 10.0  # a gate is held for a few file operations; more than this is a fault


@contextmanager
def writer(folder: Path, command: str, wait_s: float = 0.0) -> Iterator[None]:
    """Be the only writer to a folder, which need not exist yet; `Busy` names who holds it still after `wait_s`."""
    lock, holder = _beside(folder, "lock"), _beside(folder, "json")
    with _locked(lock, wait_s) as got:
        if not got:
            raise _busy(folder.name, holder)
        atomic.sweep(lock.parent)
        pid = os.getpid()
        card = {"pid": pid, "start": processes.started(pid) or 0, "host": platform.node(), "command": command}
        card["since"] = datetime.now(UTC).isoformat(timespec="seconds")
        with suppress(NoSpace):  # the card is a courtesy: a full disk must not keep anybody from making room
            atomic.write(holder, json.dumps(card))
        try:
            yield
        finally:
            atomic.remove(holder)


@contextmanager
def reader(folder: Path) -> Iterator[None]:
    """Keep a folder from being removed while it is read; `NotFound` when it is gone already.

    Where nothing can be written, nothing can be removed either, and no hold is needed.
    """
    hold = _beside(folder, f"{uuid4().hex[:12]}.hold")
    try:
        atomic.room(hold.parent)
    except NotReady:
        yield
        return
    own = _lock(hold)
    with _gate(folder):
        if not folder.is_dir():
            raise NotFound(f"'{folder.name}' is gone.", why=str(folder))
        with atomic.explaining(hold):
            own.acquire()
    try:
        yield
    finally:
        own.release()
        atomic.remove(hold)


@contextmanager
def vacant(folder: Path) -> Iterator[bool]:
    """Say whether no reader holds a folder, and let no new one in until the block ends."""
    with _gate(folder):
        yield not [hold for hold in _beside(folder, "").parent.glob(f"{folder.name}.*.hold") if not _abandoned(hold)]


def _beside(folder: Path, kind: str) -> Path:
    return folder.parent / ".locks" / f"{folder.name}.{kind}"


def _lock(path: Path) -> "FileLock":
    from filelock import FileLock  # slow to import, and commands that only read need no lock

    return FileLock(path, mode=0o600)


@contextmanager
def _locked(path: Path, wait_s: float) -> Iterator[bool]:
    from filelock import Timeout  # as in `_lock`

    atomic.room(path.parent)
    lock = _lock(path)
    with atomic.explaining(path), suppress(Timeout):
        lock.acquire(timeout=wait_s)
    try:
        yield lock.is_locked
    finally:
        lock.release()


@contextmanager
def _gate(folder: Path) -> Iterator[None]:
    with _locked(_beside(folder, "gate"), _GATE_S) as got:
        if not got:
            raise Busy(f"'{folder.name}' is held by another process.", why=str(folder))
        yield


def _abandoned(hold: Path) -> bool:
    with _locked(hold, 0) as got:
        pass
    if got:
        atomic.remove(hold)
    return got


def _busy(name: str, holder: Path) -> Busy:
    try:
        card: dict[str, Any] = json.loads(holder.read_bytes())
        doing, pid, host = _DOING.get(card["command"], "used"), int(card["pid"]), str(card["host"])
        since = datetime.fromisoformat(card["since"]).astimezone()
        if host == platform.node() and not processes.alive(pid, int(card["start"])):
            raise ValueError("left behind by a process that is gone")
    except (OSError, ValueError, KeyError, TypeError):
        return Busy(f"{name} is held by another process.", why=str(holder.parent), fix="wait for it")
    today = since.date() == datetime.now().astimezone().date()
    began = since.strftime("%H:%M" if today else "%Y-%m-%d %H:%M")
    what = f"{name} is being {doing} by pid {pid} (host {host}, since {began})."
    return Busy(what, why=str(holder.parent), fix="wait for it")
