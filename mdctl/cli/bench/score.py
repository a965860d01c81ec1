"""`bench score`: figures of any videos, with what is at hand."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any

import typer

from mdctl.cli.bench.judges import (
    AllowMissing,
    Clip,
    ClipB32,
    Compat,
    Dino,
    Pick,
    assembled,
    cut_short,
    judged,
    known_kinds,
    seen_in,
)
from mdctl.cli.bench.system import add_system
from mdctl.cli.face import face
from mdctl.errors import BadInput, MdctlError, NotFound, Partly, Refused, UsageFault
from mdctl.workspace import footage

SHOWN_VIDEOS = 4
"""Columns of single videos in a table; all of them are in the JSON."""

MOST_NAMED = 3
"""Of what is passed over."""


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
    clip: Clip = None,
    pick: Pick = None,
    dino: Dino = None,
    clip_b32: ClipB32 = None,
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
    from mdctl.media import clips as media

    kinds = known_kinds(compat)
    base = base and base.expanduser()
    if base and not base.is_dir():
        raise NotFound(f"there is no folder {base}.", fix="give the folder of the base model's videos")
    _check_together(bool(manifest or system), reference, prompts, output, allow_missing)
    if manifest or system:
        if not (manifest and system and len(videos) == 1):
            fix = "mdctl bench score FOLDER --system NAME --manifest FILE"
            raise UsageFault("a row of another system needs its folder, its name and the manifest.", fix=fix)
        folder, models = Path(videos[0]).expanduser(), assembled(clip, pick, dino, clip_b32)
        return add_system(folder, system, manifest, output, models, kinds, frames, base, allow_missing)

    paths = _videos_in(videos)
    asked, references = _prompts(prompts, paths), _videos_in(reference or [])
    if still := [one.name for one in references if media.length(one) == 1]:  # and all can be read, so far as is seen
        face().say(f"No motion can be compared with a single frame: {', '.join(still)}")
    captions = [caption for one in references if (caption := _caption(one))]
    bases = [_beside(base, path) if base else None for path in paths]
    models = assembled(clip, pick, dino, clip_b32)
    records: list[dict[str, Any]] = []
    faults: dict[Path, MdctlError] = {}
    with face().progress("scoring", len(paths)) as show:
        for number, (path, prompt, beside) in enumerate(zip(paths, asked, bases, strict=True), 1):
            try:
                seen = seen_in(path, frames)
                clips = [seen_in(one, frames, like=seen) for one in references]
                made_by_base = seen_in(beside, frames, like=seen) if beside else None
                found = judged(score.Video(seen, prompt, clips, made_by_base, captions), models, kinds)
            except (BadInput, Refused) as fault:
                faults[path] = fault
            else:
                meta = {"version": score.VERSION, **models.ids, **found.meta}
                record = {"video": str(path), "prompt": prompt, "scores": found.values, "skipped": found.skipped}
                records.append(record | {"meta": meta})
            show(number, path.name)
    _tell_scores(records, faults)
    return 0


def _check_together(
    campaign: bool, reference: list[str] | None, prompts: Path | None, output: Path | None, allow_missing: bool
) -> None:
    """`UsageFault` for what would say nothing: clips and prompts are the manifest's where there is one."""
    given = {"--reference": reference, "--prompts": prompts} if campaign else {
        "--output": output, "--allow-missing": allow_missing}  # fmt: skip
    for name, what in given.items():
        if what:
            fix = "leave it out: the manifest says it" if campaign else "--system NAME and --manifest FILE go with it"
            raise UsageFault(f"{name} says nothing {'beside' if campaign else 'without'} a manifest.", fix=fix)


def _videos_in(words: Sequence[str]) -> list[Path]:
    from mdctl.media import clips as media
    from mdctl.media import folders

    found = []
    for word in words:
        folder = Path(word).expanduser()
        if not folder.is_dir():
            found += media.expand([word])
            continue
        inside = folders.videos(folder)
        if not inside:
            fix = "give a folder of videos (mp4, gif, webp, webm, mov), or of folders of pictures (jpg, png)"
            raise NotFound(f"there is no video in {folder}.", fix=fix)
        if inside != [folder] and (beside := [path.name for path in folders.pictures(folder)]):
            more = f" and {len(beside) - MOST_NAMED} more" if len(beside) > MOST_NAMED else ""
            face().say(
                f"Pictures beside the videos of {folder} are passed over: {', '.join(beside[:MOST_NAMED])}{more}"
            )
        found += inside
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
        prompt = footage.sidecar(sidecar).get("prompt")
        return prompt if isinstance(prompt, str) else None
    return None


def _caption(clip: Path) -> str | None:
    """What is said about a clip, in the file that `bench folder` reads or beside a video that mdctl made."""
    with suppress(OSError, UnicodeDecodeError):
        return " ".join((clip.parent / "caption.txt").read_text("utf-8-sig").split()) or None
    return _told(clip.with_suffix(".json"))


def _beside(folder: Path, path: Path) -> Path:
    found = folder / path.name
    if not found.exists():
        raise NotFound(f"there is no {found}.", fix="give the base model's videos the names of those that are scored")
    return found


def _tell_scores(records: list[dict[str, Any]], faults: Mapping[Path, MdctlError]) -> None:
    """Show what was found; what could not be judged is a fault, which leaves the others whole."""
    if not records:
        raise next(iter(faults.values()))
    _show(records, faults)
    if faults:
        path, fault = next(iter(faults.items()))
        raise Partly(
            f"{len(faults)} of {len(faults) + len(records)} videos cannot be judged.",
            why=f"{path}: {fault.what} {fault.why}".rstrip(),
            saved="the figures of the others are on stdout.",
            fix=fault.fix or "leave them out",
        )


def _show(records: list[dict[str, Any]], faults: Mapping[Path, MdctlError]) -> None:
    names = list(dict.fromkeys(name for record in records for name in record["scores"]))
    means = {}
    for name in names:
        values = [record["scores"][name] for record in records if name in record["scores"]]
        means[name] = {"mean": sum(values) / len(values), "n": len(values)}
    if face().manners.json:
        unread = {str(path): fault.what for path, fault in faults.items()}
        face().sheet([], {"videos": records, "means": means, "unread": unread})
        return
    columns = ["FIGURE", *(Path(record["video"]).name for record in records[:SHOWN_VIDEOS]), "MEAN", "N"]
    rows = []
    for name in names:
        cells = [f"{r['scores'][name]:.3f}" if name in r["scores"] else "-" for r in records[:SHOWN_VIDEOS]]
        rows.append([name, *cells, f"{means[name]['mean']:.3f}", str(means[name]["n"])])
    face().answer(columns, rows, [], [record["video"] for record in records])
    for why in dict.fromkeys(why for record in records for why in record["skipped"].values()):
        about = [[name for name, own in record["skipped"].items() if own == why] for record in records]
        skipped, number = dict.fromkeys(name for own in about for name in own), sum(map(bool, about))
        some = f" ({number} of {len(records)} videos)" if number < len(records) else ""
        face().say(f"skipped {', '.join(skipped)}: {why}{some}")
    for line in cut_short(record["meta"] for record in records):
        face().say(line)
    for path, fault in faults.items():
        face().say(f"{path} cannot be judged: {fault.what} {fault.why}".rstrip())
