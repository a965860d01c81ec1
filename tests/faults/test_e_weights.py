"""E: weights and models. Nothing in them runs, what does not fit is said, and what was damaged is found."""

import json
import pickle
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from hubserver import UNET, HubServer, messy, serving
from rows import as_given, fault, nothing
from safetensors.torch import load, save
from stage import Mdctl, sidecar, tree
from torch import Tensor

from mdctl.workspace import locations
from mdctl.workspace.project import Project
from mdctl.workspace.runs import Run

Hold = Callable[[Path], None]
FAST = ("--steps", "1", "--threads", "1")


class Evil:
    """Something that touches a canary when it is unpickled."""

    def __init__(self, canary: Path) -> None:
        self.canary = canary

    def __reduce__(self) -> tuple[object, tuple[str]]:
        import os

        return os.system, (f"touch {self.canary}",)


def flip(path: Path) -> None:
    """Turn one bit of a file, at its end."""
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


# --- Files that run


def _unpickled(file: Path) -> Any:
    return torch.load(file, weights_only=False)


@fault("E1", guard="mdctl.motion.official.read", without=_unpickled)
@pytest.mark.parametrize(
    ("name", "convert"),
    [("lora.pt", ()), ("lora.safetensors", ()), ("lora.mdz", ()), ("lora.pt", ("--convert",))],
)
def test_a_pickle_does_not_run(
    mdctl: Mdctl, golf: Project, tmp_path: Path, model: Path, name: str, convert: tuple[str, ...]
) -> None:
    """Whatever it is called and however it is packed, what it wants to do is not done."""
    canary, path = tmp_path / "canary", tmp_path / name
    before = tree(locations.home())
    for number in range(2):
        if number:
            torch.save(Evil(canary), path)
        else:
            path.write_bytes(pickle.dumps(Evil(canary)))
        said = mdctl("import", str(path), "--model", str(model), *convert)
        assert said.code == 10, said.err
        assert convert or "pickle" in said.err
    assert not canary.exists()
    assert tree(locations.home()) == before


# --- Files that mean something else


@pytest.fixture
def lora(run: Run) -> dict[str, Tensor]:
    """The motion of `golf` as tensors."""
    found: dict[str, Tensor] = load(run.saves()[-1].read("temporal.safetensors"))
    return found


@pytest.fixture
def take(mdctl: Mdctl, model: Path, tmp_path: Path) -> Callable[..., Any]:
    """`take(tensors)` imports a LoRA file onto the tiny model."""

    def importing(tensors: dict[str, Tensor], metadata: dict[str, str] | None = None, *flags: str) -> Any:
        (tmp_path / "x.safetensors").write_bytes(save(tensors, metadata))
        return mdctl(
            "import", str(tmp_path / "x.safetensors"), *(flags or ("--model", str(model))), "--caption", "a walk"
        )

    return importing


