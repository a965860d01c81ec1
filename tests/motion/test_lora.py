"""Adapters lie in the layers that method.md, section 2, counts, and speak only when they are asked to."""

import json
import struct
from pathlib import Path

import pytest
import torch
from diffusers import UNet3DConditionModel
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from tiny import tiny_unet
from torch import Tensor, nn

from mdctl.errors import BadInput, Refused
from mdctl.motion import families
from mdctl.motion.backbone import Backbone
from mdctl.motion.families.unet3d import LAYERS
from mdctl.motion.lora import TEMPORAL, Adapters, card_of, misfits, pack, read_tensors, spatial_name, widest_rank

NAMES = (TEMPORAL, "spatial_000", "spatial_001")
Inputs = tuple[Tensor, Tensor, Tensor]


@pytest.fixture(scope="module")
def large() -> Adapters:
    """One adapter of each kind in a U-Net of ZeroScope's size, which holds shapes and no numbers."""
    with torch.device("meta"):
        unet = UNet3DConditionModel()
    return Adapters(unet, LAYERS, dict.fromkeys(NAMES[:2], 32))


@pytest.fixture(scope="module")
def laid(tiny_model: Path) -> tuple[Backbone, Adapters]:
    """A tiny model with three adapters in it; loading and speaking leave it as it was."""
    backbone = families.load(tiny_model, torch.device("cpu"), torch.float32)
    return backbone, Adapters(backbone.network, backbone.layers, dict.fromkeys(NAMES, 2))


@pytest.fixture
def adapters(laid: tuple[Backbone, Adapters]) -> Adapters:
    """Freshly drawn adapters in the tiny model."""
    laid[1].draw(seed=0)
    return laid[1]


@pytest.fixture
def taught(adapters: Adapters) -> Adapters:
    """Adapters whose B is not zero any more."""
    chance = torch.Generator().manual_seed(1)
    for name in NAMES:
        for weight in adapters.parameters(name)[1::2]:
            weight.data.copy_(torch.randn(weight.shape, generator=chance) * 0.1)
    return adapters


@pytest.fixture
def question(laid: tuple[Backbone, Adapters]) -> Inputs:
    """Noisy latents of four frames, their timestep, and an embedded prompt."""
    latents = torch.randn(1, 4, 4, 4, 4, generator=torch.Generator().manual_seed(0))
    return latents, torch.tensor([500]), laid[0].embed(["a red square orbiting"])


@torch.no_grad()
def answer(laid: tuple[Backbone, Adapters], question: Inputs) -> Tensor:
    """What the tiny model predicts, as its adapters stand."""
    return laid[0].predict(*question)


def shapes(adapters: Adapters, name: str) -> dict[str, tuple[int, ...]]:
    """The weights' names and shapes, also of a network that holds no numbers."""
    branches = {id(weight): tuple(weight.shape) for weight in adapters.parameters(name)}
    weights = adapters.model.named_parameters()
    return {
        place.removeprefix("base_model.model."): branches[id(weight)]
        for place, weight in weights
        if id(weight) in branches
    }


# --- Where adapters lie.


@pytest.mark.parametrize(
    ("name", "layers", "parameters"), [("spatial_000", 96, 8_785_920), (TEMPORAL, 170, 12_472_320)]
)
def test_zeroscope_has_the_papers_numbers(large: Adapters, name: str, layers: int, parameters: int) -> None:
    """At rank 32 the spatial adapter has 9 million parameters in 96 layers, the temporal one 12 million in 170."""
    assert len(large.parameters(name)) == 2 * layers
    assert sum(weight.numel() for weight in large.parameters(name)) == parameters


def test_the_base_is_zeroscope(large: Adapters) -> None:
    """The U-Net around the adapters has as many parameters as ModelScope's and ZeroScope's."""
    own = sum(weight.numel() for name in large.names for weight in large.parameters(name))
    assert sum(weight.numel() for weight in large.model.parameters()) - own == 1_411_233_860


