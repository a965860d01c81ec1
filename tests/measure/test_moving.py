"""Figures of motion hold on what is known: the same, the opposite, across, and nothing at all."""

from collections.abc import Callable

import numpy as np
import pytest
from films import moving

from mdctl.measure.flow import Flows, Values, flows, tracks
from mdctl.measure.moving import direction_similarity, dynamic_degree, flow_similarity, motion_fidelity


def paths(vx: float, vy: float, count: int = 30, length: int = 12, seed: int = 0) -> Values:
    """Points that move evenly."""
    start = np.random.default_rng(seed).uniform(0, 100, (count, 1, 2))
    return start + np.arange(length)[None, :, None] * np.array([vx, vy])


def uniform(vx: float, vy: float, steps: int = 7) -> Flows:
    """Everything moves alike."""
    field = np.broadcast_to(np.array([vx, vy]), (steps, 16, 16, 2)).astype(float)
    return Flows(field, lambda: -field)


def test_the_same_motion_is_one_the_reverse_minus_one_across_zero() -> None:
    """The three values that a direction can be told by."""
    right = paths(2, 0)
    assert motion_fidelity(right, right, 100) == pytest.approx(1, abs=1e-4)
    assert motion_fidelity(right, right[:, ::-1], 100) == pytest.approx(-1, abs=1e-4)
    assert motion_fidelity(right, paths(0, 2), 100) == pytest.approx(0, abs=1e-4)


def test_place_and_speed_do_not_matter_nor_does_the_order() -> None:
    """An offset, another speed and other points change nothing, and both videos may change places."""
    one, two = paths(2, 1, seed=0), paths(4, 2, seed=1) + 50
    assert motion_fidelity(one, two, 100) == pytest.approx(1, abs=1e-4)
    turned = paths(1, 3, seed=2)
    assert motion_fidelity(one, turned, 100) == pytest.approx(motion_fidelity(turned, one, 100) or 0, abs=1e-9)


def test_what_stands_still_has_no_fidelity() -> None:
    """Neither NaN nor a number that could be averaged."""
    assert motion_fidelity(paths(0, 0), paths(2, 0), 100) is None
    assert motion_fidelity(paths(0, 0), paths(0, 0), 100) is None
    assert motion_fidelity(np.zeros((0, 8, 2)), paths(2, 0), 100) is None


def test_videos_of_other_lengths_are_compared_over_their_whole_course() -> None:
    """The longer one is thinned out, not cut off."""
    turning = np.concatenate([paths(2, 0, length=12), paths(0, 2, length=12)[:, 1:] + 22], 1)
    assert motion_fidelity(turning, turning[:, ::2], 100) == pytest.approx(1, abs=0.1)


def test_real_videos_agree_with_themselves_and_not_with_their_reverse() -> None:
    """The whole chain, from frames to a figure."""
    right = moving(128, 3, 0)
    found, back = tracks(flows(right)), tracks(flows(right[::-1]))
    assert motion_fidelity(found, found, 128) == pytest.approx(1, abs=1e-6)
    assert (motion_fidelity(found, back, 128) or 0) < -0.98
    still = tracks(flows(np.repeat(right[:1], 8, 0)))
    assert motion_fidelity(still, still, 128) is None


def test_videos_of_two_lengths_are_judged_as_far_as_both_go() -> None:
    """Whichever is the longer one."""
    for long, short in ((9, 4), (4, 9)):
        found = flow_similarity(uniform(2, 0, long), uniform(2, 0, short))
        assert found == pytest.approx({"cos": 1, "epe": 0}, abs=1e-5)


def test_flow_similarity_is_exact_on_uniform_flow() -> None:
    """Identical 1 and 0, negated -1 and 2; a reference that stands still has none."""
    assert flow_similarity(uniform(2, 0), uniform(2, 0)) == pytest.approx({"cos": 1, "epe": 0}, abs=1e-5)
    assert flow_similarity(uniform(-2, 0), uniform(2, 0)) == pytest.approx({"cos": -1, "epe": 2}, abs=1e-5)
    assert flow_similarity(uniform(2, 0), uniform(0, 0)) is None


def test_directions_are_compared_wherever_things_are() -> None:
    """The same is 1, the opposite of a translation 0; a short delay does not matter, standing still is 0."""
    assert direction_similarity(uniform(2, 0.1), uniform(4, 0.2)) == pytest.approx(1)
    assert direction_similarity(uniform(-2, 0.1), uniform(2, 0.1)) == pytest.approx(0, abs=1e-6)
    first = np.concatenate([uniform(2, 0.1).forward, uniform(0.1, 2).forward])
    late = np.concatenate([first[:1], first[:-1]])
    assert direction_similarity(Flows(first, lambda: -first), Flows(late, lambda: -late)) == pytest.approx(1)
    assert direction_similarity(uniform(0, 0), uniform(2, 0)) == 0
    assert direction_similarity(uniform(2, 0), uniform(0, 0)) is None


@pytest.mark.parametrize("judge", [flow_similarity, direction_similarity])
def test_a_single_frame_has_no_flow(judge: Callable[[Flows, Flows], object]) -> None:
    """On either side, or on both: there is no figure."""
    one, other = flows(moving(64, 3, 0, 1)), flows(moving(64, 3, 0, 3))
    assert [judge(one, other), judge(other, one), judge(one, one)] == [None] * 3


def test_only_what_moves_is_dynamic() -> None:
    """Fast is dynamic, slow and still are not; the speed is that of the fastest pixels."""
    fast, slow = dynamic_degree(moving(128, 5, 0, 12), 8), dynamic_degree(moving(128, 1, 0, 12), 8)
    still = dynamic_degree(np.repeat(moving(128, 1, 0, 1), 12, 0), 8)
    assert (fast["dynamic"], slow["dynamic"], still["dynamic"]) == (1, 0, 0)
    assert fast["speed"] == pytest.approx(5, abs=0.5)
    assert still["speed"] == pytest.approx(0, abs=1e-3)
    assert dynamic_degree(moving(128, 5, 0, 2), 30) is None  # of 8 frames a second there is one
