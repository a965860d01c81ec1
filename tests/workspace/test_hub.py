"""What is taken from the hub, and what is left there."""

import json
from pathlib import Path
from typing import Any

import pytest
from hubserver import (
    COMMIT,
    REPOSITORY,
    TAKEN,
    TOKEN,
    HubServer,
    content,
    messy,
    planned,
    pulled,
    refused,
    weights,
)

from mdctl.errors import Refused
from mdctl.workspace import locations
from mdctl.workspace.pulled import RECORD, Pulled, header_fault

# --- What is taken


def test_one_set_of_weights_and_nothing_that_runs(server: HubServer) -> None:
    """Half precision where there is, under the plain names; no pickles, no code, nothing twice (K, E5)."""
    folder = pulled()
    assert content(folder) == {name: server.files[source] for name, source in TAKEN.items()}
    assert set(server.fetched) == set(TAKEN.values())


def test_what_is_noted_is_what_the_hub_states(server: HubServer) -> None:
    """Commit, licence, and of each file name, size and hash; there is no token in it."""
    record = Pulled.read(pulled())
    assert record
    assert (record.repository, record.commit, record.licence) == (REPOSITORY, COMMIT, "cc-by-nc-4.0")
    stated = {file["rfilename"]: file for file in server.info()["siblings"]}
    for name, file in record.files.items():
        told = stated[TAKEN[name]]
        large = name.endswith(".safetensors")
        assert (file.source, file.size_bytes) == (told["rfilename"], told["size"])
        assert file.digest == (told["lfs"]["sha256"] if large else told["blobId"])
        assert file.algorithm == ("sha256" if large else "git-sha1")
    assert TOKEN not in (locations.models() / "modelscope" / RECORD).read_text()


def test_names_that_lead_out_of_the_folder(server: HubServer, home: Path) -> None:
    """They are not asked for, and nothing is written but the model."""
    for name in ("../evil.json", "/etc/evil.json", "unet/../../evil.safetensors", "unet\\evil.json"):
        server.files[name] = b"{}"
    assert set(content(pulled())) == set(TAKEN)
    assert not list(home.parent.rglob("evil*"))


@pytest.mark.parametrize("variant", ["", ".fp16"])
def test_weights_in_shards_come_whole(server: HubServer, variant: str) -> None:
    """An index gets the plain name and keeps its content, so that its hash can be looked at later, too."""
    for path in [path for path in server.files if path.startswith("unet/diffusion")]:
        del server.files[path]
    shards = [f"diffusion_pytorch_model{variant}-0000{number}-of-00002.safetensors" for number in (1, 2)]
    index = json.dumps({"weight_map": dict(zip("ab", shards, strict=True))}).encode()
    server.files[f"unet/diffusion_pytorch_model.safetensors.index{variant}.json"] = index
    server.files |= {f"unet/{shard}": weights(7) for shard in shards}
    folder = pulled()
    server.files["unet/../../evil.safetensors"] = weights(7)
    assert (folder / "unet" / "diffusion_pytorch_model.safetensors.index.json").read_bytes() == index
    assert all((folder / "unet" / shard).is_file() for shard in shards)
    for evil in ("../../evil.safetensors", "absent.safetensors", "pickle.bin"):
        index = json.dumps({"weight_map": {"a": shards[0], "b": evil}}).encode()
        server.files[f"unet/diffusion_pytorch_model.safetensors.index{variant}.json"] = index
        with pytest.raises(Refused, match="no model that mdctl can load"):
            planned()


def changed(file: str, **entries: Any) -> dict[str, bytes]:
    """The untidy repository with some entries of a JSON file set anew."""
    files = messy()
    return files | {file: json.dumps(json.loads(files[file]) | entries).encode()}


@pytest.mark.parametrize(
    ("files", "words"),
    [
        (changed("model_index.json", _class_name=["pipeline", "Mine"]), "custom pipeline"),
        (changed("model_index.json", unet=["my_unet", "UNet3DConditionModel"]), "my_unet"),
        (changed("model_index.json", unet=["diffusers", "UNetOfTomorrow"]), "UNetOfTomorrow"),
        (changed("model_index.json", unet=["diffusers", ["odd"]]), "odd"),
        (changed("model_index.json", text_encoder=["transformers", "T5EncoderModel"]), "T5EncoderModel"),
        (changed("unet/config.json", auto_map={"AutoModel": "x.Y"}), "code of its own"),
        (changed("model_index.json", auto_map={"AutoPipeline": "x.Y"}), "code of its own"),
        (changed("unet/config.json", _class_name="UNetMotionModel"), "UNetMotionModel by its own"),
        (messy() | {"model_index.json": b"[]"}, "model_index.json cannot be read"),
        ({path: data for path, data in messy().items() if path != "vae/config.json"}, "vae/config.json"),
        ({path: data for path, data in messy().items() if "vocab" not in path}, "no words"),
        ({path: data for path, data in messy().items() if ".safetensors" not in path}, "unet, vae, text_encoder"),
    ],
)
def test_repositories_that_are_refused(files: dict[str, bytes], words: str) -> None:
    """Pickles only, code of their own, classes that nobody knows: nothing is fetched beyond descriptions (E5)."""
    assert words in refused(files)


def test_pickles_only_names_the_way_out() -> None:
    """A repository may have safetensors at another commit, as that of ZeroScope."""
    bare = {path: data for path, data in messy().items() if not path.endswith(".safetensors")}
    assert "models pull modelscope --revision COMMIT" in refused(bare)


def test_an_image_model_needs_a_motion_adapter(server: HubServer) -> None:
    """With one in the repository it comes along, in its own folder."""
    adapter = "motion_adapter/diffusion_pytorch_model.safetensors"
    server.files |= changed("model_index.json", unet=["diffusers", "UNet2DConditionModel"])
    server.files["unet/config.json"] = b'{"_class_name": "UNet2DConditionModel"}'
    with pytest.raises(Refused) as told:
        planned()
    assert "without a motion adapter" in told.value.why
    server.files |= {"motion_adapter/config.json": b"{}", adapter: weights(8)}
    assert content(pulled())[adapter] == weights(8)


def test_something_else_under_the_name_of_weights(server: HubServer) -> None:
    """What has the right hash and is no safetensors, such as a link of git, is not installed either."""
    server.files["vae/diffusion_pytorch_model.safetensors"] = b"../../../etc/passwd"
    with pytest.raises(Refused, match="no safetensors"):
        pulled()
    assert not (locations.models() / "modelscope").exists()


@pytest.mark.parametrize(
    ("spoil", "fault"),
    [
        (lambda data: data[:-1], "bytes of weights"),
        (lambda data: data[:4], "no header"),
        (lambda data: b"\xff" * 8 + data[8:], "no header"),
        (lambda data: data[:8] + b"?" + data[9:], "cannot be read"),
        (lambda data: data.replace(b"[0, 2000]", b"[0,1e999]"), "cannot be read"),
    ],
)
def test_headers_are_compared_with_lengths(tmp_path: Path, spoil: Any, fault: str) -> None:
    """A header has to be there, to be JSON, and to end where the file ends."""
    path = tmp_path / "x.safetensors"
    path.write_bytes(weights(1))
    assert header_fault(path) == ""
    path.write_bytes(spoil(weights(1)))
    assert fault in header_fault(path)
