"""Whether a training fits its device, and how much it computes again for that: planned, told, and then measured."""

import statistics
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from mdctl.cli.face import face
from mdctl.errors import BadInput, NoSpace
from mdctl.settings import Shape, TrainSettings, from_table
from mdctl.workspace import paces
from mdctl.workspace.runs import Run

if TYPE_CHECKING:
    from mdctl.motion.backbone import Backbone
    from mdctl.motion.dataset import Samples
    from mdctl.motion.plan import Footprint
    from mdctl.motion.recompute import Level
    from mdctl.motion.replay import Replayed
    from mdctl.motion.training import Learns, TrainState, TrainStep

GIB = 2**30

ENOUGH = 5
"""So many steps say how long the next will take."""

WORDS = {
    "none": "nothing is computed twice",
    "light": "norms and activations are computed again in backward",
    "middle": "the temporal layers are computed again in backward, 17 % more work",
    "full": "every layer is computed again in backward, 40 % more work",
}
"""What each level means."""


class Planned(Protocol):
    """A training that is to be looked at: a run, or one that is only thought of."""

    @property
    def project(self) -> str:
        """The name of its project."""

    @property
    def settings(self) -> Mapping[str, Any]:
        """Its frozen settings."""


@dataclass
class Fit:
    """How a training will be computed on its device."""

    level: "Level"
    """Which goes down where memory runs out all the same."""

    about: dict[str, Any]
    """What its pace and its memory hang on; under it they are kept for the next time."""

    predicted: float | None = None
    """Bytes of all tensors at the peak, where there is a device to count them for."""

    budget: float | None = None
    """Bytes that may be used of that device."""

    graph: bool = True
    """Whether a GPU may record the step and replay it."""

    recorded: "Replayed | None" = None
    """What holds the recording."""

    def make_room(self) -> None:
        """Give back the memory of a recording, for something else that is done between two steps."""
        if self.recorded:
            self.recorded.forget()

    @property
    def key(self) -> dict[str, Any]:
        """Under what the figures of this level are kept."""
        return {**self.about, "level": self.level}

    def seconds(self, settings: Mapping[str, Any], stands: int) -> float | None:
        """How long the steps of a run take from one on, by the last time on this computer; None where there was none.

        Those in which only looks are learned have a pace of their own.
        """
        steps, share = settings["train"]["steps"], settings["train"].get("spatial_first", 0.0)
        first = steps if settings.get("learns") == "appearance" else int(share * steps)
        looks, rest = max(0, first - stands), steps - max(first, stands)
        known = paces.known(self.key)
        whole = known.get("s_per_step") if rest > 0 else 0.0
        look = known.get("look_s_per_step", whole if rest > 0 else None) if looks else 0.0
        return None if look is None or whole is None else look * looks + whole * max(0, rest)

    @property
    def needed(self) -> float | None:
        """Bytes in all, by the plan; where there is none by the last time, of the whole process."""
        from mdctl.motion import plan

        if self.predicted is not None:
            return self.predicted + plan.OVERHEAD
        took = paces.known(self.key).get("peak_gb")
        return took * 1e9 if took else None


def fit(run: Planned, settings: TrainSettings, folder: Path, device: Any, precision: str, vram: str) -> Fit:
    """The fastest level that the device has memory for; refused, before anything is loaded, where there is none."""
    from mdctl.motion import device as machine

    if vram != "auto" and device.type != "cuda":
        raise BadInput(
            f"--vram {vram} speaks of a GPU, and this training would run on the {device.type}.",
            why="what it takes there is the memory of the computer.",
            fix=(f"mdctl train {run.project}", f"mdctl train {run.project} --set recompute=true --fresh    takes less"),
        )
    about = {
        "device": machine.describe(device),
        "learns": run.settings.get("learns", "motion"),
        "model": run.settings["model"]["fingerprint"],
        "clips": run.settings["clips"],
        "looks": 1 if settings.shared_spatial else len(run.settings["clip"]),
        "rank": settings.rank,
        "dropout": settings.dropout,
        "batch": settings.batch,
        "precision": precision,
    }
    if device.type != "cuda":
        again = device.type != "cpu" if settings.recompute is None else settings.recompute
        return Fit("full" if again else "none", about)
    budget = allowance(device, vram)
    return _planned(run, settings, folder, precision, about, budget)


