"""Which kind of file a source is, told by its first bytes alone: a list of readers, and a reason for all the rest."""

import os
import stat
import struct
from pathlib import Path
from typing import IO

from mdctl import child
from mdctl.errors import BadInput, NotFound, Refused

MAX_BYTES = 4 * child.GIB

PICTURES = ("png_pipe", "jpeg_pipe", "webp_pipe")
ANIMATIONS = ("apng", "webp_anim")


class Unusable(BadInput):
    """A file that is no video or picture mdctl can read; `why` says it in a few words."""

    code = "MD-CLIP"

    @classmethod
    def of(cls, path: Path, why: str) -> "Unusable":
        """The usual sentence about a file, with this reason."""
        return cls(f"'{path.name}' cannot be used.", why=why)


class HiddenPlaylist(Refused):
    """A text that would make ffmpeg open other files or addresses; `why` says what it is."""

    code = "MD-PLAYLIST"


def sniff(path: Path) -> str:
    """The one ffmpeg reader that may open this file, decided by its first bytes and never by its name.

    Raises:
        NotFound: there is no such file.
        Unusable: it is not a regular file, too large, or of a kind that is not read.
        HiddenPlaylist: a text playlist, which could lead ffmpeg to other files or the network.
    """
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            raise Unusable.of(path, _kind_of_node(status.st_mode))
        if status.st_size > MAX_BYTES:
            raise Unusable.of(path, f"larger than {MAX_BYTES // child.GIB} GB")
        with path.open("rb") as file:
            head = file.read(4096)
            reader, reason = _recognise(head)
            if reader == "png_pipe" and _has_animation(file):
                reader = "apng"
    except (FileNotFoundError, NotADirectoryError) as error:
        raise NotFound(f"there is no file '{path}'.") from error
    except (OSError, ValueError) as error:
        raise Unusable.of(path, f"cannot be opened: {getattr(error, 'strerror', None) or error}") from error
    if reader:
        return reader
    if reason.startswith("a playlist"):
        raise HiddenPlaylist(f"'{path.name}' was refused.", why=f"{reason}, not a video")
    raise Unusable.of(path, reason)


def _kind_of_node(mode: int) -> str:
    kinds = {stat.S_IFDIR: "a folder", stat.S_IFIFO: "a pipe", stat.S_IFSOCK: "a socket", stat.S_IFCHR: "a device"}
    return f"{kinds.get(stat.S_IFMT(mode), 'a device')}, not a regular file"


_SIGNATURES = (
    (b"\x1aE\xdf\xa3", "matroska", ""),
    (b"GIF87a", "gif", ""),
    (b"GIF89a", "gif", ""),
    (b"\x89PNG\r\n\x1a\n", "png_pipe", ""),
    (b"\xff\xd8\xff", "jpeg_pipe", ""),
    (b"\x00\x00\x01\xba", "mpeg", ""),
    (b"%PDF", "", "a PDF document"),
    (b"PK\x03\x04", "", "a zip archive or office document"),
    (b"OggS", "", "an Ogg file; convert it to mp4"),
    (b"FLV", "", "a Flash video; convert it to mp4"),
    (b"\x30\x26\xb2\x75", "", "a Windows Media video; convert it to mp4"),
    (b"ID3", "", "only sound"),
    (b"fLaC", "", "only sound"),
    (b"BM", "", "a bitmap picture; save it as PNG"),
    (b"II*\x00", "", "a TIFF picture; save it as PNG"),
    (b"MM\x00*", "", "a TIFF picture; save it as PNG"),
)
_PLAYLISTS = ((b"#EXTM3U", "m3u8"), (b"ffconcat", "ffconcat"), (b"<MPD", "MPD"), (b"v=0", "SDP"))
_HEIF_BRANDS = (b"avif", b"avis", b"heic", b"heix", b"hevc", b"heim", b"heis", b"mif1", b"msf1")


def _recognise(head: bytes) -> tuple[str, str]:
    """Reader, or empty with the reason why there is none."""
    if not head:
        return "", "an empty file"
    for start, reader, reason in _SIGNATURES:
        if head.startswith(start):
            return reader, reason
    if head[4:8] == b"ftyp" and head[8:12] in _HEIF_BRANDS:
        return "", "a HEIC or AVIF picture; save it as JPEG or PNG"
    if head[4:8] in (b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide", b"pnot"):
        return "mov", ""
    if head[:4] == b"RIFF" and head[8:12] == b"AVI ":
        return "avi", ""
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "webp_anim" if head[12:16] == b"VP8X" and len(head) > 20 and head[20] & 2 else "webp_pipe", ""
    if any(
        head[at : at + 3 * step : step] == b"GGG" for at, step in ((0, 188), (4, 192))
    ):  # every packet starts with G
        return "mpegts", ""
    return "", _describe(head)


def _describe(head: bytes) -> str:
    text = head.lstrip(b"\xef\xbb\xbf \t\r\n")
    for start, name in _PLAYLISTS:
        if text.lower().startswith(start.lower()) or (name == "MPD" and start in head):
            return f"a playlist ({name})"
    if b"\x00" in head:
        return "not a video or picture that mdctl reads"
    link = text[:8].lower().startswith((b"http", b"rtsp", b"rtmp", b"file:", b"concat:", b"data:", b"subfile"))
    return "a playlist (a text with an address)" if link else "a text file, not a video"


def _has_animation(file: IO[bytes]) -> bool:
    """Whether a PNG announces an animation before its picture data."""
    file.seek(8)
    for _ in range(64):
        header = file.read(8)
        if len(header) < 8 or header[4:] in (b"IDAT", b"acTL"):
            return header[4:] == b"acTL"
        file.seek(struct.unpack(">I", header[:4])[0] + 4, os.SEEK_CUR)
    return False
