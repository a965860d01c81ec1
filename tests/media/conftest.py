"""Films made on the spot by our own ffmpeg: one for every oddity that a clip can have."""

import subprocess
from hashlib import blake2b
from pathlib import Path

import pytest
from films import Film

from mdctl.media import ffmpeg

X264 = ["-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p"]
LEVELS = "color=black:s=32x32:r=30:d=3,format=gray,geq=lum=2*N"
"""Ninety frames at 30 fps whose brightness is twice their number: time made visible."""


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
