"""H: crashes, full disks and lost power at every single change of the file system, in a scene without torch.

A writer without care must not pass any of these.
"""

import os
import traceback
from collections.abc import Callable, Iterator
from itertools import count, islice
from pathlib import Path

import disk
import pytest
from disk import Journal, die, lay, overflow
from rows import fault, nothing
from scene import CAREFUL, CARELESS, Scene, plain_folder, plain_write

from mdctl.errors import NoSpace
from mdctl.workspace import atomic, locations
from mdctl.workspace.project import Project

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
FULL, SURVIVED = 7, 100


def in_child(work: Callable[[], None], number: int, how: Callable[[], None]) -> int:
    """Run something in a process of its own, with faults from the Nth change on; its exit status."""
    if not (pid := os.fork()):
        code = 1
        try:
            counter = disk.strike(number, how, locations.home())
            work()
            code = SURVIVED if counter.struck else 0
        except NoSpace as told:
            code = told.exit_code
        except BaseException:
            traceback.print_exc()
            raise
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


@pytest.fixture
def scene(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Scene:
    """The scene, played once; nothing is synced, for here the machine itself goes on."""
    monkeypatch.setattr(os, "fsync", lambda _: None)
    scene = Scene(tmp_path)
    scene.reset()
    scene.whole()
    return scene


def survivors(scene: Scene, how: Callable[[], None], every: int = 1) -> Iterator[tuple[int, int, list[str]]]:
    """For every `every`th change at which a fault can come: its number, how the process ended, and what is lost."""
    for number in count(1, every):
        scene.reset()
        code = in_child(scene.whole, number, how)
        if code == 0:
            return
        yield number, code, list(scene.losses())


@fault("H1")
def test_the_scene_without_a_fault(scene: Scene) -> None:
    """The scenario itself ends well, and prunes and lightens on its way."""
    assert list(scene.losses()) == []
    (run,) = Project.open("golf").runs()
    assert {save.step: save.has_optimizer for save in run.saves()} == {50: False, 60: True, 70: True}


@fault("H1", guard=CAREFUL, without=CARELESS)
def test_a_crash_loses_nothing(scene: Scene) -> None:
    """The workspace opens clean, the newest kept save loads, and the work goes on."""
    assert _crashed(scene, 6) > 100


@fault("H1", long=True)
def test_a_crash_at_any_operation_loses_nothing(scene: Scene) -> None:
    """The same after every single one."""
    assert _crashed(scene, 1) > 100


def _crashed(scene: Scene, every: int) -> int:
    """The last change at which it was killed; it lost nothing at any of them."""
    number = 0
    for number, code, lost in survivors(scene, die, every):
        assert (number, code, lost) == (number, disk.KILLED, [])
        scene.whole()
        assert Project.open("golf").runs()[-1].finished, number
    return number


@fault("I1", guard=CAREFUL, without=CARELESS)
def test_a_full_disk_loses_nothing(scene: Scene) -> None:
    """From whichever change on the disk is full, it is told so, and what was kept stays."""
    assert _filled(scene, 5) > 60


@fault("I1", long=True)
def test_a_full_disk_at_any_operation_loses_nothing(scene: Scene) -> None:
    """The same from every single one on."""
    assert _filled(scene, 1) > 60


def _filled(scene: Scene, every: int) -> int:
    """The last change from which the disk was full; it lost nothing at any of them."""
    number = 0
    for number, code, lost in survivors(scene, overflow, every):
        assert (number, code, lost) == (number, FULL, [])
    return number


@fault("H1")
def test_a_writer_without_care_is_caught(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """These tests can fail: plain writes into the final place lose saves and projects."""
    monkeypatch.setattr(atomic, "folder", plain_folder)
    monkeypatch.setattr(atomic, "write", plain_write)
    lost = [losses for _, _, losses in islice(survivors(scene, die), 40) if losses]
    assert len(lost) > 5


# --- Power that goes


@fault("H2", guard="mdctl.workspace.atomic._flush", without=nothing)
def test_lost_power_loses_nothing_that_was_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """At no point is a save lost that the trainer was told of, whether names or contents were on disk first."""
    assert list(_losses(Scene(tmp_path), monkeypatch, 8)) == []


@fault("H2", long=True)
def test_lost_power_at_every_point(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same, at each of them."""
    assert list(_losses(Scene(tmp_path), monkeypatch, 1)) == []


@fault("H2")
def test_a_writer_that_syncs_nothing_is_caught(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """These tests can fail, too."""
    monkeypatch.setattr(atomic, "_flush", nothing)
    assert next(_losses(Scene(tmp_path), monkeypatch, 3))


def _losses(scene: Scene, monkeypatch: pytest.MonkeyPatch, every: int) -> Iterator[tuple[int, list[str]]]:
    """Play the scene once and look at what every `every`th lost power leaves of it, in each state of the disk."""
    scene.reset()
    locations.home().mkdir()
    journal, told = Journal(locations.home()), [(0, 0)]
    monkeypatch.setattr(scene, "tell", lambda step: told.append((len(journal.states), step)))
    with journal.recording():
        scene.whole()
    assert len(journal.states) > 150
    for number, names in journal.lost():
        if number % every == 0:
            lay(locations.home(), names)
            if losses := list(scene.losses(max(step for at, step in told if at <= number))):
                yield number, losses
