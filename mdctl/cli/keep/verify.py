"""`verify`: whether all that a project holds is what it was when it was kept."""

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from mdctl.cli import options
from mdctl.cli.create import videos
from mdctl.cli.face import EPILOG, face
from mdctl.cli.turns import turn
from mdctl.errors import BadInput, Busy, MdctlError, NotReady, Refused, UsageFault
from mdctl.workspace import footage, locations
from mdctl.workspace.project import Project
from mdctl.workspace.records import CLIPS, PROJECT
from mdctl.workspace.runs import Run
from mdctl.workspace.saves import OPTIMIZER, Save

_COPY = re.compile(r"([0-9a-f]{12})\.[a-z0-9]{2,4}")
_BESIDES = ("schema", "id", "video", "created")
"""What a sidecar says besides what its id stands for."""


def mount(app: typer.Typer) -> None:
    """Add the command of this file."""
    app.command(epilog=EPILOG)(verify)


@dataclass(frozen=True)
class Seen:
    """One thing that was looked at."""

    what: str
    """`document`, `clip`, `run`, `save` or `video`."""
    path: Path
    """Where it lies, or should lie."""
    why: str = ""
    """What is wrong with it, '' when nothing is."""
    fix: str = ""
    """What mends it, if anything does."""


def verify(
    name: Annotated[str | None, typer.Argument(metavar="NAME", help="The project.", show_default=False)] = None,
    every: Annotated[bool, typer.Option("--all", help="All projects, and the videos of mixes.")] = False,
    wait: options.Wait = None,
) -> int:
    """Check every clip, save and video of a project for damage.

    \b
    mdctl verify golf
    mdctl verify --all
    """
    if every == (name is not None):
        raise UsageFault("it takes a project, or --all.", fix=("mdctl verify golf", "mdctl verify --all"))
    found: dict[str, list[Seen]] = {}
    busy: list[Busy] = []
    for project in [Project.find(name)] if name else Project.all():
        try:
            with ExitStack() as held:
                with suppress(NotReady):  # where nothing can be written, nothing changes while it is looked at either
                    held.enter_context(turn(project, "verify", wait))
                found[project.name] = _looked(project.name, _stages(project))
        except Busy as fault:
            busy.append(fault)
    for mix in sorted(locations.mixes().glob("*/")) if every else ():
        found[mix.name] = _looked(mix.name, [_videos(mix)])
    faults = [(owner, seen) for owner, all_seen in found.items() for seen in all_seen if seen.why]
    face().answer(
        ["PROJECT", "WHAT", "WHERE", "WHY"],
        [[owner, seen.what, str(seen.path), seen.why] for owner, seen in faults],
        [_record(owner, all_seen) for owner, all_seen in found.items()],
        [str(seen.path) for _, seen in faults],
    )
    for one in busy if every else ():
        face().warn(f"not checked: {one.what}")
    if faults:
        raise _damaged(faults)
    if busy:
        raise busy[0]
    counts = Counter(seen.what for all_seen in found.values() for seen in all_seen)
    told = ", ".join(f"{count} {what}{'s' * (count != 1)}" for what, count in counts.items())
    face().done(f"Sound: {told}." if told else "There is nothing to check yet.")
    return 0


def _damaged(faults: Sequence[tuple[str, Seen]]) -> Refused:
    owners = ", ".join(dict.fromkeys(f"'{owner}'" for owner, _ in faults))
    number = f"{len(faults)} things of {owners} are" if len(faults) > 1 else f"one thing of {owners} is"
    return Refused(
        f"{number} damaged or missing.",
        why="; ".join(f"{seen.what} {seen.path.name}: {seen.why}" for _, seen in faults),
        saved="whatever is not named is sound.",
        fix=list(dict.fromkeys(seen.fix for _, seen in faults if seen.fix))[:3],
        code="MD-DAMAGED",
    )


def _looked(name: str, stages: Sequence[Iterator[Seen]]) -> list[Seen]:
    found: list[Seen] = []
    with face().progress(f"verifying {name}", len(stages)) as show:
        for number, stage in enumerate(stages, 1):
            found += stage
            show(number, "")
    return found


def _record(owner: str, all_seen: Sequence[Seen]) -> dict[str, Any]:
    faults = [seen for seen in all_seen if seen.why]
    told = [{"what": seen.what, "path": str(seen.path), "why": seen.why, "fix": seen.fix} for seen in faults]
    return {
        "project": owner,
        "sound": not faults,
        "checked": dict(Counter(seen.what for seen in all_seen)),
        "faults": told,
    }


def _stages(project: Project) -> list[Iterator[Seen]]:
    """What there is to be looked at, a part at a time."""
    runs = [_run(project, run) for run in project.runs()]
    return [_documents(project), _clips(project), *runs, _videos(project.folder)]


