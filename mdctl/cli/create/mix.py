"""`mix` and `animate-image`: the look of one thing with the motion of another, side by side in one video."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from mdctl.cli import options
from mdctl.cli.choose import layers, resolve
from mdctl.cli.create import learning, start, train, videos, voices
from mdctl.cli.face import EPILOG, face
from mdctl.errors import BadInput, Busy, MdctlError, NotFound, UsageFault
from mdctl.settings import SampleSettings, to_table
from mdctl.strength import Strength
from mdctl.text import safe, slug
from mdctl.workspace import cache, locations, records, weights
from mdctl.workspace.project import Project, check_name
from mdctl.workspace.runs import Run
from mdctl.workspace.saves import Save

MotionNames = Annotated[
    list[str],
    typer.Option(
        "--motion", metavar="NAME[:WEIGHT]", help="Whose motion; may be given more than once.", show_default=False
    ),
]
MotionStrength = Annotated[
    str | None,
    typer.Option(help=f"How strongly the motion is put on, or a schedule: {options.HOLDS}.", show_default="1"),
]
LookStrength = Annotated[str | None, typer.Option(help="How strongly the look is put on.", show_default="1")]


def mount(app: typer.Typer) -> None:
    """Add the commands of this file."""
    app.command(epilog=EPILOG)(mix)
    app.command("animate-image", epilog=EPILOG)(animate_image)


@dataclass(frozen=True)
class Role:
    """A trained project that takes part, and how much its strength is weighed."""

    project: Project
    run: Run
    save: Save
    weight: float = 1.0

    def told(self) -> str:
        """What it learned from, as the screen says it."""
        clips = self.run.settings["clip"]
        what = "picture" if all(clip.get("picture") for clip in clips) else "clip"
        count = f"{len(clips)} {what}{'s' * (len(clips) != 1)}, step {self.save.step}"
        return f'{self.project.name:<16} {count:<24} "{self.project.record.caption}"'


def mix(
    appearance: Annotated[str, typer.Option("--appearance", metavar="NAME", help="Whose look.", show_default=False)],
    motion: MotionNames,
    prompt: Annotated[
        str | None, typer.Argument(metavar="PROMPT", help="What is to be seen.", show_default="from the captions")
    ] = None,
    count: options.Count = 1,
    seed: options.Seed = None,
    motion_strength: MotionStrength = None,
    appearance_strength: LookStrength = None,
    clip: options.Clip = None,
    follow: options.Follow = None,
    steps: options.SampleSteps = None,
    guidance: options.Guidance = None,
    negative: options.Negative = None,
    frames: options.NumFrames = None,
    size: options.Size = None,
    fps: options.Fps = None,
    output: options.Output = None,
    force: options.Force = False,
    container: options.Container = None,
    template: options.Template = None,
    device: options.Device = "auto",
    precision: options.Precision = None,
    threads: options.Threads = None,
    dry_run: options.DryRun = False,
) -> int:
    """Put the look of one project on the motion of another.

    \b
    mdctl mix --appearance terracotta --motion riding_horse
    mdctl mix --appearance terracotta --motion riding_horse --motion zoom_in:0.5 "a terracotta warrior riding a horse"
    """
    flags = videos.flags(
        size,
        steps=steps,
        guidance=guidance,
        strength=motion_strength,
        appearance_strength=appearance_strength,
        clip=clip,
        follow=follow,
        negative=negative,
        frames=frames,
        fps=fps,
        precision=precision,
    )
    motions = [_motion(word) for word in motion]
    look = _role(appearance)
    if look.project.record.kind == "motion":
        face().say(f"'{appearance}' is a motion; the look of its clip {clip or 1} is used.")
    words = (
        videos.read_prompt(prompt) if prompt is not None else composed(look.project, [one.project for one in motions])
    )
    seeds = videos.read_seeds(seed, count)
    target = videos.read_target(output, container, count, force)
    settings = _settled(motions, template, flags)
    cast = _cast(look, motions, settings)
    base = voices.base_of(cast.voices)
    for role, one in [("appearance", look), *(("motion", one) for one in motions)]:
        face().say(f"{role:<11} {one.told()}")
    face().say(
        f"{'prompt':<11} {words}" + ("   (from the captions; give your own as last argument)" * (prompt is None))
    )
    if dry_run:
        record = {"prompt": words, "model": base, "settings": to_table(settings)}
        face().sheet([(key, str(value)) for key, value in to_table(settings).items()], record)
        return 0
    paths = videos.finished(videos.make(cast, words, settings, seeds, target, device, threads), seeds, cast)
    face().done(f"{count} video{'s' * (count != 1)} of '{cast.name}'.")
    face().result(paths, {"project": cast.name, "prompt": words})
    return 0


def animate_image(
    image: Annotated[str, typer.Argument(metavar="IMAGE", help="The picture.", show_default=False)],
    motion: MotionNames,
    prompt: Annotated[
        str | None,
        typer.Argument(metavar="PROMPT", help="What is to be seen.", show_default="the caption of the motion"),
    ] = None,
    caption: Annotated[
        str | None, typer.Option(help="What the picture shows.", show_default="the subject of the prompt")
    ] = None,
    image_steps: Annotated[
        int | None, typer.Option(help="Steps for its look.", show_default="as the model; large ones 300")
    ] = None,
    keep: Annotated[str | None, typer.Option(metavar="NAME", help="Keep the look as a project.")] = None,
    count: options.Count = 1,
    seed: options.Seed = None,
    motion_strength: MotionStrength = None,
    appearance_strength: LookStrength = None,
    follow: options.Follow = None,
    steps: options.SampleSteps = None,
    guidance: options.Guidance = None,
    negative: options.Negative = None,
    size: options.Size = None,
    fps: options.Fps = None,
    output: options.Output = None,
    force: options.Force = False,
    container: options.Container = None,
    template: options.Template = None,
    device: options.Device = "auto",
    precision: options.Precision = None,
    threads: options.Threads = None,
) -> int:
    """Let a learned motion move what a picture shows.

    How it looks is learned once, and kept for the next time.

    \b
    mdctl animate-image car.jpg --motion car_turn "a car driving in the snow"
    mdctl animate-image me.png --motion waving --keep me
    """
    if keep:
        check_name(keep)
        if any(project.name == keep for project in Project.all()):
            raise UsageFault(f"a project '{keep}' exists already.", fix=f"--keep {keep}-2", code="MD-EXISTS")
    flags = videos.flags(
        size,
        steps=steps,
        guidance=guidance,
        strength=motion_strength,
        appearance_strength=appearance_strength,
        follow=follow,
        negative=negative,
        fps=fps,
        precision=precision,
    )
    motions = [_motion(word) for word in motion]
    words = videos.read_prompt(prompt or motions[0].project.record.caption)
    if prompt is None:
        face().say(f'Prompt: "{words}" (the caption of the motion; name what is in the picture for a better video)')
    seeds = videos.read_seeds(seed, count)
    target = videos.read_target(output, container, count, force)
    settings = _settled(motions, template, flags)
    seen = caption or records.subject_of(words) or words
    picture = _picture(image, seen, motions[0].run.settings["model"]["name"], image_steps)
    end = _learn_look(picture, image, image_steps, device)
    if end.exit_code:
        face().done(f"Paused at step {end.save.step}; it is saved.", ["the same line goes on"])
        return end.exit_code
    look = Role(picture, picture.runs()[-1], end.save)
    cast = _cast(look, motions, settings)
    paths = videos.finished(videos.make(cast, words, settings, seeds, target, device, threads), seeds, cast)
    if keep:
        picture.copy(keep)
    then = [f'mdctl mix --appearance {keep} --motion {motions[0].project.name} "..."'] if keep else []
    face().done(f"{count} video{'s' * (count != 1)} of '{cast.name}'.", then)
    face().result(paths, {"project": cast.name, "prompt": words, "kept": keep})
    return 0


# --- Who takes part.


def _motion(word: str) -> Role:
    name, colon, weight = word.partition(":")
    try:
        weighed = float(weight) if colon else 1.0
    except ValueError:
        weighed = -1.0
    if not 0 < weighed <= 10:
        raise UsageFault(f"'{safe(word, 80)}' says no weight from 0 to 10.", fix=f"--motion {safe(name, 64)}:0.5")
    role = _role(name, weighed)
    if role.project.record.kind != "motion":
        raise BadInput(
            f"'{name}' is an appearance, and holds no motion.",
            fix=f"--appearance {name}, and --motion with the name of a motion: mdctl list",
        )
    return role


def _role(name: str, weight: float = 1.0) -> Role:
    project = Project.open(name)
    return Role(project, *voices.find_save(project, None), weight)


def _settled(motions: Sequence[Role], template: str | None, flags: Mapping[str, Any]) -> SampleSettings:
    """The settings of the first motion, with its look replaced by another at full strength."""
    lead = motions[0]
    sources = [("mix", {"appearance_strength": 1.0}), *layers("gen", lead.project, template, flags, lead.run.base)]
    return videos.settled(resolve(SampleSettings, "gen", sources), lead.run.settings)


def _cast(look: Role, motions: Sequence[Role], settings: SampleSettings) -> videos.Cast:
    strength = settings.gamma
    speaks = [voices.own(one.run, one.save, strength.times(one.weight)) for one in motions]
    number = settings.clip if look.project.record.kind == "motion" else 1
    speaks.append(voices.look_of(look.run, look.save, number, Strength.parse(settings.appearance_strength)))
    name = "+".join([look.project.name, *(one.project.name for one in motions)])
    return videos.Cast(name, tuple(speaks), locations.mixes() / name / "outputs")


def composed(look: Project, motions: Sequence[Project]) -> str:
    """A prompt out of captions: the motion's sentence, done by what the appearance shows."""
    for project in (look, *motions):
        if not project.record.caption:
            raise BadInput(f"'{project.name}' has no caption to make a prompt of.", fix='mdctl mix ... "PROMPT"')
    first, *others = (motion.record for motion in motions)
    shown = look.record.subject if look.record.kind == "motion" and look.record.subject else look.record.caption
    said = first.caption.replace(first.subject, shown, 1) if first.subject else f"{first.caption}, {shown}"
    for other in others:
        rest = other.caption.replace(other.subject, "", 1).strip() if other.subject else other.caption
        said += f", {rest.removeprefix('is ').removeprefix('are ')}"
    return said


