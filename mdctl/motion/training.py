"""Dual-path training: spatial adapters absorb each clip's look, one temporal adapter learns the motion."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Literal

import torch
from safetensors.torch import save as save_tensors
from torch import Tensor

from mdctl.errors import Diverged, Refused
from mdctl.motion import noise
from mdctl.motion.backbone import Backbone
from mdctl.motion.dataset import Samples
from mdctl.motion.lora import COUPLED, SPATIAL, TEMPORAL, Adapters, pack, read_tensors, spatial_name
from mdctl.motion.passes import draw, learn
from mdctl.motion.recompute import Level
from mdctl.motion.replay import Replayed, record_on_cuda, suits
from mdctl.motion.updates import LossScale, Verdict, apply, new_optimizer
from mdctl.settings import TrainSettings

PATIENCE = 5
"""Steps in a row without a finite gradient after which a run has diverged."""


@dataclass(frozen=True)
class TrainStep:
    """One optimizer step that was done. On a GPU losses are read every few steps, and stand until the next time."""

    number: int
    of: int
    temporal_loss: float | None
    """Loss of the motion, None where only looks are learned; NaN or infinite where the step broke down."""

    spatial_loss: float | None
    """Loss of the look, None in a masked step."""

    skipped: tuple[str, ...] = ()
    """Adapters whose gradient was not finite and was not applied, in this step or since the last one that was read."""


@dataclass
class TrainState:
    """What training changes: adapters, their optimizers, the step, and what was skipped."""

    adapters: Adapters
    optimizers: dict[str, torch.optim.AdamW]
    scale: LossScale | None = None
    """Only of a base in float16."""

    rate: float = 1.0
    """Share of the learning rate that is taken, less than 1 after a breakdown."""

    number: int = 0
    skipped: dict[str, int] = field(default_factory=dict)
    in_a_row: int = 0
    """Steps without a finite gradient, the latest of them the last one."""

    verdicts: list[dict[str, Verdict]] = field(default_factory=list)
    """What the steps since `settle` came to."""

    untold: dict[str, None] = field(default_factory=dict)
    """Adapters whose updates were left out, until a step tells of it."""

    def settle(self) -> None:
        """Read what the steps since the last time came to, and count it.

        In float16 updates are left out until the loss scale has found itself, and that is no breakdown.
        """
        searching = self.scale is not None and bool(self.scale.value > 1)
        for verdicts in self.verdicts:
            skipped = [name for name, finite in verdicts.items() if not bool(finite)]
            for name in skipped:
                self.skipped[name] = self.skipped.get(name, 0) + 1
            self.in_a_row = self.in_a_row + 1 if skipped and not searching else 0
            self.untold |= dict.fromkeys(skipped)
        self.verdicts.clear()

    def slow_down(self, rate: float) -> None:
        """Go on with this share of the learning rate."""
        for group in (group for optimizer in self.optimizers.values() for group in optimizer.param_groups):
            group["lr"] *= rate / self.rate
        self.rate = rate

    def copied(self, base: str, objective: str) -> Callable[[], dict[str, bytes]]:
        """What gives the files as of now, whenever it is asked: one for each adapter, and one for the optimizers.

        The numbers are copied at once, and training may go on.
        """
        names = self.adapters.names
        adapters = {name: (self.adapters.tensors(name), self.adapters.card(name, base, objective)) for name in names}
        moments = {
            f"{name}.{place}.{key}": value.to("cpu", copy=True)
            for name, optimizer in self.optimizers.items()
            for place, state in optimizer.state_dict()["state"].items()
            for key, value in state.items()
        }

        def files() -> dict[str, bytes]:
            found = {f"{name}.safetensors": pack(*adapter) for name, adapter in adapters.items()}
            return found | {"optim.safetensors": save_tensors(moments)}

        return files

    def record(self) -> dict[str, object]:
        """The scalars that belong to the files."""
        self.settle()
        record: dict[str, object] = {"step": self.number, "skipped": dict(self.skipped)}
        record |= {"rate": self.rate} if self.rate != 1 else {}
        return record | ({"loss_scale": [float(self.scale.value), int(self.scale.good)]} if self.scale else {})

    def restore(self, files: Mapping[str, bytes], record: Mapping[str, object], where: str) -> None:
        """Go back to what `copied` and `record` gave."""
        step, skipped = record.get("step"), record.get("skipped", {})
        if not isinstance(step, int) or not isinstance(skipped, dict):
            raise _damaged(where, "its state does not say its step.")
        for file in (*(f"{name}.safetensors" for name in self.adapters.names), "optim.safetensors"):
            if file not in files:
                raise _damaged(where, f"it has no {file}.")

        # The moments first: where they cannot be read, nothing has changed yet.
        moments: dict[str, dict[int, dict[str, Tensor]]] = {name: {} for name in self.optimizers}
        for key, value in read_tensors(files["optim.safetensors"], f"{where}/optim.safetensors").items():
            name, place, what = key.split(".")
            moments[name].setdefault(int(place), {})[what] = value
        for name in self.adapters.names:
            self.adapters.load(name, files[f"{name}.safetensors"], f"{where}/{name}.safetensors")
        for name, optimizer in self.optimizers.items():
            groups = optimizer.state_dict()["param_groups"]
            optimizer.load_state_dict({"state": moments[name], "param_groups": groups})
        self.number, self.skipped = step, {str(name): int(count) for name, count in skipped.items()}
        self.verdicts.clear()
        rate = record.get("rate", 1.0)
        if isinstance(rate, float) and 0 < rate <= 1:
            self.slow_down(rate)
        known = record.get("loss_scale")
        if self.scale and isinstance(known, list) and len(known) == 2:
            self.scale = LossScale.new(self.scale.value.device, float(known[0]), int(known[1]))


def _damaged(where: str, why: str) -> Refused:
    return Refused(f"{where} is damaged.", why=why, fix="use an earlier save")


Learns = Literal["motion", "appearance", "coupled"]
"""What a run learns: a motion beside the looks of its clips, one look alone, or both in one as the paper's baseline."""


