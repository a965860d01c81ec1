"""Scenes and edges: where a film cuts hard, where it moves most, and whether black bars frame its picture."""

import math

import numpy as np
from numpy.typing import NDArray

from mdctl.errors import BadInput
from mdctl.media.frames import Frames, resized

Box = tuple[int, int, int, int]
"""A part of a picture: its left and upper edge, its width and height, in pixels of the upright source."""

Size = tuple[int, int]
"""Width and height in pixels."""

Span = tuple[float, float]
"""The seconds between which something lies."""

_CUT_DIFFERENCE = 3.0
_CUT_RATIO = 4.0
_LIKENESS = 0.7
_ALMOST_ONE = 0.9
_SHIFT = 0.35
_FLASH_FRAMES = 4
_NEAR_BEST = 0.98
_BLACK = 12
_LEAST_BAR = 0.02
_LIT = 0.3
_EVEN = 1.5
_FINER = 3


# --- Cuts and motion.


def motion(frames: NDArray[np.uint8]) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """How much changes from each frame (f h w, grey) to the next, and which of these changes are hard cuts.

    A cut changes far more than its neighbours do and leaves neither the layout nor the brightness as it was. What is as
    before a moment later was a flash; what changes so from frame to frame is a camera that whips around.
    """
    pictures = frames.astype(np.float32)
    changes = np.abs(np.diff(pictures, axis=0)).mean((1, 2), dtype=np.float64)
    flat = pictures - pictures.mean((1, 2), keepdims=True)
    spread = np.sqrt((flat**2).mean((1, 2))) + 1
    levels = np.stack([np.bincount(frame.ravel() // 16, minlength=16) for frame in frames]) / frames[0].size

    def likeness(first: "slice | int", then: "slice | int") -> "NDArray[np.float32]":
        likely: NDArray[np.float32] = (flat[first] * flat[then]).mean((-1, -2)) / (spread[first] * spread[then])
        return likely

    def shift(first: "slice | int", then: "slice | int") -> "NDArray[np.float64]":
        moved: NDArray[np.float64] = np.abs(levels[first] - levels[then]).sum(-1) / 2
        return moved

    before, after = slice(None, -1), slice(1, None)
    around = [np.r_[changes[max(0, i - 6) : i], changes[i + 1 : i + 7]] for i in range(len(changes))]
    usual = np.array([np.median(near) if len(near) else 0.0 for near in around])
    sudden = (changes > _CUT_DIFFERENCE) & (changes > _CUT_RATIO * (usual + 0.5))
    like = likeness(before, after)
    cuts = sudden & ((like < _LIKENESS) | ((shift(before, after) > _SHIFT) & (like < _ALMOST_ONE)))

    found = np.flatnonzero(cuts)
    for run in np.split(found, np.flatnonzero(np.diff(found) > 1) + 1):
        cuts[run] &= len(run) < 3
    found = np.flatnonzero(cuts)
    for first in map(int, found):
        for last in map(int, found[(found > first) & (found <= first + _FLASH_FRAMES)]):
            if cuts[first] and likeness(first, last + 1) > _LIKENESS and shift(first, last + 1) <= _SHIFT:
                cuts[first : last + 1] = False
    return changes, cuts


def liveliest(
    times: NDArray[np.float64],
    changes: NDArray[np.float64],
    cuts: NDArray[np.bool_],
    end_s: float,
    length_s: float,
    fps: float,
) -> float:
    """The start of the window with the fewest cuts and, among those, the most motion; the earliest of equals."""
    starts = np.flatnonzero(times <= max(end_s - length_s, times[0]) + 1e-3)
    lasts = np.searchsorted(times, times[starts] + length_s - 1 / fps, side="right") - 1
    moved = np.concatenate([[0.0], np.cumsum(np.where(cuts, 0.0, changes))])
    jumped = np.concatenate([[0], np.cumsum(cuts)])
    inside_cuts = jumped[lasts] - jumped[starts]
    lively = np.where(inside_cuts == inside_cuts.min(), moved[lasts] - moved[starts], -1.0)
    return float(times[starts[np.argmax(lively >= _NEAR_BEST * lively.max())]])


def spans(
    times: NDArray[np.float64], cuts: NDArray[np.bool_], begin_s: float, end_s: float, gap_s: float
) -> list[Span]:
    """The seconds between which each scene lies, in milliseconds that hold no frame of another."""
    first = times[1:][cuts]
    inside = first[(first > begin_s + gap_s / 2) & (first < end_s - gap_s / 2)]
    starts = [begin_s, *inside]
    ends = [*(inside - 0.4 * gap_s), end_s]  # a frame counts from almost half its length before its time
    return [(math.ceil(1000 * a) / 1000, math.floor(1000 * b) / 1000) for a, b in zip(starts, ends, strict=True)]


# --- Black bars.


def barred(frames: NDArray[np.uint8]) -> bool:
    """Whether black bars seem to stay above and below, or left and right, in all of these small grey frames (f h w)."""
    for turned in (frames, frames.transpose(0, 2, 1)):
        if (bars := _black(turned, 100)) and _lit_beside(turned, bars, 1, _BLACK):
            return True
    return False


def inner(frames: Frames) -> Box | None:
    """Where the picture lies between black bars in frames of full size; None where there are none."""
    light = frames.max(3)
    height, width = light.shape[1:]
    top, bottom = _measured(light)
    left, right = _measured(light.transpose(0, 2, 1))
    return (left, top, width - left - right, height - top - bottom) if top or left else None


def _black(frames: NDArray[np.uint8], percentile: float) -> tuple[int, int] | None:
    """How many rows are black above and below; None where they are not about as many, or hardly any."""
    height = frames.shape[1]
    lit = np.flatnonzero(np.percentile(frames.max(0), percentile, axis=1) > _BLACK)
    if len(lit) < height / 4:
        return None
    above, below = int(lit[0]), int(height - 1 - lit[-1])
    least, most = sorted((above, below))
    return None if least < max(1, _LEAST_BAR * height) or most > _EVEN * least + 1 else (above, below)


def _lit_beside(frames: NDArray[np.uint8], bars: tuple[int, int], step: int, level: int) -> bool:
    """Whether the picture is lit beside these rows over much of its width, in single frames and not over time.

    A dark scene has black edges too, but it fades into them, or something bright passes before them.
    """
    beside = frames[:, [bars[0] + step, frames.shape[1] - 1 - bars[1] - step]]
    wide = np.percentile((beside > level).mean(2), 75, axis=0)
    return bool((wide >= _LIT).all())


def _measured(light: NDArray[np.uint8]) -> tuple[int, int]:
    """How many rows to take off above and below in frames of full size, with what a codec has mixed; 0 without bars."""
    bars = _black(light, 70)
    if bars is None:
        return 0, 0
    rows = light.max(0).mean(1)
    above, below = _steepest(rows, bars[0]), _steepest(rows[::-1], bars[1])
    mixed = max(1, light.shape[1] // 240)
    return (above + mixed, below + mixed) if _lit_beside(light, (above, below), mixed, 2 * _BLACK) else (0, 0)


def _steepest(rows: NDArray[np.float64], first: int) -> int:
    """The row near the first lit one before which the light rises most: a codec smears bright edges into the black."""
    near = rows[first - 1 : first + 4 + len(rows) // 100]
    return first + int(np.argmax(np.diff(near)))


def finer(box: Box, width: int, height: int) -> float:
    """By how much a source is to be scaled before a part of it is taken out and brought to its size."""
    return min(1.0, _FINER * max(width / box[2], height / box[3]))


def taken_out(frames: Frames, box: Box, scale: float, width: int, height: int) -> Frames:
    """The centre of a part of frames that were scaled, at its size (f, height, width, 3); no bar shines through."""
    tall, wide = frames.shape[1:3]
    blurred = 2 if scale < 1 else 0  # so far the scaling has mixed bar and picture
    left, top = (math.ceil(edge * scale) + blurred * (edge > 0) for edge in box[:2])
    right = min(wide, math.floor((box[0] + box[2]) * scale) - blurred * (left > 0))
    bottom = min(tall, math.floor((box[1] + box[3]) * scale) - blurred * (top > 0))
    if right <= left or bottom <= top:
        raise BadInput(
            f"the part {box} of a clip does not lie in its picture.", fix="mdctl clips set NAME NUMBER --keep-bars"
        )
    shape = min((right - left) / width, (bottom - top) / height)
    across, down = max(1, round(width * shape)), max(1, round(height * shape))
    x, y = left + (right - left - across) // 2, top + (bottom - top - down) // 2
    part = frames[:, y : y + down, x : x + across]
    return part if part.shape[1:3] == (height, width) else resized(part, width, height)
