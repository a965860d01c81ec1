"""A run: one training of a project, with frozen settings, a log that only grows, and saves that are whole or invisible.

    runs/20261122-071403-a1f3/
      run.toml        every resolved setting
      events.jsonl    the records that `--json` prints
      ckpt/000175/    a save; see `saves`
      samples/

The last two full saves are kept. A milestone (every 50th step, and the final one) stays beyond that, without optimizer.
Older saves go only after the newer one was read back and verified. A save that turns out damaged is set aside, named,
and the one before is used; a run that had saves never starts again at step 0 by itself.
"""

import json
import math
import os
import re
from collections.abc import Callable, Iterator, Mapping, MutableMapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path
from secrets import token_hex
from typing import Any

from mdctl import jsonl
from mdctl.errors import BadInput, MdctlError, NotFound, Refused
from mdctl.workspace import atomic, documents, locks
from mdctl.workspace.saves import Save

MILESTONE_EVERY = 50
"""Saves of these steps stay."""
FULL_SAVES = 2
"""How many saves keep their optimizer."""

_SCHEMA = 1
_ID = re.compile(r"\d{8}-\d{6}-[0-9a-f]{4}")
_STAMP = "%Y%m%d-%H%M%S"
_TIME = "%Y-%m-%dT%H:%M:%SZ"
_SAVE = re.compile(r"\d{6,9}(\.\d{1,4})?")

Change = dict[str, object]
"""What was done otherwise than asked: `what`, `from`, `to`, `why`; the fields of a `changed` event."""


def most_bytes(light: int, steps: int, save_every: int, previews_every: int = 0) -> int:
    """What the saves of a run take at most, of which one that only makes videos takes `light`.

    Counted are those that can be gone on from, one being written, and those that stay, also for their preview.
    """
    often = [math.lcm(MILESTONE_EVERY, save_every), *([previews_every] if previews_every else [])]
    stay = {step for each in often for step in range(each, steps + 1, each)} | {steps}
    return (FULL_SAVES + 1) * 3 * light + len(stay) * light  # an optimizer keeps two moments of each weight


