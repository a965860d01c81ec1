"""Clips of a project as latents, each made once: training learns from them, `--follow` starts from their noise."""

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mdctl.cli.create.start import quoted
from mdctl.cli.face import face
from mdctl.errors import BadInput, NotFound
from mdctl.settings import SampleSettings, Shape, from_table, to_table
from mdctl.workspace import atomic, locations
from mdctl.workspace.project import Project
from mdctl.workspace.records import ClipRecord
from mdctl.workspace.runs import Run

if TYPE_CHECKING:
    from mdctl.media.clips import Look
    from mdctl.media.frames import Frames
    from mdctl.motion.backbone import Backbone, Latents, Posterior

INVERSION_STEPS = 50
"""Steps of the DDIM inversion, as in the official configuration."""


def project_of(run: Run) -> Project:
    """The project that a run belongs to."""
    return Project(run.folder.parents[1])


def latents(run: Run, number: int, backbone: "Backbone", precision: str, mirrored: bool = False) -> "Posterior":
    """What the VAE says of one clip (0, 1, …) of a run, or of its mirror image; from the cache where it is there."""
    from mdctl.motion import dataset

    project, frozen = project_of(run), run.settings["clip"][number]
    shape = _shape(run, frozen)
    base = run.settings["model"]["fingerprint"]
    side = ["mirrored"] if mirrored else []
    key = dataset.cache_key(frozen["sha256"], base, *to_table(shape).values(), *_part(frozen), precision, *side)
    cached = locations.latents() / key
    known = cached.read_bytes() if cached.is_file() else None
    posterior, file = dataset.encode(backbone, partial(_frames, project, frozen, shape, mirrored), known)
    if file != known:
        atomic.write(cached, file)
    return posterior


def inversion(run: Run, number: int, backbone: "Backbone", precision: str) -> "Latents":
    """The noise (1 c f h w) from which the base model alone would draw this clip; from the cache where it is there."""
    from mdctl.motion import dataset, sampling

    frozen = run.settings["clip"][number]
    shape, base = _shape(run, frozen), run.settings["model"]["fingerprint"]
    about = (frozen["sha256"], base, *to_table(shape).values(), *_part(frozen), precision, INVERSION_STEPS)
    cached = locations.latents() / dataset.cache_key("inversion", *about)
    if cached.is_file() and (known := dataset.unpack_noise(cached.read_bytes())) is not None:
        return known
    found = latents(run, number, backbone, precision).mean.to(backbone.device)
    with face().progress("following the clip", INVERSION_STEPS) as show:
        for step in sampling.invert(backbone, found, backbone.embed([""]), INVERSION_STEPS):
            found = step.latents
            show(step.number, frozen["name"])
    atomic.write(cached, dataset.pack_noise(found))
    return found


def followed(run: Run, settings: SampleSettings, backbone: "Backbone", precision: str) -> "Latents":
    """The noise of the clip that videos of a run follow; `BadInput` where with these settings they can follow none."""
    still, frames = run.settings.get("learns") == "appearance", run.settings["clips"]["frames"]
    if still or settings.frames != frames:
        raise BadInput(
            f"a video of {settings.frames} frames cannot follow a clip of '{run.project}'.",
            why="it is an appearance, and holds no motion." if still else f"its clips have {frames}.",
            fix="--follow 0",
        )
    number = len(run.settings["clip"])
    if settings.clip > number:
        many = f"{number} clip{'s' * (number != 1)}"
        raise BadInput(f"'{run.project}' has {many}, and no clip {settings.clip}.", fix=f"--clip {number}")
    found = inversion(run, settings.clip - 1, backbone, precision)
    if face().manners.verbose:
        face().say(
            f"the noise of clip {settings.clip} has a standard deviation of {found.std():.3f}; that drawn has 1."
        )
    return found


def require_intact(run: Run, number: int) -> None:
    """Refuse a clip (0, 1, …) of a run that is gone, or is no longer what it was."""
    project = project_of(run)
    intact(project, _clip(project, run.settings["clip"][number]))


def frames(run: Run, number: int) -> "Frames":
    """What a run sees of one of its clips (0, 1, …)."""
    frozen = run.settings["clip"][number]
    return _frames(project_of(run), frozen, _shape(run, frozen), False)


def _part(frozen: Mapping[str, Any]) -> list[Any]:
    """What of a clip is used, for the name of what is kept of it."""
    return [frozen.get("trim"), *(["crop", frozen["crop"]] if "crop" in frozen else [])]


def _shape(run: Run, frozen: Mapping[str, Any]) -> Shape:
    shape = from_table(Shape, run.settings["clips"], "run.toml: clips")
    return replace(shape, frames=1) if frozen.get("picture") else shape


