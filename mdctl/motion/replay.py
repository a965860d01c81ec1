"""Passes of a training step as CUDA graphs: recorded once, and from then on started as one instead of kernel by kernel.

A fast card is done with a kernel before Python has started the next one. Whose turn it is, what is drawn and the
weights of the drawn clip's look are copied to where the recorded kernels read them, so that one recording serves all
clips, frames, anchors and timesteps.
"""

import gc
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TypeAlias

import torch
from torch import Tensor, nn

from mdctl.motion import chance
from mdctl.motion.backbone import Backbone
from mdctl.motion.lora import SPATIAL, Adapters
from mdctl.motion.passes import Drawn, Pass, compute
from mdctl.motion.recompute import AGAIN, Level
from mdctl.settings import TrainSettings

Play: TypeAlias = Callable[[], object]
Losses: TypeAlias = dict[str, Tensor]
Record: TypeAlias = Callable[[Callable[[], Losses]], tuple[Play, Losses]]
"""Takes work, and gives what does it again and where its results stand each time; it need not have been done yet."""


def suits(device: torch.device, level: Level) -> bool:
    """Whether passes can be recorded: where layers are computed again, not if that asks for the state of chance."""
    return device.type == "cuda" and (not AGAIN[level] or chance.usable(device))


def record_on_cuda() -> Record:
    """Recordings that share their memory, because no two of them play at once."""
    pool = torch.cuda.graph_pool_handle()

    def record(work: Callable[[], Losses]) -> tuple[Play, Losses]:
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, pool=pool, capture_error_mode="thread_local"):
            found = work()
        return graph.replay, found

    return record


@dataclass(frozen=True)
class Held(Drawn):
    """A draw at a place in memory that stays, to be filled with one draw after the other."""

    shown: tuple[Tensor, Tensor] = ()  # type: ignore[assignment]
    """The one frame, and what the model should answer to it."""

    @classmethod
    def like(cls, drawn: Drawn) -> "Held":
        """Room for a draw of these shapes, filled with this one."""
        tensors = {name: getattr(drawn, name).clone() for name in ("noisy_latents", "timesteps", "target", "embeds")}
        anchor = torch.tensor([int(drawn.anchor)], device=drawn.target.device)
        noisy, target = drawn.still()
        return cls(drawn.clip, **tensors, frame=drawn.frame, anchor=anchor, masked=drawn.masked,
                   shown=(noisy.clone(), target.clone()))  # fmt: skip

    def still(self) -> tuple[Tensor, Tensor]:
        """The one frame that was drawn last."""
        return self.shown

    def fill(self, drawn: Drawn) -> None:
        """Put this draw there; the device is not waited for."""
        for name in ("noisy_latents", "timesteps", "target", "embeds"):
            getattr(self, name).copy_(getattr(drawn, name))
        for place, frame in zip(self.shown, drawn.still(), strict=True):
            place.copy_(frame)
        assert isinstance(self.anchor, Tensor)
        self.anchor.fill_(int(drawn.anchor))


@dataclass(frozen=True)
class Tape:
    """One recorded pass: where its draws, the look and the loss scale are put, and where its results stand."""

    play: Play
    draws: tuple[Held, ...]
    look: list[Tensor]
    scale: Tensor | None
    losses: Losses
    """By `motion` and `look`; so are the gradients."""

    gradients: dict[str, list[Tensor]]


class Replayed:
    """`passes.compute`, recorded: each kind of pass runs once as it is, is recorded then, and is replayed after that.

    The first run is no waste: it is when libraries choose what a recording has to find chosen. It is only for the pass
    that is a step by itself, because what a replay gives is overwritten by the next one.
    """

    def __init__(self, record: Record) -> None:
        self._record = record
        self._tapes: dict[object, Tape | None] = {}
        self.failed: str | None = None
        """Why nothing is recorded any more; passes run as they are then."""

    def forget(self) -> None:
        """Give back the memory of all recordings; they are made again when their passes come."""
        self._tapes = dict.fromkeys(self._tapes)
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()

    def __call__(
        self, one: Pass, backbone: Backbone, adapters: Adapters, settings: TrainSettings, scale: Tensor | None
    ) -> Losses:
        """What `compute` gives, from the recording where there is one."""
        shapes = [(*drawn.target.shape, *drawn.embeds.shape) for drawn in one.draws]
        kind = one.motion, one.joint, len(one.speakers), tuple(shapes)
        if kind not in self._tapes:
            self.forget()  # there is memory for one pass at a time, be it recorded or not
            self._tapes[kind] = None
        elif not self.failed:
            tape = self._tapes[kind] or self._tape(one, backbone, adapters, settings, scale)
            if tape:
                self._tapes[kind] = tape
                return self._played(tape, one, adapters, scale)
            self.forget()
        return compute(one, backbone, adapters, settings, scale)

    def _tape(
        self, one: Pass, backbone: Backbone, adapters: Adapters, settings: TrainSettings, scale: Tensor | None
    ) -> Tape | None:
        try:
            return self._recorded(one, backbone, adapters, settings, scale)
        except RuntimeError as fault:  # out of memory too: what stays without a recording may be enough
            self.failed = next(iter(str(fault).splitlines()), type(fault).__name__)
        return None

    def _recorded(
        self, one: Pass, backbone: Backbone, adapters: Adapters, settings: TrainSettings, scale: Tensor | None
    ) -> Tape:
        draws = tuple(Held.like(drawn) for drawn in one.draws)
        room = None if scale is None else scale.clone()
        weights = _look(one, adapters)
        look = [weight.data.clone() for weight in weights]
        learners = [weight for name in one.learners for weight in adapters.parameters(name)]
        own = [weight.data for weight in weights]
        try:
            for weight, place in zip(weights, look, strict=True):
                weight.data = place
            play, losses = self._record(lambda: compute(replace(one, draws=draws), backbone, adapters, settings, room))
            gradients = {
                kind: [weight.grad for weight in adapters.parameters(name) if weight.grad is not None]
                for kind, name in _kinds(one).items()
            }
        finally:
            for weight, data in zip(weights, own, strict=True):
                weight.data = data
            for weight in learners:
                weight.grad = None
        return Tape(play, draws, look, room, {kind: losses[name] for kind, name in _kinds(one).items()}, gradients)

    @staticmethod
    def _played(tape: Tape, one: Pass, adapters: Adapters, scale: Tensor | None) -> Losses:
        for held, drawn in zip(tape.draws, one.draws, strict=True):
            held.fill(drawn)
        if tape.look:
            torch._foreach_copy_(tape.look, [weight.data for weight in _look(one, adapters)])
        if tape.scale is not None and scale is not None:
            tape.scale.copy_(scale)
        with adapters.speaking(dict.fromkeys(one.speakers, 1.0), one.learners), torch.no_grad():
            tape.play()
            for kind, name in _kinds(one).items():
                for weight, gradient in zip(adapters.parameters(name), tape.gradients[kind], strict=True):
                    weight.grad = gradient
        return {name: tape.losses[kind].clone() for kind, name in _kinds(one).items()}


def _kinds(one: Pass) -> dict[str, str]:
    """Who learns as what."""
    return {kind: name for kind, name in (("motion", one.motion), ("look", one.look)) if name}


def _look(one: Pass, adapters: Adapters) -> list[nn.Parameter]:
    """The weights that may be another clip's the next time; where there is one look alone, none."""
    looks = {name for name in adapters.names if name.startswith(SPATIAL)}
    those = looks & {*one.speakers} if len(looks) > 1 else ()
    return [weight for name in those for weight in adapters.parameters(name)]
