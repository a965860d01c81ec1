"""`clips`: what a project learns from, looked at, added to and changed; old runs keep what they learned from."""

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mdctl.cli import groups, options
from mdctl.cli.create import desk, start
from mdctl.cli.create.encoding import cutting, intact
from mdctl.cli.face import face
from mdctl.cli.keep.sheet import seconds, shape_of, sheet
from mdctl.cli.turns import turn
from mdctl.cli.view import look
from mdctl.errors import BadInput, NotFound, UsageFault
from mdctl.text import safe
from mdctl.workspace.project import Project
from mdctl.workspace.records import ClipRecord

if TYPE_CHECKING:
    from mdctl.media.clips import Look


def mount(app: typer.Typer) -> None:
    """Add the group of this file."""
    about = "List, add, remove and change the clips of a project."
    groups.mount(
        app,
        "clips",
        about,
        ("mdctl clips list golf", "mdctl clips sheet golf"),
        {"list": list_clips, "add": add, "rm": remove, "set": change, "sheet": sheet},
    )


def list_clips(name: options.ProjectName) -> int:
    """List the clips of a project with the numbers by which they are named.

    \b
    mdctl clips list golf
    mdctl clips list golf --json
    """
    project = Project.open(name)
    rows, records = [], []
    for number, clip in enumerate(project.clips, 1):
        length = "picture" if clip.picture else f"{clip.duration_s:.1f} s"
        source = f"{clip.width}x{clip.height}" + (f"  {clip.fps:.5g} fps" if clip.fps else "")
        stored = "linked" if clip.linked else look.size(clip.size_bytes)
        rows.append([str(number), clip.name, length, source, _part(clip), clip.caption, stored])
        record = {
            "number": number,
            "name": clip.name,
            "path": str(project.path_of(clip)),
            "sha256": clip.sha256,
            "seconds": clip.duration_s,
            "width": clip.width,
            "height": clip.height,
            "fps": clip.fps,
            "trim": clip.trim,
            "crop": clip.crop,
            "caption": clip.caption or project.record.caption,
            "bytes": clip.size_bytes,
            "linked": clip.linked,
            "source": clip.source,
        }
        records.append(record)
    columns = ["#", "CLIP", "LENGTH", "SOURCE", "PART", "CAPTION", "SIZE"]
    face().answer(columns, rows, records, [clip.name for clip in project.clips])
    return 0


def add(
    name: options.ProjectName,
    files: Annotated[list[str], typer.Argument(metavar="CLIPS...", help="Videos or pictures.", show_default=False)],
    caption: Annotated[
        str | None, typer.Option(help="What happens in these, where it is another than in the others.")
    ] = None,
    trim: Annotated[str | None, typer.Option(help="The part to use, such as 0:01-0:03; one clip only.")] = None,
    split: desk.Split = False,
    crop_bars: desk.CropBars = False,
    link: desk.Link = False,
    strict: Annotated[bool, typer.Option("--strict", help="Stop at the first clip that cannot be used.")] = False,
    wait: options.Wait = None,
    dry_run: options.DryRun = False,
) -> int:
    """Add clips to a project, looked at as `new` looks at them.

    \b
    mdctl clips add golf swing_d.mp4
    mdctl clips add golf long.mp4 --trim 0:12-0:14 --caption "a person is teeing off"
    mdctl clips add golf match.mp4 --split --crop-bars
    """
    project = Project.open(name)
    paths, window = start.chosen(files, trim)
    with nullcontext() if dry_run else turn(project, "clips", wait):
        shape = shape_of(project, {})
        wishes = desk.Wishes(window, strict, split, crop_bars, link)
        looks = desk.examined(paths, shape, wishes, project.record.kind)
        kept, left_out = desk.reported(looks, shape), desk.unused(looks)
        if not kept:
            raise BadInput(
                f"none of the clips can be used; '{name}' stays as it is.",
                why="; ".join(f"{safe(found.name, 60)}: {', '.join(found.reasons)}" for found in left_out)[:400],
                fix=next((found.hint for found in left_out if found.hint), f"mdctl clips add {name} OTHER_CLIPS"),
            )
        there: dict[object, int] = {}
        for number, clip in enumerate(project.clips, 1):
            for part in {None, clip.trim}:  # a file that is named as a whole is there when any part of it is
                there.setdefault((clip.sha256, part), number)
        fresh = [found for found in kept if (found.sha256, found.scene or window) not in there]
        for found in kept:
            if number := there.get((found.sha256, found.scene or window), 0):
                face().say(f"{safe(found.name, 80)} is clip {number} already; it stays as it is.")
        if fresh and not dry_run:
            said = " ".join((caption or "").split())
            project.set_clips([*project.clips, *(desk.new_clip(found, window, said, link) for found in fresh)])
    if left_out:
        why = "; ".join(f"{found.name}: {', '.join(found.reasons)}" for found in left_out)
        face().warn(f"{len(left_out)} clip{'s' * (len(left_out) != 1)} left out: {why}.")
    count = f"{len(fresh)} clip{'s' * (len(fresh) != 1)}"
    if dry_run or not fresh:
        face().done(f"{count} would be added to '{name}'." if fresh else f"Nothing new; '{name}' stays as it is.")
    else:
        face().done(f"Added {count} to '{name}', which has {len(project.clips)} now.", _then(project))
    _result(project, left_out, changed=bool(fresh) and not dry_run)
    return 11 if left_out else 0