def learners(learns: Learns, looks: int) -> list[str]:
    """The adapters of a run, by name."""
    if learns == "coupled":
        return [COUPLED]
    names = [spatial_name(clip) for clip in range(1 if learns == "appearance" else looks)]
    return [TEMPORAL, *names] if learns == "motion" else names


def begin(backbone: Backbone, num_clips: int, settings: TrainSettings, learns: Learns = "motion") -> TrainState:
    """Fresh adapters in the backbone, and an optimizer for each; rank and weight decay have to be resolved."""
    assert settings.rank is not None
    names = learners(learns, 1 if settings.shared_spatial else num_clips)
    adapters = Adapters(backbone.network, backbone.layers, dict.fromkeys(names, settings.rank), settings.dropout)
    adapters.draw(settings.seed)
    optimizers = {name: new_optimizer(adapters.parameters(name), settings) for name in names}
    scale = LossScale.new(backbone.device) if _dtype(backbone) == torch.float16 else None
    return TrainState(adapters, optimizers, scale)


def _dtype(backbone: Backbone) -> torch.dtype:
    """The number format of the frozen weights."""
    return next(weight.dtype for name, weight in backbone.network.named_parameters() if ".lora_" not in name)


@dataclass(frozen=True)
class Effort:
    """How a step is computed, not what it computes: no setting of a run, and free to differ when it goes on."""

    joint: bool
    """One pass for look and motion (see `passes`)."""

    look_every: int = 1
    """After how many steps the device is asked for losses and verdicts, which makes it wait for nothing in between."""

    recorded: Replayed | None = None
    """What replays the pass of a step."""


def effort(device: torch.device, level: Level = "none", *, graph: bool = True) -> Effort:
    """What suits a device: on a CPU, which has no kernels to launch, the readable form is as fast and stays exact.

    A GPU replays what it has recorded (see `replay`), unless `graph` is off.
    """
    recorded = Replayed(record_on_cuda()) if graph and suits(device, level) else None
    return Effort(device.type != "cpu", look_every=5 if device.type == "cuda" else 1, recorded=recorded)


