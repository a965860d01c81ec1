"""A save: one state of a run, as a folder that is whole or invisible.

`MANIFEST.json` names the files with their sizes and hashes, and is the only truth about the folder: what it does not
name does not count, and a folder that does not match it is not a save. So a save loses its optimizer in one step, when
a MANIFEST without it takes the place of the old one; the file itself is removed after that.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import Any

from mdctl.errors import NotFound, Refused
from mdctl.workspace import atomic

OPTIMIZER = "optim.safetensors"
"""The file that only going on with a training needs."""

_MANIFEST, _STATE = "MANIFEST.json", "state.json"
_FILE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}")
_HASH = re.compile(r"[0-9a-f]{64}")
_BLOCK_BYTES = 1 << 20


@dataclass(frozen=True)
class Entry:
    """What a MANIFEST says about one file."""

    size_bytes: int
    """Its length."""
    sha256: str
    """The hash of its content, in hexadecimal digits."""


@dataclass(frozen=True)
class Save:
    """A save whose MANIFEST and file sizes agree; `verify` looks at the content too."""

    folder: Path
    """Where it lies."""
    step: int
    """How many steps were taken when it was made."""
    milestone: bool
    """Whether it stays when newer saves come, although without optimizer."""
    manifest: Mapping[str, Entry]
    """What belongs to it, by file name."""

    @classmethod
    def write(
        cls, folder: Path, step: int, files: Mapping[str, bytes], state: Mapping[str, Any], *, milestone: bool = False
    ) -> "Save":
        """Keep files and state as a new folder, read it back and verify it.

        `FileExistsError` when the folder is there already; `Refused` when a number of the state is not finite, or when
        the disk gives back something else than was written.
        """
        try:
            noted = json.dumps(dict(state), allow_nan=False, sort_keys=True, indent=1).encode()
        except ValueError as error:
            what = f"step {step} holds a number that is not finite; it was not saved."
            raise Refused(what, why=str(folder)) from error
        contents = {**files, _STATE: noted}
        manifest = {name: Entry(len(content), sha256(content).hexdigest()) for name, content in contents.items()}
        with atomic.folder(folder) as stage:
            for name, content in contents.items():
                atomic.write(stage / _plain(name), content)
            atomic.write(stage / _MANIFEST, _written(step, milestone, manifest))
        save = cls.open(folder)
        save.verify()
        return save

    @classmethod
    def open(cls, folder: Path) -> "Save":
        """Read a save's MANIFEST and compare the sizes; `Refused` when they do not agree."""
        try:
            known = json.loads((folder / _MANIFEST).read_bytes())
            step, milestone = int(known["step"]), bool(known["milestone"])
            manifest = {_plain(name): Entry(int(of["size"]), str(of["sha256"])) for name, of in known["files"].items()}
            malformed = [name for name, entry in manifest.items() if not _HASH.fullmatch(entry.sha256)]
            differing = [name for name, of in manifest.items() if (folder / name).stat().st_size != of.size_bytes]
        except (OSError, ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError) as error:
            raise _damaged(folder, f"{type(error).__name__}: {error}") from error
        if malformed or differing:
            raise _damaged(folder, f"{', '.join(malformed + differing)}: not what {_MANIFEST} says")
        return cls(folder, step, milestone, manifest)

    @property
    def files(self) -> tuple[str, ...]:
        """The names of what can be read, without the state."""
        return tuple(name for name in self.manifest if name != _STATE)

    @property
    def has_optimizer(self) -> bool:
        """Whether training can go on from here."""
        return OPTIMIZER in self.manifest

    @property
    def size_bytes(self) -> int:
        """What it takes on disk."""
        return sum(entry.size_bytes for entry in self.manifest.values())

    @property
    def sha256(self) -> str:
        """One hash for all that was learned; equal for equal weights, whatever the optimizer and the state say."""
        weights = sorted((name, self.manifest[name].sha256) for name in self.files if name != OPTIMIZER)
        return sha256(json.dumps(weights).encode()).hexdigest()

    @cached_property
    def state(self) -> dict[str, Any]:
        """The scalars that were kept with the weights."""
        state: dict[str, Any] = json.loads(self.read(_STATE))
        return state

    def holds(self, files: Mapping[str, bytes]) -> bool:
        """Whether it was made of exactly these files."""
        return {name: sha256(content).hexdigest() for name, content in files.items()} == {
            name: self.manifest[name].sha256 for name in self.files
        }

    def read(self, name: str) -> bytes:
        """The content of one file, compared with its hash: `Refused` when it differs, `NotFound` for another file."""
        if name not in self.manifest:
            raise NotFound(f"step {self.step} has no '{name}'.", why=str(self.folder))
        try:
            content = (self.folder / name).read_bytes()
        except OSError as error:
            raise _damaged(self.folder, f"{name}: {error.strerror}") from error
        if sha256(content).hexdigest() != self.manifest[name].sha256:
            raise _damaged(self.folder, f"{name}: its content has changed")
        return content

    def verify(self, *, optimizer: bool = True) -> None:
        """Compare every file with its hash, the optimizer on demand; `Refused` names the first that differs."""
        for name, entry in self.manifest.items():
            if (optimizer or name != OPTIMIZER) and _hashed(self.folder / name) != entry.sha256:
                raise _damaged(self.folder, f"{name}: its content has changed")

    def lighten(self) -> None:
        """Give up the optimizer and keep the weights; a crash leaves the one or the other, whole."""
        if self.has_optimizer:
            rest = {name: entry for name, entry in self.manifest.items() if name != OPTIMIZER}
            atomic.write(self.folder / _MANIFEST, _written(self.step, self.milestone, rest))
        if (self.folder / OPTIMIZER).exists():  # also when a crash came between these two, the last time
            atomic.remove(self.folder / OPTIMIZER)


def _written(step: int, milestone: bool, manifest: Mapping[str, Entry]) -> str:
    files = {name: {"size": entry.size_bytes, "sha256": entry.sha256} for name, entry in manifest.items()}
    return json.dumps({"schema": 1, "step": step, "milestone": milestone, "files": files}, indent=1)


def _plain(name: str) -> str:
    if not _FILE.fullmatch(name) or name == _MANIFEST:
        raise ValueError(f"{name!r} is no name for a file of a save")
    return name


def _hashed(path: Path) -> str:
    digest = sha256()
    try:
        with path.open("rb") as file:
            while block := file.read(_BLOCK_BYTES):
                digest.update(block)
    except OSError as error:
        raise _damaged(path.parent, f"{path.name}: {error.strerror}") from error
    return digest.hexdigest()


def _damaged(folder: Path, why: str) -> Refused:
    return Refused(f"the save '{folder.name}' is damaged.", why=f"{folder}: {why}", code="MD-SAVE-DAMAGED")
