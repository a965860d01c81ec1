"""Clips: look at a source, say what is wrong with it, cut the part of it that is worth learning from."""

import functools
import glob
import hashlib
import math
import re
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mdctl.errors import BadInput, NotFound, Refused, UsageFault
from mdctl.media import ffmpeg, folders, scenes
from mdctl.media.ffmpeg import Grey
from mdctl.media.frames import Frames
from mdctl.media.probe import probe
from mdctl.media.scenes import Box, Size, Span, barred, liveliest, motion
from mdctl.media.source import Source
from mdctl.media.timing import choose, usual_gap
from mdctl.media.verdicts import Look as Look  # whoever deals in clips finds it here
from mdctl.media.verdicts import Status

SEARCH_S = 60.0
_SEARCH_PIXELS = 1920 * 1080 * 30 * 60
"""A search through a clip ends after a minute, or earlier where the pictures are so large that it would take long."""

_STILL_RANGE = 8.0
BARS = "black bars"
_TIME = re.compile(r"(?:(?:(\d+):)?(\d+):)?(\d+(?:\.\d*)?|\.\d+)", re.ASCII)


def look_at_picture(path: Path) -> Look:
    """Examine a picture whose look is wanted; what is wrong with it becomes a reason. Raises as `look` does."""
    seen = Look(path, path.name, "left_out", ())
    try:
        source = probed(path)
        if not source.still:
            return replace(seen, source=source, reasons=("a video, not a picture",), hint="give a picture")
        cut(path, start_s=0.0, fps=1.0, num_frames=1, width=16, height=16, source=source)  # whether it can be read
        adjusted = tuple(_adjustments(source))
        status: Status = "adjusted" if adjusted else "ok"
        return replace(seen, status=status, reasons=adjusted, source=source, available_frames=1, sha256=digest(path))
    except (BadInput, Refused) as error:
        return replace(seen, reasons=(error.why or error.what,))


def is_picture(path: Path) -> bool:
    """Whether a file holds one picture and no video; what cannot be read is none."""
    try:
        return probed(path).still
    except (BadInput, Refused):
        return False


def look(
    path: Path,
    *,
    num_frames: int,
    fps: float,
    width: int,
    height: int,
    trim: Span | None = None,
) -> Look:
    """Examine one source: which `num_frames` at `fps` will be used, what is adjusted for it, or why it is left out.

    With `trim` the window starts where the trimmed part does; without, it is the liveliest one that avoids hard cuts.
    What is wrong with the file becomes a reason. What is wrong with the computer is raised.

    Raises:
        NotFound: there is no such file.
        NotReady: there is no ffmpeg, or it lacks what the clip needs.
    """
    found, stretch = _read(path, num_frames, fps, (width, height), trim, num_frames / fps)
    return _judge(found, stretch, num_frames, fps, trim is not None) if stretch else found


def split(
    path: Path,
    *,
    num_frames: int,
    fps: float,
    width: int,
    height: int,
    trim: Span | None = None,
) -> list[Look]:
    """Examine every scene between the hard cuts of a source, or of its trimmed part, as `look` examines a whole one.

    Each takes its liveliest window. Without a cut it is one look at all of it. Raises as `look` does.
    """
    trimmed_s = trim[1] - trim[0] if trim else 0.0
    found, stretch = _read(path, num_frames, fps, (width, height), trim, min(SEARCH_S, trimmed_s))
    if stretch is None:
        return [found]
    if trimmed_s > SEARCH_S:
        stretch = replace(stretch, note=_searched(SEARCH_S))
    cuts = motion(stretch.grey.frames)[1]
    parts = scenes.spans(stretch.grey.times, cuts, stretch.begin_s, stretch.end_s, usual_gap(stretch.grey.times))
    if len(parts) == 1:
        return [_judge(found, stretch, num_frames, fps, trim is not None)]
    return [_scene(found, stretch, part, num_frames, fps) for part in parts]


def closer(found: Look, crop: bool) -> Look:
    """The same, once its black bars were looked at in full size: gone where they are none, cut off if that is asked."""
    if not found.barred or (source := found.source) is None:
        return found
    width, height, seen = source.width, source.height, []
    for start_s in np.linspace(found.start_s, max(found.start_s, found.end_s - 0.5), 5):
        with suppress(BadInput, Refused):  # what cannot be read here was not used either
            seen.append(cut(found.path, start_s=float(start_s), fps=8, num_frames=1, width=width, height=height))
    box = scenes.inner(np.concatenate(seen)) if seen else None
    if box and not crop:
        return found
    said = [f"{BARS} cut off" if reason == BARS else reason for reason in found.reasons if box or reason != BARS]
    return replace(found, status="adjusted" if said else "ok", reasons=tuple(said), barred=box is not None, crop=box)


