"""`gen`: put a learned motion, or a learned look, on whatever the prompt names."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any
from uuid import uuid4

import typer

from mdctl.cli import options
from mdctl.cli.choose import layers, resolve
from mdctl.cli.create import recipes, videos, voices
from mdctl.cli.create.start import quoted
from mdctl.cli.face import EPILOG, face
from mdctl.errors import BadInput, NotFound, UsageFault
from mdctl.settings import SampleSettings, to_table
from mdctl.strength import Strength
from mdctl.text import safe
from mdctl.workspace import atomic, locations
from mdctl.workspace.project import Project
from mdctl.workspace.runs import Run
from mdctl.workspace.saves import Save

FAST = {"sampler": "unipc", "steps": 10}
"""What `--fast` stands for: an approximation, which the recipe holds as plain settings."""

FAST_SEEN = "another video; on starter as many are read right, 37 of 40, in 0.43 of the time"
"""What it costs: videos of prompts that `starter` was never shown, in which subject, background and motion are right.

With `ddim` in 30 steps a video takes 7.3 seconds of one CPU core, so 3.1; subjects are right in 39, backgrounds in 40
and motions in 38 of 40, either way. Measured by

    python -m mdctl.measure.held_out --count 40 --out FOLDER
    python -m mdctl.measure.held_out --count 40 --sampler unipc --steps 10 --out FOLDER
"""


def mount(app: typer.Typer) -> None:
    """Add the commands of this file."""
    app.command(epilog=EPILOG)(gen)


def gen(
    name: Annotated[str | None, typer.Argument(metavar="NAME", help="The project.", show_default=False)] = None,
    prompt: Annotated[
        str | None, typer.Argument(metavar="PROMPT", help="What is to be seen; - reads it.", show_default=False)
    ] = None,
    recipe: Annotated[
        str | None,
        typer.Option(
            "--from", metavar="VIDEO|JSON|last", help="Make a video again; flags change it.", show_default=False
        ),
    ] = None,
    check: Annotated[
        bool, typer.Option("--check", help="With --from: write nothing, tell whether it comes out the same.")
    ] = False,
    count: options.Count = 1,
    seed: options.Seed = None,
    strength: Annotated[
        str | None,
        typer.Option(
            help=f"How strongly the motion is put on, 0-1.5, or a schedule: {options.HOLDS}.", show_default="1"
        ),
    ] = None,
    appearance_strength: Annotated[
        str | None, typer.Option(help="How strongly the look of a clip comes along.", show_default="0")
    ] = None,
    clip: options.Clip = None,
    follow: options.Follow = None,
    steps: options.SampleSteps = None,
    guidance: options.Guidance = None,
    sampler: options.Sampler = None,
    fast: options.Fast = False,
    merged: options.Merged = None,
    negative: options.Negative = None,
    frames: options.NumFrames = None,
    size: options.Size = None,
    fps: options.Fps = None,
    checkpoint: Annotated[str | None, typer.Option(help="Which save: last, or its step.", show_default="last")] = None,
    output: options.Output = None,
    force: options.Force = False,
    container: options.Container = None,
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
    mdctl gen golf "a robot playing golf" --strength 1.0@0-0.5+0.4@0.5-1 --follow 0.3
    mdctl gen --from last --seed 8
    """
    given = videos.flags(
        size, steps=steps, guidance=guidance, sampler=sampler, merged=merged, strength=strength,
        appearance_strength=appearance_strength, clip=clip, follow=follow, negative=negative, frames=frames, fps=fps,
        precision=precision,
    )  # fmt: skip
    flags = _hastened(given) if fast else given
    target = videos.read_target(output, container, count, force)
    if recipe is None:
        wish = _wished(name, prompt, check, flags, template, checkpoint, seed, count)
    else:
        wish = _again(recipe, name, prompt, flags, template, checkpoint, seed, count)
    if dry_run:
        return _preview(wish)
    if check and wish.old:
        return _check(wish, wish.old, device, threads)
    made = videos.make(
        wish.cast, wish.prompt, wish.settings, wish.seeds, target, device, threads or wish.threads, wish.old
    )
    paths = videos.finished(made, wish.seeds, wish.cast)
    then = ["mdctl gen --from last     again", *([] if wish.old else [_stronger(wish)])]
    face().done(f"{count} video{'s' * (count != 1)} of '{wish.cast.name}'.", then)
    face().result(paths, {"project": wish.cast.name, "run": wish.cast.lead.run.id})
    return 0


def _hastened(flags: Mapping[str, Any]) -> dict[str, Any]:
    """The flags with what `--fast` stands for, which is told."""
    if taken := [f"--{key}" for key in FAST if key in flags]:
        raise UsageFault(f"--fast says {' and '.join(f'--{key}' for key in FAST)} itself.", fix=f"leave {taken[0]} out")
    face().say(
        f"--fast is an approximation, {' '.join(f'--{key} {value}' for key, value in FAST.items())}: {FAST_SEEN}."
    )
    return {**flags, **FAST}


