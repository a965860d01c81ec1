"""Videos for measuring: many prompts at once, from given noise."""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from mdctl.media.frames import Frames
from mdctl.motion import sampling
from mdctl.motion.backbone import Backbone
from mdctl.motion.dataset import to_frames

BATCH = 4


def draw(
    backbone: Backbone, prompts: Sequence[str], first: Sequence[Tensor], steps: int, guidance: float
) -> Iterator[Frames]:
    """One video for each prompt, from its own noise (1 c f h w), with whatever adapters speak."""
    for place in range(0, len(prompts), BATCH):
        part = list(prompts[place : place + BATCH])
        latents = torch.cat(list(first[place : place + BATCH])).to(backbone.device)
        embeds, empty = backbone.embed(part), backbone.embed([""] * len(part))
        for step in sampling.sample(backbone, latents, embeds, empty, steps, guidance):
            latents = step.latents
        for one in latents.split(1):
            yield to_frames(backbone.decode(one))
