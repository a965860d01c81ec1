"""`models pull`, `verify` and `rm`, against a hub on this computer that serves a tiny model in an untidy repository."""

import errno
import json
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest
import torch
from hubserver import COMMIT, REPOSITORY, TOKEN, HubServer, messy, serving
from safetensors.torch import load, save
from stage import Mdctl, tree

from mdctl.cli.face import Face
from mdctl.motion import families
from mdctl.workspace import atomic, download, locations, locks, weights
from mdctl.workspace.download import Plan
from mdctl.workspace.hub import Hub
from mdctl.workspace.project import Project

UNET = "unet/diffusion_pytorch_model.fp16.safetensors"
ELSEWHERE = f"org/name@{COMMIT}"


@pytest.fixture(scope="session")
def files(model: Path) -> dict[str, bytes]:
    """The tiny model as a repository, its weights also in half precision, as pickles, and with code beside them."""
    found = {path.relative_to(model).as_posix(): path.read_bytes() for path in model.rglob("*") if path.is_file()}
    for path in [path for path in found if path.endswith(".safetensors")]:
        halves = {name: tensor.half() for name, tensor in load(found[path]).items()}
        found[path.removesuffix("safetensors") + "fp16.safetensors"] = save(halves, {"format": "pt"})
    return messy(found)


@pytest.fixture
def server(files: dict[str, bytes]) -> Iterator[HubServer]:
    """A hub with it."""
    with serving(files) as running:
        yield running


@pytest.fixture
def pulled(server: HubServer, mdctl: Mdctl) -> Path:
    """The folder of a model that was pulled."""
    said = mdctl("models", "pull", "modelscope", "-y", "-q")
    assert (said.code, said.err) == (0, "")
    return Path(said.lines[0])


def spoil(path: Path) -> None:
    """Flip one bit in the midst of a file."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def test_a_model_is_shown_and_brought(server: HubServer, mdctl: Mdctl) -> None:
    """Commit, files, sizes, hashes, licence and folder are told before; the folder alone is the result."""
    said = mdctl("models", "pull", "modelscope", "--yes")
    folder = locations.models() / "modelscope"
    assert (said.code, said.lines) == (0, [str(folder)])
    told = {file["rfilename"]: file for file in server.info()["siblings"]}
    for words in (COMMIT, REPOSITORY, UNET, told[UNET]["lfs"]["sha256"], "cc-by-nc-4.0", f"{folder}, "):
        assert words in said.err
    assert "warning" not in said.err
    listed = {line.split("\t")[0]: line.split("\t")[-1] for line in mdctl("models", "list").lines}
    assert listed == {"starter": "in the package", "zeroscope": "no", "modelscope": "pulled"}
    shown = json.loads(mdctl("models", "show", "modelscope", "--json").out)
    assert (shown["revision"], shown["path"]) == (COMMIT, str(folder))


def test_what_was_pulled_can_be_used(pulled: Path) -> None:
    """Half precision under plain names is what the loader opens."""
    backbone = families.load(weights.find("modelscope")[1], torch.device("cpu"), torch.float32)
    assert backbone.embed(["a red square"]).isfinite().all()


def test_records_for_programs(server: HubServer, mdctl: Mdctl) -> None:
    """A plan, each file once it is verified, and where it lies."""
    records = mdctl("models", "pull", ELSEWHERE, "--json", "-y").records
    plan, *arrived, result = records
    assert (plan["event"], plan["commit"], plan["repository"]) == ("plan", COMMIT, REPOSITORY)
    assert {file["file"] for file in arrived if file["event"] == "file"} == set(plan["files"])
    folder = Path(result["paths"][0])
    assert (result["commit"], folder.name) == (COMMIT, f"org--name@{COMMIT}")
    assert weights.find(ELSEWHERE)[0].licence == "cc-by-nc-4.0"


def test_the_same_once_more(server: HubServer, mdctl: Mdctl, pulled: Path) -> None:
    """Nothing is to do, and nothing is asked; a copy that is damaged is brought anew."""
    said = mdctl("models", "pull", "modelscope", "-y")
    assert (said.code, said.lines) == (0, [str(pulled)])
    assert "nothing to do" in said.err
    server.asked.clear()
    assert mdctl("models", "pull", "modelscope", "--revision", COMMIT, "--offline").code == 0
    assert server.asked == []
    spoil(pulled / "unet" / "diffusion_pytorch_model.safetensors")
    assert mdctl("models", "pull", "modelscope", "-y").code == 0
    assert mdctl("models", "verify", "modelscope").code == 0
    assert mdctl("models", "pull", "starter").lines == mdctl("models", "path", "starter").lines


def test_a_look_changes_nothing(server: HubServer, mdctl: Mdctl, home: Path) -> None:
    """-n shows the same, and writes nothing."""
    said = mdctl("models", "pull", "modelscope", "-n")
    assert (said.code, said.out) == (0, "")
    assert UNET in said.err
    assert not home.exists()
    assert UNET not in server.fetched


def test_nobody_is_there_to_be_asked(server: HubServer, mdctl: Mdctl, home: Path) -> None:
    """Off a terminal nothing is downloaded without --yes, and the line with it is told."""
    for line in (["modelscope"], [ELSEWHERE, "--no-input"], ["modelscope", "--revision", COMMIT, "--json"]):
        said = mdctl("models", "pull", *line)
        assert said.code == 2
        assert f"mdctl models pull {' '.join(line).replace(' --no-input', '').replace(' --json', '')} --yes" in said.err
    assert not home.exists()


@pytest.mark.parametrize(("answer", "code"), [("y", 0), ("", 130), ("no", 130)])
def test_somebody_is_asked(
    server: HubServer, mdctl: Mdctl, home: Path, monkeypatch: pytest.MonkeyPatch, answer: str, code: int
) -> None:
    """Only a yes is one."""
    monkeypatch.setattr("mdctl.cli.lines.can_ask", lambda manners: True)
    monkeypatch.setattr("sys.stdin.readline", lambda: f"{answer}\n")
    said = mdctl("models", "pull", "modelscope")
    assert said.code == code
    assert "y or n [n]" in said.err
    assert home.exists() == (code == 0)


def test_too_little_room(server: HubServer, mdctl: Mdctl, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is foreseen before the first byte (I1)."""
    monkeypatch.setattr(atomic, "free_bytes", lambda path: 1000)
    for flag in ("-y", "-n"):
        said = mdctl("models", "pull", "modelscope", flag)
        assert said.code == 7
        assert "MDCTL_HOME" in said.err
    assert not home.exists()
    assert UNET not in server.fetched


