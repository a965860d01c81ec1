"""H: locks. Who holds something is named, and what a dead process has left blocks nobody."""

import errno
import json
import os
import re
import signal
import traceback
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from typing import Literal

import pytest
from rows import fault, no, open_door, yes

from mdctl.errors import Busy, NotFound
from mdctl.workspace import atomic, locks

fcntl = pytest.importorskip("fcntl")
pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")


HELD = ExitStack()  # in the child processes: what is not referenced is let go


@contextmanager
def another_process(hold: Callable[[], object]) -> Iterator[int]:
    """A process that has begun to hold something, and is killed at the end."""
    told, tell = os.pipe()
    if not (pid := os.fork()):
        try:
            hold()
            os.write(tell, b".")
            signal.pause()
        except BaseException:
            traceback.print_exc()
            raise
        finally:
            os._exit(1)  # never back into pytest, which would run here a second time
    os.close(tell)  # now a child that ends without a word is the end of the pipe
    try:
        assert os.read(told, 1) == b".", "it could not hold anything"
        yield pid
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        os.close(told)


def entered(context: AbstractContextManager[None]) -> None:
    """Enter a context and never leave it."""
    HELD.enter_context(context)


@pytest.fixture
def golf(home: Path) -> Path:
    """A folder to be locked."""
    return atomic.room(home / "projects" / "golf")


@fault("H6", guard="mdctl.workspace.locks._locked", without=open_door)
def test_the_holder_is_named(golf: Path) -> None:
    """A second writer is told who is at work, since when, and how to wait (exit 6)."""
    with another_process(lambda: entered(locks.writer(golf, "train"))) as pid:
        with pytest.raises(Busy) as told, locks.writer(golf, "rm"):
            pass
        assert re.fullmatch(
            rf"golf is being trained by pid {pid} \(host .+, since (\d{{4}}-\d\d-\d\d )?\d\d:\d\d\)\.", told.value.what
        )
        assert "wait" in told.value.fix[0]
        with locks.writer(golf.parent / "zoom_in", "new"):
            pass


@fault("H7")
def test_a_lock_ends_with_its_process(golf: Path) -> None:
    """What a killed process leaves behind blocks nobody (H7)."""
    with another_process(lambda: entered(locks.writer(golf, "train"))):
        pass
    assert (golf.parent / ".locks" / "golf.json").exists()
    with locks.writer(golf, "rm"):
        assert json.loads((golf.parent / ".locks" / "golf.json").read_text())["pid"] == os.getpid()
    assert not (golf.parent / ".locks" / "golf.json").exists()


@fault("H7")
@pytest.mark.parametrize(
    "card", ["", "garbage", "[]", "{}", '{"pid":1,"start":1,"host":"?","since":"?","command":"x"}']
)
def test_a_card_that_says_nothing_is_no_harm(golf: Path, card: str) -> None:
    """A holder whose card is garbage is still a holder, only without a name (H7)."""
    with another_process(lambda: entered(locks.writer(golf, "train"))):
        atomic.write(golf.parent / ".locks" / "golf.json", card)
        with pytest.raises(Busy, match="golf is held by another process"), locks.writer(golf, "rm"):
            pass


@fault("H7", guard="mdctl.workspace.processes.alive", without=yes)
def test_the_card_of_a_dead_holder_is_not_believed(golf: Path) -> None:
    """A card that an earlier, dead process left names nobody."""
    with another_process(lambda: entered(locks.writer(golf, "train"))):
        left = (golf.parent / ".locks" / "golf.json").read_text()
    with another_process(lambda: entered(locks.writer(golf, "train"))):
        atomic.write(golf.parent / ".locks" / "golf.json", left)
        with pytest.raises(Busy, match="golf is held by another process"), locks.writer(golf, "rm"):
            pass


@fault("H6")
def test_one_may_wait(golf: Path) -> None:
    """A writer that waits gets its turn when the other one is done."""
    with another_process(lambda: entered(locks.writer(golf, "train"))) as pid:
        os.kill(pid, signal.SIGKILL)
        with locks.writer(golf, "rm", wait_s=30):
            card = json.loads((golf.parent / ".locks" / "golf.json").read_text())
    assert (card["pid"], card["command"]) == (os.getpid(), "rm")


# --- Disks with locks and without


