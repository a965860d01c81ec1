"""`bench run --pairs`: the page on which people compare, and its key."""

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from mdctl.cli.bench.make import clip_file
from mdctl.cli.face import face
from mdctl.workspace import atomic

if TYPE_CHECKING:
    from mdctl.measure.campaign import Item

PAGE, KEY = "pairs.html", "pairs-key.json"
EDGE = 256
"""Longest side of the reference clip on the page."""


def write(folder: Path, videos: "Mapping[Item, Path]") -> None:
    """Lay the page and its key beside the table."""
    from mdctl.measure import pairs

    drawn = pairs.draw(list(videos))
    if not drawn:
        face().warn("--pairs needs videos of full and of another method; no page was written.")
        return
    small = cache(lambda path: _small(clip_file(folder, path)))
    page = pairs.page(
        drawn,
        lambda item: _mp4(videos[item]),
        lambda item: small(item.unit.references[0]),
        folder.name,
    )
    atomic.write(folder / PAGE, page)
    atomic.write(folder / KEY, pairs.answer_key(drawn, videos))
    face().say(f"{len(drawn)} pairs to compare: {folder / PAGE}     keep {KEY} to yourself")


def _mp4(path: Path) -> bytes:
    return path.read_bytes() if path.suffix == ".mp4" and path.is_file() else _small(path)


def _small(path: Path) -> bytes:
    """A video of any kind as a small mp4."""
    from mdctl.media import clips as media
    from mdctl.media import ffmpeg

    first, _ = media.spread(path, 1)
    scale = min(1.0, EDGE / max(first.shape[1:3]))
    size = (max(2, round(first.shape[2] * scale / 2) * 2), max(2, round(first.shape[1] * scale / 2) * 2))
    frames, fps = media.spread(path, 64, size)
    return ffmpeg.encode(frames, fps, format="mp4")
