"""What is taken from the hub, what is left there, and what becomes of a pull in whose way something comes."""

import errno
import json
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hubserver import COMMIT, REPOSITORY, TOKEN, HubServer, messy, running, serving, weights

from mdctl.errors import MdctlError, NotFound, NotInstalled, Refused
from mdctl.workspace import download, layout, locations
from mdctl.workspace.download import Plan
from mdctl.workspace.hub import Hub
from mdctl.workspace.pulled import RECORD, Pulled, Stated, header_fault

UNET = "unet/diffusion_pytorch_model.fp16.safetensors"
TAKEN = {
    "model_index.json": "model_index.json",
    "unet/config.json": "unet/config.json",
    "vae/config.json": "vae/config.json",
    "text_encoder/config.json": "text_encoder/config.json",
    "scheduler/scheduler_config.json": "scheduler/scheduler_config.json",
    "tokenizer/vocab.json": "tokenizer/vocab.json",
    "tokenizer/merges.txt": "tokenizer/merges.txt",
    "tokenizer/tokenizer_config.json": "tokenizer/tokenizer_config.json",
    "unet/diffusion_pytorch_model.safetensors": UNET,
    "vae/diffusion_pytorch_model.safetensors": "vae/diffusion_pytorch_model.safetensors",
    "text_encoder/model.safetensors": "text_encoder/model.fp16.safetensors",
}
"""What is wanted of the untidy repository: by name in the folder, the name in the repository."""


@pytest.fixture
def server() -> Iterator[HubServer]:
    """A hub with an untidy repository."""
    with serving(messy()) as running:
        yield running


def planned(hub: Hub | None = None) -> Plan:
    """A look at the repository, as `models pull modelscope` takes it."""
    return download.plan(hub or Hub(), "modelscope", locations.models() / "modelscope", REPOSITORY, None)


def pulled(plan: Plan | None = None) -> Path:
    """A whole pull, and where the model lies."""
    hub = Hub()
    plan = plan or planned(hub)
    list(download.gather(hub, plan, lambda more: None))
    download.settle(plan)
    return plan.folder


def content(folder: Path) -> dict[str, bytes]:
    """Every file below a folder but the record."""
    files = (path for path in folder.rglob("*") if path.is_file() and path.name != RECORD)
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def refused(files: dict[str, bytes]) -> str:
    """Why a repository is refused."""
    with serving(files) as server, pytest.raises(Refused) as told:
        planned()
    assert not [path for path in server.fetched if not path.endswith(".json")], "nothing large was fetched"
    assert not locations.models().exists()
    return f"{told.value.what} {told.value.why} {' '.join(told.value.fix)}"


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


# --- What comes in its way


@pytest.mark.parametrize(("share", "ranges"), [(0.1, True), (0.5, True), (0.5, False), (0.99, True)])
def test_a_connection_that_breaks_is_taken_up_again(server: HubServer, share: float, ranges: bool) -> None:
    """Within the file where the hub can do that; what came is right either way (K2)."""
    server.cuts[UNET], server.ranges = [share], ranges
    assert content(pulled())["unet/diffusion_pytorch_model.safetensors"] == server.files[UNET]
    starts = [headers.get("Range") for path, headers in server.asked if path.endswith(UNET)]
    assert starts[0] is None
    assert len(starts) == 2
    assert starts[1]


def test_patience_begins_anew_once_something_arrives(server: HubServer) -> None:
    """Also in the try that brought it: a busy hub and then a line that breaks are not added up."""
    server.statuses[UNET], server.cuts[UNET] = [500, 500], [0.5]
    assert content(pulled())["unet/diffusion_pytorch_model.safetensors"] == server.files[UNET]


def test_a_pull_that_was_given_up_goes_on(server: HubServer) -> None:
    """Finished files are not fetched again, the one in flight goes on where it was; there is no model until then."""
    server.cuts[UNET], plan = [0.5, 0, 0], planned()
    with pytest.raises(NotInstalled) as told:
        pulled(plan)
    assert told.value.saved == "what has arrived is kept."
    assert not plan.folder.exists()
    assert len(server.files[UNET]) // 3 < plan.arrived_bytes < plan.record.size_bytes
    server.asked.clear()
    pulled(plan)
    (asked,) = [(path, headers) for path, headers in server.asked if "/resolve/" in path]
    assert asked[0].endswith(UNET)
    assert int(asked[1]["Range"].removeprefix("bytes=").rstrip("-")) > len(server.files[UNET]) // 3
    assert content(plan.folder)["unet/diffusion_pytorch_model.safetensors"] == server.files[UNET]
    assert [path.name for path in locations.models().iterdir()] == ["modelscope"]


