"""Crashes and full disks, at every single operation on the file system.

A child process runs a scenario in which the Nth change does not happen: the process ends there, as after `kill -9`, or
the disk is full from there on. Then the survivors look at the workspace. A writer without care must not pass.
"""

import errno
import os
import shutil
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from hashlib import sha256
from itertools import count, islice
from pathlib import Path
from typing import Any

import pytest

from mdctl.errors import NoSpace
from mdctl.workspace import atomic, locations
from mdctl.workspace.project import Project
from mdctl.workspace.records import NewClip
from mdctl.workspace.runs import Run
from mdctl.workspace.saves import OPTIMIZER

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")

GROWING = ("open", "write", "mkdir", "link")
CHANGES = (*GROWING, "replace", "rename", "unlink", "rmdir")
STEPS = (30, 50, 60, 70)
KILLED, FULL, SURVIVED = 137, 7, 100


def strike(number: int, fault: Callable[[], None]) -> list[str]:
    """Let the Nth and all later changes of the file system be faults; a `write` is done by half before.

    A full disk hinders only what takes room. Gives a list that is filled with the names of what was struck.
    """
    operations, struck = count(1), list[str]()

    def watched(name: str) -> Callable[..., Any]:
        real = getattr(os, name)

        def operation(*args: Any, **more: Any) -> Any:
            changes = name != "open" or args[1] & (os.O_CREAT | os.O_TRUNC)
            if changes and next(operations) >= number > 0:
                struck.append(name)
                if name == "write":
                    real(args[0], args[1][: len(args[1]) // 2])
                fault()
            return real(*args, **more)

        return operation

    for name in GROWING if fault is overflow else CHANGES:
        setattr(os, name, watched(name))
    return struck


def die() -> None:
    """End at once, as after `kill -9`."""
    os._exit(KILLED)


def overflow() -> None:
    """Be full."""
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def in_child(work: Callable[[], None], number: int = 0, fault: Callable[[], None] = die) -> int:
    """Run something in a process of its own, with faults from the Nth change on; its exit status."""
    if not (pid := os.fork()):
        code = 1
        try:
            struck = strike(number, fault)
            work()
            code = SURVIVED if struck else 0
        except NoSpace as told:
            code = told.exit_code
        except BaseException:
            traceback.print_exc()
            raise
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def weights(step: int) -> bytes:
    """What was learned by a step."""
    return b"learned %d " % step * 20


class Scene:
    """A project of two clips, trained with four saves, in a home of its own."""

    def __init__(self, folder: Path) -> None:
        self.originals = {folder / f"{name}.mp4": name.encode() * 50 for name in "ab"}
        self.kept = folder / "kept"  # what the trainer was told is safe
        for path, content in self.originals.items():
            path.write_bytes(content)

    def reset(self) -> None:
        """Begin anew."""
        shutil.rmtree(locations.home(), ignore_errors=True)
        self.kept.write_text("0")

    def new(self) -> None:
        """`mdctl new`."""
        clips = [NewClip(path, sha256(data).hexdigest(), ".mp4", path.name) for path, data in self.originals.items()]
        Project.create("golf", caption="a person is playing golf", clips=clips)

    def train(self) -> None:
        """`mdctl train`: the unfinished run goes on, else one begins."""
        with Project.open("golf").locked("train") as project:
            project.set("model", "starter")
            unfinished = [run for run in project.runs() if not run.finished]
            run = unfinished[-1] if unfinished else Run.create(project, {"train": {"steps": STEPS[-1]}})
            latest = run.latest(resumable=True)
            for step in STEPS:
                if step > (latest.step if latest else 0):
                    run.keep(step, {"temporal.safetensors": weights(step), OPTIMIZER: b"m" * 99}, {"step": step})
                    told = os.open(self.kept, os.O_WRONLY)
                    REAL_WRITE(told, b"%d" % step)
                    os.close(told)
                    run.note("save", step=step)

    def whole(self) -> None:
        """All of it, from nothing or from where it stands."""
        if not Project.all():
            self.new()
        if not any(run.finished for run in Project.open("golf").runs()):
            self.train()

    def losses(self) -> Iterator[str]:
        """What is wrong with what a survivor finds."""
        for path, content in self.originals.items():
            if path.read_bytes() != content:
                yield f"{path.name} was changed"
        kept = int(self.kept.read_text())
        for project in Project.all():
            if project.fault:
                yield f"{project.fault}"
                continue
            for clip in project.clips:
                if sha256(project.path_of(clip).read_bytes()).hexdigest() != clip.sha256:
                    yield f"{clip.file} is not whole"
            with project.locked("train"):
                pass
            runs = project.runs()
            told: list[object] = []
            latest = runs[-1].latest(resumable=True, report=told.append) if runs else None
            if told:
                yield f"damaged: {told}"
            if (latest.step if latest else 0) < kept:
                yield f"{kept} was kept, {latest} is found"
            if latest and latest.read("temporal.safetensors") != weights(latest.step):
                yield f"{latest} is not what was learned"
            for save in runs[-1].saves() if runs else ():
                if save.read("temporal.safetensors") != weights(save.step):
                    yield f"{save} is not what was learned"
        if kept and not Project.all():
            yield "the project is gone"
        atomic.sweep(locations.projects())
        drafts = [path for path in locations.home().rglob(".tmp-*") if ".locks" not in path.parts]
        if drafts and Project.all():
            yield f"left behind: {drafts}"


REAL_WRITE = os.write


@pytest.fixture
def scene(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Scene:
    """The scene, played once; nothing is synced, for here the machine itself goes on."""
    monkeypatch.setattr(os, "fsync", lambda _: None)
    scene = Scene(tmp_path)
    scene.reset()
    scene.whole()
    return scene


def survivors(scene: Scene, fault: Callable[[], None]) -> Iterator[tuple[int, int, list[str]]]:
    """For each change at which a fault can come: its number, how the process ended, and what is lost."""
    for number in count(1):
        scene.reset()
        code = in_child(scene.whole, number, fault)
        if code == 0:
            return
        yield number, code, list(scene.losses())


def test_the_scene_without_a_fault(scene: Scene) -> None:
    """The scenario itself ends well, and prunes and lightens on its way."""
    assert list(scene.losses()) == []
    (run,) = Project.open("golf").runs()
    assert {save.step: save.has_optimizer for save in run.saves()} == {50: False, 60: True, 70: True}


def test_a_crash_at_any_operation_loses_nothing(scene: Scene) -> None:
    """After every one of them the workspace opens clean, the newest kept save loads, and the work goes on (H1, N2)."""
    number = 0
    for number, code, lost in survivors(scene, die):
        assert (number, code, lost) == (number, KILLED, [])
        scene.whole()
        assert Project.open("golf").runs()[-1].finished, number
    assert number > 100


def test_a_full_disk_at_any_operation_loses_nothing(scene: Scene) -> None:
    """From whichever change on the disk is full, it is told so, and what was kept stays (I1, N2, N6)."""
    number = 0
    for number, code, lost in survivors(scene, overflow):
        assert (number, code, lost) == (number, FULL, [])
    assert number > 60


def test_a_writer_without_care_is_caught(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """These tests can fail: plain writes into the final place lose saves and projects."""

    @contextmanager
    def plain_folder(path: Path) -> Iterator[Path]:
        path.mkdir(parents=True)
        yield path

    def plain_write(path: Path, data: bytes | str) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        os.write(descriptor, data.encode() if isinstance(data, str) else data)
        os.close(descriptor)

    monkeypatch.setattr(atomic, "folder", plain_folder)
    monkeypatch.setattr(atomic, "write", plain_write)
    lost = [losses for _, _, losses in islice(survivors(scene, die), 40) if losses]
    assert len(lost) > 5
