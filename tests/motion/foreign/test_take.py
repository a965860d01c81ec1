"""Adapters that other programs wrote come in whole or not at all."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from foreigners import LOOK, RANK, Taken, answer, card, model_of
from safetensors.torch import load, save
from tiny import tiny_folder
from torch import Tensor, nn

from mdctl.errors import BadInput, NotFound, Refused
from mdctl.motion import exchange, families, foreign
from mdctl.motion.lora import COUPLED, TEMPORAL, Adapters, card_of, pack


@pytest.mark.parametrize(
    ("name", "to"),
    [(TEMPORAL, "diffusers"), (LOOK, "diffusers"), (LOOK, "kohya"), (TEMPORAL, "comfyui"), (LOOK, "comfyui")],
)
def test_there_and_back(
    network: nn.Module, files: dict[str, bytes], written: Callable[[str, str], Path], name: str, to: str
) -> None:
    """What was written for another program comes in again as the same bytes."""
    found = foreign.adapter(foreign.read(written(name, to)), network, families.animatediff.LAYERS)
    assert pack(found.tensors, card_of(files[name], name)) == files[name]
    assert (found.rank, found.left_out, len(set(found.layers))) == (RANK, (), 1)


@pytest.mark.parametrize("name", [TEMPORAL, LOOK])
def test_peft_and_our_own_come_in(network: nn.Module, files: dict[str, bytes], tmp_path: Path, name: str) -> None:
    """A folder of peft, the weights in it alone, and a file out of a save: the same bytes."""
    for file, content in exchange.to_peft(files[name], name).items():
        (tmp_path / file).write_bytes(content)
    (tmp_path / "own.safetensors").write_bytes(files[name])
    for path in (tmp_path, tmp_path / "adapter_model.safetensors", tmp_path / "own.safetensors"):
        found = foreign.read(path)
        adapter = foreign.adapter(found, network, families.animatediff.LAYERS)
        assert pack(adapter.tensors, card_of(files[name], name)) == files[name]
        assert (found.card and found.card.base) == ("f" * 32 if path.name == "own.safetensors" else None)


LAYER = "down_blocks.0.motion_modules.0.transformer_blocks.0"
PLACE = "down_blocks.0.attentions.0.transformer_blocks.0"
ORIGINAL = "down_blocks.0.motion_modules.0.temporal_transformer.transformer_blocks.0"


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        (f"{LAYER}.attn2.to_k.lora_#.weight", "attn2.to_k"),
        (f"base_model.model.{LAYER}.attn1.to_out.0.lora_#.weight", "attn1.to_out.0"),
        (f"{LAYER}.attn1.to_q.lora_#.default.weight", "attn1.to_q"),
        (f"unet.{LAYER}.attn1.processor.to_out_lora.@.weight", "attn1.to_out.0"),
        (f"unet.{LAYER}.attn1.to_v.lora.@.weight", "attn1.to_v"),
        (f"{ORIGINAL}.attention_blocks.0.processor.to_q_lora.@.weight", "attn1.to_q"),
        (f"{ORIGINAL}.attention_blocks.1.processor.to_out_lora.@.weight", "attn2.to_out.0"),
        (f"{ORIGINAL}.attention_blocks.1.to_out.processor.0_lora.@.weight", "attn2.to_out.0"),
        (f"module.{ORIGINAL}.ff.net.0.processor.proj_lora.@.weight", "ff.net.0.proj"),
        (f"{ORIGINAL}.ff.net.processor.2_lora.@.weight", "ff.net.2"),
        (f"{PLACE}.attn1.processor.to_out_lora.@.weight", "attn1.to_out.0"),
        (f"{PLACE}.attn1.processor.to_q_lora.@.weight", "attn1.to_q"),
        (f"{PLACE}.ff.net.0.proj_lora.@.weight", "ff.net.0.proj"),
        (f"{PLACE}.ff.net.2_lora.@.weight", "ff.net.2"),
        (f"lora_unet_{PLACE.replace('.', '_')}_attn1_to_out_0.lora_@.weight", "attn1.to_out.0"),
        (f"lora_unet_{PLACE.replace('.', '_')}_ff_net_0_proj.lora_@.weight", "ff.net.0.proj"),
    ],
)
def test_spellings(network: nn.Module, taken: Taken, theirs: str, ours: str) -> None:
    """The same layer in many names, MotionDirector's odd ones too (their order of words slipped in its save)."""
    kind = TEMPORAL if "motion_modules" in theirs else "spatial"
    layer = f"{LAYER if kind == TEMPORAL else PLACE}.{ours}"
    host = network.get_submodule(layer)
    down, up = torch.randn(2, host.in_features), torch.randn(host.out_features, 2)
    names = {"A": theirs.replace("#", "A").replace("@", "down"), "B": theirs.replace("#", "B").replace("@", "up")}
    found = taken({names["A"]: down, names["B"]: up}, {"model_type": "motion_director"})
    assert (found.kind, found.rank, found.layers) == (kind, 2, (1, 120 if kind == TEMPORAL else 60))
    assert torch.equal(found.tensors[f"{layer}.lora_A.weight"], down)
    assert torch.equal(found.tensors[f"{layer}.lora_B.weight"], up)
    assert sum(bool(tensor.any()) for tensor in found.tensors.values()) == 2


