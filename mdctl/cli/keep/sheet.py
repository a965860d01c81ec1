"""`clips sheet`: every frame that training sees, as one picture; and how that differs from what a run has seen."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mdctl.cli import options
from mdctl.cli.choose import layers, resolve
from mdctl.cli.create import encoding, start, videos
from mdctl.cli.face import face
from mdctl.errors import BadInput, UsageFault
from mdctl.settings import ClipSettings, Shape, to_table
from mdctl.text import safe
from mdctl.workspace import atomic
from mdctl.workspace.project import Project
from mdctl.workspace.records import ClipRecord
from mdctl.workspace.runs import Run

if TYPE_CHECKING:
    from mdctl.media.clips import Look
    from mdctl.media.frames import Frames

SHEET = "clips.png"
"""What the sheet is called in a project's folder."""

_COLUMNS = 8
_SMALL, _TALL = 128, 160
"""How high a frame is drawn: small ones are enlarged by a whole number up to the first, large ones get the second."""


def sheet(
    name: options.ProjectName,
    output: Annotated[
        str | None,
        typer.Option("-o", "--output", metavar="FILE.png", help="Where to put it.", show_default="in the project"),
    ] = None,
    force: options.Force = False,
    frames: options.NumFrames = None,
    fps: options.Fps = None,
    size: options.Size = None,
) -> int:
    """Draw every frame that training sees of every clip, as one picture.

    \b
    mdctl clips sheet golf
    mdctl clips sheet golf --frames 24 --size 48x48 -o golf-24.png
    """
    from mdctl.media import preview

    project = Project.open(name)
    path = _sheet_path(project, output, force)
    shape = shape_of(project, videos.flags(size, frames=frames, fps=fps))
    shown: list[Shown] = []
    with face().progress("cutting clips", len(project.clips)) as show:
        for number, clip in enumerate(project.clips, 1):
            shown.append(_shown(project, clip, shape))
            show(number, clip.name)
    rows = list(_rows(shown, project.record.caption))
    left_out = [one for one in shown if one.frames is None]
    if not rows:
        raise BadInput(
            f"no clip of '{name}' can be used like this.",
            why="; ".join(f"{safe(one.clip.name, 60)}: {', '.join(one.found.reasons)}" for one in left_out)[:400],
            fix=next((one.found.hint for one in left_out if one.found.hint), ()),
        )
    still = all(clip.picture for clip in project.clips)
    what = "pictures of" if still else f"{shape.frames} frames at {shape.fps:g} fps of"
    title = f"{name}: {what} {shape.width}x{shape.height}"
    picture = preview.contact_sheet(rows, columns=_COLUMNS, height=_height(shape), sections={0: title})
    if output and path.exists():
        videos.discard(path)
    atomic.write(path, picture)
    for one in left_out:
        face().warn(f"{one.clip.name} cannot be used like this: {', '.join(one.found.reasons)}.")
    _tell_run(project, shape)
    face().picture(lambda: picture)
    face().done(f"{title}, as training sees them.")
    face().result([str(path)], {"project": name, "failed": [one.clip.name for one in left_out], **to_table(shape)})
    return 11 if left_out else 0


def changes(project: Project, run: Run) -> list[str]:
    """How the clips of a project differ now from those that a run learns from; empty when they do not."""
    then = [dict(clip) for clip in run.settings["clip"]]
    pairs, fresh, gone = _paired(project.clips, then)
    told = [f"{clip['name']} is not among them now" for clip in gone]
    told += [f"{clip.name} is new" for clip in fresh]
    for clip, frozen in pairs:
        trim = tuple(frozen["trim"]) if "trim" in frozen else None
        if clip.trim != trim:
            told.append(f"{clip.name}: {seconds(trim)} in the run, {seconds(clip.trim)} now")
        crop = tuple(frozen["crop"]) if "crop" in frozen else None
        if clip.crop != crop:
            told.append(f"{clip.name}: {_bars(crop)} in the run, {_bars(clip.crop)} now")
        if clip.caption and clip.caption != frozen["caption"]:  # that of the project is for the next run
            told.append(f'{clip.name}: "{frozen["caption"]}" in the run, "{clip.caption}" now')
    if not told and [frozen for _, frozen in pairs] != then:
        told.append("they are in another order")
    return told


