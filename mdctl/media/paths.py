"""How alike two tracks run: the motion score of `bench fidelity`, and that of every motion of the world."""

import functools

import numpy as np
from numpy.typing import NDArray

from mdctl.media import motions
from mdctl.media.motions import CAMERA_MOTIONS, MOTIONS, NUM_FRAMES, Camera, Track

HIT = 0.8
"""The agreement from which a motion counts as performed."""

STILL = 0.3
"""A track that reaches less far than this share of its reference does not move."""

SHIFT = 2
"""Frames by which a track may run ahead of its reference, or behind."""

Values = NDArray[np.float64]

_ZOOM = 30.0  # pixels that a unit of log size or angle is worth: the world's growing then reaches as far as its moving


@functools.cache
def references(motion: str, num_frames: int = NUM_FRAMES) -> tuple[Track, ...]:
    """A few ways in which a motion of the world runs; a track is compared with each of them."""
    return tuple(motions.track(motion, np.random.default_rng(seed), num_frames) for seed in range(4))


@functools.cache
def _ways(num_frames: int) -> Values:
    """The courses of all references: motions, ways, frames, 7."""
    return np.stack([_course(*references(motion, num_frames)) for motion in MOTIONS])


def _course(*tracks: Track) -> Values:
    """Where tracks go, (r, f, 7), in pixels: the subject's x, y and log size in the scene, and how the scene lies."""
    return np.stack([_in_scene(track) for track in tracks])


def _in_scene(track: Track) -> Values:
    camera = track.camera
    if camera is None:
        return np.pad(np.stack([track.x, track.y, _ZOOM * np.log(track.size)], 1), ((0, 0), (0, 4)))
    lies = [camera.matrix(frame) for frame in range(len(track.x))]
    places = np.stack(
        [np.linalg.solve(lie[:, :2], point - lie[:, 2]) for lie, point in zip(lies, track.points(), strict=True)]
    )
    sizes, scene = track.size / camera.zoom, camera_course(camera)
    return np.column_stack([places, _ZOOM * np.log(sizes), scene])


def camera_course(camera: Camera) -> Values:
    """How the scene lies, (f, 4): x, y, log zoom and angle, in pixels."""
    return np.stack([camera.x, camera.y, _ZOOM * np.log(camera.zoom), _ZOOM * camera.angle], 1)


def moves(camera: Camera) -> bool:
    """Whether a camera reaches as far as a camera of the world must, to be no camera that stands still."""
    ways = [way.camera for motion in CAMERA_MOTIONS for way in references(motion)]
    least = min(_reach(camera_course(way)[None])[0] for way in ways if way)
    return bool(_reach(camera_course(camera)[None])[0] >= STILL * least)


def _reach(courses: Values) -> Values:  # r f c → r
    """Root mean square distance from the mean place: unlike the length of a path, it does not grow by trembling."""
    reach = np.sqrt(courses.var(1).sum(-1))
    return np.where(reach < 1e-6, 0.0, reach)  # rounding is no motion


def amplitude(track: Track, reference: Track) -> float:
    """How far a track reaches, as a share of how far its reference does; 0 for a reference that stands still."""
    own, other = _reach(_course(track, reference))
    return float(own / other) if other > 0 else 0.0


def agreement(track: Track, reference: Track) -> float:
    """How alike two tracks of equal length run, in [-1, 1], wherever and however large they are.

    The correlation of their courses, the subject's in the scene and the camera's, the best over shifts by up to
    `SHIFT` frames, each centred anew on the overlap. It is 0 when one of them stands still, which is when it reaches
    less than `STILL` of the other.
    """
    return float(_agreements(_course(track), _course(reference))[0])


def _agreements(course: Values, others: Values) -> Values:  # 1 f 7, r f 7 → r
    frames, best = course.shape[1], np.full(len(others), -1.0)
    for shift in range(-SHIFT, SHIFT + 1):
        early, late = slice(max(0, -shift), frames - max(0, shift)), slice(max(0, shift), frames - max(0, -shift))
        own, other = (part - part.mean(1, keepdims=True) for part in (course[:, early], others[:, late]))
        norms = np.sqrt(np.square(own).sum((1, 2)) * np.square(other).sum((1, 2)))
        best = np.maximum(best, (own * other).sum((1, 2)) / np.maximum(norms, 1e-9))
    reaches = _reach(others)
    return np.where((_reach(course) < STILL * reaches) | (reaches == 0), 0.0, best)


def motion_scores(track: Track) -> dict[str, float]:
    """The agreement of a track with every motion of the world, each with its nearest reference.

    `standing still` has no course to agree with: it gets 1 when nothing else can be meant, else 0. A track of too few
    frames to be shifted has no scores.
    """
    num_frames = len(track.x)
    if num_frames <= 2 * SHIFT:
        return {}
    ways = _ways(num_frames)
    best = _agreements(_course(track), ways.reshape(-1, num_frames, ways.shape[-1])).reshape(ways.shape[:2]).max(1)
    scores = {motion: float(score) for motion, score in zip(MOTIONS, best, strict=True)}
    reaches = _reach(ways[: -len(CAMERA_MOTIONS)].reshape(-1, num_frames, ways.shape[-1]))
    nearest = reaches[reaches > 0].min()
    scores["standing still"] = float(_reach(_course(track))[0] < STILL * nearest)
    return scores
