"""Which files of a repository make a model: an allow-list of the diffusers layout, one set of weights for each part.

Names that a repository gives are compared, whole, with names that are known here, so none of them leads anywhere else.
Weights are safetensors, in half precision where a repository has them so. They get the plain names, under which they
are opened; an index keeps its content, since the shards that it names keep theirs.
"""

import json
import re
from collections.abc import Callable, Mapping
from typing import Any

from mdctl.errors import Refused
from mdctl.text import safe
from mdctl.workspace.pulled import Stated

Read = Callable[[Stated], bytes]
"""What brings a small file of the repository."""

_NEEDED: tuple[str, ...] = (
    "model_index.json",
    "unet/config.json",
    "vae/config.json",
    "text_encoder/config.json",
    "scheduler/scheduler_config.json",
)
_WORDS = ("tokenizer/vocab.json", "tokenizer/tokenizer.json")
_WELCOME = (
    *_WORDS,
    "tokenizer/merges.txt",
    "tokenizer/tokenizer_config.json",
    "tokenizer/special_tokens_map.json",
    "tokenizer/added_tokens.json",
)
_WEIGHTS = {"unet": "diffusion_pytorch_model", "vae": "diffusion_pytorch_model", "text_encoder": "model"}
_ADAPTER = "motion_adapter"
_CLASSES = {
    "unet": ("UNet3DConditionModel", "UNetMotionModel", "UNet2DConditionModel"),
    "vae": ("AutoencoderKL",),
    "text_encoder": ("CLIPTextModel",),
}
_SHARD = re.compile(r"[A-Za-z0-9][\w.-]*\.safetensors", re.ASCII)


def choose(model: str, files: Mapping[str, Stated], read: Read) -> dict[str, Stated]:
    """What is to be pulled: for each name in the model's folder, the file of the repository that belongs there.

    `Refused` when something is missing, when weights are there as pickles only, and when code of its own would be run.
    """
    if missing := [name for name in _NEEDED if name not in files]:
        raise _unknown(model, f"it is not in the diffusers layout: it has no {', '.join(missing)}.")
    if not any(name in files for name in _WORDS):
        raise _unknown(model, "its tokenizer has no words.")
    unet, needed, weights = _judge(model, files, read), _NEEDED, _WEIGHTS
    if unet == "UNet2DConditionModel":  # an image model, which moves with a motion adapter beside it
        if f"{_ADAPTER}/config.json" not in files:
            raise _unknown(model, f"its U-Net is a {unet} without a motion adapter.")
        needed, weights = (*needed, f"{_ADAPTER}/config.json"), {**weights, _ADAPTER: weights["unet"]}
    sets = {part: _weights(model, f"{part}/{stem}", files, read) for part, stem in weights.items()}
    if bare := [part for part, found in sets.items() if not found]:
        raise Refused(
            f"'{safe(model, 120)}' has no safetensors weights of {', '.join(bare)}.",
            why="mdctl does not open pickled weights (.bin, .ckpt, .pt), which can run code.",
            fix=f"find a commit that has them, then: mdctl models pull {model.partition('@')[0]} --revision COMMIT",
        )
    chosen = {name: files[name] for name in (*needed, *_WELCOME) if name in files}
    return chosen | {name: stated for found in sets.values() for name, stated in found.items()}


def _judge(model: str, files: Mapping[str, Stated], read: Read) -> str:
    """The class of the U-Net, when all parts are of classes that are known and no code of the repository's own."""
    index, unet = (_table(model, files[name], read) for name in ("model_index.json", "unet/config.json"))
    if not isinstance(index.get("_class_name"), str) or "auto_map" in index or "auto_map" in unet:
        raise _unknown(model, "it is a custom pipeline, which brings code of its own.")
    for part in (*_CLASSES, "tokenizer", "scheduler"):
        library, kind = index[part] if isinstance(index.get(part), list) and len(index[part]) == 2 else (None, None)
        if library not in ("diffusers", "transformers"):
            raise _unknown(model, f"its {part} is code of its own: {library}.{kind}.")
        if kind not in _CLASSES.get(part, (kind,)):
            raise _unknown(model, f"its {part} is a {kind}.")
    if unet.get("_class_name") != index["unet"][1]:
        raise _unknown(model, f"its U-Net is a {unet.get('_class_name')} by its own configuration.")
    return str(unet["_class_name"])


def _weights(model: str, stem: str, files: Mapping[str, Stated], read: Read) -> dict[str, Stated]:
    """One whole set of weights: a file, or an index with its shards; empty when there is none."""
    for variant in (".fp16", ""):
        if single := files.get(f"{stem}{variant}.safetensors"):
            return {f"{stem}.safetensors": single}
        if index := files.get(f"{stem}.safetensors.index{variant}.json"):
            names = _table(model, index, read).get("weight_map")
            shards = {str(name) for name in names.values()} if isinstance(names, dict) else {""}
            paths = {f"{stem.partition('/')[0]}/{name}" for name in shards if _SHARD.fullmatch(name)}
            if len(paths) < len(shards) or not paths <= set(files):
                raise _unknown(model, f"{index.source} names shards that are not beside it.")
            return {f"{stem}.safetensors.index.json": index, **{path: files[path] for path in sorted(paths)}}
    return {}


def _table(model: str, stated: Stated, read: Read) -> Mapping[str, Any]:
    try:
        found = json.loads(read(stated))
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise _unknown(model, f"{stated.source} cannot be read.")
    return found


def _unknown(model: str, why: str) -> Refused:
    fix = "mdctl models list"
    return Refused(f"'{safe(model, 120)}' holds no model that mdctl can load.", why=safe(why, 300), fix=fix)