@pytest.mark.parametrize("leftover", [b"something else", b"x" * 500_000])
def test_leftovers_of_another_commit_do_no_harm(server: HubServer, leftover: bytes) -> None:
    """What lies in the staging folder counts only by its hash; what does not belong there goes."""
    plan = planned()
    for name in ("unet/diffusion_pytorch_model.safetensors", "motion_adapter/config.json", "old.json"):
        (plan.stage / name).parent.mkdir(parents=True, exist_ok=True)
        (plan.stage / name).write_bytes(leftover)
    assert set(content(pulled(plan))) == set(TAKEN)
    assert not (plan.folder / "motion_adapter").exists()


def test_an_answer_that_is_too_short(server: HubServer) -> None:
    """The rest is asked for (K2)."""
    server.shorts[UNET] = [100]
    assert content(pulled())["unet/diffusion_pytorch_model.safetensors"] == server.files[UNET]


def test_a_wrong_hash_once(server: HubServer) -> None:
    """The file is thrown away and fetched once more (K2)."""
    server.spoilt[UNET] = 1
    assert content(pulled())["unet/diffusion_pytorch_model.safetensors"] == server.files[UNET]
    assert server.fetched.count(UNET) == 2


def test_a_wrong_hash_always(server: HubServer) -> None:
    """Expected and got are told, nothing is installed, and the copy that was there stays (E6)."""
    before = content(pulled())
    server.commit = "f" * 40
    server.files[UNET] = weights(9, 400_000)
    plan, server.spoilt[UNET] = planned(), 2
    with pytest.raises(Refused) as told:
        pulled(plan)
    assert plan.record.files["unet/diffusion_pytorch_model.safetensors"].digest in told.value.why
    assert "got, twice" in told.value.why
    assert content(plan.folder) == before
    record = Pulled.read(plan.folder)
    assert record
    assert record.commit == COMMIT
    assert not any(fault for _, fault in record.faults(plan.folder))
    assert content(pulled(plan))["unet/diffusion_pytorch_model.safetensors"] == server.files[UNET]
    assert [path.name for path in locations.models().iterdir()] == ["modelscope"], "the older copy is gone"


def test_a_wrong_hash_names_the_commit(server: HubServer) -> None:
    """The line that is offered brings what was asked for, and not what is newest by then."""
    server.spoilt[UNET] = 2
    with pytest.raises(Refused) as told:
        pulled()
    assert f"mdctl models pull modelscope --revision {COMMIT} " in told.value.fix[0]


def test_a_leftover_costs_no_try(server: HubServer) -> None:
    """What another commit has left is thrown away, and two tries from zero remain."""
    plan, server.spoilt[UNET] = planned(), 1
    left = plan.stage / "unet" / "diffusion_pytorch_model.safetensors"
    left.parent.mkdir(parents=True)
    left.write_bytes(b"x" * 500_000)
    assert content(pulled(plan))["unet/diffusion_pytorch_model.safetensors"] == server.files[UNET]


