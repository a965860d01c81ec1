"""What judges videos: the models whose weights are here, and videos as they look at them."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from mdctl.errors import NotInstalled, UsageFault

if TYPE_CHECKING:
    from mdctl.measure.embedders import Embedder, ImageEmbedder
    from mdctl.measure.score import Scores, Seen, Video
    from mdctl.media.frames import Frames

Model = TypeVar("Model")

DENSE, FOLLOWED = 97, 192
"""Frames in which points are followed, at most, and their shorter side in pixels: fewer would lose what moves fast.

Steadiness and smoothness are those of these frames: of all of a video that has no more.
"""

Clip = Annotated[str | None, typer.Option(help="CLIP: a folder, or a hub id that was downloaded.")]
Pick = Annotated[str | None, typer.Option(help="PickScore: a folder, or a hub id that was downloaded.")]
Dino = Annotated[str | None, typer.Option(help="DINO: a folder, or a hub id that was downloaded.")]
ClipB32 = Annotated[
    str | None, typer.Option("--clip-b32", help="CLIP ViT-B/32: a folder, or a hub id that was downloaded.")
]
Compat = Annotated[
    list[str] | None,
    typer.Option(help="yatim or mtbench: other papers' formulas too, under names of their own.", show_default=False),
]
AllowMissing = Annotated[bool, typer.Option("--allow-missing", help="Go on where videos are missing.")]


def seen_in(path: Path, count: int, like: "Seen | None" = None) -> "Seen":
    """A video as it is judged, in the sizes of another one if that is given."""
    from mdctl.measure.manifest import mtbench_mask
    from mdctl.measure.score import Seen
    from mdctl.media import clips as media

    mask = mtbench_mask(path)
    if like:
        frames, fps = media.spread(path, len(like.frames), _size(like.frames))
        if like.frames.shape == like.dense.shape:
            return Seen(frames, frames, fps, mask)
        dense, fps = media.spread(path, len(like.dense), _size(like.dense))
        return Seen(frames, dense, fps, mask)
    frames, fps = media.spread(path, count)
    width, height = _size(frames)
    scale = min(1.0, FOLLOWED / min(width, height))
    if scale == 1 and len(frames) == media.length(path):  # nothing is left to be seen
        return Seen(frames, frames, fps, mask)
    dense, fps = media.spread(path, DENSE, (round(width * scale), round(height * scale)))
    return Seen(frames, dense, fps, mask)


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

    @property
    def ids(self) -> dict[str, str | None]:
        """What belongs into the name of their figures."""
        known = (("clip", self.clip), ("pick", self.pick), ("dino", self.dino), ("clip_b32", self.clip_b32))
        return {name: model.id if model else None for name, model in known}


def assembled(clip: str | None, pick: str | None, dino: str | None, clip_b32: str | None) -> Judges:
    """The models that are here. One that was asked for and is not is a fault."""
    from mdctl.measure import embedders

    return Judges(
        _loaded(embedders.load, clip, embedders.CLIP),
        _loaded(embedders.pickscore, pick, embedders.PICKSCORE),
        _loaded(embedders.dino, dino, embedders.DINO),
        _loaded(embedders.clip_b32, clip_b32, embedders.CLIP_B32),
    )


def _loaded(load: "Callable[[str], Model]", named: str | None, usual: str) -> "Model | None":
    try:
        return load(named or usual)
    except NotInstalled:
        if named:
            raise
        return None  # each figure that misses it says so


def judged(video: "Video", judges_: Judges, kinds: Sequence[str]) -> "Scores":
    """Every figure of a video, and those of other papers' formulas that were asked for."""
    from mdctl.measure import compat, score

    found = score.score(video, judges_.clip, judges_.pick, judges_.dino, judges_.clip_b32)
    for kind in kinds:
        compat.score(found, kind, video, judges_.clip_b32, judges_.dino)
    return found


def cut_short(metas: Iterable[Mapping[str, Any]]) -> list[str]:
    """A line for each length beyond which words were not read, with the figures that this is true of."""
    found: dict[int, list[str]] = {}
    for name, limit in (pair for meta in metas for pair in meta.get("truncated", {}).items()):
        if name not in found.setdefault(limit, []):
            found[limit].append(name)
    return [
        f"Of a longer prompt or caption the first {limit} tokens count in {', '.join(names)}."
        for limit, names in found.items()
    ]
