"""What counts as a video on disk: a file by the end of its name, or a folder of PNGs as `gen --format frames` makes it.

Beside both stands a `.json` of the same name, which tells how it was made.
"""

import json
from contextlib import suppress
from pathlib import Path
from typing import Any

SUFFIXES = {".mp4", ".gif", ".webp", ".webm", ".mkv"}
"""How the files of videos end."""

FIRST = "000.png"
"""The first picture of a folder that is a video."""

_MOST_BYTES = 4_000_000


def inside(folder: Path) -> list[Path]:
    """The videos that lie in a folder, by name, and so by time; what is hidden is still being made."""
    with suppress(OSError):
        return sorted(path for path in folder.iterdir() if is_video(path))
    return []


def is_video(path: Path) -> bool:
    """Whether this is a video by its name, or by what lies in it and beside it; nothing is read."""
    return path.name[0] != "." and (path.suffix in SUFFIXES or is_folder(path))


def is_folder(path: Path) -> bool:
    """Whether this is a folder of pictures that is a video; without its first picture it is a damaged one."""
    if path.is_symlink() or not path.is_dir():
        return False
    return (path / FIRST).is_file() or path.with_suffix(".json").is_file()


def sidecar(path: Path) -> dict[str, Any]:
    """The record that stands beside a video; `ValueError` for a file that holds none, `OSError` as the system says."""
    with path.open("rb") as file:
        content = file.read(_MOST_BYTES + 1)
    if len(content) > _MOST_BYTES:
        raise ValueError("it is too large")
    try:
        record = json.loads(content.decode("utf-8"))
    except RecursionError as fault:
        raise ValueError("it is nested too deeply") from fault
    if not isinstance(record, dict):
        raise ValueError("it is no record")
    return record
