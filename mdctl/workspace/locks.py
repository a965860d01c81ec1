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
from typing import TYPE_CHECKING, Any, Literal
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
    with _locked(lock, 0.0) as hindrance:
        if hindrance and told and wait_s > 0:
            told(_busy(folder.name, lock, hindrance).what)
        if hindrance and (still := lock.take(wait_s)):
            raise _busy(folder.name, lock, still)
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


def held(folder: Path) -> bool:
    """Whether a folder has a writer, by the card beside it; one that cannot be judged is believed."""
    return not _gone(_beside(folder, "json"))


def native(folder: Path) -> bool:
    """Whether the disk of a folder has locks; where not, its user has to judge what a crash elsewhere has left."""
    lock = _Lock(_beside(folder, "probe"))
    with _locked(lock, 0.0):
        found = not lock.marked
    atomic.remove(lock.path)
    return found


_Hindrance = Literal["", "held", "in the way"]
"""Why a lock has not become ours, '' when it has: the system's is held, or a file lies in the way."""


class _Lock:
    """A lock of the operating system; on a disk that has none, a marker that only one process can make."""

    def __init__(self, path: Path, card: Path | None = None) -> None:
        from filelock import FileLock, SoftFileLock  # slow to import, and commands that only read need no lock

        self.path = path
        self.card = card
        """What names the holder: where there are no locks, it is believed as long as that may live."""
        self.marker = path.with_name(f"{path.name}.held")
        self._system: BaseFileLock = FileLock(path, mode=0o600, fallback_to_soft=False)
        self._mark: BaseFileLock = SoftFileLock(self.marker, mode=0o600)

    @property
    def marked(self) -> bool:
        """Whether it is held by a marker."""
        return self._mark.is_locked

    def take(self, wait_s: float) -> _Hindrance:
        """Make it ours within so many seconds, or tell what hinders that."""
        deadline = time.monotonic() + wait_s
        with atomic.explaining(self.path):
            while hindrance := self._tried():
                left = deadline - time.monotonic()
                if left <= 0:
                    return hindrance
                time.sleep(min(_POLL_S, left))
        return ""

    def release(self) -> None:
        """Let it go."""
        self._system.release()
        self._mark.release()

    def _tried(self) -> _Hindrance:
        try:
            if not _grabbed(self._system):
                return "held"
        except OSError as error:
            if error.errno not in _NO_LOCKS:
                raise
            if not _grabbed(self._mark):
                return "in the way"
            if self.card and not _gone(self.card):  # it may hold the lock on a system that has locks
                self._mark.release()
                return "in the way"
            return ""
        blocked = self.marker.exists() and not _grabbed(self._mark)  # it has come from a disk without locks
        (self._system if blocked else self._mark).release()
        return "in the way" if blocked else ""


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
def _locked(lock: _Lock, wait_s: float) -> Iterator[_Hindrance]:
    atomic.room(lock.path.parent)
    try:
        yield lock.take(wait_s)
    finally:
        lock.release()


@contextmanager
def _gate(folder: Path) -> Iterator[None]:
    lock = _Lock(_beside(folder, "gate"))
    with _locked(lock, _GATE_S) as hindrance:
        if hindrance:
            raise Busy(f"'{folder.name}' is held by another process.", why=str(folder), fix=_cures(lock, hindrance))
        yield


def _abandoned(hold: Path) -> bool:
    with _locked(_Lock(hold, hold), 0.0) as hindrance:
        pass
    if not hindrance:
        atomic.remove(hold)
    return not hindrance


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


def _busy(name: str, lock: _Lock, hindrance: _Hindrance) -> Busy:
    assert lock.card
    try:
        card: dict[str, Any] = json.loads(lock.card.read_bytes())
        doing, pid, host = _DOING.get(card["command"], "used"), int(card["pid"]), str(card["host"])
        since = datetime.fromisoformat(card["since"]).astimezone()
        if _gone(lock.card):
            raise ValueError("left behind by a process that is gone")
    except (OSError, ValueError, KeyError, TypeError):
        return Busy(f"{name} is held by another process.", why=str(lock.path.parent), fix=_cures(lock, hindrance))
    today = since.date() == datetime.now().astimezone().date()
    began = since.strftime("%H:%M" if today else "%Y-%m-%d %H:%M")
    what = f"{name} is being {doing} by pid {pid} (host {host}, since {began})."
    return Busy(what, why=str(lock.path.parent), fix=_cures(lock, hindrance))


def _cures(lock: _Lock, hindrance: _Hindrance) -> tuple[str, ...]:
    """What to do about a holder; a marker of another computer is for its user to judge."""
    if hindrance != "in the way":
        return ("wait for it",)
    left = [str(path) for path in (lock.marker, lock.card) if path and path.exists()]
    return ("wait for it", f"or, when that process is gone for certain, remove {' and '.join(left)}")
