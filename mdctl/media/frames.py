"""What a clip is in memory."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Frames = NDArray[np.uint8]
"""Frames of a clip or video, (f, h, w, c), red, green and blue in 0..255."""


def resized(frames: Frames, width: int, height: int) -> Frames:
    """The frames at another size, both sides stretched or shrunk on their own (bicubic)."""
    images = [Image.fromarray(frame).resize((width, height), Image.Resampling.BICUBIC) for frame in frames]
    return np.stack([np.asarray(image) for image in images])