def pair(network: nn.Module, layer: str, rank: int = 2, form: str = "lora_{}.weight") -> dict[str, Tensor]:
    """One layer's two ways, of ones."""
    host = network.get_submodule(layer.removeprefix("unet."))
    ones = torch.ones(rank, host.in_features), torch.ones(host.out_features, rank)
    return {f"{layer}.{form.format(half)}": tensor for half, tensor in zip("AB", ones, strict=True)}


def test_layers_that_are_not_there_say_nothing(folder: Path, network: nn.Module, taken: Taken) -> None:
    """A file with one layer loads as an adapter, and does what that layer does."""
    found = taken(pair(network, f"{LAYER}.attn1.to_q"))
    model = model_of(folder)
    adapters = Adapters(model.network, model.layers, {TEMPORAL: 2})
    adapters.load(TEMPORAL, pack(found.tensors, card(2)), "here")
    with adapters.speaking({TEMPORAL: 1.0}):
        spoken = answer(model)
    assert not torch.equal(spoken, answer(model))
    with torch.no_grad():
        host = model.network.get_submodule(f"{LAYER}.attn1.to_q").base_layer
        host.weight += 2.0
    torch.testing.assert_close(answer(model), spoken)


def test_alpha_becomes_the_rank(network: nn.Module, taken: Taken, tmp_path: Path) -> None:
    """Alpha / rank is folded into the way up, wherever alpha is said: in a tensor, in a file, in a folder."""
    up, layer = f"{PLACE}.attn1.to_q.lora_B.weight", f"{PLACE}.attn1.to_q"
    kohya = f"lora_unet_{PLACE.replace('.', '_')}_attn1_to_q"
    halves = list(pair(network, layer).values())
    given = {f"{kohya}.lora_down.weight": halves[0], f"{kohya}.lora_up.weight": halves[1]}
    for alpha in (torch.tensor(1.0), torch.tensor([1.0], dtype=torch.float16)):
        assert taken({**given, f"{kohya}.alpha": alpha}).tensors[up].unique().tolist() == [0.5]
    assert taken(given).tensors[up].unique().tolist() == [1.0]
    settings = {"unet.r": 2, "unet.lora_alpha": 8, "unet.alpha_pattern": {}}
    told = {"lora_adapter_metadata": json.dumps(settings)}
    assert taken(pair(network, f"unet.{layer}"), told).tensors[up].unique().tolist() == [4.0]
    for change, wanted in (({}, 3.0), ({"use_rslora": True}, 6 / 2**0.5), ({"alpha_pattern": {"x": 1}}, None)):
        (tmp_path / "adapter_model.safetensors").write_bytes(save(pair(network, layer)))
        config = {"r": 2, "lora_alpha": 6, **change}
        (tmp_path / "adapter_config.json").write_text(json.dumps(config))
        for path in (tmp_path, tmp_path / "adapter_model.safetensors"):  # the file alone has its settings beside it
            if wanted:
                found = foreign.adapter(foreign.read(path), network, families.animatediff.LAYERS)
                torch.testing.assert_close(found.tensors[up].unique().tolist(), [wanted])
            else:
                with pytest.raises(Refused) as caught:
                    foreign.read(path)
                assert "alpha differs between layers" in caught.value.why
    for broken in ("{", "[]", '{"lora_alpha": "x"}', '{"lora_alpha": 1' + "0" * 400 + "}", "[" * 100_000):
        (tmp_path / "adapter_config.json").write_text(broken)
        with pytest.raises(Refused, match="is not taken"):
            foreign.read(tmp_path)
    with pytest.raises(NotFound):
        foreign.read(tmp_path / "none.safetensors")


