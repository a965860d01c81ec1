"""The course of a training: load what is given, learn, keep what is learned, and stop when a signal asks for it."""

import statistics
import time
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mdctl import __version__
from mdctl.catalog import CARDS
from mdctl.cli.create import encoding, fitting, fork
from mdctl.cli.create.keeping import Keeper, keeping
from mdctl.cli.create.start import quoted
from mdctl.cli.face import AGAIN, TrainView, face
from mdctl.cli.signals import Request, polite
from mdctl.errors import BadInput, Diverged, MdctlError, NotFound
from mdctl.settings import TrainSettings, from_table
from mdctl.workspace import weights
from mdctl.workspace.project import Project
from mdctl.workspace.runs import Change, Run
from mdctl.workspace.saves import Save

if TYPE_CHECKING:
    from mdctl.cli.create.previews import Previews
    from mdctl.motion.backbone import Backbone
    from mdctl.motion.dataset import Samples
    from mdctl.motion.training import TrainState, TrainStep

SAVE_EVERY_S = 60.0


@dataclass(frozen=True)
class End:
    """How a training ended."""

    status: str
    """`done`, `paused` or `nothing_to_do`."""

    save: Save
    seconds: float = 0.0
    exit_code: int = 0
    steps: int = 0
    """Steps that were taken now."""

    skipped: int = 0
    """Updates that were not finite, in the whole run."""


def follow(
    project: Project,
    run: Run,
    device_name: str,
    vram: str = "auto",
    previews: "Previews | None" = None,
    again: str = AGAIN,
    *,
    graph: bool = True,
) -> End:
    """Load what is given, learn, keep what is learned; a signal may end it early, and `again` is what goes on then.

    Without `graph` a GPU is given its kernels one by one.
    """
    from mdctl.motion import device as machine

    card, folder = weights.find(run.settings["model"]["name"])
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
    precision = machine.choose_precision(settings.precision, device)
    fit = fitting.fit(run, settings, folder, device, precision, vram)
    fit.graph = graph
    _tell_plan(run, fit, machine.describe(device))
    _settle_made_with(run, {"device": device.type, **versions()})
    title = f"{project.name} · {card.name} · seed {settings.seed}"

    with polite(_told) as request:
        settings, backbone, samples, state = _prepare(
            project, run, settings, folder, device, threads, precision, fit, previews
        )
        began, first = time.monotonic(), state.number
        assert settings.steps is not None
        every = previews.every if previews else 0
        with face().training(title, machine.told(device), settings.steps, every, again) as view:
            try:
                with keeping(run, settings.objective, view, aside=device.type != "cpu") as keeper:
                    paces = None
                    while paces is None:
                        steps = fitting.steps(run, backbone, state, samples, settings, fit, device)
                        try:
                            paces = _learn(run, state, settings, steps, keeper, view, request, device, previews, fit)
                        except Diverged:
                            keeper.settle()
                            if not _gone_back(run, state, view):
                                raise
                fitting.remember(fit, paces, machine.memory_gb(device))
            except MdctlError as fault:
                fault.saved = fault.saved or _safe_so_far(run, again)
                raise
        saved = run.saves()[-1]
    taken, skipped = state.number - first, sum(state.skipped.values())
    if state.number < settings.steps:
        face().event(
            run.note(
                "interrupted", signal=request.signal.name if request.signal else "", step=state.number, resumable=True
            )
        )
        return End("paused", saved, time.monotonic() - began, request.exit_code, taken, skipped)
    if project.record.model == "auto":
        project.set("model", card.name)
    return End("done", saved, time.monotonic() - began, 0, taken, skipped)


def usable(run: Run) -> bool:
    """Whether a run is at its end or can go on; not where its saves are damaged or lost, which is told."""
    with suppress(NotFound):
        run.latest(report=lambda change: _report(run, change))
        if not run.finished:
            run.latest(resumable=True, report=lambda change: _report(run, change))
        return True
    return False


def tell(project: Project, run: Run, end: End) -> None:
    """Say how a training ended, and which command comes next."""
    if end.status == "paused":
        face().done(
            f"Paused at step {end.save.step} of {run.steps}; it is saved.",
            [f"mdctl train {project.name}     goes on"],
        )
        return
    skipped = f" {end.skipped} updates were not finite and left out." if end.skipped else ""
    face().done(
        f"Trained '{project.name}' in {long(end.seconds)}: {end.steps} steps, final save verified.{skipped}",
        [f"mdctl gen {project.name} {quoted(example(project, run.settings['model']['name']))}"],
    )


