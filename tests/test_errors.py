"""What can go wrong has a sentence, a cure and an exit code."""

import re

import pytest

from mdctl import errors
from mdctl.errors import MdctlError, instead, nearest

KINDS = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, MdctlError)]


def test_every_kind_has_a_code_of_its_own() -> None:
    """The exit codes are those of the table, one for each kind, and so are the words in capitals."""
    assert sorted(kind.exit_code for kind in KINDS) == [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11]
    assert len({kind.code for kind in KINDS}) == len(KINDS)
    assert all(re.fullmatch("MD-[A-Z]+", kind.code) for kind in KINDS)


def test_the_tree_is_drawn_as_it_is() -> None:
    """The module's own docstring names every kind with its exit code."""
    drawn = dict(re.findall(r"[├└]── (\w+) +(\d+)", errors.__doc__ or ""))
    assert drawn == {kind.__name__: str(kind.exit_code) for kind in KINDS if kind is not MdctlError}


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_one_cure_or_many(kind: type[MdctlError]) -> None:
    """A fault carries its four parts; a single cure is a list of one."""
    one = kind("it broke.", why="it was old.", saved="the rest.", fix="get another")
    assert (str(one), one.what, one.why, one.saved) == ("it broke.", "it broke.", "it was old.", "the rest.")
    assert one.fix == ("get another",)
    assert kind("it broke.", fix=["first", "second"]).fix == ("first", "second")
    assert kind("it broke.").fix == ()
    assert kind("it broke.", code="MD-OTHER").code == "MD-OTHER"
    assert one.code == kind.code


def test_the_nearest_name_is_meant() -> None:
    """A slip of the fingers finds the name, a word of another kind finds none."""
    assert nearest("glof", ["golf", "tennis"]) == "golf"
    assert nearest("rowing-machine", ["golf", "tennis"]) is None
    assert nearest("golf", []) is None
    assert instead("glof", ["golf", "tennis"]) == "did you mean 'golf'?"
    assert instead("rowing-machine", ["golf", "tennis"]) == "known are: golf, tennis"
