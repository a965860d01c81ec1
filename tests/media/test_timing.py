"""Which frame is shown when, told from timestamps alone."""

import numpy as np
import pytest

from mdctl.media.source import Source
from mdctl.media.timing import choose, shown_until, usual_gap


def source(**known: float) -> Source:
    """A source of which only the times matter."""
    return Source("mov", "h264", 64, 64, 64, 64, **known)  # type: ignore[arg-type]


@pytest.mark.parametrize("jitter", [0.0, 0.001, -0.001])
@pytest.mark.parametrize("ratio", [1, 2, 3, 5])
def test_rounded_timestamps_do_not_tip_the_choice(ratio: int, jitter: float) -> None:
    """At a whole fraction of the rate every n-th frame is taken, with timestamps a millisecond off too."""
    times = np.round(np.arange(90) / 30, 3) + jitter * (np.arange(90) % 2)
    wanted = [number * ratio / 30 for number in range(90 // ratio)]
    assert choose(times, wanted, 3.0) == list(range(0, 90, ratio))


def test_the_end_is_the_end() -> None:
    """A moment after the last frame has gone, or within a breath of it, is no frame."""
    times = np.arange(4) / 8
    assert choose(times, [0.375, 0.48, 0.495, 0.5, 1.0], 0.5) == [3, 3]
    assert choose(times[:1], [0.0, 0.1, 0.2], 0.15) == [0, 0]


def test_times_that_run_backwards_are_held() -> None:
    """Double and backward timestamps never lead out of the row or back in time."""
    times = np.array([0.0, 0.1, 0.1, 0.05, 0.3, 0.2, 0.4])
    chosen = choose(times, [0.0, 0.1, 0.2, 0.3, 0.4], 0.5)
    assert chosen == sorted(chosen)
    assert chosen[0] == 0
    assert chosen[-1] == 6
    assert usual_gap(times) == pytest.approx(0.1)


def test_a_moment_before_the_first_frame_takes_the_first() -> None:
    """Where the picture starts late, its first frame stands in."""
    assert choose(np.array([0.7, 0.8, 0.9]), [0.0, 0.75, 0.8], 1.0) == [0, 0, 1]


def test_the_last_frame_stays_as_long_as_it_should() -> None:
    """For its own length; for ever in a still; up to the asked end within a gap of a variable rate."""
    times = np.arange(10) / 10
    assert shown_until(times, source(last_frame_s=0.3, duration_s=1.2), 2.0) == pytest.approx(1.2)
    assert shown_until(times, source(last_frame_s=0.1, duration_s=9.0), 2.0) == pytest.approx(1.0)
    assert shown_until(times, source(last_frame_s=0.1, duration_s=9.0, variable_rate=True), 2.0) == 2.0
    assert shown_until(times, source(still=True), 2.0) == float("inf")
