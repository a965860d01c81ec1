"""H: others at the same time, and runs that meet something else than they began with."""

import shutil
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from typing import Any

import course
import pytest
import torch
from course import learned
from rows import fault, nothing, open_door
from stage import QUICK, SMALL, Mdctl, Play, Played, tree

from mdctl import child
from mdctl.media import ffmpeg
from mdctl.workspace import atomic, locations, runs
from mdctl.workspace.project import Project
from mdctl.workspace.runs import Run

Hold = Callable[[Path], None]
FAST = ("--steps", "1", "--threads", "1")


# --- Others at the same time


@fault("H6", guard="mdctl.workspace.locks._locked", without=open_door)
def test_while_it_is_trained(mdctl: Mdctl, play: Play, fresh: Project) -> None:
    """The holder is named, and nothing happens; the training goes on."""
    played = play(*course.LINE, before=course.at_leisure)
    played.until(course.after(fresh, 1))
    before = {path: content for path, content in tree(fresh.folder).items() if not path.startswith("runs/")}
    for line in ("train golf --steps 9", "rm golf", "rename golf swing", "clips rm golf 1", "copy golf twin"):
        said = mdctl(*line.split())
        assert said.code == 6, said.err
        assert f"golf is being trained by pid {played.pid}" in said.err
    assert before == {path: content for path, content in tree(fresh.folder).items() if not path.startswith("runs/")}
    played.signal(signal.SIGTERM)
    assert played.wait() == 143, played.err


@fault("H6")
def test_many_of_one_name(play: Play, films: Path, home: Path) -> None:
    """Of several `new` at once one makes the project, whole, and the others are told."""
    started = [play("new", "golf", str(films / "walk.mp4"), *SMALL, "-q") for _ in range(6)]
    codes = sorted(played.wait() for played in started)
    assert codes[0] == 0
    assert set(codes[1:]) <= {0, 2, 6}, codes  # 0: all of these clips are in it already
    (project,) = Project.all()
    assert (project.fault, len(project.clips)) == (None, 1)


def _taken(loose: Path, name: Path) -> None:
    loose.replace(name)


@fault("H6", guard="mdctl.workspace.atomic._claim", without=_taken)
def test_many_videos_at_once(play: Play, golf: Project) -> None:
    """Each gets a name of its own, with what belongs to it beside it."""
    started = [play("gen", "golf", "a monkey", "--seed", "1", *FAST, "-q") for _ in range(4)]
    assert [played.wait() for played in started] == [0] * 4
    videos = [Path(played.out.strip()) for played in started]
    assert sorted(videos) == golf.videos()
    assert len(set(videos)) == 4
    assert all(video.with_suffix(".json").is_file() for video in videos)


# --- Killed again and again


@fault("H3")
def test_killed_at_random_moments(play: Play, fresh: Project, mdctl: Mdctl, tmp_path: Path) -> None:
    """However often, the same line ends with the same files as without."""
    assert _killed(play, fresh, mdctl, tmp_path, 20, Random(0)) == 20


@fault("H3", long=True)
def test_killed_two_hundred_times(play: Play, fresh: Project, mdctl: Mdctl, tmp_path: Path) -> None:
    """The same, with patience."""
    assert _killed(play, fresh, mdctl, tmp_path, 200, Random(1)) == 200


def _killed(play: Play, project: Project, mdctl: Mdctl, folder: Path, times: int, dice: Random) -> int:
    """How often it was killed, with the same end each time."""
    fresh = folder / "fresh"
    shutil.copytree(locations.home(), fresh)
    assert mdctl(*course.LINE, "-q").code == 0
    straight, done = learned(project), 0
    while done < times:
        shutil.rmtree(locations.home())
        shutil.copytree(fresh, locations.home())
        while done < times:
            played: Played = play(*course.LINE)
            began, moment = time.monotonic(), dice.uniform(0.05, 1.5)
            while played._process.is_alive() and time.monotonic() - began < moment:
                time.sleep(0.01)
            played._process.kill()
            if played.wait() == 0:
                break
            done += 1
            assert project.fault is None
        assert mdctl("train", "golf", *course.LINE[2:]).code == 0
        assert learned(project) == straight
    return done


# --- Something else than before


