"""`bench score`: figures of any videos, with what is at hand."""

import json
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mdctl.cli.face import face
from mdctl.errors import NotFound, NotInstalled, UsageFault

if TYPE_CHECKING:
    from mdctl.measure.embedders import Embedder
    from mdctl.measure.score import Seen
    from mdctl.media.frames import Frames

VIDEOS = (".mp4", ".gif", ".webp", ".webm", ".mov", ".mkv", ".avi")
DENSE, FOLLOWED = 97, 192
"""Frames in which points are followed, at most, and their shorter side in pixels: fewer would lose what moves fast."""

SHOWN_VIDEOS = 4
"""Columns of single videos in a table; all of them are in the JSON."""


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
    frames: Annotated[int, typer.Option(min=2, help="Frames that are looked at, evenly over each video.")] = 16,
) -> int:
    """Score videos, your own or another system's: text, consistency, motion, leakage. What cannot be said is skipped.

    Motion needs no weights and no download (points that follow optical flow). Text, consistency and PickScore need
    those of CLIP and PickScore.

    \b
    mdctl bench score outputs/ --reference clips/golf_01.mp4
    """
    from mdctl.measure import score
    from mdctl.media import clips as media

    paths = _videos_in(videos)
    asked = _prompts(prompts, paths)
    models = _embedders(clip, pick)
    records: list[dict[str, Any]] = []
    with face().progress("scoring", len(paths)) as show:
        for number, (path, prompt) in enumerate(zip(paths, asked, strict=True), 1):
            seen = _seen(path, frames)
            clips = [_seen(one, frames, like=seen) for one in media.expand(reference or [])]
            made_by_base = _seen(_beside(base, path), frames, like=seen) if base else None
            found = score.score(score.Video(seen, prompt, clips, made_by_base), *models)
            meta = {"version": score.VERSION, "frames": len(seen.frames), "clip": clip, "pick": pick}
            record = {"video": str(path), "prompt": prompt, "scores": found.values, "skipped": found.skipped}
            records.append(record | {"meta": meta})
            show(number, path.name)
    _tell_scores(records)
    return 0


def _seen(path: Path, count: int, like: "Seen | None" = None) -> "Seen":
    """A video as it is judged, in the sizes of another one if that is given."""
    from mdctl.measure.score import Seen
    from mdctl.media import clips as media

    if like:
        frames, _ = media.spread(path, len(like.frames), _size(like.frames))
        dense, fps = media.spread(path, len(like.dense), _size(like.dense))
        return Seen(frames, dense, fps)
    frames, _ = media.spread(path, count)
    width, height = _size(frames)
    scale = min(1.0, FOLLOWED / min(width, height))
    dense, fps = media.spread(path, DENSE, (round(width * scale), round(height * scale)))
    return Seen(frames, dense, fps)


def _size(frames: "Frames") -> tuple[int, int]:
    return frames.shape[2], frames.shape[1]


def _videos_in(words: Sequence[str]) -> list[Path]:
    from mdctl.media import clips as media

    found = []
    for word in words:
        folder = Path(word).expanduser()
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


def _embedders(clip: str | None, pick: str | None) -> "list[Embedder | None]":
    """The models that are here. One that was asked for and is not is a fault, one that was not asked for a line."""
    from mdctl.measure import embedders

    found: list[Embedder | None] = []
    for named, usual, load in (
        (clip, embedders.CLIP, embedders.load),
        (pick, embedders.PICKSCORE, embedders.pickscore),
    ):
        try:
            found.append(load(named or usual))
        except NotInstalled as fault:
            if named:
                raise
            face().say(f"Skipped, for {fault.what.rstrip('.')} ({' && '.join(fault.fix)}).")
            found.append(None)
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
