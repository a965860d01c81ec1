"""`gen`: put a learned motion, or a learned look, on whatever the prompt names."""

from typing import Annotated

import typer

from mdctl.cli import options, videos, voices
from mdctl.cli.choose import layers, resolve
from mdctl.cli.face import EPILOG, face
from mdctl.cli.start import quoted
from mdctl.errors import BadInput
from mdctl.settings import SampleSettings, parse_size, to_table
from mdctl.strength import Strength
from mdctl.workspace.project import Project
from mdctl.workspace.runs import Run
from mdctl.workspace.saves import Save


def mount(app: typer.Typer) -> None:
    """Add the commands of this file."""
    app.command(epilog=EPILOG)(gen)


def gen(
    name: options.ProjectName,
    prompt: Annotated[
        str, typer.Argument(metavar="PROMPT", help="What is to be seen; - reads it.", show_default=False)
    ],
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
    """
    words = videos.read_prompt(prompt)
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
    project = Project.open(name)
    asked = resolve(SampleSettings, "gen", layers("gen", project, template, flags))
    run, save = voices.find_save(project, checkpoint)
    seeds = videos.read_seeds(seed, count)
    target = videos.read_target(output, container, count, force)
    settings = videos.settled(asked, run.settings)
    cast = cast_of(project, run, save, settings)
    if dry_run:
        face().sheet(
            [("save", f"{run.id}, step {save.step}"), *((k, str(v)) for k, v in to_table(settings).items())],
            {"run": run.id, "save": save.step, "prompt": words, "settings": to_table(settings)},
        )
        return 0
    paths = videos.finished(videos.make(cast, words, settings, seeds, target, device, threads), seeds, cast)
    face().done(f"{count} video{'s' * (count != 1)} of '{name}'.", [_stronger(name, words, seeds[0], settings)])
    face().result(paths, {"project": name, "run": run.id})
    return 0


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
