"""What speed is measured on: networks of random weights, for which nothing is downloaded."""

from typing import Any

import torch
from diffusers import UNet3DConditionModel
from torch import nn

from mdctl.motion.backbone import Backbone
from mdctl.motion.families.unet3d import UNet3D
from mdctl.motion.noise import generator
from mdctl.motion.passes import Drawn
from mdctl.motion.plan import SHRINK, TOKENS
from mdctl.motion.schedule import Schedule
from mdctl.settings import Shape

TINY: dict[str, Any] = {
    "block_out_channels": (32, 64, 96, 96),
    "layers_per_block": 1,
    "norm_num_groups": 8,
    "cross_attention_dim": 32,
    "attention_head_dim": 16,
}
"""The U-Net of ZeroScope with narrow widths, for computers without a GPU."""

SIZES = {"tiny": (Shape(8, 8, 64, 64),), "full": (Shape(16, 8, 384, 384), Shape(24, 8, 576, 320))}


def network(tiny: bool, device: torch.device, dtype: torch.dtype) -> nn.Module:
    """A U-Net of random weights; layers that begin as zero are drawn too, because zeros are computed faster."""
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(0)
        with torch.device(device):
            unet: nn.Module = UNet3DConditionModel(**(TINY if tiny else {}))
        for name, weight in unet.named_parameters():
            if ".conv4.3." in name:
                nn.init.normal_(weight, std=0.02)
    return nn.Module.to(unet, dtype)


def backbone(of: nn.Module) -> Backbone:
    """The network as training knows it, which can neither read nor see."""
    blind: Any = nn.Module()
    return UNet3D(of, blind, blind, blind, Schedule({}))


def draws(of: Backbone, shape: Shape, count: int, clips: int = 1, dtype: torch.dtype = torch.float32) -> list[Drawn]:
    """The same noise, timesteps and frames for whoever is measured; none is masked."""
    config: Any = of.network.config
    size = (1, config.in_channels, shape.frames, shape.height // SHRINK, shape.width // SHRINK)

    def random(stream: str, number: int, *form: int) -> torch.Tensor:
        return torch.randn(form, generator=generator(0, stream, number)).to(of.device, dtype)

    return [
        Drawn(
            clip=number % clips,
            noisy_latents=random("speed/noisy", number, *size),
            timesteps=torch.tensor([(137 * number + 100) % 1000], device=of.device),
            target=random("speed/target", number, *size),
            embeds=random("speed/embeds", number, 1, TOKENS, config.cross_attention_dim),
            frame=number % shape.frames,
            anchor=(3 * number) % shape.frames,
            masked=False,
        )
        for number in range(count)
    ]
