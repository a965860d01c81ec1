"""Pictures in the terminal: shown where it answers that it can, and nowhere else, with nothing lost or left behind."""

import base64
import io
import os
import re
import termios
from collections.abc import Callable
from pathlib import Path
from threading import Thread
from types import SimpleNamespace

import pytest
from PIL import Image
from stage import QUICK, Play, Played, of_ten_by_twenty

from mdctl.cli import terminal as asking
from mdctl.cli.display import WIDEST
from mdctl.workspace.project import Project

ASKED = b"\x1b_Gi=31,s=1,v=1,a=q,t=d,f=24;AAAA\x1b\\\x1b[c"
SIXEL, KITTY, NEITHER = "\x1b[?62;4;22c", "\x1b_Gi=31;OK\x1b\\\x1b[?62;22c", "\x1b[?62;22c"
VIDEO = ("gen", "golf", "a red square", "--steps", "1", "--threads", "1", "--seed", "3")


@pytest.fixture(autouse=True)
def terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that shows all colours."""
    for name, value in (("COLUMNS", "100"), ("TERM", "xterm-256color"), ("COLORTERM", "truecolor")):
        monkeypatch.setenv(name, value)


def answered(play: Play, answer: str, *line: str) -> Played:
    """A command line on a terminal that answers so when it is asked what it can."""
    played: Played = play(*line, terminal=True, before=of_ten_by_twenty)
    played.until(lambda: ASKED in played.screen)
    played.type(answer)
    assert played.wait() == 0, played.screen[-2000:]
    return played


def size_of(sixels: bytes) -> tuple[int, int]:
    """Width and height that a picture in sixels says of itself."""
    found = re.search(rb'\x1bP0;0;0q"1;1;(\d+);(\d+)', sixels)
    assert found
    return int(found[1]), int(found[2])


def test_a_strip_in_sixels(play: Play, golf: Project) -> None:
    """`gen` shows its frames as wide as a panel, then the path; nothing of the answer is echoed."""
    screen = answered(play, SIXEL, *VIDEO).screen
    width, height = size_of(screen)
    assert width == 10 * WIDEST
    assert height % 20 == 0
    assert screen.rindex(b"\x1b\\") < screen.rindex(str(golf.videos()[0].name).encode())
    assert b"62;4;22c" not in screen


def test_a_strip_as_kitty_wants_it(play: Play, golf: Project) -> None:
    """The PNG goes in pieces and has the colours of the video; its place is marked with letters of its colour."""
    screen = answered(play, KITTY, *VIDEO).screen
    pieces = re.findall(rb"\x1b_Gi=\d+,m=[01],f=100,q=2;([^\x1b]+)\x1b\\", screen)
    image = Image.open(io.BytesIO(base64.b64decode(b"".join(pieces))))
    assert (image.format, image.width) == ("PNG", 10 * WIDEST)
    assert "\U0010eeee" in screen.decode()


def test_a_terminal_that_cannot(play: Play, golf: Project) -> None:
    """It is asked once, and gets none; one that does not tell the size of its letters is not even asked."""
    played = answered(play, NEITHER, *VIDEO, "--count", "2")
    assert played.screen.count(ASKED) == 1
    assert b"\x1bP" not in played.screen
    silent = play(*VIDEO, terminal=True)
    assert silent.wait() == 0
    assert ASKED not in silent.screen


@pytest.mark.parametrize("flag", ["--plain", "-q", "--json", "off"])
def test_what_declines_pictures(play: Play, golf: Project, monkeypatch: pytest.MonkeyPatch, flag: str) -> None:
    """Plain lines, quiet runs, JSON and the variable: the terminal is not asked."""
    if flag == "off":
        monkeypatch.setenv("MDCTL_PICTURES", flag)
    played = play(*VIDEO, *([flag] if flag != "off" else []), terminal=True, before=of_ten_by_twenty)
    assert played.wait() == 0
    assert ASKED not in played.screen
    assert b"\x1bP" not in played.screen


def test_what_is_typed_ahead_is_left(play: Play, golf: Project) -> None:
    """A line that waits for the shell is not read, and no picture is shown."""
    played = play(*VIDEO, terminal=True, before=of_ten_by_twenty)
    played.type("mdctl list\n")
    assert played.wait() == 0
    assert ASKED not in played.screen


def test_previews_and_sheets(play: Play, fresh: Project, films: Path) -> None:
    """A training shows each preview above its panel, and `clips sheet` shows the sheet, no higher than the screen."""
    line = ("train", "golf", "--steps", "2", "--preview-every", "1", "--preview", "a red square", *QUICK)
    trained = answered(play, SIXEL, *line).screen
    assert trained.count(b"\x1bP0;0;0q") == 2
    assert trained.count(ASKED) == 1
    width, height = size_of(answered(play, SIXEL, "clips", "sheet", "golf").screen)
    assert width <= 10 * WIDEST
    assert height <= 26 * 20


# --- A terminal that does not answer as it should.


@pytest.fixture
def told_by(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[int], object]], str]:
    """`told_by(act)` gives what is known of a terminal that does this when it is asked; each look is half a second."""

    def told(act: Callable[[int], object]) -> str:
        screen, line = os.openpty()
        of_ten_by_twenty(line)
        looks = iter([number / 2 for number in range(50)])
        stream = SimpleNamespace(fileno=lambda: line)
        monkeypatch.setattr(os, "tcgetpgrp", lambda _: os.getpgrp())
        monkeypatch.setattr(asking, "sys", SimpleNamespace(stdin=stream, stderr=stream))
        monkeypatch.setattr(asking, "time", SimpleNamespace(monotonic=lambda: next(looks)))
        other = Thread(target=lambda: os.read(screen, len(ASKED)) and act(screen))
        other.start()
        try:
            return asking.graphics()
        finally:
            other.join()
            os.close(line)

    return told


def test_a_terminal_that_goes_away(told_by: Callable[[Callable[[int], object]], str]) -> None:
    """It can be read for ever after that and says nothing: the question is given up."""
    assert told_by(os.close) == ""


def test_a_terminal_that_keeps_sending(told_by: Callable[[Callable[[int], object]], str]) -> None:
    """What comes after the time is up is not waited for, however much comes before it."""
    assert told_by(lambda screen: os.write(screen, KITTY.encode())) == "kitty"
    assert told_by(lambda screen: os.write(screen, b"x" * 3000 + KITTY.encode())) == ""


def test_a_terminal_that_is_gone(
    told_by: Callable[[Callable[[int], object]], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where it can no longer be set, it is not asked; the fault of that is no other one."""

    def gone(*_: object) -> None:
        raise termios.error(5, "Input/output error")

    monkeypatch.setattr(os, "read", lambda *_: b"")
    for name in ("tcgetattr", "tcsetattr"):
        with monkeypatch.context() as patch:
            patch.setattr(termios, name, gone)
            assert told_by(lambda _: None) == ""
