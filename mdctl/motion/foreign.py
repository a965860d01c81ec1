"""Adapters as others write them, in the names of our layers.

peft, diffusers, kohya's scripts, MotionLoRA and AnimateDiff-MotionDirector mean the same layers and spell them in other
ways: what stands before a name, its joints, and what the ways down and up are called.
"""

import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from mdctl.errors import BadInput, NotFound
from mdctl.motion import headers, lora
from mdctl.motion.backbone import Layers
from mdctl.text import safe

_WEIGHTS, _CONFIG = "adapter_model.safetensors", "adapter_config.json"
"""What peft puts into a folder."""

_ENDS = {
    "A": re.compile(r"(?:\.lora_(?:A(?:\.\w+)?|down)|[._]lora\.down)\.weight$"),
    "B": re.compile(r"(?:\.lora_(?:B(?:\.\w+)?|up)|[._]lora\.up)\.weight$"),
    "alpha": re.compile(r"(?:[._]lora)?\.alpha$"),
}
"""How names end, by the part of a layer that they name."""

_SPELLINGS = (
    (re.compile(r"^(?:(?:base_model\.model|unet|module)\.)+|^lora_unet_"), ""),
    (re.compile(r"\.temporal_transformer|\.processor"), ""),
    (re.compile(r"\.attention_blocks\.0"), ".attn1"),
    (re.compile(r"\.attention_blocks\.1"), ".attn2"),
    (re.compile(r"\.to_out$"), ".to_out.0"),
)
"""What others write in the name of a layer, and what stands there in ours."""

_MORE = re.compile(r"dora_scale|lora_magnitude_vector|lora_mid|lora[._](?:B(?:\.\w+)?|up)\.bias$")
"""What belongs to other methods: without it the rest of a layer says something else."""

_STARTS = (None, True, False, "gaussian", "eva", "orthogonal", "mica")
"""How peft begins an adapter without changing the base model; `pissa`, `olora`, `corda` and `loftq` change it."""

_MOST_CONFIG_BYTES = 1_000_000


@dataclass(frozen=True)
class Weights:
    """A weight file as it came, its header checked."""

    file: Path
    tensors: Mapping[str, Tensor]
    metadata: Mapping[str, str]
    alpha: float | None = None
    """Of layers that do not say their own; None makes the scale 1."""

    use_rslora: bool = False
    """Whether alpha is divided by the root of the rank (rsLoRA) and not by the rank."""

    card: lora.AdapterCard | None = None
    """What mdctl noted, where it wrote the file."""


@dataclass(frozen=True)
class Adapter:
    """One adapter of ours; layers that the file lacks are there and say nothing."""

    kind: str
    """`temporal` or `spatial`."""

    rank: int
    tensors: Mapping[str, Tensor]
    """By the names of our layers, float32, alpha folded in."""

    layers: tuple[int, int]
    """How many the file has, of how many."""

    left_out: tuple[str, ...]
    """What has no place, as the file names it."""


def read(path: Path) -> Weights:
    """A weight file, or the folder that peft wrote; `Refused` when it does not hold together."""
    file = path / _WEIGHTS if path.is_dir() else path
    if not file.is_file():
        fix = f"mdctl import {safe(str(path), 200)} --convert reads a run of the official implementation"
        raise NotFound(f"there is no file '{safe(str(file), 200)}'.", fix=fix if path.is_dir() else ())
    content, metadata = headers.read(file)
    card = lora.card_of(content, file.name) if "mdctl" in metadata else None
    beside = file.with_name(_CONFIG)
    try:
        if path.is_dir() or (file.name == _WEIGHTS and beside.exists()):
            with beside.open("rb") as described:
                config = json.loads(described.read(_MOST_CONFIG_BYTES))
        else:  # diffusers keeps the settings of peft in the file
            told = json.loads(metadata.get("lora_adapter_metadata", "{}"))
            config = {name.removeprefix("unet."): value for name, value in told.items()}
        alpha = _alpha(config)
        use_rslora = bool(config.get("use_rslora"))
    except (OSError, ValueError, TypeError, AttributeError, OverflowError, RecursionError) as fault:
        raise headers.refused(file, f"its settings cannot be used: {fault}") from fault
    return Weights(file, lora.read_tensors(content, file.name), metadata, alpha, use_rslora, card)


def _alpha(config: Mapping[str, Any]) -> float | None:
    """The alpha that peft's settings give to all layers; `ValueError` where they differ, or for more than a LoRA."""
    if (method := config.get("peft_type")) not in (None, "LORA"):
        raise ValueError(f"it is {method} and not a LoRA")
    if config.get("use_dora"):
        raise ValueError("it is a DoRA, which is more than a LoRA")
    if (start := config.get("init_lora_weights")) not in _STARTS:
        raise ValueError(f"it began with {start}, which changes the base model too")
    if config.get("alpha_pattern"):
        raise ValueError("alpha differs between layers")
    alpha = config.get("lora_alpha")
    return None if alpha is None else float(alpha)


