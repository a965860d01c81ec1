"""Chance, handed in: every draw is a function of (seed, stream, step), made on the CPU."""

from hashlib import blake2b

import torch
from torch import Tensor


def draw_seed(seed: int, stream: str, step: int = 0) -> int:
    """The number that starts one stream of chance at one step."""
    digest = blake2b(f"{seed}/{stream}/{step}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 1


def generator(seed: int, stream: str, step: int = 0) -> torch.Generator:
    """A source of chance for one use at one step, on the CPU, so that a seed means the same on every device."""
    return torch.Generator("cpu").manual_seed(draw_seed(seed, stream, step))


def uniform(seed: int, stream: str, step: int) -> float:
    """One number in [0, 1)."""
    return torch.rand((), generator=generator(seed, stream, step), dtype=torch.float64).item()


def uniform_int(seed: int, stream: str, step: int, below: int) -> int:
    """One whole number from 0 to `below` - 1."""
    return int(torch.randint(below, (), generator=generator(seed, stream, step)).item())


def normal(seed: int, stream: str, step: int, shape: tuple[int, ...]) -> Tensor:
    """Gaussian noise of this shape, float32 on the CPU."""
    return torch.randn(shape, generator=generator(seed, stream, step))


def permutation(seed: int, stream: str, step: int, size: int) -> list[int]:
    """The numbers from 0 to `size` - 1 in a drawn order."""
    order: list[int] = torch.randperm(size, generator=generator(seed, stream, step)).tolist()
    return order
