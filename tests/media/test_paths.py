"""Tracks of known likeness, and every motion of the world against every other."""

from dataclasses import replace

import numpy as np
import pytest

from mdctl.media import motions
from mdctl.media.motions import Track
from mdctl.media.paths import HIT, agreement, amplitude, motion_scores, references

ORBIT = motions.track("orbiting", np.random.default_rng(0))


def _still(size: float = 22.0) -> Track:
    return Track(np.full(16, 30.0), np.full(16, 20.0), np.full(16, size))


@pytest.mark.parametrize(
    "motion", [name for name in motions.BASE_MOTIONS | motions.NOVEL_MOTIONS if name != "standing still"]
)
def test_place_and_size_do_not_matter(motion: str) -> None:
    """A copy elsewhere, of another size, agrees fully."""
    track = motions.track(motion, np.random.default_rng(1))
    assert agreement(Track(track.x + 5, track.y - 3, track.size * 0.7), track) == pytest.approx(1)


@pytest.mark.parametrize("factor", [0.5, 2.0])
def test_reach_does_not_matter(factor: float) -> None:
    """A copy that reaches half as far, or twice, agrees fully; its amplitude tells it apart."""
    wider = Track(factor * ORBIT.x, factor * ORBIT.y, ORBIT.size)
    assert agreement(wider, ORBIT) == pytest.approx(1)
    assert amplitude(wider, ORBIT) == pytest.approx(factor)


@pytest.mark.parametrize("delay", [-2, -1, 1, 2])
def test_a_short_delay_does_not_matter(delay: int) -> None:
    """A copy that runs up to two frames early or late agrees fully."""
    late = Track(*(np.roll(values, delay) for values in (ORBIT.x, ORBIT.y, ORBIT.size)))
    assert agreement(late, ORBIT) > 0.99


def test_direction_and_order_matter() -> None:
    """Neither a mirrored orbit nor one that runs backwards has anything to do with the orbit."""
    others = [
        Track(64 - ORBIT.x, ORBIT.y, ORBIT.size),
        Track(ORBIT.x, 64 - ORBIT.y, ORBIT.size),
        Track(ORBIT.x[::-1], ORBIT.y[::-1], ORBIT.size),
    ]
    for other in others:
        assert abs(agreement(other, ORBIT)) < 0.1


def test_what_does_not_move_agrees_with_nothing() -> None:
    """A static track has an agreement and an amplitude of exactly 0, on either side."""
    for pair in ((_still(), ORBIT), (ORBIT, _still()), (_still(), _still())):
        assert agreement(*pair) == 0
    assert amplitude(_still(), ORBIT) == 0
    assert amplitude(ORBIT, _still()) == 0
    assert motion_scores(_still()) == dict.fromkeys(motions.MOTIONS, 0.0) | {"standing still": 1.0}


@pytest.mark.parametrize("motion", motions.MOTIONS)
def test_every_motion_is_told_from_the_others(motion: str) -> None:
    """A motion that trembles, as that of a model does, still agrees most with itself, by a hit."""
    rng = np.random.default_rng(6)
    for _ in range(12):
        track = motions.track(motion, rng)
        x, y = track.x + rng.normal(0, 0.8, 16), track.y + rng.normal(0, 0.8, 16)
        scores = motion_scores(replace(track, x=x, y=y, size=track.size * np.exp(rng.normal(0, 0.03, 16))))
        assert max(scores, key=scores.__getitem__) == motion
        assert scores[motion] >= HIT


def test_what_dominates_is_the_motion() -> None:
    """A subject that grows and drifts a little is growing; one that crosses the frame and grows a little is moving."""
    t = np.linspace(0, 1, 16)
    growing = motion_scores(Track(28 + 6 * t, 32 + 0 * t, 12 * 3.2**t))
    moving = motion_scores(Track(14 + 36 * t, 32 + 0 * t, 22 * 1.2**t))
    assert max(growing, key=growing.__getitem__) == "growing"
    assert max(moving, key=moving.__getitem__) == "moving right"


def test_references_fit_any_length() -> None:
    """A longer clip is compared with references of its own length, and a very short one with none."""
    assert {len(reference.x) for reference in references("zigzagging", 24)} == {24}
    assert motion_scores(motions.track("bouncing", np.random.default_rng(7), 24))["bouncing"] >= HIT
    assert motion_scores(motions.track("bouncing", np.random.default_rng(7), 4)) == {}
