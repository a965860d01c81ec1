"""What a source holds, read with distrust.

The container is read by PyAV, or a picture by Pillow, in a child process of its own, so that a broken or hostile file
can hurt nothing but that child. The child runs `answer` of this very file and prints one line of JSON.
"""

import contextlib
import json
import math
import os
import struct
import sys
from collections.abc import Iterator
from dataclasses import asdict
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mdctl import child
from mdctl.media.kinds import ANIMATIONS, PICTURES, Unusable, sniff
from mdctl.media.source import DECODERS, MAX_PIXELS, MAX_STREAMS, MIN_SIDE, Source

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream

_CHILD = """
import os, sys
sys.path[:] = sys.argv.pop(1).split(os.pathsep)
from mdctl.media.probe import answer
answer()
"""
"""Isolated from its surroundings, the child is told where its parent's packages lie."""

_TIMEOUT_S = 30.0
_MEMORY_BYTES = 2 * child.GIB
_MAX_PACKETS = 40_000
_MAX_PACKET_BYTES = 512 * 1024**2
_MAX_PICTURES = 3_000
_HDR = {16: "pq", 18: "hlg"}
"""SMPTE 2084 and ARIB B67, as ffmpeg numbers transfer functions."""

_UNKNOWN_MATRIX = 2
_TURNED = (0, False), (0, True), (180, False), (180, True), (270, True), (90, False), (90, True), (270, False)
"""EXIF orientations 1 to 8 as clockwise degrees, and whether to flip before."""


def probe(path: Path) -> Source:
    """What the file holds: sizes, rate, rotation, length, damage.

    Takes a fraction of a second, most of it to start the child.

    Raises:
        NotFound, Unusable, HiddenPlaylist: see `sniff`.
    """
    reader = sniff(path)
    roots = [*sys.path, str(Path(__file__).resolve().parents[2])]
    paths = os.pathsep.join(root for root in roots if Path(root).is_absolute())
    argv = [sys.executable, "-I", "-X", "utf8", "-c", _CHILD, paths, reader, str(path.absolute())]
    try:
        finished = child.run(argv, timeout_s=_TIMEOUT_S, stdout_limit=1 << 16, memory_bytes=_MEMORY_BYTES)
        found: dict[str, Any] = json.loads(finished.stdout.splitlines()[-1])
    except child.ChildFailed as error:
        raise Unusable.of(path, f"could not be read: {error.why}") from error
    except (ValueError, IndexError) as error:
        raise Unusable.of(path, "could not be read: its contents stop the reader") from error
    if "refused" in found:
        raise Unusable.of(path, str(found["refused"]))
    return Source(**found)


# --- In the child.


class _NoVideo(Exception):
    """Why a readable container is of no use."""


def answer() -> None:
    """Print what the file named on the command line holds, or why it is refused, as one line of JSON."""
    reader, path = sys.argv[1:3]
    try:
        pictures = reader in PICTURES or reader in ANIMATIONS
        found: dict[str, object] = asdict(_read_picture(reader, path) if pictures else _read_video(reader, path))
    except _NoVideo as error:
        found = {"refused": str(error)}
    except (MemoryError, RecursionError):
        found = {"refused": "needs too much memory to be read"}
    except Exception:  # noqa: BLE001 - whatever a foreign file does to a parser, the answer is a sentence
        found = {"refused": "unreadable: damaged, incomplete, or not what it claims to be"}
    sys.stdout.write(json.dumps(found) + "\n")


def _read_picture(reader: str, path: str) -> Source:
    from PIL import Image

    Image.MAX_IMAGE_PIXELS = None  # the limit of our own speaks in our own words
    kind = {"jpeg_pipe": "JPEG", "png_pipe": "PNG", "apng": "PNG"}.get(reader, "WEBP")
    with Image.open(path, formats=[kind]) as image:
        width, height = image.size
        _check_size(width, height)
        orientation = image.getexif().get(0x0112, 1)
        rotation, mirrored = _TURNED[orientation - 1] if orientation in range(1, 9) else _TURNED[0]
        lengths = [length_s if length_s > 0.01 else 0.1 for length_s in _lengths(reader, path)]  # as browsers do
        alpha = image.has_transparency_data
        seen = alpha and image.convert("RGBA").getchannel("A").getextrema()[0] != 255
        image.load()
    turned = rotation % 180 == 90
    duration_s = round(sum(lengths), 3)
    return Source(
        reader=reader,
        codec=kind.lower(),
        width=height if turned else width,
        height=width if turned else height,
        stored_width=width,
        stored_height=height,
        rotation=rotation,
        mirrored=mirrored,
        fps=round(len(lengths) / duration_s, 3) if lengths else 0.0,
        variable_rate=bool(lengths) and max(lengths) > min(lengths) * 1.1 + 0.002,
        frames=max(1, len(lengths)),
        duration_s=duration_s,
        last_frame_s=lengths[-1] if lengths else 0.0,
        still=not lengths,
        alpha=alpha,
        transparent=seen,
    )


