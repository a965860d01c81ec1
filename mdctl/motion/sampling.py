"""From noise to a video: the denoising loop, one record a step."""

import math
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from mdctl.errors import Refused
from mdctl.motion.backbone import Backbone
from mdctl.motion.device import OutOfMemory, empty
from mdctl.motion.lora import Adapters
from mdctl.motion.noise import normal
from mdctl.motion.schedule import as_timesteps


@dataclass(frozen=True)
class SampleStep:
    """One denoising step that was done."""

    number: int
    of: int
    latents: Tensor
    """b c f h w, as far as they are denoised."""

    halved: bool = False
    """Whether both sides of the guidance went through one after the other, because memory ran out."""


def first_noise(backbone: Backbone, seed: int, num_frames: int, width: int, height: int) -> Tensor:
    """The noise that a video starts from, drawn on the CPU, so that a seed means the same everywhere."""
    return normal(seed, "sample", 0, backbone.latent_shape(num_frames, width, height)).to(backbone.device)


@torch.no_grad()
def sample(
    backbone: Backbone,
    noise: Tensor,
    prompt_embeds: Tensor,
    negative_embeds: Tensor,
    steps: int,
    guidance: float,
    sampler: str = "ddim",
) -> Iterator[SampleStep]:
    """Denoise with classifier-free guidance; embeddings are 1 s d, noise is 1 c f h w."""
    latents, halved = noise, False
    sides = (negative_embeds, prompt_embeds) if guidance != 1 else (prompt_embeds,)
    timesteps, step_back = backbone.schedule.way_back(sampler, steps)
    for number, timestep in enumerate(timesteps, 1):
        answers: Sequence[Tensor] = ()
        if not halved:
            with suppress(OutOfMemory):
                answers = _asked(backbone, latents, timestep, torch.cat(sides)).chunk(len(sides))
            halved = not answers
        if halved and len(sides) == 1:
            raise OutOfMemory(f"no memory for {tuple(latents.shape)}")
        if halved:
            empty(backbone.device)
            answers = [_asked(backbone, latents, timestep, embeds) for embeds in sides]
        prediction = answers[-1] if len(sides) == 1 else answers[0] + guidance * (answers[1] - answers[0])
        latents = step_back(prediction, timestep, latents)
        yield SampleStep(number, steps, latents, halved)


def _asked(backbone: Backbone, latents: Tensor, timestep: int, embeds: Tensor) -> Tensor:
    batch = torch.cat([latents] * (len(embeds) // len(latents)))
    return backbone.predict(batch, as_timesteps(timestep, len(batch), backbone.device), embeds)


@torch.no_grad()
def invert(backbone: Backbone, latents: Tensor, prompt_embeds: Tensor, steps: int) -> Iterator[SampleStep]:
    """Run DDIM backwards, from the latents of a clip (1 c f h w) to the noise that would give them; no guidance."""
    for number, timestep in enumerate(backbone.schedule.inverse_timesteps(steps), 1):
        prediction = backbone.predict(latents, as_timesteps(timestep, len(latents), backbone.device), prompt_embeds)
        latents = backbone.schedule.step_forth(prediction, timestep, latents)
        yield SampleStep(number, steps, latents)


def follow(inverted: Tensor, noise: Tensor, share: float) -> Tensor:  # b c f h w, b c f h' w' → as noise
    """The paper's noise prior (section 3.4): so large a share of the start is a clip's own noise, the rest is free.

    Where the sizes differ, the clip's noise is resized frame by frame. With a share of 0 it is `noise`, bit for bit.
    """
    if not share:
        return noise
    if inverted.shape[-2:] != noise.shape[-2:]:
        inverted = functional.interpolate(inverted, size=noise.shape[2:], mode="trilinear", align_corners=False)
    return math.sqrt(share) * inverted + math.sqrt(1 - share) * noise


@torch.no_grad()
def require_effect(
    backbone: Backbone, adapters: Adapters, scales: dict[str, float], noise: Tensor, prompt_embeds: Tensor, where: str
) -> None:
    """Refuse adapters that change nothing: one prediction with and without them has to differ."""
    timesteps = as_timesteps(backbone.schedule.num_timesteps * 3 // 4, len(noise), backbone.device)
    with adapters.speaking({}):
        without = backbone.predict(noise, timesteps, prompt_embeds)
    with adapters.speaking(scales):
        spoken = backbone.predict(noise, timesteps, prompt_embeds)
    if torch.equal(without, spoken):
        raise Refused(
            f"{where} has no effect on the model.",
            why="one prediction with and without it is the same, bit for bit.",
            fix="train longer, or choose another save with --checkpoint",
            code="MD-LORA-NOEFFECT",
        )
