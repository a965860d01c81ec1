"""What every family of base models offers; training and sampling know this and nothing else."""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol, TypeAlias

import torch
from torch import Tensor, nn

from mdctl.motion.recompute import Level
from mdctl.motion.schedule import Schedule

Latents: TypeAlias = Tensor
"""What a video is before it is decoded, b c f h w."""


@dataclass(frozen=True)
class Layers:
    """Which layers an adapter is laid into: patterns that match the full names of modules."""

    spatial: str
    """Layers that see one frame at a time."""

    temporal: str
    """Layers that see one place along the frames."""


@dataclass(frozen=True)
class Posterior:
    """What the VAE says of a clip: scaled mean and standard deviation, b c f h w."""

    mean: Tensor
    std: Tensor

    def draw(self, noise: Tensor) -> Tensor:
        """One sample, from standard normal noise of the same shape."""
        return self.mean + self.std * noise


class Backbone(Protocol):
    """A frozen text-to-video model, whichever family it comes from."""

    network: nn.Module
    """What the adapters are laid into."""

    layers: Layers
    schedule: Schedule
    device: torch.device

    def latent_shape(self, num_frames: int, width: int, height: int) -> tuple[int, ...]:
        """Shape b c f h w of the latents of one clip."""

    def encode(self, pixels: Tensor) -> Posterior:  # b f c h w in [-1, 1] → b c f h w
        """Pixels to scaled latent statistics; the draw is the trainer's."""

    def decode(self, latents: Tensor) -> Tensor:  # b c f h w → b f c h w in [-1, 1]
        """Latents to pixels."""

    def embed(self, prompts: Sequence[str]) -> Tensor:  # → b s d
        """Prompts to prompt embeddings."""

    def release_encoders(self) -> None:
        """Make room on the device: training needs neither VAE nor text encoder once all is encoded."""

    def decoding(self) -> AbstractContextManager[None]:
        """Bring back for a while what decodes, from where `release_encoders` has put it."""

    def recompute(self, level: Level = "full") -> None:
        """Keep less for backward and compute it again there: less memory, more work (see `recompute`)."""

    def appending(self) -> AbstractContextManager[None]:
        """Keep the last frame of what is predicted out of every temporal layer: it stands beside the clip.

        `backward()` has to stay inside: a checkpointed forward runs again there.
        """

    def unread(self, prompt: str) -> dict[str, list[str]]:
        """The words that the text encoder cannot take, unknown or beyond its limit, each with the nearest it knows."""

    def predict(self, noisy_latents: Tensor, timesteps: Tensor, prompt_embeds: Tensor) -> Tensor:
        """What the model answers, b c f h w; a single frame leaves the temporal layers out."""