def allowance(device: Any, vram: str) -> float:
    """How many bytes a training may take: what is free, or what a card of so many GB leaves after its system's one."""
    from mdctl.motion import device as machine

    if vram == "auto":
        return machine.free_bytes(device)
    machine.limit(device, (int(vram) - 1) * GIB)
    return min((int(vram) - 1) * GIB, machine.free_bytes(device))


def _planned(
    run: Planned, settings: TrainSettings, folder: Path, precision: str, about: dict[str, Any], budget: float
) -> Fit:
    from mdctl.motion import plan
    from mdctl.motion.recompute import LEVELS

    shape = from_table(Shape, run.settings["clips"], "run.toml: clips")
    if about["learns"] == "appearance":
        shape = replace(shape, frames=1)  # from which it learns, whatever its clips have

    def counted(shape: Shape, precision: str, level: "Level") -> float:
        found = footprint(folder, shape, settings, about["looks"], precision, level, about["learns"])
        return found.peak + plan.OVERHEAD

    def peak(level: "Level") -> float:
        measured = paces.known({**about, "level": level}).get("peak_gb", 0) * 1e9
        return max(measured + plan.OVERHEAD, counted(shape, precision, level))

    # False rules nothing out: it is frozen with every run that began where there was room, and it may go on where not.
    levels: Sequence[Level] = LEVELS[1:] if settings.recompute else LEVELS
    level = plan.fitting(peak, budget, levels)
    if level is None:
        raise _too_small(run.project, shape, precision, counted, peak(levels[-1]), budget)
    predicted = peak(level)
    face().say(f"takes about {predicted / 1e9:.1f} of {budget / 1e9:.1f} GB: {WORDS[level]}.")
    return Fit(level, about, predicted - plan.OVERHEAD, budget)


def footprint(
    folder: Path,
    shape: Shape,
    settings: TrainSettings,
    looks: int,
    precision: str,
    level: "Level",
    learns: "Learns" = "motion",
) -> "Footprint":
    """What a step takes, counted once for each model, shape and level, and kept."""
    from mdctl.motion import device as machine
    from mdctl.motion import families, lora, plan
    from mdctl.workspace import weights

    about = {"count": weights.fingerprint(folder), "shape": [shape.frames, shape.width, shape.height], "looks": looks,
             "rank": settings.rank, "dropout": settings.dropout, "batch": settings.batch, "precision": precision,
             "level": level, "learns": learns}  # fmt: skip
    kept = paces.known(about)
    if set(kept) >= {"weights", "adapters", "activations"}:
        return plan.Footprint(int(kept["weights"]), int(kept["adapters"]), int(kept["activations"]))
    eight_bit = precision == machine.EIGHT_BIT
    shadow = families.shadow(folder, dtype=machine.dtype(precision, machine.choose("auto")), eight_bit=eight_bit)
    rank = settings.rank or min(32, lora.widest_rank(shadow.network, shadow.layers))
    found = plan.footprint(shadow, shape, replace(settings, rank=rank), looks, level, learns)
    paces.note(about, weights=found.weights, adapters=found.adapters, activations=found.activations)
    return found