def probed(path: Path) -> Source:
    """What a file holds, found out once as long as the file does not change; raises as `probe` does."""
    try:
        state = path.stat()
    except (OSError, ValueError):
        return probe(path)  # which says what is wrong
    return _probed(path, state.st_ino, state.st_size, state.st_mtime_ns)


@functools.lru_cache(256)
def _probed(path: Path, *state: int) -> Source:
    return probe(path)


def cut(
    path: Path,
    *,
    start_s: float,
    fps: float,
    num_frames: int,
    width: int,
    height: int,
    source: Source | None = None,
    crop: Box | None = None,
) -> Frames:
    """The window of a clip (f, height, width, 3) that `look` has found; a picture gives the same frame throughout.

    `crop` is the part of the upright picture that is used.

    Raises:
        NotFound, Unusable, HiddenPlaylist: see `probe` and `ffmpeg.decode`.
        NotReady: there is no ffmpeg, or it lacks what the clip needs.
    """
    source = source or probed(path)
    scale = scenes.finer(crop, width, height) if crop else 1.0
    wide, tall = (round(source.width * scale), round(source.height * scale)) if crop else (width, height)
    frames = ffmpeg.decode(path, source, start_s=start_s, fps=fps, num_frames=num_frames, width=wide, height=tall)
    return scenes.taken_out(frames, crop, scale, width, height) if crop else frames


def spread(path: Path, num_frames: int, size: Size | None = None, crop: Box | None = None) -> tuple[Frames, float]:
    """So many frames, evenly over a whole video, and how many of them there are in a second; `size` is width, height.

    A video with fewer frames gives those it has; it may be a folder of pictures, never cropped. Raises as `cut` does.
    """
    if path.is_dir():
        return folders.spread(path, num_frames, size)
    source = probed(path)
    width, height = size or (crop[2:] if crop else (source.width, source.height))
    count = min(num_frames, source.frames) if source.frames else num_frames
    fps = count / source.duration_s if source.duration_s else 1.0
    frames = cut(path, start_s=0.0, fps=fps, num_frames=count, width=width, height=height, source=source, crop=crop)
    return frames, fps


def length(path: Path) -> int:
    """How many frames a video or a folder of pictures has."""
    return len(folders.pictures(path)) if path.is_dir() else probed(path).frames


def digest(path: Path) -> str:
    """The SHA-256 of a file as hexadecimal digits, or that of a folder of pictures."""
    if path.is_dir():
        return folders.digest(path)
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


# --- What was named.


def expand(patterns: Sequence[str]) -> list[Path]:
    """The files that these clip arguments name; `*`, `?` and `[...]` are patterns unless such a file exists literally.

    Raises:
        NotFound: an argument that matches nothing.
        BadInput: a folder, with the pattern to type instead.
    """
    found: dict[Path, Path] = {}
    for pattern in patterns:
        for path in _matches(pattern):
            found.setdefault(path.absolute(), path)
    return list(found.values())


def _matches(pattern: str) -> list[Path]:
    try:
        path = Path(pattern)
        if pattern and path.is_dir():
            why = "clips are named one by one, or by a pattern"
            raise BadInput(f"'{pattern}' is a folder.", why=why, fix=str(path / _usual_pattern(path)))
        if pattern and (path.exists() or path.is_symlink()):
            return [path]
        names = sorted(glob.glob(pattern, recursive=True)) if glob.has_magic(pattern) else []  # noqa: PTH207 - a pattern may be absolute
    except (OSError, ValueError):  # too long, or with a NUL
        names = []
    paths = [path for path in map(Path, names) if not path.is_dir()]
    if not paths:
        what = "no file matches" if glob.has_magic(pattern) else "there is no file"
        raise NotFound(f"{what} '{pattern}'.", code="MD-CLIP-NOTFOUND")
    return paths


def _usual_pattern(folder: Path) -> str:
    try:
        endings = [path.suffix for path in folder.iterdir() if path.suffix and not path.is_dir()]
    except OSError:
        endings = []
    return f"*{max(sorted(set(endings)), key=endings.count)}" if endings else "*"


