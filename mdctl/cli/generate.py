"""`gen`: put a learned motion on whatever the prompt names."""

import json
import os
import secrets
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from mdctl.cli import options, rendering
from mdctl.cli.choose import layers, resolve
from mdctl.cli.face import EPILOG, face
from mdctl.cli.learning import damage
from mdctl.cli.start import quoted
from mdctl.errors import BadInput, MdctlError, NotFound, Partly, UsageFault
from mdctl.settings import SampleSettings, parse_size, to_table
from mdctl.text import safe, slug
from mdctl.workspace import atomic, locations, locks, weights
from mdctl.workspace.project import Project
from mdctl.workspace.runs import Change, Run
from mdctl.workspace.saves import Save

if TYPE_CHECKING:
    from mdctl.media.frames import Frames

LONGEST_PROMPT = 100_000
MAX_SEED = 2**63 - 1


def mount(app: typer.Typer) -> None:
    """Add the commands of this file."""
    app.command(epilog=EPILOG)(gen)


@dataclass(frozen=True)
class Video:
    """One video that was made."""

    path: Path
    frames: "Frames"
    seed: int


def gen(
    name: options.ProjectName,
    prompt: Annotated[
        str, typer.Argument(metavar="PROMPT", help="What is to be seen; - reads it.", show_default=False)
    ],
    count: Annotated[int, typer.Option(min=1, max=10_000, help="How many videos.")] = 1,
    seed: Annotated[
        int | None, typer.Option(min=0, max=MAX_SEED, help="Of the first video.", show_default="drawn")
    ] = None,
    strength: Annotated[
        float | None, typer.Option(help="How strongly the motion is put on, 0-1.5.", show_default="1")
    ] = None,
    steps: Annotated[int | None, typer.Option(help="Denoising steps.", show_default="30")] = None,
    guidance: Annotated[
        float | None, typer.Option(help="How closely to keep to the prompt.", show_default="as the model")
    ] = None,
    negative: Annotated[str | None, typer.Option(help="What is not to be seen.")] = None,
    frames: options.NumFrames = None,
    size: options.Size = None,
    fps: options.Fps = None,
    checkpoint: Annotated[str | None, typer.Option(help="Which save: last, or its step.", show_default="last")] = None,
    output: Annotated[str | None, typer.Option("-o", "--output", metavar="FILE|DIR/", help="Where to put it.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Move a file of that name to the trash first.")] = False,
    container: Annotated[
        Literal["mp4", "gif", "webp"] | None, typer.Option("--format", help="File format.", show_default="mp4")
    ] = None,
    template: options.Template = None,
    device: options.Device = "auto",
    precision: options.Precision = None,
    threads: options.Threads = None,
    dry_run: options.DryRun = False,
) -> int:
    """Put the learned motion on whatever the prompt names.

    \b
    mdctl gen golf "a monkey playing golf"
    mdctl gen golf "a panda playing golf" --count 4 --seed 7 --strength 1.2
    """
    words = _prompt(prompt)
    width, height = parse_size(size) if size else (None, None)
    flags = {
        "steps": steps,
        "guidance": guidance,
        "strength": strength,
        "negative": negative,
        "frames": frames,
        "fps": fps,
        "width": width,
        "height": height,
        "precision": precision,
    }
    project = Project.open(name)
    asked = resolve(SampleSettings, "gen", layers("gen", project, template, flags))
    run, save = find_save(project, checkpoint)
    first = seed if seed is not None else secrets.randbelow(2**31)
    target = _target(output, container, count, force)
    settings = settled(asked, run.settings)
    if dry_run:
        face().sheet(
            [("save", f"{run.id}, step {save.step}"), *((k, str(v)) for k, v in to_table(settings).items())],
            {"run": run.id, "save": save.step, "prompt": words, "settings": to_table(settings)},
        )
        return 0
    seeds = range(first, first + count)
    paths = _finished(make(project, run, save, words, settings, seeds, target, device, threads), seeds, project, run)
    face().done(f"{count} video{'s' * (count != 1)} of '{name}'.", [_stronger(name, words, first, settings.strength)])
    face().result(paths, {"project": name, "run": run.id})
    return 0


