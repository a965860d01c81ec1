"""Intervals hold what they promise."""

import itertools

import numpy as np
import pytest

from mdctl.errors import BadInput
from mdctl.measure.statistics import holm, interval, wilson


def test_independent_samples_give_the_analytic_interval() -> None:
    """For many independent numbers it is the mean with 1.96 standard errors on either side."""
    values = np.random.default_rng(0).normal(3, 2, 400)
    found = interval(values)
    error = 1.96 * values.std() / 20
    assert found.mean == pytest.approx(values.mean())
    assert found.low == pytest.approx(values.mean() - error, abs=0.02 * error)
    assert found.high == pytest.approx(values.mean() + error, abs=0.02 * error)


def test_groups_count_as_groups() -> None:
    """Samples that only differ between their groups are no more than so many groups."""
    groups = np.random.default_rng(1).normal(0, 1, 12)
    nested = np.repeat(groups[:, None], 50, axis=1)
    alone, together = interval(groups), interval(nested)
    assert together.high - together.low == pytest.approx(alone.high - alone.low, rel=0.05)


def test_small_levels_are_kept_as_they_are() -> None:
    """Three training seeds are no sample of all seeds: they are not resampled, and the interval says so."""
    found = interval(np.random.default_rng(2).normal(0, 1, (8, 3, 16)))
    assert found.resampled == (0, 2)
    assert interval(np.ones((2, 1))).resampled == ()


def test_equal_methods_differ_from_zero_in_a_twentieth_of_all_tables() -> None:
    """Of 200 tables of two methods that are the same, about 95 % have zero inside."""
    chance = np.random.default_rng(3)
    inside = 0
    for _ in range(200):
        found = interval(chance.normal(0, 1, 60), resamples=1000)
        inside += found.low <= 0 <= found.high
    assert 180 <= inside <= 199


def test_one_seed_gives_one_interval_whatever_the_order_of_groups() -> None:
    """The same numbers give the same interval, to the bit."""
    values = np.random.default_rng(4).normal(0, 1, (6, 8))
    assert interval(values) == interval(values.copy())
    turned = interval(values[::-1])
    assert turned.low == pytest.approx(interval(values).low, abs=0.05)


def test_p_says_how_far_off_zero_is() -> None:
    """Far from zero it is as small as the resamples allow, around zero large, and 1 where nothing was resampled."""
    chance = np.random.default_rng(5)
    assert interval(chance.normal(2, 1, 60)).p == pytest.approx(2 / 10_001)
    assert interval(np.array([-1.0, 1.0] * 30)).p > 0.9
    assert interval(np.ones((2, 1))).p == 1


def test_several_claims_have_to_share_what_chance_allows() -> None:
    """The smallest p is multiplied by their number, the next by one less, and none overtakes one that was smaller."""
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.5, 0.001]) == pytest.approx([0.5, 0.002])
    assert holm([0.7, 0.9]) == [1.0, 1.0]
    assert holm([]) == []


def test_missing_numbers_are_refused() -> None:
    """NaN never becomes part of a table."""
    with pytest.raises(BadInput):
        interval(np.array([1.0, np.nan]))


def test_wilson_gives_the_published_intervals() -> None:
    """Known shares have known intervals, and none leaves [0, 1]."""
    assert wilson(8, 10) == pytest.approx((0.4902, 0.9433), abs=1e-4)
    assert wilson(0, 10) == pytest.approx((0.0, 0.2775), abs=1e-4)
    assert wilson(10, 10) == pytest.approx((0.7225, 1.0), abs=1e-4)
    assert wilson(0, 0) == (0.0, 1.0)
    for right, n in itertools.combinations(range(8), 2):
        low, high = wilson(right, n)
        assert 0 <= low <= right / n <= high <= 1
