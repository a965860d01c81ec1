"""Helpers of the tests that read films."""

from collections.abc import Callable
from pathlib import Path

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
