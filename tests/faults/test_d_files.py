"""D: hostile media. Nothing in a file is read as a place, and no reader of it can harm the computer."""

import contextlib
import os
import socket
import struct
import threading
import time
import zlib
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from films import Film, read
from rows import fault
from stage import SMALL, Mdctl

from mdctl import child
from mdctl.child import Finished
from mdctl.errors import NotFound
from mdctl.media import ffmpeg
from mdctl.media import probe as probing
from mdctl.media.ffmpeg import decode
from mdctl.media.kinds import HiddenPlaylist, Unusable, sniff
from mdctl.media.probe import probe

POSIX = pytest.mark.skipif(os.name != "posix", reason="needs process groups, limits and scripts of POSIX")
SOURCE = ("-f", "lavfi", "-i", "testsrc2=s=160x90:r=30:d=1")


RUN = ffmpeg._run
NO_BOUNDS = """
import os, sys
sys.path[:] = sys.argv.pop(1).split(os.pathsep)
import mdctl.media.probe as probe
probe._check_size = lambda *_: None
probe.answer()
"""
"""A reader that believes any size."""


# --- Playlists


PLAYLISTS = {
    "m3u8": b"#EXTM3U\n#EXT-X-MEDIA-SEQUENCE:0\n#EXTINF:10.0,\nfile:///etc/passwd\n",
    "ffconcat": b"ffconcat version 1.0\nfile /etc/passwd\n",
    "MPD": b'<?xml version="1.0"?>\n<MPD xmlns="urn:mpeg:dash:schema:mpd:2011"></MPD>',
    "SDP": b"v=0\no=- 0 0 IN IP4 127.0.0.1\nm=video 5004 RTP/AVP 96\n",
    "address": b"http://127.0.0.1:8080/clip.mp4\n",
    "bom": b"\xef\xbb\xbf#EXTM3U\nhttp://127.0.0.1/\n",
}


@fault("D1", guard="mdctl.media.kinds._describe", without=lambda head: "a text file, not a video")
@pytest.mark.parametrize("suffix", [".mp4", ".gif", ".avi"])
@pytest.mark.parametrize("text", PLAYLISTS.values(), ids=PLAYLISTS)
def test_playlists_are_refused_before_any_reader_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: bytes, suffix: str
) -> None:
    """A text that names other files or addresses is refused by its first bytes, whatever it is called."""
    path = tmp_path / f"clip{suffix}"
    path.write_bytes(text)
    monkeypatch.setattr(probing.child, "run", lambda *_, **__: pytest.fail("a reader was started"))
    with pytest.raises(HiddenPlaylist) as caught:
        probe(path)
    assert caught.value.exit_code == 10
    assert "playlist" in caught.value.why


CANARY = "canary-5e1f"
LURES = {
    "m3u8": "#EXTM3U\n#EXT-X-MEDIA-SEQUENCE:0\n#EXTINF:10.0,\n{lure}\n#EXT-X-ENDLIST\n",
    "ffconcat": "ffconcat version 1.0\nfile '{lure}'\n",
    "MPD": '<?xml version="1.0"?>\n<MPD xmlns="urn:mpeg:dash:schema:mpd:2011"><Period><AdaptationSet><BaseURL>{lure}'
    "</BaseURL></AdaptationSet></Period></MPD>\n",
    "SDP": "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nm=video {port} RTP/AVP 96\n",
    "address": "{lure}\n",
}


AIMS = (
    "file:{canary}",
    "http://127.0.0.1:{port}/x",
    "concat:{canary}",
    "subfile,,start,0,end,9,,:{canary}",
    "data:text/plain,x",
)


class Listener:
    """A door of this computer that remembers who knocked."""

    def __init__(self) -> None:
        self._door = socket.create_server(("127.0.0.1", 0))
        self.port = self._door.getsockname()[1]
        self.knocks = 0
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self) -> None:
        while True:
            try:
                self._door.accept()[0].close()
            except OSError:
                return
            self.knocks += 1

    def close(self) -> None:
        """Listen no more."""
        self._door.close()


@pytest.fixture
def listener() -> Iterator[Listener]:
    """Somebody whom a playlist could lead to."""
    listener = Listener()
    yield listener
    listener.close()


def _credulous(path: Path) -> str:
    return {"m": "hls", "f": "concat", "M": "dash", "S": "sdp"}.get(path.name[0], "hls")


