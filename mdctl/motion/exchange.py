"""Adapters as other libraries name them."""

import json
from collections.abc import Mapping

import torch
from safetensors.torch import save as save_tensors
from torch import Tensor

from mdctl.motion.lora import SPATIAL, TEMPORAL, card_of, read_tensors

_DOWN, _UP = ".lora_A.weight", ".lora_B.weight"
"""How the names of both ways of a layer end in our own files."""

_PEFT = "base_model.model."
"""What peft puts before the names of layers in its own files."""

Names = Mapping[str, str]
"""What each part of a layer is called: of its name, its name without dots, or the one that AnimateDiff gives it."""

_DIFFUSERS: Names = {"A": "unet.{layer}.lora_A.weight", "B": "unet.{layer}.lora_B.weight"}
_KOHYA: Names = {
    "A": "lora_unet_{flat}.lora_down.weight",
    "B": "lora_unet_{flat}.lora_up.weight",
    "alpha": "lora_unet_{flat}.alpha",
}
_KOHYA_SAYS = {
    "ss_network_dim": "rank",
    "ss_network_alpha": "alpha",
    "ss_steps": "steps",
    "ss_sd_model_name": "base_model",
}
"""What kohya's scripts write into a file, and what we call it."""

_MOTION_LORA: Names = {"A": "{original}_lora.down.weight", "B": "{original}_lora.up.weight"}
"""What AnimateDiff's own reader and ComfyUI's nodes for it take; they find layers of any kind so, and know no alpha."""

_ORIGINAL = (
    (".transformer_blocks.", ".temporal_transformer.transformer_blocks."),
    (".attn1.", ".attention_blocks.0.processor."),
    (".attn2.", ".attention_blocks.1.processor."),
    (".to_out.0", ".to_out"),
)
"""How AnimateDiff itself spells the layers of motion modules."""

STYLES: Mapping[str, Mapping[str, Mapping[str, Names]]] = {
    "animatediff": {
        "diffusers": {TEMPORAL: _DIFFUSERS, SPATIAL: _DIFFUSERS},
        "kohya": {SPATIAL: _KOHYA},
        "comfyui": {TEMPORAL: _MOTION_LORA, SPATIAL: _KOHYA},
    }
}
"""By family and program, the names of layers that somebody is known to read; a kind that is missing has no place."""


def to_peft(file: bytes, where: str) -> dict[str, bytes]:
    """An adapter as the files of a folder that `PeftModel.from_pretrained` reads; alpha is the rank, the scale so 1."""
    card = card_of(file, where)
    tensors = {f"{_PEFT}{key}": tensor for key, tensor in read_tensors(file, where).items()}
    config = {
        "peft_type": "LORA",
        "r": card.rank,
        "lora_alpha": card.rank,
        "lora_dropout": 0.0,
        "bias": "none",
        "target_modules": card.targets,
        "inference_mode": True,
        "init_lora_weights": True,
        "base_model_name_or_path": None,
        "task_type": None,
    }
    return {
        "adapter_model.safetensors": save_tensors(tensors, {"format": "pt"}),
        "adapter_config.json": (json.dumps(config, indent=1, sort_keys=True) + "\n").encode(),
    }


def to_file(
    file: bytes, where: str, style: Mapping[str, Names], about: Mapping[str, str]
) -> tuple[bytes | None, list[str]]:
    """An adapter as one file in these names, None where none of it has a place, and the layers that have none.

    `about` is added to what the file says of itself. Equal weights give equal bytes.
    """
    card, ours = card_of(file, where), read_tensors(file, where)
    tensors, left_out = dict[str, Tensor](), list[str]()
    for layer in (key.removesuffix(_DOWN) for key in ours if key.endswith(_DOWN)):
        names = style.get(TEMPORAL if ".motion_modules." in layer else SPATIAL)
        if names is None:
            left_out.append(layer)
            continue
        spelt = {"layer": layer, "flat": layer.replace(".", "_"), "original": _original(layer)}
        parts = {"A": ours[layer + _DOWN], "B": ours[layer + _UP], "alpha": torch.tensor(float(card.rank))}
        tensors |= {name.format_map(spelt): parts[part] for part, name in names.items()}
    told = {
        "format": "pt",
        "mdctl": card.told(),
        "rank": str(card.rank),
        "alpha": str(card.rank),
        "targets": card.targets,
        **about,
    }
    if _KOHYA in style.values():
        told |= {theirs: told[name] for theirs, name in _KOHYA_SAYS.items() if name in told}
    return (_packed(tensors, told) if tensors else None), left_out


def _original(layer: str) -> str:
    for ours, theirs in _ORIGINAL:
        layer = layer.replace(ours, theirs)
    return layer


def _packed(tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> bytes:
    """A safetensors file whose metadata stand in order: the library writes them in another one every time."""
    plain = save_tensors(dict(tensors))
    size = int.from_bytes(plain[:8], "little")
    header = json.dumps({"__metadata__": dict(sorted(metadata.items())), **json.loads(plain[8 : 8 + size])}).encode()
    header += b" " * (-len(header) % 8)
    return len(header).to_bytes(8, "little") + header + plain[8 + size :]
