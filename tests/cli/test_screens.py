"""What a terminal shows: whole words and whole commands at any width, a panel that says all, and something at once."""

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from stage import SMALL, Mdctl, Play

from mdctl.cli import app, display, groups
from mdctl.cli.display import Screen
from mdctl.cli.face import Manners
from mdctl.cli.groups import sentence
from mdctl.cli.lines import LineView
from mdctl.cli.sparks import smoothed, sparkline
from mdctl.cli.streams import SLOW, WAIT
from mdctl.errors import NotFound
from mdctl.workspace.project import Project

Shown = Callable[[int], Screen]
WORDS = "the base model does not read these words of the prompt: doing, near the shore"
COLUMNS = ["#", "CLIP", "LENGTH", "WILL USE", ""]
ROWS = [["1", "a rather long name of a clip.mp4", "0:02.0", "16 frames, 0.0-2.0 s", "ok"]]


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> Shown:
    """A face as wide as is asked."""

    def make(width: int) -> Screen:
        monkeypatch.setenv("COLUMNS", str(width))
        return Screen(Manners())

    return make


def told(capsys: pytest.CaptureFixture[str]) -> list[str]:
    """The lines that came since."""
    return [line.rstrip() for line in capsys.readouterr().err.splitlines()]


# --- Words and tables.


@pytest.mark.parametrize("width", [40, 80])
def test_words_are_not_cut(shown: Shown, capsys: pytest.CaptureFixture[str], width: int) -> None:
    """A sentence goes on below its beginning, with every word whole."""
    for tell in (Screen.say, Screen.warn, Screen.done):
        tell(shown(width), WORDS)
        lines = told(capsys)
        assert max(map(len, lines)) <= width
        assert " ".join(lines).removeprefix("! ").removeprefix("✓ ").split() == WORDS.split()
        assert tell is Screen.say or all(line.startswith("  ") for line in lines[1:])


def test_what_is_to_be_copied_stays_whole(shown: Shown, capsys: pytest.CaptureFixture[str]) -> None:
    """A command and a path are one line, however long, and the code of an error stands apart from them."""
    command, path = f'mdctl gen golf "{WORDS}" --strength 1.2', f"/home/{'x' * 60}/golf.mp4"
    screen = shown(40)
    screen.done("Done.", [command])
    screen.say(f"It is here: {path}")
    screen.say(f"Stronger:  {command}")
    screen.fail(NotFound("there is no 'x'.", why=WORDS, fix=("look", command), code="MD-NOTFOUND"))
    lines = told(capsys)
    assert [line.split("  ")[-1].strip() for line in lines if line.endswith(command)] == [command] * 3
    assert path in lines  # and begins at the edge, so that it is taken whole
    assert lines[-1].strip() == "MD-NOTFOUND"
    assert max(len(line) for line in lines if command not in line and path not in line) <= 40
    screen.fail(NotFound("there is no 'x'.", code="MD-NOTFOUND"))
    *_, error, code = told(capsys)
    assert (error, code.split()[0]) == ("error: there is no 'x'.", "MD-NOTFOUND")


def test_tables_at_every_width(shown: Shown, capsys: pytest.CaptureFixture[str]) -> None:
    """Cells are wrapped between words; where there is no room for columns, a row is a few lines of its own."""
    for width, rows in ((120, 1), (70, 2), (30, 3)):
        shown(width).table("Checked 1 clip", COLUMNS, ROWS)
        lines = told(capsys)
        assert max(map(len, lines)) <= width
        assert len(lines) >= 1 + rows
        assert set(" ".join(ROWS[0]).split()) <= set(" ".join(lines).split())
    assert lines[1:3] == ["1  a rather long name of a", "clip.mp4"]
    assert "length 0:02.0" in lines[3]


def test_one_long_name_does_not_break_a_table(shown: Shown, capsys: pytest.CaptureFixture[str]) -> None:
    """It stands above what is told of it, whole, and all other rows stay one line each."""
    names = [f"{'x' * 40}.mp4", *(f"{n}.mp4" for n in range(5))]
    rows = [[str(n), name, "0:02.0", "16 frames, 0.0-2.0 s", "ok"] for n, name in enumerate(names, 1)]
    shown(80).table("Checked 6 clips", COLUMNS, rows)
    _, head, name, first, *others = told(capsys)
    assert name == f"1  {names[0]}"
    assert first.index("0:02.0") == head.index("LENGTH")
    assert [line.split()[1] for line in others] == names[1:]


