"""One training step on this computer, to see whether it can do the work at all."""

import math
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from mdctl.errors import Diverged
from mdctl.motion import device as machine
from mdctl.motion import families, training
from mdctl.motion.dataset import Sample, Samples, to_pixels
from mdctl.settings import TrainSettings


@dataclass(frozen=True)
class Place:
    """The device that `auto` means here."""

    kind: str
    """`cuda`, `mps` or `cpu`."""

    name: str
    """What it is called, in words."""

    precision: str
    """The number format that `auto` means on it."""

    memory_bytes: int | None
    """What it has, None where it uses the computer's."""

    free_bytes: int | None
    """What nobody uses of that."""

    torch: str
    """The version of torch, with what it was built for."""


def place() -> Place:
    """The device that training would take."""
    device = machine.choose("auto")
    machine.settle(None, deterministic=False)
    free, total = torch.cuda.mem_get_info(device) if device.type == "cuda" else (None, None)
    built = torch.version.cuda or torch.version.hip
    version = f"{torch.__version__.partition('+')[0]}{f' + CUDA {built}' if built else ''}"
    return Place(device.type, machine.describe(device), machine.choose_precision("auto", device), total, free, version)


def step(folder: Path, num_frames: int, width: int, height: int) -> float:
    """The seconds of one training step of the model in this folder; `Diverged` when its numbers are not finite.

    It learns from a clip that is made up, and nothing of it is kept.
    """
    device = machine.choose("auto")
    machine.settle(None, deterministic=False)
    precision = machine.choose_precision("auto", device)
    backbone = families.load(folder, device, machine.DTYPES[precision])
    frames = np.random.default_rng(0).integers(0, 256, (num_frames, height, width, 3), np.uint8)
    sample = Sample(backbone.encode(to_pixels(frames)), backbone.embed(["a square is moving right"]))
    settings = TrainSettings(steps=1, rank=4, weight_decay=1e-2, spatial_mask=0.0)
    state = training.begin(backbone, 1, settings)
    began = time.monotonic()
    (done,) = training.train(backbone, state, Samples([sample], 0), settings)  # its losses are read, so it has ended
    seconds = time.monotonic() - began
    losses = [loss for loss in (done.temporal_loss, done.spatial_loss) if loss is not None]
    if done.skipped or not losses or not all(map(math.isfinite, losses)):
        raise Diverged(
            "a training step gave numbers that are not finite.",
            why=f"on {machine.told(device)}, in {precision}.",
            fix="mdctl train NAME --device cpu",
        )
    return seconds


def save_bytes(folder: Path, num_clips: int) -> int:
    """About what a save takes that only makes videos."""
    found = families.anatomy(folder)
    return 4 * (found.temporal_parameters + num_clips * found.spatial_parameters)  # in 32 bits
