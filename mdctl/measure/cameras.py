"""Where the camera stands in every frame of a clip of the world, from how its background lies."""

import cv2
import numpy as np
from numpy.typing import NDArray

from mdctl.media import world
from mdctl.media.frames import Frames
from mdctl.media.motions import MIDDLE, Camera

# Chosen on renderings of moving and of still cameras, clean and worn.
_ENLARGED = 2
_SOFT = 2.0  # pixels within which details are forgiven, when frame and background are compared
_WIDE = 10.0  # pixels beyond which a difference is the subject and not the texture
_BACKGROUND = 80  # percent of a frame that may be background
_STEPS = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, 30, 1e-4)
_BLUR = 7  # of the alignment itself
_LARGEST = 4.0, 0.15  # pixels, and log size, by which a camera can move from one frame to the next

Matrix = NDArray[np.float64]


def camera(frames: Frames, background: str) -> Camera | None:
    """How the scene lies in each frame, when its background is this one; None where plain colour does not show it.

    Each frame is aligned (ECC) with the tile of the background as it lay in the frame before, so that errors do not add
    up; what differs most from it is the subject and has no say.
    """
    if background not in world.TEXTURED:
        return None
    lies = [np.eye(2, 3)]
    for frame in frames:
        expected = world.backdrop(background, _camera(lies[-1:]), 0)
        step = _displacement(_grey(expected * np.float32(255)), _grey(frame.astype(np.float32)))
        lies.append(step @ np.vstack([lies[-1], (0, 0, 1)]))
    return _camera(lies[1:])


def _grey(image: NDArray[np.float32]) -> NDArray[np.float32]:
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    return np.asarray(cv2.resize(grey, None, fx=_ENLARGED, fy=_ENLARGED, interpolation=cv2.INTER_CUBIC), np.float32)


def _displacement(expected: NDArray[np.float32], seen: NDArray[np.float32]) -> Matrix:
    """The shift, turn and zoom that bring the background to where it is seen, (2, 3); none if nothing fits."""
    unlike = np.abs(cv2.GaussianBlur(expected, (0, 0), _SOFT) - cv2.GaussianBlur(seen, (0, 0), _SOFT))
    unlike = cv2.GaussianBlur(unlike, (0, 0), _WIDE)
    mask = (unlike <= np.percentile(unlike, _BACKGROUND)).astype(np.uint8)
    start = np.eye(2, 3, dtype=np.float32)
    try:
        _, found = cv2.findTransformECC(expected, seen, start, cv2.MOTION_AFFINE, _STEPS, mask, _BLUR)
    except cv2.error:  # it did not converge
        return np.eye(2, 3)

    # The nearest similarity, from enlarged pixels that are counted from their middle to the world's.
    cos, sin = (found[0, 0] + found[1, 1]) / 2, (found[1, 0] - found[0, 1]) / 2
    turned = np.array([[cos, -sin], [sin, cos]])
    middle = np.full(2, MIDDLE)
    moved = (found[:, :2] @ (_ENLARGED * middle - 0.5) + found[:, 2] + 0.5) / _ENLARGED - middle
    if np.hypot(*moved) > _LARGEST[0] or abs(np.log(np.hypot(cos, sin))) > _LARGEST[1]:
        return np.eye(2, 3)
    return np.column_stack([turned, moved + middle - turned @ middle])


def _camera(lies: list[Matrix]) -> Camera:
    stack = np.stack(lies)
    middle = stack @ (MIDDLE, MIDDLE, 1) - MIDDLE
    zoom, angle = np.hypot(stack[:, 0, 0], stack[:, 1, 0]), np.arctan2(stack[:, 1, 0], stack[:, 0, 0])
    return Camera(middle[:, 0], middle[:, 1], zoom, angle)