# --- The look of one picture.


def _picture(image: str, caption: str, model: str, steps: int | None) -> Project:
    """The project, among what can be made again, that holds the look of this picture under this caption."""
    from mdctl.media import clips as media

    path = Path(image)
    if not path.is_file():
        raise NotFound(f"there is no picture '{safe(image, 200)}'.", fix="mdctl animate-image IMAGE --motion NAME")
    found = media.look_at_picture(path)
    if found.status == "left_out":
        video = "a video, not a picture" in found.reasons
        raise BadInput(
            f"'{safe(path.name, 80)}' cannot be animated.",
            why=", ".join(found.reasons),
            fix=f"mdctl new {slug(path.stem, 20) or 'motion'} {safe(image, 200)} teaches its motion" if video else (),
        )
    if found.reasons:
        face().say(f"{safe(path.name, 80)}: {', '.join(found.reasons)}")
    _, folder = weights.find(model)
    about = videos.identity(
        {"picture": found.sha256, "base": weights.fingerprint(folder), "caption": caption, "steps": steps}
    )
    name = f"{slug(path.stem, 40) or 'picture'}-{about[:6]}"
    known = Project(locations.images() / name)
    if known.folder.is_dir():
        if not known.fault:
            return known
        if stays := cache.remove_look(known):
            raise Busy(f"the look of '{safe(path.name, 80)}' is damaged and cannot be made anew.", why=stays)
    clips = [start.new_clip(found, None)]
    return Project.create(name, kind="appearance", caption=caption, clips=clips, model=model, inside=locations.images())


def _learn_look(picture: Project, image: str, steps: int | None, device: str) -> learning.End:
    with picture.locked("train"):
        last = next(reversed(picture.runs()), None)
        usable = last if last and learning.usable(last) else None
        run = usable or Run.create(picture, train.resolved(picture, {"steps": steps}, None, None))
        if run.finished and (save := run.latest()):
            face().say(f"the look of {safe(Path(image).name, 80)} is known already")
            return learning.End("nothing_to_do", save)
        face().say(f"learning the look of {safe(Path(image).name, 80)}, kept for next time")
        try:
            return learning.follow(picture, run, device)
        except MdctlError as fault:
            # No command but this one knows the look; a project of the same picture can be trained in other ways.
            own = f"{start.quoted(image)} --caption {start.quoted(picture.record.caption)}"
            told = [line.replace("CLIPS...", own) for line in fault.fix if "train " not in line]
            fault.fix = tuple(told) or (f"mdctl new {picture.name} {own}     makes a project of it",)
            raise
