"""How mdctl speaks: in pipes, on terminals, and of things whose names try to take a terminal over."""

import io
import json
import shutil
from pathlib import Path

import pytest
from stage import QUICK, SMALL, Mdctl, Play

from mdctl.cli.app import main
from mdctl.cli.face import Manners, put, take_manners
from mdctl.cli.lines import clock
from mdctl.errors import UsageFault
from mdctl.workspace import locations
from mdctl.workspace.project import Project

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


def test_hostile_words_are_kept(evil: Project) -> None:
    """Nothing of them is lost where they are stored."""
    assert evil.record.caption == " ".join(HOSTILE.split())
    assert evil.record.title == HOSTILE
    assert r"\xff.mp4" in evil.clips[0].name


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


def test_colours_can_be_declined(play: Play, golf: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """NO_COLOR and --no-color take the colours; a table stays a table."""
    monkeypatch.setenv("TERM", "xterm-256color")
    coloured = play("show", "nothing", terminal=True)
    declined = play("show", "nothing", "--no-color", terminal=True)
    assert (coloured.wait(), declined.wait()) == (3, 3)
    assert b"\x1b[1;31m" in coloured.screen
    assert b"31m" not in declined.screen
    table = play("list", terminal=True)
    assert table.wait() == 0
    assert b"LAST USED" in table.screen


def test_a_question_on_a_terminal(play: Play, films: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`new` asks what happens in the clips; Enter takes the guess, --no-input does not ask."""
    monkeypatch.setenv("TERM", "xterm-256color")
    asked = play("new", "golf", str(films / "walk.mp4"), *SMALL, terminal=True)
    asked.until(lambda: b"What happens in the clips?" in asked.screen)
    asked.type("a red square is walking\n")
    assert asked.wait() == 0
    assert Project.open("golf").record.caption == "a red square is walking"
    guessed = play("new", "walking", str(films / "walk.mp4"), *SMALL, terminal=True)
    guessed.until(lambda: b"What happens in the clips?" in guessed.screen)
    guessed.type("\x04")
    assert guessed.wait() == 0
    assert Project.open("walking").record.caption == "a person is walking"
    silent = play("new", "third", str(films / "walk.mp4"), *SMALL, "--no-input", terminal=True)
    assert silent.wait() == 0
    assert b"What happens" not in silent.screen


def test_a_long_path_is_one_line(mdctl: Mdctl, golf: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the width that is claimed, a path in a pipe is whole (B4)."""
    for variable, value in (("COLUMNS", "20"), ("FORCE_COLOR", "1"), ("TERM", "xterm")):
        monkeypatch.setenv(variable, value)
    long = tmp_path / ("long" * 20) / ("name" * 20) / "home"
    shutil.copytree(golf.folder.parents[1], long)
    said = mdctl("path", "golf", "--home", str(long))
    assert said.lines == [str(long / "projects" / "golf")]
    assert "\x1b" not in mdctl("list").out


def test_a_stream_that_lacks_signs() -> None:
    """What an encoding cannot write is spelt out instead of being a fault (B5)."""
    stream = io.TextIOWrapper(io.BytesIO(), encoding="cp1252")
    put(stream, "trained · 6 \N{MONKEY}")
    stream.seek(0)
    assert stream.read() == "trained · 6 \\U0001f412\n"


def test_flags_of_every_command() -> None:
    """They are taken wherever they stand, up to `--`."""
    manners, rest = take_manners(["-q", "gen", "golf", "--json", "--home", "x", "-y", "--", "--plain", "-q"])
    assert rest == ["gen", "golf", "--", "--plain", "-q"]
    assert manners == Manners(json=True, quiet=True, yes=True, home="x")
    with pytest.raises(UsageFault):
        take_manners(["list", "--home="])


@pytest.mark.parametrize(("seconds", "words"), [(0.4, "0s"), (61, "1m01s"), (3600, "1h00m"), (-5, "0s")])
def test_times_as_a_person_says_them(seconds: float, words: str) -> None:
    """Seconds, minutes and hours."""
    assert clock(seconds) == words