def versions() -> dict[str, str]:
    """The versions of mdctl and of the libraries that every number goes through."""
    from importlib.metadata import version

    names = ("torch", "diffusers", "transformers", "peft")
    return {"mdctl": __version__, **{name: version(name) for name in names}}


def _settle_made_with(run: Run, now: Mapping[str, str]) -> None:
    """Freeze the device and the versions that a run begins with; when it goes on with others, note and tell that."""
    frozen = run.settings.get("made_with", {})
    others = {what: value for what, value in now.items() if frozen.get(what, value) != value}
    for what, value in others.items():
        why = "the computer or what is installed on it is another"
        face().event(run.note("changed", **{"what": what, "from": frozen[what], "to": value, "why": why}))
    if others:
        differing = ", ".join(f"{what} {frozen[what]} (now {value})" for what, value in others.items())
        face().warn(f"this run began with {differing}; it goes on, not bit-identical to a run without the stop.")
    run.settle("made_with", now)


def _tell_plan(run: Run, fit: fitting.Fit, place: str) -> None:
    stands = run.step or fork.origin(run)[1]
    seconds = fit.seconds(run.settings, stands)
    told = {"recompute": fit.level, **({"seconds": round(seconds)} if seconds is not None else {}),
            **({"vram_gb": round(fit.predicted / 1e9, 2)} if fit.predicted else {})}  # fmt: skip
    face().event(run.note("plan", settings=run.settings["train"], resume_from=stands, device=place, **told))
    if seconds is not None and seconds >= 60:
        face().say(f"about {long(seconds)}, by the last time on this computer.")


def _prepare(
    project: Project,
    run: Run,
    settings: TrainSettings,
    folder: Path,
    device: Any,
    threads: int,
    precision: str,
    fit: fitting.Fit,
    previews: "Previews | None",
) -> "tuple[TrainSettings, Backbone, Samples, TrainState]":
    from mdctl.motion import device as machine
    from mdctl.motion import families, lora, training

    backbone = families.in_precision(folder, device, precision)
    backbone.recompute(fit.level)
    recompute = fit.level != "none"
    widest = lora.widest_rank(backbone.network, backbone.layers)
    rank = settings.rank or min(32, widest)
    if rank > widest:
        raise BadInput(
            f"a rank of {rank} is more than this model can take.",
            why=f"its narrowest adapted layer is {widest} wide.",
            fix=f"mdctl train {project.name} --rank {widest}",
            code="MD-SETTING",
        )
    settings = replace(settings, rank=rank, threads=threads, precision=precision, recompute=recompute)
    run.settle("train", {"rank": rank, "threads": threads, "recompute": recompute, "precision": precision})
    samples = _encode(run, backbone, settings)
    if previews:
        previews.prepare(run, backbone, machine.describe(device), threads, precision)
    backbone.release_encoders()
    state = training.begin(backbone, len(samples), settings, run.settings.get("learns", "motion"))
    if save := run.latest(resumable=True, report=lambda change: _report(run, change)):
        files = {name: save.read(name) for name in save.files}
        state.restore(files, save.state, str(save.folder))
        face().say(f"going on from step {state.number}")
    elif fork.origin(run)[0]:
        fork.carry_over(project, run, state)
    return settings, backbone, samples, state


def _encode(run: Run, backbone: "Backbone", settings: TrainSettings) -> "Samples":
    """Every clip's latents and prompt embeddings, from the cache where they are there."""
    from mdctl.motion import dataset

    samples, clips = [], run.settings["clip"]
    with face().progress("encoding clips", len(clips)) as show:
        for number, frozen in enumerate(clips):
            encoding.require_intact(run, number)
            latents = encoding.latents(run, number, backbone, settings.precision)
            mirrored = encoding.latents(run, number, backbone, settings.precision, True) if settings.flip else None
            samples.append(dataset.Sample(latents, backbone.embed([frozen["caption"]]), mirrored))
            show(number + 1, "")
            face().event(run.note("prepare", what="latents", done=number + 1, of=len(clips)))
    return dataset.Samples(samples, settings.seed)