def _documents(project: Project) -> Iterator[Seen]:
    for name, read in ((PROJECT, "record"), (CLIPS, "clips")):
        yield _read(Seen("document", project.folder / name), project, read)


def _read(seen: Seen, of: Project | Run, what: str) -> Seen:
    """The same, with what is wrong when it is read."""
    try:
        getattr(of, what)
    except MdctlError as fault:
        return Seen(seen.what, seen.path, fault.what, next(iter(fault.fix), ""))
    return seen


def _clips(project: Project) -> Iterator[Seen]:
    """The copies of clips, also of those that only old runs learned from."""
    from mdctl.media import clips as media

    folder, known = project.folder / "clips", {}
    with suppress(MdctlError):
        known = {clip.file: clip for clip in project.clips}
    for file in dict.fromkeys([*known, *sorted(path.name for path in folder.glob("*") if _COPY.fullmatch(path.name))]):
        clip = known.get(file)
        path = project.path_of(clip) if clip else folder / file
        fix = f"copy the original to that place again: {clip.source or clip.name}" if clip else ""
        try:
            right = media.digest(path).startswith(clip.sha256 if clip else path.stem)
            yield Seen("clip", path) if right else Seen("clip", path, "its content has changed", fix)
        except FileNotFoundError:
            yield Seen("clip", path, "it is missing", fix)
        except OSError as error:
            yield Seen("clip", path, f"it cannot be read: {error.strerror}", fix)


def _run(project: Project, run: Run) -> Iterator[Seen]:
    yield _read(Seen("run", run.folder / "run.toml"), run, "settings")
    away = f"mdctl rm {project.name} --checkpoints     takes it away, once there is a newer one"
    for folder, why in run.inspected():
        fault = why or _misread(folder)
        yield Seen("save", folder, fault, away if fault else "")
    for folder in sorted(run.folder.glob("ckpt/.damaged-*")):
        yield Seen("save", folder, "it was damaged, and has been set aside", away)


def _misread(folder: Path) -> str:
    """What is wrong with the weights of a save although they are what was written, '' when nothing is."""
    from mdctl.motion import headers

    for file in Save.open(folder).files:
        if file != OPTIMIZER and file.endswith(".safetensors"):
            try:
                headers.read(folder / file)
            except Refused as fault:
                return f"{file}: {fault.__cause__ or fault.why}"
    return ""


def _videos(folder: Path) -> Iterator[Seen]:
    """The videos of a project or mix, with those of its grids."""
    cells = sorted(path for path in folder.glob("grids/*/cells/*") if path.suffix == ".mp4" and path.name[0] != ".")
    for video in [*Project(folder).videos(), *cells]:
        why = _unsound(video)
        sidecar = video.with_suffix(".json")
        again = f"mdctl gen --from {sidecar}     makes it again" if why and sidecar.is_file() else ""
        yield Seen("video", video, why, again)


def _unsound(video: Path) -> str:
    """What is wrong with a video or with what stands beside it, '' when nothing is."""
    comment = ""
    try:
        if video.is_dir():
            _read_pictures(video)
        else:
            comment = _read_file(video)
    except (BadInput, Refused) as fault:
        return fault.why or fault.what
    beside = video.with_suffix(".json")
    try:
        sidecar = footage.sidecar(beside)
    except FileNotFoundError:
        return f"there is no {beside.name} beside it"
    except (OSError, ValueError) as fault:
        return f"{beside.name} cannot be read: {fault}"
    number = sidecar.get("id")
    if number != _identity(sidecar):
        return f"{beside.name} is not what was written"
    if comment.startswith("mdctl ") and comment != f"mdctl {number}":
        return f"{beside.name} tells of another video"
    return _missing(video, sidecar) if video.is_dir() else ""


def _read_file(video: Path) -> str:
    """What a file says of itself; `BadInput` or `Refused` where it is no whole video."""
    from mdctl.media import clips as media

    source = media.probed(video)
    if source.damaged_after_s is not None:
        raise BadInput(f"it breaks off after {source.damaged_after_s:.1f} s")
    return source.comment


def _read_pictures(folder: Path) -> None:
    """Read every picture of a video that is a folder; `BadInput` for one that cannot be."""
    from mdctl.media import folders

    folders.spread(folder, len(folders.pictures(folder)) or 1)


def _missing(folder: Path, sidecar: Mapping[str, Any]) -> str:
    """How many of its pictures have gone, '' where none has, or nobody can know."""
    from mdctl.media import folders

    settings = sidecar.get("settings")
    told, there = settings.get("frames") if isinstance(settings, Mapping) else None, len(folders.pictures(folder))
    return f"{there} of its {told} pictures are there" if type(told) is int and told != there else ""


def _identity(sidecar: Mapping[str, Any]) -> str:
    return videos.identity({key: value for key, value in sidecar.items() if key not in _BESIDES})