def _finished(videos: Iterator[Video], seeds: range, project: Project, run: Run) -> list[str]:
    """The paths of all videos; where it breaks off, the result is the finished ones, and the rest is told."""
    paths: list[str] = []
    try:
        for video in videos:
            paths.append(str(video.path))
    except BaseException as stop:
        if not paths:
            raise
        rest = seeds[len(paths) :]
        record = {"project": project.name, "run": run.id, "status": "partial", "failed": list(rest)}
        face().result(paths, record)
        if not isinstance(stop, MdctlError):
            raise
        raise Partly(
            f"{len(paths)} of {len(seeds)} videos of '{project.name}' are made, the others are not.",
            why=f"{stop.what} {stop.why}".rstrip(),
            saved="every video that is named on stdout is whole.",
            fix=(*stop.fix, f"the same line with --seed {rest[0]} --count {len(rest)} makes the rest"),
        ) from stop
    return paths


def _stronger(name: str, prompt: str, seed: int, strength: float) -> str:
    flags = f"--seed {seed} --strength {1.2 * strength or 1:.2g}"
    words = f"{flags} -- {quoted(prompt)}" if prompt.startswith("-") else f"{quoted(prompt)} {flags}"
    return f"mdctl gen {name} {words}     the motion stronger"


@dataclass(frozen=True)
class Target:
    """Where videos go and as what."""

    folder: Path | None
    """None is the project's own outputs."""

    file: Path | None
    format: Literal["mp4", "gif", "webp"]
    force: bool = False
    """Whether a file of that name goes to the trash first."""


def make(
    project: Project,
    run: Run,
    save: Save,
    prompt: str,
    settings: SampleSettings,
    seeds: range,
    target: Target,
    device_name: str,
    threads: int | None = None,
) -> Iterator[Video]:
    """Load the model and the save once, then make and keep one video for each seed."""
    with locks.reader(save.folder):
        studio = rendering.load(project, run, save, settings, device_name, threads)
        for text, verb in ((prompt, "prompt"), (settings.negative, "negative prompt")):
            if unread := studio.backbone.unread(rendering.readable(text)):
                told = [f"{word} (near: {', '.join(near)})" if near else word for word, near in unread.items()]
                face().warn(f"the base model does not read these words of the {verb}: {', '.join(told)}.")
        embeds = rendering.embed(studio, prompt, settings.negative)
        rendering.require_effect(studio, embeds, settings, seeds[0], f"save {save.step} of '{project.name}'")
        for number, seed in enumerate(seeds, 1):
            began = time.monotonic()
            drawn = rendering.draw(studio, embeds, settings, seed, f"{number}/{len(seeds)}")
            record = {
                "prompt": prompt,
                "seed": seed,
                "settings": to_table(settings),
                "project": project.name,
                "run": run.id,
                "save": save.step,
                "weights_sha256": save.manifest[rendering.motion_file(save)].sha256,
                **studio.made_with,
            }
            path = _keep(project, drawn, settings.fps or 8, prompt, seed, target, record)
            seconds = round(time.monotonic() - began, 2)
            sidecar = str(path.with_suffix(".json"))
            face().event(
                {
                    "event": "video",
                    "project": project.name,
                    "run": run.id,
                    "path": str(path),
                    "sidecar": sidecar,
                    "prompt": prompt,
                    "seed": seed,
                    "seconds": seconds,
                }
            )
            yield Video(path, drawn, seed)


def _prompt(given: str) -> str:
    try:
        words = sys.stdin.read() if given == "-" else given
    except UnicodeDecodeError as error:
        raise BadInput("what came on stdin is no text.", why=str(error), fix="give the prompt as UTF-8") from error
    if not words.strip():
        raise BadInput("the prompt is empty.", fix='mdctl gen golf "a monkey playing golf"', code="MD-PROMPT")
    if len(words) > LONGEST_PROMPT:
        raise BadInput(f"a prompt of {len(words)} characters is too long.", fix=f"say it in {LONGEST_PROMPT} or fewer")
    return words.strip()


