"""One file for each family of base models; `load` is the only place that knows which."""

import json
from pathlib import Path

import torch
from safetensors import SafetensorError

from mdctl.errors import BadInput, Refused
from mdctl.motion.backbone import Backbone
from mdctl.motion.families.unet3d import PARTS, UNet3D


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


def _check(folder: Path) -> None:
    missing = [part for part in PARTS if not (folder / part).is_dir()]
    if missing:
        raise BadInput(
            f"{folder} is no text-to-video model that mdctl can load.",
            why=f"it has no folder {', '.join(missing)}.",
            fix=f"name a diffusers model folder with {', '.join(PARTS)}",
        )
    try:
        kind = json.loads((folder / "unet" / "config.json").read_text())["_class_name"]
    except (OSError, ValueError, KeyError, TypeError) as fault:
        raise BadInput(
            f"{folder} is no text-to-video model that mdctl can load.",
            why="unet/config.json cannot be read.",
            fix="get the model again",
        ) from fault
    if kind != "UNet3DConditionModel":
        raise BadInput(
            f"the U-Net in {folder} is a {kind}.",
            why="mdctl knows the family UNet3DConditionModel (starter, ZeroScope, ModelScope).",
            fix="mdctl models list",
        )
    if not any((folder / "unet").glob("*.safetensors")):
        raise Refused(
            f"{folder} holds no safetensors weights.",
            why="mdctl does not open pickled weights, which can run code.",
            fix="convert the model to safetensors, or choose a revision that has them",
        )
