"""Videos as folders of pictures, as benchmarks hand them out: JPEG or PNG, in the order of their names."""

import hashlib
import re
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from mdctl.errors import BadInput
from mdctl.media.frames import Frames
from mdctl.media.source import MAX_PIXELS

SUFFIXES = (".jpg", ".jpeg", ".png")

FPS = 8.0
"""Pictures bear no rate: this is what the text-to-video models of these benchmarks write."""


def pictures(folder: Path) -> list[Path]:
    """The frames of such a video, `2.jpg` before `10.jpg`; none where it is no such folder."""
    if not folder.is_dir():
        return []
    found = (path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES and path.name[0] != ".")
    return sorted(found, key=lambda path: [(len(part), part) if part.isdigit() else (0, part)
                                           for part in re.split(r"(\d+)", path.name)])  # fmt: skip


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


def _read(path: Path) -> Image.Image:
    try:
        with Image.open(path, formats=("JPEG", "PNG")) as image:
            if image.width * image.height > MAX_PIXELS:
                raise BadInput(f"the picture {path} is too large.", why=f"{image.width}x{image.height} pixels")
            return image.convert("RGB")
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as fault:
        raise BadInput(f"the picture {path} cannot be read.", why=str(fault), fix="make it again") from fault