def _lengths(reader: str, path: str) -> list[float]:
    """How long each picture of an animation stays, in seconds; none for a single picture."""
    lengths: list[float] = []
    if reader not in ANIMATIONS:
        return lengths
    with Path(path).open("rb") as file:
        file.seek(12 if reader == "webp_anim" else 8)
        while len(header := file.read(8)) == 8 and len(lengths) < _MAX_PICTURES:
            if reader == "webp_anim":  # name, size; padded to an even size; milliseconds in three bytes
                name, size = struct.unpack("<4sI", header)
                body = file.read(15) if name == b"ANMF" else b""
                if len(body) == 15:
                    lengths.append(int.from_bytes(body[12:15], "little") / 1000)
                file.seek(size + size % 2 - len(body), os.SEEK_CUR)
            else:  # size, name; a checksum behind; a fraction of a second
                size, name = struct.unpack(">I4s", header)
                body = file.read(24) if name == b"fcTL" else b""
                if len(body) == 24:
                    above, below = struct.unpack(">HH", body[20:24])
                    lengths.append(above / (below or 100))
                file.seek(size + 4 - len(body), os.SEEK_CUR)
    return lengths if len(lengths) > 1 else []


def _check_size(width: int, height: int) -> None:
    if not width * height:  # what remains of a size that ffmpeg itself refuses
        raise _NoVideo("of no possible size")
    if width * height > MAX_PIXELS:
        raise _NoVideo(f"too large: {width}x{height}")
    if min(width, height) < MIN_SIDE:
        raise _NoVideo(f"too small: {width}x{height}")


def _read_video(reader: str, path: str) -> Source:
    import av

    av.logging.set_level(None)
    options = {"protocol_whitelist": "file", "format_whitelist": reader, "max_streams": str(MAX_STREAMS)}
    limits = {"max_pixels": str(MAX_PIXELS), "codec_whitelist": DECODERS, "threads": "1"}
    with av.open(f"file:{path}", format=reader, options=options | limits) as container:
        attached = av.stream.Disposition.attached_pic
        covers = [stream for stream in container.streams.video if stream.disposition & attached]
        videos = [stream for stream in container.streams.video if not stream.disposition & attached]
        if not videos:
            sound = "only sound" if container.streams.audio else "no video in it"
            raise _NoVideo(f"{sound} and a cover picture" if covers else sound)
        stream = videos[0]
        if stream.codec_context is None or stream.codec_context.name not in DECODERS.split(","):
            name = stream.codec_context.name if stream.codec_context else "unknown"
            raise _NoVideo(f"its video codec ({name}) is not one that mdctl reads; convert it to mp4")
        _check_size(stream.codec_context.width, stream.codec_context.height)
        stream.codec_context.options = limits
        return _describe_stream(reader, container, stream, len(videos))


def _describe_stream(reader: str, container: "InputContainer", stream: "VideoStream", videos: int) -> Source:
    pace = _Pace(container, stream)
    if not pace.pictures:
        raise _NoVideo(f"its video ({stream.codec_context.name}) is damaged from the start")
    first = pace.pictures[0]
    _check_size(first.width, first.height)
    aspect = float(stream.sample_aspect_ratio or stream.codec_context.sample_aspect_ratio or 1)
    aspect = aspect if 0.1 <= aspect <= 10 else 1.0
    rotation, mirrored = _orientation(first)
    width, height = round(first.width * aspect), first.height
    if rotation % 180 == 90:
        width, height = height, width
    channels = any(component.is_alpha for component in first.format.components)
    hidden = stream.metadata.get("alpha_mode") == "1"  # VP8 and VP9 keep alpha where this decoder does not look
    return Source(
        reader=reader,
        codec=stream.codec_context.codec.canonical_name,
        width=width,
        height=height,
        stored_width=first.width,
        stored_height=first.height,
        pixel_aspect=aspect,
        rotation=rotation,
        mirrored=mirrored,
        stream=stream.index,
        fps=pace.fps,
        variable_rate=pace.variable,
        frames=pace.frames,
        duration_s=pace.end_s,
        last_frame_s=pace.last_frame_s,
        damaged_after_s=pace.damaged_after_s,
        still=reader == "gif" and pace.frames == 1,
        videos=videos,
        interlaced=any(picture.interlaced_frame for picture in pace.pictures),
        hdr=_HDR.get(int(first.color_trc or 0)),
        tagged=int(first.colorspace) != _UNKNOWN_MATRIX,
        alpha=channels or hidden,
        transparent=hidden or (channels and _sees_through(first)),
        comment=container.metadata.get("comment", "")[:200],
    )


