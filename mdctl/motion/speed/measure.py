"""Speed and memory, measured: ceilings of the device, the parity gate, rounds in turn, and peaks."""

import gc
import math
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from mdctl.motion import device as machine
from mdctl.motion.lora import SPATIAL, TEMPORAL
from mdctl.motion.passes import Drawn
from mdctl.motion.plan import Attention, Meter
from mdctl.motion.recompute import Level
from mdctl.motion.speed import models
from mdctl.motion.speed.contenders import Contender, Naive, Official, Ours
from mdctl.motion.speed.official import Original
from mdctl.settings import Shape

PRESETS: dict[str, Level] = {"exact": "none", "light": "light", "balanced": "middle", "low-vram": "full"}
"""By their level of recomputing; all of them give the same gradients, so none is an approximation."""

OFFICIAL, NAIVE, READABLE, UNRECORDED = "official", "naive", "readable", "no graph"
"""The two that mdctl is compared with, its own reference of two passes, and on a GPU `exact` with `--no-graph`."""

TOLERANCE = 1e-5
ROOM = 60 * 10**9
"""Bytes that all contenders at full size take at once, with something to spare."""

RECORDED = 3
"""From this time on a pass is replayed where it can be: once it runs as it is, and once it is recorded."""


@dataclass(frozen=True)
class Arena:
    """What is measured, and on what."""

    device: torch.device
    tiny: bool
    shape: Shape
    clips: int
    official: Path | None = None
    """A checkout of the official code; without one its twin is measured."""

    @property
    def rank(self) -> int:
        """That of the paper, as far as the tiny network has room for it."""
        return 16 if self.tiny else 32

    def contender(self, name: str) -> Contender:
        """One of those that are measured, with a network of its own."""
        short = torch.bfloat16 if self.device.type == "cuda" else torch.float32
        network = models.network(self.tiny, self.device, torch.float32 if name == OFFICIAL else short)
        if name == OFFICIAL and self.official:
            return Original(self.official, network, self.clips, rank=self.rank)
        if name in (OFFICIAL, NAIVE):
            return (Official if name == OFFICIAL else Naive)(network, self.clips, rank=self.rank)
        level = PRESETS.get(name, "none")
        return Ours(network, self.clips, level, joint=name != READABLE, graph=name != UNRECORDED, rank=self.rank)

    @property
    def roomy(self) -> bool:
        """Whether the device can hold all that are measured at once."""
        return self.device.type != "cuda" or torch.cuda.get_device_properties(self.device).total_memory > ROOM

    @property
    def names(self) -> tuple[str, ...]:
        """All that are measured here."""
        bare = (UNRECORDED,) if self.device.type == "cuda" else ()
        return OFFICIAL, NAIVE, READABLE, *bare, *PRESETS

    def draws(self, count: int) -> list[Drawn]:
        """The same for all contenders."""
        blank = models.backbone(models.network(self.tiny, torch.device("meta"), torch.float32))
        blank.device = self.device  # its shapes are all that is needed
        return models.draws(blank, self.shape, count, self.clips)


# --- Equal before fast.


def parity(device: torch.device) -> dict[str, float]:
    """How far gradients of each preset are from those of the two readable passes, relative, in double precision.

    The objects are those that are timed, on a smaller network, without dropout; where they replay a recording, so does
    this.
    """
    shape = Shape(4, 8, 64, 64)
    found = {}
    wanted: dict[str, Tensor] = {}
    for name, level in {READABLE: "none", **PRESETS}.items():
        network = models.network(True, device, torch.float64)
        ours = Ours(network, 2, level, joint=name != READABLE, dropout=0.0, rank=8)
        ours.backbone.network.double()
        (drawn,) = models.draws(ours.backbone, shape, 1, dtype=torch.float64)
        for _ in range(RECORDED):
            ours.forget()
            ours.learn(drawn)
        gradients = ours.gradients()
        wanted = wanted or gradients
        found[name] = max(_apart(gradients[kind], wanted[kind]) for kind in (TEMPORAL, SPATIAL))
    return found


def equal(apart: Mapping[str, float]) -> bool:
    """Whether the gate is passed; NaN does not pass."""
    return all(distance <= TOLERANCE for distance in apart.values())


