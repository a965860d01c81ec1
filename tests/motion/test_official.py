"""Weights of the official implementation: nameless lists, read apart, checked, and true to the official arithmetic."""

import pickle
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from mdctl.errors import NotFound, Refused
from mdctl.motion import families, official
from mdctl.motion.backbone import Backbone
from mdctl.motion.families.unet3d import LAYERS
from mdctl.motion.lora import SPATIAL, TEMPORAL, Adapters
from mdctl.motion.schedule import as_timesteps

RANK = 3


def hosts(network: nn.Module, kind: str) -> list[nn.Linear]:
    """The adapted layers in the order of registration, as the official code walks them."""
    import re

    pattern = LAYERS.temporal if kind == TEMPORAL else LAYERS.spatial
    return [m for name, m in network.named_modules() if isinstance(m, nn.Linear) and re.fullmatch(pattern, name)]


def matrices(network: nn.Module, kind: str, clips: int = 1) -> list[Tensor]:
    """A list as the official implementation saves it: up, down of every layer, clip after clip within a layer."""
    chance = torch.Generator().manual_seed(3)
    found = []
    for host in hosts(network, kind):
        for _ in range(clips):
            found.append(torch.randn(host.out_features, RANK, generator=chance) * 0.2)
            found.append(torch.randn(RANK, host.in_features, generator=chance) * 0.2)
    return found


def saved(folder: Path, kind: str, content: object, step: str = "300") -> Path:
    """A file where the official implementation puts it."""
    path = folder / kind / "lora" / f"{step}_unet.pt"
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save(content, path)
    return path


@pytest.mark.parametrize(("kind", "clips"), [(TEMPORAL, 1), (SPATIAL, 1), (SPATIAL, 3)])
def test_predictions_equal_the_official_arithmetic(tiny_model: Path, tmp_path: Path, kind: str, clips: int) -> None:
    """W·x + up(down(x)) in every layer, written out with hooks, gives what the imported adapter gives (1e-5)."""
    model = families.load(tiny_model, torch.device("cpu"), torch.float32)
    listed = matrices(model.network, kind, clips)
    path = saved(tmp_path, kind, [nn.Parameter(one) for one in listed])
    found = official.adapters(official.read(path), kind, model.network, model.layers, path)
    assert len(found) == clips
    latents = torch.randn(model.latent_shape(3, 32, 32), generator=torch.Generator().manual_seed(1))
    at, embeds = as_timesteps(600, 1, model.device), model.embed(["a red square"])
    for clip, (name, tensors) in enumerate(found.items()):
        hooks = [
            host.register_forward_hook(lambda _, inputs, out, up=up, down=down: out + inputs[0] @ down.T @ up.T)
            for host, up, down in zip(
                hosts(model.network, kind),
                listed[2 * clip :: 2 * clips],
                listed[2 * clip + 1 :: 2 * clips],
                strict=True,
            )
        ]
        with torch.no_grad():
            wanted = model.predict(latents, at, embeds)
        for hook in hooks:
            hook.remove()
        other = families.load(tiny_model, torch.device("cpu"), torch.float32)
        adapters = Adapters(other.network, other.layers, {name: RANK})
        for key, weight in zip(tensors, adapters.parameters(name), strict=True):
            assert adapters.tensors(name)[key].shape == tensors[key].shape
            weight.data.copy_(tensors[key])
        with torch.no_grad(), adapters.speaking({name: 1.0}):
            torch.testing.assert_close(other.predict(latents, at, embeds), wanted, rtol=1e-5, atol=1e-5)


def test_the_order_is_down_up_middle(backbone: Backbone) -> None:
    """The official lists walk the modules as registered: the front, down, up, and the middle last."""
    import re

    names = [name for name, _ in backbone.network.named_modules() if re.fullmatch(LAYERS.temporal, name)]
    parts = list(dict.fromkeys(name.partition(".")[0] for name in names))
    assert parts == ["transformer_in", "down_blocks", "up_blocks", "mid_block"]


def test_the_last_checkpoint_is_found(tmp_path: Path) -> None:
    """By the steps in the names, at any depth; a final save without a number is the last; one file is itself."""
    early = saved(tmp_path / "train" / "checkpoint-50", TEMPORAL, [], "50")
    late = saved(tmp_path / "train" / "checkpoint-300", TEMPORAL, [], "300")
    look = saved(tmp_path / "train" / "checkpoint-300", SPATIAL, [], "300")
    assert official.find(tmp_path) == {TEMPORAL: late, SPATIAL: look}
    assert official.find(early.parents[2]) == {TEMPORAL: early}
    assert official.find(early) == {TEMPORAL: early}
    assert official.step_of(late) == 300
    final = saved(tmp_path / "train", TEMPORAL, [], "default")
    assert official.find(tmp_path)[TEMPORAL] == final
    with pytest.raises(NotFound, match="holds no weights"):
        official.find(tmp_path / "none")


