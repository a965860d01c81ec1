"""How noise is added, what the target is, and how one step back is taken."""

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from diffusers import DDIMInverseScheduler, DDIMScheduler, DPMSolverMultistepScheduler, UniPCMultistepScheduler
from torch import Tensor

from mdctl.errors import BadInput

PREDICTIONS = ("epsilon", "v_prediction")

SAMPLERS: dict[str, Any] = {"unipc": UniPCMultistepScheduler, "dpm++": DPMSolverMultistepScheduler}
"""What samples faster than DDIM, of second order both."""


class Schedule:
    """The noise schedule a model was trained with, and DDIM sampling along it."""

    def __init__(self, config: dict[str, Any]) -> None:
        # Models of this family name different samplers in their folders; the schedule itself is what they share.
        self.sampler = DDIMScheduler.from_config(config, clip_sample=False, set_alpha_to_one=False)
        self.inverter = DDIMInverseScheduler.from_config(config, clip_sample=False, set_alpha_to_one=False)
        self.prediction_type: str = self.sampler.config.prediction_type
        if self.prediction_type not in PREDICTIONS:
            raise BadInput(
                f"the model predicts '{self.prediction_type}', which mdctl does not know.",
                fix=f"use a model whose scheduler says {' or '.join(PREDICTIONS)}",
            )
        self.alphas_cumprod: Tensor = self.sampler.alphas_cumprod
        self._there = self.alphas_cumprod
        self.num_timesteps = len(self.alphas_cumprod)

    @classmethod
    def load(cls, folder: Path, **changes: Any) -> "Schedule":
        """The schedule that a model folder's `scheduler` part describes, apart from these changes."""
        config, _ = DDIMScheduler.load_config(folder, return_unused_kwargs=True, local_files_only=True)
        return cls({**config, **changes})

    def _scales(self, timesteps: Tensor) -> tuple[Tensor, Tensor]:
        if self._there.device != timesteps.device:  # once: to ask a GPU for its timesteps would make all wait
            self._there = self.alphas_cumprod.to(timesteps.device)
        signal = self._there[timesteps].view(-1, 1, 1, 1, 1)
        return signal.sqrt(), (1 - signal).sqrt()

    def add_noise(self, latents: Tensor, noise: Tensor, timesteps: Tensor) -> Tensor:  # b c f h w, b → b c f h w
        """Noisy latents at these timesteps (equation 2)."""
        signal, sigma = self._scales(timesteps)
        return signal * latents + sigma * noise

    def target(self, latents: Tensor, noise: Tensor, timesteps: Tensor) -> Tensor:  # b c f h w, b → b c f h w
        """What the model should answer: the noise, or the velocity."""
        if self.prediction_type == "epsilon":
            return noise
        signal, sigma = self._scales(timesteps)
        return signal * noise - sigma * latents

    def timesteps(self, steps: int) -> list[int]:
        """The timesteps of a DDIM sampling in `steps` steps, from noise to picture."""
        self.sampler.set_timesteps(steps)
        found: list[int] = self.sampler.timesteps.tolist()
        return found

    def way_back(self, sampler: str, steps: int) -> tuple[list[int], Callable[[Tensor, int, Tensor], Tensor]]:
        """The timesteps of a sampling in so many steps, and what takes one: prediction, timestep, latents → latents.

        Samplers but DDIM remember the steps before, so that each video needs a way of its own.
        """
        if sampler == "ddim":
            return self.timesteps(steps), self.step_back
        with warnings.catch_warnings():  # they hand tensors to numpy in a way that it will drop one day
            warnings.simplefilter("ignore", DeprecationWarning)
            own = SAMPLERS[sampler].from_config(self.sampler.config)
            own.set_timesteps(steps)

        def step(prediction: Tensor, timestep: int, noisy_latents: Tensor) -> Tensor:
            previous: Tensor = own.step(prediction, timestep, noisy_latents, return_dict=False)[0]
            return previous

        return own.timesteps.tolist(), step

    def step_back(self, prediction: Tensor, timestep: int, noisy_latents: Tensor) -> Tensor:
        """One DDIM step; `timesteps` has to be called first."""
        previous: Tensor = self.sampler.step(prediction, timestep, noisy_latents, return_dict=False)[0]
        return previous

    def inverse_timesteps(self, steps: int) -> list[int]:
        """The timesteps of a DDIM inversion in `steps` steps, from picture to noise."""
        self.inverter.set_timesteps(steps)
        found: list[int] = self.inverter.timesteps.tolist()
        return found

    def step_forth(self, prediction: Tensor, timestep: int, latents: Tensor) -> Tensor:
        """One step of DDIM inversion; `inverse_timesteps` has to be called first."""
        following: Tensor = self.inverter.step(prediction, timestep, latents, return_dict=False)[0]
        return following


def as_timesteps(timestep: int, batch: int, device: torch.device) -> Tensor:
    """One timestep for a whole batch, shape (b,)."""
    return torch.full((batch,), timestep, dtype=torch.long, device=device)
