"""The paper's losses as pure functions of residuals, `prediction - target`, of shape b c f h w.

Only residuals enter, so that the same code serves noise, velocity and flow prediction.
"""

import math
from typing import TypeAlias

from torch import Tensor

Anchor: TypeAlias = int | Tensor
"""The number of a frame, or a tensor of shape (1,) that holds it on the device."""


def debias(residual: Tensor, anchor: Anchor, beta: float = 1.0) -> Tensor:  # b c f h w → same
    """Take the look of the anchor frame out of every frame (MotionDirector, equation 5)."""
    still = residual.index_select(2, anchor) if isinstance(anchor, Tensor) else residual[:, :, anchor : anchor + 1]
    return math.sqrt(beta**2 + 1) * residual - beta * still


def spatial_loss(residual: Tensor) -> Tensor:  # b c 1 h w → scalar
    """Mean squared error of the one frame that was drawn (equation 4)."""
    return residual.square().mean()


def debiased_loss(residual: Tensor, anchor: Anchor, beta: float = 1.0) -> Tensor:
    """The appearance-debiased loss (equation 6): with beta = 0 it is the mean squared error."""
    return debias(residual, anchor, beta).square().mean()


def mean_debiased_loss(residual: Tensor, beta: float = 1.0) -> Tensor:
    """What `debiased_loss` is on average over all anchors, in closed form.

    With V the variance over frames and M the mean square of the frames' mean it is
    (2 beta² + 1) V + (sqrt(beta² + 1) - beta)² M.
    """
    mean = residual.mean(2, keepdim=True)
    variance = (residual - mean).square().mean()
    return (2 * beta**2 + 1) * variance + (math.sqrt(beta**2 + 1) - beta) ** 2 * mean.square().mean()


def temporal_loss(residual: Tensor, anchor: Anchor, beta: float = 1.0, objective: str = "ad") -> Tensor:
    """The loss of the temporal path (equation 7): plain error over all frames plus the debiased error.

    `objective` is `ad` (the paper), `ad-mean` (its closed form over all anchors) or `mse` (the paper's "without AD").
    """
    plain = residual.square().mean()
    if objective == "mse":
        return plain
    if objective == "ad-mean":
        return plain + mean_debiased_loss(residual, beta)
    return plain + debiased_loss(residual, anchor, beta)
