"""Settings on disk."""

from collections.abc import MutableMapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from mdctl.errors import BadInput, NotFound
from mdctl.workspace import atomic, documents

TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=60)
VALUE = st.one_of(
    TEXT,
    st.booleans(),
    st.integers(-(2**63) + 1, 2**63 - 1),
    st.floats(allow_nan=False, allow_infinity=False),
    st.lists(TEXT, max_size=3),
)
TABLE = st.dictionaries(TEXT, st.one_of(VALUE, st.dictionaries(TEXT, VALUE, max_size=4)), max_size=5)
QUICK = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
WRITTEN_BY_HAND = """# my golf project
schema = 1            # leave this

caption = "a person"  # what happens

[train]
# slower, but better
rank = 16
"""


@QUICK
@given(TABLE)
def test_what_is_written_reads_back(home: Path, table: dict[str, Any]) -> None:
    """Any text, number and table makes the way to disk and back, with no key more or less (G1)."""
    documents.write_toml(home / "x.toml", table)
    assert documents.read_toml(home / "x.toml") == table


@QUICK
@given(TEXT)
@example('x"\nmodel = "evil/repo')
@example("''' # ] \\")
def test_an_edit_changes_one_key(home: Path, prompt: str) -> None:
    """Whatever a prompt holds, it becomes one value; comments and order stay (G1)."""
    path = home / "project.toml"
    atomic.write(path, WRITTEN_BY_HAND)
    documents.edit_toml(path, lambda table: table.update(caption=documents.plain(prompt)))
    assert documents.read_toml(path) == {"schema": 1, "caption": prompt, "train": {"rank": 16}}
    edited = path.read_bytes().decode()
    for comment in ("# my golf project\n", "# leave this\n", "# slower, but better\nrank = 16"):
        assert comment in edited


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.one_of(st.binary(max_size=80), TEXT.map(str.encode)))
def test_any_bytes_are_read_or_refused(home: Path, content: bytes) -> None:
    """No content of a file is more than a table or a `BadInput` (G2)."""
    atomic.write(home / "x.toml", content)
    with suppress(BadInput):
        assert isinstance(documents.read_toml(home / "x.toml"), dict)


def test_a_mark_and_windows_lines_are_fine(home: Path) -> None:
    """What editors on Windows write is read, and kept when it is edited (G2)."""
    path = home / "x.toml"
    atomic.write(path, b"\xef\xbb\xbfa = 1\r\n# note\r\nb = 'ab'\r\n")
    assert documents.read_toml(path) == {"a": 1, "b": "ab"}
    documents.edit_toml(path, lambda table: table.update(a=2))
    assert path.read_bytes() == b"\xef\xbb\xbfa = 2\r\n# note\r\nb = 'ab'\r\n"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("a = 1\nb = \n", "line 2, column 5"),
        ("a = 1\na = 2\n", "line 2, column"),
        ("a = 1\n[t]\nx = nan", "line 3, column 1: 't.x' is not a finite number"),
        ("a = [1, -inf]", "line 1, column 1: 'a[1]' is not a finite number"),
        ("[[t]]\n[[t]]\n  x = 10000000000000000000000", "line 3, column 3: 't[1].x' is too large a number"),
        ('a = "x\\u0000y"', "line 1, column 1: 'a' holds a NUL character"),
        ('"k\\u0000" = 1', "holds a NUL character"),
        ("a = " + "9" * 5000, "too long"),
        ("a = " + "[" * 5000, "nested too deeply"),
        ("a" + ".a" * 100_000 + " = 1", "nested too deeply"),
        ("a = 1 # " + "x" * 1_000_000, "at most 1 MB"),
        ("a = 'ä'".encode("utf-16"), "line 1, column 1: this is not UTF-8"),
        ("a = 1\nb = 'ä'".encode("latin-1"), "line 2, column 6: this is not UTF-8"),
    ],
)
def test_what_cannot_be_meant_is_refused(home: Path, content: str | bytes, said: str) -> None:
    """The message names file, line and column, and the file is left alone (G2)."""
    path = home / "x.toml"
    atomic.write(path, content)
    before = path.read_bytes()
    with pytest.raises(BadInput) as told:
        documents.read_toml(path)
    assert said in told.value.what
    assert "x.toml" in told.value.what
    with pytest.raises(BadInput):
        documents.edit_toml(path, lambda table: table.update(a=1))
    assert path.read_bytes() == before


