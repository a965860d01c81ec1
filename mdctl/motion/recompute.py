"""How much a network keeps for backward, and what it computes again there: a ladder from fast to small.

Every rung gives the same gradients as the one above it. `light` computes norms and activations again and no matrix
product, `middle` the temporal layers too, for 17 % more work, and `full` every layer, for 40 %.
"""

from collections.abc import Callable
from typing import Any, Literal, get_args

import torch
from diffusers.models.activations import GEGLU
from diffusers.models.resnet import ResnetBlock2D, TemporalConvLayer
from diffusers.models.transformers.transformer_2d import Transformer2DModel
from diffusers.models.transformers.transformer_temporal import TransformerTemporalModel
from diffusers.models.unets.unet_motion_model import AnimateDiffTransformer3D
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from mdctl.motion import chance
from mdctl.motion.kernels import gated, norm_silu

Level = Literal["none", "light", "middle", "full"]
LEVELS: tuple[Level, ...] = get_args(Level)
"""From fast to small."""


_TEMPORAL = (TemporalConvLayer, TransformerTemporalModel, AnimateDiffTransformer3D)
AGAIN: dict[Level, tuple[type[nn.Module], ...]] = {
    "none": (),
    "light": (),
    "middle": _TEMPORAL,
    "full": (*_TEMPORAL, ResnetBlock2D, Transformer2DModel),
}
"""Layers of which nothing is kept but what goes in; whole blocks of them would be too much to have at once."""


def lay(network: nn.Module, level: Level) -> None:
    """Set a frozen network to a level, wherever it stood before."""
    for module in network.modules():
        _restore(module)
    if level == "none":
        return
    keeps_chance = not chance.usable(next(network.parameters()).device)  # else dropout is the same by itself
    for module in list(network.modules()):
        if isinstance(module, ResnetBlock2D):
            _fuse_resnet(module)
        elif isinstance(module, TemporalConvLayer):
            for part in (module.conv1, module.conv2, module.conv3, module.conv4):
                _fuse(part[0], part[1])
        elif isinstance(module, GEGLU):
            _replace(module, _gated_by(module))
        if isinstance(module, AGAIN[level]):
            _replace(module, _again(module.forward, keeps_chance))


def _replace(module: nn.Module, forward: Callable[..., Any]) -> None:
    module.__dict__.setdefault("_kept_forward", []).append(module.__dict__.get("forward"))
    module.forward = forward


def _restore(module: nn.Module) -> None:
    """Back to what it did before `_replace`, be it its class or a forward that was laid over that."""
    for before in module.__dict__.pop("_kept_forward", [])[:1]:
        if before is None:
            del module.__dict__["forward"]
        else:
            module.forward = before


def _again(forward: Callable[..., Any], keeps_chance: bool) -> Callable[..., Any]:
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        if not torch.is_grad_enabled():
            return forward(*args, **kwargs)
        return checkpoint(forward, *args, use_reentrant=False, preserve_rng_state=keeps_chance, **kwargs)

    return wrapped


def _gated_by(module: GEGLU) -> Callable[..., Tensor]:
    return lambda hidden_states, *_, **__: gated(module.proj(hidden_states))


def _fuse(norm: nn.GroupNorm, silu: nn.Module) -> None:
    _replace(norm, _normed(norm))
    _replace(silu, lambda x: x)


def _fuse_resnet(block: ResnetBlock2D) -> None:
    # One activation serves both norms and the time, whose projection does it itself from now on.
    plain = block.time_embedding_norm == "default" and not block.skip_time_act
    if not isinstance(block.nonlinearity, nn.SiLU) or block.time_emb_proj is None or not plain:
        return
    _fuse(block.norm1, block.nonlinearity)
    _replace(block.norm2, _normed(block.norm2))
    project = block.time_emb_proj.forward
    _replace(block.time_emb_proj, lambda temb: project(functional.silu(temb)))


def _normed(norm: nn.GroupNorm) -> Callable[[Tensor], Tensor]:
    return lambda x: norm_silu(x, norm)
