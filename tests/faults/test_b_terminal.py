"""B: terminals and pipes. Whatever a text holds, it is shown and does nothing, and a terminal is left as it was."""

import fcntl
import json
import re
import shutil
import signal
import struct
import termios
from pathlib import Path

import course
import pytest
from course import HIDDEN, LINE, SHOWN, after, steps_done
from rich.text import Text
from rows import as_given, fault, open_door, yes
from stage import QUICK, SMALL, Mdctl, Play

from mdctl.cli import app
from mdctl.cli.app import main
from mdctl.workspace import locations
from mdctl.workspace.project import Project


def _marked_up(line: str, style: str = "", limit: int = 2000) -> Text:
    return Text.from_markup(line[:limit], style=style)


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """A terminal of 100 columns, where there is one."""
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setenv("TERM", "xterm-256color")


HOSTILE = "[/] [red]x[/red] :smile: \x1b[2J\x1b]0;pwned\x07 \x9b31m \u202egnp \u200b\\"
"""Markup, an emoji's name, a cleared screen, a window title, a C1 control, a turned line, nothing, a backslash."""


FORBIDDEN = [part.encode() for part in ("\x1b[2J", "\x1b]0", "\x07", "\x9b", "\u202e", "\u200b")]


COMMANDS = (
    ["list"],
    ["show", "evil"],
    ["path", "evil"],
    ["train", "evil", "-n"],
    ["train", "evil"],
    ["gen", "evil", HOSTILE, "-n"],
    ["gen", "evil", HOSTILE, "--steps", "1", "--threads", "1", "--negative", HOSTILE],
    ["gen", "evil", "x", "--checkpoint", HOSTILE],
    ["gen", "evil", "x", "-o", f"{HOSTILE}.avi".replace("/", "")],
    ["templates", "list"],
    ["templates", "show", "evil"],
    ["templates", "copy", "evil", HOSTILE],
    ["train", "evil", "--template", HOSTILE],
    ["train", "evil", "--model", HOSTILE],
    ["show", HOSTILE],
    [HOSTILE],
)


@pytest.fixture(scope="session")
def evil_home(tmp_path_factory: pytest.TempPathFactory, studio: Path, films: Path, model: Path) -> Path:
    """A home whose project has hostile words in every field, clip and template, and is trained."""
    folder = tmp_path_factory.mktemp("evil")
    clip = folder / (HOSTILE.replace("/", "") + "\udcff.mp4")
    clip.write_bytes((films / "walk.mp4").read_bytes())
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MDCTL_HOME", str(folder / "home"))
        line = ["new", "evil", str(clip), "--caption", HOSTILE, "--model", str(model), *SMALL, "-q"]
        assert main(line) == 0
        Project.open("evil").set("title", HOSTILE)
        assert main(["train", "evil", "--steps", "1", *QUICK, "-q"]) == 0
        locations.templates().mkdir(parents=True)
        about = json.dumps(HOSTILE)
        (locations.templates() / "evil.toml").write_text(f"about = {about}\n[gen]\nnegative = {about}\n")
    return folder / "home"


@pytest.fixture
def evil(evil_home: Path, home: Path) -> Project:
    """That project, in this test's own home."""
    shutil.copytree(evil_home, home)
    return Project.open("evil")


@fault("B1")
def test_hostile_words_are_kept(evil: Project) -> None:
    """Nothing of them is lost where they are stored."""
    assert evil.record.caption == " ".join(HOSTILE.split())
    assert evil.record.title == HOSTILE
    assert r"\xff.mp4" in evil.clips[0].name


@fault("B1", "B2", guard=("mdctl.cli.lines.safe", "mdctl.cli.face.safe"), without=as_given)
@pytest.mark.parametrize("form", [(), ("--plain",), ("-q",), ("--json",)], ids=lambda form: "".join(form) or "piped")
def test_hostile_words_in_a_pipe(mdctl: Mdctl, evil: Project, form: tuple[str, ...]) -> None:
    """No command lets them through, in any form; what they are can still be read (B1, B2)."""
    shown = ""
    for line in COMMANDS:
        said = mdctl(*form, *line)
        assert said.code in (0, 2, 3, 4), (line, said.err)
        told = (said.out + said.err).encode("utf-8", "surrogateescape")
        assert b"\x1b" not in told, line
        assert not [part for part in FORBIDDEN if part in told], line
        shown += said.out + said.err
    if form in ((), ("--plain",)):
        assert "[/] [red]x[/red] :smile: \\x1b[2J" in shown
        assert r"\u202egnp" in shown


