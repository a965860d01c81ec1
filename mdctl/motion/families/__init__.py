"""One file for each family of base models; `load` is the only place that knows which."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from torch import nn

from mdctl.errors import BadInput, Refused
from mdctl.motion import device as machine
from mdctl.motion import eightbit, lora
from mdctl.motion.backbone import Backbone, Layers
from mdctl.motion.families.animatediff import AnimateDiff
from mdctl.motion.families.latent import LatentVideo
from mdctl.motion.families.unet3d import UNet3D
from mdctl.motion.schedule import Schedule

FAMILIES: dict[str, type[LatentVideo]] = {"unet3d": UNet3D, "animatediff": AnimateDiff}
"""By the name that a model card gives."""

CLASSES: dict[str, type[LatentVideo]] = {
    "UNet3DConditionModel": UNet3D,
    "UNetMotionModel": AnimateDiff,
    "UNet2DConditionModel": AnimateDiff,  # with a motion adapter beside it
}
"""By the class that a model folder's U-Net says it is."""

DESCRIPTIONS = ("unet/config.json", "vae/config.json", "text_encoder/config.json", "scheduler/scheduler_config.json")


def in_precision(folder: Path, device: torch.device, precision: str) -> Backbone:
    """The model in this folder as one of `settings.PRECISIONS` but `auto` has it."""
    eight_bit = {"eight_bit": True} if precision == machine.EIGHT_BIT else {}
    return load(folder, device, machine.dtype(precision, device), **eight_bit)


def load(folder: Path, device: torch.device, dtype: torch.dtype, eight_bit: bool = False) -> Backbone:
    """The model in this folder, frozen, on this device; with `eight_bit` the weights of its network are rounded."""
    family = _family(folder)
    _check(folder, family)
    try:
        return family.load(folder, device, dtype, eight_bit)
    except torch.OutOfMemoryError:
        raise  # the model is whole; it is the device that is too small
    except (OSError, ValueError, KeyError, TypeError, RuntimeError, SafetensorError) as fault:
        raise Refused(
            f"the model in {folder} cannot be loaded.",
            why=next(iter(str(fault).splitlines()), type(fault).__name__),
            fix="get the model again, or name another folder with --model",
        ) from fault


def blueprint(folder: Path | None, family: str = "unet3d") -> nn.Module:
    """The network of the model in this folder without its weights: names and shapes alone.

    Without a folder it is the usual one of a family.
    """
    return (_family(folder) if folder else FAMILIES[family]).blueprint(folder)


def shadow(
    folder: Path | None, family: str = "unet3d", dtype: torch.dtype = torch.bfloat16, eight_bit: bool = False
) -> Backbone:
    """The model in this folder on a device without memory: it computes shapes, and can neither read nor see."""
    kind = _family(folder) if folder else FAMILIES[family]
    network = nn.Module.to(kind.blueprint(folder), dtype)
    if eight_bit:
        eightbit.narrow(network)
    blind: Any = nn.Module()
    return kind(network, blind, blind, None, kind.load_schedule(folder) if folder else Schedule({}))


def layers(folder: Path) -> Layers:
    """Which layers of the model in this folder adapters are laid into."""
    return _family(folder).layers


@dataclass(frozen=True)
class Anatomy:
    """How large a model is, and what adapters of one rank take in it."""

    parameters: int
    rank: int
    spatial_layers: int
    spatial_parameters: int
    temporal_layers: int
    temporal_parameters: int


def anatomy(folder: Path | None, family: str = "unet3d", rank: int | None = None) -> Anatomy:
    """Counts from the configuration alone; without a rank, that of training: 32, or the narrowest adapted layer."""
    network, layers = blueprint(folder, family), (_family(folder) if folder else FAMILIES[family]).layers
    rank = rank or min(32, lora.widest_rank(network, layers))
    spatial, temporal = (lora.extent(network, pattern, rank) for pattern in (layers.spatial, layers.temporal))
    own = sum(weight.numel() for weight in network.parameters())
    return Anatomy(own, rank, *spatial, *temporal)


def _family(folder: Path) -> type[LatentVideo]:
    if not (folder / "unet").is_dir():
        raise _no_model(folder, "it has no folder unet.")
    kind = _described(folder, "unet/config.json").get("_class_name", "model of no class")
    family = CLASSES.get(kind) if isinstance(kind, str) else None
    if family is None or (kind == "UNet2DConditionModel" and not (folder / "motion_adapter").is_dir()):
        alone = " without a motion adapter" if family else ""
        raise BadInput(
            f"the U-Net in {folder} is a {kind}{alone}.",
            why="mdctl knows UNet3DConditionModel (starter, ZeroScope, ModelScope) and AnimateDiff's UNetMotionModel.",
            fix="put a motion adapter into its folder motion_adapter" if family else "mdctl models list",
        )
    return family


def _check(folder: Path, family: type[LatentVideo]) -> None:
    if missing := [part for part in family.parts if not (folder / part).is_dir()]:
        raise _no_model(folder, f"it has no folder {', '.join(missing)}.")
    for file in DESCRIPTIONS:
        _described(folder, file)
    weighty = ["unet", "vae", "text_encoder", *(["motion_adapter"] if (folder / "motion_adapter").is_dir() else [])]
    for part in weighty:
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
    return BadInput(what, why=why, fix=f"name a diffusers model folder with {', '.join(UNet3D.parts)}")
