"""Films made on the spot by our own ffmpeg, one for every oddity that a clip can have, and helpers to read them."""

import subprocess
from collections.abc import Callable
from hashlib import blake2b
from pathlib import Path

import cv2
import numpy as np
import pytest

from mdctl.media import ffmpeg
from mdctl.media.ffmpeg import decode
from mdctl.media.frames import Frames
from mdctl.media.probe import probe

Film = Callable[..., Path]
"""`film("name.mp4", *options)` makes a file once a session; the options are ffmpeg's, without the output."""

X264 = ("-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p")
LEVELS = "color=black:s=32x32:r=30:d=3,format=gray,geq=lum=2*N"
"""Ninety frames at 30 fps whose brightness is twice their number: time made visible."""


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


def lavfi(graph: str) -> list[str]:
    """Input options for a picture that ffmpeg draws itself."""
    return ["-f", "lavfi", "-i", graph]


@pytest.fixture(scope="session")
def film(tmp_path_factory: pytest.TempPathFactory) -> Film:
    """`film("name.mp4", *options)` makes a file once a session; the options are ffmpeg's, without the output."""
    folder = tmp_path_factory.mktemp("films")
    program = ffmpeg.executable()

    def make(name: str, *options: str) -> Path:
        path = folder / blake2b(repr(options).encode(), digest_size=6).hexdigest() / name
        if not path.exists():
            path.parent.mkdir(exist_ok=True)
            command = [program, "-nostdin", "-v", "error", "-bitexact", *options, f"file:{path}"]
            subprocess.run(command, check=True, capture_output=True)
        return path

    return make


@pytest.fixture(scope="session")
def base(film: Film) -> Path:
    """Three seconds, 160x90, 30 fps, H.264: an ordinary clip."""
    return film("base.mp4", *lavfi("testsrc2=s=160x90:r=30:d=3"), *X264, "-movflags", "+faststart")


@pytest.fixture(scope="session")
def levels(film: Film) -> Path:
    """Ninety frames at 30 fps whose brightness is twice their number, without loss."""
    return film("levels.mkv", *lavfi(LEVELS), "-c:v", "ffv1")
