"""Several draws a step are learned as their mean."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from tiny import tiny_samples, tiny_settings
from torch import Tensor

from mdctl.motion import families, training
from mdctl.motion.backbone import Backbone
from mdctl.motion.passes import draw
from mdctl.motion.training import begin, train
from mdctl.settings import TrainSettings


@pytest.fixture
def fresh(tiny_model: Path) -> Callable[[], Backbone]:
    """The tiny model, as often as it is needed."""
    return lambda: families.load(tiny_model, torch.device("cpu"), torch.float32)


@pytest.mark.parametrize("masked", [0.0, 1.0])
@pytest.mark.parametrize("shared", [False, True])
def test_a_batch_is_the_mean_of_its_draws(
    fresh: Callable[[], Backbone], monkeypatch: pytest.MonkeyPatch, shared: bool, masked: float
) -> None:
    """Losses and gradients of one step of four draws are the means over four steps of one, by whatever adapters.

    Two draws are of each clip: where each has a look of its own, they go through the model in groups.
    """
    settings = tiny_settings(spatial_mask=masked, dropout=0.0, steps=4, shared_spatial=shared)

    def learned(settings: TrainSettings) -> tuple[dict[str, Tensor], float, float]:
        backbone, gradients = fresh(), dict[str, Tensor]()
        samples = tiny_samples(backbone)
        state = begin(backbone, len(samples), settings)
        for name in state.adapters.names:  # first weights are zero, and a look would speak to nobody
            for weight in state.adapters.parameters(name):
                weight.data.add_(0.05)

        def keep(optimizer: torch.optim.AdamW, *_: object) -> bool:
            name = next(name for name, one in state.optimizers.items() if one is optimizer)
            parts = [p.grad.flatten() for p in state.adapters.parameters(name) if p.grad is not None]
            gradients[name] = gradients.get(name, torch.zeros(())) + torch.cat(parts)
            optimizer.zero_grad()
            return True

        monkeypatch.setattr(training, "apply", keep)
        steps = list(train(backbone, state, samples, settings))
        sums = [sum(step.temporal_loss or 0 for step in steps), sum(step.spatial_loss or 0 for step in steps)]
        return gradients, *sums

    ones, *losses = learned(settings)
    batch, *together = learned(replace(settings, batch=4, steps=1))
    assert batch.keys() == ones.keys()
    for name, gradient in ones.items():
        torch.testing.assert_close(4 * batch[name], gradient, rtol=1e-3, atol=1e-5)
    assert [4 * loss for loss in together] == pytest.approx(losses, rel=1e-4)


def test_a_look_is_left_out_of_whole_steps(fresh: Callable[[], Backbone]) -> None:
    """All draws of a step are with the look or all without it, so that they go through the model together."""
    backbone = fresh()
    samples, settings = tiny_samples(backbone), tiny_settings(spatial_mask=0.4, batch=3)
    masked = [draw(backbone, samples, settings, number).masked for number in range(1, 61)]
    steps = [set(masked[first : first + 3]) for first in range(0, 60, 3)]
    assert all(len(step) == 1 for step in steps)
    assert 4 <= sum(step == {True} for step in steps) <= 14