@fault("H8", guard="mdctl.cli.create.previews.PATIENCE", without=10**9)
def test_a_preview_that_fails(mdctl: Mdctl, fresh: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is said, after two of them there are no more, and the training ends well."""
    tries = []

    def drawn(*_: Any, **__: Any) -> None:
        tries.append(1)
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr("mdctl.motion.sampling.sample", drawn)
    said = mdctl("train", "golf", "--steps", "8", *QUICK, "--preview-every", "2")
    assert said.code == 0, said.err
    (run,) = fresh.runs()
    assert run.finished
    assert len([record for record in run.events() if record.get("code") == "MD-PREVIEW"]) == 2
    assert len(tries) == 2


@fault("H9", guard="mdctl.cli.create.train._differences", without=lambda *_: [])
@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (("--seed", "3"), "seed: 0 in the run, 3 now"),
        (("--rank", "4"), "rank: 2 in the run, 4 now"),
        (("--model", "starter"), "in the run, starter now"),
        ((), "is not among them now"),
    ],
)
def test_a_run_that_is_asked_for_otherwise(
    mdctl: Mdctl, golf: Project, run: Run, unchanged: Hold, flags: tuple[str, ...], words: str
) -> None:
    """The differences are listed, and the old run stays as it is."""
    unchanged(run.folder)
    if not flags:
        assert mdctl("clips", "rm", "golf", "1").code == 0
    said = mdctl("train", "golf", "--steps", "9", *flags)
    assert (said.code, words in said.err, "--fresh" in said.err) == (4, True, True), said.err


@fault("H9")
def test_a_run_on_another_computer(mdctl: Mdctl, golf: Project, run: Run) -> None:
    """It goes on, and that the bits may differ is said."""
    path = run.folder / "run.toml"
    path.write_text(path.read_text().replace('torch = "', 'torch = "0.'))
    said = mdctl("train", "golf", "--steps", "7")
    assert (said.code, "not bit-identical" in said.err) == (0, True), said.err


def spoil(run: Run, place: int) -> None:
    """Turn one bit of a save."""
    path = run.saves()[place].folder / "temporal.safetensors"
    path.write_bytes(path.read_bytes()[:-1] + bytes([path.read_bytes()[-1] ^ 1]))


@fault("H10", guard="mdctl.workspace.saves.Save.verify", without=nothing)
@pytest.mark.parametrize("how", ["corrupt", "missing"])
def test_the_newest_save_is_lost(mdctl: Mdctl, golf: Project, run: Run, how: str) -> None:
    """The one before is used, that is said, the damaged one is kept aside, and the result is the same."""
    straight = run.saves()[-1].sha256
    if how == "corrupt":
        spoil(run, -1)
    else:
        shutil.rmtree(run.saves()[-1].folder)
    said = mdctl("train", "golf")
    if how == "corrupt":  # its size is right, so it looks finished until it is read
        said = mdctl("train", "golf", "--steps", "7")
    assert said.code == 0, said.err
    assert "the save of step 6 is damaged" in said.err
    assert "step 4 is used" in said.err
    assert [save.sha256 for save in run.saves() if save.step == 6] in ([straight], [])
    assert len(list(run.folder.glob("ckpt/.damaged-*"))) == (how == "corrupt")


@fault("H10", guard="mdctl.workspace.runs.Run._nothing_left", without=lambda run, lost: AssertionError())
def test_all_saves_are_lost(mdctl: Mdctl, golf: Project, run: Run) -> None:
    """It stops, and never begins at step 0 by itself."""
    for place in range(len(run.saves())):
        spoil(run, place)
    for _ in range(2):
        said = mdctl("train", "golf", "--steps", "9")
        assert (said.code, "mdctl train golf --fresh" in said.err) == (3, True), said.err
    assert [found.id for found in golf.runs()] == [run.id]


_FINISH = child._Child.finish


def _as_if_well(started: child._Child, timeout_s: float) -> child.Finished:
    return replace(_FINISH(started, timeout_s), returncode=0)


@pytest.mark.skipif(sys.platform == "win32", reason="needs signals of POSIX")
@fault("H11", guard="mdctl.child._Child.finish", without=_as_if_well)
def test_what_the_system_kills(mdctl: Mdctl, golf: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """There is no worker beside a training; a program that works for it and is killed costs its piece of work alone."""
    program = tmp_path / "ffmpeg"
    program.write_text(
        f"#!{sys.executable} -IS\nimport os, signal, sys\nfrom pathlib import Path\n"
        f"if '-encoders' in sys.argv: os.execv({ffmpeg.executable()!r}, sys.argv)\n"
        "Path('out.mp4').write_bytes(b'half of it'); os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    program.chmod(0o755)
    before = tree(golf.folder)
    monkeypatch.setenv("MDCTL_FFMPEG", str(program))
    said = mdctl("gen", "golf", "a monkey", *FAST)
    assert said.code == 5, said.err
    assert "MD-BUG" not in said.err
    assert tree(golf.folder) == before


@fault("H12", guard="mdctl.workspace.runs._next_id", without=lambda taken, now: now.strftime("%Y%m%d-%H%M%S-0000"))
def test_a_clock_that_is_set_back(fresh: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs of one second, and of an earlier one, are ordered as they were made, and have names of their own."""
    made = []
    for minute in (30, 30, 10, 59):

        class Clock(datetime):
            now_ = datetime(2026, 10, 25, 2, minute, 59, tzinfo=UTC)

            @classmethod
            def now(cls, tz: Any = None) -> Any:
                return cls.now_

        monkeypatch.setattr(runs, "datetime", Clock)
        made.append(Run.create(fresh, {}).id)
    assert made == sorted(set(made))
    assert [run.id for run in fresh.runs()] == made
    assert atomic.sweep(fresh.folder / "runs") == []
