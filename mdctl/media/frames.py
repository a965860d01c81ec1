"""What a clip is in memory."""

import numpy as np
from numpy.typing import NDArray

Frames = NDArray[np.uint8]
"""Frames of a clip or video, (f, h, w, c), red, green and blue in 0..255."""
