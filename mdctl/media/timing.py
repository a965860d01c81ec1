"""Which frame is shown when: the arithmetic of timestamps, without any film."""

from bisect import bisect_right
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from mdctl.media.source import Source


def usual_gap(times: NDArray[np.float64]) -> float:
    """The usual distance between frames in seconds; 0 for a single frame."""
    gaps = np.diff(np.unique(np.maximum.accumulate(times)))
    return float(np.median(gaps)) if len(gaps) else 0.0


def shown_until(times: NDArray[np.float64], source: Source, asked_s: float) -> float:
    """When the last of these frames disappears, if frames were read up to `asked_s`."""
    if source.still:
        return float("inf")
    if source.variable_rate and source.duration_s > asked_s:
        return asked_s  # it stays until another comes, later than was asked
    return float(times.max()) + max(source.last_frame_s, usual_gap(times))


def choose(times: NDArray[np.float64], wanted: Sequence[float], until_s: float) -> list[int]:
    """For every wanted moment the index of the frame then shown; ends early where the frames do.

    A frame counts from almost half its length before its time, so that rounded timestamps do not tip the choice, and a
    moment in the last tenth of the last frame is no frame any more.
    """
    rising = np.maximum.accumulate(times)
    first = np.searchsorted(rising, rising)  # of frames with one time, the first
    gap_s = usual_gap(times)
    moments = [moment for moment in wanted if moment < until_s - 0.1 * gap_s]
    return [int(first[max(0, bisect_right(rising, moment + 0.45 * gap_s) - 1)]) for moment in moments]
