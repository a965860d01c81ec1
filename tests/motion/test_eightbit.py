"""A base model in 8 bits: near the wide one, small, frozen, good to learn on, and never chosen by itself."""

from pathlib import Path
from typing import Any

import pytest
import torch
from tiny import tiny_animatediff, tiny_samples, tiny_settings
from torch import Tensor, nn

from mdctl.errors import Refused
from mdctl.motion import device as machine
from mdctl.motion import eightbit, families, plan, training
from mdctl.motion.backbone import Backbone
from mdctl.motion.lora import TEMPORAL, Adapters, card_of, pack
from mdctl.motion.passes import draw, learn
from mdctl.motion.recompute import LEVELS
from mdctl.motion.updates import apply
from mdctl.settings import Shape, TrainSettings

CPU = torch.device("cpu")


@pytest.fixture
def narrow(tiny_model: Path) -> Backbone:
    """The tiny model in 8 bits."""
    return families.in_precision(tiny_model, CPU, "int8")


def layers() -> list[tuple[nn.Module, Tensor]]:
    """One layer of each kind, with what it is asked."""
    torch.manual_seed(0)
    return [
        (nn.Linear(24, 10), torch.randn(2, 3, 24)),
        (nn.Linear(24, 10, bias=False), torch.randn(4, 24)),
        (nn.Conv2d(6, 8, 3, stride=2, padding=1), torch.randn(2, 6, 9, 7)),
        (nn.Conv2d(6, 8, 1), torch.randn(2, 6, 4, 4)),
        (nn.Conv3d(6, 8, (3, 1, 1), padding=(1, 0, 0)), torch.randn(2, 6, 5, 4, 3)),
    ]


