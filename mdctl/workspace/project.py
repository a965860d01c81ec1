"""A project: one motion or one appearance, with its clips, its runs and its videos in a folder of its own.

Its folder appears complete or not at all, and goes to the trash, never away. A project that cannot be read is still
listed, with the reason; only what needs its content meets the fault.
"""

import os
import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, MutableMapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict
from datetime import UTC, datetime
from functools import cached_property
from itertools import count
from pathlib import Path
from typing import Any

from mdctl.errors import BadInput, MdctlError, NotFound, UsageFault, nearest
from mdctl.text import safe, slug
from mdctl.workspace import atomic, documents, locations, locks, records
from mdctl.workspace.records import ClipRecord, NewClip, ProjectRecord
from mdctl.workspace.runs import Run
from mdctl.workspace.saves import Save

_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
_DEVICES = {"con", "prn", "aux", "nul", *(f"{port}{number}" for port in ("com", "lpt") for number in range(10))}
_VIDEOS = {".mp4", ".gif", ".webp", ".webm", ".mkv"}
_FIXED = {"schema", "name", "kind", "created"}


class Project:
    """One motion or one appearance on disk; it can stand wherever a path to its folder can."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.name = folder.name

    def __fspath__(self) -> str:
        return str(self.folder)

    def __repr__(self) -> str:
        return f"Project({self.name!r})"

    # Making and finding

    @classmethod
    def create(
        cls,
        name: str,
        *,
        kind: str = "motion",
        caption: str,
        clips: Sequence[NewClip],
        table: Mapping[str, Mapping[str, Any]] | None = None,
        model: str = "auto",
        template: str | None = None,
        inside: Path | None = None,
    ) -> "Project":
        """Make a project of clips that were looked at; `table` holds its own settings in `clips`, `train` and `gen`.

        The originals are copied and stay untouched; `BadInput` when one is no longer what was looked at. `UsageFault`
        when the name is taken, `Busy` while another process is making it. `inside` is another folder of projects than
        the user's own.
        """
        folder = (inside or locations.projects()) / check_name(name)
        own = table or {}
        documents.check_keys(own, ("clips", "train", "gen"), "the project's settings")
        record = ProjectRecord(
            name=name,
            kind=kind,
            caption=caption,
            subject=records.subject_of(caption),
            model=model,
            template=template,
            created=datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            clips=own.get("clips", {}),
            train=own.get("train", {}),
            gen=own.get("gen", {}),
        )
        with locks.writer(folder, "new"):
            atomic.sweep(folder.parent)
            if taken := _taken(name, folder.parent):
                raise _exists(name, taken)
            try:
                with atomic.folder(folder) as stage:
                    record.write(stage)
                    records.write_clips(stage, _gathered(stage / "clips", clips))
            except FileExistsError as error:  # somebody made it by hand meanwhile
                raise _exists(name, name) from error
        return cls(folder)

    @classmethod
    def adopt(
        cls,
        name: str,
        *,
        kind: str,
        caption: str,
        subject: str,
        model: str,
        clips: Sequence[ClipRecord],
        files: Mapping[str, bytes],
        settings: Mapping[str, Any],
        step: int,
        adapters: Mapping[str, bytes],
    ) -> "Project":
        """Make a project of what was learned elsewhere: one run with one save; a taken name gets a number.

        `files` are its clips' contents by their places in its folder. It appears whole or not at all.
        """
        for number in count(1):
            called = check_name(name if number == 1 else f"{name}-{number}")
            if _taken(called):
                continue
            folder, created = locations.projects() / called, datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
            record = ProjectRecord(called, kind, caption, subject, model, created=created)
            with locks.writer(folder, "import"), suppress(FileExistsError):  # somebody else may take the name just now
                with atomic.folder(folder) as stage:
                    record.write(stage)
                    records.write_clips(stage, clips)
                    for file, content in files.items():
                        atomic.write(stage / file, content)
                    run = Run.create(stage, settings)
                    state = {"step": step, "skipped": {}}
                    Save.write(run.folder / "ckpt" / f"{step:06d}", step, adapters, state, milestone=True)
                return cls(folder)
        raise AssertionError  # pragma: no cover  # the names never end

    @classmethod
    def find(cls, name: str) -> "Project":
        """The project of this name, readable or not; `NotFound` with the nearest name."""
        folder = locations.projects() / check_name(name)
        if folder.is_dir():
            return cls(folder)
        near = nearest(name, (project.name for project in cls.all()))
        why = f"did you mean '{near}'?" if near else ""
        raise NotFound(f"there is no project '{name}'.", why=why, fix=f"mdctl show {near}" if near else "mdctl list")

    @classmethod
    def open(cls, name: str) -> "Project":
        """The project of this name, its documents read; `BadInput` when they cannot be."""
        project = cls.find(name)
        _ = project.record, project.clips
        return project

    @classmethod
    def all(cls) -> "list[Project]":
        """Every project by name, also those that need attention; see `fault`."""
        return [cls(locations.projects() / name) for name in _folders()]

    @classmethod
    def restore(cls, name: str, *, under: str | None = None) -> "Project":
        """Bring back what was discarded last under a name; `UsageFault` when the name is taken again."""
        target = check_name(under or name)
        with locks.writer(locations.projects() / target, "restore"):
            if taken := _taken(target):
                raise _exists(target, taken, fix="bring it back under another name")
            discarded = sorted(locations.trash().glob(f"{check_name(name)}@*"))
            if not discarded:
                raise NotFound(f"there is no '{name}' in the trash.", why=str(locations.trash()))
            return cls(atomic.move(discarded[-1], locations.projects() / target))

    # What it says

    @cached_property
    def record(self) -> ProjectRecord:
        """What `project.toml` says."""
        return ProjectRecord.read(self.folder)

    @cached_property
    def clips(self) -> tuple[ClipRecord, ...]:
        """Its clips in order."""
        return records.read_clips(self.folder)

    @property
    def fault(self) -> MdctlError | None:
        """Why it needs attention, None when it does not."""
        try:
            check_name(self.name)
            _ = self.record
            for clip in self.clips:
                if not self.path_of(clip).is_file():
                    why, fix = str(self.path_of(clip)), f"copy the original to that place: {clip.source or clip.name}"
                    return NotFound(f"the clip '{safe(clip.name, 80)}' of '{self.name}' is gone.", why=why, fix=fix)
            for run in self.runs()[-1:]:
                _ = run.settings
        except MdctlError as fault:
            return fault
        return None

    @property
    def status(self) -> str:
        """`needs attention`, or how far its newest run is: `new`, `paused · 187/300`, `trained · 300`."""
        if self.fault:
            return "needs attention"
        return next((run.status for run in reversed(self.runs())), "new")

    @property
    def last_used(self) -> datetime:
        """When it was last made, edited, trained or made a video, UTC."""
        places = [self.folder, self.folder / records.PROJECT, self.folder / "runs", self.outputs]
        places += [run.log for run in self.runs()[-1:]]
        return datetime.fromtimestamp(
            max((place.stat().st_mtime for place in places if place.exists()), default=0), UTC
        )

    def path_of(self, clip: ClipRecord) -> Path:
        """Where the copy of a clip lies."""
        return self.folder / "clips" / clip.file

    def same_clips(self, hashes: Iterable[str]) -> bool:
        """Whether clips of these hashes are all in it already."""
        return set(hashes) <= {clip.sha256 for clip in self.clips}

    @property
    def outputs(self) -> Path:
        """The folder of its videos."""
        return self.folder / "outputs"

    def videos(self) -> list[Path]:
        """The videos made with it, by name, and so by time."""
        with suppress(OSError):
            return sorted(path for path in self.outputs.iterdir() if path.suffix in _VIDEOS and path.name[0] != ".")
        return []

    def runs(self) -> list[Run]:
        """Its runs, oldest first."""
        return Run.all(self)

    def disk_bytes(self, *inside: str) -> int:
        """What it takes on disk, or one part of it: `clips`, `runs`, `outputs`."""
        return _size_bytes(self.folder.joinpath(*inside))

    # Changing it

    @contextmanager
    def locked(self, command: str, wait_s: float = 0.0) -> "Iterator[Project]":
        """Be its only writer; what dead processes left half-written is swept first. `Busy` names who else it is."""
        with locks.writer(self.folder, command, wait_s):
            if not self.folder.is_dir():
                raise NotFound(f"there is no project '{self.name}'.", fix="mdctl list")
            self._forget()
            atomic.sweep(self.folder.parent)
            for folder, _, _ in os.walk(self.folder):
                atomic.sweep(Path(folder))
            yield self

    def set(self, key: str, value: Any) -> None:
        """Write one setting into `project.toml`, such as `model` or `train.rank`; None removes it.

        Comments and order stay, and an edit that its user makes meanwhile too.
        """
        section, _, name = key.rpartition(".")
        allowed = {"clips", "train", "gen", "pin"}
        known = set(ProjectRecord.__dataclass_fields__) - _FIXED
        if not name or (section not in allowed if section else name not in known - allowed):
            near = nearest(key, known)
            raise UsageFault(f"a project has no setting '{safe(key, 80)}'.", fix=f"use {near}" if near else ())
        if not (section or value is None or isinstance(value, str)):
            raise UsageFault(f"'{key}' must be text.")

        def change(document: MutableMapping[str, Any]) -> None:
            table = document.setdefault(section, {}) if section else document
            if value is None:
                table.pop(name, None)
            else:
                table[name] = documents.plain(value)

        documents.edit_toml(self.folder / records.PROJECT, change)
        self._forget()

    def set_clips(self, clips: Sequence[ClipRecord | NewClip]) -> None:
        """Make these its clips, in this order; new ones are copied in, and the files of others stay for old runs."""
        records.write_clips(self.folder, _gathered(self.folder / "clips", clips))
        self._forget()

    def copy(self, name: str) -> "Project":
        """The same once more under another name, with clips, runs and videos; `UsageFault` when the name is taken."""
        folder = locations.projects() / check_name(name)
        with locks.writer(folder, "new"):
            if taken := _taken(name):
                raise _exists(name, taken)
            with atomic.folder(folder) as stage:
                for path in sorted(self.folder.rglob("*")):
                    if path.is_file() and ".locks" not in path.parts and not path.name.startswith(".tmp-"):
                        atomic.copy(path, stage / path.relative_to(self.folder))
        return Project(folder)

    def discard(self) -> Path:
        """Move it to the trash and tell where it lies there; it must be locked."""
        stamp = datetime.now(UTC).strftime("%Y%m%d-%H%M%S")
        return atomic.move(self.folder, locations.trash() / f"{self.name}@{stamp}")

    def _forget(self) -> None:
        for read in ("record", "clips"):
            vars(self).pop(read, None)


def check_name(name: str) -> str:
    """The name itself when a project may be called so on every system; else `UsageFault` with the nearest that may."""
    if _NAME.fullmatch(name) and name not in _DEVICES:
        return name
    near = slug(name)
    taken = _taken(name) or (_taken(near) if near else None)
    if taken and _NAME.fullmatch(taken):
        raise _exists(name, taken, fix=f"mdctl show {taken}")
    if near in _DEVICES or not near:
        near = f"{near}-motion" if near else "my-motion"
    why = "a name has 1 to 64 of a-z, 0-9, _ and -, begins with a letter or digit, and is no device of Windows."
    raise UsageFault(f"'{safe(name, 80)}' cannot be the name of a project.", why=why, fix=f"call it {near}")


def _exists(name: str, taken: str, fix: str = "") -> UsageFault:
    what = f"'{safe(name, 80)}' exists as {taken}." if name != taken else f"a project '{name}' exists already."
    return UsageFault(what, fix=fix or f"call it {taken}-2", code="MD-EXISTS")


def _folders(home: Path | None = None) -> list[str]:
    with suppress(OSError), os.scandir(home or locations.projects()) as entries:
        return sorted(entry.name for entry in entries if entry.name[0] != "." and entry.is_dir())
    return []


def _taken(name: str, home: Path | None = None) -> str | None:
    return next((known for known in _folders(home) if _folded(known) == _folded(name)), None)


def _folded(name: str) -> str:
    return unicodedata.normalize("NFKC", name).casefold()


def _gathered(folder: Path, clips: Sequence[ClipRecord | NewClip]) -> list[ClipRecord]:
    """Copy the new clips among these, each content once, and give the records of all."""
    hashes = {clip.file: clip.sha256 for clip in clips if isinstance(clip, ClipRecord)}
    copied, gathered = set[str](), list[ClipRecord]()
    for clip in clips:
        if isinstance(clip, ClipRecord):
            gathered.append(clip)
            continue
        record = _recorded(clip)
        if hashes.setdefault(record.file, record.sha256) != record.sha256:
            what = f"the hash of '{safe(clip.name, 80)}' begins like that of another clip."
            raise BadInput(what, why=str(clip.path))
        if record.file not in copied:
            atomic.copy(clip.path, folder / record.file, expected=clip.sha256)
            copied.add(record.file)
        gathered.append(record)
    return gathered


def _recorded(clip: NewClip) -> ClipRecord:
    if clip.suffix not in records.SUFFIXES:
        raise BadInput(f"'{safe(clip.name, 80)}' is of a kind that mdctl does not keep.", why=str(clip.path))
    known = {key: value for key, value in asdict(clip).items() if key not in ("path", "suffix")}
    known |= {"name": documents.plain(clip.name), "source": documents.plain(clip.path.absolute())}
    return ClipRecord(file=f"{clip.sha256[:12]}{clip.suffix}", **known)


def _size_bytes(folder: Path) -> int:
    total = 0
    with suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            with suppress(OSError):
                deeper = entry.is_dir(follow_symlinks=False)
                total += _size_bytes(Path(entry)) if deeper else entry.stat(follow_symlinks=False).st_size
    return total
