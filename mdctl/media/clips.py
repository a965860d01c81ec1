"""Clips: look at a source, say what is wrong with it, cut the part of it that is worth learning from."""

import functools
import glob
import hashlib
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from mdctl.errors import BadInput, NotFound, Refused, UsageFault
from mdctl.media import ffmpeg, folders
from mdctl.media.ffmpeg import Grey
from mdctl.media.frames import Frames
from mdctl.media.probe import probe
from mdctl.media.source import Source
from mdctl.media.timing import choose, usual_gap

Status = Literal["ok", "adjusted", "left_out"]

SEARCH_S = 60.0
_SEARCH_PIXELS = 1920 * 1080 * 30 * 60
"""A search through a clip ends after a minute, or earlier where the pictures are so large that it would take long."""

_CUT_DIFFERENCE = 3.0
_CUT_RATIO = 4.0
_CUT_LIKENESS = 0.7
_CUT_SHIFT = 0.35
_STILL_RANGE = 8.0
_BLACK = 12
_NEAR_BEST = 0.98
_TIME = re.compile(r"(?:(?:(\d+):)?(\d+):)?(\d+(?:\.\d*)?|\.\d+)", re.ASCII)


@dataclass(frozen=True)
class Look:
    """What will be used of one source, or why nothing will be."""

    path: Path
    """The original, as it was named."""

    name: str
    """Its file name."""

    status: Status
    """`ok`, `adjusted` (used, with `reasons` to know about) or `left_out`."""

    reasons: tuple[str, ...]
    """What was adjusted, what to be wary of, or why it is left out; a few plain words each."""

    hint: str = ""
    """What would make a clip usable that is left out."""

    source: Source | None = None
    """What the file holds, None when it could not be read."""

    start_s: float = 0.0
    """Where the used window starts, in seconds from the clip's own start."""

    end_s: float = 0.0
    """Where the used window ends."""

    available_frames: int = 0
    """How many frames there are at the asked rate, in the trimmed part or the whole clip as far as it was searched."""

    sha256: str = ""
    """Digest of the original file, empty when it could not be read."""


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
    trim: tuple[float, float] | None = None,
) -> Look:
    """Examine one source: which `num_frames` at `fps` will be used, what is adjusted for it, or why it is left out.

    With `trim` the window starts where the trimmed part does; without, it is the liveliest one that avoids hard cuts.
    What is wrong with the file becomes a reason. What is wrong with the computer is raised.

    Raises:
        NotFound: there is no such file.
        NotReady: there is no ffmpeg, or it lacks what the clip needs.
    """
    if min(num_frames, width, height) < 1 or fps <= 0:
        raise BadInput(f"{num_frames} frames of {width}x{height} at {fps:g} fps cannot be cut from a clip.")
    seen = Look(path, path.name, "left_out", ())
    try:
        source = probed(path)
        seen = replace(seen, source=source, end_s=source.duration_s, sha256=digest(path))
        if source.still:
            hint = "give a video of the motion; --appearance teaches a look from pictures"
            return replace(seen, reasons=("a picture, not a video",), hint=hint)
        if trim and trim[0] >= source.duration_s:
            return replace(seen, reasons=(f"shorter than its trim: it ends after {source.duration_s:.1f} s",))
        length_s = num_frames / fps
        search_s = _search_s(source, length_s) if trim is None else length_s
        begin_s = trim[0] if trim else 0.0
        grey = ffmpeg.grey_pass(path, source, start_s=begin_s, length_s=search_s + 2 * source.last_frame_s)
    except (BadInput, Refused) as error:
        return replace(seen, reasons=(error.why or error.what,))
    return _judge(seen, source, grey, num_frames, fps, trim, begin_s + search_s)


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
) -> Frames:
    """The window of a clip (f, height, width, 3) that `look` has found; a picture gives the same frame throughout.

    Raises:
        NotFound, Unusable, HiddenPlaylist: see `probe` and `ffmpeg.decode`.
        NotReady: there is no ffmpeg, or it lacks what the clip needs.
    """
    source = source or probed(path)
    return ffmpeg.decode(path, source, start_s=start_s, fps=fps, num_frames=num_frames, width=width, height=height)


def spread(path: Path, num_frames: int, size: tuple[int, int] | None = None) -> tuple[Frames, float]:
    """So many frames, evenly over a whole video, and how many of them there are in a second; `size` is width, height.

    A video with fewer frames gives those it has; it may be a folder of pictures. Raises as `cut` does.
    """
    if path.is_dir():
        return folders.spread(path, num_frames, size)
    source = probed(path)
    width, height = size or (source.width, source.height)
    count = min(num_frames, source.frames) if source.frames else num_frames
    fps = count / source.duration_s if source.duration_s else 1.0
    frames = cut(path, start_s=0.0, fps=fps, num_frames=count, width=width, height=height, source=source)
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


def parse_trim(text: str) -> tuple[float, float]:
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