def _apart(one: Tensor, other: Tensor) -> float:
    return float((one.double() - other.double()).norm() / other.double().norm())


# --- What the device could do at most.


def ceilings(device: torch.device, tiny: bool) -> dict[str, float]:
    """Its matrix rate in TF/s, its copying in GB/s, and how many empty operations it starts in a second."""
    dtype = torch.bfloat16 if device.type == "cuda" else torch.float32
    size, length = (512, 2**22) if tiny else (8192, 2**28)
    a, b = (torch.randn(size, size, device=device, dtype=dtype) for _ in range(2))
    source = torch.randn(length, device=device)
    target, dot = torch.empty_like(source), torch.zeros(1, device=device)
    return {
        "matmul_tflops": 2 * size**3 / _best(device, lambda: a @ b) / 1e12,
        "copy_gb_s": 8 * length / _best(device, lambda: target.copy_(source)) / 1e9,
        "launches_s": 1000 / _best(device, lambda: [dot.add_(1) for _ in range(1000)]),
    }


def _best(device: torch.device, work: Callable[[], object], rounds: int = 10) -> float:
    return min(_seconds(device, work) for _ in range(rounds))


def _seconds(device: torch.device, work: Callable[[], object]) -> float:
    _wait(device)
    began = time.perf_counter()
    work()
    _wait(device)
    return time.perf_counter() - began


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


# --- The race.


@dataclass(frozen=True)
class Timing:
    """Steps of one contender, in seconds."""

    seconds: tuple[float, ...]

    @property
    def median(self) -> float:
        """The middle one."""
        return statistics.median(self.seconds)

    @property
    def quartiles(self) -> tuple[float, float]:
        """Between which half of them lie."""
        low, _, high = statistics.quantiles(self.seconds, n=4)
        return low, high


def warm_ups(device: torch.device) -> int:
    """How many rounds are not counted."""
    return RECORDED if device.type == "cuda" else 1


def race(
    arena: Arena, names: Sequence[str], rounds: int, report: Callable[[int, str], None] = lambda *_: None
) -> dict[str, Timing]:
    """All contenders in turn, round after round on the same draws, after some that are not counted.

    On a card that cannot hold all of them they come one after the other, and those that do not fit are left out.
    """
    groups = [names] if arena.roomy else [[name] for name in names]
    steps, found = count(1), dict[str, Timing]()
    for group in groups:
        with suppress(torch.OutOfMemoryError):
            found |= _turns(arena, group, rounds, lambda name: report(next(steps), name))
        _clear(arena.device)
    return found


def _turns(arena: Arena, names: Sequence[str], rounds: int, report: Callable[[str], None]) -> dict[str, Timing]:
    running = {name: arena.contender(name) for name in names}
    warm = warm_ups(arena.device)
    taken: dict[str, list[float]] = {name: [] for name in names}
    for drawn in arena.draws(rounds + warm):
        for name, contender in running.items():
            taken[name].append(_seconds(arena.device, partial(contender.step, drawn)))
            report(name)
    return {name: Timing(tuple(seconds[warm:])) for name, seconds in taken.items()}


def _clear(device: torch.device) -> None:
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()


def faster(one: Timing, other: Timing) -> float:
    """How many times as fast `one` is as `other`: the median of the rounds' ratios, which other work spoils least."""
    return statistics.median(b / a for a, b in zip(one.seconds, other.seconds, strict=True))


# --- Memory.


def activations(arena: Arena, name: str) -> int:
    """The most bytes that a step has alive at once beyond weights, adapters and their moments, which stay."""
    _clear(arena.device)
    contender = arena.contender(name)
    first, second = arena.draws(2)
    contender.step(first)  # moments are made in the first step
    gc.collect()
    if arena.device.type == "cuda":
        torch.cuda.synchronize(arena.device)
        torch.cuda.reset_peak_memory_stats(arena.device)
        before = int(torch.cuda.memory_allocated(arena.device))
        contender.step(second)
        return int(torch.cuda.max_memory_allocated(arena.device)) - before
    with Meter() as meter:
        contender.step(second)
    return int(meter.peak)