def _paired(
    clips: Sequence[ClipRecord], then: Sequence[dict[str, Any]]
) -> tuple[list[tuple[ClipRecord, dict[str, Any]]], list[ClipRecord], list[dict[str, Any]]]:
    """The clips of now with what a run calls them, those that are new, and those that are gone.

    A file may stand in a project several times: the same part of it goes first.
    """
    rest, found = list(then), dict[int, dict[str, Any]]()
    for exact in (True, False):
        for place, clip in enumerate(clips):
            fits = (
                frozen
                for frozen in rest
                if frozen["sha256"] == clip.sha256 and (not exact or frozen.get("trim") == (clip.trim and [*clip.trim]))
            )
            if place not in found and (frozen := next(fits, None)) is not None:
                found[place] = frozen
                rest = [one for one in rest if one is not frozen]
    pairs = [(clip, found[place]) for place, clip in enumerate(clips) if place in found]
    return pairs, [clip for place, clip in enumerate(clips) if place not in found], rest


def _bars(crop: tuple[int, ...] | None) -> str:
    return f"cropped to {crop[2]}x{crop[3]}" if crop else "not cropped"


def seconds(trim: tuple[float, float] | None) -> str:
    """A part of a clip in words."""
    return f"{trim[0]:g}-{trim[1]:g} s" if trim else "all of it"


# --- What is seen.


@dataclass(frozen=True)
class Shown:
    """One clip as training sees it."""

    clip: ClipRecord
    found: "Look"
    """Where the frames lie in it, or why it cannot be used."""
    frames: "Frames | None"
    """None where it cannot be used."""


def _rows(shown: Sequence[Shown], caption: str) -> "Iterator[tuple[str, Frames]]":
    """The rows of a sheet, each with its label: those of every clip, then pictures beside one another."""
    pictures: list[tuple[str, Frames]] = []
    for number, one in enumerate(shown, 1):
        head = f"{number}  {one.clip.name}"
        if one.frames is None:
            continue
        if one.clip.picture:
            pictures.append((head, one.frames))
            continue
        cropped = ", bars off" if one.clip.crop else ""
        head += f'   {one.found.start_s:.2f}-{one.found.end_s:.2f} s{cropped}   "{one.clip.caption or caption}"'
        for first in range(0, len(one.frames), _COLUMNS):
            some = one.frames[first : first + _COLUMNS]
            yield (head if not first else f"frames {first + 1}-{first + len(some)}"), some
    for first in range(0, len(pictures), _COLUMNS):
        beside = pictures[first : first + _COLUMNS]
        strip = beside[0][1].repeat(len(beside), 0)
        for place, (_, picture) in enumerate(beside):
            strip[place] = picture[0]
        yield "   ".join(head for head, _ in beside), strip


def _shown(project: Project, clip: ClipRecord, shape: Shape) -> Shown:
    """What training sees of a clip, no larger than it is drawn."""
    from mdctl.media.frames import resized

    found, frames = encoding.window(project, clip, shape)
    if frames is not None and _height(shape) < shape.height:  # many large ones would fill the memory
        frames = resized(frames, round(shape.width * _height(shape) / shape.height), _height(shape))
    return Shown(clip, found, frames)


def shape_of(project: Project, flags: dict[str, Any]) -> Shape:
    """The shape that the clips of a project would have in a training that begins now."""
    own = resolve(ClipSettings, "clips", layers("clips", project, None, flags))
    return start.shaped(own, start.card_for(project.record.model))


def _height(shape: Shape) -> int:
    """How high a frame is drawn."""
    return shape.height * max(1, _SMALL // shape.height) if shape.height <= _TALL else _TALL


def _sheet_path(project: Project, output: str | None, force: bool) -> Path:
    if output is None:
        return project.folder / SHEET
    path = Path(output)
    if path.is_dir():
        path = path / f"{project.name}-{SHEET}"
    if path.suffix.lower() != ".png":
        raise UsageFault(f"'{safe(output, 200)}' is no name for a PNG.", fix=f"-o {path.stem or project.name}.png")
    if path.exists() and not force:
        raise UsageFault(f"the file '{safe(str(path), 200)}' exists.", fix="another name, or --force")
    return path.absolute()


def _tell_run(project: Project, shape: Shape) -> None:
    """Say where the run that `train` would go on with sees something else."""
    run = next((run for run in reversed(project.runs()) if run.has_saves), None)
    if run is None:
        return
    frozen = run.settings["clips"]
    told = [
        f"{key} {frozen.get(key)} and not {here}" for key, here in to_table(shape).items() if frozen.get(key) != here
    ]
    if told := [*changes(project, run), *told]:
        again = f"mdctl train {project.name} --fresh begins one that sees this"
        face().warn(f"run {run.id} learns from something else: {'; '.join(told)}. {again}.")