def train(
    backbone: Backbone, state: TrainState, samples: Samples, settings: TrainSettings, how: Effort | None = None
) -> Iterator[TrainStep]:
    """Fit the adapters, one optimizer step per iteration, from where `state` stands."""
    assert settings.steps is not None
    how = how or effort(backbone.device)
    state.in_a_row, first = 0, state.number + 1
    unread: dict[str, list[Tensor]] = {}
    known: dict[str, float] = {}
    looks = _looks_first(state, settings)
    for number in range(first, settings.steps + 1):
        losses = _learn(backbone, state, samples, settings, number, how, alone=number <= looks)
        unread |= losses
        state.number = number
        if number in (first, settings.steps) or number % how.look_every == 0:
            state.settle()
            known |= {kind: sum(float(part) for part in parts) for kind, parts in unread.items()}
            unread = {}
        motion, look = (known.get(kind) if kind in losses else None for kind in ("motion", "look"))
        skipped, state.untold = tuple(state.untold), {}  # a save between two looks may have read some of it
        yield TrainStep(number, settings.steps, motion, look, skipped)
        if state.in_a_row >= PATIENCE:
            raise Diverged(
                f"training broke down at step {number}.",
                why=f"the gradient was not finite {PATIENCE} times in a row.",
                fix="train again with a lower rate: --lr 1e-4 --fresh, or with --precision fp32",
            )


def _looks_first(state: TrainState, settings: TrainSettings) -> int:
    """Up to which step looks are learned alone: only a look that is given is not learned as motion.

    Once motion has been learned there is no way back, also where a run is given more steps, a share of which is more.
    """
    assert settings.steps is not None
    if TEMPORAL not in state.adapters.names:
        return settings.steps
    return int(settings.spatial_first * settings.steps) if state.adapters.silent(TEMPORAL) else 0


def _learn(
    backbone: Backbone,
    state: TrainState,
    samples: Samples,
    settings: TrainSettings,
    number: int,
    how: Effort,
    *,
    alone: bool,
) -> dict[str, list[Tensor]]:
    """One step (method: all backward passes first, then every optimizer that has a gradient); gives its losses."""
    for optimizer in state.optimizers.values():
        optimizer.zero_grad()  # a step that broke off half-way may have left gradients
    first = (number - 1) * settings.batch + 1
    draws = [draw(backbone, samples, settings, place) for place in range(first, first + settings.batch)]
    scale = state.scale.value if state.scale else None
    with _dropping_out(backbone, state.adapters, noise.draw_seed(settings.seed, "dropout", number)):
        losses = learn(
            backbone, state.adapters, draws, settings, alone=alone, joint=how.joint, scale=scale, recorded=how.recorded
        )

    # Only now may anything step: the temporal forward saw the spatial weights of this step's start.
    state.verdicts.append(
        {
            name: apply(state.optimizers[name], settings.max_grad_norm, state.scale)
            for name in state.adapters.names
            if name in losses
        }
    )
    if state.scale:
        state.scale.settle([*state.verdicts[-1].values()])
    found: dict[str, list[Tensor]] = {}
    for name, parts in losses.items():
        found.setdefault("look" if name.startswith(SPATIAL) else "motion", []).extend(parts)
    return found


@contextmanager
def _dropping_out(backbone: Backbone, adapters: Adapters, seed: int) -> Iterator[None]:
    """The adapters' dropout at work, drawn from this seed; afterwards the network and the global chance are as before.

    The base model's own dropout stays off: what is frozen shall be in training what it is when videos are made.
    """
    adapters.drop_out(seed)
    try:
        with torch.random.fork_rng(devices=[backbone.device] if backbone.device.type == "cuda" else []):
            torch.manual_seed(seed)
            yield
    finally:
        adapters.drop_out(None)
