"""`bench run`, its judging: every video scored once, and the table of what came out."""

import json
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mdctl.cli.bench import table
from mdctl.cli.bench.judges import Judges, judged, seen_in
from mdctl.cli.bench.make import clip_file
from mdctl.cli.face import face
from mdctl.errors import BadInput, Refused
from mdctl.settings import Shape, to_table
from mdctl.workspace import atomic

if TYPE_CHECKING:
    from mdctl.measure.campaign import Item
    from mdctl.measure.score import Seen

Row = dict[str, Any]
MOST_TAKEN = 8
"""Clips that are held in memory, as they are compared with one video after the other."""


@dataclass(frozen=True)
class Court:
    """By what the videos of a campaign are judged."""

    folder: Path
    frames: int
    """Frames that are looked at, of every video the same number."""

    judges: Judges
    kinds: Sequence[str] = ()
    """Other papers' formulas that were asked for."""

    shape: Shape | None = None
    """What training saw of each clip; None takes the whole clips."""

    base: Path | None = None
    """Where the base model's videos lie."""

    unread: "dict[Item, str]" = field(default_factory=dict)
    """What could not be judged, and why."""

    _known: dict[str, Row] = field(default_factory=dict)
    _windows: dict[Path, float] = field(default_factory=dict)
    _taken: "dict[tuple[Any, ...], Seen]" = field(default_factory=dict)

    def __post_init__(self) -> None:
        with suppress(OSError):
            for line in self._scores.read_text("utf-8").splitlines():
                with suppress(ValueError, KeyError, TypeError):  # a line that a crash has torn
                    record = json.loads(line)
                    self._known[record["key"]] = record

    @property
    def _scores(self) -> Path:
        return self.folder / "work" / "scores.jsonl"

    def rows(self, found: "Sequence[tuple[Item, Path]]") -> Iterator[Row]:
        """A row for each video that can be read; each score is kept before the next is begun."""
        with face().progress("scoring", len(found)) as show:
            for number, (item, path) in enumerate(found, 1):
                try:
                    row = self._row(item, path)
                except (BadInput, Refused) as fault:
                    self.unread[item] = f"cannot be judged: {fault.what} {fault.why}".rstrip()
                else:
                    yield row
                show(number, item.place)

    def _beside(self, item: "Item", path: Path) -> Path | None:
        """The base model's video of the same prompt and noise."""
        from mdctl.measure import campaign

        if item.method == "base":
            return path
        plain = campaign.Item("base", item.unit, item.wish, 0, item.seed)
        return campaign.find(self.base, plain) if self.base else None

    def _row(self, item: "Item", path: Path) -> Row:
        from mdctl.measure import campaign, flow, score

        unit, own = item.unit, item.method == campaign.REFERENCE
        prompt = None if own else item.wish.prompt
        clips = [path] if own else [clip_file(self.folder, one) for one in unit.references]
        beside = None if own else self._beside(item, path)
        captions = unit.captions or ((unit.caption,) if unit.caption else ())
        masks = [self._mask(clip) for clip in clips] if "mtbench" in self.kinds else []
        about = {
            "version": score.VERSION,
            "flow": flow.BACKEND,
            "video": _digest(path),
            "prompt": prompt,
            "captions": captions,
            "clips": [_digest(clip) for clip in clips],
            "masks": [mask and _digest(mask) for mask in masks],
            "shape": to_table(self.shape) if self.shape else None,
            "base": _digest(beside) if beside else None,
            "frames": self.frames,
            "kinds": list(self.kinds),
            **self.judges.ids,
        }
        key = campaign.key(stage="score", own=own, **about)
        record = self._known.get(key)
        if record is None:
            record = {"key": key, **self._judged(path, prompt, captions, clips, beside, own)}
            atomic.append(self._scores, json.dumps(record))
            self._known[key] = record
        meta = {
            "version": score.VERSION,
            "prompt": prompt,
            **record["seen"],
            **self.judges.ids,
            "shape": about["shape"],
            "references_from_s": record["starts"],
            **record["meta"],
        }
        return {
            **table.blank(item),
            "video": _named(path, self.folder),
            "sha256": about["video"],
            "scores": record["scores"],
            "skipped": record["skipped"],
            "meta": meta,
        }

    def _judged(
        self,
        path: Path,
        prompt: str | None,
        captions: Sequence[str],
        clips: Sequence[Path],
        beside: Path | None,
        own: bool,
    ) -> Row:
        from mdctl.measure.score import Video

        seen = self._taught(path) if own else seen_in(path, self.frames)
        others = [seen] if own else [self._reference(clip, seen) for clip in clips]
        base = seen if beside == path else seen_in(beside, self.frames, like=seen) if beside else None
        found = judged(Video(seen, prompt, others, base, captions), self.judges, self.kinds)
        return {
            "scores": found.values,
            "skipped": found.skipped,
            "meta": found.meta,
            "seen": _facts(path),
            "starts": [self._start(clip) for clip in clips],
        }

    def _start(self, clip: Path) -> float | None:
        """Where the part of a clip begins that training saw; None where all of it counts."""
        from mdctl.media import clips as media

        if self.shape is None:
            return None
        if clip not in self._windows:
            shape = self.shape
            found = media.look(clip, num_frames=shape.frames, fps=shape.fps, width=shape.width, height=shape.height)
            self._windows[clip] = found.start_s
        return self._windows[clip]

    def _mask(self, clip: Path) -> Path | None:
        """MTBench's mask of the first frame of that part."""
        from mdctl.measure.manifest import mtbench_mask
        from mdctl.media import clips as media

        start_s = self._start(clip)
        return mtbench_mask(clip, round(start_s * media.probed(clip).fps) if start_s else 0)

    def _taught(self, clip: Path) -> "Seen":
        """A clip as training saw it."""
        from mdctl.measure.score import Seen
        from mdctl.media import clips as media

        start_s, shape = self._start(clip), self.shape
        if start_s is None or shape is None:
            return seen_in(clip, self.frames)
        frames = media.cut(clip, start_s=start_s, fps=shape.fps, num_frames=shape.frames, width=shape.width,
                           height=shape.height)  # fmt: skip
        count = min(self.frames, len(frames))
        looked_at = frames[[place * len(frames) // count for place in range(count)]]
        return Seen(looked_at, frames, shape.fps, self._mask(clip))

    def _reference(self, clip: Path, like: "Seen") -> "Seen":
        """The part of a clip that training saw, in as many frames of the same sizes."""
        start_s = self._start(clip)
        if start_s is None or self.shape is None:
            return seen_in(clip, self.frames, like=like)
        wanted = (clip, like.frames.shape, like.dense.shape)
        if wanted not in self._taken:
            if len(self._taken) >= MOST_TAKEN:
                self._taken.clear()
            self._taken[wanted] = self._cut(clip, start_s, self.shape, like)
        return self._taken[wanted]

    def _cut(self, clip: Path, start_s: float, shape: Shape, like: "Seen") -> "Seen":
        from mdctl.measure.score import Seen
        from mdctl.media import clips as media

        length_s = shape.frames / shape.fps
        found = {
            one.shape: media.cut(clip, start_s=start_s, fps=len(one) / length_s, num_frames=len(one),
                                 width=one.shape[2], height=one.shape[1])
            for one in {one.shape: one for one in (like.frames, like.dense)}.values()
        }  # fmt: skip
        fps = len(like.dense) / length_s
        return Seen(found[like.frames.shape], found[like.dense.shape], fps, self._mask(clip))


@lru_cache(1 << 14)
def _hashed(path: Path, size: int, changed: int) -> str:
    from mdctl.media import clips as media

    return media.digest(path)


def _digest(path: Path) -> str:
    state = path.stat()
    return _hashed(path, state.st_size, state.st_mtime_ns)


def _facts(path: Path) -> Row:
    """Frames, size and rate of a video as it lies there."""
    from mdctl.media import clips as media
    from mdctl.media import folders

    if path.is_dir():
        first, _ = media.spread(path, 1)
        return {"frames": media.length(path), "size": f"{first.shape[2]}x{first.shape[1]}", "fps": folders.FPS}
    source = media.probed(path)
    return {"frames": source.frames, "size": f"{source.width}x{source.height}", "fps": round(source.fps, 3)}


def _named(path: Path, folder: Path) -> str:
    return path.relative_to(folder).as_posix() if path.is_relative_to(folder) else str(path)
