"""The benchmark asks for other looks than it teaches, and counts what the readers see."""

import dataclasses

import numpy as np
import pytest

from mdctl.errors import BadInput, UsageFault
from mdctl.measure import fidelity, readers, table
from mdctl.measure.fidelity import Cell, Design, Row
from mdctl.media import motions, world
from mdctl.settings import TrainSettings

WHOLE = Design(TrainSettings(steps=150, rank=32, weight_decay=1e-4))
DESIGN = dataclasses.replace(WHOLE, motions=("orbiting", "zooming in"), cases=("multi",), prompts=6, train_seeds=2)


def _row(method: str, number: int = 0, motion: str = "orbiting", **seen: object) -> Row:
    """A row in which all is right, but for what is given."""
    look = ("monkey", None, "grass")
    plain = Row(method, "multi", motion, 0, number, "a monkey orbiting on a grass background", *look, *look,
                rho=0.95, hit=True, amplitude=1.0, static=False, found=True, leaked=())  # fmt: skip
    return dataclasses.replace(plain, **seen)  # type: ignore[arg-type]


@pytest.mark.parametrize("motion", WHOLE.motions)
def test_nothing_that_is_asked_was_in_the_clips(motion: str) -> None:
    """Subject, colour and background of every prompt differ from those of the clips; camera moves get a texture."""
    train, scenes = fidelity.taught(motion), fidelity.asked(motion, WHOLE)
    assert len(scenes) == 16
    assert len({*scenes}) == 16
    for scene in scenes:
        assert scene.subject != train.subject
        assert scene.colour != train.colour
        assert scene.background != train.background
        assert motion not in motions.CAMERA_MOTIONS or scene.background in world.TEXTURED


@pytest.mark.parametrize(("motion", "most"), [("zooming in", 123), ("orbiting", 287)])
def test_no_more_is_asked_than_there_is(motion: str, most: int) -> None:
    """All scenes but those of the clips can be asked for; one more would be looked for without end."""
    all_of_them = dataclasses.replace(WHOLE, motions=(motion,), prompts=most)
    assert len({*fidelity.asked(motion, all_of_them)}) == most
    with pytest.raises(UsageFault) as told:
        dataclasses.replace(all_of_them, prompts=most + 1)
    assert told.value.fix == (f"--prompts {most}",)


def test_another_prompt_seed_asks_for_other_things() -> None:
    """What is tuned on one seed is not what the table of another one measures."""
    other = dataclasses.replace(DESIGN, prompt_seed=7)
    assert fidelity.asked("orbiting", DESIGN) == fidelity.asked("orbiting", DESIGN)
    assert fidelity.asked("orbiting", DESIGN) != fidelity.asked("orbiting", other)
    assert not np.array_equal(
        fidelity.clips("orbiting", "multi", DESIGN)[0], fidelity.clips("orbiting", "multi", other)[0]
    )


def test_the_base_model_is_made_once_for_each_motion() -> None:
    """It has no training that could differ."""
    cells = fidelity.cells(DESIGN)
    assert len([cell for cell in cells if cell.method == "base"]) == 2
    assert len([cell for cell in cells if cell.method == "full"]) == 4
    assert len({*cells}) == len(cells)


def test_a_first_whole_table_comes_soonest() -> None:
    """All motions and methods of the first seed, then the second."""
    seeds = [cell.train_seed for cell in fidelity.cells(DESIGN)]
    assert seeds == sorted(seeds)


def test_captions_keep_the_look_of_the_clips_to_themselves() -> None:
    """They name who does what; colour and background are left for the adapters to absorb, or to leak."""
    for motion in WHOLE.motions:
        words = fidelity.caption(motion).replace(",", "").split()
        assert fidelity.taught(motion).subject in words
        assert not {fidelity.taught(motion).colour, fidelity.taught(motion).background} & {*words}


def test_the_key_of_a_cell_says_what_its_videos_depend_on() -> None:
    """More motions, methods or seeds leave it as it is; other steps, prompts or weights do not."""
    cell, base = Cell("full", "multi", "orbiting", 0), Cell("base", "any", "orbiting", 0)
    key = fidelity.key(cell, DESIGN, "starter")
    assert key == fidelity.key(cell, dataclasses.replace(DESIGN, motions=("bouncing",), train_seeds=5), "starter")
    longer = dataclasses.replace(DESIGN, train=dataclasses.replace(DESIGN.train, steps=151))
    assert key != fidelity.key(cell, longer, "starter")
    assert fidelity.key(base, DESIGN, "starter") == fidelity.key(base, longer, "starter")
    others = [dataclasses.replace(DESIGN, prompt_seed=1), dataclasses.replace(DESIGN, prompts=7)]
    assert (
        len({key, fidelity.key(cell, DESIGN, "another"), *(fidelity.key(cell, one, "starter") for one in others)}) == 4
    )


