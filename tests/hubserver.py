"""A hub on this computer: as much of its protocol as a pull needs, with faults to be put in its way."""

import json
import random
import threading
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from email.message import Message
from hashlib import sha1, sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest
from tiny import MODEL_INDEX

from mdctl.errors import Refused
from mdctl.workspace import download, hub, locations
from mdctl.workspace.download import Plan
from mdctl.workspace.hub import Hub
from mdctl.workspace.pulled import RECORD

REPOSITORY = "ali-vilab/text-to-video-ms-1.7b"
"""Where the catalog looks for ModelScope."""

COMMIT = "0123456789" * 4
TOKEN = "hf_canaryThatMustNotBeSeenAnywhere"
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

LARGE = (".safetensors", ".bin", ".ckpt")


class HubServer(ThreadingHTTPServer):
    """Serves `files` as one repository at one commit, and remembers what it was asked."""

    daemon_threads = True

    def __init__(self, files: Mapping[str, bytes]) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.files = dict(files)
        self.commit = COMMIT
        self.name = REPOSITORY
        self.licence = "cc-by-nc-4.0"
        self.private = False
        """Whether every request has to bring the token."""
        self.statuses: dict[str, list[int]] = defaultdict(list)
        """By path, or `info`: how the next requests are answered."""
        self.cuts: dict[str, list[float]] = defaultdict(list)
        """By path: after which share of the answer the next connections break."""
        self.shorts: dict[str, list[int]] = defaultdict(list)
        """By path: how many bytes are left out at the end of the next answers, which are complete by their length."""
        self.spoilt: Counter[str] = Counter()
        """By path: how many of the next answers have a wrong byte."""
        self.elsewhere: dict[str, str] = {}
        """By path: where the hub redirects to."""
        self.ranges = True
        self.asked: list[tuple[str, Message]] = []
        """Path and headers of each request."""

    @property
    def endpoint(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self.server_address[1]}"

    @property
    def fetched(self) -> list[str]:
        """The files that were asked for, in order."""
        return [path.partition(f"/resolve/{self.commit}/")[2] for path, _ in self.asked if "/resolve/" in path]

    def info(self) -> dict[str, Any]:
        """What the API tells of the repository."""
        return {
            "id": self.name,
            "sha": self.commit,
            "cardData": {"license": self.licence} if self.licence else None,
            "siblings": [_sibling(path, content) for path, content in self.files.items()],
        }

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that leaves is no fault of the server."""


def _sibling(path: str, content: bytes) -> dict[str, Any]:
    blob = sha1(b"blob %d\0" % len(content) + content).hexdigest()
    told: dict[str, Any] = {"rfilename": path, "size": len(content), "blobId": blob}
    if path.endswith(LARGE):
        told["lfs"] = {"size": len(content), "sha256": sha256(content).hexdigest(), "pointerSize": 134}
    return told


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: HubServer

    def log_message(self, format: str, *arguments: Any) -> None:  # noqa: A002 - its name in the base class
        pass

    def do_GET(self) -> None:
        server, path = self.server, unquote(urlsplit(self.path).path)
        server.asked.append((path, self.headers))
        file = path.partition("/resolve/")[2].partition("/")[2]
        key = file or "info"
        if server.statuses[key]:
            return self._fail(server.statuses[key].pop(0))
        if server.private and self.headers.get("Authorization") != f"Bearer {TOKEN}":
            return self._fail(401)
        if key == "info":
            asked = path.partition("/revision/")[2]
            if asked not in ("", server.commit):
                return self._fail(404, "RevisionNotFound")
            return self._send(200, json.dumps(server.info()).encode())
        if target := server.elsewhere.get(file):
            self.send_response(302)
            self.send_header("Location", target)
            self.send_header("Content-Length", "0")
            return self.end_headers()
        if file not in server.files:
            return self._fail(404, "EntryNotFound")
        return self._file(file, server.files[file])

    def _file(self, file: str, content: bytes) -> None:
        server, status = self.server, 200
        if server.spoilt[file]:
            server.spoilt[file] -= 1
            content = content[:-1] + bytes([content[-1] ^ 1])
        if (wanted := self.headers.get("Range")) and server.ranges:
            content, status = content[int(wanted.removeprefix("bytes=").rstrip("-")) :], 206
        if server.shorts[file]:
            content = content[: -server.shorts[file].pop(0)]
        self._send(status, content, server.cuts[file].pop(0) if server.cuts[file] else 1.0)

    def _send(self, status: int, content: bytes, share: float = 1.0) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        self.send_header("X-Repo-Commit", self.server.commit)
        self.end_headers()
        self.wfile.write(content[: int(share * len(content))])
        self.close_connection = share < 1

    def _fail(self, status: int, code: str = "") -> None:
        told = f"\x1b[2Jno, {self.headers.get('Authorization')}".encode()  # what a careless hub might repeat
        self.send_response(status)
        self.send_header("Content-Length", str(len(told)))
        if code:
            self.send_header("X-Error-Code", code)
        self.end_headers()
        self.wfile.write(told)


@contextmanager
def running(server: HubServer) -> Iterator[HubServer]:
    """The server at work."""
    with server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield server
        server.shutdown()


@contextmanager
def serving(files: Mapping[str, bytes]) -> Iterator[HubServer]:
    """A server of these files, which mdctl takes for the hub; nobody waits for anything, and there is a token."""
    with running(HubServer(files)) as server, pytest.MonkeyPatch.context() as patch:
        patch.setenv("HF_ENDPOINT", server.endpoint)
        patch.setenv("HF_TOKEN", TOKEN)
        patch.setenv("NO_PROXY", "127.0.0.1,localhost")
        patch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
        patch.setattr(hub, "PAUSES_S", (0.0, 0.0))
        yield server


def weights(seed: int, size_bytes: int = 2000) -> bytes:
    """A file of safetensors with one tensor."""
    header = json.dumps({"w": {"dtype": "U8", "shape": [size_bytes], "data_offsets": [0, size_bytes]}}).encode()
    return len(header).to_bytes(8, "little") + header + random.Random(seed).randbytes(size_bytes)


def messy(folder_files: Mapping[str, bytes] | None = None) -> dict[str, bytes]:
    """A repository as untidy as that of ModelScope: every part in several forms, among them pickles and code."""
    files = {
        "model_index.json": json.dumps(MODEL_INDEX).encode(),
        "unet/config.json": b'{"_class_name": "UNet3DConditionModel", "sample_size": 8}',
        "vae/config.json": b'{"block_out_channels": [4, 4, 8, 8]}',
        "text_encoder/config.json": b"{}",
        "scheduler/scheduler_config.json": b"{}",
        "tokenizer/vocab.json": b"{}",
        "tokenizer/merges.txt": b"#version: 0.2\n",
        "tokenizer/tokenizer_config.json": b"{}",
        "unet/diffusion_pytorch_model.safetensors": weights(1, 9000),
        "unet/diffusion_pytorch_model.fp16.safetensors": weights(2, 400_000),
        "vae/diffusion_pytorch_model.safetensors": weights(3),
        "text_encoder/model.safetensors": weights(4),
        "text_encoder/model.fp16.safetensors": weights(5),
    }
    files |= folder_files or {}
    for path in [path for path in files if path.endswith(".safetensors")]:
        files[path.removesuffix("safetensors") + "bin"] = b"\x80\x04pickle"
    for path in ("README.md", ".gitattributes", "pipeline.py", "text2video_pytorch_model.pth", "unet/model.py"):
        files[path] = b"whatever"
    return files


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


@pytest.fixture
def server() -> Iterator[HubServer]:
    """A hub with an untidy repository."""
    with serving(messy()) as running:
        yield running
