"""Three frames through ffmpeg and back, to see whether it can do the work at all."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

import numpy as np

from mdctl import child
from mdctl.errors import MdctlError, NotReady
from mdctl.media import ffmpeg
from mdctl.media.frames import Frames
from mdctl.media.probe import probe
from mdctl.media.source import DECODERS

NUM_FRAMES, EDGE, FPS = 3, 64, 8
_LIKE = 12.0
"""By so much of 255 the frames may differ on the average after H.264."""

_TONE_MAPPING = ("zscale", "tonemap")


@dataclass(frozen=True)
class Program:
    """An ffmpeg, and what it says of itself."""

    path: str
    version: str
    reads: tuple[str, ...]
    """Which of the decoders that mdctl uses it has."""

    writes: tuple[str, ...]
    """With which encoders it can write mp4, the one that is used first."""

    tone_maps: bool
    """Whether it can bring high dynamic range to ordinary."""


def program() -> Program:
    """The ffmpeg that mdctl uses; `NotReady` when there is none."""
    path = ffmpeg.executable()
    version = re.search(r"version (\S+)", _told(path, "-version"))
    decoders, encoders, filters = (
        _listed(path, "-decoders"),
        _listed(path, "-encoders"),
        set(re.findall(r"^ [A-Z.|]+ (\S+)", _told(path, "-filters"), re.MULTILINE)),
    )
    return Program(
        path,
        version[1] if version else "of no version",
        tuple(name for name in DECODERS.split(",") if name in decoders),
        tuple(name for name in ffmpeg.MP4_ENCODERS if name in encoders),
        all(name in filters for name in _TONE_MAPPING),
    )


def written() -> dict[str, bytes | MdctlError]:
    """Three frames as a file of each format, or why that cannot be written."""
    found: dict[str, bytes | MdctlError] = {}
    for kind in get_args(ffmpeg.Format):
        try:
            found[kind] = ffmpeg.encode(_frames(), FPS, format=kind)
        except MdctlError as fault:
            found[kind] = fault
    return found


def read(path: Path) -> None:
    """Read an mp4 of `written` again; `NotReady` when it is not what went in."""
    frames = ffmpeg.decode(path, probe(path), start_s=0.0, fps=FPS, num_frames=NUM_FRAMES, width=EDGE, height=EDGE)
    off = float(np.abs(frames.astype(np.int16) - _frames()).mean())
    if off > _LIKE:
        raise NotReady(
            "this ffmpeg gives back other pictures than it was given.",
            why=f"they differ by {off:.0f} of 255 on the average.",
            fix="pip install imageio-ffmpeg, and set MDCTL_FFMPEG to its program",
            code="MD-FFMPEG",
        )


def _frames() -> Frames:
    """A bright square that moves to the right on dark ground."""
    frames = np.full((NUM_FRAMES, EDGE, EDGE, 3), 40, np.uint8)
    for number, frame in enumerate(frames):
        frame[16:48, 8 * number : 8 * number + 32] = (220, 120, 60)
    return frames


def _told(path: str, *asked: str) -> str:
    argv: Sequence[str] = [path, "-nostdin", *asked]
    return child.run(argv, timeout_s=30, stdout_limit=1 << 20).stdout.decode("utf-8", "replace")


def _listed(path: str, what: str) -> set[str]:
    return set(re.findall(r"^ V\S+ (\S+)", _told(path, what), re.MULTILINE))
