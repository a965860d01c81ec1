"""Adapters as other libraries name them."""

import json

from safetensors.torch import save as save_tensors

from mdctl.motion.lora import card_of, read_tensors

_PEFT = "base_model.model."
"""What peft puts before the names of layers in its own files."""


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
