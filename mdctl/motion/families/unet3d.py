"""UNet3D in the diffusers folder layout: starter, ZeroScope and ModelScope."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from diffusers import UNet3DConditionModel
from diffusers.models.resnet import TemporalConvLayer
from diffusers.models.transformers.transformer_temporal import TransformerTemporalModel
from torch import nn

from mdctl.motion.families.latent import GIVEN, LatentVideo, layers_with

LAYERS = layers_with(r"(transformer_in|.*\.temp_attentions\.\d+)")


class UNet3D(LatentVideo):
    """A base model of this family, frozen."""

    layers = LAYERS

    @classmethod
    def load_network(cls, folder: Path, dtype: torch.dtype) -> Any:
        """The U-Net of the model in this folder."""
        return UNet3DConditionModel.from_pretrained(folder / "unet", torch_dtype=dtype, **GIVEN)

    @classmethod
    def blueprint(cls, folder: Path | None) -> nn.Module:
        """The U-Net without weights; without a folder that of ZeroScope and ModelScope, the default of its class."""
        description = json.loads((folder / "unet" / "config.json").read_text("utf-8")) if folder else {}
        with torch.device("meta"):
            unet: nn.Module = UNet3DConditionModel.from_config(description)
        return unet

    @staticmethod
    def temporal_parts(network: nn.Module) -> Iterable[nn.Module]:
        """Temporal convolutions and transformers."""
        return [part for part in network.modules() if isinstance(part, TemporalConvLayer | TransformerTemporalModel)]
