"""`bench score`: figures of any videos, with what is at hand."""

import json
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from mdctl.cli.face import face
from mdctl.errors import NotFound, NotInstalled, UsageFault

if TYPE_CHECKING:
    from mdctl.measure.embedders import Embedder, ImageEmbedder
    from mdctl.measure.score import Scores, Seen, Video
    from mdctl.media.frames import Frames

Model = TypeVar("Model")

VIDEOS = (".mp4", ".gif", ".webp", ".webm", ".mov", ".mkv", ".avi")
DENSE, FOLLOWED = 97, 192
"""Frames in which points are followed, at most, and their shorter side in pixels: fewer would lose what moves fast."""

SHOWN_VIDEOS = 4
"""Columns of single videos in a table; all of them are in the JSON."""

Compat = Annotated[
    list[str] | None,
    typer.Option(help="yatim or mtbench: other papers' formulas too, under names of their own.", show_default=False),
]
AllowMissing = Annotated[bool, typer.Option("--allow-missing", help="Go on where videos are missing.")]


def bench_score(
    videos: Annotated[list[str], typer.Argument(help="Videos, or folders of them.", metavar="VIDEOS...")],
    reference: Annotated[
        list[str] | None, typer.Option(help="A clip of the motion; may be given more than once.")
    ] = None,
    prompts: Annotated[
        Path | None, typer.Option(help="A prompt for each video, one a line; default: the .json beside it.")
    ] = None,
    base: Annotated[
        Path | None, typer.Option(help="Folder of the base model's videos of the same names, for leakage.")
    ] = None,
    clip: Annotated[str | None, typer.Option(help="CLIP: a folder, or a hub id that was downloaded.")] = None,
    pick: Annotated[str | None, typer.Option(help="PickScore: a folder, or a hub id that was downloaded.")] = None,
    dino: Annotated[str | None, typer.Option(help="DINO: a folder, or a hub id that was downloaded.")] = None,
    frames: Annotated[int, typer.Option(min=2, help="Frames that are looked at, evenly over each video.")] = 16,
    compat: Compat = None,
    system: Annotated[
        str | None, typer.Option(help="Name of a row in the table of bench run, with --manifest.", show_default=False)
    ] = None,
    manifest: Annotated[
        Path | None, typer.Option(help="Manifest or folder of a benchmark: VIDEOS is one system's folder of results.")
    ] = None,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="With --manifest: where bench run has its table.")
    ] = None,
    allow_missing: AllowMissing = False,
) -> int:
    """Score videos, your own or another system's: text, consistency, motion, leakage. What cannot be said is skipped.

    Motion needs no weights and no download (points that follow optical flow). Text, consistency and PickScore need
    those of CLIP and PickScore.

    \b
    mdctl bench score outputs/ --reference clips/golf_01.mp4
    mdctl bench score results/ --system tune-a-video --manifest bench.jsonl
    """
    from mdctl.measure import score

    kinds = known_kinds(compat)
    if manifest or system:
        if not (manifest and system and len(videos) == 1):
            fix = "mdctl bench score FOLDER --system NAME --manifest FILE"
            raise UsageFault("a row of another system needs its folder, its name and the manifest.", fix=fix)
        from mdctl.cli.bench.system import add_system  # which needs this file

        folder, models = Path(videos[0]).expanduser(), judges(clip, pick, dino, kinds)
        return add_system(folder, system, manifest, output, models, kinds, frames, base, allow_missing)

    paths = _videos_in(videos)
    asked = _prompts(prompts, paths)
    models, references = judges(clip, pick, dino, kinds), _videos_in(reference or [])
    records: list[dict[str, Any]] = []
    with face().progress("scoring", len(paths)) as show:
        for number, (path, prompt) in enumerate(zip(paths, asked, strict=True), 1):
            seen = seen_in(path, frames)
            clips = [seen_in(one, frames, like=seen) for one in references]
            made_by_base = seen_in(_beside(base, path), frames, like=seen) if base else None
            found = judged(score.Video(seen, prompt, clips, made_by_base), models, kinds)
            meta = {"version": score.VERSION, "static": found.static, "frames": len(seen.frames), **models.ids}
            record = {"video": str(path), "prompt": prompt, "scores": found.values, "skipped": found.skipped}
            records.append(record | {"meta": meta})
            show(number, path.name)
    _tell_scores(records)
    return 0


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


def _videos_in(words: Sequence[str]) -> list[Path]:
    from mdctl.media import clips as media
    from mdctl.media import folders

    found = []
    for word in words:
        folder = Path(word).expanduser()
        if folders.pictures(folder):
            found.append(folder)
            continue
        inside = sorted(path for path in folder.glob("*") if path.suffix.lower() in VIDEOS) if folder.is_dir() else None
        if inside == []:
            raise NotFound(f"there is no video in {folder}.", fix="give a folder of mp4, gif, webp, webm or mov files")
        found += media.expand([word]) if inside is None else inside
    return found


def _prompts(given: Path | None, paths: Sequence[Path]) -> list[str | None]:
    if given is None:
        return [_told(path.with_suffix(".json")) for path in paths]
    try:
        lines = [line.strip() for line in given.read_text("utf-8").splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError) as fault:
        raise NotFound(
            f"{given} cannot be read.", why=str(fault), fix="give a text file with one prompt a line"
        ) from fault
    if len(lines) not in (1, len(paths)):
        raise UsageFault(f"{given} has {len(lines)} prompts for {len(paths)} videos.", fix="one a line, or one for all")
    return list(lines) if len(lines) == len(paths) else [lines[0]] * len(paths)


def _told(sidecar: Path) -> str | None:
    """The prompt that a video was made with, if mdctl made it."""
    with suppress(OSError, ValueError):
        record = json.loads(sidecar.read_text("utf-8"))
        prompt = record.get("prompt") if isinstance(record, dict) else None
        return prompt if isinstance(prompt, str) else None
    return None


def _beside(folder: Path, path: Path) -> Path:
    found = folder / path.name
    if not found.exists():
        raise NotFound(f"there is no {found}.", fix="give the base model's videos the names of those that are scored")
    return found


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


def judges(clip: str | None, pick: str | None, dino: str | None, kinds: Sequence[str] = ()) -> Judges:
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


def _tell_scores(records: list[dict[str, Any]]) -> None:
    names = list(dict.fromkeys(name for record in records for name in record["scores"]))
    means = {}
    for name in names:
        values = [record["scores"][name] for record in records if name in record["scores"]]
        means[name] = {"mean": sum(values) / len(values), "n": len(values)}
    if face().manners.json:
        face().sheet([], {"videos": records, "means": means})
        return
    columns = ["FIGURE", *(Path(record["video"]).name for record in records[:SHOWN_VIDEOS]), "MEAN", "N"]
    rows = []
    for name in names:
        cells = [f"{r['scores'][name]:.3f}" if name in r["scores"] else "-" for r in records[:SHOWN_VIDEOS]]
        rows.append([name, *cells, f"{means[name]['mean']:.3f}", str(means[name]["n"])])
    face().answer(columns, rows, [], [record["video"] for record in records])
    reasons: dict[str, list[str]] = {}
    for name, why in (pair for record in records for pair in record["skipped"].items()):
        if name not in reasons.setdefault(why, []):
            reasons[why].append(name)
    for why, skipped in reasons.items():
        face().say(f"skipped {', '.join(skipped)}: {why}")