def trains_within(arena: Arena, cap: float) -> float | None:
    """The peak in bytes of two steps of the smallest preset under a cap, None where they run out of memory."""
    machine.limit(arena.device, cap)
    try:
        contender: Any = arena.contender("low-vram")
        contender.backbone.network.to("cpu")  # weights were drawn in float32, which leaves the memory in pieces
        _clear(arena.device)
        contender.backbone.network.to(arena.device)
        torch.cuda.reset_peak_memory_stats(arena.device)
        for drawn in arena.draws(2):
            contender.step(drawn)
        return float(torch.cuda.max_memory_allocated(arena.device))
    except torch.OutOfMemoryError:
        return None
    finally:
        machine.limit(arena.device, math.inf)


# --- Videos.


def generation(arena: Arena, rounds: int) -> dict[str, Timing]:
    """One guided denoising step: of the base model, with adapters within its weights and beside them, and officially.

    The first two take their turns one after the other. Nothing where the device cannot hold the three networks.
    """
    _clear(arena.device)
    with suppress(torch.OutOfMemoryError):
        return _denoised(arena, rounds)
    return {}


def _denoised(arena: Arena, rounds: int) -> dict[str, Timing]:
    names = ("base", "merged", "beside", OFFICIAL)
    short = torch.bfloat16 if arena.device.type == "cuda" else torch.float32
    bare = models.backbone(models.network(arena.tiny, arena.device, short)).predict
    ours = Ours(models.network(arena.tiny, arena.device, short), 1, "none", dropout=0.0, rank=arena.rank)
    one = Arena(arena.device, arena.tiny, arena.shape, 1, arena.official)
    official: Any = one.contender(OFFICIAL)
    official.network.eval()
    taken: dict[str, list[float]] = {name: [] for name in names}
    for drawn in one.draws(rounds + 1):
        pair = replace(drawn, noisy_latents=torch.cat([drawn.noisy_latents] * 2),
                       embeds=torch.cat([drawn.embeds] * 2), timesteps=torch.cat([drawn.timesteps] * 2))  # fmt: skip
        given = pair.noisy_latents, pair.timesteps, pair.embeds
        work: dict[str, Callable[[], object]] = {
            "base": partial(bare, *given),
            "beside": partial(ours.speak, False, *given),
            "merged": partial(ours.speak, True, *given),
            OFFICIAL: partial(official.forward, pair.noisy_latents, pair),
        }
        for name in names:
            with torch.no_grad():
                taken[name].append(_seconds(arena.device, work[name]))
    return {name: Timing(tuple(seconds[1:])) for name, seconds in taken.items()}


def useful_work(arena: Arena) -> float:
    """Operations, in 10¹², that a step needs when nothing is computed twice."""
    network: Any = models.network(arena.tiny, torch.device("meta"), torch.bfloat16)
    contender = Ours(network, 1, "none", rank=arena.rank)
    network.set_attn_processor(Attention())
    with FlopCounterMode(display=False) as counter:
        contender.learn(models.draws(contender.backbone, arena.shape, 1)[0])
    return float(counter.get_total_flops()) / 1e12


def rounding(arena: Arena) -> dict[str, float]:
    """On a GPU, how far 16 bits lead the gradients of the motion away from those in float32: ours, and officially.

    Without those for which there is no memory.
    """
    found = {}
    for name in ("ours", OFFICIAL):
        with suppress(torch.OutOfMemoryError):
            whole, rounded = (_gradient(arena, name, short) for short in (False, True))
            found[name] = _apart(rounded, whole)
    return found


def _gradient(arena: Arena, name: str, short: bool) -> Tensor:
    _clear(arena.device)
    dtype = torch.bfloat16 if short and name == "ours" else torch.float32
    network = models.network(arena.tiny, arena.device, dtype)
    who: Ours | Official
    if name == "ours":
        who = Ours(network, 1, "full", dropout=0.0, rank=arena.rank)
    else:
        who = Official(network, 1, dropout=0.0, rank=arena.rank, half=short)
    who.learn(arena.draws(1)[0])
    return who.gradients()[TEMPORAL].cpu()
