"""The figures behind the paper's Figure 5 say what they claim to say."""

import numpy as np

from mdctl.measure import trajectories
from mdctl.measure.trajectories import CLIPS


def _clips(look: float, motion: float) -> np.ndarray:
    """Points of four clips whose places depend on their look and whose course on their motion."""
    rng = np.random.default_rng(0)
    places, courses = rng.normal(size=(2, 1, 40)), rng.normal(size=(2, 16, 40))
    return np.stack([look * places[a] + motion * courses[b] for a, b in CLIPS])


def test_looks_that_lie_apart_and_motions_that_run_apart_are_told() -> None:
    """Distances between clips follow the look, distances within them the motion."""
    found = trajectories.figures(_clips(5, 1))
    assert found["apart_look"] > 3 * found["apart_motion"]
    assert found["alike_motion"] > 0.999
    assert abs(found["alike_look"]) < 0.3


def test_where_looks_are_the_same_nothing_lies_apart() -> None:
    """Without a look of their own only the motions differ."""
    found = trajectories.figures(_clips(0, 1))
    assert found["apart_look"] == 0
    assert found["alike_motion"] > 0.999


def test_the_plane_keeps_what_differs_most() -> None:
    """Two dimensions of a flat set lose nothing."""
    rng = np.random.default_rng(1)
    flat = rng.normal(size=(4, 16, 2)) @ rng.normal(size=(2, 30))
    (seen,) = trajectories.flat([flat])
    one, two = seen.reshape(-1, 2), flat.reshape(-1, 30)
    assert np.allclose(np.linalg.norm(one[0] - one[1:], axis=1), np.linalg.norm(two[0] - two[1:], axis=1))


def test_clips_of_one_motion_run_alike() -> None:
    """The four clips differ in look and motion, and in nothing else."""
    frames = trajectories.clips()
    assert len(frames) == 4
    assert len({one.tobytes() for one in frames}) == 4