class Run:
    """One training of a project; made by `create`, or found by its folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.id = folder.name
        self.project = folder.parents[1].name
        self.command = "train"
        self._seq: int | None = None

    @classmethod
    def create(cls, project: "os.PathLike[str]", settings: Mapping[str, Any]) -> "Run":
        """Begin a run in a project's folder; its settings are frozen on disk before anything else happens.

        Its id is above all others of the project, also in the same second or when the clock was set back. Settings that
        are None are left out.
        """
        runs = atomic.room(Path(project) / "runs")
        now = datetime.now(UTC)
        folder = runs / _next_id([run.id for run in cls.all(project)], now)
        with atomic.folder(folder) as stage:
            documents.write_toml(stage / "run.toml", {"schema": _SCHEMA, "created": now.strftime(_TIME), **settings})
            for name in ("ckpt", "samples"):
                atomic.room(stage / name)
        return cls(folder)

    @classmethod
    def all(cls, project: "os.PathLike[str]") -> list["Run"]:
        """The runs of a project's folder, oldest first."""
        try:
            names = sorted(entry.name for entry in os.scandir(Path(project) / "runs") if _ID.fullmatch(entry.name))
        except OSError:
            return []
        return [cls(Path(project) / "runs" / name) for name in names]

    # What it is to learn

    @cached_property
    def settings(self) -> dict[str, Any]:
        """The frozen settings, as nested tables."""
        path = self.folder / "run.toml"
        table = documents.read_toml(path)
        if table.get("schema") != _SCHEMA:
            what = f"run {self.id} was made by a newer mdctl."
            raise BadInput(what, why=str(path), fix="pip install --upgrade mdctl", code="MD-NEWER")
        return {key: value for key, value in table.items() if key not in ("schema", "created")}

    @property
    def base(self) -> str:
        """The name of the base model that it learns on."""
        return str(self.settings["model"]["name"])

    @property
    def steps(self) -> int:
        """How many steps it is to take, 0 when its settings do not say."""
        table = self.settings.get("train", self.settings)
        steps = table.get("steps", 0) if isinstance(table, dict) else 0
        return steps if isinstance(steps, int) else 0

    def extend(self, steps: int) -> None:
        """Let it take more steps than it was made for: the one setting that may change, and only upwards."""
        if steps <= self.steps:
            raise BadInput(f"run {self.id} has {self.steps} steps already.", fix=f"--steps {self.steps + 1} or more")

        def change(document: MutableMapping[str, Any]) -> None:
            document.get("train", document)["steps"] = steps

        before = self.steps
        documents.edit_toml(self.folder / "run.toml", change)
        vars(self).pop("settings", None)
        self.note("changed", **{"what": "steps", "from": before, "to": steps, "why": "extended"})

    def settle(self, section: str, values: Mapping[str, Any]) -> None:
        """Fill in settings that were left open until the model was loaded; what is frozen already stays."""

        def change(document: MutableMapping[str, Any]) -> None:
            table = document.setdefault(section, {})
            for key, value in values.items():
                if value is not None:
                    table.setdefault(key, documents.plain(value))

        documents.edit_toml(self.folder / "run.toml", change)
        vars(self).pop("settings", None)

    # How far it is

    @property
    def step(self) -> int:
        """The step of its newest save, 0 without one."""
        for folder in reversed(self._folders()):
            with suppress(Refused):
                return Save.open(folder).step
        return 0

    @property
    def finished(self) -> bool:
        """Whether it took all its steps."""
        return 0 < self.steps <= self.step

    @property
    def has_saves(self) -> bool:
        """Whether it ever came to a save, also where all of them are damaged by now."""
        return bool(self._folders()) or any(self.folder.glob("ckpt/.damaged-*"))

    @property
    def begun(self) -> bool:
        """Whether it took a step or came to a save: then it holds something that can be lost."""
        return self.has_saves or any(record["event"] == "step" for record in self.events())

    @property
    def status(self) -> str:
        """`new`, `paused · 187/300` or `trained · 300`."""
        step = self.step
        if not step:
            return "new"
        return f"trained · {step}" if 0 < self.steps <= step else f"paused · {step}/{self.steps}"

    @property
    def samples(self) -> Path:
        """The folder of its previews."""
        return self.folder / "samples"

    # What happened

    def note(self, event: str, **fields: Any) -> dict[str, Any]:
        """Add a record to the log and give it back as written: numbers not finite are None there, and `nan` is true."""
        if self._seq is None:
            self._seq = max((record["seq"] for record in self.events()), default=0)
        self._seq += 1
        now = datetime.now(UTC).strftime(_TIME)
        head = {"schema": _SCHEMA, "seq": self._seq, "t": now, "event": event, "command": self.command}
        line = jsonl.line({**head, "project": self.project, "run": self.id, **fields}, (",", ":"))
        atomic.append(self.log, line)
        record: dict[str, Any] = json.loads(line)
        return record

    def events(self) -> Iterator[dict[str, Any]]:
        """The records of the log, oldest first; a line that a crash has torn is left out."""
        with suppress(FileNotFoundError), self.log.open("rb") as lines:
            for line in lines:
                with suppress(ValueError, RecursionError):
                    record = json.loads(line)
                    if isinstance(record, dict) and isinstance(record.get("seq"), int):
                        yield record

    @property
    def log(self) -> Path:
        """The file of its records."""
        return self.folder / "events.jsonl"

    # What was learned

    def keep(self, step: int, files: Mapping[str, bytes], state: Mapping[str, Any], *, milestone: bool = False) -> Save:
        """Keep what was learned until `step`; once that is verified, what is no longer needed goes.

        The same step may be kept again: the same content is kept once, another one takes the place of the old.
        """
        there = [folder for folder in self._folders() if _step_of(folder) == step]
        stays = milestone or step % MILESTONE_EVERY == 0 or step == self.steps
        for folder in there[-1:]:
            with suppress(Refused):
                save = Save.open(folder)
                save.verify()
                if save.holds(files) and save.milestone >= stays:
                    return save
        name = f"{step:06d}" + (f".{_order(there[-1])[1] + 1}" if there else "")
        save = Save.write(self.folder / "ckpt" / name, step, files, state, milestone=stays)
        with suppress(MdctlError, OSError):  # the save is safe; what could not be tidied now is tidied after the next
            self._prune(save)
        return save

    def saves(self) -> list[Save]:
        """The saves that are whole as far as sizes tell, one for each step, in order."""
        saves = {}
        for folder in self._folders():
            with suppress(Refused):
                saves[_step_of(folder)] = Save.open(folder)
        return list(saves.values())

    def latest(self, resumable: bool = False, report: Callable[[Change], None] | None = None) -> Save | None:
        """The newest save whose content is verified, None when there never was one; `resumable`: one with optimizer.

        Damaged saves are set aside as `.damaged-...`, and each is reported, as is a newest save that has vanished.
        `NotFound` when there were saves and none can be used: whether to start from nothing is for the user to say.
        """
        found, lost = None, dict[Path, str]()
        folders = self._folders()
        for folder in reversed(folders):
            try:
                found = _whole(folder, resumable)
            except Refused as fault:
                if folder.exists():  # else its run has let it go just now
                    lost[folder] = fault.why
                    self._set_aside(folder)
            if found:
                break
        noted = self._noted_step()
        if noted and noted not in map(_step_of, folders):
            lost[self.folder / "ckpt" / f"{noted:06d}"] = "it is missing"
        for folder, why in lost.items():
            if report:
                report({"what": "save", "from": _step_of(folder), "to": found.step if found else None, "why": why})
        if not found and (lost or self.has_saves):
            raise self._nothing_left(lost)
        return found

    def inspected(self) -> Iterator[tuple[Path, str]]:
        """Every save's folder with what is wrong with it, '' where its whole content is right; nothing is set aside.

        The newest save by the log is among them when it is missing.
        """
        folders = self._folders()
        for folder in folders:
            try:
                Save.open(folder).verify()
                yield folder, ""
            except Refused as fault:
                yield folder, fault.why.removeprefix(f"{folder}: ")
        noted = self._noted_step()
        if noted and noted not in map(_step_of, folders):
            yield self.folder / "ckpt" / f"{noted:06d}", "it is missing"

    def spare(self, keep: int, pinned: str = "") -> list[Path]:
        """The folders of saves that are older than the newest `keep` whose content is right, but for a pinned step.

        Those that were set aside as damaged are among them. None while no save is right.
        """
        right: list[Path] = []
        for save in reversed(self.saves()):
            if len(right) < keep:
                with suppress(Refused):
                    save.verify()
                    right.append(save.folder)
        older = [folder for folder in self._folders() if right and _order(folder) < _order(right[0])]
        spare = [folder for folder in older if folder not in right and str(_step_of(folder)) != pinned]
        return [*sorted(self.folder.glob("ckpt/.damaged-*")), *spare] if right else []

    def _folders(self) -> list[Path]:
        try:
            entries = [Path(entry) for entry in os.scandir(self.folder / "ckpt") if _SAVE.fullmatch(entry.name)]
        except OSError:
            return []
        return sorted(entries, key=_order)

    def _prune(self, newest: Save) -> None:
        saves = self.saves()
        full = [newest, *[save for save in saves if save.has_optimizer][-FULL_SAVES:]]
        for save in saves:
            if save.milestone and save not in full:
                save.lighten()
        stay = {save.folder for save in saves if save.milestone or save in full}
        replaced = {_step_of(save.folder): save.folder for save in saves}
        for folder in self._folders():
            known = replaced.get(_step_of(folder))  # what nobody can read is left for `latest` to report
            if known and folder not in stay and _order(folder) <= _order(known):
                with locks.vacant(folder) as vacant:
                    if vacant:
                        atomic.remove(folder)
        atomic.sweep(self.folder / "ckpt")

    def _set_aside(self, folder: Path) -> None:
        with suppress(MdctlError, FileNotFoundError):  # on a disk that cannot be written, it is only passed over
            atomic.move(folder, folder.with_name(f".damaged-{folder.name}"))

    def _noted_step(self) -> int | None:
        """The step of the newest save by the log: the last that was kept, or gone back to after a loss."""
        noted = None
        for record in self.events():
            lost = record.get("event") == "changed" and record.get("what") == "save"
            step = record.get("to") if lost else record.get("step") if record.get("event") == "save" else None
            noted = step if isinstance(step, int) else noted
        return noted

    def _nothing_left(self, lost: Mapping[Path, str]) -> NotFound:
        why = "; ".join(f"{folder.name}: {reason}" for folder, reason in lost.items())
        fix = f"mdctl train {self.project} --fresh"
        what = f"run {self.id} of '{self.project}' has no save left that can be used."
        return NotFound(what, why=why or str(self.folder / "ckpt"), fix=fix, code="MD-SAVE-LOST")


def _next_id(taken: Sequence[str], now: datetime) -> str:
    stamp = now.strftime(_STAMP)
    if taken and stamp <= taken[-1][: len(stamp)]:  # the same second, or a clock that was set back
        stamp = (datetime.strptime(taken[-1][: len(stamp)], _STAMP) + timedelta(seconds=1)).strftime(_STAMP)
    return f"{stamp}-{token_hex(2)}"


def _order(folder: Path) -> tuple[int, int]:
    step, number = folder.name.partition(".")[::2]
    return int(step), int(number or 1)


def _step_of(folder: Path) -> int:
    return _order(folder)[0]


def _whole(folder: Path, resumable: bool) -> Save | None:
    for last in (False, True):
        try:
            save = Save.open(folder)
            if resumable and not save.has_optimizer:
                return None
            save.verify(optimizer=resumable)
            return save
        except Refused:
            if last:  # read twice, because its run may just have taken the optimizer away
                raise
    return None
