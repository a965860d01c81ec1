"""AnimateDiff: a Stable Diffusion U-Net with a motion adapter between its layers.

A model folder is either a saved pipeline, whose `unet` is a `UNetMotionModel`, or a Stable Diffusion folder with the
motion adapter beside it in `motion_adapter`.
"""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from diffusers import MotionAdapter, UNet2DConditionModel, UNetMotionModel
from diffusers.models.unets.unet_motion_model import AnimateDiffTransformer3D
from torch import Tensor, nn

from mdctl.errors import BadInput
from mdctl.motion.families.latent import GIVEN, LatentVideo, layers_with
from mdctl.motion.schedule import Schedule

ADAPTER = "motion_adapter"

LAYERS = layers_with(r".*\.motion_modules\.\d+")


class AnimateDiff(LatentVideo):
    """A base model of this family, frozen."""

    layers = LAYERS

    @classmethod
    def load_network(cls, folder: Path, dtype: torch.dtype) -> Any:
        """The U-Net of a saved pipeline, or of an image model with the motion adapter laid into it."""
        if not _in_two(folder):
            return UNetMotionModel.from_pretrained(folder / "unet", torch_dtype=dtype, **GIVEN)
        image = UNet2DConditionModel.from_pretrained(folder / "unet", torch_dtype=dtype, **GIVEN)
        adapter = MotionAdapter.from_pretrained(folder / ADAPTER, torch_dtype=dtype, **GIVEN)
        network = UNetMotionModel.from_unet2d(image, adapter)
        return nn.Module.to(network, dtype)  # its own `to` warns of layers to be kept in float32, and there are none

    @classmethod
    def blueprint(cls, folder: Path | None) -> nn.Module:
        """The U-Net without weights; without a folder that of Stable Diffusion 1.5 with motion modules of version 3."""
        with torch.device("meta"):
            network: nn.Module
            if folder is None:
                usual = {"cross_attention_dim": 768, "use_motion_mid_block": False}
                network = UNetMotionModel.from_config(usual)
            elif _in_two(folder):
                image = UNet2DConditionModel.from_config(_described(folder / "unet"))
                adapter = MotionAdapter.from_config(_described(folder / ADAPTER))
                network = UNetMotionModel.from_unet2d(image, adapter, load_weights=False)
            else:
                network = UNetMotionModel.from_config(_described(folder / "unet"))
        return network

    @classmethod
    def load_schedule(cls, folder: Path) -> Schedule:
        """A saved pipeline's own; motion adapters were trained on a linear one, whatever the image model says."""
        changes = {"beta_schedule": "linear"} if _in_two(folder) else {}
        return Schedule.load(folder / "scheduler", **changes)

    @staticmethod
    def _weights_of_network(folder: Path) -> tuple[Path, ...]:
        return folder / "unet", folder / ADAPTER

    @staticmethod
    def temporal_parts(network: nn.Module) -> Iterable[nn.Module]:
        """The motion modules."""
        return [part for part in network.modules() if isinstance(part, AnimateDiffTransformer3D)]

    def predict(self, noisy_latents: Tensor, timesteps: Tensor, prompt_embeds: Tensor) -> Tensor:
        """What the U-Net answers; `BadInput` for more frames than its motion modules have places for."""
        most = int(self.network.config.motion_max_seq_length)
        frames = noisy_latents.shape[2] - self.appended.there
        if frames > most:
            why = f"its motion modules count to {most}."
            raise BadInput(f"this model cannot make {frames} frames.", why=why, fix=f"--frames {most}")
        # This class wants the words once for every frame.
        return super().predict(noisy_latents, timesteps, prompt_embeds.repeat_interleave(noisy_latents.shape[2], 0))


def _in_two(folder: Path) -> bool:
    return (folder / ADAPTER).is_dir()


def _described(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "config.json").read_text("utf-8"))
    return found
