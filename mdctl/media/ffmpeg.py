"""The door to ffmpeg: decode and encode, composed by ffmpeg-python, started by `child.run`.

Foreign files are opened by the one reader that `kinds.sniff` allows, with every protocol but plain files closed. Frames
are chosen by their time: one pass reads when each frame is shown, a second brings the chosen ones.
"""

import functools
import os
import re
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

import ffmpeg
import numpy as np
from numpy.typing import NDArray

from mdctl import child
from mdctl.errors import BadInput, MdctlError, NotReady
from mdctl.media.frames import Frames
from mdctl.media.kinds import Unusable
from mdctl.media.source import DECODERS, MAX_PIXELS, MAX_STREAMS, Source
from mdctl.media.timing import choose, shown_until

Format = Literal["mp4", "gif", "webp"]

GREY_WIDTH = 64
MP4_ENCODERS = ("libx264", "libopenh264", "mpeg4")

_DECODE_S = 180.0
_ENCODE_S = 600.0
_LOG_BYTES = 64 * 1024**2
_SLACK = 1 << 16
_FOREIGN = "file:foreign"
_QUIET = ("-nostdin", "-hide_banner", "-v", "error")
_LEADS_S = {"mov": 1.0, "matroska": 1.0, "avi": 2.0, "mpeg": 10.0, "mpegts": 10.0}
"""How far before the wanted moment to seek: without an index a seek may land late, and a frame may stay long."""

_SCALING = "bicubic+accurate_rnd+full_chroma_int+full_chroma_inp"
_ENCODER_OPTIONS: dict[str, dict[str, str]] = {
    "libx264": {"crf": "12", "preset": "slow", "profile:v": "high"},
    "libopenh264": {"b:v": "8M", "profile:v": "high"},
    "mpeg4": {"q:v": "2"},
}


@dataclass(frozen=True)
class Grey:
    """A clip seen small and without colour: enough to know its length, its motion and its cuts."""

    times: NDArray[np.float64]
    """Seconds from the clip's start at which each frame appears, rising."""

    frames: NDArray[np.uint8]  # f h w
    """One small picture per time, `GREY_WIDTH` wide."""

    until_s: float
    """When the last of them disappears."""

    damaged_after_s: float | None = None
    """When the first damaged frame is shown, None when all are sound."""


# --- Which ffmpeg.


def executable() -> str:
    """The absolute path of the ffmpeg to use: `MDCTL_FFMPEG`, else the one on PATH, else imageio-ffmpeg's.

    Raises:
        NotReady: there is none, or `MDCTL_FFMPEG` does not name a program.
    """
    wanted = os.environ.get("MDCTL_FFMPEG")
    if wanted:
        if Path(wanted).is_absolute() and _runs(Path(wanted)):
            return wanted
        raise NotReady(f"MDCTL_FFMPEG is '{wanted}', which is not a program.", fix="unset MDCTL_FFMPEG")
    name = "ffmpeg.exe" if os.name == "nt" else "ffmpeg"
    folders = [Path(entry) for entry in os.get_exec_path() if Path(entry).is_absolute()]  # never the current folder
    for candidate in [folder / name for folder in folders] + _wheel():
        if _runs(candidate):
            return str(candidate)
    raise NotReady("there is no ffmpeg on this computer.", fix="pip install imageio-ffmpeg", code="MD-FFMPEG")


def _runs(path: Path) -> bool:
    return path.is_file() and os.access(path, os.X_OK)


def _wheel() -> list[Path]:
    spec = find_spec("imageio_ffmpeg")
    if spec is None or spec.origin is None:
        return []
    return sorted((Path(spec.origin).parent / "binaries").glob("ffmpeg-*"))


# --- Reading.


