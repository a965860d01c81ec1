"""K: the network. What was verified stays, what is wrong is not installed, and nobody hears of the token."""

import errno
import os
import socket
from pathlib import Path

import pytest
from hubserver import (
    COMMIT,
    REPOSITORY,
    TAKEN,
    TOKEN,
    UNET,
    HubServer,
    content,
    messy,
    planned,
    pulled,
    running,
    weights,
)
from rows import fault, nothing

from mdctl.errors import MdctlError, NotFound, NotInstalled, Refused
from mdctl.workspace import download, layout, locations
from mdctl.workspace.hub import Hub
from mdctl.workspace.pulled import RECORD, Pulled, Stated


class _Agreeing:
    def __init__(self, digest: str) -> None:
        self._digest = digest

    def update(self, block: bytes) -> None:
        """Take no notice."""

    def hexdigest(self) -> str:
        """What was expected."""
        return self._digest


def _agreeing(stated: Stated) -> _Agreeing:
    return _Agreeing(stated.digest)


@fault("K2")
@pytest.mark.parametrize(("share", "ranges"), [(0.1, True), (0.5, True), (0.5, False), (0.99, True)])
def test_a_connection_that_breaks_is_taken_up_again(server: HubServer, share: float, ranges: bool) -> None:
    """Within the file where the hub can do that; what came is right either way (K2)."""
    server.cuts[UNET], server.ranges = [share], ranges
    assert content(pulled())["unet/diffusion_pytorch_model.safetensors"] == server.files[UNET]
    starts = [headers.get("Range") for path, headers in server.asked if path.endswith(UNET)]
    assert starts[0] is None
    assert len(starts) == 2
    assert starts[1]


@fault("K2", guard="mdctl.workspace.hub.PAUSES_S", without=())
def test_patience_begins_anew_once_something_arrives(server: HubServer) -> None:
    """Also in the try that brought it: a busy hub and then a line that breaks are not added up."""
    server.statuses[UNET], server.cuts[UNET] = [500, 500], [0.5]
    assert content(pulled())["unet/diffusion_pytorch_model.safetensors"] == server.files[UNET]


@fault("K2", "K3")
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


@fault("K3", guard="mdctl.workspace.pulled.Stated.hasher", without=_agreeing)
@pytest.mark.parametrize("leftover", [b"something else", b"x" * 500_000])
def test_leftovers_of_another_commit_do_no_harm(server: HubServer, leftover: bytes) -> None:
    """What lies in the staging folder counts only by its hash; what does not belong there goes."""
    plan = planned()
    for name in ("unet/diffusion_pytorch_model.safetensors", "motion_adapter/config.json", "old.json"):
        (plan.stage / name).parent.mkdir(parents=True, exist_ok=True)
        (plan.stage / name).write_bytes(leftover)
    assert set(content(pulled(plan))) == set(TAKEN)
    assert not (plan.folder / "motion_adapter").exists()


@fault("K2")
def test_an_answer_that_is_too_short(server: HubServer) -> None:
    """The rest is asked for (K2)."""
    server.shorts[UNET] = [100]
    assert content(pulled())["unet/diffusion_pytorch_model.safetensors"] == server.files[UNET]


@fault("K2", guard="mdctl.workspace.pulled.Stated.hasher", without=_agreeing)
def test_a_wrong_hash_once(server: HubServer) -> None:
    """The file is thrown away and fetched once more (K2)."""
    server.spoilt[UNET] = 1
    assert content(pulled())["unet/diffusion_pytorch_model.safetensors"] == server.files[UNET]
    assert server.fetched.count(UNET) == 2


@fault("E6", "K2")
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


@fault("E6", "K2")
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


@fault("K2")
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


@fault("K4")
@pytest.mark.parametrize("mark", ["\x0c", "\x00", "é"])
def test_a_token_that_cannot_be_sent(server: HubServer, monkeypatch: pytest.MonkeyPatch, mark: str) -> None:
    """Only the kind of fault is told, since the fault itself quotes the header; and nothing is tried again (K4)."""
    monkeypatch.setattr("huggingface_hub.utils._headers.get_token", lambda: f"hf_secret{mark}secret")
    monkeypatch.setattr("mdctl.workspace.hub.time.sleep", None)
    with pytest.raises(NotInstalled) as told:
        Hub().listing(REPOSITORY, None)
    assert "secret" not in f"{told.value.what} {told.value.why}"
    assert "Error" in told.value.why


@fault("K4")
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


@fault("K4", guard="mdctl.workspace.hub._private", without=nothing)
@pytest.mark.parametrize("endpoint", ["http://hub.example", "ftp://hub.example", "file:///etc"])
def test_a_hub_that_does_not_encrypt(server: HubServer, monkeypatch: pytest.MonkeyPatch, endpoint: str) -> None:
    """It is refused before a connection is opened (K4)."""
    monkeypatch.setenv("HF_ENDPOINT", endpoint)
    monkeypatch.setattr(socket, "create_connection", None)
    with pytest.raises(Refused, match="encrypted"):
        planned()


@fault("K4", guard="mdctl.workspace.hub._private", without=nothing)
@pytest.mark.parametrize("target", ["http://hub.example/x", "file:///etc/passwd", "ftp://127.0.0.1/x"])
def test_redirects_that_do_not_encrypt(server: HubServer, target: str) -> None:
    """They are not followed (K4)."""
    server.elsewhere[UNET] = target
    with pytest.raises(Refused, match="encrypted"):
        pulled()


@fault("K4")
def test_the_token_stays_with_the_hub(server: HubServer) -> None:
    """It is sent to the hub, which may want it, and not to where the hub redirects to (K4)."""
    server.private = True
    with running(HubServer({"x": server.files[UNET]})) as storage:
        server.elsewhere[UNET] = f"http://localhost:{storage.server_address[1]}/resolve/{COMMIT}/x"
        pulled()
    assert all(headers["Authorization"] == f"Bearer {TOKEN}" for _, headers in server.asked)
    assert [headers.get("Authorization") for _, headers in storage.asked] == [None]


@fault("K2")
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
