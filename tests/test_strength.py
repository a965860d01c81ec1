"""A strength is a number, or a course over the denoising steps."""

import pytest

from mdctl.errors import BadInput
from mdctl.settings import SampleSettings
from mdctl.strength import Strength


@pytest.mark.parametrize("given", [0.7, "0.7", " 0.7 ", "0.7@0-1"])
def test_a_number_holds_throughout(given: float | str) -> None:
    """However it is written, it is the same strength in every step."""
    strength = Strength.parse(given)
    assert {strength.at(step, 30) for step in range(1, 31)} == {0.7}
    assert (strength.constant, strength.highest, strength.plain(), str(strength)) == (0.7, 0.7, 0.7, "0.7")


def test_a_schedule_holds_part_by_part() -> None:
    """0 is pure noise, which the first steps leave; where nothing is said, the adapter is silent."""
    strength = Strength.parse("0.3@0.5-0.8 + 1.0@0-0.5")
    assert [strength.at(step, 10) for step in range(1, 11)] == [1.0] * 5 + [0.3] * 3 + [0.0] * 2
    assert (strength.constant, strength.highest) == (None, 1.0)
    assert strength.plain() == "1@0-0.5+0.3@0.5-0.8"
    assert Strength.parse(strength.plain()) == strength
    assert strength.times(0.5).plain() == "0.5@0-0.5+0.15@0.5-0.8"


@pytest.mark.parametrize(
    "given", ["0.33333333333@0-0.5", "1@1e-05-0.3333333333333333", "1@0.00001-1", "1e-05@0-0.5+10@0.5-1", "1@0-1"]
)
def test_no_digit_is_lost(given: str) -> None:
    """What was said is read back as the very same, so that a video comes out again from its recipe."""
    strength = Strength.parse(given)
    assert Strength.parse(strength.plain()) == Strength.parse(strength.schedule()) == Strength.parse(str(strength))
    assert Strength.parse(strength.schedule()) == strength
    assert str(Strength.parse(1 / 3)) == "0.3333333333333333"


def test_a_whole_schedule_can_stay_one() -> None:
    """It holds all the way, where a number would not."""
    whole = Strength.parse("1@0-1")
    assert (whole.plain(), whole.schedule(), str(whole)) == (1.0, "1@0-1", "1")


def test_one_number_may_hold_for_a_part_of_the_way() -> None:
    """What the base model's template says of numbers; who writes a schedule, also a whole one, is taken at his word."""
    settings = [SampleSettings(strength=given, strength_until=0.5) for given in (0.7, "1@0-1", "0.3@0.2-0.8")]
    assert [one.gamma.plain() for one in settings] == ["0.7@0-0.5", 1.0, "0.3@0.2-0.8"]
    assert SampleSettings(strength=0.7).gamma.constant == SampleSettings(strength=0.7, strength_until=1).gamma.constant


def test_one_step_gets_the_middle() -> None:
    """With a single step, what holds half-way counts."""
    assert Strength.parse("1@0-0.4+0.2@0.4-1").at(1, 1) == 0.2


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ("loud", "no number"),
        ("", "no number"),
        ("nan", "from 0 to 10"),
        ("-0.1", "from 0 to 10"),
        ("11", "from 0 to 10"),
        ("1@0-0.5+", "no number"),
        ("1@0.5", "no number"),
        ("1@0-0.6+0.5@0.5-1", "two strengths hold from 0.5 to 0.6"),
        ("1@0.5-0.5", "no part of the way"),
        ("1@0-1.5", "no part of the way"),
        ("x@0-1", "no number"),
    ],
)
def test_what_is_no_strength_is_refused(given: str, why: str) -> None:
    """The reason is named, and both ways to write one are shown."""
    with pytest.raises(BadInput) as caught:
        Strength.parse(given)
    assert why in caught.value.why
    assert "1.0@0-0.5+0.3@0.5-1" in caught.value.fix[0]