def decode(
    path: Path, source: Source, *, start_s: float, fps: float, num_frames: int, width: int, height: int
) -> Frames:
    """Exactly `num_frames` frames (f, height, width, 3), evenly spaced in time from `start_s` on.

    They are upright with square pixels, scaled to cover the size and cropped about the centre, de-interlaced, in
    ordinary dynamic range, and laid on mid grey where they are transparent.

    Raises:
        Unusable: fewer frames can be decoded; `why` says how many.
        NotReady: this ffmpeg lacks something that the clip needs.
    """
    if min(num_frames, width, height) < 1 or fps <= 0 or start_s < 0:
        raise BadInput(f"{num_frames} frames of {width}x{height} at {fps:g} fps cannot be cut from a clip.")
    wanted = [start_s + number / fps for number in range(num_frames)]
    length_s = wanted[-1] - start_s + 2 / fps + 2 * source.last_frame_s
    times = frame_times(path, source, start_s=start_s, length_s=length_s)
    chosen = choose(times, wanted, shown_until(times, source, start_s + length_s))
    if len(chosen) < num_frames:
        raise Unusable(f"'{path.name}' is too short.", why=f"only {len(chosen)} of {num_frames} frames can be read")

    # Fetch each chosen frame once, even where a slow source shows it several times.
    numbers = sorted(set(chosen))
    stream = _open(source, start_s, length_s)
    if source.interlaced:  # before the choice, as it needs the frames around
        stream = stream.filter("bwdif", mode="send_frame", deint="interlaced")
    stream = stream.filter("select", _any_of(numbers))
    channels = 4 if source.alpha else 3
    stream = _shape(stream, source, width, height).filter("format", "rgba" if source.alpha else "rgb24")
    size = len(numbers) * height * width * channels
    finished = _run(path, _raw_output(stream), stdout_limit=size + _SLACK)
    if len(finished.stdout) != size:
        found = len(finished.stdout) // (height * width * channels)
        raise _complaint(path, finished, f"only {found} of {len(numbers)} frames can be decoded")
    frames = np.frombuffer(finished.stdout, np.uint8).reshape(-1, height, width, channels)
    if source.alpha:
        frames = _flatten(frames)
    return frames[[numbers.index(number) for number in chosen]]


def frame_times(path: Path, source: Source, *, start_s: float, length_s: float) -> NDArray[np.float64]:
    """When the frames around a stretch of the clip are shown, in seconds from its start, in the decoder's order."""
    with tempfile.TemporaryDirectory(prefix="mdctl-", ignore_cleanup_errors=True) as folder:
        stream = _timed(_open(source, start_s, length_s)).filter("scale", 16, 16, flags="neighbor")
        finished = _run(path, _raw_output(stream.filter("format", "gray")), stdout_limit=_LOG_BYTES, cwd=Path(folder))
        times = _read_times(Path(folder)) + _seek(source, start_s)
    if not len(times):
        raise _complaint(path, finished, "no frame of it can be decoded")
    return times


def grey_pass(path: Path, source: Source, *, start_s: float, length_s: float) -> Grey:
    """A stretch of the clip, every frame, `GREY_WIDTH` pixels wide and grey.

    Raises:
        Unusable: nothing can be decoded.
    """
    times, frames, clean = _read_grey(path, source, start_s, length_s, strict=True)
    if clean and len(times):
        return Grey(times, frames, shown_until(times, source, start_s + length_s))

    # Read on past the damage. Where it comes first, as in a recording that begins in mid-stream, it does not matter.
    sound = len(times)
    times, frames, _ = _read_grey(path, source, start_s, length_s, strict=False)
    if not len(times):
        raise Unusable(f"'{path.name}' cannot be decoded.", why="no frame of it can be decoded")
    until_s = shown_until(times, source, start_s + length_s)
    damaged_after_s = float(times[sound]) if sound < len(times) else until_s
    return Grey(times, frames, until_s, damaged_after_s if sound > 2 else None)


