"""One file for each family of base models; `load` is the only place that knows which."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from torch import nn

from mdctl.errors import BadInput, Refused
from mdctl.motion import lora
from mdctl.motion.backbone import Backbone
from mdctl.motion.families.unet3d import LAYERS, PARTS, UNet3D

DESCRIPTIONS = ("unet/config.json", "vae/config.json", "text_encoder/config.json", "scheduler/scheduler_config.json")


def load(folder: Path, device: torch.device, dtype: torch.dtype) -> Backbone:
    """The model in this folder, frozen, on this device."""
    _check(folder)
    try:
        return UNet3D.load(folder, device, dtype)
    except torch.OutOfMemoryError:
        raise  # the model is whole; it is the device that is too small
    except (OSError, ValueError, KeyError, TypeError, RuntimeError, SafetensorError) as fault:
        raise Refused(
            f"the model in {folder} cannot be loaded.",
            why=next(iter(str(fault).splitlines()), type(fault).__name__),
            fix="get the model again, or name another folder with --model",
        ) from fault


def blueprint(folder: Path | None) -> nn.Module:
    """The network of the model in this folder without its weights: names and shapes alone.

    Without a folder it is that of ZeroScope and ModelScope, which the class has as its default.
    """
    network: nn.Module = UNet3D.blueprint(_described(folder, "unet/config.json") if folder else {})
    return network


@dataclass(frozen=True)
class Anatomy:
    """How large a model is, and what adapters of one rank take in it."""

    parameters: int
    rank: int
    spatial_layers: int
    spatial_parameters: int
    temporal_layers: int
    temporal_parameters: int


def anatomy(folder: Path | None, rank: int | None = None) -> Anatomy:
    """Counts from the configuration alone; without a rank, that of training: 32, or the narrowest adapted layer."""
    network = blueprint(folder)
    rank = rank or min(32, lora.widest_rank(network, LAYERS))
    spatial, temporal = (lora.extent(network, pattern, rank) for pattern in (LAYERS.spatial, LAYERS.temporal))
    own = sum(weight.numel() for weight in network.parameters())
    return Anatomy(own, rank, *spatial, *temporal)


def _check(folder: Path) -> None:
    if missing := [part for part in PARTS if not (folder / part).is_dir()]:
        raise _no_model(folder, f"it has no folder {', '.join(missing)}.")
    described = {file: _described(folder, file) for file in DESCRIPTIONS}
    kind = described["unet/config.json"].get("_class_name", "model of no class")
    if kind != "UNet3DConditionModel":
        raise BadInput(
            f"the U-Net in {folder} is a {kind}.",
            why="mdctl knows the family UNet3DConditionModel (starter, ZeroScope, ModelScope).",
            fix="mdctl models list",
        )
    for part in ("unet", "vae", "text_encoder"):
        if not any((folder / part).glob("*.safetensors")):
            raise Refused(
                f"{folder / part} holds no safetensors weights.",
                why="mdctl does not open pickled weights, which can run code.",
                fix="convert the model to safetensors, or choose a revision that has them",
            )


def _described(folder: Path, file: str) -> dict[str, Any]:
    try:
        found = json.loads((folder / file).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        found = None
    if not isinstance(found, dict):
        raise _no_model(folder, f"{file} cannot be read.")
    return found


def _no_model(folder: Path, why: str) -> BadInput:
    what = f"{folder} is no text-to-video model that mdctl can load."
    return BadInput(what, why=why, fix=f"name a diffusers model folder with {', '.join(PARTS)}")