def _gaping(path: Path, output: Any, *, stdout_limit: int, cwd: Path | None = None, strict: bool = False) -> Finished:
    """Read a clip, and follow the playlist that it is or holds wherever it leads, as ffmpeg once did."""
    _, begins, playlist = path.read_bytes().partition(b"#EXTM3U")
    with TemporaryDirectory() as folder:
        (Path(folder) / "list.m3u8").write_bytes(begins + playlist.rstrip(b"\0"))
        open_to_all = ["-protocol_whitelist", "file,http,tcp,crypto,data", "-allowed_extensions", "ALL"]
        argv = [ffmpeg.executable(), "-v", "error", *open_to_all, "-extension_picky", "0", "-i", "list.m3u8"]
        child.run([*argv, "-f", "null", "-"], timeout_s=20, stdout_limit=stdout_limit, cwd=Path(folder))
    return RUN(path, output, stdout_limit=stdout_limit, cwd=cwd, strict=strict)


@fault("D1", guard=("mdctl.media.kinds._recognise",), without=lambda _: ("mov", ""))
@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".avi", ".gif"])
@pytest.mark.parametrize("lure", AIMS)
def test_a_playlist_leads_nowhere(
    mdctl: Mdctl, tmp_path: Path, home: Path, listener: Listener, suffix: str, lure: str
) -> None:  # fmt: skip
    """Whatever it is called, no file is read for it, no connection is opened, and it is refused by name."""
    canary = tmp_path / "canary.txt"
    canary.write_text(CANARY)
    for name, text in LURES.items():
        aim = lure.format(canary=canary, port=listener.port)
        (tmp_path / f"{name}{suffix}").write_text(text.format(lure=aim, port=listener.port))
    clips = [str(tmp_path / f"{name}{suffix}") for name in LURES]
    said = mdctl("new", "golf", *clips, *SMALL)
    assert said.code == 4
    assert said.err.count("a playlist") >= len(LURES)
    assert CANARY not in said.out + said.err
    assert not home.exists()
    assert listener.knocks == 0