def parse_trim(text: str) -> Span:
    """Start and end in seconds, from `0:01-0:03` or `1.5-3`.

    Raises:
        UsageFault: it is not two times, or the second is not after the first.
    """
    parts = text.strip().split("-")
    times = [_TIME.fullmatch(part.strip()) for part in parts]
    if len(parts) != 2 or not all(times):
        raise UsageFault(f"'{text}' is not a part of a clip.", fix="--trim 0:01-0:03")
    start_s, end_s = (int(t[1] or 0) * 3600 + int(t[2] or 0) * 60 + float(t[3]) for t in times if t)
    if not start_s < end_s < math.inf:
        raise UsageFault(f"'{text}' ends before it starts.", fix="--trim 0:01-0:03")
    return start_s, end_s


# --- What was seen.


def _search_s(source: Source, length_s: float) -> float:
    """How much of a clip is searched for its liveliest part."""
    pixels_per_s = source.stored_width * source.stored_height * max(source.fps, 1.0)
    return max(min(SEARCH_S, _SEARCH_PIXELS / pixels_per_s), length_s)


@dataclass(frozen=True)
class _Stretch:
    """A stretch of a clip that was read, and how much of it can be used."""

    grey: Grey
    begin_s: float
    end_s: float
    broken_s: float | None
    note: str = ""


def _read(
    path: Path, num_frames: int, fps: float, size: Size, trim: Span | None, trimmed_s: float
) -> tuple[Look, _Stretch | None]:
    """What a file is, and the stretch of it that was read, `trimmed_s` of a trim; None for that where nothing was."""
    if min(num_frames, *size) < 1 or fps <= 0:
        raise BadInput(f"{num_frames} frames of {size[0]}x{size[1]} at {fps:g} fps cannot be cut from a clip.")
    seen = Look(path, path.name, "left_out", ())
    try:
        source = probed(path)
        seen = replace(seen, source=source, end_s=source.duration_s, sha256=digest(path))
        if source.still:
            hint = "give a video of the motion; --appearance teaches a look from pictures"
            return replace(seen, reasons=("a picture, not a video",), hint=hint), None
        if trim and trim[0] >= source.duration_s:
            return replace(seen, reasons=(f"shorter than its trim: it ends after {source.duration_s:.1f} s",)), None
        search_s = trimmed_s if trim else _search_s(source, num_frames / fps)
        begin_s = trim[0] if trim else 0.0
        grey = ffmpeg.grey_pass(path, source, start_s=begin_s, length_s=search_s + 2 * source.last_frame_s)
    except (BadInput, Refused) as error:
        return replace(seen, reasons=(error.why or error.what,)), None
    return seen, _stretch(source, grey, trim, begin_s + search_s)


def _stretch(source: Source, grey: Grey, trim: Span | None, searched_s: float) -> _Stretch:
    whole = searched_s >= source.duration_s
    begin_s, end_s = trim or (float(grey.times[0]), searched_s)
    end_s = min(grey.until_s, end_s)
    broken_s = source.damaged_after_s if grey.damaged_after_s is None else grey.damaged_after_s
    if whole and not trim and broken_s is None and end_s < source.duration_s - max(0.25, 3 * usual_gap(grey.times)):
        broken_s = end_s
    return _Stretch(grey, begin_s, end_s, broken_s, "" if whole or trim else _searched(searched_s))


def _searched(searched_s: float) -> str:
    return f"only the first {searched_s:.0f} s searched"