def _unequal(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    (first, matrix), *rest = tensors.items()
    return {first: matrix.repeat(2, 2), **dict(rest)}


def _not_finite(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    (first, matrix), *rest = tensors.items()
    return {first: matrix * float("nan"), **dict(rest)}


WRONG: dict[str, tuple[Callable[[dict[str, Tensor]], dict[str, Tensor]], str]] = {
    "shape": (_unequal, "it is ("),
    "not finite": (_not_finite, "not finite"),
    "other keys": (
        lambda t: {f"other.{number}": one for number, one in enumerate(t.values())},
        "nothing in it is a layer",
    ),
    "half of it": (lambda t: {key: one for key, one in t.items() if "lora_A" in key}, "one way only"),
    "doubles": (lambda t: {key: one.double() for key, one in t.items()}, "holds F64"),
    "a large rank": (
        lambda t: {k: one.repeat(99, 1) if "lora_A" in k else one.repeat(1, 99) for k, one in t.items()},
        "its rank is 198",
    ),
    "many tensors": (lambda t: {f"{number}": torch.zeros(1) for number in range(10_001)}, "it has 10001 tensors"),
}


def _believed(weights: Any, keys: Any, rank: int, shapes: Any) -> Any:
    return torch.zeros(shapes[0]), torch.zeros(shapes[1])


def _taken(lora: dict[str, Tensor], take: Callable[..., Any], how: str) -> tuple[Any, str]:
    """What is said of a changed file, and the words that belong into it."""
    change, words = WRONG[how]
    return take(change(lora)), words


@fault("E3", guard="mdctl.motion.foreign._ways", without=_believed)
@pytest.mark.parametrize("how", ["shape", "not finite", "half of it"])
def test_a_layer_that_does_not_fit(golf: Project, lora: dict[str, Tensor], take: Callable[..., Any], how: str) -> None:
    """The layer is named, with what it is and what it should be."""
    said, words = _taken(lora, take, how)
    assert (said.code, words in said.err) == (10, True), said.err


@fault("E3")
@pytest.mark.parametrize("how", WRONG)
def test_a_valid_file_of_wrong_meaning(
    golf: Project, lora: dict[str, Tensor], take: Callable[..., Any], how: str
) -> None:
    """It is refused with a short difference, and nothing of it is kept."""
    before = tree(locations.home())
    said, words = _taken(lora, take, how)
    assert (said.code, words in said.err) == (10, True), said.err
    assert len(said.err) < 2000
    assert tree(locations.home()) == before


@fault("E3")
def test_a_file_that_says_nothing(
    golf: Project, lora: dict[str, Tensor], take: Callable[..., Any], mdctl: Mdctl
) -> None:
    """One that was never trained is told when it comes, and refused when it is to speak."""
    said = take({key: one * ("lora_A" in key) for key, one in lora.items()})
    assert (said.code, "was never trained" in said.err) == (0, True), said.err
    said = mdctl("gen", "x", "a monkey", *FAST)
    assert said.code == 10, said.err


@fault("E4", guard=("mdctl.cli.share.foreign.safe", "mdctl.cli.face.safe"), without=as_given)
def test_what_a_file_says_of_itself(lora: dict[str, Tensor], take: Callable[..., Any]) -> None:
    """Markup, sequences, HTML and a megabyte of text are shown harmless and cut."""
    said = take(lora, {"ss_sd_model_name": "[red]<b>\x1b[2J\x1b]0;x\x07 " + "y" * 1_000_000}, "--name", "x")
    assert said.code == 4
    assert r"[red]<b>\x1b[2J\x1b]0;x\x07" in said.err
    assert "\x1b" not in said.err
    assert len(said.err) < 2000


# --- Models


NO_SAFETENSORS = {name: content for name, content in messy().items() if not name.endswith(".safetensors")}
INDEX = json.loads(messy()["model_index.json"])
HOSTILE: dict[str, tuple[dict[str, bytes], str]] = {
    "pickles only": (NO_SAFETENSORS, "no safetensors weights"),
    "custom pipeline": (
        messy({"model_index.json": json.dumps(INDEX | {"_class_name": ["x", "Y"]}).encode()}),
        "custom",
    ),
    "remote code": (messy({"unet/config.json": b'{"auto_map": {"AutoModel": "model.Evil"}}'}), "code of its own"),
    "unknown class": (
        messy({"model_index.json": json.dumps(INDEX | {"unet": ["diffusers", "EvilModel"]}).encode()}),
        "is a EvilModel",
    ),
    "own library": (
        messy({"model_index.json": json.dumps(INDEX | {"vae": ["evil_code", "AutoencoderKL"]}).encode()}),
        "evil_code",
    ),
}


@fault("E5", guard="mdctl.workspace.layout._judge", without=lambda *_: "UNet3DConditionModel")
@pytest.mark.parametrize("how", HOSTILE)
def test_a_repository_that_would_run_code(mdctl: Mdctl, home: Path, how: str) -> None:
    """It is refused by its description, before anything large is fetched, and what is missing is said."""
    files, words = HOSTILE[how]
    with serving(files) as server:
        said = mdctl("models", "pull", "modelscope", "--yes")
    assert (said.code, words in said.err) == (10, True), said.err
    assert not [path for path in server.fetched if path.endswith((".bin", ".safetensors", ".py"))]
    assert not locations.models().exists()


@fault("E5")
def test_a_model_folder_of_pickles(mdctl: Mdctl, fresh: Project, model: Path, tmp_path: Path) -> None:
    """A folder of one's own is no exception."""
    mine = shutil.copytree(model, tmp_path / "mine")
    (mine / "unet" / "diffusion_pytorch_model.safetensors").unlink()
    (mine / "unet" / "diffusion_pytorch_model.bin").write_bytes(pickle.dumps(Evil(tmp_path / "canary")))
    said = mdctl("train", "golf", "--model", str(mine), "--steps", "1")
    assert said.code == 10, said.err
    assert not (tmp_path / "canary").exists()


class _Agreeing:
    def __init__(self, digest: str) -> None:
        self._digest = digest

    def update(self, block: bytes) -> None:
        """Take no notice."""

    def hexdigest(self) -> str:
        """What was expected."""
        return self._digest


@pytest.fixture
def hub() -> Iterator[HubServer]:
    """A hub with an untidy repository."""
    with serving(messy()) as running:
        yield running


@fault("E6", guard="mdctl.workspace.pulled.Stated.hasher", without=lambda stated: _Agreeing(stated.digest))
def test_a_file_that_is_not_what_was_promised(mdctl: Mdctl, hub: HubServer, home: Path) -> None:
    """Expected and got are told, nothing is installed; with the right file all is well."""
    hub.spoilt[UNET] = 2
    said = mdctl("models", "pull", "modelscope", "--yes")
    assert said.code == 10, said.err
    assert "expected" in said.err
    assert "got, twice" in said.err
    assert not (locations.models() / "modelscope").exists()
    assert mdctl("models", "pull", "modelscope", "--yes").code == 0
    assert mdctl("models", "verify", "modelscope").code == 0


@fault("E6")
@pytest.mark.parametrize("status", [401, 403])
def test_a_model_behind_a_gate(mdctl: Mdctl, hub: HubServer, status: int) -> None:
    """How to come in is told, and the copy that is here works on."""
    assert mdctl("models", "pull", "modelscope", "--yes").code == 0
    hub.commit = "f" * 40
    hub.statuses["info"] = [status]
    said = mdctl("models", "pull", "modelscope", "--yes")
    assert (said.code, "hf auth login" in said.err) == (8, True), said.err
    assert mdctl("models", "verify", "modelscope").code == 0


# --- Bits that turn


@fault("E7", guard="mdctl.workspace.saves.Save.verify", without=nothing)
def test_a_bit_of_a_save(mdctl: Mdctl, golf: Project, run: Run, tmp_path: Path) -> None:
    """`verify` finds it, `export` refuses it, training goes on from the save before, and says so."""
    flip(run.saves()[-1].folder / "temporal.safetensors")
    said = mdctl("verify", "golf")
    assert (said.code, "its content has changed" in said.out) == (10, True), said.out
    assert mdctl("export", "golf", "--checkpoint", "6", "-o", str(tmp_path / "x.mdz")).code == 10
    said = mdctl("train", "golf", "--steps", "7")
    assert (said.code, "step 6 is damaged" in said.err, "step 4 is used" in said.err) == (0, True, True), said.err
    assert mdctl("verify", "golf").code == 10, "the damaged one is still named"


@fault("E7")
def test_a_bit_of_a_model(mdctl: Mdctl, hub: HubServer) -> None:
    """A pulled model is compared with what the hub stated, byte for byte."""
    assert mdctl("models", "pull", "modelscope", "--yes").code == 0
    flip(locations.models() / "modelscope" / "unet" / "diffusion_pytorch_model.safetensors")
    said = mdctl("models", "verify", "modelscope")
    assert (said.code, "1 of " in said.err) == (10, True), said.err


# --- The wrong base model


@fault("E8", guard="mdctl.motion.lora.misfits", without=lambda *_: [])
def test_another_architecture(mdctl: Mdctl, golf: Project, tmp_path: Path) -> None:
    """What was learned on another kind of model is refused, with the first layer that differs."""
    assert mdctl("export", "golf", "-o", str(tmp_path / "golf.mdz")).code == 0
    said = mdctl("import", str(tmp_path / "golf.mdz"), "--name", "guest", "--model", "starter")
    assert (said.code, "MD-LORA-MISFIT" in said.err) == (10, True), said.err


@fault("E8")
def test_another_fine_tune(mdctl: Mdctl, golf: Project, model: Path, tmp_path: Path) -> None:
    """Other weights of the same shape are used, that is said, and it stands beside the video."""
    assert mdctl("export", "golf", "-o", str(tmp_path / "golf.mdz")).code == 0
    other = shutil.copytree(model, tmp_path / "tuned")
    config = other / "scheduler" / "scheduler_config.json"
    config.write_text(config.read_text() + "\n")
    assert mdctl("import", str(tmp_path / "golf.mdz"), "--model", str(other), "--name", "guest").code == 0
    said = mdctl("gen", "guest", "a monkey", *FAST)
    assert (said.code, "it is used all the same" in said.err) == (0, True), said.err
    assert sidecar(said.lines[0])["model"]["name"] == str(other)