def remove(
    name: options.ProjectName,
    which: Annotated[
        list[str], typer.Argument(metavar="NUMBERS...", help="As clips list counts them, or names.", show_default=False)
    ],
    wait: options.Wait = None,
) -> int:
    """Take clips out of a project; their copies stay in its folder for runs that learned from them.

    \b
    mdctl clips rm golf 3
    mdctl clips rm golf 2 swing_c.mp4
    """
    project = Project.open(name)
    with turn(project, "clips", wait):
        gone = {_number(project, word) for word in which}
        rest = [clip for number, clip in enumerate(project.clips, 1) if number not in gone]
        if not rest:
            raise BadInput(
                f"'{name}' would be left without a clip.",
                fix=(f"mdctl clips add {name} CLIPS... first", f"mdctl rm {name}     removes the project"),
            )
        taken = [project.clips[number - 1] for number in sorted(gone)]
        project.set_clips(rest)
    face().done(
        f"Took {', '.join(clip.name for clip in taken)} out of '{name}'.",
        [*(f"{line}     undoes it" for line in _again(project, taken)), *_then(project)],
    )
    _result(project)
    return 0


def change(
    name: options.ProjectName,
    which: Annotated[
        str, typer.Argument(metavar="NUMBER", help="As clips list counts them, or a name.", show_default=False)
    ],
    trim: Annotated[
        str | None, typer.Option(help="The part to use, such as 0:12-0:14, or all.", show_default=False)
    ] = None,
    caption: Annotated[
        str | None, typer.Option(help='What happens in it; "" takes the caption of the project.', show_default=False)
    ] = None,
    crop_bars: Annotated[
        bool | None,
        typer.Option("--crop-bars/--keep-bars", help="Whether its black bars are cut off.", show_default=False),
    ] = None,
    wait: options.Wait = None,
) -> int:
    """Change which part of a clip is used, or what is said of it.

    \b
    mdctl clips set golf 4 --trim 0:12-0:14
    mdctl clips set golf 4 --caption "a person is teeing off"
    """
    if trim is None and caption is None and crop_bars is None:
        raise UsageFault("nothing is said to be changed.", fix=f'mdctl clips set {name} {which} --caption "..."')
    project = Project.open(name)
    with turn(project, "clips", wait):
        number = _number(project, which)
        clip = project.clips[number - 1]
        if trim is not None:
            clip = replace(clip, trim=_trim(project, clip, trim))
        if caption is not None:
            clip = replace(clip, caption=" ".join(caption.split()))
        if crop_bars is not None:
            clip = replace(clip, crop=_crop(project, clip) if crop_bars else None)
        project.set_clips([*project.clips[: number - 1], clip, *project.clips[number:]])
    said = clip.caption or project.record.caption
    face().done(f"Clip {number} of '{name}', {clip.name}: {_part(clip)}, \"{said}\".", _then(project))
    _result(project)
    return 0