@pytest.mark.parametrize("settings", [{}, {"r": 64}, {"r": 2, "rank_pattern": {"to_q": 4}}])
def test_rslora_takes_the_rank_of_the_weights(network: nn.Module, taken: Taken, settings: dict[str, object]) -> None:
    """Alpha is divided by the root of the rank that a layer has, whatever rank the settings say, or none."""
    told = {"lora_adapter_metadata": json.dumps({"lora_alpha": 6, "use_rslora": True, **settings})}
    found = taken(pair(network, f"{PLACE}.attn1.to_q", rank=4), told)
    assert found.tensors[f"{PLACE}.attn1.to_q.lora_B.weight"].unique().tolist() == [3.0]


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        ({"use_dora": True}, "it is a DoRA"),
        ({"peft_type": "LOHA"}, "it is LOHA and not a LoRA"),
        ({"peft_type": ["LORA"]}, "not a LoRA"),
        *(({"init_lora_weights": start}, f"it began with {start}") for start in ("pissa_niter_16", "olora", "corda")),
        ({"peft_type": "LORA", "use_dora": False, "init_lora_weights": True}, ""),
        ({"init_lora_weights": "gaussian"}, ""),
        ({"init_lora_weights": "eva"}, ""),
    ],
)
def test_settings_of_other_methods(network: nn.Module, taken: Taken, settings: dict[str, object], why: str) -> None:
    """Weights that mean something only beside a changed base model, or with more than they hold, are refused."""
    tensors, told = pair(network, f"{PLACE}.attn1.to_q"), {"lora_adapter_metadata": json.dumps(settings)}
    if not why:
        assert taken(tensors, told).rank == 2
        return
    with pytest.raises(Refused) as caught:
        taken(tensors, told)
    assert why in caught.value.why


def test_what_has_no_place_is_listed(network: nn.Module, taken: Taken) -> None:
    """Words, layers of text and convolutions are left out by name; halves and other precisions come in as float32."""
    extra = {
        "lora_te_text_model_encoder_layers_0_mlp_fc1.lora_up.weight": torch.ones(3, 2),
        f"unet.{PLACE}.attn2.to_k.lora_A.weight": torch.ones(2, 16),
        "down_blocks.0.attentions.0.proj_in_lora.down.weight": torch.ones(2, 8, 1, 1),
    }
    good = {key: tensor.bfloat16() for key, tensor in pair(network, f"{LAYER}.attn1.to_q").items()}
    found = taken(good | extra)
    assert set(found.left_out) == set(extra)
    assert {tensor.dtype for tensor in found.tensors.values()} == {torch.float32}


def test_both_kinds_in_one_file(files: dict[str, bytes], taken: Taken) -> None:
    """Which part is wanted has to be told; the other is left out by name, and a part that is not there is refused."""
    both = load(files[COUPLED])
    with pytest.raises(BadInput) as caught:
        taken(both)
    assert caught.value.fix == ("--as motion", "--as appearance")
    found = taken(both, kind=TEMPORAL)
    assert (found.kind, found.layers, len(found.left_out)) == (TEMPORAL, (120, 120), 120)
    with pytest.raises(BadInput, match="no spatial layers"):
        taken(load(files[TEMPORAL]), kind="spatial")


