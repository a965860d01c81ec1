"""Many videos at once, for measuring: each from its own prompt and its own noise."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext

import torch

from mdctl.media.frames import Frames
from mdctl.motion import sampling
from mdctl.motion.backbone import Backbone
from mdctl.motion.dataset import to_frames
from mdctl.motion.noise import normal

BATCH = 4

Draw = tuple[int, str, int]
"""Where noise comes from: seed, stream and step."""


def draw(
    backbone: Backbone,
    prompts: Sequence[str],
    draws: Sequence[Draw],
    shape: tuple[int, ...],
    steps: int,
    guidance: float,
    sampler: str = "ddim",
    speaking: Callable[[int, int], AbstractContextManager[None]] = lambda _step, _of: nullcontext(),
) -> Iterator[Frames]:
    """One video for each prompt, from noise of this shape (1 c f h w), with the adapters that speak in each step."""
    for place in range(0, len(prompts), BATCH):
        part = list(prompts[place : place + BATCH])
        latents = torch.cat([normal(*one, shape) for one in draws[place : place + BATCH]]).to(backbone.device)
        embeds, empty = backbone.embed(part), backbone.embed([""] * len(part))
        way = sampling.sample(backbone, latents, embeds, empty, steps, guidance, sampler)
        for number in range(1, steps + 1):
            with speaking(number, steps):
                latents = next(way).latents
        for one in latents.split(1):
            yield to_frames(backbone.decode(one))
