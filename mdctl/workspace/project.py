"""A project: one motion or one appearance, with its clips, its runs and its videos in a folder of its own.

Its folder appears complete or not at all, and goes to the trash, never away. A project that cannot be read is still
listed, with the reason; only what needs its content meets the fault.
"""

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, MutableMapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict
from datetime import UTC, datetime
from functools import cached_property
from itertools import count
from pathlib import Path
from typing import Any

from mdctl.errors import BadInput, Busy, MdctlError, NotFound, UsageFault, nearest
from mdctl.text import safe
from mdctl.workspace import atomic, documents, footage, locations, locks, names, records, trash
from mdctl.workspace.names import check_name as check_name  # whoever deals in projects finds it here
from mdctl.workspace.records import ClipRecord, NewClip, ProjectRecord
from mdctl.workspace.runs import Run
from mdctl.workspace.saves import Save

_FIXED = {"schema", "name", "kind", "created"}
_TIME = "%Y-%m-%dT%H:%M:%SZ"


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
        own = table or {}
        documents.check_keys(own, ("clips", "train", "gen"), "the project's settings")
        record = ProjectRecord(
            name=name,
            kind=kind,
            caption=caption,
            subject=records.subject_of(caption),
            model=model,
            template=template,
            created=datetime.now(UTC).strftime(_TIME),
            clips=own.get("clips", {}),
            train=own.get("train", {}),
            gen=own.get("gen", {}),
        )
        with names.claimed(name, "new", inside) as folder:
            atomic.sweep(folder.parent)
            try:
                with atomic.folder(folder) as stage:
                    record.write(stage)
                    records.write_clips(stage, _gathered(stage / "clips", clips))
            except FileExistsError as error:  # somebody made it by hand meanwhile
                raise names.exists(name, name) from error
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
            if names.taken(called):
                continue
            folder, created = locations.projects() / called, datetime.now(UTC).strftime(_TIME)
            record = ProjectRecord(called, kind, caption, subject, model, created=created)
            with suppress(Busy, FileExistsError), locks.writer(folder, "import"):  # somebody may take the name just now
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
        meant = (name, near) if near else None
        raise NotFound(f"there is no project '{name}'.", why=why, fix="mdctl list", meant=meant)

    @classmethod
    def open(cls, name: str) -> "Project":
        """The project of this name, its documents read; `BadInput` when they cannot be."""
        project = cls.find(name)
        _ = project.record, project.clips
        return project

    @classmethod
    def all(cls) -> "list[Project]":
        """Every project by name, also those that need attention; see `fault`."""
        return [cls(locations.projects() / name) for name in names.folders()]

    @classmethod
    def restore(cls, name: str, *, under: str | None = None) -> "Project":
        """Bring back to its place what was discarded last under a name, be it the whole or parts of it.

        `under` is another name for the last that was discarded whole. `UsageFault` when the place is taken again.
        """
        if not trash.last(check_name(name), whole=under is not None).whole:
            return cls(locations.projects() / name)._take_back()
        with names.claimed(under or name, "restore", fix="bring it back under another name") as folder, trash.held():
            atomic.move(trash.last(name, whole=True).path, folder)
            _sign(folder, name=folder.name)
        return cls(folder)

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
                    again = f"mdctl clips add {self.name} FILE --link     where it lies now"
                    fix = again if clip.linked else f"copy the original to that place: {clip.source or clip.name}"
                    why = str(self.path_of(clip))
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
        """Where the copy of a clip lies, or the clip itself where it was linked."""
        return Path(clip.source) if clip.linked else self.folder / "clips" / clip.file

    def same_clips(self, hashes: Iterable[str]) -> bool:
        """Whether clips of these hashes are all in it already."""
        return set(hashes) <= {clip.sha256 for clip in self.clips}

    @property
    def outputs(self) -> Path:
        """The folder of its videos."""
        return self.folder / "outputs"

    def videos(self) -> list[Path]:
        """The videos made with it, by name, and so by time."""
        return footage.inside(self.outputs)

    def runs(self) -> list[Run]:
        """Its runs, oldest first."""
        return Run.all(self)

    def disk_bytes(self, *inside: str) -> int:
        """What it takes on disk, or one part of it: `clips`, `runs`, `outputs`."""
        return trash.size_bytes(self.folder.joinpath(*inside))

    # Changing it

    @contextmanager
    def locked(
        self, command: str, wait_s: float = 0.0, told: Callable[[str], None] | None = None
    ) -> "Iterator[Project]":
        """Be its only writer; what dead processes left half-written is swept first. `Busy` names who else it is.

        `told` gets that in a sentence, before it is waited for.
        """
        with locks.writer(self.folder, command, wait_s, told):
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

    def renamed(self, name: str) -> "Project":
        """The same under another name, by one move; it must be locked. `UsageFault` when the name is taken."""
        with names.claimed(name, "rename") as folder:
            self._require_vacant()
            atomic.move(self.folder, folder)
            _sign(folder, name=name)
        return Project(folder)

    def copy(self, name: str, *, with_runs: bool = True) -> "Project":
        """The same once more under another name: clips and settings, and unless told otherwise runs and videos too.

        `UsageFault` when the name is taken.
        """
        with names.claimed(name, "new") as folder, atomic.folder(folder) as stage:
            for path in sorted(self.folder.rglob("*")):
                place = path.relative_to(self.folder)
                wanted = with_runs or place.parts[0] in (records.PROJECT, records.CLIPS, "clips")
                if wanted and path.is_file() and ".locks" not in place.parts and not path.name.startswith(".tmp-"):
                    atomic.copy(path, stage / place)
            _sign(stage, name=name, created=datetime.now(UTC).strftime(_TIME))
            if not with_runs:
                _sign(stage, pin=None)  # what is pinned is a save of a run
        return Project(folder)

    def discard(self, *parts: Path, what: str = "") -> Path:
        """Move it, or only these parts of it, to the trash and tell where that lies; it must be locked.

        `what` calls the parts by a word. `Busy` while a save that would go is being used.
        """
        runs = self.folder / "runs"
        if not parts or any(part == runs or runs in part.parents for part in parts):
            self._require_vacant()
        return trash.discard_parts(self.folder, parts, what, self._created) if parts else trash.discard(self.folder)

    def _take_back(self) -> "Project":
        thing = trash.last(self.name)
        if not self.folder.is_dir() or (thing.created and thing.created != self._created):
            was = next((one.name for one in Project.all() if thing.created and one._created == thing.created), None)
            away = [f"mdctl rename {self.name} {self.name}-2"] if self.folder.is_dir() else []
            raise NotFound(
                f"the project '{self.name}' that {thing.what} belonged to is not there.",
                why=f"it is called '{was}' now." if was else "",
                fix=(*away, f"mdctl rename {was} {self.name}", f"mdctl restore {self.name}") if was else "mdctl list",
            )
        with self.locked("restore"), trash.held():
            trash.put_back(trash.last(self.name), self.folder)
        return self

    @property
    def _created(self) -> str:
        with suppress(MdctlError):
            return self.record.created
        return ""

    def _require_vacant(self) -> None:
        for save in (save for run in self.runs() for save in run.saves()):
            with locks.vacant(save.folder) as vacant:
                if not vacant:
                    what = f"a video is being made with '{self.name}' just now."
                    raise Busy(what, why=str(save.folder), fix="wait for it")

    def _forget(self) -> None:
        for read in ("record", "clips"):
            vars(self).pop(read, None)


