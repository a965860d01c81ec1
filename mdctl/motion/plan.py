"""What a training will take, before it begins: its very step, on a device without memory, with every tensor counted."""

import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import torch
from diffusers.models.attention_processor import AttnProcessor2_0
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from mdctl.motion.backbone import Backbone
from mdctl.motion.lora import TEMPORAL, Adapters, kind_of
from mdctl.motion.passes import Drawn, learn
from mdctl.motion.recompute import LEVELS, Level
from mdctl.motion.training import Learns, learners
from mdctl.settings import Shape, TrainSettings

SHRINK = 8
"""By which the VAEs of all families make a picture smaller."""

TOKENS = 77
"""Of a prompt, as many as CLIP's text encoder reads; that of no base model reads more."""

OVERHEAD = 0.8e9
"""What a GPU's context, its libraries' workspaces and gaps between tensors take beside the tensors."""


@dataclass(frozen=True)
class Footprint:
    """Bytes of one training step at its peak."""

    weights: int
    """The frozen network."""

    adapters: int
    """Adapters with their gradients' moments."""

    activations: int
    """What is kept for backward, gradients, and what comes and goes."""

    @property
    def peak(self) -> int:
        """All of it."""
        return self.weights + self.adapters + self.activations


_FREE = (torch.ops.aten._unsafe_view, torch.ops.aten.empty, torch.ops.aten.new_empty_strided)
"""Operations that start no kernel, besides views."""


class Meter(TorchDispatchMode):
    """Counts operations that start a kernel, and the bytes of the tensors that they make, as long as these live."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.operations = self.now = self.peak = 0
        self._held: set[int] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run one operation and take note of what it made."""
        for one in tree_leaves((args, kwargs)):
            if isinstance(one, Tensor):
                self._hold(one.untyped_storage(), 0)  # it was there before, or is counted already
        made = func(*args, **(kwargs or {}))
        self.operations += not (func.is_view or func.overloadpacket in _FREE)
        for one in made if isinstance(made, (tuple, list)) else (made,):
            if isinstance(one, Tensor):
                self._hold(one.untyped_storage(), one.untyped_storage().nbytes())
        return made

    def _hold(self, storage: torch.UntypedStorage, size: int) -> None:
        key = storage._cdata
        if key in self._held:
            return
        self._held.add(key)
        self.now += size
        self.peak = max(self.peak, self.now)
        weakref.finalize(storage, self._let_go, key, size)

    def _let_go(self, key: int, size: int) -> None:
        self._held.discard(key)
        self.now -= size


class _FusedAttention(TorchFunctionMode):
    """Attention as GPUs do it, without the matrix of all pairs, which a device without memory would count."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is torch.nn.functional.scaled_dot_product_attention:
            return torch.ops.aten._scaled_dot_product_efficient_attention(*args[:3], None, True)[0]
        return func(*args, **(kwargs or {}))


class Attention(AttnProcessor2_0):  # type: ignore[misc]
    """How a network without memory attends."""

    def __call__(self, *args: Any, **kwargs: Any) -> Tensor:
        """What diffusers computes, by the kernel that a GPU would take."""
        with _FusedAttention():
            answer: Tensor = super().__call__(*args, **kwargs)
        return answer


@contextmanager
def measured(backbone: Backbone) -> Iterator[Meter]:
    """Count what happens meanwhile on a network without memory, beyond its own weights."""
    network: Any = backbone.network
    network.set_attn_processor(Attention())
    with Meter() as meter:
        yield meter


def question(backbone: Backbone, shape: Shape) -> Drawn:
    """A draw of this shape, of nothing."""
    config: Any = backbone.network.config
    size = (1, config.in_channels, shape.frames, shape.height // SHRINK, shape.width // SHRINK)
    noisy, target = (torch.empty(size, device=backbone.device) for _ in range(2))
    embeds = torch.empty(1, TOKENS, config.cross_attention_dim, device=backbone.device)
    return Drawn(0, noisy, torch.zeros(1, dtype=torch.long, device=backbone.device), target, embeds, 0, 0, False)


def footprint(
    backbone: Backbone, shape: Shape, settings: TrainSettings, looks: int, level: Level, learns: Learns = "motion"
) -> Footprint:
    """What a step takes on a network without memory (see `families.shadow`); no adapters may be laid into it yet."""
    assert settings.rank is not None
    network = backbone.network
    weights = sum(weight.nbytes for weight in (*network.parameters(), *network.buffers()))
    backbone.recompute(level)
    names = learners(learns, 1)  # no step sees more looks than one
    adapters = Adapters(network, backbone.layers, dict.fromkeys(names, settings.rank), settings.dropout)
    adapters.drop_out(0)
    own = {kind_of(name): sum(weight.nbytes for weight in adapters.parameters(name)) for name in names}
    draws = [question(backbone, shape)] * settings.batch
    with measured(backbone) as meter:
        learn(backbone, adapters, draws, settings, alone=TEMPORAL not in names, joint=True)
    # Weights and both moments of every adapter; gradients are part of what is measured.
    return Footprint(weights, 3 * sum(own[kind_of(name)] for name in learners(learns, looks)), meter.peak)


def fitting(peaks: Callable[[Level], float], budget: float, levels: Sequence[Level] = LEVELS) -> Level | None:
    """The first, and so the fastest, of these levels whose peak (bytes, everything included) stays within a budget."""
    return next((level for level in levels if peaks(level) <= budget), None)


def smaller(shape: Shape) -> Iterator[Shape]:
    """Shapes that take less, largest first: fewer pixels, then fewer frames too; edges stay multiples of 64."""
    for frames in (shape.frames, shape.frames // 2):
        for share in (0.75, 0.625, 0.5, 0.375):
            width, height = (max(64, int(edge * share) // 64 * 64) for edge in (shape.width, shape.height))
            if frames >= min(8, shape.frames) and (width, height) < (shape.width, shape.height):
                yield replace(shape, frames=frames, width=width, height=height)