def test_what_toml_cannot_hold_is_not_written(home: Path) -> None:
    """Numbers that are not finite, NUL, foreign objects and what nobody would read are refused before it is written."""
    for value in (float("nan"), "a\0", 2**70, object(), "a" * 1_000_000):
        with pytest.raises(BadInput):
            documents.write_toml(home / "x.toml", {"a": value})
    assert not (home / "x.toml").exists()


def test_nothing_and_stray_bytes_are_written_plainly(home: Path) -> None:
    """None is left out, and a byte of a name that was no UTF-8 is spelt out."""
    documents.write_toml(home / "x.toml", {"a": None, "name": "clip\udcff.mp4", "path": Path("b"), "trim": (1, 2.5)})
    assert documents.read_toml(home / "x.toml") == {"name": "clip\\xff.mp4", "path": "b", "trim": [1, 2.5]}


def test_a_hand_edit_made_meanwhile_stays(home: Path) -> None:
    """When the file changes under a change, the change is applied to what stands there now (G3)."""
    path = home / "project.toml"
    atomic.write(path, WRITTEN_BY_HAND)
    calls = list[object]()

    def change(document: MutableMapping[str, Any]) -> None:
        if not calls:
            path.write_text(WRITTEN_BY_HAND.replace("16", "64") + "# added by hand\n")
        calls.append(document)
        document["model"] = "starter"

    documents.edit_toml(path, change)
    assert len(calls) == 2
    assert documents.read_toml(path)["train"] == {"rank": 64}
    assert documents.read_toml(path)["model"] == "starter"
    assert "# added by hand" in path.read_text()


def test_an_edit_gives_up_on_a_file_without_rest(home: Path) -> None:
    """A file that another program writes all the time is left to it."""
    path = home / "x.toml"
    atomic.write(path, "a = 0")

    def change(document: MutableMapping[str, Any]) -> None:
        path.write_text(f"a = {document['a'] + 1}")
        document["b"] = 1

    with pytest.raises(BadInput, match="all the time"):
        documents.edit_toml(path, change)
    assert "b" not in documents.read_toml(path)


def test_an_edit_begins_a_file(home: Path) -> None:
    """The first setting makes the file; reading one that is not there is `NotFound`."""
    with pytest.raises(NotFound):
        documents.read_toml(home / "config.toml")
    documents.edit_toml(home / "config.toml", lambda table: table.update(model="starter"))
    assert documents.read_toml(home / "config.toml") == {"model": "starter"}


def test_an_edit_that_breaks_the_document_is_refused(home: Path) -> None:
    """Text that cannot be encoded or is too long, or a number that is none, never reaches the file."""
    atomic.write(home / "x.toml", "a = 1")
    for value in (float("inf"), "a\0", "a\udcff", "a" * 1_000_000):
        with pytest.raises(BadInput):
            documents.edit_toml(home / "x.toml", lambda table, value=value: table.update(a=value))  # type: ignore[misc]
    assert (home / "x.toml").read_text() == "a = 1"


def test_an_unknown_key_is_named_with_the_nearest(home: Path) -> None:
    """A misspelt key never vanishes; the message knows its line (G2)."""
    path = home / "project.toml"
    atomic.write(path, "a = 1\n[train]\nrank = 4\nlerning_rate = 1e-4\n")
    table = documents.read_toml(path)
    with pytest.raises(BadInput) as told:
        documents.check_keys(table["train"], ("rank", "learning_rate"), path, "train")
    assert told.value.what == "project.toml [train], line 4, column 1: there is no key 'lerning_rate'."
    assert told.value.fix == ("write 'learning_rate' instead.",)
    with pytest.raises(BadInput, match="the import: there is no key 'zz'"):
        documents.check_keys({"zz": 1}, ("a",), "the import")
    documents.check_keys(table, ("a", "train"), path)


def test_a_value_has_its_kind(home: Path) -> None:
    """A wrong kind is refused with the line; a whole number is a number, true is none."""
    path = home / "x.toml"
    atomic.write(path, "a = 1\nb = true\nc = 'x'\n")
    table = documents.read_toml(path)
    assert documents.value(table, "a", float, path) == 1.0
    assert documents.value(table, "z", str, path, "none") == "none"
    with pytest.raises(BadInput, match=r"x\.toml, line 2, column 1: 'b' must be a whole number"):
        documents.value(table, "b", int, path)
    with pytest.raises(BadInput, match="'c' must be a number"):
        documents.value(table, "c", float, path)
    with pytest.raises(BadInput, match="'z' is missing"):
        documents.value(table, "z", str, path)