def test_spatial_and_temporal_layers_are_apart(large: Adapters) -> None:
    """No layer belongs to both sets; temporal ones lie in `temp_attentions` and in `transformer_in`."""
    spatial, temporal = (set(shapes(large, name)) for name in ("spatial_000", TEMPORAL))
    assert not spatial & temporal
    assert all(".attentions." in key for key in spatial)
    assert all(".temp_attentions." in key or key.startswith("transformer_in.") for key in temporal)


def test_the_first_temporal_transformer_is_adapted(large: Adapters) -> None:
    """`transformer_in` has ten adapted layers, as any temporal transformer."""
    keys = [key for key in shapes(large, TEMPORAL) if key.startswith("transformer_in.") and ".lora_A." in key]
    assert len(keys) == 10


def test_no_cross_attention_is_adapted(large: Adapters) -> None:
    """Whatever looks at the text, keys of the text's width above all, stays as it was."""
    weights = shapes(large, "spatial_000")
    assert not [key for key in weights if ".attn2." in key]
    assert not [key for name in large.names for key, shape in shapes(large, name).items() if 1024 in shape]


def test_the_order_is_the_official_one(large: Adapters) -> None:
    """Layers come as the official implementation writes them: in, down, up, and the middle last."""
    first_parts = [key.split(".")[0] for key in shapes(large, TEMPORAL)]
    assert list(dict.fromkeys(first_parts)) == ["transformer_in", "down_blocks", "up_blocks", "mid_block"]


def test_the_widest_rank_is_the_narrowest_layer() -> None:
    """No rank may exceed the narrowest adapted width: 320 in ZeroScope, 8 in the tiny model."""
    with torch.device("meta"):
        assert widest_rank(UNet3DConditionModel(), LAYERS) == 320
    assert widest_rank(tiny_unet(), LAYERS) == 8


def test_a_network_without_such_layers_is_refused() -> None:
    """A model in which nothing can be adapted is bad input, not an empty adapter."""
    with pytest.raises(BadInput, match="no layers"):
        widest_rank(nn.Sequential(nn.Linear(4, 4)), LAYERS)


def test_clips_are_numbered_by_name() -> None:
    """Names sort as numbers do."""
    assert [spatial_name(clip) for clip in (0, 2, 10, 123)] == [
        "spatial_000",
        "spatial_002",
        "spatial_010",
        "spatial_123",
    ]


# --- Who speaks.


def test_untrained_adapters_change_nothing(
    laid: tuple[Backbone, Adapters], adapters: Adapters, question: Inputs
) -> None:
    """B starts at zero, so adapters that speak before they learn leave the model as it was."""
    before = answer(laid, question)
    with adapters.speaking({TEMPORAL: 1.0, "spatial_000": 0.5}):
        assert torch.equal(answer(laid, question), before)


def test_silence_returns_after_speaking(laid: tuple[Backbone, Adapters], taught: Adapters, question: Inputs) -> None:
    """An adapter is heard inside the context and nowhere else, even if the context ends in an error."""
    before = answer(laid, question)
    with taught.speaking({TEMPORAL: 1.0}):
        spoken = answer(laid, question)
    assert not torch.equal(spoken, before)
    assert torch.equal(answer(laid, question), before)
    with pytest.raises(ZeroDivisionError), taught.speaking({"spatial_000": 1.0}, learning={"spatial_000"}):
        raise ZeroDivisionError
    assert torch.equal(answer(laid, question), before)
    assert not any(weight.requires_grad for weight in laid[0].network.parameters())


def test_strength_zero_is_the_base_model(laid: tuple[Backbone, Adapters], taught: Adapters, question: Inputs) -> None:
    """With gamma = 0 the prediction is the base model's, bit for bit."""
    before = answer(laid, question)
    with taught.speaking({TEMPORAL: 0.0, "spatial_000": 0.0}):
        assert torch.equal(answer(laid, question), before)


