"""Adapters of a tiny AnimateDiff, and what it says with each of them."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from foreigners import LOOK, RANK, STYLES, Taken, answer, model_of
from safetensors.torch import save
from tiny import tiny_animatediff
from torch import Tensor, nn

from mdctl.motion import exchange, families, foreign
from mdctl.motion.lora import COUPLED, TEMPORAL, Adapters, pack


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny AnimateDiff."""
    return tiny_animatediff(tmp_path_factory.mktemp("animatediff") / "model")


@pytest.fixture(scope="module")
def network(folder: Path) -> nn.Module:
    """Its network without weights."""
    return families.blueprint(folder)


@pytest.fixture(scope="module")
def files(folder: Path) -> dict[str, bytes]:
    """Adapters of a motion, of a look, and of both at once, as mdctl keeps them."""
    model, chance = model_of(folder), torch.Generator().manual_seed(0)
    adapters = Adapters(model.network, model.layers, {TEMPORAL: RANK, LOOK: RANK, COUPLED: RANK})
    for name in adapters.names:
        for weight in adapters.parameters(name):
            weight.data.copy_(0.3 * torch.randn(weight.shape, generator=chance))
    return {name: pack(adapters.tensors(name), adapters.card(name, "f" * 32)) for name in adapters.names}


@pytest.fixture(scope="module")
def answers(folder: Path, files: dict[str, bytes]) -> dict[str, Tensor]:
    """What the model says with each of them, and with none under ''."""
    model = model_of(folder)
    found = {"": answer(model)}
    adapters = Adapters(model.network, model.layers, dict.fromkeys(files, RANK))
    for name, content in files.items():
        adapters.load(name, content, name)
        with adapters.speaking({name: 1.0}):
            found[name] = answer(model)
    return found


@pytest.fixture
def written(files: dict[str, bytes], tmp_path: Path) -> Callable[[str, str], Path]:
    """`written(TEMPORAL, "diffusers")` is that adapter as a file for that program."""

    def write(name: str, to: str) -> Path:
        content, left_out = exchange.to_file(files[name], name, STYLES[to], {"steps": "300"})
        assert content
        assert not left_out
        path = tmp_path / f"{name}-{to}.safetensors"
        path.write_bytes(content)
        return path

    return write


@pytest.fixture
def taken(network: nn.Module, tmp_path: Path) -> Taken:
    """`taken(tensors)` takes a file of these tensors in."""

    def take(
        tensors: dict[str, Tensor], metadata: dict[str, str] | None = None, kind: str | None = None
    ) -> foreign.Adapter:
        path = tmp_path / "given.safetensors"
        path.write_bytes(save({key: value.clone() for key, value in tensors.items()}, metadata))
        return foreign.adapter(foreign.read(path), network, families.animatediff.LAYERS, kind)

    return take