@pytest.mark.parametrize("kind", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("number", range(5))
def test_weights_are_off_by_half_a_step_at_most(number: int, kind: torch.dtype) -> None:
    """Of a channel with no weights at all too; the answer is near the wide layer's, and its gradient flows back."""
    layer, x = layers()[number]
    layer.to(kind)
    weight = layer.weight
    assert isinstance(weight, nn.Parameter)
    weight.data[3] = 0
    wide, wanted = weight.detach().float().clone(), layer(x.to(kind)).detach().float()
    house = nn.Sequential(layer)
    eightbit.narrow(house)
    assert eightbit.is_narrow(house)
    assert not [name for name, _ in house.named_parameters() if name.endswith("weight")]
    rounded: Any = layer
    assert rounded.weight.dtype == torch.int8
    step = rounded.step.float()
    assert ((rounded.weight.float() * step - wide).abs() <= 0.505 * step).all()

    x = x.to(kind).requires_grad_()
    answer = house(x)
    assert (answer.float() - wanted).norm() < 0.02 * wanted.norm()
    answer.float().square().sum().backward()
    plain: Any = layers()[number][0].to(kind)
    plain.weight.data, again = (rounded.weight.float() * step).to(kind), x.detach().requires_grad_()
    if plain.bias is not None:
        plain.bias.data = rounded.bias.data
    plain(again).float().square().sum().backward()
    assert x.grad is not None
    assert again.grad is not None
    torch.testing.assert_close(x.grad, again.grad, rtol=3e-2, atol=3e-2 if kind == torch.bfloat16 else 1e-5)


def test_nothing_wide_is_kept_for_backward() -> None:
    """Between forward and backward there are only the 8 bits, which were there before."""
    house = nn.Sequential(nn.Linear(256, 256))
    eightbit.narrow(house)
    x = torch.randn(2, 256, requires_grad=True)
    with plan.Meter() as meter:
        answer = house(x)
        assert meter.now == answer.nbytes
    assert answer.requires_grad


@torch.no_grad()
def test_the_model_answers_nearly_the_same(tiny_model: Path, narrow: Backbone) -> None:
    """Its weights take a quarter of those in float32, apart from norms and the edges; it stays a frozen network."""
    wide = families.load(tiny_model, CPU, torch.float32)
    noisy, embeds = torch.randn(1, 4, 4, 4, 4, generator=torch.Generator().manual_seed(0)), wide.embed(["a red square"])
    wanted, found = (model.predict(noisy, torch.tensor([500]), embeds) for model in (wide, narrow))
    assert 0 < (found - wanted).norm() < 0.05 * wanted.norm()
    assert not any(weight.requires_grad for weight in narrow.network.parameters())
    sizes = [sum(w.nbytes for w in (*model.network.parameters(), *model.network.buffers())) for model in (wide, narrow)]
    assert sizes[1] < 0.45 * sizes[0]


def test_animatediff_too(tmp_path: Path) -> None:
    """The other family has the same kinds of layers."""
    model = families.in_precision(tiny_animatediff(tmp_path / "model"), CPU, "int8")
    state = training.begin(model, 1, tiny_settings(steps=1))
    (step,) = training.train(model, state, tiny_samples(model, 1), tiny_settings(steps=1))
    assert not step.skipped


SETTINGS = tiny_settings(dropout=0.0, learning_rate=1e-2, spatial_mask=0.0)


def test_adapters_learn_on_it(narrow: Backbone) -> None:
    """The loss of a draw falls, adapters and their moments stay in float32, and no weight of the base model moves."""
    before = [(buffer, buffer.clone()) for buffer in narrow.network.buffers()]
    state = training.begin(narrow, 1, SETTINGS)
    drawn = draw(narrow, tiny_samples(narrow, 1), SETTINGS, 1)
    losses = []
    for _ in range(12):
        found = learn(narrow, state.adapters, [drawn], SETTINGS, alone=False, joint=True)
        losses.append(float(found[TEMPORAL][0]))
        assert all(apply(optimizer, 1.0) for optimizer in state.optimizers.values())
    assert losses[-1] < 0.9 * losses[0]
    assert all(torch.equal(buffer, copy) for buffer, copy in before)
    moments = [value for one in state.optimizers.values() for held in one.state.values() for value in held.values()]
    assert {value.dtype for value in (*moments, *state.adapters.parameters(TEMPORAL))} == {torch.float32}


def test_recomputing_gives_the_same_gradients(narrow: Backbone) -> None:
    """From the top of the ladder to its end."""
    state = training.begin(narrow, 1, SETTINGS)
    drawn = draw(narrow, tiny_samples(narrow, 1), SETTINGS, 1)
    wanted: list[Tensor | None] = []
    for level in LEVELS:
        narrow.recompute(level)
        learn(narrow, state.adapters, [drawn], SETTINGS, alone=False, joint=True)
        found = [weight.grad for weight in state.adapters.parameters(TEMPORAL)]
        wanted = wanted or found
        assert all(grad is not None for grad in found)
        torch.testing.assert_close(found, wanted, rtol=1e-3, atol=1e-5)
        for optimizer in state.optimizers.values():
            optimizer.zero_grad()


def test_what_was_learned_on_it_says_so(tiny_model: Path, narrow: Backbone) -> None:
    """The file of an adapter names it; that of one from the wide model is what it always was, to the byte."""
    files = []
    for model in (narrow, families.load(tiny_model, CPU, torch.float32)):
        adapters = Adapters(model.network, model.layers, {TEMPORAL: 2})
        adapters.draw(0)
        files.append(pack(adapters.tensors(TEMPORAL), adapters.card(TEMPORAL, "f" * 32)))
    assert [card_of(file, "it").base_precision for file in files] == ["int8", ""]
    assert b"base_precision" in files[0]
    assert b"base_precision" not in files[1]


def test_nothing_is_merged_into_it(narrow: Backbone) -> None:
    """Its steps are coarser than what an adapter adds; that is refused in words."""
    adapters = Adapters(narrow.network, narrow.layers, {TEMPORAL: 2})
    with pytest.raises(Refused, match="8 bits"), adapters.merged({TEMPORAL: 1.0}):
        pass


def test_it_is_never_what_auto_means(monkeypatch: pytest.MonkeyPatch) -> None:
    """On no device; and it computes in what `auto` means there."""
    for can in (True, False):
        monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation, can=can: can)
        for kind in ("cpu", "cuda"):
            device = torch.device(kind)
            usual = machine.choose_precision("auto", device)
            assert usual != machine.EIGHT_BIT
            assert machine.dtype(machine.EIGHT_BIT, device) == machine.DTYPES[usual]


def test_zeroscope_takes_much_less() -> None:
    """A step on 8 frames of 256x256 with everything recomputed: the base model's 2.8 GB become 1.4."""
    shape, settings = Shape(8, 8, 256, 256), TrainSettings(rank=32)
    wide, narrow = (
        plan.footprint(families.shadow(None, eight_bit=eight_bit), shape, settings, 1, "full")
        for eight_bit in (False, True)
    )
    assert wide.weights - narrow.weights > 1.39e9
    assert narrow.adapters == wide.adapters
    assert narrow.activations < wide.activations + 0.2e9
    assert narrow.peak < wide.peak - 1.2e9
    assert narrow.peak + plan.OVERHEAD < 3.6e9
