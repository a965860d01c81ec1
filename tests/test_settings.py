"""Settings are checked once, and a key or value that cannot be used is refused by name."""

from collections.abc import Callable
from dataclasses import FrozenInstanceError, asdict
from typing import Any

import pytest

from mdctl.errors import BadInput
from mdctl.settings import (
    ClipSettings,
    SampleSettings,
    TrainSettings,
    from_table,
    parse_size,
    to_table,
)

KINDS = (ClipSettings, TrainSettings, SampleSettings)


@pytest.mark.parametrize("kind", KINDS)
def test_defaults_survive_a_table(kind: type[Any]) -> None:
    """Defaults pass their own checks, and come back from their table, every key of it."""
    settings = kind()
    assert from_table(kind, to_table(settings), "table") == settings
    assert None not in to_table(settings).values()


def test_every_key_survives_a_table() -> None:
    """Each kind of value, also of the keys that may be None, is taken from a table."""
    settings = TrainSettings(
        steps=7, rank=4, weight_decay=0.0, recompute=False, shared_spatial=True, threads=2, objective="mse"
    )
    assert from_table(TrainSettings, to_table(settings), "train") == settings
    clips = ClipSettings(frames=8, fps=12.5, width=64, height=32)
    assert from_table(ClipSettings, to_table(clips), "clips") == clips


def test_the_papers_values_are_the_defaults() -> None:
    """Rate, dropout, strength of debiasing, mask and clipping are those of method.md, section 3."""
    settings = asdict(TrainSettings())
    assert settings["learning_rate"] == 5e-4
    assert settings["timestep_shift"] == 1
    assert settings["spatial_first"] == 0
    assert settings["dropout"] == 0.1
    assert settings["beta"] == 1
    assert settings["objective"] == "ad"
    assert settings["spatial_mask"] == 0.2
    assert settings["max_grad_norm"] == 1
    assert SampleSettings().steps == 30
    assert SampleSettings().strength == 1


def test_settings_are_frozen() -> None:
    """Nobody changes settings once they are made."""
    with pytest.raises(FrozenInstanceError):
        TrainSettings().rank = 3  # type: ignore[misc]


@pytest.mark.parametrize(
    ("kind", "key", "near"),
    [
        (TrainSettings, "learning_rat", "learning_rate"),
        (TrainSettings, "step", "steps"),
        (ClipSettings, "widht", "width"),
        (SampleSettings, "guidance_scale", "guidance"),
    ],
)
def test_an_unknown_key_is_answered_with_the_nearest(kind: type[Any], key: str, near: str) -> None:
    """A misspelt key is refused, and the key that was meant is named."""
    with pytest.raises(BadInput, match=f"table has no setting '{key}'") as caught:
        from_table(kind, {key: 1}, "table")
    assert caught.value.fix == (f"did you mean '{near}'?",)
    assert caught.value.code == "MD-SETTING"


def test_an_unknown_key_without_neighbours_lists_what_is_known() -> None:
    """Where nothing is near, all keys are named."""
    with pytest.raises(BadInput) as caught:
        from_table(ClipSettings, {"zzzz": 1}, "clips")
    assert caught.value.fix == ("known are: frames, fps, width, height",)


@pytest.mark.parametrize(
    ("kind", "key", "value", "words"),
    [
        (TrainSettings, "steps", 2.5, "a whole number"),
        (TrainSettings, "steps", "100", "a whole number"),
        (TrainSettings, "steps", True, "a whole number"),
        (TrainSettings, "rank", [4], "a whole number"),
        (TrainSettings, "learning_rate", "fast", "a number"),
        (TrainSettings, "learning_rate", False, "a number"),
        (TrainSettings, "recompute", 1, "true or false"),
        (TrainSettings, "objective", 1, "text"),
        (ClipSettings, "fps", "8", "a number"),
        (SampleSettings, "negative", 0, "text"),
    ],
)
def test_a_value_of_another_kind_is_refused(kind: type[Any], key: str, value: object, words: str) -> None:
    """The key, the value and what it has to be are named."""
    with pytest.raises(BadInput) as caught:
        from_table(kind, {key: value}, "table")
    assert caught.value.what == f"table.{key} = {value!r} cannot be used."
    assert caught.value.why == f"it has to be {words}."


