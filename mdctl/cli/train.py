"""`train`: learn the motion of a project's clips, or go on where the last run stopped."""

import statistics
import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mdctl import __version__
from mdctl.cli import options
from mdctl.cli.choose import layers, resolve
from mdctl.cli.face import EPILOG, TrainView, face
from mdctl.cli.signals import Request, polite
from mdctl.cli.start import quoted, shaped
from mdctl.errors import BadInput, Diverged, MdctlError, NotFound, UsageFault
from mdctl.settings import ClipSettings, Shape, TrainSettings, from_table, to_table
from mdctl.workspace import atomic, locations, weights
from mdctl.workspace.project import Project
from mdctl.workspace.records import ClipRecord
from mdctl.workspace.runs import Change, Run
from mdctl.workspace.saves import Save

if TYPE_CHECKING:
    from mdctl.motion.backbone import Backbone
    from mdctl.motion.dataset import Samples
    from mdctl.motion.training import TrainState, TrainStep

SAVE_EVERY_S = 60.0
LONG_CLIP = 16
"""Frames beyond which one clip takes twice the steps, as in the official configuration."""


def mount(app: typer.Typer) -> None:
    """Add the commands of this file."""
    app.command(epilog=EPILOG)(train)


def train(
    name: options.ProjectName,
    steps: Annotated[
        int | None, typer.Option(help="Optimizer steps.", show_default="150 for one clip, 500 for several")
    ] = None,
    template: options.Template = None,
    model: options.Model = None,
    rank: Annotated[int | None, typer.Option(help="Width of the adapters.", show_default="32 or less")] = None,
    lr: Annotated[float | None, typer.Option("--lr", help="Learning rate.", show_default="5e-4")] = None,
    seed: Annotated[int | None, typer.Option(help="Of everything that is drawn.", show_default="0")] = None,
    shared_spatial: Annotated[
        bool | None, typer.Option("--shared-spatial", help="One adapter for the look of all clips.", show_default=False)
    ] = None,
    save_every: Annotated[int | None, typer.Option(help="Steps between saves.", show_default="25")] = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="Begin a new run from nothing; old runs stay.")] = False,
    device: options.Device = "auto",
    precision: options.Precision = None,
    threads: Annotated[int | None, typer.Option(help="CPU threads.", show_default="all cores")] = None,
    deterministic: Annotated[
        bool | None, typer.Option("--deterministic", help="Repeatable to the bit on a GPU too.", show_default=False)
    ] = None,
    dry_run: options.DryRun = False,
) -> int:
    """Learn the motion of a project's clips, or go on where the last run stopped.

    \b
    mdctl train golf
    mdctl train golf --steps 300 --seed 7
    mdctl train golf --fresh --lr 1e-4
    """
    flags = {
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
    project = Project.open(name)
    if dry_run:
        return _preview(project, flags, template, model, fresh)
    end = learn(project, flags, template, model, fresh=fresh, device=device)
    face().result([str(end.save.folder)], {"status": end.status, "seconds": round(end.seconds, 1)})
    return end.exit_code


@dataclass(frozen=True)
class End:
    """How a training ended."""

    status: str
    """`done`, `paused` or `nothing_to_do`."""

    save: Save
    seconds: float = 0.0
    exit_code: int = 0


def learn(
    project: Project, flags: Mapping[str, Any], template: str | None, model: str | None, *, fresh: bool, device: str
) -> End:
    """Train a project, or go on, or find that nothing is left to do; settings that are None in `flags` are open."""
    with project.locked("train"):
        run = _current_run(project, flags, template, model, fresh)
        if not run.finished:
            return _go(project, run, device)
        face().done(
            f"'{project.name}' is trained already: {run.step} steps.",
            [f'mdctl gen {project.name} "..."', f"mdctl train {project.name} --steps {run.step * 2}     to go on"],
        )
        return End("nothing_to_do", run.saves()[-1])


# --- What is to be learned.


def _current_run(
    project: Project, flags: Mapping[str, Any], template: str | None, model: str | None, fresh: bool
) -> Run:
    """The run to work on: the last one, with more steps where more are asked for, or a new one."""
    last = None if fresh else next(reversed(project.runs()), None)
    if last is None:
        return Run.create(project, _frozen(project, flags, template, model))
    steps = flags["steps"]
    _refuse_differences(project, last, {**flags, "steps": None}, template, model)
    if steps is not None and steps > last.steps:
        last.extend(steps)
    elif steps is not None and steps < last.steps and not last.finished:
        raise BadInput(
            f"run {last.id} of '{project.name}' is to take {last.steps} steps, not {steps}.",
            saved=f"its saves up to step {last.step} are untouched.",
            fix=(f"mdctl train {project.name}", f"mdctl train {project.name} --steps {steps} --fresh"),
        )
    return last


def _refuse_differences(
    project: Project, run: Run, flags: Mapping[str, Any], template: str | None, model: str | None
) -> None:
    frozen = run.settings
    asked = {key: value for key, value in flags.items() if value is not None}
    differing = [
        f"{key}: {frozen['train'].get(key)} in the run, {value} now"
        for key, value in asked.items()
        if frozen["train"].get(key) != value
    ]
    if template and template != frozen.get("template"):
        differing.append(f"template: {frozen.get('template', 'none')} in the run, {template} now")
    if model and weights.fingerprint(weights.find(model)[1]) != frozen["model"]["fingerprint"]:
        differing.append(f"model: {frozen['model']['name']} in the run, {model} now")
    if [clip.sha256 for clip in project.clips] != [clip["sha256"] for clip in frozen["clip"]]:
        differing.append("clips: they are others now")
    if differing:
        raise BadInput(
            f"run {run.id} of '{project.name}' was made with other settings.",
            why="; ".join(differing),
            saved=f"its saves up to step {run.step} are untouched.",
            fix=(f"mdctl train {project.name} --fresh ...", f"or go on as it was: mdctl train {project.name}"),
            code="MD-RUN-DIFFERS",
        )


def _frozen(project: Project, flags: Mapping[str, Any], template: str | None, model: str | None) -> dict[str, Any]:
    """Every setting of a new run, resolved and ready to be frozen."""
    card, folder = weights.find(model or project.record.model)
    clips = shaped(resolve(ClipSettings, "clips", layers("clips", project, template, {})), card)
    asked = resolve(TrainSettings, "train", layers("train", project, template, flags))
    one = len(project.clips) == 1
    settings = replace(
        asked,
        steps=asked.steps or ((300 if (clips.frames or 0) > LONG_CLIP else 150) if one else 500),
        weight_decay=asked.weight_decay if asked.weight_decay is not None else (1e-2 if one else 1e-4),
    )
    return {
        "mdctl": __version__,
        "template": template or project.record.template,
        "model": {"name": card.name, "folder": str(folder), "fingerprint": weights.fingerprint(folder)},
        "clips": to_table(clips),
        "train": to_table(settings),
        "clip": [
            {
                "sha256": clip.sha256,
                "name": clip.name,
                "caption": clip.caption or project.record.caption,
                **({"trim": list(clip.trim)} if clip.trim else {}),
            }
            for clip in project.clips
        ],
    }


def _preview(project: Project, flags: Mapping[str, Any], template: str | None, model: str | None, fresh: bool) -> int:
    last = None if fresh else next(reversed(project.runs()), None)
    frozen = last.settings if last else _frozen(project, flags, template, model)
    facts = [("run", f"{last.id}, {last.status}" if last else "a new one"), ("model", frozen["model"]["name"])]
    facts += [(key, str(value)) for table in ("clips", "train") for key, value in frozen[table].items()]
    face().sheet(facts, {**frozen, "resume_from": last.id if last else None})
    return 0


# --- Learning it.


def _go(project: Project, run: Run, device_name: str) -> End:
    """Load what is given, learn, keep what is learned; a signal may end it early."""
    from mdctl.motion import device as machine

    card, folder = weights.find(run.settings["model"]["folder"] if _is_local(run) else run.settings["model"]["name"])
    if weights.fingerprint(folder) != run.settings["model"]["fingerprint"]:
        raise BadInput(
            f"the base model '{card.name}' is not the one that run {run.id} began with.",
            saved=f"its saves up to step {run.step} are untouched.",
            fix=f"bring the old one back, or mdctl train {project.name} --fresh",
            code="MD-MODEL-CHANGED",
        )
    settings = from_table(TrainSettings, run.settings["train"], "run.toml: train")
    device = machine.choose(device_name)
    threads = machine.settle(settings.threads, settings.deterministic)
    face().event(
        run.note("plan", settings=run.settings["train"], resume_from=run.step, device=machine.describe(device))
    )
    title = f"{project.name} · {card.name} · seed {settings.seed}"

    with polite(_told) as request:
        settings, backbone, samples, state = _prepare(project, run, settings, folder, device, threads)
        began, first = time.monotonic(), state.number
        assert settings.steps is not None
        with face().training(title, machine.describe(device), settings.steps) as view:
            try:
                _learn(run, state, settings, _steps(backbone, state, samples, settings), view, request, device)
            except Diverged as fault:
                raise _told_where_saved(fault, run) from fault
        saved = run.saves()[-1]
    if state.number < settings.steps:
        face().event(
            run.note(
                "interrupted", signal=request.signal.name if request.signal else "", step=state.number, resumable=True
            )
        )
        face().done(
            f"Paused at step {state.number} of {settings.steps}; it is saved.",
            [f"mdctl train {project.name}     goes on"],
        )
        return End("paused", saved, time.monotonic() - began, request.exit_code)
    if project.record.model == "auto":
        project.set("model", card.name)
    took = _long(time.monotonic() - began)
    skipped = f" {sum(state.skipped.values())} updates were not finite and left out." if state.skipped else ""
    face().done(
        f"Trained '{project.name}' in {took}: {state.number - first} steps, final save verified.{skipped}",
        [f"mdctl gen {project.name} {quoted(_example(project))}"],
    )
    return End("done", saved, time.monotonic() - began)


def _is_local(run: Run) -> bool:
    return Path(run.settings["model"]["name"]).is_absolute()


def _prepare(
    project: Project, run: Run, settings: TrainSettings, folder: Path, device: Any, threads: int
) -> "tuple[TrainSettings, Backbone, Samples, TrainState]":
    from mdctl.motion import device as machine
    from mdctl.motion import families, lora, training

    precision = machine.choose_precision(settings.precision, device)
    backbone = families.load(folder, device, machine.DTYPES[precision])
    recompute = device.type != "cpu" if settings.recompute is None else settings.recompute
    if recompute:
        backbone.recompute()
    widest = lora.widest_rank(backbone.network, backbone.layers)
    rank = settings.rank or min(32, widest)
    if rank > widest:
        raise UsageFault(
            f"a rank of {rank} is more than this model can take.",
            why=f"its narrowest adapted layer is {widest} wide.",
            fix=f"mdctl train {project.name} --fresh --rank {widest}",
        )
    settings = replace(settings, rank=rank, threads=threads, precision=precision, recompute=recompute)
    run.settle("train", {"rank": rank, "threads": threads, "recompute": recompute})
    samples = _encode(project, run, backbone, settings)
    state = training.begin(backbone, len(samples), settings)
    if save := run.latest(resumable=True, report=lambda change: _report(run, change)):
        files = {name: save.read(name) for name in save.files}
        state.restore(files, save.state, str(save.folder))
        face().say(f"going on from step {state.number}")
    return settings, backbone, samples, state


def _encode(project: Project, run: Run, backbone: "Backbone", settings: TrainSettings) -> "Samples":
    """Every clip's latents and prompt embeddings, from the cache where they are there."""
    from mdctl.media import clips as media
    from mdctl.motion import dataset

    shape = from_table(Shape, run.settings["clips"], "run.toml: clips")
    samples = []
    with face().progress("encoding clips", len(project.clips)) as show:
        for done, (clip, frozen) in enumerate(zip(project.clips, run.settings["clip"], strict=True), 1):
            path = _present(project, clip)

            def cut(path: Path = path, clip: ClipRecord = clip) -> dataset.Frames:
                found = media.look(
                    path, num_frames=shape.frames, fps=shape.fps, width=shape.width, height=shape.height, trim=clip.trim
                )
                if found.status == "left_out":
                    raise BadInput(
                        f"the clip '{clip.name}' of '{project.name}' cannot be used like this.",
                        why=", ".join(found.reasons),
                        fix=(
                            f"change [clips] in {project.folder / 'project.toml'}",
                            f"mdctl train {project.name} --fresh",
                        ),
                    )
                return media.cut(
                    path,
                    start_s=found.start_s,
                    fps=shape.fps,
                    num_frames=shape.frames,
                    width=shape.width,
                    height=shape.height,
                )

            key = dataset.cache_key(
                clip.sha256,
                run.settings["model"]["fingerprint"],
                *to_table(shape).values(),
                clip.trim,
                settings.precision,
            )
            cached = locations.latents() / key
            posterior, file = dataset.encode(backbone, cut, cached.read_bytes() if cached.is_file() else None)
            if not cached.is_file():
                atomic.write(cached, file)
            samples.append(dataset.Sample(posterior, backbone.embed([frozen["caption"]])))
            show(done, "")
            face().event(run.note("prepare", what="latents", done=done, of=len(project.clips)))
    backbone.release_encoders()
    return dataset.Samples(samples, settings.seed)


def _present(project: Project, clip: ClipRecord) -> Path:
    path = project.path_of(clip)
    if not path.is_file():
        raise NotFound(
            f"the clip '{clip.name}' of '{project.name}' is gone.",
            why=str(path),
            fix=f"mdctl new {project.name}-2 CLIPS... makes the project again",
        )
    return path


def _steps(
    backbone: "Backbone", state: "TrainState", samples: "Samples", settings: TrainSettings
) -> "Iterator[TrainStep]":
    from mdctl.motion import training

    return training.train(backbone, state, samples, settings)


def _learn(
    run: Run,
    state: "TrainState",
    settings: TrainSettings,
    steps: "Iterator[TrainStep]",
    view: TrainView,
    request: Request,
    device: Any,
) -> None:
    """Follow the steps, show and note each, and save when it is due, at the end, and when asked to stop."""
    from mdctl.motion import device as machine

    assert settings.steps is not None
    recent: deque[float] = deque(maxlen=50)
    before = last_save = time.monotonic()
    saved = state.number
    for step in steps:
        now = time.monotonic()
        recent.append(now - before)
        pace = statistics.median(recent)
        record = run.note(
            "step",
            step=step.number,
            of=step.of,
            loss={"motion": step.temporal_loss, "appearance": step.spatial_loss},
            s_per_step=round(pace, 3),
            memory_gb=round(machine.memory_gb(device), 2),
            eta_s=round(pace * (step.of - step.number)),
        )
        face().event(record)
        view.step(record)
        for name in step.skipped:
            view.remark(f"step {step.number}: the gradient of {name} was not finite and was left out")
        due = step.number % settings.save_every == 0 or now - last_save > SAVE_EVERY_S
        if due or request or step.number == settings.steps:
            _keep(run, state, settings, view)
            saved, last_save = step.number, time.monotonic()
        before = time.monotonic()
        if request:
            break
    if saved != state.number or not run.saves():
        _keep(run, state, settings, view)


def _keep(run: Run, state: "TrainState", settings: TrainSettings, view: TrainView) -> None:
    began = time.monotonic()
    files = state.files(run.settings["model"]["fingerprint"], settings.objective)
    save = run.keep(state.number, files, state.record())
    seconds = round(time.monotonic() - began, 3)
    face().event(run.note("save", step=save.step, path=str(save.folder), sha256=save.sha256, seconds=seconds))
    view.saved(save.step)


def _report(run: Run, change: Change) -> None:
    face().event(run.note("changed", **change))
    face().warn(f"the save of step {change['from']} is damaged ({change['why']}); going on from step {change['to']}.")


def _told(request: Request) -> None:
    face().say("Stopping after this step and saving (Ctrl-C again quits now and keeps the last save).")


def _told_where_saved(fault: Diverged, run: Run) -> MdctlError:
    return Diverged(fault.what, why=fault.why, saved=f"the save of step {run.step} is good.", fix=fault.fix)


def _example(project: Project) -> str:
    subject, caption = project.record.subject, project.record.caption
    return caption.replace(subject, "a monkey", 1) if subject else f"a monkey {caption}"


def _long(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"


def stamp() -> str:
    """Now, as file names carry it."""
    return datetime.now(UTC).strftime("%Y%m%d-%H%M")


def paths_of(items: Sequence[Path]) -> list[str]:
    """Absolute paths as text."""
    return [str(item.absolute()) for item in items]
