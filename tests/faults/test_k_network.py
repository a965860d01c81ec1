"""K: the network on the command line. Without a yes nothing is fetched, and offline nothing is even asked."""

import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hubserver import TOKEN, UNET, HubServer, messy, serving
from rows import fault, no, open_door
from stage import Mdctl, Play, tree

from mdctl.workspace import locations, locks
from mdctl.workspace.project import Project


@pytest.fixture
def hub() -> Iterator[HubServer]:
    """A hub with an untidy repository."""
    with serving(messy()) as running:
        yield running


@pytest.fixture
def cut(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """No connection can be opened, and no name be looked up; every try is noted."""
    tries: list[str] = []

    def refuse(*given: Any, **_: Any) -> None:
        tries.append(str(given))
        raise OSError(-3, "Temporary failure in name resolution")

    for name in ("create_connection", "getaddrinfo"):
        monkeypatch.setattr(socket, name, refuse)
    monkeypatch.setattr(socket.socket, "connect", refuse)
    return tries


@fault("K1", guard="huggingface_hub.constants.is_offline_mode", without=no)
@pytest.mark.parametrize("how", ["flag", "variable"])
def test_offline_is_offline(
    mdctl: Mdctl, cut: list[str], home: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    """Whichever way it is said, no connection is tried."""
    if how == "variable":
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    said = mdctl("models", "pull", "modelscope", "--yes", *(["--offline"] if how == "flag" else []))
    assert (said.code, "offline" in said.err) == (8, True), said.err
    assert cut == []
    assert not locations.models().exists()


@fault("K1")
@pytest.mark.parametrize("line", ["train golf --steps 7", "gen golf monkey --steps 1", "list", "show golf", "doctor"])
def test_nobody_is_asked_who_need_not_be(mdctl: Mdctl, golf: Project, cut: list[str], line: str) -> None:
    """Training and videos, with the model here, need no network at all."""
    assert mdctl(*line.split()).code in (0, 5)
    assert cut == []


@fault("K1")
@pytest.mark.parametrize("base", ["zeroscope", f"org/name@{'0' * 40}"])
def test_a_model_that_is_not_here(mdctl: Mdctl, fresh: Project, cut: list[str], base: str) -> None:
    """The exact line that brings it is told, and nothing is fetched by itself."""
    said = mdctl("train", "golf", "--model", base, "--fresh")
    assert (said.code, f"mdctl models pull {base}" in said.err) == (8, True), said.err
    assert cut == []


@fault("K1")
def test_no_names_can_be_looked_up(mdctl: Mdctl, cut: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """A sentence, not a fault of mdctl."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.setattr("mdctl.workspace.hub.PAUSES_S", ())
    said = mdctl("models", "pull", "modelscope", "--yes")
    assert (said.code, "cannot be reached" in said.err) == (8, True), said.err
    assert "MD-BUG" not in said.err
    assert cut


@fault("K2", "K3")
def test_what_was_cut_off_goes_on(mdctl: Mdctl, hub: HubServer) -> None:
    """After a drop the same line fetches the rest alone, and what was verified stays."""
    hub.cuts[UNET] = [0.5, 0, 0]
    said = mdctl("models", "pull", "modelscope", "--yes")
    assert (said.code, "what has arrived is kept" in said.err) == (8, True), said.err
    hub.asked.clear()
    assert mdctl("models", "pull", "modelscope", "--yes").code == 0
    assert hub.fetched.count(UNET) == 1
    assert len([path for path in hub.fetched if path.endswith(".safetensors")]) == 1
    assert mdctl("models", "verify", "modelscope").code == 0


@fault("K3", guard="mdctl.workspace.locks._locked", without=open_door)
def test_two_pulls(mdctl: Mdctl, hub: HubServer) -> None:
    """The second is told of the first."""
    with locks.writer(locations.models() / "modelscope", "pull"):
        said = mdctl("models", "pull", "modelscope", "--yes")
    assert (said.code, "modelscope is being pulled by pid" in said.err) == (6, True), said.err


@fault("K3")
def test_no_room_for_a_model(mdctl: Mdctl, hub: HubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is seen before anything is fetched; when the disk fills up on the way, what has arrived is kept."""
    with monkeypatch.context() as patch:
        patch.setattr("mdctl.workspace.atomic.free_bytes", lambda _: 1000)
        said = mdctl("models", "pull", "modelscope", "--yes")
        assert (said.code, "nothing was downloaded" in said.err) == (7, True), said.err
    write, room = os.write, [500_000]

    def full(descriptor: int, data: Any) -> int:
        room[0] -= len(data)
        if room[0] < 0:
            raise OSError(28, "No space left on device")
        return write(descriptor, data)

    with monkeypatch.context() as patch:
        room[0] = 200_000
        patch.setattr(os, "write", full)
        said = mdctl("models", "pull", "modelscope", "--yes")
    assert said.code == 7, said.err
    assert mdctl("models", "pull", "modelscope", "--yes").code == 0


@fault("K4")
def test_the_token_is_seen_nowhere(mdctl: Mdctl, hub: HubServer, home: Path, golf: Project, tmp_path: Path) -> None:
    """Not on the screen, not in a file, not in an archive."""
    hub.private = True
    said = mdctl("models", "pull", "modelscope", "--yes", "--json")
    assert said.code == 0, said.err
    assert mdctl("export", "golf", "-o", str(tmp_path / "golf.mdz")).code == 0
    report = mdctl("doctor", "--report")
    held = b"".join(content or b"" for content in tree(home).values()) + (tmp_path / "golf.mdz").read_bytes()
    assert TOKEN not in said.out + said.err + report.out + report.err
    assert TOKEN.encode() not in held


@fault("K4", guard="mdctl.workspace.hub._private", without=lambda _: None)
@pytest.mark.parametrize("target", ["http://hub.example/x", "file:///etc/passwd", "ftp://127.0.0.1/x"])
def test_a_redirect_to_somewhere_else(mdctl: Mdctl, hub: HubServer, target: str) -> None:
    """What is not encrypted, or no hub at all, is not followed."""
    hub.elsewhere[UNET] = target
    said = mdctl("models", "pull", "modelscope", "--yes")
    assert (said.code, "encrypted" in said.err) == (10, True), said.err
    assert not (locations.models() / "modelscope").exists()


@fault("K4")
def test_a_proxy_is_honoured(play: Play, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the environment says of a proxy is obeyed: nothing goes past it."""
    with socket.create_server(("127.0.0.1", 0)) as proxy:
        proxy.settimeout(60)
        port = proxy.getsockname()[1]
        monkeypatch.setenv("MDCTL_HOME", str(home))
        import functools

        import course

        before = functools.partial(course.behind, f"http://127.0.0.1:{port}")
        played = play("models", "pull", "modelscope", "--yes", before=before)
        asked, _ = proxy.accept()
        assert asked.recv(100).startswith(b"CONNECT hub.example:443")
        asked.close()
    assert played.wait() == 8, played.err
    assert "Traceback" not in played.err
