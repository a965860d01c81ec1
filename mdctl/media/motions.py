"""How things and the camera move in the world of `starter`: what it is taught, and what is kept for learning.

Positions and sizes are pixels of a 64x64 frame; `x` grows to the right, `y` downwards, time runs over [0, 1].
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

NUM_FRAMES = 16
MIDDLE = 32.0
"""Of the frame, in x and in y: what the camera turns and zooms around."""

Values = NDArray[np.float64]
Rng = np.random.Generator


@dataclass(frozen=True)
class Camera:
    """How the scene lies in every frame: moved by x and y pixels, `zoom` times as large, turned by `angle` radians."""

    x: Values
    y: Values
    zoom: Values
    angle: Values

    def matrix(self, frame: int) -> Values:
        """Where a point of the scene is seen in this frame, (2, 3)."""
        cos, sin = self.zoom[frame] * np.cos(self.angle[frame]), self.zoom[frame] * np.sin(self.angle[frame])
        turned = np.array([[cos, -sin], [sin, cos]])
        moved = np.array([self.x[frame], self.y[frame]]) + MIDDLE - turned @ np.full(2, MIDDLE)
        return np.column_stack([turned, moved])


@dataclass(frozen=True)
class Track:
    """Where the subject is seen in every frame: centre and size in pixels, one value a frame."""

    x: Values
    y: Values
    size: Values
    camera: Camera | None = None
    """How the background lies; None where it fills the frame as it is."""

    def points(self) -> Values:
        """Centres as an array of shape (f, 2)."""
        return np.stack([self.x, self.y], 1)

    def at(self, frame: int) -> "Track":
        """One frame of it."""
        camera = self.camera and Camera(*(values[[frame]] for values in vars(self.camera).values()))
        return Track(self.x[[frame]], self.y[[frame]], self.size[[frame]], camera)


Motion = Callable[[Values, Rng], Track]
"""Each draws its own start, reach and size, so that the subject stays within the frame."""


# --- What `starter` is taught.


def _still(t: Values, rng: Rng) -> Track:
    x, y = rng.uniform(16, 48, 2)
    return Track(x + 0 * t, y + 0 * t, rng.uniform(22, 28) + 0 * t)


def _straight(dx: int, dy: int) -> Motion:
    def track(t: Values, rng: Rng) -> Track:
        along = MIDDLE + rng.uniform(-2, 2) + rng.uniform(17, 20) * (2 * t - 1)
        across = rng.uniform(17, 47) + 0 * t
        size = rng.uniform(22, 27) + 0 * t
        x = along if dx > 0 else 64 - along if dx < 0 else across
        y = along if dy > 0 else 64 - along if dy < 0 else across
        return Track(x, y, size)

    return track


def _scaled(grows: bool) -> Motion:
    def track(t: Values, rng: Rng) -> Track:
        x, y = rng.uniform(26, 38, 2)
        small, large = rng.uniform(11, 14), rng.uniform(38, 44)
        size = small + (large - small) * (t if grows else 1 - t)
        return Track(x + 0 * t, y + 0 * t, size)

    return track


BASE_MOTIONS: dict[str, Motion] = {
    "moving left": _straight(-1, 0),
    "moving right": _straight(1, 0),
    "moving up": _straight(0, -1),
    "moving down": _straight(0, 1),
    "standing still": _still,
    "growing": _scaled(True),
    "shrinking": _scaled(False),
    "moving up left": _straight(-1, -1),
    "moving up right": _straight(1, -1),
    "moving down left": _straight(-1, 1),
    "moving down right": _straight(1, 1),
}
"""What `starter` is taught."""


# --- What it is never taught: for the subject, and for the camera.


def _orbiting(t: Values, rng: Rng) -> Track:
    x, y = rng.uniform(30, 34, 2)
    radius = rng.uniform(14, 18)
    turn = 2 * np.pi * t - np.pi / 2
    return Track(x + radius * np.cos(turn), y + radius * np.sin(turn), rng.uniform(20, 24) + 0 * t)


def _zigzag(t: Values, rng: Rng) -> Track:
    y, reach = rng.uniform(30, 34), rng.uniform(15, 18)
    saw = 2 * np.abs(2 * ((2 * t + 0.5) % 1) - 1) - 1
    return Track(64 - (19 + 26 * t), y + reach * saw, rng.uniform(20, 24) + 0 * t)


def _bouncing(t: Values, rng: Rng) -> Track:
    x, floor, height = rng.uniform(24, 40), rng.uniform(48, 51), rng.uniform(26, 32)
    return Track(x + 0 * t, floor - height * np.abs(np.sin(2 * np.pi * t)), rng.uniform(20, 24) + 0 * t)


def _spiral(t: Values, rng: Rng) -> Track:
    x, y = rng.uniform(31, 33, 2)
    radius = rng.uniform(18, 20) * (1 - 0.85 * t)
    turn = np.pi - 3.4 * np.pi * t  # against the clock, unlike an orbit
    return Track(x + radius * np.cos(turn), y + radius * np.sin(turn), rng.uniform(18, 22) + 0 * t)


def _pendulum(t: Values, rng: Rng) -> Track:
    x, length = rng.uniform(30, 34), rng.uniform(32, 36)
    angle = rng.uniform(0.6, 0.7) * np.cos(3 * np.pi * t)
    return Track(x + length * np.sin(angle), 16 + length * np.cos(angle), rng.uniform(20, 24) + 0 * t)


def _figure_eight(t: Values, rng: Rng) -> Track:
    x, y = rng.uniform(31, 33, 2)
    wide, high = rng.uniform(10, 12), rng.uniform(17, 19)
    return Track(x + wide * np.sin(4 * np.pi * t), y + high * np.cos(2 * np.pi * t), rng.uniform(18, 22) + 0 * t)


NOVEL_MOTIONS: dict[str, Motion] = {
    "orbiting": _orbiting,
    "zigzagging": _zigzag,
    "bouncing": _bouncing,
    "spiralling in": _spiral,
    "swinging": _pendulum,
    "looping in a figure eight": _figure_eight,
}
"""What `starter` is never taught, kept for learning by MotionDirector."""


def _seen_by(camera: Camera, x: float, y: float, size: float) -> Track:
    """A subject that stands still in the scene."""
    points = np.stack([camera.matrix(frame) @ (x, y, 1) for frame in range(len(camera.x))])
    return Track(points[:, 0], points[:, 1], size * camera.zoom, camera)


def _zoom(t: Values, rng: Rng) -> Track:
    camera = Camera(0 * t, 0 * t, rng.uniform(1.6, 1.75) ** t, 0 * t)
    return _seen_by(camera, rng.uniform(27, 37), rng.uniform(27, 37), rng.uniform(20, 23))


def _pan(t: Values, rng: Rng) -> Track:
    camera = Camera(-rng.uniform(17, 20) * t, 0 * t, 1 + 0 * t, rng.uniform(0.25, 0.32) * t)
    return _seen_by(camera, rng.uniform(38, 44), rng.uniform(26, 38), rng.uniform(21, 24))


CAMERA_MOTIONS: dict[str, Motion] = {"zooming in": _zoom, "panning and turning": _pan}
"""Of the camera, also never taught; only textured backgrounds show them."""

# --- What `starter` is taught besides, in many forms and without a word for each of them.


def wandering(t: Values, rng: Rng) -> Track:
    """A path of its own, smooth or with corners: what a model must know of motion to learn one more."""
    wave = _smooth if rng.random() < 0.5 else _cornered
    x, y = (_within(wave(t, rng), 0.0 if rng.random() < 0.15 else rng.uniform(5, 20), rng) for _ in "xy")
    return Track(x, y, rng.uniform(18, 26) + 0 * t)


def _smooth(t: Values, rng: Rng) -> Values:
    pace = np.arange(1, 5)
    waves = np.cos(np.pi * (pace * t[:, None] + rng.uniform(0, 2, 4)))
    return np.asarray(waves @ (rng.normal(size=4) / np.sqrt(pace)))


def _cornered(t: Values, rng: Rng) -> Values:
    corners = int(rng.integers(3, 7))
    return np.interp(t, np.linspace(0, 1, corners), rng.uniform(-1, 1, corners))


def _within(wave: Values, reach: float, rng: Rng) -> Values:
    """A wave that goes `reach` pixels to either side of a middle, within the frame."""
    low, high = wave.min(), wave.max()
    middle = rng.uniform(12 + reach, 52 - reach)
    return np.asarray(middle + reach * (2 * (wave - low) / max(high - low, 1e-6) - 1))


def drifting(t: Values, rng: Rng) -> Track:
    """A subject that stands still in a scene, before a camera that pans, turns or zooms out, one of these alone."""
    way = str(rng.choice(["pan", "turn", "zoom"]))
    x, y, angle, zoom = 0 * t, 0 * t, 0 * t, 1 + 0 * t
    if way == "pan":
        towards, far = rng.uniform(0, 2 * np.pi), rng.uniform(10, 22)
        x, y = far * np.cos(towards) * (t - 0.5), far * np.sin(towards) * (t - 0.5)
    elif way == "turn":
        angle = rng.uniform(0.2, 0.5) * rng.choice([-1, 1]) * (t - 0.5)
    else:
        zoom = rng.uniform(1.4, 1.8) ** (1 - t)
    camera, (at_x, at_y) = Camera(x, y, zoom, angle), rng.uniform(25, 39, 2)
    return _seen_by(camera, at_x, at_y, rng.uniform(20, 24))


MOTIONS = BASE_MOTIONS | NOVEL_MOTIONS | CAMERA_MOTIONS


def track(motion: str, rng: Rng, num_frames: int = NUM_FRAMES) -> Track:
    """One way this motion can run, over `num_frames` frames."""
    return MOTIONS[motion](np.linspace(0, 1, num_frames), rng)


def another_view(rng: Rng, num_frames: int = NUM_FRAMES) -> Camera:
    """A camera that stands still elsewhere: `starter` knows how this looks, though never a camera that moves."""
    x, y = rng.uniform(-18, 18), rng.uniform(-8, 8)
    zoom, angle = 1.75 ** rng.uniform(0, 1), rng.uniform(-0.32, 0.32)
    return Camera(*(np.full(num_frames, value) for value in (x, y, zoom, angle)))
