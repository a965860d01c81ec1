"""The world that `starter` draws."""

import itertools

import numpy as np
import pytest

from mdctl.measure.paths import agreement
from mdctl.media import world


def test_everything_has_a_sprite_and_every_scene_can_be_drawn():
    """Every subject is visible on every background."""
    rng = np.random.default_rng(0)
    for subject, background in itertools.product(world.SUBJECTS, world.BACKGROUNDS):
        colour = "red" if subject in world.SHAPES else None
        frames, mask = world.render(world.Scene(subject, background, colour), world.track("standing still", rng, 1))
        empty = world.BACKGROUNDS[background]
        assert frames.shape == (1, 64, 64, 3)
        assert mask.sum() > 80
        assert np.abs(frames[0].astype(int) - empty)[mask[0]].mean() > 10


@pytest.mark.parametrize("motion", world.MOTIONS)
def test_subjects_stay_in_the_frame(motion):
    """No motion carries the centre of a subject out of sight, and one seed gives one track."""
    for seed in range(50):
        track = world.track(motion, np.random.default_rng(seed))
        assert track.points().min() > 6
        assert track.points().max() < 58
        again = world.track(motion, np.random.default_rng(seed))
        assert np.array_equal(track.points(), again.points())


@pytest.mark.parametrize("novel", world.NOVEL_MOTIONS)
def test_novel_motions_are_unlike_all_others(novel):
    """What `starter` is never taught cannot be mistaken for something that it knows."""
    rng = np.random.default_rng(1)
    for other in world.MOTIONS:
        if other != novel:
            likeness = [agreement(world.track(novel, rng), world.track(other, rng)) for _ in range(20)]
            assert max(likeness) <= 0.7, other


def test_some_pairs_are_held_out_whole():
    """About an eighth of the pairs is never drawn for training, and only those are drawn as unseen."""
    rng = np.random.default_rng(2)
    pairs = [world.held_out(subject, other) for subject in world.SUBJECTS for other in world.BACKGROUNDS]
    assert 0.05 < np.mean(pairs) < 0.25
    for unseen in (False, True):
        scenes = [world.draw_scene(rng, unseen) for _ in range(40)]
        assert all(world.held_out(scene.subject, scene.background) == unseen for scene in scenes)


def test_prompts_say_what_is_drawn():
    """A prompt names colour, subject, motion and background, with the right article."""
    assert (
        world.prompt(world.Scene("square", "gray", "red"), "orbiting") == "a red square orbiting on a gray background"
    )
    assert world.prompt(world.Scene("star", "sky", "orange"), "growing").startswith("an orange star growing")