def changed(**changes: Tensor | None) -> Callable[[dict[str, Tensor]], dict[str, Tensor]]:
    """A file of one layer, in which some parts are others or not there."""

    def change(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        first = f"{LAYER}.attn1.to_q.lora_"
        new = tensors | {f"{first}{part}.weight": value for part, value in changes.items()}
        return {key: value for key, value in new.items() if value is not None}

    return change


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (changed(A=torch.ones(3, 8), B=torch.ones(8, 3)), ": it is (2, 8) and (8, 2), not (3, 8) and (8, 3)"),
        (changed(A=torch.ones(2, 9)), "to_q: it is (2, 9) and (8, 2), not (2, 8) and (8, 2)"),
        (changed(A=torch.ones(2, 8, 1, 1)), "not (2, 8) and (8, 2)"),
        (changed(A=torch.tensor(1.0)), "not (1, 8) and (8, 1)"),
        (changed(B=None), "to_q: it has one way only"),
        (changed(A=None), "to_q: it has one way only"),
        (changed(B=torch.full((8, 2), float("nan"))), "to_q: it holds numbers that are not finite"),
        (changed(A=torch.full((2, 8), float("inf"))), "to_q: it holds numbers that are not finite"),
        (changed(A=torch.ones(0, 8), B=torch.ones(8, 0)), "its rank is 0, and this base model takes 1 to 8"),
        (changed(A=torch.ones(10**12, 0), B=torch.ones(0, 10**12)), "its rank is 1000000000000"),
        (changed(A=torch.ones(99, 8), B=torch.ones(8, 99)), "its rank is 99, and this base model takes 1 to 8"),
        (lambda tensors: tensors | {f"{LAYER}.attn1.to_q.alpha": torch.ones(2)}, "to_q: its alpha is no number"),
        (lambda tensors: tensors | {f"{LAYER}.attn1.to_q.alpha": torch.tensor(float("nan"))}, "not finite"),
        (lambda tensors: {f"unet.{key}": value for key, value in tensors.items()} | tensors, "are the same part of"),
        (lambda tensors: tensors | {f"{LAYER}.attn1.to_q.dora_scale": torch.ones(8)}, "it is more than a LoRA"),
        (lambda tensors: tensors | {f"{LAYER}.attn1.to_q.lora_B.bias": torch.ones(8)}, "it is more than a LoRA"),
        (lambda tensors: tensors | {f"{LAYER}.attn1.to_q.lora_B.x.bias": torch.ones(8)}, "it is more than a LoRA"),
        (lambda _: {"x": torch.ones(1), "y\x1b[31m": torch.ones(1)}, "nothing in it is a layer of this base model"),
        (lambda _: {}, "nothing in it is a layer of this base model"),
    ],
)
def test_wrong_meanings(
    network: nn.Module, taken: Taken, change: Callable[[dict[str, Tensor]], dict[str, Tensor]], why: str
) -> None:
    """A good file that means something else is refused with a short difference (E3)."""
    good = pair(network, f"{LAYER}.attn1.to_q") | pair(network, f"{LAYER}.attn1.to_k")
    with pytest.raises(Refused) as caught:
        taken(change(good))
    assert why in caught.value.why
    assert "nothing of it was kept" in caught.value.why
    assert "\x1b" not in caught.value.why
    assert len(caught.value.why) < 500


def test_another_base_model(tmp_path: Path, files: dict[str, bytes]) -> None:
    """A motion of AnimateDiff has no place in UNet3D; a look would have the names, and other widths are refused."""
    other = tiny_folder(tmp_path / "other")
    path = tmp_path / "given.safetensors"
    path.write_bytes(files[TEMPORAL])
    with pytest.raises(Refused) as caught:
        foreign.adapter(foreign.read(path), families.blueprint(other), families.layers(other))
    assert "nothing in it is a layer" in caught.value.why
    path.write_bytes(files[LOOK])
    large = families.blueprint(None, "animatediff")
    with pytest.raises(Refused) as caught:
        foreign.adapter(foreign.read(path), large, families.animatediff.LAYERS)
    assert "and 57 more misfits" in caught.value.why