def without_locks(patch: pytest.MonkeyPatch, number: int = errno.ENOSYS) -> None:
    """From now on the disk has no locks."""

    def lacking(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    patch.setattr(fcntl, "flock", lacking)


Kind = Literal["with", "without"]
KINDS: tuple[Kind, ...] = ("with", "without")


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Callable[[Kind], None]:
    """`disk("without")`: the home is moved to a disk without locks, and `disk("with")` to one with them."""
    flock = fcntl.flock

    def move(kind: Kind) -> None:
        monkeypatch.setattr(fcntl, "flock", flock)
        if kind == "without":
            without_locks(monkeypatch)

    return move


Disk = Callable[[Kind], None]


@fault("I4", guard="mdctl.workspace.locks._gone", without=no)
@pytest.mark.parametrize("after", KINDS)
@pytest.mark.parametrize("before", KINDS)
def test_what_another_kind_of_disk_has_left(golf: Path, disk: Disk, before: Kind, after: Kind) -> None:
    """Locks, holds and gates of dead processes block nobody, on whichever kind of disk their home lies by then (I4)."""
    disk(before)
    save = atomic.room(golf / "ckpt" / "000175")
    for hold in (locks.writer(golf, "train"), locks.vacant(save), locks.reader(save)):
        with another_process(lambda context=hold: entered(context)):  # type: ignore[misc]
            pass
    assert (golf.parent / ".locks" / "golf.json").exists()
    assert list((golf / "ckpt" / ".locks").glob("*.hold"))
    disk(after)
    with locks.writer(golf, "rm"), locks.vacant(save) as vacant:
        assert vacant
    assert not list(golf.parent.rglob("*.held"))


@fault("I4", guard="mdctl.workspace.locks._gone", without=yes)
@pytest.mark.parametrize(("before", "after"), [("with", "without"), ("without", "with"), ("without", "without")])
def test_who_lives_is_not_cleared(golf: Path, disk: Disk, before: Kind, after: Kind) -> None:
    """A holder on the other kind of disk, as where a folder is shared, is named; a save that it reads stays."""
    disk(before)
    save = atomic.room(golf / "ckpt" / "000175")

    def hold() -> None:
        entered(locks.writer(golf, "train"))
        entered(locks.reader(save))

    with another_process(hold) as pid:
        disk(after)
        with pytest.raises(Busy, match=f"golf is being trained by pid {pid}"), locks.writer(golf, "rm"):
            pass
        with locks.vacant(save) as vacant:
            assert not vacant
    with locks.writer(golf, "rm"), locks.vacant(save) as vacant:
        assert vacant


@fault("H7", "I4", guard="mdctl.workspace.locks._cures", without=lambda *_: ("wait for it",))
@pytest.mark.parametrize("kind", KINDS)
def test_a_marker_of_another_computer_is_for_its_user_to_judge(golf: Path, disk: Disk, kind: Kind) -> None:
    """It is not cleared, because nobody here can tell; which files to remove is said."""
    disk(kind)
    with locks.writer(golf, "train"):
        card = json.loads((golf.parent / ".locks" / "golf.json").read_text())
    marker, known = (golf.parent / ".locks" / name for name in ("golf.lock.held", "golf.json"))
    atomic.write(marker, "4121\natlas\n")
    atomic.write(known, json.dumps({**card, "pid": 4121, "host": "atlas"}))
    for _ in range(2):
        with pytest.raises(Busy, match=r"pid 4121 \(host atlas") as told, locks.writer(golf, "rm"):
            pass
        assert f"remove {marker} and {known}" in told.value.fix[-1]
    marker.unlink()
    if kind == "without":  # its card alone says that it may live
        with pytest.raises(Busy, match=r"pid 4121 \(host atlas"), locks.writer(golf, "rm"):
            pass
    known.unlink()
    with locks.writer(golf, "rm"):
        assert marker.exists() == (kind == "without")


@fault("I4")
@pytest.mark.parametrize("number", [errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP])
def test_a_disk_without_locks(golf: Path, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    """However it says so, a marker stands in for the lock, and keeps others out too."""
    assert locks.native(golf)
    without_locks(monkeypatch, number)
    assert not locks.native(golf)
    with locks.writer(golf, "train"), pytest.raises(Busy), locks.writer(golf, "rm"):
        pass
    with locks.writer(golf, "rm"):
        pass
    assert not list(golf.parent.rglob("*.held"))


@fault("I1")
def test_a_full_disk_keeps_nobody_out(golf: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The card is a courtesy: whoever wants to make room gets the lock without it."""

    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "write", full)
    with locks.writer(golf, "rm"):
        assert not (golf.parent / ".locks" / "golf.json").exists()


@fault("H6")
def test_what_is_read_is_not_vacant(golf: Path) -> None:
    """A save in use is seen by every process, until the reader is done or dead."""
    save = atomic.room(golf / "ckpt" / "000175")
    with another_process(lambda: entered(locks.reader(save))), locks.vacant(save) as vacant:
        assert not vacant
    with locks.vacant(save) as vacant:
        assert vacant
    with locks.reader(save), locks.reader(save), locks.vacant(save) as vacant:
        assert not vacant
    assert not list((golf / "ckpt" / ".locks").glob("*.hold"))


@fault("H6")
def test_another_save_is_vacant(golf: Path) -> None:
    """A hold is on one save only."""
    for name in ("000175", "000200"):
        atomic.room(golf / "ckpt" / name)
    with locks.reader(golf / "ckpt" / "000175"), locks.vacant(golf / "ckpt" / "000200") as vacant:
        assert vacant


@fault("H7")
def test_what_is_gone_cannot_be_held(golf: Path) -> None:
    """A reader that comes too late is told."""
    with pytest.raises(NotFound), locks.reader(golf / "ckpt" / "000175"):
        pass


@fault("I3")
@pytest.mark.skipif(not Path("/sys/kernel").is_dir(), reason="needs a folder in which nobody can write")
def test_where_nothing_can_be_written_no_hold_is_needed() -> None:
    """A save on a read-only disk can be read, for nobody can remove it (I3)."""
    before = sorted(Path("/sys/kernel").iterdir())
    with locks.reader(Path("/sys/kernel")):
        assert sorted(Path("/sys/kernel").iterdir()) == before