def test_data_and_cache_on_two_disks(server: HubServer, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Weights are replaced and removed in their own folder: nothing goes to the trash, and the old goes last."""
    pulled()
    server.commit = "f" * 40
    plan, rename, seen = planned(), Path.rename, list[list[str]]()

    def on_one_disk(path: Path, target: Path) -> Path:
        if path.is_relative_to(locations.models()) != target.is_relative_to(locations.models()):
            raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))
        seen.append(sorted(each.name for each in locations.models().iterdir()))
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", on_one_disk)
    pulled(plan)
    assert seen[-1] == [".old-modelscope", "modelscope"], "the old copy goes when the new one is there"
    assert [path.name for path in locations.models().iterdir()] == ["modelscope"]
    (locations.models() / ".tmp-ffffffff-1-1-0123456789ab").mkdir()
    os.utime(locations.models() / ".tmp-ffffffff-1-1-0123456789ab", (0, 0))
    download.remove(plan.folder)
    assert list(locations.models().iterdir()) == []
    assert not locations.trash().exists()


def test_a_description_with_a_wrong_hash(server: HubServer) -> None:
    """What decides over the rest is verified, too."""
    server.spoilt["model_index.json"] = 1
    with pytest.raises(Refused, match="not what the hub states"):
        planned()


@pytest.mark.parametrize("place", ["info", UNET])
@pytest.mark.parametrize(
    ("status", "kind", "words"),
    [
        (401, NotInstalled, "hf auth login"),
        (403, NotInstalled, "accept its terms"),
        (404, NotFound, REPOSITORY),
        (429, NotInstalled, "the same line again"),
        (500, NotInstalled, "HTTP 500"),
        (418, NotInstalled, "HTTP 418"),
    ],
)
def test_answers_that_are_none(server: HubServer, place: str, status: int, kind: type[MdctlError], words: str) -> None:
    """Each has its exit code and cure, after as many tries as it deserves; the hub's own words are not repeated."""
    server.statuses[place] = [status] * 3
    with pytest.raises(kind) as told:
        pulled()
    said = [told.value.what, told.value.why, *told.value.fix]
    assert any(words in part for part in said)
    assert not any(TOKEN in part or "\x1b" in part for part in said)
    assert len(server.statuses[place]) == (0 if status in (429, 500) else 2)


def test_a_fault_that_passes(server: HubServer) -> None:
    """A busy hub is asked again."""
    server.statuses |= {"info": [503, 429], UNET: [500], "vae/config.json": [502]}
    assert set(content(pulled())) == set(TAKEN)


def test_a_commit_that_is_not_there(server: HubServer) -> None:
    """The fault is the commit's, not the repository's."""
    with pytest.raises(NotFound, match="no such commit"):
        Hub().listing(REPOSITORY, "a" * 40)


def test_a_hub_that_answers_with_another_commit(server: HubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was not asked for is not taken."""
    monkeypatch.setattr(HubServer, "info", lambda self, info=HubServer.info: info(self) | {"sha": "a" * 40})
    with pytest.raises(NotInstalled, match="does not speak as one"):
        Hub().listing(REPOSITORY, COMMIT)


@pytest.mark.parametrize("mark", ["\x0c", "\x00", "é"])
def test_a_token_that_cannot_be_sent(server: HubServer, monkeypatch: pytest.MonkeyPatch, mark: str) -> None:
    """Only the kind of fault is told, since the fault itself quotes the header; and nothing is tried again (K4)."""
    monkeypatch.setattr("huggingface_hub.utils._headers.get_token", lambda: f"hf_secret{mark}secret")
    monkeypatch.setattr("mdctl.workspace.hub.time.sleep", None)
    with pytest.raises(NotInstalled) as told:
        Hub().listing(REPOSITORY, None)
    assert "secret" not in f"{told.value.what} {told.value.why}"
    assert "Error" in told.value.why


def test_a_password_in_the_address(server: HubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is used, and not shown (K4)."""
    for status in (401, 500, 500, 500):
        server.statuses["info"].append(status)
    for address in (server.endpoint.replace("//", "//me:s3cret@"), "http://me:s3cret/x@localhost"):
        monkeypatch.setenv("HF_ENDPOINT", address)
        for _ in range(2):
            with pytest.raises(NotInstalled) as told:
                planned()
            assert "s3cret" not in f"{told.value.what} {told.value.why} {told.value.fix}"


def test_an_empty_address_is_none(server: HubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """The public hub is meant then, also where the library took the empty one when it was imported."""
    monkeypatch.setenv("HF_ENDPOINT", "")
    template = "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "")
    monkeypatch.setattr("huggingface_hub.constants.HUGGINGFACE_CO_URL_TEMPLATE", template)
    monkeypatch.setattr("huggingface_hub.constants._HF_DEFAULT_ENDPOINT", server.endpoint)
    assert planned().record.commit == COMMIT


def test_something_that_is_no_hub(server: HubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """A page of a hotel, an answer about something else, nobody at all: a sentence, not a fault of mdctl."""
    for answer in ([], {"id": REPOSITORY}, {"id": REPOSITORY, "sha": None}, "<html>"):
        with monkeypatch.context() as patch:
            patch.setattr(HubServer, "info", lambda self, answer=answer: answer)
            with pytest.raises(NotInstalled):
                planned()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        for endpoint in (f"http://127.0.0.1:{free.getsockname()[1]}", "nonsense", "http://[", "https://"):
            monkeypatch.setenv("HF_ENDPOINT", endpoint)
            with pytest.raises((NotInstalled, Refused)):
                planned()


@pytest.mark.parametrize("endpoint", ["http://hub.example", "ftp://hub.example", "file:///etc"])
def test_a_hub_that_does_not_encrypt(server: HubServer, monkeypatch: pytest.MonkeyPatch, endpoint: str) -> None:
    """It is refused before a connection is opened (K4)."""
    monkeypatch.setenv("HF_ENDPOINT", endpoint)
    monkeypatch.setattr(socket, "create_connection", None)
    with pytest.raises(Refused, match="encrypted"):
        planned()


@pytest.mark.parametrize("target", ["http://hub.example/x", "file:///etc/passwd", "ftp://127.0.0.1/x"])
def test_redirects_that_do_not_encrypt(server: HubServer, target: str) -> None:
    """They are not followed (K4)."""
    server.elsewhere[UNET] = target
    with pytest.raises(Refused, match="encrypted"):
        pulled()


def test_the_token_stays_with_the_hub(server: HubServer) -> None:
    """It is sent to the hub, which may want it, and not to where the hub redirects to (K4)."""
    server.private = True
    with running(HubServer({"x": server.files[UNET]})) as storage:
        server.elsewhere[UNET] = f"http://localhost:{storage.server_address[1]}/resolve/{COMMIT}/x"
        pulled()
    assert all(headers["Authorization"] == f"Bearer {TOKEN}" for _, headers in server.asked)
    assert [headers.get("Authorization") for _, headers in storage.asked] == [None]


def test_no_more_is_taken_than_was_stated(server: HubServer) -> None:
    """A file that grows on the hub fills no disk: its hash is that of what was stated."""
    plan = planned()
    server.files[UNET] += b"x" * 100_000
    folder = pulled(plan)
    assert content(folder)["unet/diffusion_pytorch_model.safetensors"] == server.files[UNET][:-100_000]


def test_only_what_has_a_hash_counts(server: HubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file without one could not be verified, and is as good as missing."""
    told = server.info()
    for file in told["siblings"]:
        if file["rfilename"] == "vae/config.json":
            del file["blobId"]
    monkeypatch.setattr(server, "info", lambda: told)
    with pytest.raises(Refused) as fault:
        planned()
    assert "vae/config.json" in fault.value.why


def test_nothing_else_is_asked(server: HubServer) -> None:
    """The hub gets no further questions, and is told nothing of this computer but the versions that speak."""
    pulled()
    assert [path for path, _ in server.asked if "/resolve/" not in path] == [f"/api/models/{REPOSITORY}"]
    assert not any("torch" in headers["User-Agent"] or "agent/" in headers["User-Agent"] for _, headers in server.asked)


def test_hashes_have_a_form() -> None:
    """What is no size or no hash is no statement."""
    for size, algorithm, digest in ((-1, "sha256", "0" * 64), (1, "sha256", "0" * 40), (1, "git-sha1", "../" * 13)):
        with pytest.raises(ValueError, match="no size or no hash"):
            Stated("x", size, algorithm, digest)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"files": []}', '{"files": {"x": {}}}'])
def test_a_record_that_says_nothing(tmp_path: Path, text: str) -> None:
    """It is none."""
    (tmp_path / RECORD).write_text(text)
    assert Pulled.read(tmp_path) is None


def test_files_are_ours_alone(server: HubServer) -> None:
    """What is pulled has the rights of everything that mdctl writes."""
    if os.name == "posix":
        assert {path.stat().st_mode & 0o777 for path in pulled().rglob("*") if path.is_file()} == {0o600}


def test_choosing_needs_no_hub() -> None:
    """The choice is a function of names and descriptions."""
    files = {path: Stated(path, len(data), "sha256", "0" * 64) for path, data in messy().items()}
    chosen = layout.choose("x", files, lambda stated: messy()[stated.source])
    assert {name: stated.source for name, stated in chosen.items()} == TAKEN