def _learn(
    run: Run,
    state: "TrainState",
    settings: TrainSettings,
    steps: "Iterator[TrainStep]",
    keeper: Keeper,
    view: TrainView,
    request: Request,
    device: Any,
    previews: "Previews | None",
    fit: fitting.Fit,
) -> fitting.Paces:
    """Follow the steps, show and note each, and save when it is due, at the end, and when asked; gives their paces."""
    from mdctl.motion import device as machine

    assert settings.steps is not None
    paced = fitting.Paces(deque(maxlen=50), deque(maxlen=50))
    before = last_save = time.monotonic()
    saved, preview_s = state.number, 0.0
    for step in steps:
        now = time.monotonic()
        looks_only = step.temporal_loss is None
        recent = paced.looks if looks_only else paced.whole  # the one kind says nothing of how long the other takes
        recent.append(now - before)
        pace = statistics.median(recent)
        to_come = sum(previews.due(number) for number in range(step.number, step.of + 1)) if previews else 0
        record = run.note(
            "step",
            step=step.number,
            of=step.of,
            loss={"motion": step.temporal_loss, "appearance": step.spatial_loss},
            s_per_step=round(pace, 3),
            memory_gb=round(machine.memory_gb(device), 2),
            eta_s=None if looks_only else round(pace * (step.of - step.number) + preview_s * to_come),
        )
        face().event(record)
        view.step(record)
        for name in step.skipped:
            why = f"step {step.number}: the gradient of {name} was not finite and was left out"
            face().event(
                run.note("changed", **{"what": f"update of {name}", "from": "taken", "to": "left out", "why": why})
            )
            view.remark(why)
        shown = previews is not None and previews.due(step.number)
        due = shown or step.number % settings.save_every == 0 or now - last_save > SAVE_EVERY_S
        if due or request or step.number == settings.steps:
            keeper.keep(state, milestone=shown)
            saved, last_save = step.number, time.monotonic()
        keeper.look()
        if previews and shown and not request:
            keeper.settle()
            fit.make_room()
            previews.show(run.saves()[-1], state.adapters, view, request)
            preview_s = time.monotonic() - last_save
        before = time.monotonic()
        if request:
            break
    keeper.settle()
    if saved != state.number or not run.saves():
        keeper.keep(state)
    return paced


def _gone_back(run: Run, state: "TrainState", view: TrainView) -> bool:
    """After a breakdown: back to the last save and on from there with half the learning rate, once in a run."""
    save = run.latest(resumable=True, report=lambda change: _report(run, change))
    if save is None or state.rate < 1:
        return False
    broke_at = state.number
    state.restore({name: save.read(name) for name in save.files}, save.state, str(save.folder))
    state.slow_down(0.5)
    why = f"gradients were not finite up to step {broke_at}"
    face().event(run.note("changed", **{"what": "learning rate", "from": 1.0, "to": 0.5, "why": why}))
    view.remark(f"{why}: back to step {save.step}, and on from there with half the learning rate")
    return True


def _report(run: Run, change: Change) -> None:
    face().event(run.note("changed", **change))
    face().warn(damage(change))


def damage(change: Change) -> str:
    """What `Run.latest` found wrong with a save, and what is done about it, as a sentence."""
    then = f"step {change['to']} is used" if change["to"] else "no earlier one can be used"
    return f"the save of step {change['from']} is damaged ({change['why']}); {then}."


def _told() -> None:
    face().say("Stopping after this step and saving (Ctrl-C again quits now and keeps the last save).")


def _safe_so_far(run: Run, again: str) -> str:
    if not run.step:
        return "nothing yet: it stopped before its first save."
    return f"the save of step {run.step} is good, and {again} goes on from there."


def example(project: Project, model: str) -> str:
    """A prompt that shows what a project has learned on a base model: its caption with another subject."""
    subject, caption = project.record.subject, project.record.caption
    place = CARDS[model].place if model in CARDS and " on " not in caption else ""
    return " ".join(filter(None, (caption.replace(subject, "a monkey", 1) if subject else caption, place)))


def long(seconds: float) -> str:
    """How long something takes, as a person says it."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"
