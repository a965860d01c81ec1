"""H: stopped, killed or hung up. No step that was promised is lost, and going on equals not having stopped."""

import secrets
import shutil
import signal
from pathlib import Path

import pytest
import stage
from course import LINE, STEPS, after, learned, steps_done
from rows import fault, open_door
from stage import Mdctl, Play, Played

from mdctl.workspace.project import Project
from mdctl.workspace.runs import Run


def _anything(seed: int, stream: str, step: int) -> int:
    return secrets.randbits(62)


pytestmark = pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="signals of POSIX")


@pytest.fixture(scope="session")
def straight(studio: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What is learned in one go: the hashes of the final files."""
    folder = tmp_path_factory.mktemp("straight")
    shutil.copytree(studio, folder / "home")
    shutil.rmtree(folder / "home" / "projects" / "golf" / "runs")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MDCTL_HOME", str(folder / "home"))
        played = Played([*LINE, "-q"], folder / "process")
        assert played.wait() == 0, played.err
        return learned(Project.open("golf"))


@fault("H3", "J4", guard="mdctl.motion.noise.draw_seed", without=_anything)
@pytest.mark.parametrize("moments", [(2,), (6, 9)])
def test_killed_in_the_midst(
    mdctl: Mdctl, play: Play, fresh: Project, straight: dict[str, str], moments: tuple[int, ...]
) -> None:
    """After kill -9, before the first save or later, the same line gives the same files to the byte (H3, N4)."""
    for moment in moments:
        played = play(*LINE)
        played.until(after(fresh, moment))
        played.signal(signal.SIGKILL)
        assert played.wait() == -signal.SIGKILL
    assert fresh.fault is None
    assert mdctl("train", "golf").code == 0
    assert learned(fresh) == straight
    assert len(fresh.runs()) == 1


@fault("H4", "H5", guard="mdctl.cli.create.learning.polite", without=open_door)
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP], ids=lambda number: number.name)
def test_asked_to_stop(
    mdctl: Mdctl, play: Play, fresh: Project, straight: dict[str, str], number: signal.Signals
) -> None:
    """The step is finished and saved, the exit code names the signal, and the same line goes on (H4, H5, N3)."""
    played = play(*LINE, "--json")
    played.until(after(fresh, 3))
    played.signal(number)
    assert played.wait() == 128 + number
    (run,) = fresh.runs()
    done = steps_done(fresh)
    assert (run.step, run.status) == (done, f"paused · {done}/{STEPS}")
    events = [record["event"] for record in run.events()]
    assert events[-2:] == ["save", "interrupted"]
    assert '"status": "paused"' in played.out.splitlines()[-1]
    if number == signal.SIGTERM:  # from here on all are alike
        assert mdctl("train", "golf").code == 0
        assert learned(fresh) == straight


@fault("H4")
def test_stopping_is_told(play: Play, fresh: Project) -> None:
    """Lines say that it stops, where it stopped, and how to go on; stdout is the save."""
    played = play(*LINE)
    played.until(after(fresh, 1))
    played.signal(signal.SIGINT)
    assert played.wait() == 130
    assert "Stopping after this step and saving (Ctrl-C again quits now" in played.err
    assert f"Paused at step {steps_done(fresh)} of {STEPS}; it is saved." in played.err
    assert "Next:  mdctl train golf" in played.err
    assert played.out.splitlines() == [str(fresh.runs()[-1].saves()[-1].folder)]


@fault("H4")
@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="needs the names of open files")
def test_a_second_ctrl_c_leaves_at_once(mdctl: Mdctl, play: Play, golf: Project, run: Run) -> None:
    """Whoever asks twice does not wait for a slow disk; the save before stays, and nothing half is left (H4)."""
    played = play("train", "golf", "--steps", str(STEPS), before=stage.slow_saves)
    played.until(lambda: bool(list(run.folder.glob("ckpt/.tmp-*"))))
    played.signal(signal.SIGINT)
    played.until(lambda: "Stopping after this step" in played.err)
    played.signal(signal.SIGINT)
    assert played.wait() == 130
    assert "Traceback" not in played.err
    assert not list(run.folder.glob("ckpt/.tmp-*"))
    assert Run(run.folder).step == 6
    assert mdctl("train", "golf").code == 0


# --- On a terminal


@pytest.fixture
def wide(monkeypatch: pytest.MonkeyPatch) -> None:
    """A terminal of 100 columns, where there is one."""
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setenv("TERM", "xterm-256color")


@fault("H5", guard="mdctl.cli.create.learning.polite", without=open_door)
@pytest.mark.usefixtures("wide")
def test_the_terminal_goes_away(play: Play, fresh: Project) -> None:
    """When its window is closed, a training saves and ends, although nobody can be told (H5)."""
    played = play(*LINE, terminal=True)
    played.until(after(fresh, 3))
    played.hang_up()
    assert played.wait() == 129
    assert steps_done(fresh) == fresh.runs()[-1].step >= 3
    assert [record["event"] for record in fresh.runs()[-1].events()][-2:] == ["save", "interrupted"]
