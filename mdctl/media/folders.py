"""Videos in folders: files, and folders of JPEG or PNG as benchmarks hand them out, in the order of their names."""

import hashlib
import re
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from mdctl.errors import BadInput
from mdctl.media.frames import Frames
from mdctl.media.source import MAX_PIXELS

SUFFIXES = (".jpg", ".jpeg", ".png")
VIDEOS = (".mp4", ".mov", ".webm", ".mkv", ".avi", ".gif", ".webp")

FPS = 8.0
"""Pictures bear no rate: this is what the text-to-video models of these benchmarks write."""


def videos(folder: Path) -> list[Path]:
    """The videos in a folder, by name; itself, where it holds pictures and nothing that is a video."""
    inside = sorted(path for path in _visible(folder) if is_video(path))
    return inside or ([folder] if pictures(folder) else [])


def is_video(path: Path) -> bool:
    """Whether this is a video file by its name, or a folder with pictures and no such file in it."""
    if path.is_file():
        return path.suffix.lower() in VIDEOS
    return bool(pictures(path)) and not any(inner.suffix.lower() in VIDEOS for inner in _visible(path))


def pictures(folder: Path) -> list[Path]:
    """The pictures in a folder, `2.jpg` before `10.jpg`; none where it is no folder."""
    found = (path for path in _visible(folder) if path.suffix.lower() in SUFFIXES)
    return sorted(found, key=lambda path: [(len(part), part) if part.isdigit() else (0, part)
                                           for part in re.split(r"(\d+)", path.name)])  # fmt: skip


def _visible(folder: Path) -> list[Path]:
    return [path for path in folder.iterdir() if path.name[0] != "."] if folder.is_dir() else []


def spread(folder: Path, num_frames: int, size: tuple[int, int] | None = None) -> tuple[Frames, float]:
    """So many frames, evenly over the whole folder, and how many of them there are in a second.

    `size` is width and height, filled by the largest centred part; without it, that of the first picture counts.

    Raises:
        BadInput: there is no picture, or one cannot be read.
    """
    paths = pictures(folder)
    if not paths:
        raise BadInput(f"there is no picture in {folder}.", fix="a video is a file, or a folder of jpg or png")
    count = min(num_frames, len(paths))
    chosen = [paths[place * len(paths) // count] for place in range(count)]
    size = size or _read(chosen[0]).size
    frames = [np.asarray(ImageOps.fit(_read(path), size, Image.Resampling.BICUBIC)) for path in chosen]
    return np.stack(frames), FPS * count / len(paths)


def digest(folder: Path) -> str:
    """One SHA-256 for all pictures in their order."""
    total = hashlib.sha256()
    for path in pictures(folder):
        total.update(hashlib.sha256(path.read_bytes()).digest())
    return total.hexdigest()


def box(mask: Path, size: tuple[int, int]) -> tuple[float, float, float, float] | None:
    """Left, top, right and bottom of what is not black in a mask, once it fills `size` as `spread` does; None: nothing.

    Raises:
        BadInput: it cannot be read.
    """
    image = _read(mask)
    found = image.getbbox()
    if found is None:
        return None
    scale = max(size[0] / image.width, size[1] / image.height)
    x, y = ((image.width * scale - size[0]) / 2, (image.height * scale - size[1]) / 2)
    return found[0] * scale - x, found[1] * scale - y, found[2] * scale - x, found[3] * scale - y


def _read(path: Path) -> Image.Image:
    try:
        with Image.open(path, formats=("JPEG", "PNG")) as image:
            if image.width * image.height > MAX_PIXELS:
                raise BadInput(f"the picture {path} is too large.", why=f"{image.width}x{image.height} pixels")
            return image.convert("RGB")
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as fault:
        raise BadInput(f"the picture {path} cannot be read.", why=str(fault), fix="make it again") from fault