def _judge(seen: Look, stretch: _Stretch, num_frames: int, fps: float, from_start: bool) -> Look:
    """Find the window and the reasons, from the small grey frames."""
    source, grey, gap_s = seen.source, stretch.grey, usual_gap(stretch.grey.times)
    begin_s, end_s, broken_s = stretch.begin_s, stretch.end_s, stretch.broken_s
    assert source is not None
    reasons = list(_adjustments(source))

    # Keep to the sound part where it is long enough.
    available = _available(begin_s, end_s, gap_s, fps)
    if broken_s is not None:
        reasons.append(f"damaged after {broken_s:.1f} s")
        if (sound := _available(begin_s, min(end_s, broken_s), gap_s, fps)) >= num_frames:
            end_s, available = min(end_s, broken_s), sound
    reasons += [stretch.note] if stretch.note else []
    if available < num_frames:
        reason = f"too short: {available} of {num_frames} frames"
        hint = _shorter(end_s - begin_s, available, num_frames, source)
        found = (reason, *reasons) if broken_s is not None else (reason,)
        return replace(seen, reasons=found, hint=hint, start_s=begin_s, end_s=end_s, available_frames=available)

    # Take the beginning, or the liveliest.
    length_s = num_frames / fps
    changes, cuts = motion(grey.frames)
    start_s = begin_s if from_start else round(liveliest(grey.times, changes, cuts, end_s, length_s, fps), 3)
    seen = replace(seen, start_s=start_s, end_s=min(start_s + length_s, end_s), available_frames=available)
    wanted = [start_s + number / fps for number in range(num_frames)]
    distinct = len(set(choose(grey.times, wanted, grey.until_s)))
    if distinct < num_frames / 2:
        few = f"too few pictures: {distinct} in {length_s:.1f} s"
        return replace(seen, reasons=(few,), hint=f"--fps {math.floor(source.fps)}" if source.fps >= 1 else "")
    if distinct < num_frames:
        reasons.append(f"frames repeat: {source.fps:.3g} fps")

    # Look closely at what will be used.
    inside = (grey.times >= start_s - gap_s / 2) & (grey.times <= wanted[-1] + gap_s / 2)
    jumps, bars = int(cuts[inside[1:] & inside[:-1]].sum()), barred(grey.frames)
    reasons += _warnings(grey.frames[inside], jumps, bars)
    status: Status = "adjusted" if reasons else "ok"
    return replace(seen, status=status, reasons=tuple(reasons), cuts=jumps, barred=bars)


def _scene(found: Look, stretch: _Stretch, part: Span, num_frames: int, fps: float) -> Look:
    """What will be used of one scene, or why nothing will be."""
    (begin_s, end_s), grey = part, stretch.grey
    inside = (grey.times > begin_s - usual_gap(grey.times) / 2) & (grey.times < end_s)
    broken_s = stretch.broken_s if stretch.broken_s is not None and stretch.broken_s < end_s else None
    note = stretch.note if stretch.end_s - end_s < 0.002 else ""
    alone = _Stretch(Grey(grey.times[inside], grey.frames[inside], end_s), begin_s, end_s, broken_s, note)
    seen = _judge(found, alone, num_frames, fps, False)
    if seen.status == "left_out":
        reasons = (f"{seen.reasons[0]} in {begin_s:.1f}-{end_s:.1f} s", *seen.reasons[1:])
        return replace(seen, start_s=begin_s, reasons=reasons, scene=part)
    start_s = max(seen.start_s, begin_s)
    return replace(seen, start_s=start_s, scene=(start_s, end_s))


def _available(begin_s: float, end_s: float, gap_s: float, fps: float) -> int:
    """How many moments at this rate lie before the end; what begins in the last tenth of a frame does not count."""
    return max(0, math.ceil((end_s - 0.1 * gap_s - begin_s) * fps))


def _adjustments(source: Source) -> list[str]:
    turned = source.rotation or source.mirrored
    square = abs(source.pixel_aspect - 1) > 0.01
    noted = {
        "upright": turned,
        "square pixels": square,
        "variable rate": source.variable_rate,
        "HDR to SDR": source.hdr,
        "de-interlaced": source.interlaced,
        "transparency on grey": source.transparent,
        f"first of {source.videos} videos": source.videos > 1,
    }
    return [reason for reason, holds in noted.items() if holds]


def _shorter(length_s: float, available: int, num_frames: int, source: Source) -> str:
    """The settings under which a short clip would do."""
    faster = math.ceil(num_frames / length_s) if length_s > 0 else math.inf
    hints = [f"--frames {available}"] if available > 1 else []
    if faster <= source.fps * 1.01:
        hints.append(f"--fps {faster}")
    return " or ".join(hints)


def _warnings(frames: NDArray[np.uint8], cuts: int, bars: bool) -> list[str]:
    reasons = []
    if cuts:
        reasons.append(f"{cuts} cut{'s' if cuts > 1 else ''} inside the window")
    spread = frames.max(0).astype(np.int16) - frames.min(0)
    if np.percentile(spread, 99) < _STILL_RANGE:
        reasons.append("no motion found")
    if bars:
        reasons.append(BARS)
    return reasons