@pytest.mark.parametrize(
    ("where", "typed"),
    [
        (".", "run/temporal/lora/300_unet.pt"),
        ("run/temporal/lora", "300_unet.pt"),
        ("run/spatial", "../temporal/lora/300_unet.pt"),
        (".", "run/temporal"),
        ("run/temporal/lora", "."),
        ("run/temporal/lora", ".."),
    ],
)
def test_a_motion_is_a_motion_however_it_is_typed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str, typed: str
) -> None:
    """The folders that a file lies in tell what it is of, also where they are not typed."""
    for kind in (TEMPORAL, SPATIAL):
        saved(tmp_path / "run", kind, [])
    monkeypatch.chdir(tmp_path / where)
    ((kind, path),) = official.find(Path(typed)).items()
    assert kind == TEMPORAL
    assert path.samefile(tmp_path / "run" / "temporal" / "lora" / "300_unet.pt")


def test_a_file_that_lies_nowhere_is_a_look(tmp_path: Path) -> None:
    """One that was taken out of its run; a folder above the run that is called so tells nothing."""
    path = tmp_path / "temporal" / "mine" / "kept" / "300_unet.pt"
    path.parent.mkdir(parents=True)
    path.touch()
    assert official.find(path) == {SPATIAL: path}


class _Evil:
    def __init__(self, canary: Path) -> None:
        self.canary = canary

    def __reduce__(self) -> tuple[object, tuple[str]]:
        import os

        return os.system, (f"touch {self.canary}",)


def test_nothing_is_run(tmp_path: Path) -> None:
    """A pickle that wants to call something is refused, and the call is not made (E1)."""
    canary = tmp_path / "canary"
    for number, write in enumerate((lambda path: torch.save(_Evil(canary), path), _plain_pickle(canary))):
        path = tmp_path / f"{number}_unet.pt"
        write(path)
        with pytest.raises(Refused, match="no weight file"):
            official.read(path)
    assert not canary.exists()


def _plain_pickle(canary: Path):  # type: ignore[no-untyped-def]
    return lambda path: path.write_bytes(pickle.dumps(_Evil(canary)))


@pytest.mark.parametrize(
    "content",
    [
        {"a": torch.zeros(2, 2)},
        [1, 2],
        [torch.zeros(2)],
        [torch.zeros(2, 2, dtype=torch.int64)],
        torch.zeros(2, 2),
        b"x",
    ],
)
def test_what_is_no_list_of_matrices(tmp_path: Path, content: object) -> None:
    """It is refused with what is wrong."""
    path = tmp_path / "1_unet.pt"
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        torch.save(content, path)
    with pytest.raises(Refused, match="no weight file"):
        official.read(path)


def test_counts_and_shapes_are_checked(backbone: Backbone, tmp_path: Path) -> None:
    """Another number of matrices, another shape, another rank half-way, numbers that are not finite."""
    good, path = matrices(backbone.network, TEMPORAL), tmp_path / "x.pt"

    def fails(listed: list[Tensor], why: str, kind: str = TEMPORAL) -> None:
        with pytest.raises(Refused) as caught:
            official.adapters(listed, kind, backbone.network, backbone.layers, path)
        assert why in caught.value.why

    fails(good[:-2], f"takes {len(good)}.")
    fails(good + good, f"takes {len(good)}.")
    fails([], "it has 0 matrices")
    fails(good, "or a multiple of it", SPATIAL) if len(good) % (2 * len(hosts(backbone.network, SPATIAL))) else None
    fails([good[0].T, *good[1:]], "matrices 0 and 1 are")
    fails([*good[:2], good[2][:, :2], *good[3:]], "matrices 2 and 3 are")
    fails([good[0] * float("nan"), *good[1:]], "not finite")
    for rank in (0, 99):
        fails([one[:, :1].repeat(1, rank) if n % 2 == 0 else one[:1].repeat(rank, 1) for n, one in enumerate(good)],
              f"its rank is {rank}, and this base model takes 1 to ")  # fmt: skip


def test_an_untrained_one_is_known(backbone: Backbone, tmp_path: Path) -> None:
    """With all ways up zero an adapter says nothing."""
    listed = matrices(backbone.network, TEMPORAL)
    (tensors,) = official.adapters(listed, TEMPORAL, backbone.network, backbone.layers, tmp_path / "x.pt").values()
    assert not official.untrained(tensors)
    assert official.untrained({key: value * 0 if ".lora_B." in key else value for key, value in tensors.items()})