def _judge(
    seen: Look,
    source: Source,
    grey: Grey,
    num_frames: int,
    fps: float,
    trim: tuple[float, float] | None,
    searched_s: float,
) -> Look:
    """Find the window and the reasons, from the small grey frames."""
    gap_s = usual_gap(grey.times)
    end_s = min(grey.until_s, trim[1] if trim else searched_s)
    begin_s = trim[0] if trim else float(grey.times[0])
    whole = searched_s >= source.duration_s
    reasons = list(_adjustments(source))

    # Keep to the sound part where it is long enough.
    broken_s = source.damaged_after_s if grey.damaged_after_s is None else grey.damaged_after_s
    if whole and not trim and broken_s is None and end_s < source.duration_s - max(0.25, 3 * gap_s):
        broken_s = end_s
    available = _available(begin_s, end_s, gap_s, fps)
    if broken_s is not None:
        reasons.append(f"damaged after {broken_s:.1f} s")
        if (sound := _available(begin_s, min(end_s, broken_s), gap_s, fps)) >= num_frames:
            end_s, available = min(end_s, broken_s), sound
    if not whole and not trim:
        reasons.append(f"only the first {searched_s:.0f} s searched")
    if available < num_frames:
        reason = f"too short: {available} of {num_frames} frames"
        hint = _shorter(end_s - begin_s, available, num_frames, source)
        found = (reason, *reasons) if broken_s is not None else (reason,)
        return replace(seen, reasons=found, hint=hint, start_s=begin_s, end_s=end_s, available_frames=available)

    # Take the trimmed part, or the liveliest.
    length_s = num_frames / fps
    changes, cuts = motion(grey.frames)
    start_s = begin_s if trim else round(_liveliest(grey.times, changes, cuts, end_s, length_s, fps), 3)
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
    reasons += _warnings(grey.frames[inside], int(cuts[inside[1:] & inside[:-1]].sum()))
    return replace(seen, status="adjusted" if reasons else "ok", reasons=tuple(reasons))


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


def _warnings(frames: NDArray[np.uint8], cuts: int) -> list[str]:
    reasons = []
    if cuts:
        reasons.append(f"{cuts} cut{'s' if cuts > 1 else ''} inside the window")
    spread = frames.max(0).astype(np.int16) - frames.min(0)
    if np.percentile(spread, 99) < _STILL_RANGE:
        reasons.append("no motion found")
    brightest = frames.max(0)
    if brightest.max() > _BLACK and any(_barred(brightest.max(axis)) for axis in (0, 1)):
        reasons.append("black bars")
    return reasons


def _barred(lines: NDArray[np.uint8]) -> bool:
    """Whether a picture is black along both edges; `lines` is the brightest value of each of its rows or columns."""
    lit = np.flatnonzero(lines > _BLACK)
    margin = 0.05 * len(lines)
    return bool(lit[0] >= margin and len(lines) - 1 - lit[-1] >= margin)


def motion(frames: NDArray[np.uint8]) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """How much changes from each frame (f h w, grey) to the next, and which of these changes are hard cuts.

    A cut changes far more than its neighbours do, and leaves neither the layout nor the brightness as it was.
    """
    pictures = frames.astype(np.float32)
    changes = np.abs(np.diff(pictures, axis=0)).mean((1, 2), dtype=np.float64)
    flat = pictures - pictures.mean((1, 2), keepdims=True)
    spread = np.sqrt((flat**2).mean((1, 2))) + 1
    likeness = (flat[1:] * flat[:-1]).mean((1, 2)) / (spread[1:] * spread[:-1])
    levels = np.stack([np.bincount(frame.ravel() // 16, minlength=16) for frame in frames]) / frames[0].size
    shift = np.abs(np.diff(levels, axis=0)).sum(1) / 2
    around = [np.r_[changes[max(0, i - 6) : i], changes[i + 1 : i + 7]] for i in range(len(changes))]
    usual = np.array([np.median(near) if len(near) else 0.0 for near in around])
    sudden = (changes > _CUT_DIFFERENCE) & (changes > _CUT_RATIO * (usual + 0.5))
    return changes, sudden & ((likeness < _CUT_LIKENESS) | (shift > _CUT_SHIFT))


def _liveliest(
    times: NDArray[np.float64],
    changes: NDArray[np.float64],
    cuts: NDArray[np.bool_],
    end_s: float,
    length_s: float,
    fps: float,
) -> float:
    """The start of the window with the fewest cuts and, among those, the most motion; the earliest of equals."""
    starts = np.flatnonzero(times <= max(end_s - length_s, times[0]) + 1e-3)
    lasts = np.searchsorted(times, times[starts] + length_s - 1 / fps, side="right") - 1
    moved = np.concatenate([[0.0], np.cumsum(np.where(cuts, 0.0, changes))])
    jumped = np.concatenate([[0], np.cumsum(cuts)])
    inside_cuts = jumped[lasts] - jumped[starts]
    lively = np.where(inside_cuts == inside_cuts.min(), moved[lasts] - moved[starts], -1.0)
    return float(times[starts[np.argmax(lively >= _NEAR_BEST * lively.max())]])
