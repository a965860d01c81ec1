"""The losses hold the identities that method.md, section 6, derives for them."""

import math

import pytest
import torch
from torch import Tensor

from mdctl.motion import objective

FRAMES = 5
BETAS = (0.0, 0.5, 1.0, 2.0)


@pytest.fixture
def residual() -> Tensor:
    """A residual of two clips, five frames each, in double precision."""
    return torch.randn(2, 3, FRAMES, 4, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


def close(found: Tensor, wanted: Tensor) -> bool:
    """Equal up to 1e-10."""
    return torch.allclose(found, wanted, rtol=0, atol=1e-10)


def over_anchors(residual: Tensor, beta: float) -> Tensor:
    """The debiased loss, averaged over all anchors."""
    return torch.stack([objective.debiased_loss(residual, anchor, beta) for anchor in range(residual.shape[2])]).mean()


def test_debias_is_equation_5(residual: Tensor) -> None:
    """Every frame becomes sqrt(beta² + 1) of itself less beta of the anchor."""
    found = objective.debias(residual, anchor=3, beta=2.0)
    for frame in range(FRAMES):
        wanted = math.sqrt(5) * residual[:, :, frame] - 2 * residual[:, :, 3]
        assert close(found[:, :, frame], wanted)


@pytest.mark.parametrize("anchor", range(FRAMES))
def test_without_debiasing_it_is_the_plain_error(residual: Tensor, anchor: int) -> None:
    """With beta = 0 the debiased loss is the mean squared error, whichever frame is the anchor."""
    assert close(objective.debiased_loss(residual, anchor, beta=0.0), residual.square().mean())


@pytest.mark.parametrize("beta", BETAS)
def test_one_frame_keeps_only_the_common_part(residual: Tensor, beta: float) -> None:
    """A single frame is its own anchor, so (alpha - beta)² of its error is left."""
    single = residual[:, :, [2]]
    wanted = (math.sqrt(beta**2 + 1) - beta) ** 2 * single.square().mean()
    assert close(objective.debiased_loss(single, 0, beta), wanted)
    assert close(objective.mean_debiased_loss(single, beta), wanted)


@pytest.mark.parametrize("beta", BETAS)
def test_an_error_common_to_all_frames_is_weighed_down(residual: Tensor, beta: float) -> None:
    """An error that no frame adds to, mostly look, counts (alpha - beta)² times."""
    constant = residual[:, :, [1]].expand(-1, -1, FRAMES, -1, -1)
    wanted = (math.sqrt(beta**2 + 1) - beta) ** 2 * constant.square().mean()
    for anchor in range(FRAMES):
        assert close(objective.debiased_loss(constant, anchor, beta), wanted)


@pytest.mark.parametrize("beta", BETAS)
def test_an_error_without_common_part_is_weighed_up(residual: Tensor, beta: float) -> None:
    """An error whose frames cancel out, mostly motion, counts 2 beta² + 1 times on average."""
    moving = residual - residual.mean(2, keepdim=True)
    assert close(over_anchors(moving, beta), (2 * beta**2 + 1) * moving.square().mean())


@pytest.mark.parametrize("beta", BETAS)
def test_the_closed_form_is_the_mean_over_anchors(residual: Tensor, beta: float) -> None:
    """`ad-mean` has the value and the gradient that `ad` has on average."""
    found, wanted = residual.clone().requires_grad_(), residual.clone().requires_grad_()
    closed, averaged = objective.mean_debiased_loss(found, beta), over_anchors(wanted, beta)
    closed.backward()
    averaged.backward()
    assert close(closed, averaged)
    assert found.grad is not None
    assert wanted.grad is not None
    assert close(found.grad, wanted.grad)


@pytest.mark.parametrize(("beta", "moving", "common"), [(0, 1, 1), (1, 3, 0.1716), (2, 9, 0.0557)])
def test_the_printed_weights(residual: Tensor, beta: float, moving: float, common: float) -> None:
    """The weights of the changing and the common part are those of the table in section 6."""
    mean = residual.mean(2, keepdim=True)
    expected = moving * (residual - mean).square().mean() + common * mean.square().mean()
    assert objective.mean_debiased_loss(residual, beta).item() == pytest.approx(expected.item(), abs=1e-4)


def test_debiasing_is_linear(residual: Tensor) -> None:
    """The debiased prediction less the debiased target is the debiased residual, so that residuals suffice."""
    target = torch.randn(residual.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    prediction = target + residual
    apart = objective.debias(prediction, 1) - objective.debias(target, 1)
    assert close(apart, objective.debias(residual, 1))


def test_the_order_of_frames_does_not_count(residual: Tensor) -> None:
    """The closed form is the same for frames in any order: order enters through the network alone."""
    mixed = residual[:, :, torch.tensor([3, 0, 4, 2, 1])]
    assert close(objective.mean_debiased_loss(mixed), objective.mean_debiased_loss(residual))


@pytest.mark.parametrize("beta", BETAS)
def test_debiasing_inverts_mixed_noise(residual: Tensor, beta: float) -> None:
    """From noise that was mixed out of a shared and an own part, debiasing with the shared part gives the own one."""
    shared = torch.randn(2, 3, 1, 4, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    mixed = (beta * shared + residual) / math.sqrt(beta**2 + 1)
    found = objective.debias(torch.cat([mixed, shared], dim=2), anchor=FRAMES, beta=beta)
    assert close(found[:, :, :FRAMES], residual)


def test_the_gradient_reaches_the_anchor(residual: Tensor) -> None:
    """The anchor frame is not detached: its gradient is the one that the whole formula has."""
    leaf = residual.clone().requires_grad_()
    objective.debiased_loss(leaf, anchor=2).backward()
    with torch.no_grad():
        debiased = objective.debias(residual, 2)
        wanted = 2 / debiased.numel() * math.sqrt(2) * debiased
        wanted[:, :, 2] -= 2 / debiased.numel() * debiased.sum(2)
    assert leaf.grad is not None
    assert close(leaf.grad, wanted)


def test_on_flow_models_a_noise_residual_fades() -> None:
    """The residual of the noise is (1 - sigma) of the velocity's, that of the clean latents -sigma of it."""
    chance = torch.Generator().manual_seed(3)
    clean, noise, velocity = torch.randn(3, 1, 2, FRAMES, 4, 4, dtype=torch.float64, generator=chance)
    for sigma in (0.1, 0.5, 0.9):
        noisy = (1 - sigma) * clean + sigma * noise
        residual = velocity - (noise - clean)
        assert close(noisy + (1 - sigma) * velocity - noise, (1 - sigma) * residual)
        assert close(noisy - sigma * velocity - clean, -sigma * residual)


def test_the_spatial_loss_is_the_plain_error(residual: Tensor) -> None:
    """One frame is judged by its mean squared error (equation 4)."""
    assert close(objective.spatial_loss(residual[:, :, [0]]), residual[:, :, 0].square().mean())


def test_the_temporal_loss_adds_both_terms(residual: Tensor) -> None:
    """Equation 7: the plain error plus the debiased one, both with weight 1."""
    plain = residual.square().mean()
    assert close(objective.temporal_loss(residual, 1), plain + objective.debiased_loss(residual, 1))
    assert close(objective.temporal_loss(residual, 1, 2.0), plain + objective.debiased_loss(residual, 1, 2.0))
    assert close(
        objective.temporal_loss(residual, 1, 2.0, "ad-mean"), plain + objective.mean_debiased_loss(residual, 2.0)
    )
    assert close(objective.temporal_loss(residual, 1, 2.0, "mse"), plain)
