"""What previews are judged by."""

import io

import numpy as np
import pytest
from PIL import Image

from mdctl.measure import watch
from mdctl.measure.course import Seen, knee
from mdctl.measure.watch import Watch
from mdctl.media import motions, world
from mdctl.media.frames import Frames


def film(motion: str, subject: str, background: str, colour: str | None = None, seed: int = 0) -> Frames:
    """Something that moves in the world of `starter`."""
    track = motions.track(motion, np.random.default_rng(seed))
    return world.render(world.Scene(subject, background, colour), track)[0]


@pytest.fixture(scope="module")
def watched() -> Watch:
    """Two clips of a red square that goes round."""
    return Watch([film("orbiting", "square", "gray", "red", seed) for seed in range(2)])


def test_the_same_motion_of_something_else_has_been_learned(watched: Watch) -> None:
    """An orbiting panda agrees with the clips; one that moves straight or rests does so less."""
    orbits = watched.learned(film("orbiting", "panda", "grass", seed=7))
    straight = watched.learned(film("moving right", "panda", "grass", seed=7))
    still = watched.learned(film("standing still", "panda", "grass", seed=7))
    assert orbits > straight + 0.2
    assert still < 0.2 < 0.4 < orbits


def test_a_video_of_another_shape_can_be_compared(watched: Watch) -> None:
    """Twice the size and twice the frames are brought to those of the clips."""
    frames = film("orbiting", "panda", "grass", seed=7)
    other = frames.repeat(2, axis=0).repeat(2, axis=1).repeat(2, axis=2)
    assert watched.learned(other) == pytest.approx(watched.learned(frames), abs=0.05)


def test_the_look_of_the_clips_is_a_leak(watched: Watch) -> None:
    """What equals the base model's video leaks nothing, what has the clips' colours does."""
    base = film("standing still", "panda", "grass")
    assert watched.leaked(base, base) == 0
    assert watched.leaked(film("orbiting", "panda", "gray"), base) > 0.2


def test_the_first_save_that_is_nearly_the_best_is_suggested() -> None:
    """A later one that agrees hardly more is not; and none while nothing has come."""
    course = [Seen(50, 0.2, 0.0), Seen(100, 0.69, 0.1), Seen(150, 0.7, 0.3)]
    assert knee(0.1, course) == 100
    assert knee(0.65, course) is None
    assert knee(0.1, []) is None


def test_the_chart_is_a_picture() -> None:
    """It has both curves, also of a single preview."""
    for seen in ([Seen(50, 0.2, 0.0)], [Seen(50, 0.2, 0.0), Seen(100, 0.7, 0.1)]):
        picture = Image.open(io.BytesIO(watch.chart(0.1, seen))).convert("RGB")
        colours = {colour for _, colour in picture.getcolors(1 << 20) or ()}
        assert {(31, 119, 180), (255, 127, 14)} <= colours
