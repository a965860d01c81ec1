"""Readings of drawn truth, of worn truth, and of what shows nothing."""

from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch

from mdctl.errors import BadInput
from mdctl.measure.readers import Reading, accuracy, read
from mdctl.measure.statistics import wilson
from mdctl.media import motions, world
from mdctl.media.frames import Frames
from mdctl.media.motions import CAMERA_MOTIONS, MOTIONS, Track
from mdctl.media.world import Scene
from mdctl.motion import families
from mdctl.motion.dataset import to_frames, to_pixels
from mdctl.workspace import weights

Case = tuple[Reading, Scene, str, Track]


def _worn(frames: Frames, rng: np.random.Generator) -> Frames:
    """Frames as a model may draw them: soft, noisy and off in colour."""
    soft = np.stack([cv2.GaussianBlur(frame, (0, 0), 1.0) for frame in frames]).astype(float)
    worn = soft + rng.normal(0, 8, frames.shape) + rng.choice([-8, 8], 3)
    return np.asarray(worn.clip(0, 255), np.uint8)


def _cases(count: int, seed: int, worn: bool = False) -> list[Case]:
    """Readings of random scenes in random motions, every fourth of a pair that training never shows."""
    rng, cases = np.random.default_rng(seed), []
    for index in range(count):
        scene, motion = world.draw_scene(rng, unseen=index % 4 == 0), str(rng.choice(list(MOTIONS)))
        if motion in CAMERA_MOTIONS:  # plain colour does not show them
            scene = replace(scene, background=str(rng.choice(world.TEXTURED)))
        track = motions.track(motion, rng)
        frames, _ = world.render(scene, track)
        cases.append((read(_worn(frames, rng) if worn else frames), scene, motion, track))
    return cases


def _clip(subject: str, background: str, colour: str | None = None, motion: str = "moving right") -> Frames:
    return world.render(Scene(subject, background, colour), motions.track(motion, np.random.default_rng(3)))[0]


@pytest.fixture(scope="module")
def drawn() -> list[Case]:
    """Truth as the world draws it."""
    return _cases(130, seed=0)


def test_what_the_world_draws_is_read_right(drawn: list[Case]) -> None:
    """Of drawn truth at least 99 % is read right in every attribute, held-out pairs included."""
    for attribute, share in accuracy(case[:3] for case in drawn).items():
        assert share.value >= 0.99, f"{attribute}: {share}"


def test_tracks_lie_where_the_subject_was(drawn: list[Case]) -> None:
    """Tracks are half a pixel off at most on average, and sizes a twentieth."""
    pairs = [(reading.track, truth) for reading, _, _, truth in drawn if reading.track]
    assert len(pairs) >= 0.99 * len(drawn)
    assert np.mean([np.hypot(seen.x - truth.x, seen.y - truth.y).mean() for seen, truth in pairs]) <= 0.5
    assert np.mean([np.abs(seen.size / truth.size - 1).mean() for seen, truth in pairs]) <= 0.05


def test_what_a_model_would_draw_is_read_right() -> None:
    """Blur, noise and a cast together cost next to nothing."""
    for attribute, share in accuracy(case[:3] for case in _cases(60, seed=1, worn=True)).items():
        assert share.value >= 0.97, f"{attribute}: {share}"


@pytest.mark.parametrize(
    ("subject", "background", "colour"),
    [
        ("ghost", "sky", None),
        ("ghost", "checkered", None),
        ("statue", "gray", None),
        ("robot", "gray", None),
        ("penguin", "black", None),
        ("duck", "brick", None),
        ("tree", "grass", None),
        ("circle", "grass", "green"),
        ("square", "checkered", "white"),
        ("star", "starry", "blue"),
    ],
)
def test_a_subject_that_hardly_stands_out_is_read(subject: str, background: str, colour: str | None) -> None:
    """Low contrast hides neither a subject nor its motion, not even when the drawing is worn."""
    rng = np.random.default_rng(2)
    reading = read(_worn(_clip(subject, background, colour), rng))
    assert (reading.subject, reading.background, reading.colour) == (subject, background, colour)
    assert reading.motion == "moving right"


def test_what_the_vae_of_starter_draws_is_read_right() -> None:
    """So is what has been through its VAE, each motion once; but a camera that moves before grass is lost there."""
    starter = families.load(weights.find("starter")[1], torch.device("cpu"), torch.float32)
    rng, cases = np.random.default_rng(5), []
    for index, motion in enumerate(MOTIONS):
        scene = world.draw_scene(rng, unseen=index % 4 == 0)
        if motion in CAMERA_MOTIONS:
            scene = replace(scene, background=str(rng.choice([name for name in world.TEXTURED if name != "grass"])))
        frames, _ = world.render(scene, motions.track(motion, rng))
        drawn = to_frames(starter.decode(starter.encode(to_pixels(frames)).mean))
        cases.append((read(drawn), scene, motion))
    for attribute, share in accuracy(cases).items():
        assert share.value == 1, f"{attribute}: {share}"