def _clip(project: Project, frozen: Mapping[str, Any]) -> ClipRecord:
    """The clip that a run learned from, also one that its project has no more: the copy stays."""
    clip = next((clip for clip in project.clips if clip.sha256 == frozen["sha256"]), None)
    if clip is None and (copy := next(project.folder.glob(f"clips/{frozen['sha256'][:12]}.*"), None)):
        plain = {"source": "", "caption": frozen["caption"], "trim": None, "size_bytes": 0}
        length_s = 0.0 if frozen.get("picture") else 1.0
        clip = ClipRecord(
            frozen["sha256"], copy.name, frozen["name"], **plain, width=0, height=0, fps=0.0, duration_s=length_s
        )
    if clip is None:
        raise NotFound(
            f"the clip '{frozen['name']}' is no longer one of '{project.name}'.",
            fix=f"mdctl train {project.name} --fresh",
        )
    return clip


def _frames(project: Project, frozen: Mapping[str, Any], shape: Shape, mirrored: bool) -> "Frames":
    trim, crop = frozen.get("trim"), frozen.get("crop")
    clip = replace(_clip(project, frozen), trim=tuple(trim) if trim else None, crop=tuple(crop) if crop else None)
    found, frames = window(project, clip, shape)
    if frames is None:
        raise BadInput(
            f"the clip '{clip.name}' of '{project.name}' cannot be used like this.",
            why=", ".join(found.reasons),
            fix=(f"change [clips] in {project.folder / 'project.toml'}", f"mdctl train {project.name} --fresh"),
        )
    return frames[:, :, ::-1] if mirrored else frames


def window(project: Project, clip: ClipRecord, shape: Shape) -> "tuple[Look, Frames | None]":
    """A clip as training sees it, and what is said of it: its window, the one frame of a picture, None if left out."""
    from mdctl.media import clips as media

    path, wanted = intact(project, clip), cutting(replace(shape, frames=1) if clip.picture else shape)
    if clip.picture:
        return media.Look(path, path.name, "ok", ()), media.cut(path, start_s=0.0, **wanted)
    found = media.look(path, trim=clip.trim, **wanted)
    if found.status == "left_out":
        return found, None
    return found, media.cut(path, start_s=found.start_s, crop=clip.crop, **wanted)


def cutting(shape: Shape) -> dict[str, Any]:
    """A shape in the words of `media.clips`."""
    table = to_table(shape)
    table["num_frames"] = table.pop("frames")
    return table


def intact(project: Project, clip: ClipRecord) -> Path:
    """Where a clip lies; its content is compared with its hash, by which latents are kept for all projects."""
    from mdctl.media import clips as media

    path = project.path_of(clip)
    if clip.linked and not (path.is_file() and media.digest(path) == clip.sha256):
        raise _unlinked(project, clip, path)
    if not path.is_file():
        raise NotFound(
            f"the clip '{clip.name}' of '{project.name}' is gone.",
            why=f"{path} is not there.",
            fix=f"mdctl new {project.name}-2 CLIPS... makes the project again",
        )
    if media.digest(path) != clip.sha256:
        raise BadInput(
            f"the clip '{clip.name}' of '{project.name}' is not what it was.",
            why=f"the content of {path} has changed.",
            fix=(
                f"copy the original to that place again: {clip.source or clip.name}",
                f"or make a project of it as it is now: mdctl new {project.name}-2 CLIPS...",
            ),
            code="MD-CLIP-CHANGED",
        )
    return path


def _unlinked(project: Project, clip: ClipRecord, path: Path) -> BadInput:
    """What to raise where a clip that was not copied is gone, or is another now."""
    gone = not path.is_file()
    numbers = [number for number, one in enumerate(project.clips, 1) if one.sha256 == clip.sha256]
    part = f" --trim {clip.trim[0]:g}-{clip.trim[1]:g}" if clip.trim and len(numbers) == 1 else ""
    again = f"mdctl clips add {project.name} {'FILE' if gone else quoted(str(path))} --link{part}"
    return BadInput(
        f"the clip '{clip.name}' of '{project.name}' is {'gone' if gone else 'not what it was'}.",
        why=f"it was linked and not copied, and {path} {'is not there' if gone else 'has changed since'}.",
        saved="what was learned from it before stays.",
        fix=(
            f"bring the file of then back to {path}",
            f"or add it again: {again}",
            *([f"and then: mdctl clips rm {project.name} {' '.join(map(str, numbers))}"] if numbers else []),
        ),
        code="MD-CLIP-CHANGED",
    )
