"""`--wait`: whoever wants to change a project that another process changes may wait for it."""

import shutil
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path
from threading import Event, Thread, Timer
from typing import Any

import pytest
from stage import Mdctl, Play, tree

from mdctl.cli.create import demo
from mdctl.cli.turns import patience
from mdctl.errors import Busy
from mdctl.workspace import locks
from mdctl.workspace.project import Project
from mdctl.workspace.runs import Run

Hold = Callable[[Path], None]


@contextmanager
def held(
    project: Project, for_s: float, at_last: Callable[[], object] = lambda: None, until: Event | None = None
) -> Iterator[None]:
    """Somebody else trains a project for a while or until something happens, and does something at last."""
    began, done = Event(), until or Event()

    def hold() -> None:
        with project.locked("train"):
            began.set()
            done.wait()
            at_last()

    other, end = Thread(target=hold), Timer(for_s, done.set)
    other.start()
    assert began.wait(60)
    end.start()
    try:
        yield
    finally:
        end.cancel()
        done.set()
        other.join()


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("train golf --steps 6", 0),
        ("clips set golf 1 --caption other", 0),
        ("clips rm golf 1", 0),
        ("rename golf swing", 0),
        ("copy golf twin", 0),
        ("rm golf", 0),
        ("pin golf --checkpoint 4", 0),
        ("verify golf", 0),
    ],
)
def test_it_waits_for_its_turn(
    mdctl: Mdctl, golf: Project, line: str, code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whom it waits for is told once, and then it is done."""
    asked, who = Event(), locks._busy

    def asking(*about: Any) -> Busy:
        found = who(*about)
        asked.set()
        return found

    monkeypatch.setattr(locks, "_busy", asking)
    with held(golf, 60, until=asked):
        said = mdctl(*line.split(), "--wait", "1h")
    assert said.code == code, said.err
    assert said.err.count("golf is being trained by pid") == 1
    assert "Waiting for it, 1 h at most" in said.err


def test_it_adds_a_clip_in_its_turn(mdctl: Mdctl, golf: Project, films: Path) -> None:
    """What the other has changed meanwhile counts."""
    with held(golf, 0.3):
        assert mdctl("clips", "add", "golf", str(films / "walk.mp4"), "--trim", "0-1", "--wait", "90s").code == 0
    assert len(Project.open("golf").clips) == 3


def test_it_pins_in_its_turn(mdctl: Mdctl, golf: Project, run: Run) -> None:
    """The last save is what the other has left as such."""
    with held(golf, 0.5, lambda: shutil.rmtree(run.saves()[-1].folder)):
        assert mdctl("pin", "golf", "--checkpoint", "last", "--wait", "1h").code == 0
    assert Project.open("golf").record.pin["checkpoint"] == "4"


def test_who_cannot_wait_is_not_told_to(mdctl: Mdctl, home: Path) -> None:
    """`demo` has no such option."""
    clips = sorted(Path(str(files("mdctl.motion.starter").joinpath("samples"))).glob("orbiting_*.mp4"))
    assert mdctl("new", demo.NAME, *map(str, clips), "--caption", demo.CAPTION).code == 0
    with held(Project.open(demo.NAME), 600):
        said = mdctl("demo")
    assert (said.code, "wait for it" in said.err, "--wait" in said.err) == (6, True, False), said.err


def test_it_does_not_wait_for_ever(mdctl: Mdctl, golf: Project, unchanged: Hold) -> None:
    """When the time is up the holder is named (exit 6), and so is the option where it was not given."""
    unchanged(golf.folder)
    with held(golf, 600):
        said = mdctl("rm", "golf", "--wait", "1s")
        assert (said.code, "waited 1 s for it" in said.err) == (6, True), said.err
        assert said.err.count("golf is being trained by pid") == 2
        said = mdctl("rm", "golf")
        assert (said.code, "--wait 10m" in said.err) == (6, True), said.err


@pytest.mark.skipif(sys.platform == "win32", reason="needs signals of POSIX")
def test_ctrl_c_gives_up(play: Play, golf: Project) -> None:
    """It ends with 130, and nothing is changed."""
    before = tree(golf.folder)
    with golf.locked("train"):
        played = play("train", "golf", "--steps", "9", "--wait", "10m")
        played.until(lambda: "Waiting for it, 10 min at most" in played.err)
        played.signal(signal.SIGINT)
        assert played.wait() == 130, played.err
    assert tree(golf.folder) == before
    assert "Traceback" not in played.err


@pytest.mark.parametrize(("text", "seconds"), [("90s", 90), ("10m", 600), ("2h", 7200), ("1d", 86400), ("7200s", 7200)])
def test_lengths_of_time(text: str, seconds: float) -> None:
    """A number with its unit."""
    assert patience(text) == seconds


@pytest.mark.parametrize("text", ["10", "0m", "-1m", "soon", "", "1.5h", "9999999m", "\u0661m"])
def test_what_is_no_length_of_time(mdctl: Mdctl, golf: Project, text: str) -> None:
    """It is refused with an example (exit 2)."""
    said = mdctl("rm", "golf", f"--wait={text}")
    assert (said.code, "such as 90s, 10m or 2h" in said.err) == (2, True), said.err
    assert golf.folder.is_dir()
