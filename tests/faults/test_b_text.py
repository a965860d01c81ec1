"""B: texts and streams. What an encoding lacks is spelt out, and a reader who leaves is no fault."""

import io
import subprocess
import sys
import unicodedata
from pathlib import Path
from typing import TextIO

import course
import pytest
import stage
from hypothesis import given
from hypothesis import strategies as st
from rows import as_given, fault, nothing
from stage import QUICK, Play

from mdctl import text as texts
from mdctl.cli.face import put
from mdctl.workspace.project import Project

ANY = st.text(st.characters(), max_size=200)
"""Any text at all, lone surrogates too."""


@fault("B3", guard="mdctl.text.safe", without=as_given)
@given(ANY, st.integers(2, 60))
def test_safe_text_prints_within_its_limit(text: str, limit: int) -> None:
    """Whatever comes in, what goes out is printable, not too long, can be encoded, and is safe already (B3)."""
    shown = texts.safe(text, limit)
    assert shown.isprintable()
    assert len(shown) <= limit
    assert texts.safe(shown, limit) == shown
    shown.encode("utf-8")
    assert not any(unicodedata.category(char) in ("Cc", "Cf", "Cs") for char in shown)


@fault("B3")
@given(st.text(st.characters(categories=("L", "N", "P", "S"), include_characters=" "), max_size=100))
def test_what_prints_is_left_alone(text: str) -> None:
    """Letters, figures, marks and spaces stay as they are: markup is text like any other."""
    assert texts.safe(text) == text


@fault("B3", guard="mdctl.text.safe", without=as_given)
@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("[/] [red]x[/red] :smile: \\", "[/] [red]x[/red] :smile: \\"),
        ("\x1b[2J", r"\x1b[2J"),
        ("\x9b31m", r"\x9b31m"),
        ("a\nb\tc\r\x07\x08", r"a\nb\tc\r\x07\x08"),
        ("left\u202eright", r"left\u202eright"),
        ("zero\u200bwidth", r"zero\u200bwidth"),
        ("clip\udcff.mp4", r"clip\xff.mp4"),
        ("\ud800", r"\ud800"),
        ("a monkey \U0001f412", "a monkey \U0001f412"),
        ("gölf", "gölf"),
    ],
)
def test_known_texts(text: str, shown: str) -> None:
    """Controls, marks that turn the line, stray bytes: each is spelt out so that a person can read it."""
    assert texts.safe(text) == shown


@fault("B3", guard="mdctl.text.safe", without=as_given)
def test_what_is_too_long_loses_its_middle() -> None:
    """Begin and end are what tells one long text from another."""
    assert texts.safe("begin" + "x" * 1000 + "end", 11) == "begin…xxend"
    assert len(texts.safe("x" * 1000)) == 500


@fault("B5")
def test_a_stream_that_lacks_signs() -> None:
    """What an encoding cannot write is spelt out instead of being a fault (B5)."""
    stream = io.TextIOWrapper(io.BytesIO(), encoding="cp1252")
    put(stream, "trained · 6 \N{MONKEY}")
    stream.seek(0)
    assert stream.read() == "trained · 6 \\U0001f412\n"


def _as_it_is(stream: TextIO, text: str) -> None:
    stream.write(f"{text}\n")


@fault("B5", guard="mdctl.cli.lines.put", without=_as_it_is)
def test_an_old_encoding(play: Play, fresh: Project) -> None:
    """Names, marks and losses are told in what such a stream has."""
    fresh.set("caption", "\N{MONKEY} \N{GREEK SMALL LETTER ALPHA}")
    for line in (["train", "golf", "--steps", "2", *QUICK], ["list"], ["show", "golf"]):
        played = play(*line, before=course.old_encoding)
        assert played.wait() == 0, played.err
        assert "Traceback" not in played.err


# --- Readers who leave


@fault("B6")
def test_a_reader_who_has_seen_enough(play: Play, golf: Project) -> None:
    """`list | head -1` ends quietly, as a shell expects."""
    played = play("list", before=stage.deaf_stdout)
    assert (played.wait(), played.err) == (141, "")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
@fault("B6")
def test_a_full_disk_behind_stdout(golf: Project) -> None:
    """It is told, without a traceback."""
    with Path("/dev/full").open("wb") as full:
        line = [sys.executable, "-m", "mdctl", "list"]
        told = subprocess.run(line, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert (told.returncode, "the disk is full" in told.stderr) == (7, True)
    assert "Traceback" not in told.stderr


@fault("B6", guard="mdctl.cli.streams.steady", without=nothing)
def test_a_stdout_that_is_closed(play: Play, golf: Project) -> None:
    """Nobody listens, and that is no fault."""
    played = play("list", before=course.no_stdout)
    assert (played.wait(), played.err) == (0, "")


@fault("B6")
def test_nobody_listens_any_more(play: Play, fresh: Project) -> None:
    """A reader of --json that leaves does not stop the training; only the exit code tells of it (B6)."""
    played = play("train", "golf", "--steps", "3", *QUICK, "--json", before=stage.deaf_stdout)
    assert played.wait() == 141
    assert fresh.runs()[-1].finished
    assert "Traceback" not in played.err
