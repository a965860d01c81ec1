"""`train`: learn the motion of a project's clips, or go on where the last run stopped."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated, Any

import typer

from mdctl.cli import options, streams
from mdctl.cli.choose import layers, pairs, resolve
from mdctl.cli.create import fork, outlook, videos
from mdctl.cli.create.learning import End, follow, tell
from mdctl.cli.create.previews import Previews, suggested
from mdctl.cli.create.start import shaped
from mdctl.cli.face import EPILOG, face
from mdctl.cli.keep.sheet import changes
from mdctl.cli.turns import turn
from mdctl.errors import BadInput, NotFound, UsageFault
from mdctl.settings import ClipSettings, TrainSettings, from_table, to_table
from mdctl.workspace import atomic, weights
from mdctl.workspace.project import Project
from mdctl.workspace.runs import Run

LONG_CLIP = 16
"""Frames beyond which one clip takes twice the steps, as in the official configuration."""


def mount(app: typer.Typer) -> None:
    """Add the commands of this file."""
    app.command(epilog=EPILOG)(train)


def train(
    name: options.ProjectName,
    steps: Annotated[int | None, typer.Option(help="Optimizer steps.", show_default=options.STEPS)] = None,
    template: options.Template = None,
    model: options.Model = None,
    rank: options.Rank = None,
    lr: options.Rate = None,
    seed: Annotated[int | None, typer.Option(help="Of everything that is drawn.", show_default="0")] = None,
    shared_spatial: Annotated[
        bool | None, typer.Option("--shared-spatial", help="One adapter for the look of all clips.", show_default=False)
    ] = None,
    preview: Annotated[
        list[str] | None,
        typer.Option(metavar="PROMPT", help="What previews show; may be given more than once.", show_default=False),
    ] = None,
    preview_every: Annotated[int | None, typer.Option(min=1, help="Steps between previews.", show_default="50")] = None,
    no_preview: Annotated[bool, typer.Option("--no-preview", help="Draw none while training.")] = False,
    save_every: Annotated[int | None, typer.Option(help="Steps between saves.", show_default="25")] = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="Begin a new run from nothing; old runs stay.")] = False,
    fork_of: options.Fork = None,
    device: options.Device = "auto",
    vram: options.Vram = "auto",
    precision: options.Precision = None,
    threads: options.Threads = None,
    deterministic: Annotated[
        bool | None, typer.Option("--deterministic", help="Repeatable to the bit on a GPU too.", show_default=False)
    ] = None,
    graph: Annotated[
        bool, typer.Option("--graph/--no-graph", help="Record the step and replay it, on a GPU.", show_default="graph")
    ] = True,
    settings: options.Set = None,
    wait: options.Wait = None,
    dry_run: options.DryRun = False,
) -> int:
    """Learn the motion of a project's clips, or continue a run.

    \b
    mdctl train golf
    mdctl train golf --steps 300 --seed 7 --preview "a monkey playing golf"
    mdctl train golf --fresh --lr 1e-4 --set beta=0.5
    mdctl train golf --fork 1 --lr 1e-4 --wait 10m
    """
    given = {
        "steps": steps,
        "rank": rank,
        "learning_rate": lr,
        "seed": seed,
        "shared_spatial": shared_spatial,
        "save_every": save_every,
        "precision": precision,
        "threads": threads,
        "deterministic": deterministic,
    }
    flags = pairs(settings) | {key: value for key, value in given.items() if value is not None}
    project = Project.open(name)
    if not project.clips:
        raise BadInput(
            f"'{name}' came without its clips, so it cannot be trained here.",
            fix=(f'mdctl gen {name} "..."', f"mdctl new {name}-2 CLIPS... for clips of your own"),
        )
    if fresh and fork_of:
        raise UsageFault(
            "--fresh begins from nothing, and --fork from a run.", fix=f"mdctl train {name} --fork {fork_of}"
        )
    previews = Previews(project, [videos.read_prompt(prompt) for prompt in preview or ()], preview_every or 0)
    shown = None if no_preview else previews
    if dry_run:
        return _foreseen(project, fork.Wish(flags, template, model), fresh, fork_of, device, vram, shown)
    end = learn(project, flags, template, model, fresh=fresh, fork_of=fork_of, device=device, vram=vram,
                previews=shown, wait_s=wait, graph=graph)  # fmt: skip
    record = {"project": name, "status": end.status, "step": end.save.step, "seconds": round(end.seconds, 1)}
    try:
        face().result([str(end.save.folder)], record)
    except OSError:
        if not end.exit_code:
            raise
        streams.mute_stdout()  # it has gone with its terminal, which is why the training was stopped
    return end.exit_code


def learn(
    project: Project,
    flags: Mapping[str, Any],
    template: str | None,
    model: str | None,
    *,
    fresh: bool,
    device: str,
    fork_of: str | None = None,
    vram: str = "auto",
    previews: Previews | None = None,
    wait_s: float | None = None,
    graph: bool = True,
) -> End:
    """Train a project, or go on, or find that nothing is left to do; settings that are None in `flags` are open."""
    wish = fork.Wish(flags, template, model)
    with turn(project, "train", wait_s):
        last = _last_run(project, wish, fresh, fork_of)
        run = last or Run.create(project, _begun_with(project, wish, fork_of))
        if (steps := wish.asked.get("steps", 0)) > run.steps:
            if run.finished and not any(save.has_optimizer for save in run.saves()):
                raise NotFound(
                    f"run {run.id} of '{project.name}' cannot go on: it came without its optimizer.",
                    saved=f"its save of step {run.step} is untouched.",
                    fix=f"mdctl train {project.name} --fresh",
                    code="MD-SAVE-LOST",
                )
            run.extend(steps)
        if run.finished:
            face().done(
                f"'{project.name}' is trained already: {run.step} steps.",
                [f'mdctl gen {project.name} "..."', f"mdctl train {project.name} --steps {run.step * 2}     to go on"],
            )
            return End("nothing_to_do", run.saves()[-1])
        try:
            end = follow(project, run, device, vram, previews, f"mdctl train {project.name}", graph=graph)
        except BaseException:
            if not (last or run.begun):
                atomic.remove(run.folder)  # it must not bind the next try
            raise
        tell(project, run, end)
        if (step := suggested(run)) and step != end.save.step:
            face().say(
                f"By its previews the motion has come by step {step}:  mdctl pin {project.name} --checkpoint {step}"
            )
        return end


# --- What is to be learned.


def _last_run(project: Project, wish: fork.Wish, fresh: bool, fork_of: str | None) -> Run | None:
    """The run that goes on, None where a new one is to begin; `BadInput` where it was made with other settings."""
    if fork_of:  # the same line again goes on with what it began
        return fork.unfinished(project, fork.find(project, fork_of), wish)
    last = None if fresh else next(reversed(project.runs()), None)
    if last is None:
        return None
    differing = _differences(project, last, wish)
    if not differing:
        return last
    if not last.has_saves:
        return None  # it never came to a save, so it binds nobody
    as_it_was = f"mdctl clips list {project.name}" if changes(project, last) else f"mdctl train {project.name}"
    raise BadInput(
        f"run {last.id} of '{project.name}' was made with other settings.",
        why="; ".join(differing),
        saved=f"its saves up to step {last.step} are untouched.",
        fix=(
            *fork.offered(project, last, wish),
            f"mdctl train {project.name} --fresh ...     a new run from nothing",
            f"or go on as it was: {as_it_was}",
        ),
        code="MD-RUN-DIFFERS",
    )


def _differences(project: Project, run: Run, wish: fork.Wish) -> list[str]:
    frozen, asked, template, model = run.settings, wish.asked, wish.template, wish.model
    from_table(TrainSettings, asked, "train")  # what no run can be is refused as such
    differing = [
        f"{key}: {frozen['train'].get(key)} in the run, {value} now"
        for key, value in asked.items()
        if frozen["train"].get(key) != value
        and not (key == "steps" and (value > run.steps or run.finished))  # more of them are no other run
    ]
    if template and template != frozen.get("template"):
        differing.append(f"template: {frozen.get('template', 'none')} in the run, {template} now")
    if model and weights.fingerprint(weights.find(model)[1]) != frozen["model"]["fingerprint"]:
        differing.append(f"model: {frozen['model']['name']} in the run, {model} now")
    return [*differing, *(f"clips: {change}" for change in changes(project, run))]


def resolved(project: Project, flags: Mapping[str, Any], template: str | None, model: str | None) -> dict[str, Any]:
    """Every setting of a new run, resolved and ready to be frozen."""
    card, folder = weights.find(model or project.record.model)
    clips = shaped(resolve(ClipSettings, "clips", layers("clips", project, template, {})), card)
    asked = resolve(TrainSettings, "train", layers("train", project, template, flags, card.name))
    one, look = len(project.clips) == 1, project.record.kind == "appearance"
    usual = (300 if one else 1000) if look else (300 if (clips.frames or 0) > LONG_CLIP else 150) if one else 500
    settings = replace(
        asked,
        steps=asked.steps or usual,
        weight_decay=asked.weight_decay if asked.weight_decay is not None else (1e-2 if one else 1e-4),
        shared_spatial=asked.shared_spatial or look,
    )
    return {
        "learns": project.record.kind,
        "template": template or project.record.template,
        "model": {"name": card.name, "folder": str(folder), "fingerprint": weights.fingerprint(folder)},
        "clips": to_table(clips),
        # What `auto` means is settled once the device is known.
        "train": {key: value for key, value in to_table(settings).items() if value != "auto"},
        "clip": [clip.frozen(project.record.caption) for clip in project.clips],
    }


def _begun_with(project: Project, wish: fork.Wish, fork_of: str | None) -> dict[str, Any]:
    """Every setting of a new run: from nothing, or from where another stands."""
    if fork_of:
        return fork.settings(project, fork.find(project, fork_of), wish)
    return resolved(project, wish.flags, wish.template, wish.model)


def _foreseen(
    project: Project,
    wish: fork.Wish,
    fresh: bool,
    fork_of: str | None,
    device: str,
    vram: str,
    previews: Previews | None,
) -> int:
    last = _last_run(project, wish, fresh, fork_of)
    frozen = dict(last.settings if last else _begun_with(project, wish, fork_of))
    frozen["train"] = {**frozen["train"], "steps": max(frozen["train"]["steps"], wish.asked.get("steps", 0))}
    return outlook.show(project, last, frozen, wish, device, vram, previews)
