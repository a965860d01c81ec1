"""Weights onto a device in a number format: read as they are stored, moved, and only there converted.

A GPU converts a network of gigabytes in no time, and a CPU takes longer for it than for all else before the first step.
"""

from pathlib import Path

import torch
from safetensors import safe_open
from torch import nn

_STORED = {"F16": torch.float16, "BF16": torch.bfloat16, "F32": torch.float32, "F64": torch.float64}


def stored(*folders: Path) -> torch.dtype | None:
    """The one number format of all weights in these folders; None where there is not one, or another kind of number.

    `OSError` and `SafetensorError` for files that cannot be opened.
    """
    found = set[str]()
    for file in (file for folder in folders for file in sorted(folder.glob("*.safetensors"))):
        with safe_open(file, "pt") as weights:
            found |= {weights.get_slice(name).get_dtype() for name in weights.keys()}  # noqa: SIM118 - no mapping
    return _STORED.get(found.pop()) if len(found) == 1 else None


def place(part: nn.Module, device: torch.device, dtype: torch.dtype) -> None:
    """Bring a part of a model to its device, weight by weight, and then into its number format; whole numbers stay."""
    for module in part.modules():
        for weight in (*module.parameters(recurse=False), *module.buffers(recurse=False)):
            there = weight.data.to(device)  # in one call with the format, torch would convert it before it goes
            weight.data = there.to(dtype) if there.is_floating_point() else there