@dataclass(frozen=True)
class Wish:
    """What is to be made."""

    cast: videos.Cast
    prompt: str
    settings: SampleSettings
    seeds: range
    old: recipes.Recipe | None = None
    """The video that is to be made again."""

    @property
    def threads(self) -> int | None:
        """How many the old video was made with."""
        return self.old.threads if self.old else None


def _wished(
    name: str | None,
    prompt: str | None,
    check: bool,
    flags: Mapping[str, Any],
    template: str | None,
    checkpoint: str | None,
    seed: int | None,
    count: int,
) -> Wish:
    if name is None or prompt is None or check:
        what = "--check needs --from." if check else "a project and a prompt are needed."
        raise UsageFault(what, fix=('mdctl gen golf "a monkey playing golf"', "mdctl gen --from VIDEO"))
    words = videos.read_prompt(prompt)
    project = Project.open(name)
    run, save = voices.find_save(project, checkpoint)
    asked = resolve(SampleSettings, "gen", layers("gen", project, template, flags, run.base))
    settings = videos.settled(asked, run.settings)
    return Wish(cast_of(project, run, save, settings), words, settings, videos.read_seeds(seed, count))


def _again(
    recipe: str,
    name: str | None,
    prompt: str | None,
    flags: Mapping[str, Any],
    template: str | None,
    checkpoint: str | None,
    seed: int | None,
    count: int,
) -> Wish:
    if checkpoint or template:
        raise UsageFault("a recipe says its save and its settings itself.", fix="leave --checkpoint and --template out")
    if name and recipe != "last":
        raise UsageFault("a recipe says its project itself.", fix=f"mdctl gen --from {quoted(recipe)}")
    old = recipes.read(recipe, name)
    words = videos.read_prompt(prompt) if prompt is not None else old.prompt
    before = {"merged": False, **to_table(old.settings)}
    if flags.get("precision") == "int8":
        del before["merged"]  # what is asked for now cannot be merged
    asked = resolve(SampleSettings, "gen", [("recipe", before), ("flag", flags)])
    settings = videos.settled(asked, old.voices[0].run.settings)
    return Wish(old.cast(settings), words, settings, videos.read_seeds(old.seed if seed is None else seed, count), old)


def _preview(wish: Wish) -> int:
    run, save, settings = wish.cast.lead.run, wish.cast.lead.save, to_table(wish.settings)
    face().sheet(
        [("save", f"{run.id}, step {save.step}"), *((key, str(value)) for key, value in settings.items())],
        {"run": run.id, "save": save.step, "prompt": wish.prompt, "settings": settings},
    )
    return 0


def _check(wish: Wish, old: recipes.Recipe, device: str, threads: int | None) -> int:
    """Make a video again where nobody looks, and tell whether it is the same."""
    if not old.video.exists():
        raise NotFound(
            f"the video '{safe(old.video.name, 120)}' is gone, so that nothing can be compared with it.",
            why=str(old.video),
            fix=f"mdctl gen --from {quoted(str(old.path))}     makes it again",
        )
    aside = locations.cache() / "check" / uuid4().hex / old.video.name  # two checks at once share nothing
    target = videos.Target(None, aside, videos.format_of(old.video))
    made = videos.make(
        wish.cast, wish.prompt, wish.settings, wish.seeds[:1], target, device, threads or wish.threads, old
    )
    try:
        (new,) = made
        equal = videos.content(new.path) == videos.content(old.video)
    finally:
        atomic.remove(aside.parent)
    verdict = "comes out the same, bit for bit" if equal else "comes out different"
    face().done(f"'{old.video.name}' {verdict}.")
    face().result([str(old.video)] if equal else [], {"equal": equal})
    return 0 if equal else 11


def cast_of(project: Project, run: Run, save: Save, settings: SampleSettings) -> videos.Cast:
    """What a project teaches, and the look of one of its clips where that is wanted."""
    speaks = [voices.own(run, save, settings.gamma)]
    look = Strength.parse(settings.appearance_strength)
    if look.highest:
        if not speaks[0].moves:
            raise BadInput(
                f"'{project.name}' is an appearance: its look is all it has.",
                fix=f"--strength {look} says how strongly it is put on",
            )
        speaks.append(voices.look_of(run, save, settings.clip, look))
    return videos.Cast(project.name, tuple(speaks), project.outputs)


def _stronger(wish: Wish) -> str:
    constant, prompt = Strength.parse(wish.settings.strength).constant, wish.prompt
    flags = f"--seed {wish.seeds[0]} --strength {1.2 * (constant or 0) or 1:.2g}"
    words = f"{flags} -- {quoted(prompt)}" if prompt.startswith("-") else f"{quoted(prompt)} {flags}"
    return f"mdctl gen {wish.cast.name} {words}     stronger"
