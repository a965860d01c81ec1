"""The forward and backward passes of a training step: what is drawn, who speaks, who learns, and from which error.

There are two forms. The readable one takes two passes, first the look's single frame and then the motion's clip. The
joint one appends the frame to the clip, and temporal layers do not see it: the same losses and the same gradients, for
half the launches of kernels. They differ in one point, that dropout is drawn for all frames at once.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from contextlib import nullcontext
from dataclasses import dataclass
from typing import TypeAlias

import torch
from torch import Tensor

from mdctl.motion import noise
from mdctl.motion.backbone import Backbone
from mdctl.motion.dataset import Samples
from mdctl.motion.lora import COUPLED, SPATIAL, TEMPORAL, Adapters
from mdctl.motion.objective import Anchor, spatial_loss, temporal_loss
from mdctl.motion.schedule import as_timesteps
from mdctl.settings import TrainSettings


def timestep(drawn: float, num_timesteps: int, shift: float) -> int:
    """A timestep out of a uniform number in [0, 1); a shift above 1 leans towards noise, where motion is decided."""
    return int(num_timesteps * shift * drawn / (1 + (shift - 1) * drawn))


@dataclass(frozen=True)
class Drawn:
    """One draw, with all that it leaves to chance: one noise and one timestep serve both paths."""

    clip: int
    noisy_latents: Tensor
    timesteps: Tensor
    target: Tensor
    embeds: Tensor
    frame: int
    anchor: Anchor
    masked: bool

    def still(self) -> tuple[Tensor, Tensor]:  # b c 1 h w
        """The one frame that the look is learned from, and what the model should answer to it."""
        one = slice(self.frame, self.frame + 1)
        return self.noisy_latents[:, :, one], self.target[:, :, one]


def draw(backbone: Backbone, samples: Samples, settings: TrainSettings, number: int) -> Drawn:
    """What this number (1, 2, …) draws, a function of the seed alone."""
    seed, schedule, device = settings.seed, backbone.schedule, backbone.device
    clip, example = samples.at(number)
    flipped = example.mirrored if noise.uniform(seed, "flip", number) < settings.flip else None
    posterior = flipped or example.posterior
    shape = tuple(posterior.mean.shape)
    latents = _sent(posterior.draw(noise.normal(seed, "vae", number, shape).to(posterior.mean.device)), device)
    drawn = _sent(noise.normal(seed, "noise", number, shape), device)
    moment = timestep(noise.uniform(seed, "timestep", number), schedule.num_timesteps, settings.timestep_shift)
    timesteps = as_timesteps(moment, shape[0], device)
    frame = noise.uniform_int(seed, "frame", number, shape[2])
    anchor = noise.uniform_int(seed, "anchor", number, shape[2])
    step = (number - 1) // settings.batch + 1
    masked = noise.uniform(seed, "mask", step) < settings.spatial_mask  # all of a step alike, so that they go together
    noisy_latents = schedule.add_noise(latents, drawn, timesteps)
    target = schedule.target(latents, drawn, timesteps)
    return Drawn(clip, noisy_latents, timesteps, target, example.prompt_embeds.to(device), frame, anchor, masked)


def _sent(tensor: Tensor, device: torch.device) -> Tensor:
    # Out of pinned memory the copy waits for nothing that the device is still at.
    if device.type == "cuda" and tensor.device.type == "cpu":
        tensor = tensor.pin_memory()
    return tensor.to(device, non_blocking=True)


@dataclass(frozen=True)
class Pass:
    """One forward pass, and the backward pass that belongs to it."""

    draws: tuple[Drawn, ...]
    speakers: tuple[str, ...]
    motion: str | None = None
    """Who learns from the whole clip."""

    look: str | None = None
    """Who learns from the single frame."""

    @property
    def learners(self) -> Set[str]:
        """Whose gradients it gives."""
        return {name for name in (self.motion, self.look) if name}

    @property
    def joint(self) -> bool:
        """Whether the frame stands beside the clip."""
        return bool(self.motion and self.look)

    def residuals(self, backbone: Backbone) -> dict[str, Tensor]:
        """What the model answers less what it should, by who learns from it; clips b c f h w, frames b c 1 h w."""
        shown: list[Tensor] = []
        wanted: dict[str, Tensor] = {}
        for who in filter(None, (self.motion, self.look)):
            parts = [(d.noisy_latents, d.target) if who == self.motion else d.still() for d in self.draws]
            noisy, wanted[who] = (torch.cat(part) for part in zip(*parts, strict=True))
            shown.append(noisy)
        timesteps, embeds = (torch.cat(x) for x in zip(*((d.timesteps, d.embeds) for d in self.draws), strict=True))
        answers = backbone.predict(torch.cat(shown, 2), timesteps, embeds)
        apart = answers.split([target.shape[2] for target in wanted.values()], 2)
        return {who: answer - target for answer, (who, target) in zip(apart, wanted.items(), strict=True)}


def passes(names: Sequence[str], draws: Sequence[Drawn], alone: bool, joint: bool) -> Iterator[Pass]:
    """The passes of one step over these adapters; with `alone` only the looks learn."""
    if COUPLED in names:
        yield Pass(tuple(draws), (COUPLED,), motion=COUPLED)
        return
    looks = [name for name in names if name.startswith(SPATIAL)]
    groups: dict[tuple[str, bool, tuple[int, ...]], list[Drawn]] = {}
    for drawn in draws:
        masked = drawn.masked and not alone
        key = looks[drawn.clip % len(looks)], masked, tuple(drawn.target.shape)
        groups.setdefault(key, []).append(drawn)

    # The look: one frame, through the image model that is left without the temporal layers.
    for (look, masked, _), group in groups.items():
        if not masked and (alone or not joint):
            yield Pass(tuple(group), (look,), look=look)
    # The motion: all frames, the look given and frozen; in the joint form it learns from the frame beside them.
    for (look, masked, _), group in groups.items():
        if not alone:
            beside = look if joint and not masked else None
            yield Pass(tuple(group), (TEMPORAL,) if masked else (TEMPORAL, look), motion=TEMPORAL, look=beside)


def compute(
    one: Pass, backbone: Backbone, adapters: Adapters, settings: TrainSettings, scale: Tensor | None
) -> dict[str, Tensor]:
    """One pass, forward and backward: gradients, times `scale`, gather in the adapters; gives losses by learner.

    Nothing here asks the device for a number.
    """
    last_of = one.draws[0].target.shape[2] + 1 if one.joint else None
    speaking = adapters.speaking(dict.fromkeys(one.speakers, 1.0), one.learners, last_of)
    with speaking, backbone.appending() if one.joint else nullcontext():
        shares = _shares(one, one.residuals(backbone), settings)
        total = torch.stack([*shares.values()]).sum() if len(shares) > 1 else next(iter(shares.values()))
        (total if scale is None else total * scale).backward()
    return {name: share.detach() for name, share in shares.items()}


Compute: TypeAlias = Callable[[Pass, Backbone, Adapters, TrainSettings, Tensor | None], dict[str, Tensor]]
"""What does as `compute` does."""


def learn(
    backbone: Backbone,
    adapters: Adapters,
    draws: Sequence[Drawn],
    settings: TrainSettings,
    *,
    alone: bool,
    joint: bool,
    scale: Tensor | None = None,
    recorded: Compute | None = None,
) -> dict[str, list[Tensor]]:
    """All passes of one step: their gradients add up in the adapters; the losses of each as they came.

    A pass that is the whole step is left to `recorded`, where there is one.
    """
    losses: dict[str, list[Tensor]] = {}
    step = [*passes(adapters.names, draws, alone, joint)]
    for number, one in enumerate(step):
        adapters.turn(number)
        does = recorded if recorded and len(step) == 1 else compute
        for name, share in does(one, backbone, adapters, settings, scale).items():
            losses.setdefault(name, []).append(share)
    return losses


def _shares(one: Pass, residuals: Mapping[str, Tensor], settings: TrainSettings) -> dict[str, Tensor]:
    """What this pass adds to the mean losses of the step."""
    found = {}
    for name, residual in residuals.items():
        losses = [_loss(name, r, drawn, settings) for r, drawn in zip(residual, one.draws, strict=True)]
        found[name] = torch.stack(losses).mean() * (len(one.draws) / settings.batch)
    return found


def _loss(learns: str, residual: Tensor, drawn: Drawn, settings: TrainSettings) -> Tensor:
    """The loss of one draw, c f h w; the baseline's is the plain one on whole clips."""
    if learns == TEMPORAL:
        return temporal_loss(residual[None], drawn.anchor, settings.beta, settings.objective)
    return residual.square().mean() if learns == COUPLED else spatial_loss(residual[None])
