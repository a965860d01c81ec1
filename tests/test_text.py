"""Names made from text; what makes text harmless is tried among the faults."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mdctl.text import slug

ANY = st.text(st.characters(), max_size=200)
"""Any text at all, lone surrogates too."""


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
