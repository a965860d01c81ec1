"""A model folder is loaded whole, or refused in a sentence."""

import json
import shutil
from contextlib import suppress
from pathlib import Path

import pytest
import torch
from diffusers import UNet3DConditionModel
from safetensors.torch import load_file, save_file
from tiny import tiny_animatediff, tiny_scheduler
from torch import Tensor

from mdctl.errors import BadInput, MdctlError, Refused
from mdctl.motion import families
from mdctl.motion.backbone import Backbone
from mdctl.motion.families.unet3d import UNet3D


@pytest.fixture
def folder(tiny_model: Path, tmp_path: Path) -> Path:
    """A copy of the tiny model that may be damaged."""
    return shutil.copytree(tiny_model, tmp_path / "model")


def load(folder: Path) -> Backbone:
    """The model in this folder, on the CPU."""
    return families.load(folder, torch.device("cpu"), torch.float32)


def test_loading_is_quiet(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Nothing is written to the screen, which belongs to the caller."""
    load(folder)
    found = capfd.readouterr()
    assert found.out + found.err == ""


@pytest.mark.parametrize("part", UNet3D.parts)
def test_a_missing_part_is_named(folder: Path, part: str) -> None:
    """Without one of its folders it is no model."""
    shutil.rmtree(folder / part)
    with pytest.raises(BadInput, match="no text-to-video model") as caught:
        load(folder)
    assert part in caught.value.why


@pytest.mark.parametrize("text", ["", "[]", "{}", "not json", '{"_class_name": 3}', '{"_class_name": "UNet2DModel"}'])
def test_a_u_net_of_another_family_is_refused(folder: Path, text: str) -> None:
    """Unreadable or foreign descriptions of the U-Net end in a sentence."""
    (folder / "unet" / "config.json").write_text(text, encoding="utf-8")
    with pytest.raises(BadInput):
        load(folder)


@pytest.mark.parametrize("part", ["unet", "vae", "text_encoder"])
def test_pickled_weights_are_not_opened(folder: Path, part: str) -> None:
    """A part whose weights are no safetensors is refused, even where pickled ones lie beside."""
    weights = next((folder / part).glob("*.safetensors"))
    pickled = "pytorch_model.bin" if part == "text_encoder" else "diffusion_pytorch_model.bin"
    torch.save({"weight": torch.zeros(1)}, folder / part / pickled)
    weights.unlink()
    with pytest.raises(Refused):
        load(folder)


@pytest.mark.parametrize("part", ["unet", "vae", "text_encoder"])
@pytest.mark.parametrize("keep", [0, 7, 1000])
def test_damaged_weights_are_refused(folder: Path, part: str, keep: int) -> None:
    """Weights that end too early are refused, and the folder is named."""
    weights = next((folder / part).glob("*.safetensors"))
    weights.write_bytes(weights.read_bytes()[:keep])
    with pytest.raises(Refused, match="cannot be loaded") as caught:
        load(folder)
    assert caught.value.why
    assert str(folder) in caught.value.what


@pytest.mark.parametrize("part", ["vae/config.json", "text_encoder/config.json", "scheduler/scheduler_config.json"])
@pytest.mark.parametrize("text", ["", "[]", "{"])
def test_damaged_descriptions_are_refused(folder: Path, part: str, text: str) -> None:
    """Every description that cannot be read ends in a sentence."""
    (folder / part).write_text(text, encoding="utf-8")
    with pytest.raises(MdctlError):
        load(folder)


def test_a_damaged_tokenizer_is_refused(folder: Path) -> None:
    """A tokenizer that cannot be read ends in a sentence."""
    for file in (folder / "tokenizer").iterdir():
        file.write_text("", encoding="utf-8")
    with pytest.raises(MdctlError):
        load(folder)


@pytest.mark.parametrize("file", ["tokenizer_config.json", "config.json"])
def test_code_beside_a_tokenizer_never_runs(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, file: str
) -> None:
    """A folder that brings a class of its own is not even asked about, whoever would say yes (N9)."""
    ran = tmp_path / "ran"
    (folder / "tokenizer" / "evil.py").write_text(f"open({str(ran)!r}, 'w')\nclass Evil: ...\n", encoding="utf-8")
    described = {"auto_map": {"AutoTokenizer": ["evil.Evil", None], "AutoConfig": "evil.Evil"}, "model_type": "evil"}
    (folder / "tokenizer" / file).write_text(json.dumps(described), encoding="utf-8")
    asked: list[str] = []
    monkeypatch.setattr("builtins.input", lambda question="": asked.append(question) or "y")
    with suppress(Refused):
        load(folder)
    assert not ran.exists()
    assert asked == []


def test_an_unknown_prediction_is_told_as_it_is(folder: Path) -> None:
    """A schedule that mdctl does not know keeps its own sentence."""
    tiny_scheduler(prediction_type="sample").save_pretrained(folder / "scheduler")
    with pytest.raises(BadInput, match="'sample'"):
        load(folder)


def test_the_schedule_is_the_folders(folder: Path) -> None:
    """What the scheduler's folder says is what training and sampling use."""
    config = folder / "scheduler" / "scheduler_config.json"
    known = json.loads(config.read_text(encoding="utf-8"))
    config.write_text(json.dumps({**known, "prediction_type": "v_prediction", "num_train_timesteps": 500}))
    schedule = load(folder).schedule
    assert schedule.prediction_type == "v_prediction"
    assert schedule.num_timesteps == 500


FORMATS = (torch.float16, torch.bfloat16, torch.float32)


def restored(folder: Path, **kinds: torch.dtype) -> None:
    """Store the weights of these parts in another number format; numbers that are no fractions stay."""
    for part, kind in kinds.items():
        file = next((folder / part).glob("*.safetensors"))
        save_file({name: x.to(kind) if x.is_floating_point() else x for name, x in load_file(file).items()}, file)


def weights(backbone: Backbone) -> dict[str, Tensor]:
    """All that a loaded model is made of."""
    parts = {part: getattr(backbone, part) for part in ("network", "vae", "text_encoder")}
    return {f"{part}.{name}": x for part, module in parts.items() for name, x in module.state_dict().items()}


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("wanted", FORMATS)
def test_weights_are_converted_once(folder: Path, kind: torch.dtype, wanted: torch.dtype) -> None:
    """Read as they are stored, they come out as if they had been read in the format that is wanted."""
    restored(folder, unet=kind, vae=kind, text_encoder=kind)
    found = weights(families.load(folder, torch.device("cpu"), wanted))
    network = UNet3DConditionModel.from_pretrained(folder / "unet", torch_dtype=wanted)
    expected = {f"network.{name}": x for name, x in network.state_dict().items()}
    torch.testing.assert_close({name: found[name] for name in expected}, expected, rtol=0, atol=0)
    assert {x.dtype for x in found.values() if x.is_floating_point()} == {wanted}


def test_a_file_of_two_formats_loses_nothing(folder: Path) -> None:
    """Where some weights are stored more finely than others, none is read as the coarser."""
    file = next((folder / "unet").glob("*.safetensors"))
    fine = load_file(file)
    coarse = {name: x.half() if name.startswith("conv_in") else x for name, x in fine.items()}
    save_file(coarse, file)
    found = load(folder).network.state_dict()
    torch.testing.assert_close(found, {name: x.float() for name, x in coarse.items()}, rtol=0, atol=0)


def test_a_motion_adapter_of_another_format_loses_nothing(tmp_path: Path) -> None:
    """An image model in 16 bits does not round the motion adapter that lies beside it in 32."""
    folder = tiny_animatediff(tmp_path / "two")
    fine = load(folder).network.state_dict()
    restored(folder, unet=torch.float16)
    found = load(folder).network.state_dict()
    motion = [name for name in fine if "motion_modules" in name]
    assert motion
    torch.testing.assert_close({n: found[n] for n in motion}, {n: fine[n] for n in motion}, rtol=0, atol=0)