def test_rendered_truth_scores_full_marks() -> None:
    """Videos that show exactly what was asked, moving as the clips do, are right in everything."""
    for motion in DESIGN.motions:
        rng = np.random.default_rng(0)
        drawn = [world.render(scene, motions.track(motion, rng))[0] for scene in fidelity.asked(motion, DESIGN)]
        rows = fidelity.read(Cell("full", "multi", motion, 0), DESIGN, drawn)
        assert all(row.joint and not row.leaked for row in rows)


def test_copies_of_the_clips_leak_in_everything_and_move_all_the_same() -> None:
    """A method that repeats its clips has the motion, none of the looks, and leaks."""
    copy = fidelity.clips("orbiting", "single", DESIGN)[0]
    for row in fidelity.read(Cell("coupled", "multi", "orbiting", 0), DESIGN, [copy] * DESIGN.prompts):
        assert row.hit
        assert {"subject", "background"} <= {*row.leaked}
        assert row.appearance == 0


def test_a_video_without_a_subject_is_wrong_not_missing() -> None:
    """It counts, as a failure in every attribute."""
    empty = np.broadcast_to(world.BACKGROUNDS["sky"], (16, 64, 64, 3))
    rows = fidelity.read(Cell("full", "multi", "orbiting", 0), DESIGN, [empty] * DESIGN.prompts)
    assert all(row.appearance == 0 and row.rho == 0 and not row.found for row in rows)


def test_shares_and_differences_are_those_of_the_rows() -> None:
    """The table says what was counted, case by case, with the pairs that the claim is about."""
    rows = [_row("full", number) for number in range(8)]
    rows += [_row("base", number, rho=0.1, hit=False, **{"case": "any"}) for number in range(8)]
    rows += [_row("coupled", number, subject="square", leaked=("subject",)) for number in range(8)]
    found = table.document(rows)
    methods = found["methods"]
    assert methods["full"]["joint"] == 1
    assert methods["base"]["motion"] == 0
    assert methods["coupled"] | {"appearance": 0.5, "leakage": 1.0} == methods["coupled"]
    assert methods["full"]["n"] == 8
    assert found["cases"]["multi"]["untuned"] == {}
    difference = next(one for one in found["cases"]["multi"]["differences"] if one["in"] == "leakage")
    assert difference["mean"] == -1
    assert difference["resampled"] == ["prompts"]
    assert difference["p_holm"] < 0.05
    assert methods["coupled"]["right"] == {"subject": 0.0, "background": 1.0, "colour": None, "all": 0.0}
    assert methods["full"]["ci"]["joint"] == pytest.approx([0.6756, 1.0], abs=1e-3)


def test_where_all_videos_agree_the_interval_is_wilsons() -> None:
    """Resampling eight videos without a leak gives 0 to 0, which is not all that they leave open."""
    found = table.document([_row("full", number) for number in range(8)])["methods"]["full"]
    assert found["ci"]["leakage"] == found["wilson"]["leakage"] == pytest.approx([0.0, 0.3244], abs=1e-4)
    assert "motion_rho" not in found["wilson"]


def test_the_order_of_rows_and_motions_changes_nothing() -> None:
    """A table is the same whichever videos were read first."""
    chance = np.random.default_rng(0)
    rows = [
        _row("full", number, motion, rho=float(chance.uniform(-1, 1)))
        for motion in DESIGN.motions
        for number in range(6)
    ]
    assert table.document(rows)["methods"] == table.document(rows[::-1])["methods"]


def test_random_walks_have_a_motion_now_and_then() -> None:
    """Some walks look like an orbit, and the line of chance says how many; a camera that wanders rarely zooms."""
    orbit, zoom = table.chance("orbiting"), table.chance("zooming in")
    assert 0.1 < orbit["rho"] < 0.3
    assert 0.6 < orbit["rho_95"] < 0.8
    assert 0.005 < orbit["motion"] < 0.05
    assert zoom["motion"] < 0.05


def test_a_table_with_holes_is_refused() -> None:
    """A video that is missing is not passed over."""
    rows = [_row("full", number) for number in range(5)] + [_row("full", 0, "bouncing")]
    with pytest.raises(BadInput):
        table.document(rows)


def test_rows_come_back_as_they_were_noted() -> None:
    """From one line; where other readers have read, it says nothing, and another line is refused."""
    rows = [_row("full", leaked=("subject",)), _row("full", number=1, subject=None, found=False)]
    line = fidelity.noted("abc", rows)
    assert "\n" not in line
    assert fidelity.recalled(line) == ("abc", rows)
    assert fidelity.recalled(line.replace(f'"reader":"{readers.VERSION}"', '"reader":"0"')) is None
    for odd in ("{}", "[]", "no", '{"key":"a","reader":"2","rows":[{"method":"full"}]}'):
        with pytest.raises(ValueError):  # noqa: PT011 - the caller says which file
            fidelity.recalled(odd)