def _every_command() -> list[list[str]]:
    """A line for every command that there is, with hostile words where a name or a text is expected."""
    lines, commands = [], app.commands().items()
    for name, command in commands:
        for words in [[name, inner] for inner in getattr(command, "commands", ())] or [[name]]:
            lines += [[*words, "--", HOSTILE], [*words, "--", "evil", HOSTILE], [*words, "--", HOSTILE, HOSTILE]]
            if name not in SHOWING_OR_LONG:
                lines.append([*words, "evil"])
    return lines


SHOWING_OR_LONG = ("open", "gallery", "demo", "bench", "rm", "completion", "doctor", "config", "models")
"""Commands that would open a window, take long, or take away what the others need, given nothing but a name."""


@fault("B1", "B2", guard=("mdctl.cli.lines.safe", "mdctl.cli.face.safe"), without=as_given)
def test_every_command_meets_hostile_words(
    mdctl: Mdctl, evil: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A new command cannot forget it: the lines are made of the commands that there are."""
    monkeypatch.chdir(tmp_path)  # some write into the folder where they are called
    for line in _every_command():
        said = mdctl(*line)
        assert said.code in (0, 2, 3, 4, 5, 10), (line, said.err)
        told = (said.out + said.err).encode("utf-8", "surrogateescape")
        assert not [part for part in FORBIDDEN if part in told], line
        assert "MD-BUG" not in said.err, (line, said.err)


@fault("B1", "B2", guard="mdctl.cli.display.text", without=_marked_up)
def test_hostile_words_on_a_terminal(play: Play, evil: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a terminal too: colours are mdctl's own, everything else is spelt out (B1, B2)."""
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setenv("TERM", "xterm-256color")
    lines = [["list"], ["show", "evil"], ["gen", "evil", HOSTILE, "--steps", "1", "--threads", "1"], [HOSTILE]]
    lines += [["train", "evil", "--steps", "2"], ["templates", "list"], ["show", HOSTILE]]
    lines += [["new", "worse", evil.clips[0].source, "--caption", HOSTILE, *SMALL]]
    shown = b""
    for line in lines:
        played = play(*line, terminal=True)
        assert played.wait() in (0, 2, 3, 4), played.screen
        assert not [part for part in FORBIDDEN if part in played.screen], line
        assert b"Traceback" not in played.screen
        shown += played.screen
    assert b"[/] [red]x[/red] :smile: \\x1b[2J" in shown


# --- Forms


@fault("B4", guard=("mdctl.cli.display.NARROW", "mdctl.cli.app.draws"), without=(0, yes))
def test_a_training_in_a_narrow_terminal(play: Play, golf: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """Below 80 columns there are lines instead of a panel; with --plain and TERM=dumb no sequences at all (B4)."""
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "60")
    narrow = play("train", "golf", "--steps", "7", terminal=True)
    assert narrow.wait() == 0
    assert "saved=7" in narrow.screen.decode()
    assert "╭" not in narrow.screen.decode()
    plain = play("train", "golf", "--steps", "8", "--plain", terminal=True)
    assert plain.wait() == 0
    assert b"\x1b" not in plain.screen
    monkeypatch.setenv("TERM", "dumb")
    dumb = play("train", "golf", "--steps", "9", terminal=True)
    assert dumb.wait() == 0
    assert b"\x1b" not in dumb.screen
    assert b"saved=9" in dumb.screen


@fault("B4", guard=("mdctl.cli.app.draws", "mdctl.cli.display.draws"), without=yes)
def test_a_long_path_is_one_line(mdctl: Mdctl, golf: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the width that is claimed, a path in a pipe is whole (B4)."""
    for variable, value in (("COLUMNS", "20"), ("FORCE_COLOR", "1"), ("TERM", "xterm")):
        monkeypatch.setenv(variable, value)
    long = tmp_path / ("long" * 20) / ("name" * 20) / "home"
    shutil.copytree(golf.folder.parents[1], long)
    said = mdctl("path", "golf", "--home", str(long))
    assert said.lines == [str(long / "projects" / "golf")]
    assert "\x1b" not in mdctl("list").out


@fault("B4", guard=("mdctl.cli.app.draws", "mdctl.cli.display.draws"), without=yes)
@pytest.mark.parametrize("columns", ["20", "40", "120"])
def test_a_pipe_gets_plain_rows(mdctl: Mdctl, golf: Project, monkeypatch: pytest.MonkeyPatch, columns: str) -> None:
    """Whatever a terminal would be told, `list` is TSV, `--json` is JSON, and `show` has a line for each fact."""
    for variable, value in (("COLUMNS", columns), ("FORCE_COLOR", "1"), ("CLICOLOR_FORCE", "1"), ("NO_COLOR", "")):
        monkeypatch.setenv(variable, value)
    golf.set("title", "word " * 30)
    (line,) = mdctl("list").lines
    assert line.startswith("golf\t")
    assert all("\t" in line for line in mdctl("show", "golf").lines)
    assert json.loads(mdctl("show", "golf", "--json").out)["name"] == "golf"
    assert "\x1b" not in mdctl("list").out + mdctl("show", "golf").out


@pytest.mark.usefixtures("terminal")
@fault("B4")
@pytest.mark.parametrize("columns", [120, 80, 40])
@pytest.mark.parametrize("plainly", [(), ("--plain",), ("--no-color",)], ids=["", "plain", "no-color"])
def test_screens_of_every_width(
    play: Play, golf: Project, monkeypatch: pytest.MonkeyPatch, columns: int, plainly: tuple[str, ...]
) -> None:
    """A table keeps to its columns, and says all it has to say."""
    monkeypatch.setenv("COLUMNS", str(columns))
    played = play("list", *plainly, terminal=True)
    assert played.wait() == 0
    assert b"golf" in played.screen
    assert b"31m" not in played.screen
    assert (b"\x1b" in played.screen) <= (not plainly or "--no-color" in plainly)
    if "--plain" not in plainly:
        shown = re.sub(r"\x1b\[[\d;?]*[a-zA-Z]", "", played.screen.decode())
        assert max(map(len, shown.split("\r\n"))) <= columns


# --- A terminal is given back


@pytest.mark.usefixtures("terminal")
@fault("B7", guard="mdctl.cli.create.learning.polite", without=open_door)
def test_ctrl_c_on_a_terminal(play: Play, fresh: Project) -> None:
    """The panel is shown, Ctrl-C is answered, and the cursor is there again (B7, N10)."""
    played = play(*LINE, terminal=True)
    played.until(after(fresh, 3))
    played.type("\x03")
    assert played.wait() == 130
    screen = played.screen.decode()
    for words in (
        "golf · ",
        "training",
        "motion",
        "appearance",
        "saved",
        "Stopping after this step",
        "Paused at step",
        "saves; mdctl train golf goes on",
    ):
        assert words in screen
    assert 0 < played.screen.count(HIDDEN) <= played.screen.count(SHOWN)
    assert played.screen.rindex(SHOWN) > played.screen.rindex(HIDDEN)
    assert steps_done(fresh) == fresh.runs()[-1].step


@pytest.mark.usefixtures("terminal")
@fault("B7", guard="mdctl.cli.signals.unwinding", without=open_door)
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=lambda number: number.name)
def test_gen_is_ended_on_a_terminal(play: Play, golf: Project, number: signal.Signals) -> None:
    """A video in the making is given up, the cursor is there again, and nothing half is left (B7)."""
    played = play("gen", "golf", "a red square", "--steps", "400", "--threads", "1", terminal=True)
    played.until(lambda: b"/400" in played.screen)
    played.signal(number)
    assert played.wait() == 128 + number
    assert played.screen.rindex(SHOWN) > played.screen.rindex(HIDDEN)
    assert b"Traceback" not in played.screen
    assert golf.videos() == []
    assert not list(golf.folder.rglob("*.hold"))


@pytest.mark.usefixtures("terminal")
@fault("B7")
def test_a_picture_that_breaks(play: Play, fresh: Project) -> None:
    """A fault in what draws ends in a sentence, and the cursor is there again."""
    played = play(*LINE, terminal=True, before=course.failing_view)
    assert played.wait() == 1
    assert played.screen.rindex(SHOWN) > played.screen.rindex(HIDDEN)
    assert b"this is a fault of mdctl itself" in played.screen
    assert b"Traceback" not in played.screen
    assert fresh.runs()[-1].step == 5, "the save was whole before it was shown"


@pytest.mark.usefixtures("terminal")
@fault("B7")
def test_a_window_that_shrinks(play: Play, fresh: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """Twenty columns and five rows in the midst of a training: it goes on, and the cursor comes back."""
    monkeypatch.delenv("COLUMNS")
    played = play(*LINE, terminal=True)
    played.until(after(fresh, 2))
    fcntl.ioctl(played._screen, termios.TIOCSWINSZ, struct.pack("HHHH", 5, 20, 0, 0))
    played.signal(signal.SIGWINCH)
    assert played.wait() == 0
    assert played.screen.count(HIDDEN) <= played.screen.count(SHOWN)
    assert fresh.runs()[-1].finished


@fault("B7")
def test_without_a_terminal_there_are_lines(mdctl: Mdctl, fresh: Project) -> None:
    """No sequence goes into a log file."""
    said = mdctl("train", "golf", "--steps", "2", *QUICK)
    assert said.code == 0
    assert "saved=2" in said.err
    assert "\x1b" not in said.out + said.err
