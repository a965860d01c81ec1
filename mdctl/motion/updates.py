"""Optimizers of adapters: clip, step, and leave out what is not finite, without waiting for a device that can tell."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from mdctl.settings import TrainSettings

Verdict = bool | Tensor
"""Whether an update was finite and was applied; a tensor where only the device knows yet."""


def new_optimizer(parameters: Sequence[nn.Parameter], settings: TrainSettings) -> torch.optim.AdamW:
    """The optimizer of one adapter: in one kernel on a GPU, which there also leaves out what is not finite."""
    assert settings.weight_decay is not None
    return torch.optim.AdamW(
        parameters,
        lr=settings.learning_rate,
        betas=(0.9, 0.999),
        eps=1e-8,
        weight_decay=settings.weight_decay,
        fused=parameters[0].device.type == "cuda" or None,
    )


@dataclass
class LossScale:
    """By how much losses are multiplied, so that small gradients do not vanish in float16; it finds itself.

    Half of it after an overflow, twice of it after `PATIENCE` steps without one; both are told to the device alone.
    """

    value: Tensor
    good: Tensor
    """Steps in a row without an overflow."""

    PATIENCE = 1000

    @classmethod
    def new(cls, device: torch.device, value: float = 2.0**16, good: int = 0) -> "LossScale":
        """The scale that a run begins or goes on with."""
        return cls(torch.tensor(value, device=device), torch.tensor(good, device=device))

    def settle(self, finite: Sequence[Verdict]) -> None:
        """Take in whether the updates of a step were finite."""
        whole = torch.stack([torch.as_tensor(one, device=self.value.device) for one in finite]).all()
        good = torch.where(whole, self.good + 1, 0)
        grown = good >= self.PATIENCE
        self.value = torch.where(whole, torch.where(grown, self.value * 2, self.value), self.value / 2).clamp(1, 2**24)
        self.good = torch.where(grown, 0, good)


def apply(optimizer: torch.optim.AdamW, max_norm: float, scale: LossScale | None = None) -> Verdict:
    """Clip the gradients and step, unless they are not finite; they are gone afterwards."""
    (group,) = optimizer.param_groups
    parameters: list[nn.Parameter] = group["params"]
    if scale is not None:
        torch._foreach_div_([p.grad for p in parameters if p.grad is not None], scale.value)
    norm = torch.nn.utils.clip_grad_norm_(parameters, max_norm)
    finite: Verdict
    if group["fused"]:
        finite = norm.isfinite()
        optimizer.found_inf = (~finite).float()  # type: ignore[attr-defined]
        optimizer.step()
    elif finite := bool(norm.isfinite()):
        optimizer.step()
    optimizer.zero_grad()
    return finite
