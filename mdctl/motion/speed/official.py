"""The official implementation itself, from a checkout that the user has: its U-Net and its adapters, nothing else.

Only its folder `models` and its file `utils/lora.py` are imported; the training script never is.
"""

import importlib
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import nn

from mdctl.errors import BadInput
from mdctl.motion.speed.contenders import Official

FILES = ("models/unet_3d_condition.py", "models/unet_3d_blocks.py", "utils/lora.py", "MotionDirector_train.py")
MOVED = {
    "diffusers.models.transformer_2d": "diffusers.models.transformers.transformer_2d",
    "diffusers.models.transformer_temporal": "diffusers.models.transformers.transformer_temporal",
}
"""Modules that have another place in today's diffusers."""


def require(folder: Path) -> None:
    """Refuse a folder that is not the official code."""
    if missing := [name for name in FILES if not (folder / name).is_file()]:
        raise BadInput(
            f"{folder} is not the official implementation.",
            why=f"it has no {', '.join(missing)}.",
            fix="give a checkout of MotionDirector, or leave --official out: a twin of its pattern is measured then",
        )


@contextmanager
def _imported(folder: Path) -> Iterator[tuple[Any, Any]]:
    """Its network and its adapters as modules; names that others may want are free again afterwards."""
    taken = {name: sys.modules.pop(name) for name in list(sys.modules) if name.split(".")[0] in ("models", "utils")}
    aliases = [name for name in MOVED if name not in sys.modules]
    sys.modules.update({name: importlib.import_module(MOVED[name]) for name in aliases})
    sys.path.insert(0, str(folder))
    kept = sys.dont_write_bytecode
    sys.dont_write_bytecode = True  # the user's checkout stays as it is
    try:
        yield importlib.import_module("models.unet_3d_condition"), importlib.import_module("utils.lora")
    except ImportError as fault:
        fix = "leave --official out: a twin of its pattern is measured then"
        raise BadInput(f"the official code in {folder} cannot be imported.", why=str(fault), fix=fix) from fault
    finally:
        sys.dont_write_bytecode = kept
        sys.path.remove(str(folder))
        for name in [name for name in sys.modules if name.split(".")[0] in ("models", "utils")] + aliases:
            del sys.modules[name]
        sys.modules.update(taken)


class Original(Official):
    """The step of the official code, on its own network and with its own adapters."""

    def __init__(self, folder: Path, network: nn.Module, clips: int, *, dropout: float = 0.1, rank: int = 32) -> None:
        require(folder)
        config: Any = network.config
        with _imported(folder) as (unets, lora), torch.device(next(network.parameters()).device):
            known = {key: value for key, value in config.items() if not key.startswith("_")}
            unet = unets.UNet3DConditionModel.from_config(known)
            unet.load_state_dict(network.state_dict())
            unet.requires_grad_(False)
            unet._set_gradient_checkpointing(value=True)
            give = lora.inject_trainable_lora_extended
            one = [*give(unet, {"TransformerTemporalModel"}, r=rank, dropout_p=dropout)[0]]
            looks = [[*give(unet, {"Transformer2DModel"}, r=rank, dropout_p=dropout)[0]] for _ in range(clips)]
            self._find: Callable[..., list[Any]] = lora.extract_lora_child_module
        self.clips, self.network = clips, unet.train()
        self.device = next(unet.parameters()).device
        self.temporal_optimizer, *self.spatial_optimizers = [_adam(group) for group in (one, *looks)]

    def set_scales(self, kind: str, scale: Callable[[int], float]) -> None:
        """By its own search."""
        for number, one in enumerate(self._find(self.network, target_replace_module=[kind])):
            one.scale = scale(number)


def _adam(groups: list[Any]) -> torch.optim.AdamW:
    return torch.optim.AdamW([weight for group in groups for weight in group], lr=5e-4, weight_decay=1e-2)
