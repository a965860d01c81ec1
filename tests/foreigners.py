"""What the tests of other programs' files share: names, and a model with what it says."""

from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from mdctl.motion import exchange, families, foreign
from mdctl.motion.backbone import Backbone
from mdctl.motion.lora import AdapterCard
from mdctl.motion.schedule import as_timesteps

RANK = 4
LOOK = "spatial_000"
STYLES = exchange.STYLES["animatediff"]

Taken = Callable[..., foreign.Adapter]


def model_of(folder: Path) -> Backbone:
    """The model, loaded again: adapters stay in a network once they are laid into it."""
    return families.load(folder, torch.device("cpu"), torch.float32)


def answer(model: Backbone) -> Tensor:
    """What a model says of the same four frames."""
    latents = torch.randn(model.latent_shape(4, 32, 32), generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        return model.predict(latents, as_timesteps(500, 1, model.device), model.embed(["a red square"]))


def card(rank: int) -> AdapterCard:
    """What the file of a look says of itself."""
    return AdapterCard("spatial", rank, "f" * 32, families.animatediff.LAYERS.spatial)
