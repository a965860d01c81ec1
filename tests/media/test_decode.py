"""Decoding gives exactly the asked frames, upright, evenly spaced and in their colours."""

from pathlib import Path

import numpy as np
import pytest
from films import Film, read

from mdctl.errors import BadInput
from mdctl.media.frames import Frames
from mdctl.media.kinds import Unusable

TEST = ("-f", "lavfi", "-i", "testsrc2=s=160x90:r=30:d=1")


def numbers(frames: Frames) -> list[int]:
    """Which frames of `levels` these are: their brightness is twice their number."""
    return [round(float(level) / 2) for level in frames.mean((1, 2, 3))]


# --- The right frames.


@pytest.mark.parametrize("name", ["levels.mp4", "levels.avi", "levels.ts", "levels.mpg", "levels.gif"])
def test_every_container_is_cut_at_the_same_place(film: Film, levels: Path, name: str) -> None:
    """A seek lands on the same frames with and without an index."""
    options = {"levels.gif": [], "levels.mpg": ["-c:v", "mpeg2video", "-q:v", "2"], "levels.avi": ["-c:v", "ffv1"]}
    path = film(name, "-i", str(levels), *options.get(name, ["-c:v", "libx264", "-qp", "4", "-pix_fmt", "yuv420p"]))
    found = numbers(read(path, start_s=2.0, fps=5, num_frames=5))
    tolerance = 2 if name == "levels.gif" else 1  # gif counts in hundredths of a second
    assert np.abs(np.array(found) - [60, 66, 72, 78, 84]).max() <= tolerance


def test_missing_frames_are_counted(levels: Path) -> None:
    """Three seconds hold thirty frames at 10 fps and not one more."""
    assert len(read(levels, fps=10, num_frames=30)) == 30
    with pytest.raises(Unusable) as caught:
        read(levels, fps=10, num_frames=31)
    assert caught.value.why == "only 30 of 31 frames can be read"


def test_more_frames_than_ffmpeg_adds_in_a_row(film: Film) -> None:
    """A long window is cut like a short one."""
    path = film("long.mp4", "-f", "lavfi", "-i", "testsrc2=s=64x36:r=30:d=5", "-c:v", "libx264", "-pix_fmt", "yuv420p")
    long, short = (read(path, fps=30, num_frames=count, size=(64, 36)) for count in (120, 60))
    assert (long[:60] == short).all()
    assert (long[100] != long[101]).any()


def test_a_picture_is_one_frame_however_many_are_asked(film: Film) -> None:
    """A still needs no rate, and is the same at any moment."""
    for name in ("one.png", "one.jpg", "one.webp"):
        frames = read(film(name, *TEST, "-frames:v", "1"), num_frames=3, size=(160, 90))
        assert frames.shape == (3, 90, 160, 3)
        assert (frames[0] == frames[2]).all()


@pytest.mark.parametrize("wrong", [{"fps": 0}, {"num_frames": 0}, {"start_s": -1.0}, {"size": (0, 8)}])
def test_impossible_wishes_are_refused(levels: Path, wrong: dict[str, float]) -> None:
    """Nothing, backwards or no size cannot be cut."""
    with pytest.raises(BadInput):
        read(levels, **wrong)  # type: ignore[arg-type]


# --- The right picture.
