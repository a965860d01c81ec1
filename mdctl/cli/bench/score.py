"""`bench score`: figures of any videos, with what is at hand."""

import json
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any

import typer

from mdctl.cli.bench.judges import AllowMissing, Compat, assembled, judged, known_kinds, seen_in
from mdctl.cli.bench.system import add_system
from mdctl.cli.face import face
from mdctl.errors import NotFound, UsageFault

VIDEOS = (".mp4", ".gif", ".webp", ".webm", ".mov", ".mkv", ".avi")
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
        folder, models = Path(videos[0]).expanduser(), assembled(clip, pick, dino, kinds)
        return add_system(folder, system, manifest, output, models, kinds, frames, base, allow_missing)

    paths = _videos_in(videos)
    asked = _prompts(prompts, paths)
    models, references = assembled(clip, pick, dino, kinds), _videos_in(reference or [])
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
