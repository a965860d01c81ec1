"""What the tests of motion share: a tiny true model and what it is asked."""

from pathlib import Path

import pytest
import torch
from tiny import tiny_folder
from torch import Tensor

from mdctl.motion import families
from mdctl.motion.backbone import Backbone


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> None:
    """Sums are the same everywhere, and tiny tensors gain nothing from a second thread."""
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a tiny model."""
    return tiny_folder(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture
def backbone(tiny_model: Path) -> Backbone:
    """The tiny model, freshly loaded, because adapters stay in a network once they are laid into it."""
    return families.load(tiny_model, torch.device("cpu"), torch.float32)


@pytest.fixture
def inputs(backbone: Backbone) -> tuple[Tensor, Tensor, Tensor]:
    """Noisy latents of four frames, their timestep, and an embedded prompt."""
    chance = torch.Generator().manual_seed(0)
    latents = torch.randn(backbone.latent_shape(4, 32, 32), generator=chance)
    return latents, torch.tensor([500]), backbone.embed(["a red square orbiting"])