@fault("D1", guard="mdctl.media.ffmpeg._run", without=_gaping)
def test_a_playlist_that_is_let_in_is_still_shut_in(
    tmp_path: Path, base: Path, listener: Listener, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Behind the first door stands another: a reader is told which format it may open, and which protocol."""
    path = tmp_path / "list.mp4"
    path.write_text(LURES["m3u8"].format(lure=f"http://127.0.0.1:{listener.port}/x.ts"))
    source = probe(base)
    with pytest.raises(Unusable):
        decode(path, source, start_s=0, fps=8, num_frames=8, width=32, height=32)
    time.sleep(0.1)
    assert listener.knocks == 0


def _chunk(name: bytes, content: bytes) -> bytes:
    return name + struct.pack("<I", len(content)) + content + b"\0" * (len(content) % 2)


def _with_subtitles(avi: bytes, words: bytes) -> bytes:
    """An AVI with a second stream of subtitles, in the form in which they once made ffmpeg open whatever they named."""
    size = struct.unpack("<I", avi[16:20])[0]
    header, rest = bytearray(avi[20 : 20 + size]), avi[20 + size :]
    header[12 + 24 : 12 + 28] = struct.pack("<I", 2)  # how many streams there are
    stream = _chunk(b"strh", b"txts" + bytes(16) + struct.pack("<II", 1, 25) + bytes(28)) + _chunk(b"strf", b"")
    movi = rest[rest.index(b"movi") + 4 :]
    packed = b"GAB2\0" + struct.pack("<HI", 2, 2) + b"x\0" + struct.pack("<HI", 4, len(words)) + words
    lists = _chunk(b"LIST", bytes(header) + _chunk(b"LIST", b"strl" + stream))
    lists += _chunk(b"LIST", b"movi" + _chunk(b"01tx", packed) + movi)
    return b"RIFF" + struct.pack("<I", len(lists) + 4) + b"AVI " + lists


@fault("D2", guard="mdctl.media.ffmpeg._run", without=_gaping)
@pytest.mark.parametrize("name", LURES)
def test_a_playlist_among_the_subtitles(film: Film, tmp_path: Path, listener: Listener, name: str) -> None:
    """A stream that is no video is never opened, so what it names is not either."""
    canary = tmp_path / "canary.txt"
    canary.write_text(CANARY)
    words = LURES[name].format(lure=f"http://127.0.0.1:{listener.port}/{canary}", port=listener.port)
    path = tmp_path / "clip.avi"
    path.write_bytes(_with_subtitles(film("plain.avi", *SOURCE, "-c:v", "mpeg4").read_bytes(), words.encode()))
    assert probe(path).videos == 1
    assert read(path).shape == (1, 32, 32, 3)
    assert listener.knocks == 0


@fault("D3")
def test_a_gif_without_end(tmp_path: Path) -> None:
    """A million frames in a small file are counted no further than patience goes."""
    screen = b"GIF89a" + struct.pack("<HHBBB", 16, 16, 0x80, 0, 0) + bytes(6)
    frame = b"\x21\xf9\x04\x00\x02\x00\x00\x00\x2c" + struct.pack("<HHHHB", 0, 0, 16, 16, 0)
    frame += b"\x02\x16\x8c\x2d\x99\x87\x2a\x1c\xdc\x33\xa0\x02\x75\xec\x95\xfa\xa8\xde\x60\x8c\x04\x91\x4c\x01\x00"
    path = tmp_path / "endless.gif"
    path.write_bytes(screen + frame * 1_000_000 + b";")
    with contextlib.suppress(Unusable):
        assert probe(path).duration_s > 0


@fault("D3")
def test_pixels_that_unpack_without_end(tmp_path: Path) -> None:
    """A kilobyte that claims ten billion bytes is refused by its claim."""
    path = tmp_path / "bomb.png"
    path.write_bytes(bomb(60_000, 60_000))
    with pytest.raises(Unusable, match="cannot be used"):
        probe(path)


# --- Giants


def bomb(width: int, height: int) -> bytes:
    """A PNG of a few hundred bytes that claims to be enormous."""

    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(999))) + chunk(b"IEND", b"")
    )


@fault("D3", guard="mdctl.media.probe._CHILD", without=NO_BOUNDS)
def test_enormous_pictures_are_refused_before_they_are_decoded(film: Film, tmp_path: Path) -> None:
    """A header that claims a billion pixels is believed, and that is why it is refused."""
    picture = tmp_path / "bomb.png"
    picture.write_bytes(bomb(30_000, 30_000))
    with pytest.raises(Unusable) as caught:
        probe(picture)
    assert caught.value.why == "too large: 30000x30000"
    small = film("plain.avi", *SOURCE, "-frames:v", "3", "-c:v", "rawvideo", "-pix_fmt", "yuv420p").read_bytes()
    movie = tmp_path / "bomb.avi"
    movie.write_bytes(small.replace(struct.pack("<II", 160, 90), struct.pack("<II", 65535, 65535)))
    with pytest.raises(Unusable) as caught:
        probe(movie)
    assert caught.value.why == "of no possible size"


@fault("D3", guard="mdctl.media.kinds.MAX_BYTES", without=1 << 60)
def test_files_beyond_the_limit_are_refused_unread(tmp_path: Path) -> None:
    """More than 4 GB is too much."""
    path = tmp_path / "huge.mp4"
    with path.open("wb") as file:
        file.truncate((4 << 30) + 1)
    with pytest.raises(Unusable) as caught:
        sniff(path)
    assert caught.value.why == "larger than 4 GB"


@fault("A9")
@pytest.mark.skipif(os.name != "posix", reason="special files of POSIX")
def test_only_regular_files_are_opened(tmp_path: Path, base: Path) -> None:
    """Pipes, devices, sockets and folders are refused at once; a link to a film is a film."""
    os.mkfifo(tmp_path / "pipe.mp4")
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(tmp_path / "s"))
    for path in (tmp_path / "pipe.mp4", Path("/dev/zero"), tmp_path / "s", tmp_path):
        with pytest.raises(Unusable) as caught:
            probe(path)
        assert "not a regular file" in caught.value.why
    listener.close()
    (tmp_path / "link.mp4").symlink_to(base)
    assert probe(tmp_path / "link.mp4") == probe(base)
    (tmp_path / "secret.mp4").symlink_to("/etc/passwd")
    with pytest.raises(Unusable):
        probe(tmp_path / "secret.mp4")
    (tmp_path / "lost.mp4").symlink_to(tmp_path / "nothing")
    with pytest.raises(NotFound):
        probe(tmp_path / "lost.mp4")