def find_save(project: Project, checkpoint: str | None) -> tuple[Run, Save]:
    """The run and its save to use: of the newest run that has one, the last or the one of this step."""
    trained = [run for run in project.runs() if run.has_saves]
    untrained = NotFound(
        f"'{project.name}' is not trained yet.", fix=f"mdctl train {project.name}", code="MD-UNTRAINED"
    )
    if not trained:
        raise untrained
    run = trained[-1]
    steps = {str(save.step): save for save in run.saves()}
    if checkpoint in (None, "last") or not steps:
        save = run.latest(report=_damaged)
        if save is None:
            raise untrained
        if not run.finished:
            face().say(f"'{project.name}' is {run.status}; step {save.step} is used.")
        return run, save
    if checkpoint not in steps:
        raise NotFound(
            f"'{project.name}' has no save '{safe(checkpoint or '', 40)}'.",
            why=f"run {run.id} has the steps {', '.join(steps)}.",
            fix=f"--checkpoint {next(reversed(steps))}",
        )
    save = steps[checkpoint]
    save.verify(optimizer=False)
    return run, save


def _damaged(change: Change) -> None:
    face().event({"event": "changed", **change})
    face().warn(damage(change))


def settled(asked: SampleSettings, trained: Mapping[str, Any]) -> SampleSettings:
    """Every gap filled: the shape from the settings of the run that was trained, guidance from its base model."""
    shape = trained["clips"]
    card, _ = weights.find(trained["model"]["name"])
    return SampleSettings(
        steps=asked.steps,
        guidance=float(card.guidance if asked.guidance is None else asked.guidance),
        strength=float(asked.strength),
        negative=asked.negative,
        frames=asked.frames or shape["frames"],
        fps=float(asked.fps or shape["fps"]),
        width=asked.width or shape["width"],
        height=asked.height or shape["height"],
        precision=asked.precision,
    )


def _target(wanted: str | None, container: Literal["mp4", "gif", "webp"] | None, count: int, force: bool) -> Target:
    if wanted is None:
        return Target(None, None, container or "mp4")
    output = Path(wanted)
    if output.is_dir() or wanted.endswith(("/", os.sep)):
        return Target(output, None, container or "mp4")
    suffix = output.suffix.lower().removeprefix(".")
    if suffix not in ("mp4", "gif", "webp") or (container and container != suffix):
        raise UsageFault(
            f"'{safe(wanted, 200)}' says no format that can be written.", fix="-o video.mp4, .gif, .webp, or a FOLDER/"
        )
    if count > 1:
        raise UsageFault(f"{count} videos do not fit into one file.", fix=f"-o {output.with_suffix('')}/")
    if (taken := _taken(output)) and not force:
        raise UsageFault(
            f"the file '{safe(str(taken[0]), 200)}' exists.",
            why="videos and their .json replace nothing.",
            fix="another name, or --force",
        )
    return Target(None, output.absolute(), suffix, force)  # type: ignore[arg-type]


def _taken(video: Path) -> list[Path]:
    return [path for path in (video, video.with_suffix(".json")) if os.path.lexists(path)]


def discard(path: Path) -> None:
    """Move a file to the trash, which may lie on another disk."""
    atomic.copy(path, locations.trash() / f"{_stamp()}_{secrets.token_hex(4)}_{path.name}")
    atomic.remove(path)


def _stamp() -> str:
    return datetime.now(UTC).strftime("%Y%m%d-%H%M")


def _keep(
    project: Project, frames: "Frames", fps: float, prompt: str, seed: int, target: Target, record: Mapping[str, Any]
) -> Path:
    """Write the video and its sidecar under a name that was free; both are whole or absent."""
    from mdctl.media import ffmpeg

    # Of what it was made with, so that the same video made again is the same file.
    identity = blake2b(json.dumps(record, sort_keys=True).encode(), digest_size=8).hexdigest()
    video = ffmpeg.encode(frames, fps, format=target.format, comment=f"mdctl {identity}")
    name = f"{_stamp()}_{slug(prompt, 60) or 'video'}_s{seed}.{target.format}"
    wanted = target.file or (target.folder.absolute() if target.folder else project.outputs) / name
    if target.file and target.force:
        for old in _taken(target.file):
            discard(old)
    path = atomic.create(wanted, video, beside=".json")
    created = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    sidecar = {"schema": 1, "id": identity, "video": path.name, "created": created, **record}
    try:
        atomic.write(path.with_suffix(".json"), json.dumps(sidecar, indent=1) + "\n")
    except MdctlError:
        atomic.remove(path)
        raise
    return path
