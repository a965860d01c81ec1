"""The camera is found where it moves, and stands still where it does."""

import numpy as np
import pytest

from mdctl.measure.cameras import camera
from mdctl.media import motions, world
from mdctl.media.paths import camera_course, moves
from mdctl.media.world import Scene


@pytest.mark.parametrize("background", world.TEXTURED)
@pytest.mark.parametrize("motion", motions.CAMERA_MOTIONS)
def test_a_moving_camera_is_followed(motion: str, background: str) -> None:
    """Its shift, zoom and angle are found to about a pixel, though a subject is in the way."""
    track = motions.track(motion, np.random.default_rng(1))
    frames, _ = world.render(Scene("monkey", background), track)
    found = camera(frames, background)
    assert found
    assert track.camera
    assert moves(found)
    assert np.abs(camera_course(found) - camera_course(track.camera)).max() < 1.5


@pytest.mark.parametrize("background", world.TEXTURED)
@pytest.mark.parametrize("motion", ["moving left", "growing", "standing still"])
def test_a_camera_that_stands_still_is_not_moved_by_the_subject(motion: str, background: str) -> None:
    """What moves is the subject alone."""
    frames, _ = world.render(Scene("panda", background), motions.track(motion, np.random.default_rng(2)))
    found = camera(frames, background)
    assert found
    assert not moves(found)


def test_plain_colour_shows_no_camera() -> None:
    """Nothing is claimed where nothing can be seen."""
    frames, _ = world.render(Scene("cat", "sky"), motions.track("zooming in", np.random.default_rng(3)))
    assert camera(frames, "sky") is None


def test_noise_moves_no_camera() -> None:
    """Where nothing fits, the camera is left where it was."""
    noise = np.random.default_rng(4).integers(0, 255, (16, 64, 64, 3)).astype(np.uint8)
    found = camera(noise, "brick")
    assert found
    assert np.isfinite(camera_course(found)).all()
