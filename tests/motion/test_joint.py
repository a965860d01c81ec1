"""The joint pass gives what the two readable ones give, and costs the same however many clips there are."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny import tiny_animatediff, tiny_samples, tiny_settings
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from mdctl.motion import families
from mdctl.motion.backbone import Backbone
from mdctl.motion.lora import TEMPORAL
from mdctl.motion.passes import Drawn, Pass, learn
from mdctl.motion.recompute import LEVELS, Level
from mdctl.motion.training import Effort, begin, train

FRAMES = 4
Fresh = Callable[[], Backbone]


@pytest.fixture(params=["unet3d", "animatediff", "animatediff-v2"], scope="module")
def folder(request: pytest.FixtureRequest, tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny model of each family; the second AnimateDiff has a motion module in its mid block."""
    if request.param == "unet3d":
        return tiny_model
    mid_block = request.param.endswith("v2")
    return tiny_animatediff(tmp_path_factory.mktemp("joint") / "model", mid_block=mid_block)


@pytest.fixture
def fresh(folder: Path) -> Fresh:
    """The model, in double precision, as often as it is needed."""

    def load() -> Backbone:
        backbone = families.load(folder, torch.device("cpu"), torch.float32)
        backbone.network.double()
        return backbone

    return load


def drawn(backbone: Backbone, number: int, clip: int = 0, masked: bool = False) -> Drawn:
    """A draw out of nothing, in double precision."""
    chance = torch.Generator().manual_seed(number)
    shape = backbone.latent_shape(FRAMES, 32, 32)
    noisy, target = (torch.randn(shape, generator=chance, dtype=torch.float64) for _ in range(2))
    embeds = backbone.embed(["a red square orbiting"]).double()
    return Drawn(clip, noisy, torch.tensor([100 + 150 * number]), target, embeds, number % FRAMES, 1, masked)


def learned(
    backbone: Backbone, draws: list[Drawn], joint: bool, level: Level | None = None
) -> tuple[dict[str, list[Tensor]], dict[str, Tensor]]:
    """Residuals by learner, and the gradients of every adapter, of one step without dropout."""
    settings = tiny_settings(dropout=0.0, batch=len(draws))
    if level:
        backbone.recompute(level)
    state = begin(backbone, 2, settings)
    backbone.network.double()
    for name in state.adapters.names:  # first weights of B are zero, and a look would speak to nobody
        for weight in state.adapters.parameters(name):
            torch.nn.init.normal_(weight, std=0.2, generator=torch.Generator().manual_seed(weight.numel()))
    seen: dict[str, list[Tensor]] = {}
    stock = Pass.residuals

    def residuals(self: Pass, backbone: Backbone) -> dict[str, Tensor]:
        found = stock(self, backbone)
        for name, residual in found.items():
            seen.setdefault(name, []).append(residual.detach())
        return found

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Pass, "residuals", residuals)
        learn(backbone, state.adapters, draws, settings, alone=False, joint=joint)
    grads = {
        name: torch.cat(
            [weight.grad.flatten() for weight in state.adapters.parameters(name) if weight.grad is not None]
        )
        for name in state.adapters.names
        if any(weight.grad is not None for weight in state.adapters.parameters(name))
    }
    return seen, grads


def test_one_pass_is_two(fresh: Fresh) -> None:
    """Predictions of clips and frames are those of two passes, and so are the gradients of all adapters.

    Two draws of one clip go through together, each with its own frame, beside a masked one and another clip's. Up to
    the last bits of a double: libraries sum in another order for another number of rows.
    """
    first, second = fresh(), fresh()
    how = [(0, 0, False), (3, 0, False), (1, 0, True), (2, 1, False)]
    draws = [drawn(first, number, clip, masked) for number, clip, masked in how]
    wanted, two = learned(first, draws, joint=False)
    found, one = learned(second, draws, joint=True)
    assert wanted.keys() == found.keys() == two.keys() == one.keys() == {TEMPORAL, "spatial_000", "spatial_001"}
    for name, gradient in two.items():
        for a, b in zip(wanted[name], found[name], strict=True):
            assert (a - b).abs().max() <= 1e-15 * a.abs().max()
        assert (one[name] - gradient).abs().max() <= 1e-12 * gradient.abs().max()


@pytest.mark.parametrize("level", LEVELS[1:])
def test_every_level_learns_the_same(fresh: Fresh, level: Level) -> None:
    """What is computed again in backward leaves the appended frame out there too."""
    first, second = fresh(), fresh()
    draws = [drawn(first, 2)]
    _, kept = learned(first, draws, joint=True)
    _, again = learned(second, draws, joint=True, level=level)
    assert all(torch.equal(again[name], gradient) for name, gradient in kept.items())


def test_one_pass_gives_the_losses_of_two(fresh: Fresh) -> None:
    """A run in either form has the same losses, with and without mask, in a run that learns looks alone at first."""
    told = []
    for joint in (False, True):
        backbone, settings = fresh(), tiny_settings(dropout=0.0, steps=4, spatial_first=0.25, spatial_mask=0.4)
        state = begin(backbone, 2, settings)
        steps = train(backbone, state, tiny_samples(backbone), settings, Effort(joint))
        told.append([(step.temporal_loss, step.spatial_loss) for step in steps])
    assert told[0][0][0] is None
    assert [[kind is None for kind in step] for step in told[0]] == [
        [kind is None for kind in step] for step in told[1]
    ]
    assert [kind or 0.0 for step in told[1] for kind in step] == pytest.approx(
        [kind or 0.0 for step in told[0] for kind in step], rel=1e-4
    )


@pytest.mark.parametrize("joint", [False, True])
def test_a_step_costs_the_same_however_many_clips_there_are(tiny_model: Path, joint: bool) -> None:
    """Only the drawn clip's adapter is executed: with four clips a step runs the operations of a step with one."""
    counts = []
    for clips in (1, 4):
        backbone = families.load(tiny_model, torch.device("cpu"), torch.float32)
        settings = tiny_settings(dropout=0.1)
        state = begin(backbone, clips, settings)
        with Counter() as counter:
            learn(backbone, state.adapters, [single(drawn(backbone, 2))], settings, alone=False, joint=joint)
        counts.append(counter.operations)
    assert counts[0] == counts[1]


def test_one_pass_has_fewer_operations(tiny_model: Path) -> None:
    """A quarter of the kernel launches of a step is gone."""
    counts = []
    for joint in (False, True):
        backbone = families.load(tiny_model, torch.device("cpu"), torch.float32)
        settings = tiny_settings(dropout=0.1)
        state = begin(backbone, 1, settings)
        with Counter() as counter:
            learn(backbone, state.adapters, [single(drawn(backbone, 2))], settings, alone=False, joint=joint)
        counts.append(counter.operations)
    assert counts[1] < 0.85 * counts[0]


def single(drawn: Drawn) -> Drawn:
    """The same in the precision of every day."""
    return replace(
        drawn,
        noisy_latents=drawn.noisy_latents.float(),
        target=drawn.target.float(),
        embeds=drawn.embeds.float(),
    )


class Counter(TorchDispatchMode):
    """Counts operations."""

    def __init__(self) -> None:
        super().__init__()
        self.operations = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Pass on one operation."""
        self.operations += 1
        return func(*args, **(kwargs or {}))
