"""The kernel of `chance.drop`; only that imports this file, because not every torch comes with Triton."""

import triton
import triton.language as tl
from torch import Tensor

BLOCK = 1024


def launch(
    x: Tensor, into: Tensor, seed: Tensor, stream: int, share: float, length: int, stride: int, first: int
) -> None:
    """Drop from `x`: entry i is at the place (i // length) · stride + first + i % length of the whole."""
    size = x.numel()
    if (size // length) * stride >= 2**31:
        raise ValueError(f"{tuple(x.shape)} is too large for one launch")
    below, salt = min(int(share * 2**32), 2**32 - 1), (stream * 0x9E3779B1) % 2**31
    whole = length == size and not first
    _drop[(triton.cdiv(size, BLOCK),)](
        x, into, seed, salt, below, 1 / (1 - share), size, length, stride, first, whole, BLOCK
    )


@triton.jit
def _mixed(h):  # type: ignore[no-untyped-def]
    """32 bits of which each hangs on all that came in (a finalizer of two multiplications)."""
    h ^= h >> 16
    h *= 0x7FEB352D
    h ^= h >> 15
    h *= 0x846CA68B
    h ^= h >> 16
    return h


@triton.jit(do_not_specialize=["salt", "below", "factor", "size", "length", "stride", "first"])  # type: ignore[untyped-decorator]
def _drop(  # type: ignore[no-untyped-def]
    x, into, seed, salt, below, factor, size, length, stride, first, WHOLE: tl.constexpr, BLOCK: tl.constexpr
):
    i = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    inside = i < size
    place = i if WHOLE else (i // length) * stride + first + i % length
    key = tl.load(seed)
    low, high = (key & 0xFFFFFFFF).to(tl.uint32), (key >> 32).to(tl.uint32)
    drawn = _mixed(_mixed(place.to(tl.uint32) ^ low) ^ high ^ salt.to(tl.uint32))
    value = tl.load(x + i, mask=inside, other=0.0).to(tl.float32)
    kept = tl.where(drawn >= below.to(tl.uint32), value * factor, 0.0)
    tl.store(into + i, kept.to(into.dtype.element_ty), mask=inside)
