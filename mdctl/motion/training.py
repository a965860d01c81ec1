"""Dual-path training: spatial adapters absorb each clip's look, one temporal adapter learns the motion."""

from collections.abc import Callable, Iterator, Mapping, Sequence
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
from mdctl.motion.lora import COUPLED, SPATIAL, TEMPORAL, Adapters, read_tensors, spatial_name
from mdctl.motion.objective import spatial_loss, temporal_loss
from mdctl.motion.schedule import as_timesteps
from mdctl.settings import TrainSettings

PATIENCE = 5
"""Steps in a row without a finite gradient after which a run has diverged."""


@dataclass(frozen=True)
class TrainStep:
    """One optimizer step that was done."""

    number: int
    of: int
    temporal_loss: float | None
    """Loss of the motion, None where only looks are learned; NaN or infinite where the step broke down."""

    spatial_loss: float | None
    """Loss of the look, None in a masked step."""

    skipped: tuple[str, ...] = ()
    """Adapters whose gradient was not finite and was not applied."""


@dataclass
class TrainState:
    """What training changes: adapters, their optimizers, the step, and what was skipped."""

    adapters: Adapters
    optimizers: dict[str, torch.optim.AdamW]
    number: int = 0
    skipped: dict[str, int] = field(default_factory=dict)

    def files(self, base: str, objective: str) -> dict[str, bytes]:
        """One safetensors file for each adapter, and one for the optimizers."""
        found = {f"{name}.safetensors": self.adapters.file(name, base, objective) for name in self.adapters.names}
        moments = {
            f"{name}.{place}.{key}": value
            for name, optimizer in self.optimizers.items()
            for place, state in optimizer.state_dict()["state"].items()
            for key, value in state.items()
        }
        return found | {"optim.safetensors": save_tensors(moments)}

    def record(self) -> dict[str, object]:
        """The scalars that belong to the files."""
        return {"step": self.number, "skipped": dict(self.skipped)}

    def restore(self, files: Mapping[str, bytes], record: Mapping[str, object], where: str) -> None:
        """Go back to what `files` and `record` gave."""
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


def _damaged(where: str, why: str) -> Refused:
    return Refused(f"{where} is damaged.", why=why, fix="use an earlier save")


Learns = Literal["motion", "appearance", "coupled"]
"""What a run learns: a motion beside the looks of its clips, one look alone, or both in one as the paper's baseline."""


def begin(backbone: Backbone, num_clips: int, settings: TrainSettings, learns: Learns = "motion") -> TrainState:
    """Fresh adapters in the backbone, and an optimizer for each; rank and weight decay have to be resolved."""
    assert settings.rank is not None
    assert settings.weight_decay is not None
    looks = 1 if settings.shared_spatial or learns == "appearance" else num_clips
    names = [COUPLED] if learns == "coupled" else [spatial_name(clip) for clip in range(looks)]
    if learns == "motion":
        names.insert(0, TEMPORAL)
    adapters = Adapters(backbone.network, backbone.layers, dict.fromkeys(names, settings.rank), settings.dropout)
    adapters.draw(settings.seed)
    optimizers = {
        name: torch.optim.AdamW(
            adapters.parameters(name),
            lr=settings.learning_rate,
            betas=(0.9, 0.999),
            eps=1e-8,
            weight_decay=settings.weight_decay,
        )
        for name in names
    }
    return TrainState(adapters, optimizers)


def train(backbone: Backbone, state: TrainState, samples: Samples, settings: TrainSettings) -> Iterator[TrainStep]:
    """Fit the adapters, one optimizer step per iteration, from where `state` stands."""
    assert settings.steps is not None
    in_a_row = 0
    for number in range(state.number + 1, settings.steps + 1):
        step = _learn(backbone, state, samples, settings, number)
        state.number = number
        for name in step.skipped:
            state.skipped[name] = state.skipped.get(name, 0) + 1
        in_a_row = in_a_row + 1 if step.skipped else 0
        yield step
        if in_a_row >= PATIENCE:
            raise Diverged(
                f"training broke down at step {number}.",
                why=f"the gradient was not finite {PATIENCE} times in a row.",
                fix="train again with a lower rate: --lr 1e-4 --fresh, or with --precision fp32",
            )


def timestep(drawn: float, num_timesteps: int, shift: float) -> int:
    """A timestep out of a uniform number in [0, 1); a shift above 1 leans towards noise, where motion is decided."""
    return int(num_timesteps * shift * drawn / (1 + (shift - 1) * drawn))


@dataclass(frozen=True)
class _Drawn:
    """One draw, with all that it leaves to chance: one noise and one timestep serve both paths."""

    clip: int
    noisy_latents: Tensor
    timesteps: Tensor
    target: Tensor
    embeds: Tensor
    frame: int
    anchor: int
    masked: bool


def _draw(backbone: Backbone, samples: Samples, settings: TrainSettings, number: int) -> _Drawn:
    seed, schedule, device = settings.seed, backbone.schedule, backbone.device
    clip, example = samples.at(number)
    flipped = example.mirrored if noise.uniform(seed, "flip", number) < settings.flip else None
    posterior = flipped or example.posterior
    shape = tuple(posterior.mean.shape)
    latents = posterior.draw(noise.normal(seed, "vae", number, shape)).to(device)
    drawn = noise.normal(seed, "noise", number, shape).to(device)
    moment = timestep(noise.uniform(seed, "timestep", number), schedule.num_timesteps, settings.timestep_shift)
    timesteps = as_timesteps(moment, shape[0], device)
    frame = noise.uniform_int(seed, "frame", number, shape[2])
    anchor = noise.uniform_int(seed, "anchor", number, shape[2])
    masked = noise.uniform(seed, "mask", number) < settings.spatial_mask
    noisy_latents = schedule.add_noise(latents, drawn, timesteps)
    target = schedule.target(latents, drawn, timesteps)
    return _Drawn(clip, noisy_latents, timesteps, target, example.prompt_embeds.to(device), frame, anchor, masked)


