"""Who is measured: mdctl's step, the compute pattern of the official implementation, and a naive port of today.

The others are written here from a description of what they compute. Where they could be slower than described, such as
in reading files at every step, they are not: that keeps the comparison honest.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from mdctl.motion.families.unet3d import LAYERS
from mdctl.motion.lora import SPATIAL, TEMPORAL, Adapters, hosts, spatial_name
from mdctl.motion.noise import generator
from mdctl.motion.objective import debias
from mdctl.motion.passes import Drawn, learn
from mdctl.motion.recompute import AGAIN, Level
from mdctl.motion.speed import models
from mdctl.motion.training import effort
from mdctl.motion.updates import apply, new_optimizer
from mdctl.settings import TrainSettings

SETTINGS = TrainSettings(rank=32, weight_decay=1e-2, spatial_mask=0.0)


class Contender(Protocol):
    """One way to compute a training step."""

    def step(self, drawn: Drawn) -> None:
        """Compute one step, optimizers included."""

    def gradients(self) -> dict[str, Tensor]:
        """The gradients that stand in its adapters, flat, by `temporal` and `spatial`."""


class Ours:
    """The step of `mdctl train`: the same functions, without what is drawn and shown around it."""

    def __init__(
        self,
        network: nn.Module,
        clips: int,
        level: Level,
        *,
        joint: bool = True,
        graph: bool = True,
        dropout: float = 0.1,
        rank: int = 32,
    ) -> None:
        self.backbone = models.backbone(network)
        self.backbone.recompute(level)
        self.how = replace(effort(self.backbone.device, level, graph=joint and graph), joint=joint)
        names = [TEMPORAL, *map(spatial_name, range(clips))]
        self.adapters = Adapters(network, self.backbone.layers, dict.fromkeys(names, rank), dropout)
        self.adapters.draw(0)
        for name in names:  # B starts at zero, and zeros are computed faster
            for weight in self.adapters.parameters(name)[1::2]:
                weight.data.copy_(torch.randn(weight.shape, generator=generator(0, "speed/b")) * 0.01)
        self.adapters.drop_out(0)
        self.optimizers = {name: new_optimizer(self.adapters.parameters(name), SETTINGS) for name in names}

    def learn(self, drawn: Drawn) -> None:
        """Forward and backward; gradients stand in the adapters."""
        joint, recorded = self.how.joint, self.how.recorded
        learn(self.backbone, self.adapters, [drawn], SETTINGS, alone=False, joint=joint, recorded=recorded)

    def forget(self) -> None:
        """Drop the gradients."""
        for optimizer in self.optimizers.values():
            optimizer.zero_grad()

    def step(self, drawn: Drawn) -> None:
        """One step as `training` takes it."""
        self.learn(drawn)
        for name in (TEMPORAL, spatial_name(drawn.clip)):
            apply(self.optimizers[name], 1.0)

    def speak(self, merged: bool, noisy: Tensor, timesteps: Tensor, embeds: Tensor) -> Tensor:
        """What the model answers while the motion speaks, beside the weights or as part of them."""
        speaking = self.adapters.merged if merged else self.adapters.speaking
        self.adapters.drop_out(None)
        with speaking({TEMPORAL: 1.0}):
            return self.backbone.predict(noisy, timesteps, embeds)

    def gradients(self) -> dict[str, Tensor]:
        """Of the motion, and of the first clip's look."""
        names = {TEMPORAL: TEMPORAL, SPATIAL: spatial_name(0)}
        return {kind: _flat(self.adapters.parameters(name)) for kind, name in names.items()}


def _flat(parameters: Iterable[Tensor]) -> Tensor:
    return torch.cat([p.grad.flatten() for p in parameters if p.grad is not None]).detach().clone()


