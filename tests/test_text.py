"""Foreign text is harmless on a terminal and loses nothing that can be shown."""

import re
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mdctl.text import safe, slug

ANY = st.text(st.characters(), max_size=200)
"""Any text at all, lone surrogates too."""


@given(ANY, st.integers(2, 60))
def test_safe_text_prints_within_its_limit(text: str, limit: int) -> None:
    """Whatever comes in, what goes out is printable, not too long, can be encoded, and is safe already (B3)."""
    shown = safe(text, limit)
    assert shown.isprintable()
    assert len(shown) <= limit
    assert safe(shown, limit) == shown
    shown.encode("utf-8")
    assert not any(unicodedata.category(char) in ("Cc", "Cf", "Cs") for char in shown)


@given(st.text(st.characters(categories=("L", "N", "P", "S"), include_characters=" "), max_size=100))
def test_what_prints_is_left_alone(text: str) -> None:
    """Letters, figures, marks and spaces stay as they are: markup is text like any other."""
    assert safe(text) == text


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
    assert safe(text) == shown


def test_what_is_too_long_loses_its_middle() -> None:
    """Begin and end are what tells one long text from another."""
    assert safe("begin" + "x" * 1000 + "end", 11) == "begin…xxend"
    assert len(safe("x" * 1000)) == 500


@given(ANY)
def test_a_slug_can_be_a_name(text: str) -> None:
    """A slug is empty or may be the name of a project; a slug of it is itself."""
    found = slug(text)
    assert found == "" or re.fullmatch(r"[a-z0-9_-]{1,64}", found)
    assert found[:1] not in ("-", "_")
    assert slug(found) == found


@pytest.mark.parametrize(
    ("text", "name"),
    [("Golf Swing!", "golf-swing"), ("Gölf", "golf"), ("../../etc", "etc"), ("\u4f60\u597d", ""), ("a  -- b", "a-b")],
)
def test_known_slugs(text: str, name: str) -> None:
    """Words are kept, accents are dropped, the rest becomes one dash."""
    assert slug(text) == name
