"""`gen`: put a learned motion, or a learned look, on whatever the prompt names."""

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from mdctl.cli import options, recipes, videos, voices
from mdctl.cli.choose import layers, resolve
from mdctl.cli.face import EPILOG, face
from mdctl.cli.start import quoted
from mdctl.errors import BadInput, UsageFault
from mdctl.settings import SampleSettings, parse_size, to_table
from mdctl.strength import Strength
from mdctl.workspace.project import Project
from mdctl.workspace.runs import Run
from mdctl.workspace.saves import Save


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
        typer.Option(help="How strongly the motion is put on, 0-1.5, or a schedule.", show_default="1"),
    ] = None,
    appearance_strength: Annotated[
        str | None, typer.Option(help="How strongly the look of a clip comes along.", show_default="0")
    ] = None,
    clip: options.Clip = None,
    follow: options.Follow = None,
    steps: options.SampleSteps = None,
    guidance: options.Guidance = None,
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
    width, height = parse_size(size) if size else (None, None)
    flags = {
        "steps": steps,
        "guidance": guidance,
        "strength": strength,
        "appearance_strength": appearance_strength,
        "clip": clip,
        "follow": follow,
        "negative": negative,
        "frames": frames,
        "fps": fps,
        "width": width,
        "height": height,
        "precision": precision,
    }
    if recipe is None and (name is None or prompt is None or check):
        what = "--check needs --from." if check else "a project and a prompt are needed."
        raise UsageFault(what, fix=('mdctl gen golf "a monkey playing golf"', "mdctl gen --from VIDEO"))
    target = videos.read_target(output, container, count, force)
    if recipe is not None:
        old = _recipe(recipe, name, checkpoint, template)
        words = videos.read_prompt(prompt) if prompt is not None else old.prompt
        asked = resolve(SampleSettings, "gen", [("recipe", to_table(old.settings)), ("flag", _given(flags))])
        settings = videos.settled(asked, old.voices[0].run.settings)
        seeds, cast = videos.read_seeds(old.seed if seed is None else seed, count), old.cast(settings)
        threads = threads or old.threads
    else:
        assert name is not None
        assert prompt is not None
        old, words = None, videos.read_prompt(prompt)
        project = Project.open(name)
        asked = resolve(SampleSettings, "gen", layers("gen", project, template, flags))
        run, save = voices.find_save(project, checkpoint)
        settings, seeds = videos.settled(asked, run.settings), videos.read_seeds(seed, count)
        cast = cast_of(project, run, save, settings)
    lead = cast.lead
    if dry_run:
        face().sheet(
            [("save", f"{lead.run.id}, step {lead.save.step}"), *((k, str(v)) for k, v in to_table(settings).items())],
            {"run": lead.run.id, "save": lead.save.step, "prompt": words, "settings": to_table(settings)},
        )
        return 0
    if check and old:
        return _check(old, cast, words, settings, seeds, device, threads)
    made = videos.make(cast, words, settings, seeds, target, device, threads, old)
    paths = videos.finished(made, seeds, cast)
    then = ["mdctl gen --from last     again"]
    if recipe is None and name:
        then.append(_stronger(name, words, seeds[0], settings))
    face().done(f"{count} video{'s' * (count != 1)} of '{cast.name}'.", then)
    face().result(paths, {"project": cast.name, "run": lead.run.id})
    return 0


def _given(flags: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in flags.items() if value is not None}


def _recipe(word: str, name: str | None, checkpoint: str | None, template: str | None) -> recipes.Recipe:
    if checkpoint or template:
        raise UsageFault("a recipe says its save and its settings itself.", fix="leave --checkpoint and --template out")
    if name and word != "last":
        raise UsageFault("a recipe says its project itself.", fix=f"mdctl gen --from {quoted(word)}")
    return recipes.read(word, name)


def _check(
    old: recipes.Recipe,
    cast: videos.Cast,
    prompt: str,
    settings: SampleSettings,
    seeds: range,
    device: str,
    threads: int | None,
) -> int:
    """Make a video again beside nothing, and tell whether it is the same."""
    with tempfile.TemporaryDirectory() as folder:
        target = videos.Target(None, Path(folder) / old.video.name, videos.format_of(old.video))
        (new,) = videos.make(cast, prompt, settings, seeds[:1], target, device, threads, old)
        equal = new.path.read_bytes() == old.video.read_bytes()
    verdict = "comes out the same, bit for bit" if equal else "comes out different"
    face().done(f"'{old.video.name}' {verdict}.")
    face().result([str(old.video)] if equal else [], {"equal": equal})
    return 0 if equal else 11


def cast_of(project: Project, run: Run, save: Save, settings: SampleSettings) -> videos.Cast:
    """What a project teaches, and the look of one of its clips where that is wanted."""
    speaks = [voices.own(run, save, Strength.parse(settings.strength))]
    look = Strength.parse(settings.appearance_strength)
    if look.highest:
        if not speaks[0].moves:
            raise BadInput(
                f"'{project.name}' is an appearance: its look is all it has.",
                fix=f"--strength {look} says how strongly it is put on",
            )
        speaks.append(voices.look_of(run, save, settings.clip, look))
    return videos.Cast(project.name, tuple(speaks), project.outputs)


def _stronger(name: str, prompt: str, seed: int, settings: SampleSettings) -> str:
    constant = Strength.parse(settings.strength).constant
    flags = f"--seed {seed} --strength {1.2 * (constant or 0) or 1:.2g}"
    words = f"{flags} -- {quoted(prompt)}" if prompt.startswith("-") else f"{quoted(prompt)} {flags}"
    return f"mdctl gen {name} {words}     stronger"
