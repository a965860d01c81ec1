"""One writer to a project, many readers to a save.

A lock is one of the operating system and ends with its process, so nothing that is left behind blocks anybody. The
lock files of a folder lie in `.locks/` beside it (0700, ours), not in it, so that it can be moved while it is held.

A reader's hold is a file of its own which the reader keeps locked. Whoever can lock such a file knows that its reader
is gone. That takes nothing but plain exclusive locks, which every system has; shared ones differ between systems.

Some disks have no locks. There, a lock is a marker: a file with a name of its own that only one process can make. What
one kind of disk has left means nothing to the other kind, so a home can be moved: a lock file blocks nobody on a disk
without locks, unless the card beside it names a holder that may still live, and a marker that has come to a disk with
locks is heeded the same way. Only what is provably dead is cleared: a process of this computer that is gone.
"""

import errno
import json
import os
import platform
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from mdctl.errors import Busy, NoSpace, NotFound, NotReady
from mdctl.workspace import atomic, processes

if TYPE_CHECKING:
    from filelock import BaseFileLock

_DOING = {
    "new": "created",
    "train": "trained",
    "clips": "changed",
    "pin": "changed",
    "rename": "renamed",
    "copy": "copied",
    "rm": "removed",
    "restore": "restored",
    "import": "imported",
    "pull": "pulled",
    "verify": "verified",
}
_GATE_S = 10.0  # a gate is held for a few file operations; more than this is a fault
_POLL_S = 0.1
_NO_LOCKS = {errno.ENOSYS, errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP}


@contextmanager
def writer(
    folder: Path, command: str, wait_s: float = 0.0, told: Callable[[str], None] | None = None
) -> Iterator[None]:
    """Be the only writer to a folder, which need not exist yet; `Busy` names who holds it still after `wait_s`.

    `told` is called once, with a sentence that names the holder, before it is waited for.
    """
    path, card = _beside(folder, "lock"), _beside(folder, "json")
    lock = _Lock(path, card)
    with _locked(lock, 0.0) as free:
        if not free and told and wait_s > 0:
            told(_busy(folder.name, lock).what)
        if not free and not lock.take(wait_s):
            raise _busy(folder.name, lock)
        atomic.sweep(path.parent)
        with suppress(NoSpace):  # the card is a courtesy: a full disk must not keep anybody from making room
            atomic.write(card, _card(command))
        try:
            yield
        finally:
            atomic.remove(card)


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
    own = _Lock(hold)
    with _gate(folder):
        if not folder.is_dir():
            raise NotFound(f"'{folder.name}' is gone.", why=str(folder))
        with suppress(NoSpace):
            atomic.write(hold, _card("gen"))
        own.take(0.0)
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


def native(folder: Path) -> bool:
    """Whether the disk of a folder has locks; where not, its user has to judge what a crash elsewhere has left."""
    lock = _Lock(_beside(folder, "probe"))
    with _locked(lock, 0.0):
        found = not lock.marked
    atomic.remove(lock.path)
    return found


class _Lock:
    """A lock of the operating system; on a disk that has none, a marker that only one process can make."""

    def __init__(self, path: Path, card: Path | None = None) -> None:
        from filelock import FileLock, SoftFileLock  # slow to import, and commands that only read need no lock

        self.path = path
        self.card = card
        """What names the holder: where there are no locks, it is believed as long as that may live."""
        self.marker = path.with_name(f"{path.name}.held")
        self.blocked = False
        """Whether a file is in the way, and no lock of the system."""
        self._system: BaseFileLock = FileLock(path, mode=0o600, fallback_to_soft=False)
        self._mark: BaseFileLock = SoftFileLock(self.marker, mode=0o600)

    @property
    def marked(self) -> bool:
        """Whether it is held by a marker."""
        return self._mark.is_locked

    def take(self, wait_s: float) -> bool:
        """Whether it has become ours, within so many seconds."""
        deadline = time.monotonic() + wait_s
        with atomic.explaining(self.path):
            while not self._tried():
                left = deadline - time.monotonic()
                if left <= 0:
                    return False
                time.sleep(min(_POLL_S, left))
        return True

    def release(self) -> None:
        """Let it go."""
        self._system.release()
        self._mark.release()

    def _tried(self) -> bool:
        try:
            if not _grabbed(self._system):
                return False
        except OSError as error:
            if error.errno not in _NO_LOCKS:
                raise
            self.blocked = not _grabbed(self._mark)
            if self.marked and self.card and not _gone(self.card):  # it may hold the lock on a system that has locks
                self._mark.release()
                self.blocked = True
            return not self.blocked
        self.blocked = self.marker.exists() and not _grabbed(self._mark)  # it has come from a disk without locks
        (self._system if self.blocked else self._mark).release()
        return not self.blocked


