"""What a source holds is told before it is decoded; what is none is refused with a reason."""

from pathlib import Path

import pytest
from films import Film

from mdctl.media import probe as probing
from mdctl.media.probe import probe

TEST = "testsrc2=s=160x90:r=30:d=1"
X264 = ("-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p")
SOURCE = ("-f", "lavfi", "-i", TEST)
READERS = {
    "a.mp4": ("mov", *X264),
    "a.mov": ("mov", "-c:v", "prores_ks"),
    "a.mkv": ("matroska", *X264),
    "a.webm": ("matroska", "-c:v", "libvpx-vp9", "-deadline", "realtime", "-cpu-used", "8"),
    "a.avi": ("avi", "-c:v", "mpeg4"),
    "a.ts": ("mpegts", *X264),
    "a.mpg": ("mpeg", "-c:v", "mpeg2video"),
    "a.gif": ("gif",),
    "moving.webp": ("webp_anim", "-c:v", "libwebp_anim"),
    "moving.png": ("apng", "-f", "apng"),
}


@pytest.mark.parametrize("name", READERS)
def test_every_reader_tells_size_rate_and_length(film: Film, name: str) -> None:
    """Thirty frames in a second are told alike, whatever the container; and the name plays no part."""
    reader, *options = READERS[name]
    path = film(name, *SOURCE, *options)
    source = probe(path)
    assert source.reader == reader
    assert (source.width, source.height) == (160, 90)
    # Gif counts in hundredths of a second, so that thirty frames become a few less or more.
    assert source.fps == pytest.approx(30, rel=0.15 if name == "a.gif" else 0.04)
    assert source.duration_s == pytest.approx(1, abs=0.2 if name == "a.gif" else 0.05)
    assert not source.still
    assert source.damaged_after_s is None


@pytest.mark.parametrize("name", ["still.png", "still.jpg", "still.webp", "one.gif"])
def test_a_picture_is_a_still(film: Film, name: str) -> None:
    """One picture is no video, even in a format that could move."""
    source = probe(film(name, *SOURCE, "-frames:v", "1"))
    assert source.still
    assert (source.width, source.height, source.frames) == (160, 90, 1)


def test_the_prober_starts_light(base: Path) -> None:
    """The child that reads containers does without numpy and its like, so that a look is quick."""
    import subprocess
    import sys

    code = "import sys; import mdctl.media.probe; print([m for m in ('numpy', 'cv2', 'torch') if m in sys.modules])"
    root = str(Path(probing.__file__).parents[2])
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