def test_layers_add_scaled_products(laid: tuple[Backbone, Adapters], taught: Adapters) -> None:
    """A layer answers W x plus gamma B A x for each adapter that speaks: alpha is the rank, nothing is averaged."""
    place = "down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q"
    layer = laid[0].network.get_submodule(place)
    x = torch.randn(3, 8, generator=torch.Generator().manual_seed(2))
    wanted = layer(x)
    for name, gamma in (("spatial_000", 0.5), ("spatial_001", 2.0)):
        weights = taught.tensors(name)
        a, b = weights[f"{place}.lora_A.weight"], weights[f"{place}.lora_B.weight"]
        wanted = wanted + gamma * x @ a.T @ b.T
    with taught.speaking({"spatial_000": 0.5, "spatial_001": 2.0, TEMPORAL: 1.0}):
        torch.testing.assert_close(layer(x), wanted)


def test_only_who_learns_gets_gradients(laid: tuple[Backbone, Adapters], taught: Adapters, question: Inputs) -> None:
    """The spatial adapter speaks frozen while the temporal one learns; nothing else has a gradient."""
    with taught.speaking({TEMPORAL: 1.0, "spatial_000": 1.0}, learning={TEMPORAL}):
        laid[0].predict(*question).square().mean().backward()
    learned = {id(weight) for weight in taught.parameters(TEMPORAL)}
    for weight in laid[0].network.parameters():
        assert (weight.grad is not None) == (id(weight) in learned)
        weight.grad = None


def test_an_unknown_speaker_is_an_error(adapters: Adapters) -> None:
    """Asking for an adapter that is not there is no silent nothing."""
    with pytest.raises(KeyError, match="spatial_007"), adapters.speaking({"spatial_007": 1.0}):
        pass
    with pytest.raises(KeyError, match="motion"), adapters.speaking({}, learning={"motion"}):
        pass


def test_first_weights_are_the_official_ones(adapters: Adapters) -> None:
    """A is drawn from N(0, 1/r²) by seed and name, B is zero."""
    a = torch.cat([weight.ravel() for weight in adapters.parameters(TEMPORAL)[::2]])
    assert abs(a.mean().item()) < 0.02
    assert abs(a.std().item() - 1 / adapters.ranks[TEMPORAL]) < 0.02
    assert not any(weight.any() for weight in adapters.parameters(TEMPORAL)[1::2])


def test_the_same_seed_draws_the_same(adapters: Adapters) -> None:
    """Weights are a function of seed and name; what was copied of them stays what it was."""
    copied = {name: adapters.tensors(name) for name in NAMES}
    adapters.draw(seed=0)
    torch.testing.assert_close({name: adapters.tensors(name) for name in NAMES}, copied, rtol=0, atol=0)
    files = [file_of(adapters, name, "base") for name in NAMES]
    assert files[1] != files[2]
    adapters.draw(seed=1)
    assert file_of(adapters, TEMPORAL, "base") != files[0]
    assert pack(copied[TEMPORAL], adapters.card(TEMPORAL, "base")) == files[0]


