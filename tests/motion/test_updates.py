"""Updates that the device decides on: what is not finite is left out without the host being asked."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from tiny import tiny_samples, tiny_settings
from torch import Tensor, nn

from mdctl.motion import families, training
from mdctl.motion.backbone import Backbone
from mdctl.motion.training import Effort, begin, train
from mdctl.motion.updates import LossScale, apply


def fused(parameter: nn.Parameter) -> torch.optim.AdamW:
    """The optimizer of a GPU, whose kernel a CPU has too."""
    return torch.optim.AdamW([parameter], lr=0.1, weight_decay=0.01, fused=True)


def after(gradients: list[float], scale: LossScale | None = None) -> tuple[list[float], Tensor]:
    """The weight after each of these gradients, and the last moments' count of steps."""
    weight = nn.Parameter(torch.ones(1))
    optimizer, seen = fused(weight), []
    for gradient in gradients:
        weight.grad = torch.tensor([gradient])
        apply(optimizer, 1.0, scale)
        assert weight.grad is None
        seen.append(weight.item())
    return seen, optimizer.state[weight]["step"]


def test_the_device_leaves_out_what_is_not_finite() -> None:
    """A broken gradient changes neither weight nor moments nor their count, as if its step had not been."""
    whole, steps = after([0.5, 0.3])
    broken, counted = after([0.5, float("nan"), float("inf"), 0.3])
    assert broken == [whole[0]] * 3 + [whole[1]]
    assert steps == counted == 2


def test_a_fused_optimizer_learns_what_the_plain_one_does() -> None:
    """Clipping included, up to rounding."""
    weight = nn.Parameter(torch.ones(1))
    plain = torch.optim.AdamW([weight], lr=0.1, weight_decay=0.01)
    for gradient in (0.5, 30.0):
        weight.grad = torch.tensor([gradient])
        assert apply(plain, 1.0) is True
    assert after([0.5, 30.0])[0][-1] == pytest.approx(weight.item(), rel=1e-5)


def test_scaled_gradients_are_taken_back() -> None:
    """With a loss scale, gradients of so many times the size give the same update."""
    scale = LossScale.new(torch.device("cpu"), 1024.0)
    assert after([512.0, 307.2], scale)[0] == pytest.approx(after([0.5, 0.3])[0], rel=1e-5)


def test_the_scale_finds_itself() -> None:
    """It is halved by an overflow, doubled after so many whole steps, and never below 1."""
    scale = LossScale.new(torch.device("cpu"), 4.0)
    scale.settle([torch.tensor(True), torch.tensor(False)])
    assert float(scale.value) == 2.0
    for _ in range(LossScale.PATIENCE):
        scale.settle([True])
    assert (float(scale.value), int(scale.good)) == (4.0, 0)
    for _ in range(5):
        scale.settle([False])
    assert float(scale.value) == 1.0


@pytest.fixture
def fresh(tiny_model: Path) -> Callable[[], Backbone]:
    """The tiny model, as often as it is needed."""
    return lambda: families.load(tiny_model, torch.device("cpu"), torch.float32)


def test_reading_seldom_trains_the_same(fresh: Callable[[], Backbone], monkeypatch: pytest.MonkeyPatch) -> None:
    """Losses that are read every third step are those of that step, and the weights do not hang on it."""
    monkeypatch.setattr(training, "new_optimizer", lambda parameters, _: torch.optim.AdamW(parameters, fused=True))
    told, ends = [], []
    for every in (1, 3):
        backbone, settings = fresh(), tiny_settings(steps=6, spatial_mask=0.0)
        state = begin(backbone, 2, settings)
        told.append(
            list(train(backbone, state, tiny_samples(backbone), settings, Effort(joint=False, look_every=every)))
        )
        ends.append(state.copied("base", "ad")())
    assert ends[0] == ends[1]
    losses = [[step.temporal_loss for step in steps] for steps in told]
    assert [losses[1][place] for place in (0, 2, 5)] == [losses[0][place] for place in (0, 2, 5)]
    assert losses[1][1] == losses[1][0]


def test_a_base_in_sixteen_bits_teaches_adapters_in_thirty_two(tiny_model: Path) -> None:
    """In bf16 and in fp16 with its loss scale the adapters learn nearly what they learn from a base in fp32."""
    ends = {}
    for dtype in (torch.float32, torch.bfloat16, torch.float16):
        backbone = families.load(tiny_model, torch.device("cpu"), dtype)
        settings = tiny_settings(steps=3, spatial_mask=0.0, dropout=0.0, learning_rate=1e-2)
        samples = tiny_samples(backbone, 1)
        state = begin(backbone, 1, settings)
        assert (state.scale is not None) == (dtype == torch.float16)
        first = torch.cat([w.detach().flatten() for w in state.adapters.parameters("temporal")])
        steps = list(train(backbone, state, samples, settings, Effort(joint=True)))
        assert all(weight.dtype == torch.float32 for weight in state.adapters.parameters("temporal"))
        assert not any(step.skipped for step in steps)
        learned = torch.cat([w.detach().flatten() for w in state.adapters.parameters("temporal")]) - first
        ends[dtype] = learned
    for dtype in (torch.bfloat16, torch.float16):
        assert torch.cosine_similarity(ends[dtype], ends[torch.float32], dim=0) > 0.8


def test_the_loss_scale_is_saved_with_the_run(tiny_model: Path) -> None:
    """A run in float16 goes on with the scale it had."""
    backbone = families.load(tiny_model, torch.device("cpu"), torch.float16)
    state = begin(backbone, 1, tiny_settings())
    assert state.scale is not None
    state.scale.settle([False])
    record = state.record()
    state.scale = LossScale.new(backbone.device)
    state.restore(state.copied("base", "ad")(), record, "there")
    assert float(state.scale.value) == 2.0**15