def _grabbed(lock: "BaseFileLock") -> bool:
    from filelock import Timeout  # as in `_Lock`

    for _ in range(2):  # the first may have cleared a marker that a dead process left
        with suppress(Timeout):
            lock.acquire(timeout=0)
            return True
    return False


def _beside(folder: Path, kind: str) -> Path:
    return folder.parent / ".locks" / f"{folder.name}.{kind}"


@contextmanager
def _locked(lock: _Lock, wait_s: float) -> Iterator[bool]:
    atomic.room(lock.path.parent)
    try:
        yield lock.take(wait_s)
    finally:
        lock.release()


@contextmanager
def _gate(folder: Path) -> Iterator[None]:
    lock = _Lock(_beside(folder, "gate"))
    with _locked(lock, _GATE_S) as got:
        if not got:
            raise Busy(f"'{folder.name}' is held by another process.", why=str(folder), fix=_cures(lock))
        yield


def _abandoned(hold: Path) -> bool:
    with _locked(_Lock(hold, hold), 0.0) as got:
        pass
    if got:
        atomic.remove(hold)
    return got


# Who holds it


def _card(command: str) -> str:
    pid = os.getpid()
    card = {"pid": pid, "start": processes.started(pid) or 0, "host": platform.node(), "command": command}
    return json.dumps({**card, "since": datetime.now(UTC).isoformat(timespec="seconds")})


def _gone(card: Path) -> bool:
    """Whether the process that a card names is provably no more."""
    try:
        said: dict[str, Any] = json.loads(card.read_bytes())
        return said["host"] == platform.node() and not processes.alive(int(said["pid"]), int(said["start"]))
    except FileNotFoundError:
        return True
    except (OSError, ValueError, KeyError, TypeError):
        return False


def _busy(name: str, lock: _Lock) -> Busy:
    assert lock.card
    try:
        card: dict[str, Any] = json.loads(lock.card.read_bytes())
        doing, pid, host = _DOING.get(card["command"], "used"), int(card["pid"]), str(card["host"])
        since = datetime.fromisoformat(card["since"]).astimezone()
        if _gone(lock.card):
            raise ValueError("left behind by a process that is gone")
    except (OSError, ValueError, KeyError, TypeError):
        return Busy(f"{name} is held by another process.", why=str(lock.path.parent), fix=_cures(lock))
    today = since.date() == datetime.now().astimezone().date()
    began = since.strftime("%H:%M" if today else "%Y-%m-%d %H:%M")
    what = f"{name} is being {doing} by pid {pid} (host {host}, since {began})."
    return Busy(what, why=str(lock.path.parent), fix=_cures(lock))


def _cures(lock: _Lock) -> tuple[str, ...]:
    """What to do about a holder; a marker of another computer is for its user to judge."""
    left = [str(path) for path in (lock.marker, lock.card) if path and path.exists()]
    wait = "wait for it"
    return (
        (wait, f"or, when that process is gone for certain, remove {' and '.join(left)}") if lock.blocked else (wait,)
    )