def test_a_whole_number_is_a_number() -> None:
    """TOML's 8 is as good as 8.0 where a number is asked for."""
    assert from_table(ClipSettings, {"fps": 8}, "clips").fps == 8
    assert isinstance(from_table(TrainSettings, {"timestep_shift": 25}, "train").timestep_shift, float)


@pytest.mark.parametrize(
    ("make", "named"),
    [
        (lambda: TrainSettings(steps=0), "train.steps"),
        (lambda: TrainSettings(steps=10**400), "train.steps"),
        (lambda: TrainSettings(rank=0), "train.rank"),
        (lambda: TrainSettings(learning_rate=0.0), "train.learning_rate"),
        (lambda: TrainSettings(learning_rate=float("nan")), "train.learning_rate"),
        (lambda: TrainSettings(learning_rate=float("inf")), "train.learning_rate"),
        (lambda: TrainSettings(dropout=1.0), "train.dropout"),
        (lambda: TrainSettings(weight_decay=-0.1), "train.weight_decay"),
        (lambda: TrainSettings(spatial_mask=1.5), "train.spatial_mask"),
        (lambda: TrainSettings(beta=-1), "train.beta"),
        (lambda: TrainSettings(seed=-1), "train.seed"),
        (lambda: TrainSettings(seed=2**63), "train.seed"),
        (lambda: TrainSettings(objective="l2"), "train.objective"),
        (lambda: TrainSettings(precision="fp8"), "train.precision"),
        (lambda: ClipSettings(frames=1), "clips.frames"),
        (lambda: ClipSettings(frames=257), "clips.frames"),
        (lambda: ClipSettings(fps=0), "clips.fps"),
        (lambda: ClipSettings(width=20), "clips.width"),
        (lambda: ClipSettings(height=8), "clips.height"),
        (lambda: SampleSettings(steps=0), "gen.steps"),
        (lambda: SampleSettings(guidance=float("nan")), "gen.guidance"),
        (lambda: SampleSettings(strength=11), "gen.strength"),
        (lambda: SampleSettings(height=4100), "gen.height"),
        (lambda: SampleSettings(precision="half"), "gen.precision"),
    ],
)
def test_values_out_of_bounds_are_refused(make: Callable[[], object], named: str) -> None:
    """Whatever cannot work is refused by the name that the user wrote."""
    with pytest.raises(BadInput, match=f"^{named} = ") as caught:
        make()
    assert caught.value.why
    assert caught.value.fix


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("384x288", (384, 288)),
        ("64", (64, 64)),
        ("576X320", (576, 320)),
        ("576\N{MULTIPLICATION SIGN}320", (576, 320)),
        (" 64 x 32 ", (64, 32)),
    ],
)
def test_a_size_is_width_and_height(text: str, size: tuple[int, int]) -> None:
    """Width comes first; one number means a square."""
    assert parse_size(text) == size


@pytest.mark.parametrize(
    ("text", "near"),
    [("100x64", "96x64"), ("8", "16x16"), ("0x0", "16x16"), ("-64x64", "16x64"), ("9000x64", "4096x64")],
)
def test_a_size_that_cannot_be_made_is_answered_with_the_nearest(text: str, near: str) -> None:
    """Edges are multiples of 8 within bounds, and the nearest such size is offered."""
    with pytest.raises(BadInput) as caught:
        parse_size(text)
    assert caught.value.fix == (f"--size {near}",)


@pytest.mark.parametrize("text", ["", "x", "big", "64x", "64x64x64", "6.4x64", "x64"])
def test_what_is_no_size_is_refused(text: str) -> None:
    """Anything else is no size, and the form of one is shown."""
    with pytest.raises(BadInput, match="is no size"):
        parse_size(text)