def _sign(folder: Path, **said: str | None) -> None:
    """Write into a `project.toml` what is another there now, None removes it; one that cannot be read stays."""

    def change(document: MutableMapping[str, Any]) -> None:
        for key, value in said.items():
            if value is None:
                document.pop(key, None)
            else:
                document[key] = value

    with suppress(MdctlError):
        if (folder / records.PROJECT).is_file():
            documents.edit_toml(folder / records.PROJECT, change)


def _gathered(folder: Path, clips: Sequence[ClipRecord | NewClip]) -> list[ClipRecord]:
    """Copy the new clips among these, each content once and links not at all, and give the records of all."""
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
        if record.file not in copied and not record.linked:
            atomic.copy(clip.path, folder / record.file, expected=clip.sha256)
            copied.add(record.file)
        gathered.append(record)
    return gathered


def _recorded(clip: NewClip) -> ClipRecord:
    if clip.suffix not in records.SUFFIXES:
        raise BadInput(f"'{safe(clip.name, 80)}' is of a kind that mdctl does not keep.", why=str(clip.path))
    if clip.linked and documents.plain(clip.path) != str(clip.path):
        what = f"'{safe(clip.name, 80)}' cannot be linked: a document cannot hold its name."
        raise BadInput(what, why=str(clip.path), fix="leave --link out, or give it another name")
    known = {key: value for key, value in asdict(clip).items() if key not in ("path", "suffix")}
    known |= {"name": documents.plain(clip.name), "source": documents.plain(clip.path.absolute())}
    return ClipRecord(file=f"{clip.sha256[:12]}{clip.suffix}", **known)