class _Pace:
    """The rhythm of a stream: read from its packets, with the first few pictures decoded on the way."""

    def __init__(self, container: "InputContainer", stream: "VideoStream") -> None:
        self.pictures: list[VideoFrame] = []
        self.counted = True
        times: list[tuple[int, int]] = []
        size = shown = 0
        for packet_time, duration, packet_bytes in self._packets(container, stream):
            shown += 1
            size += packet_bytes
            if packet_time is not None:
                times.append((packet_time, duration))
            if shown >= _MAX_PACKETS or size >= _MAX_PACKET_BYTES:
                self.counted = False
                break
        self._settle(container, stream, sorted(times), shown)

    def _packets(self, container: "InputContainer", stream: "VideoStream") -> Iterator[tuple[int | None, int, int]]:
        from av.error import FFmpegError

        attempts = 0
        try:
            for packet in container.demux(stream):
                if len(self.pictures) < 3 and attempts < 400:
                    attempts += 1
                    with contextlib.suppress(FFmpegError):  # the next packet may be whole
                        self.pictures += [frame for frame in packet.decode() if frame.width]
                if packet.size and not packet.is_discard:
                    known = packet.pts is not None and stream.container.format.name != "avi"  # which guesses at it
                    yield packet.pts if known else packet.dts, packet.duration or 0, packet.size
        except FFmpegError:
            return  # the data ends early; what was read so far counts

    def _settle(
        self, container: "InputContainer", stream: "VideoStream", times: list[tuple[int, int]], shown: int
    ) -> None:
        base = float(stream.time_base or 0)
        start_s = (container.start_time or 0) / 1e6
        announced = float(stream.average_rate or stream.guessed_rate or 0)
        moments = sorted({time for time, _ in times})
        gaps = sorted(after - before for before, after in pairwise(moments))
        middle = gaps[len(gaps) // 2] if gaps else 0

        # Trust the distances that are there over the rate that is announced.
        span_s = (moments[-1] - moments[0]) * base if gaps else 0.0
        measured = len(gaps) / span_s if span_s else 0.0
        agree = bool(measured) and abs(measured - announced) <= 0.02 * announced
        self.fps = announced if agree or not measured else measured
        self.fps = self.fps or 25.0
        tolerance = max(0.1 * middle, 2.0, 0.0025 / base if base else 0.0)
        uneven = sum(abs(gap - middle) > tolerance for gap in gaps)
        self.variable = uneven > 0.02 * len(gaps) or (bool(gaps) and (gaps[-1] - middle) * base > 0.25)

        # The end is where the last frame has been seen.
        usual_s = middle * base or 1 / self.fps
        stated_s = times[-1][1] * base if times else 0.0
        self.last_frame_s = stated_s if usual_s / 2 <= stated_s <= 60 else usual_s
        self.end_s = moments[-1] * base + self.last_frame_s - start_s if moments else shown / self.fps
        self.frames = shown

        # Compare with what the header promised.
        promised_s = _promised_s(container, stream)
        self.damaged_after_s = None
        if not self.counted:
            self.end_s = max(self.end_s, promised_s or 0.0)
            self.frames = max(shown, round(self.end_s * self.fps))
        elif promised_s and self.end_s < promised_s - max(0.25, 3 * usual_s):
            self.damaged_after_s = round(self.end_s, 3)


def _promised_s(container: "InputContainer", stream: "VideoStream") -> float | None:
    """The end of the video by the header, None where the format has none of its own."""
    if container.format.name.startswith(("mov", "avi")) and stream.duration and stream.time_base:
        first_s = float((stream.start_time or 0) * stream.time_base) - (container.start_time or 0) / 1e6
        return first_s + float(stream.duration * stream.time_base)
    if container.format.name.startswith("matroska"):
        text = stream.metadata.get("DURATION", "")
        try:
            hours, minutes, seconds = text.split(":")
            return int(hours) * 3600 + int(minutes) * 60 + float(seconds)
        except ValueError:
            alone = len(container.streams) == 1  # else the sound may be the longer one
            return container.duration / 1e6 if alone and container.duration else None
    return None


def _orientation(picture: "VideoFrame") -> tuple[int, bool]:
    """Degrees clockwise to stand upright, and whether to flip left to right before."""
    sides: Any = picture.side_data
    if "DISPLAYMATRIX" not in sides:
        return 0, False
    a, b, _, c, d, *_ = struct.unpack("=9i", memoryview(sides["DISPLAYMATRIX"])[:36])
    mirrored = a * d - b * c < 0
    angle = math.degrees(math.atan2(-b, -a) if mirrored else math.atan2(b, a))
    return round(angle / 90) * 90 % 360, mirrored


def _sees_through(picture: "VideoFrame") -> bool:
    plane = picture.reformat(format="rgba").planes[0]
    pixels = memoryview(plane).cast("B")
    starts = range(0, plane.line_size * plane.height, plane.line_size)
    return any(min(bytes(pixels[at + 3 : at + 4 * picture.width : 4])) < 255 for at in starts)
