"""Weights of the official implementation: nameless lists of matrices in the order of the model's layers.

A file holds up, down, up, down, … of every adapted layer, in the order in which the U-Net's modules are registered. Of
several spatial adapters the pairs are interleaved: all clips' pairs of the first layer, then of the second.
"""

import os
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from safetensors.torch import load as load_tensors
from torch import Tensor, nn

from mdctl import child
from mdctl.errors import NotFound, Refused
from mdctl.motion import lora
from mdctl.motion.backbone import Layers
from mdctl.text import safe

_MOST_BYTES = 8 * child.GIB
_PATIENCE_S = 600.0
_STEP = re.compile(r"(\d+)_.*unet\.pt")


def find(path: Path) -> dict[str, Path]:
    """The weight files of a run or of any folder in it, or the file itself, by `temporal` and `spatial`.

    Of several checkpoints the last is taken. `NotFound` where there is none.
    """
    if path.is_file():
        return {_kind(path) or lora.SPATIAL: path}
    found: dict[str, Path] = {}
    for kind in (lora.TEMPORAL, lora.SPATIAL):
        if files := [file for file in path.glob("**/*unet*.pt") if _kind(file) == kind]:
            found[kind] = max(files, key=_age)
    if not found:
        why = "no temporal/lora/*_unet.pt and no spatial/lora/*_unet.pt below it."
        raise NotFound(f"'{safe(str(path), 200)}' holds no weights of the official implementation.", why=why)
    return found


def _kind(file: Path) -> str | None:
    """What a weight file is of, by the two folders that it lies in, typed or not; None where they tell nothing."""
    folders = Path(os.path.normpath(file.absolute())).parts[-3:-1]
    return next((name for name in reversed(folders) if name in (lora.TEMPORAL, lora.SPATIAL)), None)


def _age(file: Path) -> tuple[int, str]:
    step = _STEP.search(file.name)
    return int(step[1]) if step else sys.maxsize, str(file)  # one without a number is the final one


def step_of(file: Path) -> int:
    """The step that a file's name says, 1 where it says none."""
    step = _STEP.search(file.name)
    return max(1, int(step[1])) if step else 1


def read(file: Path) -> list[Tensor]:
    """The matrices of a pickled list, read by a child that can build tensors and nothing else; `Refused` otherwise."""
    program = Path(__file__).with_name("unpickle.py")
    limits = {"timeout_s": _PATIENCE_S, "stdout_limit": _MOST_BYTES}
    try:
        done = child.run([sys.executable, "-I", program, file.absolute()], memory_bytes=None, **limits)  # type: ignore[arg-type]
    except child.ChildFailed as fault:
        raise _refused(file, fault.why or fault.what) from fault
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["it cannot be read"])[-1]
        raise _refused(file, last)
    return [tensor for _, tensor in sorted(load_tensors(done.stdout).items())]


def _refused(file: Path, why: str) -> Refused:
    what = f"'{safe(file.name, 120)}' is no weight file of the official implementation."
    return Refused(what, why=safe(why, 300), fix="give a run folder of MotionDirector", code="MD-CONVERT")


def adapters(
    matrices: Sequence[Tensor], kind: str, network: nn.Module, layers: Layers, file: Path
) -> dict[str, dict[str, Tensor]]:
    """Adapters by their names, each with the weights of its layers by name; count and shapes are checked first."""
    pattern = layers.temporal if kind == lora.TEMPORAL else layers.spatial
    hosts = list(lora.hosts(network, pattern).items())
    number, rest = divmod(len(matrices), 2 * len(hosts)) if hosts else (0, 1)
    if rest or not number or (kind == lora.TEMPORAL and number != 1):
        many = " or a multiple of it" if kind == lora.SPATIAL else ""
        raise _refused(file, f"it has {len(matrices)} matrices, and this base model takes {2 * len(hosts)}{many}.")
    rank, most = matrices[1].shape[0], lora.widest_rank(network, layers)
    if not 1 <= rank <= most:
        raise _refused(file, f"its rank is {rank}, and this base model takes 1 to {most}.")
    found: dict[str, dict[str, Tensor]] = {}
    for clip in range(number):
        tensors: dict[str, Tensor] = {}
        for place, (name, host) in enumerate(hosts):
            first = 2 * (place * number + clip)
            up, down = matrices[first], matrices[first + 1]
            if up.shape != (host.out_features, rank) or down.shape != (rank, host.in_features):
                shapes = f"{tuple(up.shape)} and {tuple(down.shape)}"
                wanted = f"({host.out_features}, {rank}) and ({rank}, {host.in_features})"
                raise _refused(file, f"matrices {first} and {first + 1} are {shapes}, and {name} takes {wanted}.")
            if not (up.isfinite().all() and down.isfinite().all()):
                raise _refused(file, f"matrices {first} and {first + 1} hold numbers that are not finite.")
            tensors[f"{name}.lora_A.weight"], tensors[f"{name}.lora_B.weight"] = down, up
        found[lora.TEMPORAL if kind == lora.TEMPORAL else lora.spatial_name(clip)] = tensors
    return found


def untrained(tensors: Mapping[str, Tensor]) -> bool:
    """Whether every way up is zero, so that the adapter says nothing."""
    return not any(bool(torch.any(tensor)) for key, tensor in tensors.items() if ".lora_B." in key)