def _learn(backbone: Backbone, state: TrainState, samples: Samples, settings: TrainSettings, number: int) -> TrainStep:
    """One step (method: all backward passes first, then every optimizer that has a gradient).

    The first steps may be the look's alone: only a look that is given is not learned as motion.
    """
    for optimizer in state.optimizers.values():
        optimizer.zero_grad()  # a step that broke off half-way may have left gradients
    first = (number - 1) * settings.batch + 1
    draws = [_draw(backbone, samples, settings, place) for place in range(first, first + settings.batch)]
    alone = TEMPORAL not in state.adapters.names or number <= settings.spatial_first * (settings.steps or 0)
    losses: dict[str, float] = {}
    with _dropping_out(backbone, state.adapters, noise.draw_seed(settings.seed, "dropout", number)):
        for path, speakers, group in _paths(state, draws, alone):
            learns = speakers[0]
            with state.adapters.speaking(dict.fromkeys(speakers, 1.0), learning={learns}):
                residuals = path(backbone, group)
                loss = torch.stack([_loss(learns, r, d, settings) for r, d in zip(residuals, group, strict=True)])
                share = loss.mean() * (len(group) / settings.batch)
                share.backward()
            losses[learns] = losses.get(learns, 0.0) + float(share.detach())

    # Only now may anything step: the temporal forward saw the spatial weights of this step's start.
    skipped = tuple(
        name for name in state.adapters.names if name in losses and not _apply(state, name, settings.max_grad_norm)
    )
    looks = [loss for name, loss in losses.items() if name.startswith(SPATIAL)]
    motion = losses.get(COUPLED, losses.get(TEMPORAL))
    return TrainStep(number, settings.steps or 0, motion, sum(looks) if looks else None, skipped)


_Path = Callable[[Backbone, Sequence[_Drawn]], Tensor]


def _paths(state: TrainState, draws: Sequence[_Drawn], alone: bool) -> Iterator[tuple[_Path, list[str], list[_Drawn]]]:
    """The forward passes of a step: which path, who speaks in it (the first one learns), and for which draws."""
    if COUPLED in state.adapters.names:
        yield _motion, [COUPLED], list(draws)
        return
    looks = [name for name in state.adapters.names if name.startswith(SPATIAL)]
    groups: dict[tuple[str, bool, tuple[int, ...]], list[_Drawn]] = {}
    for drawn in draws:
        masked = drawn.masked and not alone
        key = looks[drawn.clip % len(looks)], masked, tuple(drawn.target.shape)
        groups.setdefault(key, []).append(drawn)

    # The look: one frame, through the image model that is left without the temporal layers.
    for (look, masked, _), group in groups.items():
        if not masked:
            yield _look, [look], group
    # The motion: all frames, the look given and frozen.
    for (look, masked, _), group in groups.items():
        if not alone:
            yield _motion, [TEMPORAL] if masked else [TEMPORAL, look], group


def _look(backbone: Backbone, group: Sequence[_Drawn]) -> Tensor:  # → b c 1 h w
    noisy = torch.cat([drawn.noisy_latents[:, :, [drawn.frame]] for drawn in group])
    target = torch.cat([drawn.target[:, :, [drawn.frame]] for drawn in group])
    return _predict(backbone, noisy, group) - target


def _motion(backbone: Backbone, group: Sequence[_Drawn]) -> Tensor:  # → b c f h w
    noisy, target = (torch.cat(parts) for parts in zip(*((d.noisy_latents, d.target) for d in group), strict=True))
    return _predict(backbone, noisy, group) - target


def _predict(backbone: Backbone, noisy: Tensor, group: Sequence[_Drawn]) -> Tensor:
    timesteps, embeds = (torch.cat(parts) for parts in zip(*((d.timesteps, d.embeds) for d in group), strict=True))
    return backbone.predict(noisy, timesteps, embeds)


def _loss(learns: str, residual: Tensor, drawn: _Drawn, settings: TrainSettings) -> Tensor:
    """The loss of one draw, c f h w; the baseline's is the plain one on whole clips."""
    if learns == TEMPORAL:
        return temporal_loss(residual[None], drawn.anchor, settings.beta, settings.objective)
    return residual.square().mean() if learns == COUPLED else spatial_loss(residual[None])


@contextmanager
def _dropping_out(backbone: Backbone, adapters: Adapters, seed: int) -> Iterator[None]:
    """The adapters' dropout at work, drawn from this seed; afterwards the network and the global chance are as before.

    The base model's own dropout stays off: what is frozen shall be in training what it is when videos are made.
    """
    adapters.drop_out(True)
    try:
        with torch.random.fork_rng(devices=[backbone.device] if backbone.device.type == "cuda" else []):
            torch.manual_seed(seed)
            yield
    finally:
        adapters.drop_out(False)


def _apply(state: TrainState, name: str, max_norm: float) -> bool:
    parameters = state.adapters.parameters(name)
    norm = torch.nn.utils.clip_grad_norm_(parameters, max_norm)
    finite = bool(norm.isfinite())
    if finite:
        state.optimizers[name].step()
    state.optimizers[name].zero_grad()
    return finite