def test_colours_are_the_terminals_own(play: Play, films: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A bar takes none that is fixed, which would be right on one ground and wrong on the other."""
    monkeypatch.setenv("TERM", "xterm-256color")
    made = play("new", "golf", str(films / "walk.mp4"), *SMALL, "--no-input", terminal=True)
    assert made.wait() == 0
    assert b"\x1b[32m" in made.screen
    assert not re.search(rb"\x1b\[[\d;]*[34]8;[25];", made.screen)


def test_a_log_as_wide_as_the_terminal(play: Play, golf: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """What does not fit goes on below the words, and none of them is cut."""
    monkeypatch.setenv("TERM", "xterm-256color")
    for width in (40, 80):
        monkeypatch.setenv("COLUMNS", str(width))
        played = play("log", "golf", terminal=True)
        assert played.wait() == 0
        lines = played.screen.decode().replace("\r", "").splitlines()
        assert max(len(line) for line in lines if "/" not in line) <= width
        assert any("learning_rate" in line for line in lines)


# --- The panel.


def step(number: int, of: int, eta_s: float | None) -> dict[str, object]:
    """What a training tells of a step."""
    loss = {"motion": 0.1 * (number % 3), "appearance": 0.2}
    return {"step": number, "of": of, "loss": loss, "s_per_step": 1.79, "memory_gb": 9.8, "eta_s": eta_s}


def drawn(screen: Screen, view: LineView) -> None:
    """Show the panel as it is in the midst of a training."""
    assert isinstance(view, display._Panel)
    screen._err.print(view.drawn())


@pytest.mark.parametrize("width", [80, 120])
def test_the_panel_says_all(shown: Shown, capsys: pytest.CaptureFixture[str], width: int) -> None:
    """Steps, pace, time left and of the day, both losses, memory, saves, previews, and what Ctrl-C does."""
    screen = shown(width)
    with screen.training("golf · starter · seed 0", "cpu", 300, every=50) as view:
        for number in range(1, 61):
            view.step(step(number, 300, 430.0))
        view.saved(50)
        view.preview({"step": 50, "path": "x", "measures": {"learned": 0.5, "leaked": 0.25}})
        drawn(screen, view)
    lines = told(capsys)
    text = "\n".join(lines)
    assert max(map(len, lines)) <= width - len("^C") - 1  # what Ctrl-C leaves on the screen must not break a line
    for words in (
        "60/300   20 %",
        "~7m10s left · ready about ",
        "1.79 s/step",
        "9.8 GB",
        "step 50 · ",
        "50 ✓   next at 100",
        "motion learned ▁ 0.50   appearance leaked ▁ 0.25",
        "Ctrl-C    stops after this step and saves",
    ):
        assert words in text
    assert re.search(r"loss +motion [▁-█]{10,} 0\.\d{3}   appearance [▁-█]{10,} 0\.200", text)


def test_the_panel_before_it_knows_more(shown: Shown, capsys: pytest.CaptureFixture[str]) -> None:
    """It is there before the first step, and says when the look comes first; without previews it names none."""
    screen = shown(80)
    with screen.training("golf", "cpu", 300) as view:
        drawn(screen, view)
    text = "\n".join(told(capsys))
    assert "0/300   0 %" in text
    assert "not yet" in text
    assert "next at" not in text
    assert "judge by the previews" not in text  # there will be none
    with screen.training("golf", "cpu", 300, every=200) as view:
        view.step(step(250, 300, None))
        view.drawing("base model 24/30")
        drawn(screen, view)
    text = "\n".join(told(capsys))
    assert "the look comes first" in text
    assert "base model 24/30" in text
    assert "next at" not in text


def test_the_panel_that_stays(shown: Shown, capsys: pytest.CaptureFixture[str]) -> None:
    """Once all steps are taken it says how long they took, and nothing of what is left or could be stopped."""
    with shown(80).training("golf", "cpu", 300, every=150) as view:
        for number, learned in ((150, 0.51), (300, 0.5)):
            view.step(step(number, 300, 300.0 - number))
            view.saved(number)
            view.preview({"step": number, "path": "x", "measures": {"learned": learned, "leaked": 0.0}})
    text = "\n".join(told(capsys))
    assert "300/300   100 %" in text
    assert " in all   1.79 s/step" in text
    assert "motion learned ▁▁ 0.50   appearance leaked ▁▁ 0.00" in text  # no cliff out of a hundredth
    assert not re.search("left|ready about|Ctrl-C|next at", text)


def test_the_panel_of_a_training_that_was_stopped(shown: Shown, capsys: pytest.CaptureFixture[str]) -> None:
    """It says how far it came, and nothing of what will not come now."""
    with shown(80).training("golf", "cpu", 300, every=50) as view:
        view.step(step(49, 300, 430.0))
        view.saved(49)
        view.drawing("base model 24/30")
    text = "\n".join(told(capsys))
    assert "49/300   16 %" in text
    assert " in all   1.79 s/step" in text
    assert not re.search("left|ready about|Ctrl-C|next at|24/30", text)


def test_a_narrow_terminal_gets_lines(shown: Shown, capsys: pytest.CaptureFixture[str]) -> None:
    """Instead of the panel, and none is wider than the terminal."""
    with shown(40).training("golf · starter · seed 0", "cpu", 300) as view:
        view.step(step(25, 300, 430.0))
        view.saved(25)
    lines = told(capsys)
    assert max(map(len, lines)) <= 40
    assert re.fullmatch(r"\d\d:\d\d:\d\d golf step 25/300 8% motion", lines[1])
    assert {line[:9] for line in lines[2:]} == {" " * 9}
    assert lines[-1].endswith("saved=25")


def test_what_a_narrow_terminal_echoes_of_ctrl_c(shown: Shown, capsys: pytest.CaptureFixture[str]) -> None:
    """It is written over by what is said of it, and nothing else is."""
    screen = shown(40)
    with screen.training("golf", "cpu", 300):
        screen.say("Stopping after this step.")
    screen.say("Paused.")
    assert capsys.readouterr().err.endswith("\n\rStopping after this step.\nPaused.\n")


def test_noise_is_smoothed() -> None:
    """A smoothed course moves less than its numbers do, begins where they begin, and comes to where they are."""
    noisy = [1.0, 3.0] * 50
    course = smoothed(noisy)
    assert course[0] == 1.0
    assert all(1.8 < value < 2.2 for value in course[40:])
    assert smoothed([]) == []
    assert sparkline(smoothed([float(n) for n in range(100)]), 10) == "▁▂▂▃▄▅▅▆▇█"


# --- Help.


@pytest.mark.parametrize("width", [40, 80, 120])
def test_help_is_whole(mdctl: Mdctl, monkeypatch: pytest.MonkeyPatch, width: int) -> None:
    """It says of every command, and of those of two words, a whole sentence, and fits the terminal."""
    monkeypatch.setenv("COLUMNS", str(width))
    known = app.commands()
    for words, commands in (((), known), (("models",), known["models"].commands)):  # type: ignore[union-attr]
        said = mdctl(*words, "--help")
        assert max(map(len, said.lines)) <= width
        text = " ".join(said.out.split())
        for name, command in commands.items():
            assert f"{name} {sentence(command.help or '')}" in text
    assert max(len(line) for line in mdctl("train", "--help").lines if "mdctl" not in line) <= width


def test_help_says_what_to_type(mdctl: Mdctl) -> None:
    """Values have the names of values, not of types of a language, and no range that nobody asks for."""
    for words in (("train",), ("new",), ("mix",), ("clips", "set"), ("grid",)):
        told = mdctl(*words, "--help").out
        assert not re.search(r"[<>{}]|default: \(|\.{4}", told), told
    assert "Usage: mdctl new [OPTIONS] NAME CLIPS...\n" in mdctl("new", "--help").out
    told = mdctl("gen", "--help").out
    assert re.search(r"--steps N +Denoising steps\.  \[default: 30\]\n", told)
    assert re.search(r"--count N +How many videos\.  \[default: 1\]\n", told)
    assert re.search(r"--format mp4\|gif\|webp\|frames\n", told)


@pytest.mark.parametrize("width", [40, 80])
def test_the_first_screen(play: Play, home: Path, monkeypatch: pytest.MonkeyPatch, width: int) -> None:
    """It tells what to type first, each command with what it does, and no word is cut."""
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", str(width))
    played = play(terminal=True)
    assert played.wait() == 0
    lines = played.screen.decode().replace("\r", "").splitlines()
    assert max(map(len, lines)) <= width
    at = next(place for place, line in enumerate(lines) if "mdctl train golf" in line)
    assert "learn their motion" in lines[at + (width == 40)]


@pytest.mark.parametrize("width", [1, 2, 3])
def test_help_on_next_to_nothing(mdctl: Mdctl, monkeypatch: pytest.MonkeyPatch, width: int) -> None:
    """No terminal is too narrow for help, though nobody can read it there."""
    monkeypatch.setenv("COLUMNS", str(width))
    assert [mdctl(*words, "--help").code for words in ((), ("clips",), ("gen",))] == [0, 0, 0]


@pytest.mark.parametrize("command", ["gen", "grid", "mix"])
def test_help_says_how_far_a_strength_holds(mdctl: Mdctl, command: str) -> None:
    """A number may hold for a part of the way only, and how to have it all the way is said."""
    about = " ".join(mdctl(command, "--help").out.split())
    assert "a number holds as far as gen.strength_until says" in about
    assert "1@0-1 all the way" in about


def test_short_names_are_not_listed(mdctl: Mdctl) -> None:
    """`ls`, `cp` and `mv` work, and help leaves them out."""
    assert not re.search(r"^ +(ls|cp|mv) ", mdctl("--help").out, re.MULTILINE)
    assert mdctl("ls", "-q").code == 0


def test_a_slip_is_told_once(mdctl: Mdctl) -> None:
    """The command that was meant is offered, of one word and of two."""
    for typed, meant in (("trian", "mdctl train"), ("models pul", "mdctl models pull")):
        said = mdctl(*typed.split())
        assert said.code == 2
        assert said.err.lower().count("did you mean") == 1
        assert f"did you mean {meant}?" in said.err


# --- At once.


def test_only_the_command_that_is_asked_for_is_imported(home: Path) -> None:
    """Help and the version need no command at all, nor what Typer checks values with; a command needs no other."""
    program = """
import contextlib, io, sys
from mdctl.cli.app import main
with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
    main(["--help"]), main(["--version"])
    before = {"pydantic", "mdctl.cli.view.look", "mdctl.cli.create.start", "mdctl.workspace.project"} & set(sys.modules)
    main(["list"])
after = {"mdctl.cli.create.start", "mdctl.cli.create.train", "mdctl.cli.bench", "rich"} & set(sys.modules)
print(sorted(before), sorted(after))
"""
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert ended.stdout.strip() == "[] []"


def test_something_is_shown_at_once(play: Play, monkeypatch: pytest.MonkeyPatch) -> None:
    """A slow command says on a terminal that it has begun, and takes that back before it says anything else."""
    monkeypatch.setenv("TERM", "xterm-256color")
    assert set(app.ROOMS) >= SLOW
    sign = WAIT.encode()
    slow = play("train", "nothing", terminal=True)
    assert slow.wait() == 3
    assert slow.screen.startswith(sign + b"\r" + b" " * len(sign) + b"\r\x1b[1;31merror")
    for words in (("show", "nothing"), ("train", "nothing", "-q"), ("train", "--help")):
        other = play(*words, terminal=True)
        other.wait()
        assert sign not in other.screen
    assert play("train", "nothing").wait() == 3


def test_nothing_is_loading_while_a_prompt_is_typed(play: Play, golf: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """`gen NAME -` waits for its user, who sees no sign of work."""
    monkeypatch.setenv("TERM", "xterm-256color")
    typing = play("gen", "golf", "-", "--steps", "1", "--threads", "1", terminal=True)
    typing.type("a monkey\n\x04")
    assert typing.wait() == 0
    assert WAIT.encode() not in typing.screen
    assert len(golf.videos()) == 1


def test_many_options_stand_below_titles(mdctl: Mdctl) -> None:
    """Common ones first, then the look, the hardware and what few want; few options need no titles."""
    said = mdctl("gen", "--help").out
    places = [said.index(f"\n{title}:\n") for title in ("Options", "Look", "Hardware", "Advanced")]
    assert places == sorted(places)
    assert places[0] < said.index("  --seed ") < places[1] < said.index("  --strength ") < places[2]
    assert places[2] < said.index("  --device ") < places[3] < said.index("--dry-run  ")
    assert "Hardware" not in mdctl("list", "--help").out


def test_every_title_is_of_options_that_there_are(mdctl: Mdctl) -> None:
    """No word of the titles names an option that no command has."""
    reference = mdctl("help", "--all").out
    assert not [flag for flag in groups._TITLED if not re.search(rf"{flag}\b", reference)]