def _too_small(
    project: str,
    shape: Shape,
    precision: str,
    counted: "Callable[[Shape, str, Level], float]",
    needed: float,
    budget: float,
) -> NoSpace:
    """The refusal, with the largest size that would fit; `counted` is what a shape takes in a precision."""
    from mdctl.motion import plan

    fix = []
    still = shape.frames == 1
    for other in plan.smaller(shape):
        peak = counted(other, precision, "full")
        if peak <= budget:
            size = f"--size {other.width}x{other.height} {'--appearance' if still else f'--frames {other.frames}'}"
            fix = [f"mdctl new {project}-small CLIPS... {size}    takes {peak / 1e9:.1f} GB"]
            break
    if precision != "int8":
        peak = counted(shape, "int8", "full")
        if peak <= budget:
            fix.append(f"mdctl train {project} --precision int8 --fresh    takes {peak / 1e9:.1f} GB, and is inexact")
    if precision == "fp32":
        fix.append(f"mdctl train {project} --precision bf16 --fresh    takes half for the base model")
    length = "" if still else f", {shape.frames} frames"
    return NoSpace(
        f"not enough GPU memory to train '{project}' at {shape.width}x{shape.height}{length}.",
        why=f"needs about {needed / 1e9:.1f} GB with everything computed again; {budget / 1e9:.1f} GB may be used.",
        saved="nothing was loaded.",
        fix=[*fix, "mdctl help vram    what takes less"],
        code="MD-VRAM",
    )


# --- While it runs.


def steps(
    run: Run,
    backbone: "Backbone",
    state: "TrainState",
    samples: "Samples",
    settings: TrainSettings,
    fit: Fit,
    device: Any,
) -> "Iterator[TrainStep]":
    """The steps of a training; where memory runs out the same step again, with more computed twice, which is told."""
    from mdctl.motion import device as machine
    from mdctl.motion import training
    from mdctl.motion.recompute import LEVELS

    began = state.number
    while True:
        how = training.effort(device, fit.level, graph=fit.graph)
        fit.recorded = how.recorded
        try:
            for step in training.train(backbone, state, samples, settings, how):
                if step.number == began + 1 and fit.predicted is not None:
                    _compare(run, fit, machine.memory_gb(device))
                if fit.graph and how.recorded and (why := how.recorded.failed):
                    fit.graph = False
                    face().event(run.note("changed", **{"what": "graph", "from": True, "to": False, "why": why}))
                    face().say(f"the step is started kernel by kernel, because it could not be recorded: {why}")
                yield step
        except machine.OutOfMemory:
            if fit.level == LEVELS[-1]:
                raise
            lower = LEVELS[LEVELS.index(fit.level) + 1]
        else:
            return
        fit.make_room()
        machine.empty(device)
        backbone.recompute(lower)
        why = f"memory ran out in step {state.number + 1}"
        face().event(run.note("changed", **{"what": "recompute", "from": fit.level, "to": lower, "why": why}))
        face().warn(f"{why}: from here on {WORDS[lower]}; nothing was lost.")
        fit.level = lower


def _compare(run: Run, fit: Fit, measured_gb: float) -> None:
    predicted = (fit.predicted or 0) / 1e9
    note = run.note("prepare", what="memory", predicted_gb=round(predicted, 2), measured_gb=round(measured_gb, 2))
    face().event(note)
    paces.note(fit.key, peak_gb=measured_gb)
    if measured_gb > 1.15 * predicted:
        face().say(f"the first step took {measured_gb:.1f} GB, planned were {predicted:.1f}; noted for the next plan.")


class Paces(NamedTuple):
    """How long the last steps of a training took, in seconds."""

    whole: deque[float]
    """Those in which the motion was learned too."""

    looks: deque[float]
    """Those in which looks alone were learned."""


def remember(fit: Fit, paced: Paces, memory_gb: float) -> None:
    """Keep the paces of a training for later estimates, and what it took where no plan can tell; not of a short one."""
    if len(paced.whole) + len(paced.looks) < ENOUGH:
        return
    kinds = {"s_per_step": paced.whole, "look_s_per_step": paced.looks}
    took = {name: statistics.median(seconds) for name, seconds in kinds.items() if seconds}
    paces.note(fit.key, **took, **({} if fit.budget else {"peak_gb": memory_gb}))
