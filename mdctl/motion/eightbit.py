"""A frozen network whose weights are kept in 8 bits: half the memory of 16, and another network, if a near one.

Every output channel has a step of its own, a 127th of its largest weight. Weights are widened where they are used and
again in backward, so that nothing wide is kept between the two. Adapters stay as they are.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd import Function
from torch.autograd.function import once_differentiable
from torch.nn import functional
from torch.nn import grad as gradients

LARGEST = 127

EDGES = ("conv_in", "conv_out")
"""Layers that stay wide: all that goes in or out passes them, and they are small."""


def narrow(network: nn.Module) -> None:
    """Round all weights of linear layers and convolutions, in place, but for the first and the last layer."""
    for name, module in network.named_modules():
        if type(module) in _KINDS and name not in EDGES:
            weight = module._parameters.pop("weight")
            assert weight is not None
            rounded, step = _rounded(weight.detach())
            module.register_buffer("weight", rounded)
            module.register_buffer("step", step)
            module.__class__ = _KINDS[type(module)]


def is_narrow(network: nn.Module) -> bool:
    """Whether `narrow` has been at a network."""
    return any(isinstance(module, tuple(_KINDS.values())) for module in network.modules())


def _rounded(weight: Tensor) -> tuple[Tensor, Tensor]:
    """Whole numbers, and by how much they are to be multiplied."""
    largest = weight.float().flatten(1).abs().amax(1)
    # In the number format of the network, so that it is multiplied by what the weights were divided by.
    step = (largest / LARGEST).clamp_min(torch.finfo(weight.dtype).tiny).to(weight.dtype)
    step = step.view(-1, *[1] * (weight.dim() - 1))
    return (weight.float() / step.float()).round_().clamp_(-LARGEST, LARGEST).to(torch.int8), step


def _wide(weight: Tensor, step: Tensor, dtype: torch.dtype) -> Tensor:
    return weight.to(dtype).mul_(step.to(dtype))


class _Linear(nn.Linear):
    step: Tensor

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 - callers name it
        answer: Tensor = _Multiplied.apply(input, self.weight, self.step, self.bias)  # type: ignore[no-untyped-call]
        return answer


class _Conv2d(nn.Conv2d):
    step: Tensor

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 - callers name it
        return _convolved(self, input, functional.conv2d, gradients.conv2d_input)


class _Conv3d(nn.Conv3d):
    step: Tensor

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 - callers name it
        return _convolved(self, input, functional.conv3d, gradients.conv3d_input)


_KINDS: dict[type[nn.Module], type[nn.Module]] = {nn.Linear: _Linear, nn.Conv2d: _Conv2d, nn.Conv3d: _Conv3d}
"""What becomes of a layer."""


def _convolved(layer: Any, x: Tensor, forth: Callable[..., Tensor], back: Callable[..., Tensor]) -> Tensor:
    how = layer.stride, layer.padding, layer.dilation, layer.groups
    answer: Tensor = _Convolved.apply(x, layer.weight, layer.step, layer.bias, how, forth, back)  # type: ignore[no-untyped-call]
    return answer


class _Multiplied(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, step: Tensor, bias: Tensor | None) -> Tensor:
        ctx.save_for_backward(weight, step)
        return functional.linear(x, _wide(weight, step, x.dtype), bias)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        weight, step = ctx.saved_tensors
        return grad @ _wide(weight, step, grad.dtype), None, None, None


class _Convolved(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, step: Tensor, bias: Tensor | None, how: Any, forth: Any,
                back: Any) -> Tensor:  # fmt: skip
        ctx.save_for_backward(weight, step)
        ctx.shape, ctx.how, ctx.back = x.shape, how, back
        answer: Tensor = forth(x, _wide(weight, step, x.dtype), bias, *how)
        return answer

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        weight, step = ctx.saved_tensors
        return ctx.back(ctx.shape, _wide(weight, step, grad.dtype), grad, *ctx.how), None, None, None, None, None, None
