"""How mdctl speaks: in pipes, on terminals, and of things whose names try to take a terminal over."""

from pathlib import Path

import pytest
from stage import SMALL, Play

from mdctl.cli.face import Manners, take_manners
from mdctl.cli.lines import clock
from mdctl.errors import UsageFault
from mdctl.workspace.project import Project

# --- Forms


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