def test_the_disk_is_full_on_the_way(server: HubServer, mdctl: Mdctl, monkeypatch: pytest.MonkeyPatch) -> None:
    """What has arrived stays, there is no model, and the same line goes on (I1, K3)."""
    put, written = atomic._put, count()

    def fill(descriptor: int, content: bytes) -> None:
        if next(written) > 8:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        put(descriptor, content)

    with monkeypatch.context() as patch:
        patch.setattr(atomic, "_put", fill)
        assert mdctl("models", "pull", "modelscope", "-y").code == 7
    assert mdctl("models", "path", "modelscope").code == 8
    server.asked.clear()
    assert mdctl("models", "pull", "modelscope", "-y").code == 0
    assert "vae/config.json" not in server.fetched


def test_stopped_on_the_way(server: HubServer, mdctl: Mdctl, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C ends it at once; what has arrived is kept."""

    def stop(self: Face, record: Any) -> None:
        if record["event"] == "file":
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("mdctl.cli.lines.Lines.event", stop)
        said = mdctl("models", "pull", "modelscope", "-y")
    assert said.code == 130
    assert "the same line goes on" in said.err
    assert not (locations.models() / "modelscope").exists()
    assert mdctl("models", "rm", "modelscope").code == 0
    assert mdctl("models", "rm", "modelscope").code == 8


def test_two_at_once(server: HubServer, mdctl: Mdctl) -> None:
    """The second is told who is at it (K3)."""
    with locks.writer(locations.models() / "modelscope", "pull"):
        said = mdctl("models", "pull", "modelscope", "-y")
        removed = mdctl("models", "rm", "modelscope")
    assert said.code == 6
    assert "modelscope is being pulled by pid" in said.err
    assert removed.code == 8, "there is nothing yet"


def test_no_model_is_removed_while_it_is_pulled(server: HubServer, mdctl: Mdctl, pulled: Path) -> None:
    """Whoever is at it is named, and it stays (K3)."""
    with locks.writer(pulled, "pull"):
        said = mdctl("models", "rm", "modelscope")
    assert (said.code, "is being pulled by pid" in said.err) == (6, True)
    assert pulled.is_dir()


def test_somebody_else_was_faster(server: HubServer, mdctl: Mdctl, monkeypatch: pytest.MonkeyPatch) -> None:
    """What came while its user thought about it is not brought once more."""

    def meanwhile(plan: Plan, line: str) -> bool:
        assert list(download.gather(Hub(), plan, lambda more: None))
        download.settle(plan)
        return True

    monkeypatch.setattr("mdctl.cli.system.pull._agreed", meanwhile)
    said = mdctl("models", "pull", "modelscope")
    assert (said.code, "nothing to do" in said.err) == (0, True), said.err
    assert server.fetched.count(UNET) == 1


def test_offline_opens_no_connection(mdctl: Mdctl, monkeypatch: pytest.MonkeyPatch, home: Path) -> None:
    """Neither with the flag nor with the variable; other commands open none anyway (K1)."""
    monkeypatch.setattr(socket, "socket", None)
    monkeypatch.setattr(socket, "create_connection", None)
    said = mdctl("models", "pull", "zeroscope", "--offline", "-y")
    assert (said.code, "offline" in said.err) == (8, True)
    for line in (["list"], ["verify", "starter"], ["show", "starter"], ["verify", "zeroscope"], ["rm", "zeroscope"]):
        assert mdctl("models", *line).code in (0, 8)
    monkeypatch.undo()
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "MDCTL_HOME": str(home)}
    line = [sys.executable, "-m", "mdctl", "models", "pull", "zeroscope", "-y"]
    told = subprocess.run(line, env=environment, capture_output=True, text=True, check=False)
    assert told.returncode == 8
    assert "HF_HUB_OFFLINE" in told.stderr


@pytest.mark.parametrize(
    ("line", "code", "words"),
    [
        (["nowhere"], 3, "no base model"),
        (["org/name"], 2, f"mdctl models pull {ELSEWHERE}"),
        (["zeroscope", "--revision", "main"], 2, "40 digits"),
        (["zeroscope", "--revision", "a" * 40], 3, "no such commit"),
        (["or--g/name"], 3, "no such repository"),
        (["org/\x1b[2J"], 3, "\\x1b"),
        ([ELSEWHERE, "--revision", "a" * 40], 2, "name two commits"),
    ],
)
def test_what_cannot_be_pulled(
    server: HubServer, mdctl: Mdctl, home: Path, line: list[str], code: int, words: str
) -> None:
    """Each is told in a sentence, and nothing is written."""
    said = mdctl("models", "pull", *line, "-y")
    assert (said.code, said.out) == (code, "")
    assert words in said.err
    assert "\x1b" not in said.err
    assert not home.exists()


def test_what_the_hub_says_is_shown_harmless(server: HubServer, mdctl: Mdctl) -> None:
    """A licence that is another one than mdctl knew, a new name, marks in both."""
    server.licence, server.name = "mit\x1b[2J", "ali-vilab/renamed"
    said = mdctl("models", "pull", "modelscope", "-n")
    assert "mdctl knew CC-BY-NC-4.0" in said.err
    assert "called ali-vilab/renamed by now" in said.err
    assert "\x1b" not in said.err


def test_the_token_is_seen_nowhere(server: HubServer, mdctl: Mdctl, home: Path) -> None:
    """Not on the screen, not in records or logs, whatever the hub answers (K4)."""
    server.private = True
    said = [mdctl("models", "pull", "modelscope", "-y", "--debug"), mdctl("models", "show", "modelscope")]
    for status in (401, 403, 404, 400):
        server.statuses["info"] = [status]
        said += [mdctl("models", "pull", ELSEWHERE, "-y", *flags) for flags in (["--debug"], ["--json"])]
    assert not any(TOKEN in part for told in said for part in (told.out, told.err))
    assert not any(TOKEN.encode() in (content or b"") for content in tree(home).values())


def test_damage_is_found(server: HubServer, mdctl: Mdctl, pulled: Path) -> None:
    """One bit, or a file that is gone: which, and what to do (E7)."""
    assert mdctl("models", "verify", "modelscope").lines == [str(pulled)]
    spoil(pulled / "unet" / "diffusion_pytorch_model.safetensors")
    (pulled / "tokenizer" / "vocab.json").unlink()
    said = mdctl("models", "verify", "modelscope")
    assert (said.code, said.out) == (10, "")
    assert "unet/diffusion_pytorch_model.safetensors: sha256 " in said.err
    assert "tokenizer/vocab.json: missing" in said.err
    assert f"mdctl models pull modelscope --revision {COMMIT}" in said.err
    assert mdctl("models", "list").lines[2].endswith("\tyes")


def test_a_copy_elsewhere_is_no_name_to_pull(
    server: HubServer, mdctl: Mdctl, pulled: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A folder that was copied with its record is verified, and no line is told that would not bring it."""
    monkeypatch.chdir(tmp_path)
    for place in (str(tmp_path / "copied"), ELSEWHERE):
        copied = shutil.copytree(pulled, place)
        assert mdctl("models", "verify", place).code == 0
        spoil(Path(copied, "unet", "diffusion_pytorch_model.safetensors"))
        said = mdctl("models", "verify", place)
        assert (said.code, "models pull" in said.err) == (10, False), said.err


def test_models_without_a_record(mdctl: Mdctl, model: Path, tmp_path: Path) -> None:
    """`starter` and folders of the user's own: their headers are looked at, and that is said."""
    for name in ("starter", str(model)):
        said = mdctl("models", "verify", name)
        assert (said.code, "no record" in said.err) == (0, True)
    for part in ("unet", "vae"):
        (tmp_path / part).mkdir()
        (tmp_path / part / "config.json").write_bytes((model / part / "config.json").read_bytes())
    assert mdctl("models", "verify", str(tmp_path)).code == 10
    (tmp_path / "unet" / "x.safetensors").write_bytes(b"no")
    said = mdctl("models", "verify", str(tmp_path))
    assert (said.code, "no header of safetensors" in said.err) == (10, True)


def test_weights_that_are_no_files(mdctl: Mdctl, model: Path, tmp_path: Path) -> None:
    """A link to nothing and a folder are damaged weights, not a fault of the disk."""
    folder = shutil.copytree(model, tmp_path / "model")
    (folder / "unet" / "a.safetensors").symlink_to("nowhere")
    (folder / "vae" / "b.safetensors").mkdir()
    said = mdctl("models", "verify", str(folder))
    assert (said.code, "make room" in said.err) == (10, False)
    for file in ("unet/a.safetensors", "vae/b.safetensors"):
        assert f"{file}: no file" in said.err


def test_a_model_is_deleted(server: HubServer, mdctl: Mdctl, pulled: Path, model: Path) -> None:
    """With the room that is free again, and the line that brings it back; what mdctl did not bring stays."""
    said = mdctl("models", "rm", "modelscope")
    assert (said.code, said.out) == (0, "")
    assert "are free again" in said.err
    assert f"mdctl models pull modelscope --revision {COMMIT} " in said.err
    assert not any(path.name != ".locks" for path in locations.models().iterdir())
    assert not locations.trash().exists()
    assert mdctl("models", "rm", "modelscope").code == 8
    for name in ("starter", str(model)):
        assert mdctl("models", "rm", name).code == 10
    assert model.is_dir()


def test_a_folder_of_that_name_is_no_model_of_ours(
    mdctl: Mdctl, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With nothing pulled nothing is gone, whatever lies in the folder that one is in."""
    shutil.copytree(model, tmp_path / "org" / "name")
    monkeypatch.chdir(tmp_path)
    said = mdctl("models", "rm", "org/name")
    assert (said.code, "is gone" in said.err) == (8, False)


def test_projects_on_a_model_are_named(server: HubServer, mdctl: Mdctl, golf: Project, files: dict[str, bytes]) -> None:
    """Before it is replaced by another commit, and when it is removed."""
    golf.set("model", "modelscope")
    assert "golf" not in mdctl("models", "pull", "modelscope", "-y").err
    server.commit = "f" * 40
    said = mdctl("models", "pull", "modelscope", "-y")
    assert (said.code, "these very weights: golf" in said.err) == (0, True)
    assert "these very weights: golf" in mdctl("models", "rm", "modelscope").err