class Wrapper(nn.Module):
    """A layer and one adapter around it; adapters of other clips are wrapped around that."""

    def __init__(self, inner: nn.Module, width: tuple[int, int], rank: int, dropout: float, like: Tensor) -> None:
        super().__init__()
        self.inner, self.scale = inner, 1.0
        self.down = nn.Linear(width[0], rank, bias=False, device=like.device)
        self.up = nn.Linear(rank, width[1], bias=False, device=like.device)
        self.dropout = nn.Dropout(dropout)
        nn.init.normal_(self.down.weight, std=1 / rank)
        nn.init.normal_(self.up.weight, std=0.01)

    def learns(self, whether: bool) -> None:
        """Let this adapter learn or freeze it; not those that it is wrapped around."""
        for weight in (self.down.weight, self.up.weight):
            weight.requires_grad_(whether)

    def forward(self, x: Tensor) -> Tensor:
        """Officially the dropout is on the full width, and the adapter is computed whatever its scale."""
        answer: Tensor = self.inner(x) + self.dropout(self.up(self.down(x))) * self.scale
        return answer


class Today(Wrapper):
    """The same as libraries of today have it."""

    def forward(self, x: Tensor) -> Tensor:
        """The adapter in float32, dropout on its input, silent at scale 0."""
        answer: Tensor = self.inner(x)
        if not self.scale:
            return answer
        wide: Tensor = answer + self.up(self.down(self.dropout(x.to(self.down.weight.dtype)))) * self.scale
        return wide.to(answer.dtype)


class Other:
    """What the two others share: wrappers, checkpointed layers, and one optimizer for each adapter."""

    wrapper: type[Wrapper] = Wrapper

    def __init__(self, network: nn.Module, clips: int, *, dropout: float = 0.1, rank: int = 32) -> None:
        self.backbone = models.backbone(network)
        for module in network.modules():
            if isinstance(module, AGAIN["full"]):
                module.forward = _checkpointed(module.forward)
        like = next(network.parameters())
        self.device = like.device
        with torch.random.fork_rng():
            torch.manual_seed(0)
            self.temporal = [one for (one,) in self._wrap(network, LAYERS.temporal, 1, rank, dropout, like)]
            around = list(self._wrap(network, LAYERS.spatial, clips, rank, dropout, like))
        self.spatial = [[layer[clip] for layer in around] for clip in range(clips)]
        self.network: Any = network.train(bool(dropout))
        self.temporal_optimizer = adam(self.temporal)
        self.spatial_optimizers = [adam(look) for look in self.spatial]

    def _wrap(
        self, network: nn.Module, pattern: str, count: int, rank: int, dropout: float, like: Tensor
    ) -> Iterator[list[Wrapper]]:
        for name, layer in hosts(network, pattern).items():
            parent, _, last = name.rpartition(".")
            around: list[Wrapper] = []
            inner: nn.Module = layer
            for _ in range(count):
                inner = self.wrapper(inner, (layer.in_features, layer.out_features), rank, dropout, like)
                around.append(inner)
            network.get_submodule(parent)._modules[last] = inner
            yield around

    def gradients(self) -> dict[str, Tensor]:
        """Of the motion, and of the first clip's look; in the order of this class."""
        kinds = {TEMPORAL: self.temporal, SPATIAL: self.spatial[0]}
        return {kind: _flat([w.weight for one in of for w in (one.down, one.up)]) for kind, of in kinds.items()}

    def set_scales(self, kind: str, scale: Callable[[int], float]) -> None:
        """A walk over the whole network, as the official code does it several times a step."""
        hosting = [host for host in self.network.modules() if type(host).__name__ == kind]
        found = [one for host in hosting for one in host.modules() if isinstance(one, Wrapper)]
        for number, one in enumerate(found):
            one.scale = scale(number)


def adam(wrappers: Sequence[Wrapper]) -> torch.optim.AdamW:
    """The optimizer of one adapter, as both have it."""
    weights = [w.weight for one in wrappers for w in (one.down, one.up)]
    return torch.optim.AdamW(weights, lr=5e-4, weight_decay=1e-2)


def _checkpointed(forward: Callable[..., object]) -> Callable[..., object]:
    return lambda *args, **kwargs: checkpoint(forward, *args, use_reentrant=False, **kwargs)


