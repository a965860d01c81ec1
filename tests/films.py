"""Helpers of the tests that read films."""

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np

from mdctl.media.ffmpeg import decode
from mdctl.media.frames import Frames
from mdctl.media.probe import probe

Film = Callable[..., Path]
"""`film("name.mp4", *options)` makes a file once a session; the options are ffmpeg's, without the output."""


def read(
    path: Path, *, start_s: float = 0.0, fps: float = 10, num_frames: int = 1, size: tuple[int, int] = (32, 32)
) -> Frames:
    """Probe and decode in one go."""
    source = probe(path)
    return decode(path, source, start_s=start_s, fps=fps, num_frames=num_frames, width=size[0], height=size[1])


def moving(size: int, dx: int, dy: int, count: int = 8, seed: int = 0) -> Frames:
    """A square window that moves over a smooth texture, so that what it shows moves by (dx, dy) a frame."""
    noise = np.random.default_rng(seed).normal(0, 1, (2 * size, 2 * size, 3))
    smooth = cv2.GaussianBlur(noise, (0, 0), size / 24)
    picture = np.asarray((127 + 55 * smooth / smooth.std()).clip(0, 255), np.uint8)
    corners = [(size // 2 - i * dy, size // 2 - i * dx) for i in range(count)]
    return np.stack([picture[top : top + size, left : left + size] for top, left in corners])