def adapter(weights: Weights, network: nn.Module, layers: Layers, kind: str | None = None) -> Adapter:
    """The adapter of this kind, or of the kind that the names tell, for a network that may be one without weights.

    `BadInput` where the kind has to be told or is not there, `Refused` with the first misfits.
    """
    hosts = {lora.TEMPORAL: lora.hosts(network, layers.temporal), lora.SPATIAL: lora.hosts(network, layers.spatial)}
    found, left_out = _placed(weights, [layer for known in hosts.values() for layer in known])
    kinds = [each for each, known in hosts.items() if known.keys() & found.keys()]
    kind = kind or _only(kinds, weights.file)
    if kind not in kinds:
        raise BadInput(f"'{safe(weights.file.name, 120)}' has no {kind} layers.", fix="import it without --as")
    mine = {layer: found[layer] for layer in hosts[kind] if layer in found}
    left_out += [key for layer, keys in found.items() if layer not in mine for key in keys.values()]
    rank = next((weights.tensors[keys["A"]].shape[:1].numel() for keys in mine.values() if "A" in keys), 0)
    most = lora.widest_rank(network, layers)
    if not 1 <= rank <= most:
        raise headers.refused(weights.file, f"its rank is {rank}, and this base model takes 1 to {most}")
    tensors, misfits = dict[str, Tensor](), list[str]()
    for layer, host in hosts[kind].items():
        down, up = torch.zeros(rank, host.in_features), torch.zeros(host.out_features, rank)
        if layer in mine:
            try:
                down, up = _ways(weights, mine[layer], rank, (down.shape, up.shape))
            except ValueError as fault:
                misfits.append(f"{layer}: {fault}")
        tensors[f"{layer}.lora_A.weight"], tensors[f"{layer}.lora_B.weight"] = down, up
    if misfits:
        more = f"; and {len(misfits) - 3} more misfits" if len(misfits) > 3 else ""
        raise headers.refused(weights.file, f"{'; '.join(misfits[:3])}{more}")
    return Adapter(kind, rank, tensors, (len(mine), len(hosts[kind])), tuple(left_out))


def _placed(weights: Weights, layers: Iterable[str]) -> tuple[dict[str, dict[str, str]], list[str]]:
    """The file's names by our layers and their parts, and those that name none."""
    flat = {layer.replace(".", "_"): layer for layer in layers}  # kohya's names have no dots
    found, left_out = dict[str, dict[str, str]](), list[str]()
    for key in weights.tensors:
        part, name = next(((part, end.sub("", key)) for part, end in _ENDS.items() if end.search(key)), ("", key))
        for theirs, ours in _SPELLINGS:
            name = theirs.sub(ours, name)
        layer = flat.get(name.replace(".", "_")) if part else None
        if layer is None:
            left_out.append(key)
        elif found.setdefault(layer, {}).setdefault(part, key) != key:
            raise headers.refused(weights.file, f"'{key}' and '{found[layer][part]}' are the same part of {layer}")
    if more := [key for key in left_out if _MORE.search(key)]:
        raise headers.refused(weights.file, f"it is more than a LoRA: {few(more)}")
    if not found:
        raise headers.refused(weights.file, f"nothing in it is a layer of this base model: {few(left_out)}")
    return found, left_out


def _only(kinds: list[str], file: Path) -> str:
    if len(kinds) == 1:
        return kinds[0]
    what = f"'{safe(file.name, 120)}' has layers of motion and of appearance."
    raise BadInput(what, why="a project is the one or the other.", fix=("--as motion", "--as appearance"))


def _ways(
    weights: Weights, keys: Mapping[str, str], rank: int, shapes: tuple[torch.Size, torch.Size]
) -> tuple[Tensor, Tensor]:
    """A layer's ways down and up, with its scale in the way up; `ValueError` where they do not fit."""
    if not {"A", "B"} <= keys.keys():
        raise ValueError("it has one way only")
    down, up = weights.tensors[keys["A"]].float(), weights.tensors[keys["B"]].float()
    if (down.shape, up.shape) != shapes:
        told, wanted = (" and ".join(str(tuple(shape)) for shape in pair) for pair in ((down.shape, up.shape), shapes))
        raise ValueError(f"it is {told}, not {wanted}")
    whole = math.sqrt(rank) if weights.use_rslora else rank
    usual = torch.tensor(whole if weights.alpha is None else weights.alpha, dtype=torch.float64)
    alpha = weights.tensors[keys["alpha"]] if "alpha" in keys else usual
    if alpha.numel() != 1:
        raise ValueError("its alpha is no number")
    up = up * (alpha.item() / whole)
    if not (down.isfinite().all() and up.isfinite().all()):
        raise ValueError("it holds numbers that are not finite")
    return down, up


def few(names: Sequence[str]) -> str:
    """The first few of many names, made harmless."""
    shown = ", ".join(safe(name, 60) for name in names[:3])
    return shown + (f" and {len(names) - 3} more" if len(names) > 3 else "")