def test_adapters_of_a_half_precision_model_stay_in_float32(tiny_model: Path) -> None:
    """The base model may be bf16; what learns is fp32, and strength 0 still changes nothing."""
    backbone = families.load(tiny_model, torch.device("cpu"), torch.bfloat16)
    adapters = Adapters(backbone.network, backbone.layers, dict.fromkeys(NAMES[:2], 2))
    adapters.draw(seed=0)
    assert {weight.dtype for name in adapters.names for weight in adapters.parameters(name)} == {torch.float32}
    for weight in adapters.parameters(TEMPORAL):
        weight.data.add_(0.1)
    latents = torch.randn(1, 4, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    question = latents, torch.tensor([10]), backbone.embed(["a red square"])
    with torch.no_grad():
        before = backbone.predict(*question)
        with adapters.speaking({TEMPORAL: 0.0}):
            assert torch.equal(backbone.predict(*question), before)
        with adapters.speaking({TEMPORAL: 1.0}):
            assert not torch.equal(backbone.predict(*question), before)
    assert before.dtype == torch.float32
    with adapters.speaking({TEMPORAL: 1.0}, learning={TEMPORAL}):
        backbone.predict(*question).mean().backward()
    assert all(weight.grad is not None and weight.grad.isfinite().all() for weight in adapters.parameters(TEMPORAL))


# --- What lies in a file.


def test_a_file_gives_back_its_weights(taught: Adapters) -> None:
    """What was written is read, bit for bit, into another adapter of the same kind."""
    wanted = taught.tensors("spatial_000")
    taught.load("spatial_001", file_of(taught, "spatial_000", "base"), "there")
    found = taught.tensors("spatial_001")
    assert found.keys() == wanted.keys()
    assert all(torch.equal(found[key], wanted[key]) for key in wanted)


def file_of(adapters: Adapters, name: str, base: str, objective: str = "ad") -> bytes:
    """What a save keeps of one adapter."""
    return pack(adapters.tensors(name), adapters.card(name, base, objective))


def test_equal_weights_are_equal_files(taught: Adapters) -> None:
    """A file is a function of weights and card alone: it repeats, whoever holds the weights."""
    file = file_of(taught, "spatial_000", "base")
    assert all(file_of(taught, "spatial_000", "base") == file for _ in range(10))
    taught.load("spatial_001", file, "there")
    assert file_of(taught, "spatial_001", "base") == file
    assert file_of(taught, "spatial_000", "another") != file


def test_a_file_says_what_it_is(taught: Adapters) -> None:
    """Kind, rank, base, targets and objective stand in the file; one key of metadata holds them."""
    file = file_of(taught, TEMPORAL, "fingerprint", objective="mse")
    card = card_of(file, "there")
    assert (card.kind, card.rank, card.base, card.targets, card.objective) == (
        "temporal",
        2,
        "fingerprint",
        LAYERS.temporal,
        "mse",
    )
    assert card_of(file_of(taught, "spatial_001", "fingerprint"), "there").kind == "spatial"
    header = json.loads(file[8 : 8 + struct.unpack("<Q", file[:8])[0]])
    (record,) = header["__metadata__"].values()
    assert record == json.dumps(json.loads(record), sort_keys=True)


@pytest.mark.parametrize(
    "file",
    [
        b"",
        b"garbage",
        b"\xff" * 64,
        save_tensors({"a": torch.zeros(1)}),
        save_tensors({"a": torch.zeros(1)}, {"mdctl": "[]"}),
        save_tensors({"a": torch.zeros(1)}, {"mdctl": "{}"}),
        save_tensors({"a": torch.zeros(1)}, {"mdctl": "not json"}),
        save_tensors({"a": torch.zeros(1)}, {"mdctl": '{"kind": "temporal", "rank": "2", "base": "", "targets": ""}'}),
        save_tensors({"a": torch.zeros(1)}, {"mdctl": '{"kind": "other", "rank": 2, "base": "", "targets": ""}'}),
        save_tensors({"a": torch.zeros(1)}, {"mdctl": '{"kind": "spatial", "rank": 0, "base": "", "targets": ""}'}),
        save_tensors({"a": torch.zeros(1)}, {"mdctl": '{"kind": "spatial", "rank": 2, "base": 3, "targets": ""}'}),
        save_tensors({"a": torch.zeros(1)}, {"mdctl": "[" * 100_000}),
    ],
    ids=["empty", "garbage", "ones", "bare", "list", "blank", "no json", "rank", "kind", "no rank", "base", "deep"],
)
def test_a_file_that_does_not_say_what_it_is_is_refused(file: bytes) -> None:
    """Foreign or damaged records end in one sentence, not in a traceback."""
    with pytest.raises(Refused, match="there does not say what it is"):
        card_of(file, "there")


ENDLESS = b'{"a":{"dtype":"F32","shape":[0,4611686018427387904,4],"data_offsets":[0,0]}}'


@pytest.mark.parametrize(
    "file",
    [b"", b"garbage", b"\xff" * 64, b"\x02" + b"\0" * 7 + b"{}"[:1], len(ENDLESS).to_bytes(8, "little") + ENDLESS],
)
def test_what_is_no_safetensors_file_is_refused(file: bytes) -> None:
    """A file that cannot be read is named."""
    with pytest.raises(Refused, match="there is no readable safetensors file"):
        read_tensors(file, "there")


def test_all_misfits_are_told_in_one_error(taught: Adapters) -> None:
    """A missing tensor, a foreign one and a wrong shape are told at once, and nothing has been changed."""
    before = taught.tensors(TEMPORAL)
    tensors = load_tensors(file_of(taught, TEMPORAL, "base"))
    gone, misshapen, *_, last = tensors
    del tensors[gone]
    tensors[misshapen] = torch.zeros(3, 5)
    tensors[last] = tensors[last] + 1
    tensors["unet.foreign.weight"] = torch.zeros(1)
    with pytest.raises(Refused) as caught:
        taught.load(TEMPORAL, save_tensors(tensors), "there")
    assert f"no {gone}" in caught.value.why
    assert "no place for unet.foreign.weight" in caught.value.why
    assert f"{misshapen} is (3, 5), not" in caught.value.why
    assert caught.value.code == "MD-LORA-MISFIT"
    assert all(torch.equal(before[key], found) for key, found in taught.tensors(TEMPORAL).items())


def test_an_adapter_of_another_kind_is_refused(taught: Adapters) -> None:
    """A spatial file does not go where a temporal one belongs; its many misfits are counted."""
    with pytest.raises(Refused) as caught:
        taught.load(TEMPORAL, file_of(taught, "spatial_000", "base"), "there")
    misfits = len(taught.parameters(TEMPORAL)) + len(taught.parameters("spatial_000"))
    assert caught.value.why.endswith(f"and {misfits - 3} more misfits")


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), float("-inf")])
def test_numbers_that_are_not_finite_are_refused(taught: Adapters, bad: float) -> None:
    """One such number in one tensor is enough, and its tensor is named."""
    tensors = load_tensors(file_of(taught, TEMPORAL, "base"))
    key = sorted(tensors)[5]
    tensors[key][0, 0] = bad
    with pytest.raises(Refused) as caught:
        taught.load(TEMPORAL, save_tensors(tensors), "there")
    assert caught.value.why == f"{key} holds numbers that are not finite"


def test_what_is_no_matrix_is_a_misfit() -> None:
    """A tensor of any other shape, in a layer that is there, is told and breaks nothing."""
    network = nn.ModuleDict({"layer": nn.Linear(4, 3)})
    for shape, told in (((4,), "is no matrix"), ((), "is no matrix"), ((2, 5), "takes 4 and not 5"), ((2, 4), "")):
        found = misfits(save_tensors({"layer.lora_A.weight": torch.zeros(shape)}), "it", network, 2)
        assert [told in fault for fault in found] == [True] * bool(told)


def test_a_rank_that_no_weight_has_is_a_misfit() -> None:
    """Else the room for it would be asked of the computer; a file without weights has no rank to compare."""
    network = nn.ModuleDict({"layer": nn.Linear(4, 3)})
    file = save_tensors({"layer.lora_A.weight": torch.zeros(2, 4), "layer.lora_B.weight": torch.zeros(3, 2)})
    assert misfits(file, "it", network, 2) == []
    assert len(misfits(file, "it", network, 10**12)) == 2
    assert misfits(save_tensors({}), "it", network, 10**12) == ["it holds no weights"]