class Official(Other):
    """The official implementation's pattern: float32 weights under autocast, adapters of all clips in every pass."""

    half = True
    """Whether a GPU computes in float16."""

    def __init__(
        self, network: nn.Module, clips: int, *, dropout: float = 0.1, rank: int = 32, half: bool = True
    ) -> None:
        super().__init__(network, clips, dropout=dropout, rank=rank)
        self.clips, self.half = clips, half

    def forward(self, noisy: Tensor, drawn: Drawn) -> Tensor:
        """What the network answers; a device that has float16 computes in it."""
        half: AbstractContextManager[object] = (
            torch.autocast("cuda", torch.float16) if self.half and self.device.type == "cuda" else nullcontext()
        )
        with half:
            answer: Tensor = self.network(
                noisy, drawn.timesteps, encoder_hidden_states=drawn.embeds, return_dict=False
            )[0]
        return answer.float()

    def step(self, drawn: Drawn) -> None:
        """Both forward passes, then backward and update of the look, then those of the motion."""
        look, motion = self._losses(drawn)
        look.backward(retain_graph=True)
        self.spatial_optimizers[drawn.clip].step()
        motion.backward()
        self.temporal_optimizer.step()
        for optimizer in (*self.spatial_optimizers, self.temporal_optimizer):
            optimizer.zero_grad(set_to_none=True)

    def learn(self, drawn: Drawn) -> None:
        """Forward and backward without an update; gradients stand in the adapters."""
        look, motion = self._losses(drawn)
        look.backward(retain_graph=True)
        motion.backward()

    def _losses(self, drawn: Drawn) -> tuple[Tensor, Tensor]:
        # The outermost wrapper comes first, and is that of the last clip.
        self.set_scales("Transformer2DModel", lambda number: float(number % self.clips == self.clips - 1 - drawn.clip))
        self.set_scales("TransformerTemporalModel", lambda _: 0.0)
        still, wanted = drawn.still()
        look = nn.functional.mse_loss(self.forward(still, drawn), wanted)
        self.set_scales("TransformerTemporalModel", lambda _: 1.0)
        answer = self.forward(drawn.noisy_latents, drawn)
        motion = nn.functional.mse_loss(answer, drawn.target) + nn.functional.mse_loss(
            debias(answer, drawn.anchor), debias(drawn.target, drawn.anchor)
        )
        if self.device.type != "meta":
            _ = [float(loss.detach()) for loss in (look, motion)]  # shown at every step: the device is waited for
        return look, motion


class Naive(Other):
    """What one would write today: a 16-bit base, adapters of a library in float32, two passes, checkpointing."""

    wrapper = Today

    def step(self, drawn: Drawn) -> None:
        """Look and motion one after the other; only the drawn clip's adapter speaks."""
        for one in self.temporal:
            one.scale = 0.0
        for clip, look in enumerate(self.spatial):
            for one in look:
                one.scale = float(clip == drawn.clip)
                one.learns(clip == drawn.clip)
        (self._answer(*drawn.still(), drawn)).square().mean().backward()
        for one in self.temporal:
            one.scale = 1.0
        for one in self.spatial[drawn.clip]:
            one.learns(False)
        residual = self._answer(drawn.noisy_latents, drawn.target, drawn)
        (residual.square().mean() + debias(residual, drawn.anchor).square().mean()).backward()
        for optimizer in (self.spatial_optimizers[drawn.clip], self.temporal_optimizer):
            torch.nn.utils.clip_grad_norm_(optimizer.param_groups[0]["params"], 1.0)
            optimizer.step()
            optimizer.zero_grad()

    def _answer(self, noisy: Tensor, target: Tensor, drawn: Drawn) -> Tensor:
        dtype = self.network.dtype
        answer: Tensor = self.network(
            noisy.to(dtype), drawn.timesteps, encoder_hidden_states=drawn.embeds.to(dtype), return_dict=False
        )[0]
        return answer.float() - target
