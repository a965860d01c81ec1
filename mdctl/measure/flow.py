"""How pixels move between frames, without any weights: dense optical flow (OpenCV's DIS) and points that follow it."""

import itertools
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np
from numpy.typing import NDArray

from mdctl.media.frames import Frames

BACKEND = f"OpenCV {cv2.__version__} DIS medium"
"""What reckons the flow; with another one the figures are others."""

SHORT_SIDE = 128
SMALL, ENLARGED = 64, 256
"""On small frames flow falls short of small displacements: those of up to `SMALL` pixels are enlarged to `ENLARGED`."""

GRID = 24
ALIVE = 0.8
"""Share of the frames through which a point has to be followed."""

Values = NDArray[np.float64]
Grey = NDArray[np.uint8]


@dataclass(frozen=True)
class Flows:
    """Flow between neighbouring frames, in pixels of the frames, (f - 1, h, w, 2); x before y."""

    forward: Values
    back: Callable[[], Values]
    """Reckons `backward`, which only tracks need, and which takes as long again."""

    @cached_property
    def backward(self) -> Values:
        """From each second frame back to the first."""
        return self.back()


def flows(frames: Frames) -> Flows:
    """Flow in both directions between all neighbours of a video (f, h, w, 3)."""
    height, width = frames.shape[1:3]
    short = min(height, width)
    scale = max(1.0, (ENLARGED if short <= SMALL else SHORT_SIDE) / short)
    size = (round(width * scale), round(height * scale))
    greys = [
        cv2.resize(cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY), size, interpolation=cv2.INTER_CUBIC) for frame in frames
    ]

    def along(pairs: Iterable[tuple[Grey, Grey]]) -> Values:
        found = [_flow(before, after, (width, height)) for before, after in pairs]
        return np.stack(found) if found else np.zeros((0, height, width, 2))

    pairs = list(itertools.pairwise(greys))
    return Flows(along(pairs), lambda: along((second, first) for first, second in pairs))


def _flow(before: Grey, after: Grey, size: tuple[int, int]) -> Values:
    engine = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    found = engine.calc(before, after, None)
    scale = found.shape[1] / size[0], found.shape[0] / size[1]
    small: Values = cv2.resize(found, size, interpolation=cv2.INTER_AREA).astype(np.float64) / scale
    return small


def tracks(found: Flows, grid: int = GRID) -> Values:
    """Points of an even grid, followed through a video by its flow, (n, f, 2); only those that stay in sight.

    A point is lost where flow there and back disagree, ‖f + b‖² > 0.01 (‖f‖² + ‖b‖²) + 0.5, or at the border. It then
    stays where it was last seen, and counts if that was after `ALIVE` of the frames.
    """
    steps, height, width = found.forward.shape[:3]
    y, x = np.meshgrid((np.arange(grid) + 0.5) * height / grid, (np.arange(grid) + 0.5) * width / grid, indexing="ij")
    points = np.stack([x.ravel(), y.ravel()], 1)
    path, alive, seen = [points], np.ones(len(points), bool), np.ones(len(points))
    for step in range(steps):
        there = at(found.forward[step], points)
        landed = points + there
        back = at(found.backward[step], landed)
        disagreement = np.square(there + back).sum(1)
        allowed = 0.01 * (np.square(there).sum(1) + np.square(back).sum(1)) + 0.5
        inside = ((landed >= 0) & (landed <= (width - 1, height - 1))).all(1)
        alive = alive & inside & (disagreement <= allowed)
        points = np.where(alive[:, None], landed, points)
        seen += alive
        path.append(points)
    kept: Values = np.stack(path, 1)[seen >= ALIVE * (steps + 1)]
    return kept


def at(flow: Values, points: Values) -> Values:
    """The flow (h, w, 2) at places between pixels (n, 2)."""
    x, y = points.astype(np.float32).T
    found = cv2.remap(flow.astype(np.float32), x[None], y[None], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(found[0], np.float64)