# --- What is named and said.


def _number(project: Project, word: str) -> int:
    """Which clip a number or a name means."""
    clips = project.clips
    if word.isascii() and word.isdigit() and 1 <= int(word) <= len(clips):
        return int(word)
    named = [number for number, clip in enumerate(clips, 1) if word in (clip.name, clip.file)]
    if len(named) == 1:
        return named[0]
    if named:
        numbers = ", ".join(map(str, named))
        raise UsageFault(f"{numbers} are called '{safe(word, 80)}'.", fix=f"one of the numbers {numbers}")
    raise NotFound(
        f"'{project.name}' has no clip '{safe(word, 80)}'.",
        why=f"it has {', '.join(f'{number} {clip.name}' for number, clip in enumerate(clips, 1))}."[:400],
        fix=f"mdctl clips list {project.name}",
    )


def _trim(project: Project, clip: ClipRecord, text: str) -> tuple[float, float] | None:
    """The part of a clip that this text means, looked at."""
    from mdctl.media import clips as media

    if text.strip() == "all":
        return None
    window = media.parse_trim(text)
    if clip.picture:
        raise BadInput(f"{clip.name} is a picture, and has no parts.", fix="leave --trim out")
    found = media.look(project.path_of(clip), trim=window, **cutting(shape_of(project, {})))
    if found.status == "left_out":
        raise BadInput(
            f"that part of {clip.name} cannot be used.", why=", ".join(found.reasons), fix="give a longer part"
        )
    reasons = [reason for reason in found.reasons if not (clip.crop and reason == media.BARS)]
    if reasons:
        face().say(f"{clip.name}: {', '.join(reasons)}")
    return window


def _crop(project: Project, clip: ClipRecord) -> tuple[int, int, int, int]:
    """The part of a clip's picture that lies between black bars."""
    from mdctl.media import clips as media

    fix = f"mdctl clips sheet {project.name}     shows what is used of it"
    if clip.picture:
        raise BadInput(f"{clip.name} is a picture; bars are found in videos.", fix="leave --crop-bars out")
    found = media.look(intact(project, clip), trim=clip.trim, **cutting(shape_of(project, {})))
    crop = media.closer(found, True).crop
    if crop is None:
        raise BadInput(f"{clip.name} has no black bars that stay all the time.", fix=fix)
    return crop


def _part(clip: ClipRecord) -> str:
    cropped = ", bars off" if clip.crop else ""
    return "" if clip.picture else f"{seconds(clip.trim)}{cropped}"


def _again(project: Project, taken: Sequence[ClipRecord]) -> list[str]:
    """The commands that add these clips again as they were: one for neighbours without anything of their own."""
    lines: list[tuple[str, list[str]]] = []
    for clip in taken:
        path = Path(clip.source) if Path(clip.source).is_file() else project.path_of(clip)
        own = f" --trim {'-'.join(f'{edge:.3f}'.rstrip('0').rstrip('.') for edge in clip.trim)}" if clip.trim else ""
        own += f" --caption {start.quoted(clip.caption)}" if clip.caption else ""
        own += " --crop-bars" * (clip.crop is not None) + " --link" * clip.linked
        if clip.trim or not lines or lines[-1][0] != own:
            lines.append((own, []))
        lines[-1][1].append(start.quoted(str(path)))
    return [f"mdctl clips add {project.name} {' '.join(paths)}{own}" for own, paths in lines]


def _then(project: Project) -> list[str]:
    """What comes next after a change: runs are bound to the clips that they began with."""
    fresh = " --fresh" if any(run.has_saves for run in project.runs()) else ""
    return [f"mdctl train {project.name}{fresh}", f"mdctl clips sheet {project.name}     shows what it will see"]


def _result(project: Project, left_out: "Sequence[Look]" = (), changed: bool = True) -> None:
    paths = [str(project.folder)] if face().manners.quiet or face().manners.json else []
    status = "nothing_to_do" if not changed else "partial" if left_out else "done"
    record = {"project": project.name, "status": status, "clips": len(project.clips)}
    face().result(paths, {**record, "failed": [found.name for found in left_out]})
