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

from mdctl.motion.backbone import Layers
from mdctl.motion.families.latent import GIVEN, LatentVideo

LAYERS = Layers(
    spatial=r".*\.attentions\.\d+\.transformer_blocks\.\d+\.(attn1\.(to_q|to_k|to_v|to_out\.0)|ff\.net\.(0\.proj|2))",
    temporal=(
        r"(transformer_in|.*\.temp_attentions\.\d+)\.transformer_blocks\.\d+\."
        r"((attn1|attn2)\.(to_q|to_k|to_v|to_out\.0)|ff\.net\.(0\.proj|2))"
    ),
)
"""Spatial blocks' `attn2` looks at the text and is never adapted; temporal blocks' is a second self-attention."""


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
