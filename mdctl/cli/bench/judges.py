"""What judges videos: the models whose weights are here, and videos as they look at them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from mdctl.cli.face import face
from mdctl.errors import NotInstalled, UsageFault

if TYPE_CHECKING:
    from mdctl.measure.embedders import Embedder, ImageEmbedder
    from mdctl.measure.score import Scores, Seen, Video
    from mdctl.media.frames import Frames

Model = TypeVar("Model")

DENSE, FOLLOWED = 97, 192
"""Frames in which points are followed, at most, and their shorter side in pixels: fewer would lose what moves fast."""

Compat = Annotated[
    list[str] | None,
    typer.Option(help="yatim or mtbench: other papers' formulas too, under names of their own.", show_default=False),
]
AllowMissing = Annotated[bool, typer.Option("--allow-missing", help="Go on where videos are missing.")]


def seen_in(path: Path, count: int, like: "Seen | None" = None) -> "Seen":
    """A video as it is judged, in the sizes of another one if that is given."""
    from mdctl.measure.score import Seen
    from mdctl.media import clips as media

    if like:
        frames, fps = media.spread(path, len(like.frames), _size(like.frames))
        if like.frames.shape == like.dense.shape:
            return Seen(frames, frames, fps)
        dense, fps = media.spread(path, len(like.dense), _size(like.dense))
        return Seen(frames, dense, fps)
    frames, fps = media.spread(path, count)
    width, height = _size(frames)
    scale = min(1.0, FOLLOWED / min(width, height))
    if scale == 1 and len(frames) == media.length(path):  # nothing is left to be seen
        return Seen(frames, frames, fps)
    dense, fps = media.spread(path, DENSE, (round(width * scale), round(height * scale)))
    return Seen(frames, dense, fps)


def _size(frames: "Frames") -> tuple[int, int]:
    return frames.shape[2], frames.shape[1]


def known_kinds(given: Sequence[str] | None) -> tuple[str, ...]:
    """The kinds of other papers' formulas, each once; `UsageFault` for one that nobody knows."""
    from mdctl.measure import compat

    for kind in given or ():
        if kind not in compat.KINDS:
            raise UsageFault(f"there is no '{kind}' for --compat.", fix=f"known are: {', '.join(compat.KINDS)}")
    return tuple(dict.fromkeys(given or ()))


@dataclass(frozen=True)
class Judges:
    """The models that look at videos, None where their weights are not here."""

    clip: "Embedder | None" = None
    pick: "Embedder | None" = None
    dino: "ImageEmbedder | None" = None
    clip_b32: "Embedder | None" = None
    """For MTBench's own figures only."""

    @property
    def ids(self) -> dict[str, str | None]:
        """What belongs into the name of their figures."""
        known = (("clip", self.clip), ("pick", self.pick), ("dino", self.dino), ("clip_b32", self.clip_b32))
        return {name: model.id if model else None for name, model in known}


def assembled(clip: str | None, pick: str | None, dino: str | None, kinds: Sequence[str] = ()) -> Judges:
    """The models that are here. One that was asked for and is not is a fault, one that was not asked for a line."""
    from mdctl.measure import embedders

    return Judges(
        _loaded(embedders.load, clip, embedders.CLIP),
        _loaded(embedders.pickscore, pick, embedders.PICKSCORE),
        _loaded(embedders.dino, dino, embedders.DINO),
        _loaded(embedders.clip_b32, None, embedders.CLIP_B32) if "mtbench" in kinds else None,
    )


def _loaded(load: "Callable[[str], Model]", named: str | None, usual: str) -> "Model | None":
    try:
        return load(named or usual)
    except NotInstalled as fault:
        if named:
            raise
        face().say(f"Skipped, for {fault.what.rstrip('.')} ({' && '.join(fault.fix)}).")
        return None


def judged(video: "Video", judges_: Judges, kinds: Sequence[str]) -> "Scores":
    """Every figure of a video, and those of other papers' formulas that were asked for."""
    from mdctl.measure import compat, score

    found = score.score(video, judges_.clip, judges_.pick, judges_.dino)
    for kind in kinds:
        compat.score(found, kind, video, judges_.clip_b32, judges_.dino)
    return found
