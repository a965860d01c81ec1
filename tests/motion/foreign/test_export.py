"""Adapters in other programs' names: their own loaders read ours."""

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from diffusers import AnimateDiffPipeline
from foreigners import LOOK, STYLES, answer, card, model_of
from safetensors.torch import load
from tiny import tiny_image_unet, tiny_motion_adapter, tiny_scheduler
from torch import Tensor

from mdctl.motion import exchange, families
from mdctl.motion.lora import COUPLED, TEMPORAL, card_of, pack


@pytest.mark.parametrize(
    ("name", "to"),
    [(TEMPORAL, "diffusers"), (LOOK, "diffusers"), (COUPLED, "diffusers"), (LOOK, "kohya"), (LOOK, "comfyui")],
)
def test_diffusers_own_loader_reads_it(
    folder: Path, answers: dict[str, Tensor], written: Callable[[str, str], Path], name: str, to: str
) -> None:
    """`AnimateDiffPipeline.load_lora_weights` predicts what mdctl's own adapter does, kohya's names too (1e-5)."""
    model, path = model_of(folder), written(name, to)
    parts = (model.vae, model.text_encoder, model.tokenizer, tiny_image_unet(), tiny_motion_adapter())
    pipeline = AnimateDiffPipeline(*parts, tiny_scheduler(beta_schedule="linear"))
    pipeline.load_lora_weights(path.parent, weight_name=path.name)
    model.network = pipeline.unet
    torch.testing.assert_close(answer(model), answers[name], rtol=1e-5, atol=1e-5)
    assert not torch.allclose(answers[name], answers[""], atol=1e-2)


def test_animatediffs_own_reading(
    folder: Path, answers: dict[str, Tensor], written: Callable[[str, str], Path]
) -> None:
    """Its reader, and ComfyUI's nodes, strike words out of a name and add up·down to the weight that is left over."""
    model, tensors = model_of(folder), load(written(TEMPORAL, "comfyui").read_bytes())
    example = "down_blocks.0.motion_modules.0.temporal_transformer.transformer_blocks.0.attention_blocks.{}"
    for name in ("processor.to_q_lora.down.weight", "processor.to_out_lora.up.weight"):
        assert {f"{example.format(block)}.{name}" for block in (0, 1)} <= tensors.keys()
    weights = {}
    for name, module in model.network.named_modules():
        theirs = name.replace(".transformer_blocks", ".temporal_transformer.transformer_blocks")
        weights[theirs.replace("attn1", "attention_blocks.0").replace("attn2", "attention_blocks.1")] = module
    for key in tensors:
        assert "temporal" in key  # they pass over all others, and cannot read an alpha
        if ".down." in key:
            layer = key.replace("processor.", "").replace("_lora", "").replace("down.", "").replace("up.", "")
            layer = layer.replace("to_out.", "to_out.0.").removesuffix(".weight")
            weights[layer].weight.data += tensors[key.replace(".down.", ".up.")] @ tensors[key]
    torch.testing.assert_close(answer(model), answers[TEMPORAL], rtol=1e-5, atol=1e-5)


def test_kohyas_names_are_those_of_stable_diffusion() -> None:
    """All 96 layers of its 1.5, three parts each, with the shapes that they have there."""
    widths = {"down_blocks_0": 320, "down_blocks_1": 640, "down_blocks_2": 1280, "mid_block": 1280}
    widths |= {"up_blocks_1": 1280, "up_blocks_2": 640, "up_blocks_3": 320}
    wanted = {}
    for block, width in widths.items():
        for number in range(3 if block[0] == "u" else 1 if block[0] == "m" else 2):
            inner = f"lora_unet_{block}_attentions_{number}_transformer_blocks_0_"
            layers = {f"attn1_to_{part}": (width, width) for part in ("q", "k", "v", "out_0")}
            layers |= {"ff_net_0_proj": (width, 8 * width), "ff_net_2": (4 * width, width)}
            for layer, (taken, given) in layers.items():
                wanted[f"{inner}{layer}.lora_down.weight"] = (1, taken)
                wanted[f"{inner}{layer}.lora_up.weight"] = (given, 1)
                wanted[f"{inner}{layer}.alpha"] = ()
    network, pattern = families.blueprint(None, "animatediff"), families.animatediff.LAYERS.spatial
    hosts = {name: m for name, m in network.named_modules() if re.fullmatch(pattern, name)}
    tensors = {f"{name}.lora_A.weight": torch.ones(1, host.in_features) for name, host in hosts.items()}
    tensors |= {f"{name}.lora_B.weight": torch.ones(host.out_features, 1) for name, host in hosts.items()}
    content, left_out = exchange.to_file(pack(tensors, card(1)), "here", STYLES["kohya"], {"steps": "300"})
    found = load(content or b"")
    assert {key: tuple(tensor.shape) for key, tensor in found.items()} == wanted
    assert len(wanted) == 3 * 96
    assert not left_out


def test_what_has_no_place_is_given_back(files: dict[str, bytes]) -> None:
    """Nobody reads motion modules in kohya's names: none of a motion, half of both at once."""
    content, left_out = exchange.to_file(files[TEMPORAL], "here", STYLES["kohya"], {})
    assert content is None
    assert len(left_out) == 120
    content, some = exchange.to_file(files[COUPLED], "here", STYLES["kohya"], {})
    assert (len(load(content or b"")), set(some)) == (3 * 60, set(left_out))


@pytest.mark.parametrize("to", STYLES)
def test_files_say_what_they_are(files: dict[str, bytes], to: str) -> None:
    """Base model, rank, alpha, layers, steps and version; equal weights give equal bytes."""
    about = {"steps": "300", "base_model": "org/name", "mdctl_version": "1"}
    first, again = (exchange.to_file(files[LOOK], "here", STYLES[to], about)[0] or b"" for _ in range(2))
    assert first == again
    told = json.loads(first[8 : 8 + int.from_bytes(first[:8], "little")])["__metadata__"]
    assert told.items() >= {**about, "rank": "4", "alpha": "4", "format": "pt"}.items()
    assert told["targets"] == families.animatediff.LAYERS.spatial
    assert (told.get("ss_steps"), told.get("ss_network_dim")) == (("300", "4") if to != "diffusers" else (None, None))
    assert card_of(first, "here") == card_of(files[LOOK], "here")