def test_shuffled_answers_are_right_by_chance_only(drawn: list[Case]) -> None:
    """Readings of other clips are right in about one of K cases."""
    shapes = [case for case in drawn if case[1].colour]
    for attribute, kinds, among, off in (
        ("subject", world.SUBJECTS, drawn, 0.03),
        ("colour", world.COLOURS, shapes, 0.05),  # there are fewer
        ("background", world.BACKGROUNDS, drawn, 0.03),
        ("motion", MOTIONS, drawn, 0.03),
    ):
        turns = [among[turn:] + among[:turn] for turn in range(1, min(21, len(among)))]
        shares = accuracy((one[0], *other[1:3]) for turn in turns for one, other in zip(among, turn, strict=True))
        assert shares[attribute].value == pytest.approx(1 / len(kinds), abs=off), attribute


@pytest.mark.parametrize("still", [False, True])
@pytest.mark.parametrize("softness", [0, 2, 5])
def test_noise_shows_nothing(still: bool, softness: int) -> None:
    """In noise of any grain nothing is seen, whether it flickers or stands."""
    rng = np.random.default_rng(4)
    noise = rng.normal(0, 1, (1 if still else 16, 64, 64, 3))
    if softness:
        noise = np.stack([cv2.GaussianBlur(frame, (0, 0), softness) for frame in noise])
    frames = (127 + 70 * noise / noise.std()).clip(0, 255).astype(np.uint8)
    reading = read(np.repeat(frames, 16 // len(frames), 0))
    assert (reading.background, reading.subject, reading.colour, reading.motion) == (None,) * 4
    assert not reading.static


@pytest.mark.parametrize("background", world.BACKGROUNDS)
def test_an_empty_scene_has_a_background_alone(background: str) -> None:
    """Where nothing stands before a background, there is no subject and no motion."""
    reading = read(np.repeat(world.BACKGROUNDS[background][None], 16, 0))
    assert reading == Reading(background, None, None, None, None, 0.0, static=False)


@pytest.mark.parametrize("level", [70, 255])
def test_a_blank_clip_shows_nothing(level: int) -> None:
    """A plain colour that is no background of the world is not taken for one."""
    assert read(np.full((16, 64, 64, 3), level, np.uint8)) == Reading(None, None, None, None, None, 0.0, static=False)


def test_a_colour_off_the_palette_has_no_name() -> None:
    """A brown square is a square of no colour."""
    frames, masks = world.render(Scene("square", "sky", "red"), motions.track("growing", np.random.default_rng(5)))
    frames[masks] = (96, 78, 60)
    reading = read(frames)
    assert (reading.subject, reading.colour, reading.motion) == ("square", None, "growing")


def test_glyphs_have_no_colour() -> None:
    """A colour is read of shapes only."""
    assert read(_clip("car", "sand")).colour is None


@pytest.mark.parametrize(("missing", "subject", "tracked"), [(2, "dog", True), (3, "dog", False), (5, None, False)])
def test_few_missing_frames_are_bridged(missing: int, subject: str | None, tracked: bool) -> None:
    """Two frames without a subject are bridged; more end the track, and more than a quarter the subject."""
    frames = _clip("dog", "sky")
    frames[6 : 6 + missing] = world.BACKGROUNDS["sky"]
    reading = read(frames)
    assert (reading.subject, reading.track is not None) == (subject, tracked)
    assert reading.motion == ("moving right" if tracked else None)
    assert reading.found == 1 - missing / 16


def test_a_subject_that_stands_still_is_static() -> None:
    """Standing still is a motion of its own, and the only one that is static."""
    assert read(_clip("cat", "brick", motion="standing still")).static
    assert not read(_clip("cat", "brick", motion="growing")).static


def test_a_single_frame_shows_a_scene_without_motion() -> None:
    """One frame is enough for who and where, and too few for how."""
    reading = read(_clip("star", "grass", "pink")[:1])
    assert (reading.subject, reading.colour, reading.background) == ("star", "pink", "grass")
    assert reading.motion is None
    assert not reading.motions


def test_frames_of_another_world_are_refused() -> None:
    """Readers say which frames they know."""
    with pytest.raises(BadInput, match="128"):
        read(np.zeros((16, 128, 128, 3), np.uint8))


def test_a_clip_without_a_subject_is_wrong_in_everything() -> None:
    """It counts against every attribute, even against the background that was read."""
    empty = Reading("sky", None, None, None, None, 0.0, static=False)
    shares = accuracy([(empty, Scene("circle", "sky", "red"), "growing")])
    assert {key: (share.right, share.n) for key, share in shares.items()} == dict.fromkeys(shares, (0, 1))


def test_attributes_are_counted_one_by_one() -> None:
    """Each attribute has its own share; colour is asked of shapes only, and `all` needs every one."""
    right = Reading("sky", "circle", "red", "growing", None, 1.0, static=False)
    asked = [Scene("circle", "sky", "red"), Scene("circle", "sky", "blue"), Scene("dog", "sky")]
    shares = accuracy((right, scene, "growing") for scene in asked)
    counted = {key: (share.right, share.n) for key, share in shares.items()}
    assert counted == {"subject": (2, 3), "colour": (1, 2), "background": (3, 3), "motion": (3, 3), "all": (1, 3)}
    assert shares["colour"].interval == wilson(1, 2)