def _read_grey(
    path: Path, source: Source, start_s: float, length_s: float, *, strict: bool
) -> tuple[NDArray[np.float64], NDArray[np.uint8], bool]:
    """Times, frames (f h w) and whether there was no complaint; when strict, reading ends at the first damage."""
    height = min(256, max(8, round(GREY_WIDTH * source.height / source.width)))
    read_s = start_s + length_s - _seek(source, start_s)
    limit = (round((read_s + 20) * max(source.fps, 25) * 2) + 64) * GREY_WIDTH * height
    with tempfile.TemporaryDirectory(prefix="mdctl-", ignore_cleanup_errors=True) as folder:
        stream = _turn(_timed(_open(source, start_s, length_s)), source)
        stream = _raw_output(stream.filter("scale", GREY_WIDTH, height, flags="area").filter("format", "gray"))
        finished = _run(path, stream, stdout_limit=limit, cwd=Path(folder), strict=strict)
        times = _read_times(Path(folder)) + _seek(source, start_s)
    number = min(len(times), len(finished.stdout) // (GREY_WIDTH * height))
    if not number and not strict:
        raise _complaint(path, finished, "no frame of it can be decoded")
    frames = np.frombuffer(finished.stdout, np.uint8, number * GREY_WIDTH * height).reshape(-1, height, GREY_WIDTH)
    times = times[:number]
    rising = np.flatnonzero(np.diff(np.maximum.accumulate(times), prepend=-1.0) > 0)
    inside = rising[(times[rising] >= start_s - 1e-3) & (times[rising] < start_s + length_s)]
    return times[inside], frames[inside], finished.returncode == 0


def _seek(source: Source, start_s: float) -> float:
    """Where to begin reading, so that the frame shown at `start_s` is surely seen."""
    return max(0.0, start_s - _LEADS_S[source.reader]) if source.reader in _LEADS_S else 0.0


def _open(source: Source, start_s: float, length_s: float) -> Any:
    """The video of a foreign file, from `_seek` on, with all doors closed."""
    begin_s = _seek(source, start_s)
    options: dict[str, Any] = {
        "format": source.reader,
        "threads": 2,
        "protocol_whitelist": "file",
        "format_whitelist": source.reader,
        "codec_whitelist": DECODERS,
        "max_streams": MAX_STREAMS,
        "max_pixels": MAX_PIXELS,
        "noautorotate": None,
    }
    if begin_s > 0:
        options["ss"] = f"{begin_s:.6f}"
    if not source.still:
        options["t"] = f"{start_s + length_s - begin_s:.6f}"
    if source.alpha and source.codec in ("vp8", "vp9"):
        options["vcodec"] = "libvpx" if source.codec == "vp8" else "libvpx-vp9"
    return ffmpeg.input(_FOREIGN, **options)[str(source.stream)]


def _timed(stream: Any) -> Any:
    """Every frame writes down its time, in microseconds, into the child's folder."""
    stream = stream.filter("settb", "AVTB").filter("metadata", mode="add", key="at", value="0")
    return stream.filter("metadata", mode="print", file="times")


def _read_times(folder: Path) -> NDArray[np.float64]:
    log = folder / "times"
    text = log.read_text("ascii", "replace") if log.exists() else ""
    return np.array([int(time) for time in re.findall(r"pts:(-?\d+)", text)], np.float64) / 1e6


def _turn(stream: Any, source: Source) -> Any:
    """Obey the rotation, here and nowhere else: `autorotate` is off."""
    if source.mirrored:
        stream = stream.filter("hflip")
    if source.rotation == 180:
        return stream.filter("hflip").filter("vflip")
    return stream.filter("transpose", {90: "clock", 270: "cclock"}[source.rotation]) if source.rotation else stream


def _any_of(numbers: Sequence[int]) -> str:
    """Whether a frame is one of these, for `select`; in groups, as ffmpeg adds no more than 100 terms in a row."""
    terms = [f"eq(n,{number})" for number in numbers]
    groups = ["+".join(terms[place : place + 50]) for place in range(0, len(terms), 50)]
    return "+".join(f"({group})" for group in groups)


def _shape(stream: Any, source: Source, width: int, height: int) -> Any:
    """Upright, square, covering the size, in ordinary colours."""
    if source.alpha:
        stream = stream.filter("format", "gbrap").filter("premultiply", inplace=1)  # or hidden colours would bleed in
    stream = _turn(stream, source)

    # The largest centred part of the right shape, measured in stored pixels.
    turned = source.rotation % 180 == 90
    stored = (source.stored_height, source.stored_width) if turned else (source.stored_width, source.stored_height)
    shape = min(source.width / width, source.height / height)
    part = (
        max(1, min(stored[0], round(width * shape * stored[0] / source.width))),
        max(1, min(stored[1], round(height * shape * stored[1] / source.height))),
    )
    if part != stored:
        stream = stream.filter("crop", *part, (stored[0] - part[0]) // 2, (stored[1] - part[1]) // 2, exact=1)
    scaling: dict[str, Any] = {"flags": _SCALING}
    if not source.tagged:  # players take untagged video for BT.709 when it is large, and so do we
        scaling["in_color_matrix"] = "bt709" if max(stored) >= 1280 or min(stored) > 576 else "bt601"
    if source.hdr:
        return _tone_map(stream.filter("scale", width, height, flags=_SCALING), source.hdr)
    return stream.filter("scale", width, height, **scaling)


def _tone_map(stream: Any, hdr: str) -> Any:
    """High dynamic range to ordinary: mid tones stay where they are, only highlights are compressed."""
    transfer = {"pq": "smpte2084", "hlg": "arib-std-b67"}[hdr]
    stream = stream.filter("zscale", tin=transfer, min="2020_ncl", pin="2020", t="linear", npl=203)  # BT.2408 white
    stream = stream.filter("format", "gbrpf32le").filter("zscale", p="709")
    stream = stream.filter("tonemap", "mobius", param=0.5, desat=0)
    return stream.filter("zscale", t="709", m="gbr", r="pc").filter("format", "gbrp")


def _raw_output(stream: Any) -> Any:
    """Bare pixels on standard output. Frames are renumbered, so that no version of ffmpeg doubles or drops one."""
    stream = stream.filter("setpts", "N*100/TB")
    return stream.output("pipe:1", format="rawvideo", r="1/100", map_metadata=-1)


def _flatten(frames: Frames) -> Frames:
    """Premultiplied RGBA laid on mid grey."""
    backdrop = 128 * (255 - frames[..., 3:].astype(np.uint16)) // 255
    laid: Frames = np.minimum(frames[..., :3] + backdrop, 255).astype(np.uint8)
    return laid


def _run(
    path: Path, output: Any, *, stdout_limit: int, cwd: Path | None = None, strict: bool = False
) -> child.Finished:
    """Start the composed ffmpeg on a foreign file; when strict, it ends at the first error."""
    argv = output.compile(cmd=[executable(), *_QUIET, *(["-xerror"] if strict else []), "-filter_complex_threads", "2"])
    argv[argv.index(_FOREIGN)] = f"file:{path.absolute()}"  # late, as ffmpeg-python fails on names that are no UTF-8
    try:
        return child.run(argv, timeout_s=_DECODE_S, stdout_limit=stdout_limit, cwd=cwd)
    except child.ChildFailed as error:
        raise Unusable(f"'{path.name}' cannot be decoded.", why=error.why) from error


def _complaint(path: Path, finished: child.Finished, why: str) -> MdctlError:
    """What to raise when ffmpeg gave less than was asked."""
    missing = re.search(r"(?:No such filter: |Unknown decoder |Unknown input format: )'([\w-]+)'", finished.stderr)
    if missing:
        what = f"this ffmpeg cannot read '{path.name}': it lacks {missing[1]}."
        return NotReady(what, fix="pip install imageio-ffmpeg, and set MDCTL_FFMPEG to its program", code="MD-FFMPEG")
    return Unusable(f"'{path.name}' cannot be decoded.", why=why)


# --- Writing.


def encode(frames: Frames, fps: float, *, format: Format, comment: str = "") -> bytes:  # noqa: A002 - the word of the field
    """The bytes of a video file: H.264 in mp4, or an endless gif or webp. The same frames give the same bytes.

    Colours are tagged BT.709. `comment` goes into the mp4's comment tag; the other formats have none.

    Raises:
        BadInput: no frames, not (f, h, w, 3) uint8, or odd sizes for mp4.
        NotReady: this ffmpeg cannot write the format.
    """
    if frames.ndim != 4 or frames.shape[-1] != 3 or frames.dtype != np.uint8 or not frames.size:
        raise BadInput(f"an array of shape {frames.shape} and type {frames.dtype} is no video.")
    if fps <= 0:
        raise BadInput(f"{fps:g} frames per second are no rate.")
    height, width = frames.shape[1:3]
    if format == "mp4" and (width % 2 or height % 2):
        raise BadInput(f"{width}x{height} cannot be written as mp4.", why="both sides must be even", fix="--format gif")
    rate = str(Fraction(fps).limit_denominator(1001))
    opened = ffmpeg.input("pipe:0", format="rawvideo", pixel_format="rgb24", video_size=(width, height), framerate=rate)
    if format == "gif":
        return _encode_gif(frames, opened)
    if format == "webp":
        options = {"vcodec": "libwebp_anim", "lossless": 0, "quality": 90, "compression_level": 4, "loop": 0}
        return _write(frames, opened.video.output("file:out.webp", format="webp", **_PLAIN, **options), "webp")
    return _encode_mp4(frames, opened, comment)


_PLAIN: dict[str, Any] = {"map_metadata": -1, "flags:v": "+bitexact", "threads": 2}


def _encode_mp4(frames: Frames, opened: Any, comment: str) -> bytes:
    stream = opened.video.filter("scale", flags=_SCALING, out_color_matrix="bt709", out_range="tv")
    stream = stream.filter("format", "yuv420p")
    stream = stream.filter("setparams", colorspace="bt709", color_primaries="bt709", color_trc="bt709", range="tv")
    for encoder in MP4_ENCODERS:
        if encoder not in _encoders(executable()):
            continue
        options = _PLAIN | _ENCODER_OPTIONS[encoder] | {"vcodec": encoder, "movflags": "+faststart"}
        if comment:
            options["metadata"] = f"comment={comment}"
        return _write(frames, stream.output("file:out.mp4", format="mp4", **options), "mp4")
    raise NotReady("this ffmpeg cannot write mp4.", why=f"it has none of {', '.join(MP4_ENCODERS)}", code="MD-FFMPEG")


def _encode_gif(frames: Frames, opened: Any) -> bytes:
    split = opened.video.filter_multi_output("split")
    palette = split[0].filter("palettegen", reserve_transparent=0, stats_mode="full")
    stream = ffmpeg.filter([split[1], palette], "paletteuse", dither="sierra2_4a", diff_mode="rectangle")
    return _write(frames, stream.output("file:out.gif", format="gif", loop=0, **_PLAIN), "gif")


def _write(frames: Frames, output: Any, suffix: str) -> bytes:
    """What ffmpeg writes into a private folder: mp4 needs a file that it can go back in."""
    argv = output.compile(cmd=[executable(), *_QUIET], overwrite_output=True)
    pixels = np.ascontiguousarray(frames).tobytes()
    with tempfile.TemporaryDirectory(prefix="mdctl-", ignore_cleanup_errors=True) as folder:
        try:
            finished = child.run(argv, timeout_s=_ENCODE_S, stdout_limit=_SLACK, stdin=pixels, cwd=Path(folder))
        except child.ChildFailed as error:
            raise NotReady(f"ffmpeg could not write {suffix}.", why=error.why, code="MD-FFMPEG") from error
        written = Path(folder, f"out.{suffix}")
        if finished.returncode or not written.exists() or not written.stat().st_size:
            lines = finished.stderr.strip().splitlines()
            raise NotReady(f"ffmpeg could not write {suffix}.", why=lines[-1] if lines else "", code="MD-FFMPEG")
        return written.read_bytes()


@functools.cache
def _encoders(program: str) -> frozenset[str]:
    listed = child.run([program, *_QUIET, "-encoders"], timeout_s=30, stdout_limit=1 << 20).stdout
    return frozenset(re.findall(r"^ V\S+ (\S+)", listed.decode("utf-8", "replace"), re.MULTILINE))
