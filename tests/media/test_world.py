"""The world that `starter` draws."""

import itertools

import numpy as np
import pytest

from mdctl.media import motions, world
from mdctl.media.paths import agreement, motion_scores


def test_everything_has_a_sprite_and_every_scene_can_be_drawn():
    """Every subject is visible on every background."""
    rng = np.random.default_rng(0)
    for subject, background in itertools.product(world.SUBJECTS, world.BACKGROUNDS):
        colour = "red" if subject in world.SHAPES else None
        frames, mask = world.render(world.Scene(subject, background, colour), motions.track("standing still", rng, 1))
        empty = world.BACKGROUNDS[background]
        assert frames.shape == (1, 64, 64, 3)
        assert mask.sum() > 80
        assert np.abs(frames[0].astype(int) - empty)[mask[0]].mean() > 10


@pytest.mark.parametrize("motion", motions.MOTIONS)
def test_subjects_stay_in_the_frame(motion):
    """No motion carries the centre of a subject out of sight, and one seed gives one track."""
    for seed in range(50):
        track = motions.track(motion, np.random.default_rng(seed))
        assert track.points().min() > 6
        assert track.points().max() < 58
        again = motions.track(motion, np.random.default_rng(seed))
        assert np.array_equal(track.points(), again.points())


@pytest.mark.parametrize("novel", motions.NOVEL_MOTIONS)
def test_novel_motions_are_unlike_all_others(novel):
    """What `starter` is never taught cannot be mistaken for something that it knows."""
    rng = np.random.default_rng(1)
    for other in motions.MOTIONS:
        if other != novel:
            likeness = [agreement(motions.track(novel, rng), motions.track(other, rng)) for _ in range(20)]
            assert max(likeness) <= 0.7, other


@pytest.mark.parametrize("camera", motions.CAMERA_MOTIONS)
def test_cameras_to_be_learned_are_unlike_all_others(camera):
    """Neither is one of them read as something else, nor anything else as one of them."""
    rng = np.random.default_rng(1)
    for other in motions.MOTIONS:
        if other != camera:
            for _ in range(20):
                assert motion_scores(motions.track(other, rng))[camera] <= 0.7, other
                assert motion_scores(motions.track(camera, rng))[other] <= 0.7, other


def test_some_pairs_are_held_out_whole():
    """About an eighth of the pairs is never drawn for training, and only those are drawn as unseen."""
    rng = np.random.default_rng(2)
    pairs = [world.held_out(subject, other) for subject in world.SUBJECTS for other in world.BACKGROUNDS]
    assert 0.05 < np.mean(pairs) < 0.25
    for unseen in (False, True):
        scenes = [world.draw_scene(rng, unseen) for _ in range(40)]
        assert all(world.held_out(scene.subject, scene.background) == unseen for scene in scenes)


def test_a_camera_moves_the_whole_scene():
    """What is seen through it is the tile, zoomed; a camera at its place changes nothing; the tile goes on and on."""
    still = motions.Camera(*np.array([[0.0], [0.0], [1.0], [0.0]]))
    twice = motions.Camera(*np.array([[0.0], [0.0], [2.0], [0.0]]))
    across = motions.Camera(*np.array([[64.0], [0.0], [1.0], [0.0]]))
    brick = world.backdrop("brick", None, 0)
    assert np.abs(world.backdrop("brick", still, 0) - brick).max() < 1e-6
    assert np.abs(world.backdrop("brick", across, 0) - brick).max() < 1e-6
    inner = brick[16:48, 16:48].repeat(2, 0).repeat(2, 1)
    assert np.abs(world.backdrop("brick", twice, 0) - inner).mean() < 0.03


@pytest.mark.parametrize("motion", motions.CAMERA_MOTIONS)
def test_what_stands_in_the_scene_moves_with_it(motion):
    """In a clip of the camera the subject keeps its place in the scene."""
    track = motions.track(motion, np.random.default_rng(0))
    lies = [track.camera.matrix(frame) for frame in range(16)]
    places = [np.linalg.solve(lie[:, :2], point - lie[:, 2]) for lie, point in zip(lies, track.points(), strict=True)]
    assert np.ptp(places, axis=0).max() < 1e-9
    assert np.ptp(track.size / track.camera.zoom) < 1e-9


def test_prompts_say_what_is_drawn():
    """A prompt names colour, subject, motion and background, with the right article."""
    assert (
        world.prompt(world.Scene("square", "gray", "red"), "orbiting") == "a red square orbiting on a gray background"
    )
    assert world.prompt(world.Scene("star", "sky", "orange"), "growing").startswith("an orange star growing")
    assert world.prompt(world.Scene("cat", "brick"), "zooming in") == "a cat on a brick background, camera zooming in"
