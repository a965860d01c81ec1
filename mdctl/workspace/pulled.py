"""What is known of a model that was pulled: `mdctl.json` in its folder, and whether its files still are what it says.

The record holds what the hub states of each file, nothing that mdctl has computed from what arrived.
"""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from hashlib import sha1, sha256
from pathlib import Path
from typing import Any

from mdctl.workspace import atomic

RECORD = "mdctl.json"
"""The name of the record in a model's folder."""

_DIGITS = {"sha256": 64, "git-sha1": 40}
_BLOCK_BYTES = 1 << 20
_MOST_HEADER_BYTES = 100_000_000


@dataclass(frozen=True)
class Stated:
    """One file of a repository, as the hub states it."""

    source: str
    """Its path in the repository."""
    size_bytes: int
    """Its length."""
    algorithm: str
    """`sha256` of large files; `git-sha1` of small ones, which lie in git itself and are named by it."""
    digest: str
    """The hash in hexadecimal digits."""

    def __post_init__(self) -> None:
        if self.size_bytes < 0 or not re.fullmatch(rf"[0-9a-f]{{{_DIGITS[self.algorithm]}}}", self.digest):
            raise ValueError(f"no size or no hash of {self.source}")

    def hasher(self) -> Any:
        """A hash object to be fed with the whole content."""
        if self.algorithm == "sha256":
            return sha256()
        return sha1(b"blob %d\0" % self.size_bytes, usedforsecurity=False)  # git's own naming of a file

    def fault(self, path: Path) -> str:
        """What is wrong with the copy at `path`; '' when it is the file."""
        if not path.is_file():
            return "missing"
        if (found := path.stat().st_size) != self.size_bytes:
            return f"{found} bytes instead of {self.size_bytes}"
        digest = self.hasher()
        for block in blocks(path):
            digest.update(block)
        if digest.hexdigest() != self.digest:
            return f"{self.algorithm} {digest.hexdigest()} instead of {self.digest}"
        return ""


@dataclass(frozen=True)
class Pulled:
    """Where a model came from, and of each of its files, by its name in the folder, what the hub states."""

    repository: str
    """Its id on the hub."""
    commit: str
    """The full commit."""
    licence: str
    """What the hub's card of the model says; '' when it says nothing."""
    files: Mapping[str, Stated]
    """By path in the folder, such as `unet/config.json`."""

    @classmethod
    def read(cls, folder: Path) -> "Pulled | None":
        """The record in this folder, None where there is none that can be read."""
        try:
            known = json.loads((folder / RECORD).read_bytes())
            files = {str(name): Stated(**stated) for name, stated in known["files"].items()}
            return cls(str(known["repository"]), str(known["commit"]), str(known["licence"]), files)
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
            return None

    def write(self, folder: Path) -> None:
        """Put the record into a folder."""
        atomic.write(folder / RECORD, json.dumps(asdict(self), indent=1) + "\n")

    @property
    def size_bytes(self) -> int:
        """What all files take."""
        return sum(stated.size_bytes for stated in self.files.values())

    def fits(self, folder: Path) -> bool:
        """Whether every file is there in its length; the content is not read."""
        places = ((folder / name, stated.size_bytes) for name, stated in self.files.items())
        return all(path.is_file() and path.stat().st_size == size for path, size in places)

    def faults(self, folder: Path) -> Iterator[tuple[str, str]]:
        """Each file with what is wrong with it, '' when it is what the hub states; the whole content is read."""
        for name, stated in self.files.items():
            yield name, stated.fault(folder / name)


def blocks(path: Path) -> Iterator[bytes]:
    """The content of a file, piece by piece."""
    with path.open("rb") as file:
        while block := file.read(_BLOCK_BYTES):
            yield block


def header_fault(path: Path) -> str:
    """Why a file is no safetensors as far as its header tells; '' when its header fits its length."""
    if not path.is_file():
        return "no file, or a link to nothing"
    size = path.stat().st_size
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if not 2 <= length <= min(size - 8, _MOST_HEADER_BYTES):
            return "no header of safetensors"
        try:
            header: dict[str, Any] = json.loads(file.read(length))
            ends = [int(entry["data_offsets"][1]) for name, entry in header.items() if name != "__metadata__"]
        except (ValueError, KeyError, TypeError, AttributeError, IndexError, OverflowError, RecursionError):
            return "a header that cannot be read"
    held = size - 8 - length
    return "" if max(ends, default=0) == held else f"{held} bytes of weights instead of {max(ends, default=0)}"
