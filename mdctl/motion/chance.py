"""Dropout that keeps no mask: whether an entry stays is a function of a seed, a stream and its place alone.

So backward finds again what forward has left out, also where a layer is computed twice, and a recorded step reads its
seed from the device. It needs Triton; without it a mask is drawn by torch and kept.
"""

from functools import cache
from typing import NamedTuple

import torch
from torch import Tensor


class Chance(NamedTuple):
    """Where chance comes from."""

    seed: Tensor
    """int64 of shape (1,), on the device."""

    stream: int
    """Another one is other chance from the same seed."""


def usable(device: torch.device) -> bool:
    """Whether it works on this device; the meta device counts as the GPU that it stands for."""
    return device.type in ("cuda", "meta") and torch.cuda.is_available() and _works()


@cache
def _works() -> bool:
    """Whether a first kernel runs: Triton may be missing, or a compiler that it asks for."""
    x = torch.ones(64, device="cuda")
    try:
        drop(x, 0.5, Chance(torch.zeros(1, dtype=torch.int64, device="cuda"), 0))
    except Exception:  # noqa: BLE001 - whatever it is, torch can do without
        return False
    return True


def drop(x: Tensor, share: float, chance: Chance, last_of: int | None = None, *, in_place: bool = False) -> Tensor:
    """`x` without about this share of its entries, the rest grown so that the mean stays; x is contiguous.

    With `last_of` n, x is the last of every n entries along the first axis of what was dropped from before.
    """
    if x.device.type == "meta":
        return x if in_place else torch.empty_like(x)
    from mdctl.motion.triton_drop import launch

    size = x.numel()
    length = x[0].numel() if last_of else size
    stride, first = (length * last_of, length * (last_of - 1)) if last_of else (size, 0)
    into = x if in_place else torch.empty_like(x)
    launch(x, into, chance.seed, chance.stream, share, length, stride, first)
    return into
