"""Intervals for shares and means over samples that belong together, by resampling whole groups."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mdctl.errors import BadInput

RESAMPLES = 10_000
FEWEST = 5
"""Groups from which a level can be resampled: of fewer, chance alone would decide."""

Values = NDArray[np.float64]


@dataclass(frozen=True)
class Interval:
    """A mean and where it lies with 95 % confidence."""

    mean: float
    low: float
    high: float
    resampled: tuple[int, ...] = ()
    """Levels that were resampled; what else the samples differ in is taken as it is."""
    p: float = 1.0
    """How often resamples lie on the other side of zero, twice: small where zero is out of the question."""


def interval(values: Values, seed: int = 0, resamples: int = RESAMPLES) -> Interval:
    """The mean of samples in nested groups, with the 95 % percentile interval of its bootstrap.

    One axis for each level from the outermost in, such as (motion, training seed, prompt). Every level with at least
    `FEWEST` groups is drawn with replacement, anew inside each group drawn before. NaN is refused.
    """
    if values.size == 0 or np.isnan(values).any():
        raise BadInput("an interval needs numbers.", why="some samples are missing.", fix="finish the benchmark first")
    chance = np.random.default_rng(seed)
    levels = tuple(level for level, size in enumerate(values.shape) if size >= FEWEST)
    means = np.empty(resamples)
    batch = max(1, 4_000_000 // values.size)
    for first in range(0, resamples, batch):
        number = min(batch, resamples - first)
        picks: list[NDArray[np.int64]] = []
        for level, size in enumerate(values.shape):
            shape = (number, *values.shape[: level + 1])
            pick = chance.integers(0, size, shape) if level in levels else np.broadcast_to(np.arange(size), shape)
            picks.append(pick.reshape(*shape, *[1] * (values.ndim - level - 1)))
        means[first : first + number] = values[tuple(picks)].reshape(number, -1).mean(1)
    return _told(float(values.mean()), means, levels)


def _told(mean: float, means: Values, levels: tuple[int, ...]) -> Interval:
    """The interval that the means of resamples give."""
    low, high = np.percentile(means, [2.5, 97.5])
    beyond = min(int((means <= 0).sum()), int((means >= 0).sum()))
    p = min(1.0, 2 * (beyond + 1) / (len(means) + 1)) if levels else 1.0
    return Interval(mean, float(low), float(high), levels, p)


def wilson(right: int, n: int) -> tuple[float, float]:
    """The 95 % interval of a share (Wilson 1927); (0, 1) when nothing was counted."""
    if n == 0:
        return 0.0, 1.0
    z = 1.959964
    share, scale = right / n, 1 + z * z / n
    middle = (share + z * z / (2 * n)) / scale
    half = z * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n)) / scale
    return max(0.0, middle - half), min(1.0, middle + half)


def holm(ps: Sequence[float]) -> list[float]:
    """Each p of several claims, corrected for their number (Holm 1979): below 0.05 a claim stands among all of them."""
    corrected, worst = [0.0] * len(ps), 0.0
    for passed, place in enumerate(sorted(range(len(ps)), key=ps.__getitem__)):
        worst = max(worst, min(1.0, (len(ps) - passed) * ps[place]))
        corrected[place] = worst
    return corrected


def grouped(groups: Sequence[Sequence[float]], seed: int = 0, resamples: int = RESAMPLES) -> Interval:
    """The mean of samples in groups of different sizes, with the interval from drawing whole groups; see `interval`."""
    sums, sizes = np.array([sum(group) for group in groups]), np.array([len(group) for group in groups])
    if sizes.sum() == 0 or not np.isfinite(sums).all():
        raise BadInput("an interval needs numbers.", why="some samples are missing.", fix="finish the benchmark first")
    mean = float(sums.sum() / sizes.sum())
    if len(groups) < FEWEST:
        return Interval(mean, mean, mean)
    picks = np.random.default_rng(seed).integers(0, len(groups), (resamples, len(groups)))
    return _told(mean, sums[picks].sum(1) / sizes[picks].sum(1), (0,))
