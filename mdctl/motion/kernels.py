"""Pieces of a network whose backward pass is written by hand, because it can keep less than torch would."""

from functools import cache
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd import Function
from torch.autograd.function import once_differentiable
from torch.nn import functional

from mdctl.motion.chance import Chance, drop


def add_low_rank(
    answer: Tensor,
    x: Tensor,
    a: Tensor,
    b: Tensor,
    scale: float,
    dropout: float = 0.0,
    last_of: int | None = None,
    chance: Chance | None = None,
) -> Tensor:
    """A layer's answer to `x`, and to it added in place what an adapter adds, `scale · B·A·dropout(x)`.

    Computed in the number format of `x`; x is … k, A r k, B d r, and the answer a table n d: autograd copies all of it
    where it is only another look at one. With `last_of` n the
    adapter learns from the last of every n entries along the first axis alone, as if it were frozen for the others.
    What is kept for backward is the input itself, which several layers share, and the rank-wide product; of an adapter
    that does not learn, neither. Dropout keeps a mask too, unless it has its own `chance`.
    """
    total: Tensor = _LowRank.apply(answer, x, a, b, scale, dropout, last_of, chance)  # type: ignore[no-untyped-call]
    return total


class _LowRank(Function):
    @staticmethod
    def forward(
        ctx: Any,
        answer: Tensor,
        x: Tensor,
        a: Tensor,
        b: Tensor,
        scale: float,
        dropout: float,
        last_of: int | None,
        chance: Chance | None,
    ) -> Tensor:
        low_a, low_b = a.to(x.dtype), b.to(x.dtype)
        ctx.chance, ctx.dropout = chance if dropout else None, dropout
        if chance and dropout:
            kept, factor, dropped = None, 1.0, drop(x.contiguous(), dropout, chance)
        else:
            kept, factor = _mask(x, dropout)
            dropped = _drop(x, kept, factor)
        inner = functional.linear(dropped, low_a)
        learns = ctx.needs_input_grad[2] or ctx.needs_input_grad[3]
        ctx.scale, ctx.factor, ctx.last_of, ctx.dtype, ctx.lead = scale, factor, last_of, a.dtype, x.shape[:-1]
        seen, product = (_last(x, last_of), _last(inner, last_of)) if learns else (None, None)
        if seen is not None and last_of is not None:
            seen = seen.clone()  # a view would keep all of it alive
        ctx.save_for_backward(low_a, low_b, kept, seen, product)
        # The sum comes out of the product itself: it is rounded once, and nothing else as wide is there with it.
        torch.addmm(answer, inner.flatten(0, -2), low_b.T, alpha=scale, out=answer)
        ctx.mark_dirty(answer)
        return answer

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        a, b, kept, x, inner = ctx.saved_tensors
        through, grad = grad, (grad if ctx.scale == 1 else grad * ctx.scale).unflatten(0, ctx.lead)
        grad_inner = grad @ b
        grad_a = grad_b = None
        if x is not None:
            if ctx.chance:
                dropped = drop(x.contiguous(), ctx.dropout, ctx.chance, ctx.last_of)
            else:
                dropped = _drop(x, None if kept is None else _last(kept, ctx.last_of), ctx.factor)
            grad_a = _outer(_last(grad_inner, ctx.last_of), dropped, ctx.dtype)
            grad_b = _outer(_last(grad, ctx.last_of), inner, ctx.dtype)
            del dropped  # as wide as what comes now
        grad_x = grad_inner @ a if ctx.needs_input_grad[1] else None
        if grad_x is not None and ctx.chance:
            grad_x = drop(grad_x.contiguous(), ctx.dropout, ctx.chance, in_place=True)
        elif grad_x is not None and kept is not None:
            grad_x.mul_(kept).mul_(ctx.factor)
        return through, grad_x, grad_a, grad_b, None, None, None, None


def _mask(x: Tensor, dropout: float) -> tuple[Tensor | None, float]:
    """Which entries stay, and by how much they grow: a quarter of the bytes of the product that torch would keep."""
    if not dropout:
        return None, 1.0
    return torch.empty_like(x, dtype=torch.bool).bernoulli_(1 - dropout), _growth(dropout, x.dtype)


@cache
def _growth(dropout: float, dtype: torch.dtype) -> float:
    # In single precision divided as torch does it on a CPU, for the same last bits there.
    return torch.ones((), dtype=dtype).div_(1 - dropout).item() if dtype == torch.float32 else 1 / (1 - dropout)


def _drop(x: Tensor, kept: Tensor | None, factor: float) -> Tensor:
    return x if kept is None else (x * kept).mul_(factor)


def _last(x: Tensor, of: int | None) -> Tensor:
    return x if of is None else x.unflatten(0, (-1, of))[:, -1]


def _outer(grad: Tensor, x: Tensor, dtype: torch.dtype) -> Tensor:
    grad, x = grad.flatten(0, -2), x.flatten(0, -2)
    if grad.dtype == dtype:
        return (x.T @ grad).T  # in the order of autograd, for the same last bits
    return (grad.T @ x).to(dtype)  # the weights are kept in float32, and so are their gradients


def norm_silu(x: Tensor, norm: nn.GroupNorm) -> Tensor:
    """A frozen group norm and SiLU after it; the normed values are computed again in backward instead of kept."""
    answer: Tensor = _NormSilu.apply(x, norm.weight, norm.bias, norm.num_groups, norm.eps)  # type: ignore[no-untyped-call]
    return answer


class _NormSilu(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, groups: int, eps: float) -> Tensor:
        ctx.shape = (x.shape[0], x.shape[1], x[0, 0].numel(), groups)
        normed, mean, deviation = torch.ops.aten.native_group_norm(x.contiguous(), weight, bias, *ctx.shape, eps)
        ctx.eps = eps
        ctx.save_for_backward(x, weight, bias, mean, deviation)
        return functional.silu(normed)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, bias, mean, deviation = ctx.saved_tensors
        x = x.contiguous()
        normed = torch.ops.aten.native_group_norm(x, weight, bias, *ctx.shape, ctx.eps)[0]
        grad = torch.ops.aten.silu_backward(grad, normed)
        wanted = [True, False, False]
        found = torch.ops.aten.native_group_norm_backward(grad, x, mean, deviation, weight, *ctx.shape, wanted)
        return found[0], None, None, None, None


def gated(x: Tensor) -> Tensor:
    """GEGLU: the first half times GELU of the second; only the input is kept for backward, which uses it up."""
    answer: Tensor = _Gated.apply(x)  # type: ignore[no-untyped-call]
    return answer


class _Gated(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        hidden, gate = x.chunk(2, -1)
        return hidden * functional.gelu(gate)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        x: Tensor = ctx.saved_tensors[0]
        hidden, gate = x.chunk(2, -1)
        grad_gelu = grad * hidden
        # The gradient takes the place of the input, which nobody reads any more; autograd would say if somebody did.
        torch.mul(grad, functional.gelu(gate), out=hidden)
        gate.copy_(torch.ops.aten.gelu_backward(grad_gelu, gate))
        return x
