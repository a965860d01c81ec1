"""Figures of looks hold on what is known."""

import numpy as np
import pytest

from mdctl.measure import looks


def unit(*rows: list[float]) -> np.ndarray:
    """Embeddings of unit length."""
    found = np.array(rows, float)
    return found / np.linalg.norm(found, axis=1, keepdims=True)


E1, E2, E3 = [1.0, 0, 0], [0, 1.0, 0], [0, 0, 1.0]


def test_text_score_is_not_clipped_and_knows_no_order() -> None:
    """Equal 100, orthogonal 0, opposite -100."""
    text = np.array(E1)
    assert looks.text_score(unit(E1, E1), text, 100) == pytest.approx(100)
    assert looks.text_score(unit(E2, E3), text, 100) == pytest.approx(0)
    assert looks.text_score(unit([-1, 0, 0]), text, 100) == pytest.approx(-100)
    assert looks.text_score(unit(E1, E2), text, 100) == looks.text_score(unit(E2, E1), text, 100)


def test_consistency_is_the_mean_over_all_pairs() -> None:
    """Identical 1, orthogonal 0, two and two 1/3; the closed form is the matrix form."""
    assert looks.frame_consistency(unit(E1, E1, E1)) == pytest.approx(1)
    assert looks.frame_consistency(unit(E1, E2, E3)) == pytest.approx(0)
    assert looks.frame_consistency(unit(E1, E1, E2, E2)) == pytest.approx(1 / 3)
    some = unit(*np.random.default_rng(0).normal(size=(7, 5)).tolist())
    matrix = some @ some.T
    assert looks.frame_consistency(some) == pytest.approx((matrix.sum() - 7) / 42)


def test_steady_looks_look_back_and_to_the_beginning() -> None:
    """[e1, e1, e2] gives a half; what is opposite counts as 0."""
    assert looks.steady_looks(unit(E1, E1, E2)) == pytest.approx(0.5)
    assert looks.steady_looks(unit(E1, E2, E1)) == pytest.approx(0.25)
    assert looks.steady_looks(unit(E1, [-1, 0, 0])) == 0


def test_a_single_frame_is_compared_with_nothing() -> None:
    """It is neither consistent nor steady nor smooth."""
    one = np.zeros((1, 8, 8, 3), np.uint8)
    assert [looks.frame_consistency(unit(E1)), looks.steady_looks(unit(E1))] == [None, None]
    assert [looks.steadiness(one), looks.smoothness(one), looks.smoothness(one.repeat(2, 0))] == [None] * 3


def test_steadiness_runs_from_flicker_to_stillness() -> None:
    """Identical frames 1, black and white in turn 0; a blend of neighbours is smooth."""
    still = np.full((6, 8, 8, 3), 90, np.uint8)
    flicker = np.stack([np.full((8, 8, 3), 255 * (i % 2), np.uint8) for i in range(6)])
    ramp = np.stack([np.full((8, 8, 3), 10 * i, np.uint8) for i in range(7)])
    assert looks.steadiness(still) == 1
    assert looks.steadiness(flicker) == 0
    assert looks.smoothness(ramp) == 1
    assert looks.smoothness(flicker) == 0


def test_leakage_is_measured_against_the_base_model() -> None:
    """As the base model 0, as the clips all that is missing; swapped channels change the colour, not the layout."""
    rng = np.random.default_rng(1)
    base, clips = (np.repeat(rng.integers(0, 255, (1, 64, 64, 3)), 4, 0).astype(np.uint8) for _ in range(2))
    clips = clips // 2
    assert looks.leak_colour(base, base, clips) == 0
    assert looks.leak_layout(base, base, clips) == 0
    assert looks.leak_colour(clips, base, clips) == pytest.approx(
        1 - looks._overlap(*map(looks._colours, (base, clips)))
    )
    assert looks.leak_layout(clips, base, clips) > 0.9
    red = np.zeros((2, 32, 32, 3), np.uint8)
    red[:, :16, :, 0] = 200
    blue = red[..., ::-1]
    other = np.full_like(red, 128)
    assert looks.leak_colour(blue, other, red) < looks.leak_colour(red, other, red)
    assert looks.leak_layout(blue, other, red) == pytest.approx(looks.leak_layout(red, other, red), abs=1e-6)


def test_embeddings_leak_by_their_cosines() -> None:
    """What is nearer to the clips' frames than the base model's leaks."""
    assert looks.leak_embed(unit(E1), unit(E1), unit(E2)) == 0
    assert looks.leak_embed(unit(E2), unit(E1), unit(E2)) == pytest.approx(1)
