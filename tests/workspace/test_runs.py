"""Runs, their logs and their saves."""

import json
import math
import os
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from mdctl.errors import BadInput, NotFound, Refused
from mdctl.workspace import atomic, locks, runs
from mdctl.workspace.runs import Change, Run
from mdctl.workspace.saves import OPTIMIZER, Save


@pytest.fixture
def golf(home: Path) -> Path:
    """A project's folder."""
    return atomic.room(home / "projects" / "golf")


@pytest.fixture
def run(golf: Path) -> Run:
    """A run of 300 steps."""
    return Run.create(golf, {"train": {"steps": 300, "lr": 1e-4}, "model": "starter"})


def files(step: int) -> dict[str, bytes]:
    """What a training hands over at a step."""
    return {"temporal.safetensors": b"weights %d" % step, OPTIMIZER: b"moments %d" % step}


def keep(run: Run, *steps: int) -> list[Save]:
    """Keep saves of these steps, and note them as a training does."""
    saves = []
    for step in steps:
        saves.append(run.keep(step, files(step), {"step": step}))
        run.note("save", step=step, path=str(saves[-1].folder))
    return saves


def steps(run: Run) -> dict[int, bool]:
    """The steps of all saves, and whether each has its optimizer."""
    return {save.step: save.has_optimizer for save in run.saves()}


def clock(monkeypatch: pytest.MonkeyPatch, now: datetime) -> None:
    """Set the clock of the runs."""

    class Clock(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> "Clock":
            return cls.fromtimestamp(now.timestamp(), tz)

    monkeypatch.setattr(runs, "datetime", Clock)


# Settings


def test_settings_are_frozen_as_they_were_given(golf: Path, run: Run) -> None:
    """A run reads back what it was made with, None left out, and knows its steps."""
    assert Run.all(golf)[0].settings == {"train": {"steps": 300, "lr": 1e-4}, "model": "starter"}
    assert (run.project, run.steps, run.step, run.finished, run.status) == ("golf", 300, 0, False, "new")
    assert {path.name for path in run.folder.iterdir()} == {"run.toml", "ckpt", "samples"}
    assert Run.create(golf, {"a": None, "steps": 5}).steps == 5
    assert Run.create(golf, {}).steps == 0


def test_a_run_of_a_newer_mdctl_is_not_guessed_at(run: Run) -> None:
    """An unknown version is refused (G4)."""
    path = run.folder / "run.toml"
    path.write_text(path.read_text().replace("schema = 1", "schema = 2"))
    with pytest.raises(BadInput, match="newer mdctl"):
        _ = Run(run.folder).settings


def test_a_finished_run_can_be_extended_only(run: Run) -> None:
    """More steps are noted and written; fewer are refused."""
    keep(run, 300)
    assert (run.status, run.finished) == ("trained · 300", True)
    run.extend(400)
    assert (run.status, run.finished, run.steps) == ("paused · 300/400", False, 400)
    assert [(record["from"], record["to"]) for record in run.events() if record["event"] == "changed"] == [(300, 400)]
    with pytest.raises(BadInput):
        run.extend(400)


def test_what_was_left_open_is_settled_once(run: Run) -> None:
    """Settings that nobody chose are filled in; those that are frozen stay."""
    run.settle("train", {"steps": 5, "rank": 32, "seed": None})
    assert run.settings["train"] == {"steps": 300, "lr": 1e-4, "rank": 32}
    run.settle("base", {"revision": "1f35e3d"})
    assert Run(run.folder).settings["base"] == {"revision": "1f35e3d"}


def test_ids_are_unique_and_ordered(golf: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the same second, and when the clock is set back, a later run has a greater id (H12)."""
    made = []
    for minute in (30, 30, 30, 10, 59):
        clock(monkeypatch, datetime(2026, 11, 22, 7, minute, 59, tzinfo=UTC))
        made.append(Run.create(golf, {}).id)
    assert made == sorted(set(made))
    assert [run.id for run in Run.all(golf)] == made
    assert all(re.fullmatch(r"20261122-07\d{4}-[0-9a-f]{4}", name) for name in made)


def test_foreign_folders_are_no_runs(golf: Path, run: Run) -> None:
    """Drafts and what a person put there are passed over."""
    for name in (".tmp-ffffffff-1-1-0123456789ab", "notes"):
        (golf / "runs" / name).mkdir()
    assert [known.id for known in Run.all(golf)] == [run.id]
    assert Run.all(golf / "nowhere") == []


# Events


def test_events_have_the_common_fields(run: Run) -> None:
    """Each record is numbered, dated in UTC, and says whose it is; the log holds what was given back."""
    first = run.note("step", step=1, of=300, loss={"motion": 0.25})
    second = Run(run.folder).note("warning", text="⏎ \udcff ü", path=Path("x"))
    assert list(first)[:7] == ["schema", "seq", "t", "event", "command", "project", "run"]
    assert (first["schema"], first["seq"], second["seq"]) == (1, 1, 2)
    assert (first["command"], first["project"], first["run"]) == ("train", "golf", run.id)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", first["t"])
    assert list(run.events()) == [first, second]
    assert (run.folder / "events.jsonl").read_bytes().isascii()
    assert second["text"] == "⏎ \udcff ü"


def test_numbers_that_are_not_finite_are_null(run: Run) -> None:
    """NaN and infinity become null, and the record says so."""
    record = run.note("step", loss={"motion": math.nan, "list": [1.0, -math.inf]}, eta_s=math.inf)
    assert (record["loss"], record["eta_s"], record["nan"]) == ({"motion": None, "list": [1.0, None]}, None, True)
    assert "nan" not in run.note("step", loss={"motion": 1.0})
    log = (run.folder / "events.jsonl").read_text()
    assert "NaN" not in log
    assert "Infinity" not in log


def test_a_torn_line_is_left_out(run: Run) -> None:
    """A crash in the middle of a line costs this line only, and numbers go on."""
    run.note("step", step=1)
    run.note("step", step=2)
    log = run.folder / "events.jsonl"
    log.write_bytes(log.read_bytes()[:-9])
    assert [record["step"] for record in run.events()] == [1]
    again = Run(run.folder)
    assert again.note("step", step=2)["seq"] == 2
    with log.open("ab") as file:
        file.write(b'[]\n{}\n\xff\n{"seq":"x"}\n')
    assert [(record["seq"], record["step"]) for record in again.events()] == [(1, 1), (2, 2)]


def test_a_run_without_a_log_has_no_events(run: Run) -> None:
    """A log begins with its first record."""
    assert list(run.events()) == []


# Saves


def test_a_save_gives_back_what_was_kept(run: Run) -> None:
    """Files, state and hashes come back; the hash of the weights leaves optimizer and state aside."""
    (save,) = keep(run, 25)
    assert save.folder == run.folder / "ckpt" / "000025"
    assert (save.step, save.files, save.state) == (25, ("temporal.safetensors", OPTIMIZER), {"step": 25})
    assert save.read("temporal.safetensors") == b"weights 25"
    assert save.size_bytes == sum(path.stat().st_size for path in save.folder.iterdir()) - _manifest_bytes(save)
    (latest,) = run.saves()
    assert latest == save
    other = Run.create(run.folder.parents[1], {}).keep(25, {**files(25), OPTIMIZER: b"?"}, {"elapsed": 1.5})
    assert other.sha256 == save.sha256
    with pytest.raises(NotFound):
        save.read("../../../project.toml")


def _manifest_bytes(save: Save) -> int:
    return (save.folder / "MANIFEST.json").stat().st_size


def test_a_draft_is_no_save(run: Run) -> None:
    """A run has saves once one is whole, and still when it is damaged; it has begun with its first step."""
    draft = run.folder / "ckpt" / ".tmp-1"
    draft.mkdir()
    assert not run.has_saves
    assert not run.begun
    run.note("step", step=1)
    assert run.begun
    assert not run.has_saves
    (run.folder / "events.jsonl").unlink()
    draft.rename(draft.with_name(".damaged-000001"))
    assert run.has_saves
    assert run.begun


def test_two_full_saves_and_the_milestones_stay(run: Run) -> None:
    """The last two keep their optimizer; every 50th step and the final one stay as weights."""
    keep(run, 25, 50, 75, 90)
    assert steps(run) == {50: False, 75: True, 90: True}
    run.keep(110, files(110), {}, milestone=True)
    keep(run, 125, 299, 300)
    run.extend(330)
    keep(run, 310, 330)
    assert steps(run) == {50: False, 110: False, 300: False, 310: True, 330: True}
    light = run.saves()[0]
    assert light.read("temporal.safetensors") == b"weights 50"
    assert light.state == {"step": 50}
    assert not (light.folder / OPTIMIZER).exists()
    light.verify()
    assert run.finished


def test_a_save_in_use_is_not_removed(run: Run) -> None:
    """A reader keeps what it reads; it goes with the next save after that."""
    (first,) = keep(run, 25)
    with locks.reader(first.folder):
        keep(run, 30, 35, 40)
        assert steps(run) == {25: True, 35: True, 40: True}
    keep(run, 45)
    assert steps(run) == {40: True, 45: True}


def test_the_same_step_may_be_kept_again(run: Run) -> None:
    """The same content is kept once; another content takes the place of the old."""
    keep(run, 25, 30)
    (same,) = keep(run, 30)
    assert same.folder.name == "000030"
    other = run.keep(30, {"temporal.safetensors": b"new", OPTIMIZER: b"new"}, {})
    assert other.folder.name == "000030.2"
    assert steps(run) == {25: True, 30: True}
    assert run.latest() == other
    assert sorted(path.name for path in (run.folder / "ckpt").iterdir() if path.name != ".locks") == [
        *("000025", "000030.2"),
    ]


def test_without_optimizer_the_newest_stays(run: Run) -> None:
    """A save that has no optimizer is not pruned while it is the newest."""
    run.keep(25, {"temporal.safetensors": b"w"}, {})
    run.keep(30, {"temporal.safetensors": b"v"}, {})
    assert steps(run) == {30: False}
    with pytest.raises(NotFound) as told:
        run.latest(resumable=True)
    assert told.value.fix == ("mdctl train golf --fresh",)
    assert run.latest() is not None


def test_a_state_that_is_not_finite_is_not_kept(run: Run) -> None:
    """No save holds a number that is none (J2)."""
    with pytest.raises(Refused, match="not finite"):
        run.keep(25, files(25), {"loss": math.nan})
    assert run.latest() is None
    with pytest.raises(ValueError, match="no name"):
        run.keep(25, {"../x": b""}, {})
    assert not [path for path in (run.folder / "ckpt").iterdir() if path.name != ".locks"]


def _flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


DAMAGE: dict[str, Callable[[Save], object]] = {
    "one bit of the weights": lambda save: _flip(save.folder / "temporal.safetensors"),
    "one bit of the optimizer": lambda save: _flip(save.folder / OPTIMIZER),
    "cut weights": lambda save: (save.folder / "temporal.safetensors").write_bytes(b""),
    "no weights": lambda save: (save.folder / "temporal.safetensors").unlink(),
    "no manifest": lambda save: (save.folder / "MANIFEST.json").unlink(),
    "torn manifest": lambda save: (save.folder / "MANIFEST.json").write_bytes(b'{"schema": 1, "step'),
    "another manifest": lambda save: (save.folder / "MANIFEST.json").write_text('{"step": 0, "files": {"../x": {}}}'),
    "odd numbers": lambda save: (save.folder / "MANIFEST.json").write_text('{"step": Infinity, "milestone": 0}'),
    "odd hash": lambda save: (save.folder / "MANIFEST.json").write_text(
        json.dumps({"step": 150, "milestone": True, "files": {"state.json": {"size": 13, "sha256": "../x"}}})
    ),
    "no state": lambda save: (save.folder / "state.json").unlink(),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_newest_save_is_set_aside(run: Run, damage: str) -> None:
    """The one before is used, and each loss is reported (H10, E7)."""
    first, second = keep(run, 125, 150)
    DAMAGE[damage](second)
    told: list[Change] = []
    assert run.latest(resumable=True, report=told.append) == first
    assert [(change["what"], change["from"], change["to"]) for change in told] == [("save", 150, 125)]
    assert (run.folder / "ckpt" / ".damaged-000150").is_dir()
    assert steps(run) == {125: True}
    assert run.status == "paused · 125/300"
    assert keep(run, 150)[0].folder.name == "000150"
    assert run.latest(resumable=True) == run.saves()[-1]


def test_an_optimizer_that_is_not_needed_does_no_harm(run: Run) -> None:
    """To make a video, the weights are enough."""
    keep(run, 125, 150)
    _flip(run.folder / "ckpt" / "000150" / OPTIMIZER)
    save = run.latest()
    assert save is not None
    assert save.step == 150
    with pytest.raises(Refused, match="damaged"):
        save.read(OPTIMIZER)
    with pytest.raises(Refused, match="damaged"):
        save.verify()


def test_a_missing_newest_save_is_reported_until_that_is_noted(run: Run) -> None:
    """The log remembers what the folder lost (H10, I5)."""
    first, second = keep(run, 125, 150)
    atomic.remove(second.folder)
    told: list[Change] = []
    assert run.latest(report=told.append) == first
    assert told == [{"what": "save", "from": 150, "to": 125, "why": "it is missing"}]
    run.note("changed", **told[0])
    assert run.latest(report=told.append) == first
    assert len(told) == 1


@pytest.mark.parametrize("gone", [False, True])
def test_a_run_never_starts_again_by_itself(run: Run, gone: bool) -> None:
    """When no save is left, now or later, the user decides (H10, exit 3)."""
    for save in keep(run, 125, 150):
        atomic.remove(save.folder) if gone else _flip(save.folder / "temporal.safetensors")
    for _ in range(2):
        with pytest.raises(NotFound) as told:
            run.latest(resumable=True)
        assert told.value.fix == ("mdctl train golf --fresh",)
    run.note("changed", **{"what": "save", "from": 150, "to": None})
    with pytest.raises(NotFound):
        run.latest()


def test_two_damaged_saves_of_one_step_lie_side_by_side(run: Run) -> None:
    """What is set aside replaces nothing."""
    keep(run, 25)
    for _ in range(2):
        (save,) = keep(run, 30)
        _flip(save.folder / "temporal.safetensors")
        run.latest()
    aside = sorted(path.name for path in (run.folder / "ckpt").glob(".damaged-*"))
    assert aside == [".damaged-000030", ".damaged-000030_2"]


@pytest.mark.parametrize("left", ["both", "moments"])
def test_a_save_is_light_from_one_moment_to_the_next(run: Run, left: str) -> None:
    """After a crash between the two steps of lightening, it is whole, and the rest goes with the next save."""
    keep(run, 50, 60)
    folder = run.folder / "ckpt" / "000050"
    if left == "moments":
        manifest: dict[str, Any] = json.loads((folder / "MANIFEST.json").read_text())
        del manifest["files"][OPTIMIZER]
        (folder / "MANIFEST.json").write_text(json.dumps(manifest))
    assert steps(run)[50] == (left == "both")
    keep(run, 70)
    assert steps(run) == {50: False, 60: True, 70: True}
    assert not (folder / OPTIMIZER).exists()


def test_a_disk_that_gives_back_something_else_is_noticed(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """A save is read back before older ones go."""
    keep(run, 25, 30)
    real = os.write

    def wrong(descriptor: int, data: bytes) -> int:
        return real(descriptor, bytes(data).replace(b"weights 35", b"weights 53"))

    monkeypatch.setattr(os, "write", wrong)
    with pytest.raises(Refused, match="damaged"):
        run.keep(35, files(35), {})
    monkeypatch.undo()
    assert {25, 30} <= set(steps(run))
    latest = run.latest(resumable=True)
    assert latest is not None
    assert latest.step == 30


def test_folders_with_other_names_are_no_saves(run: Run) -> None:
    """What a person put beside the saves is passed over."""
    for name in ("best", "25", "000025.x"):
        (run.folder / "ckpt" / name).mkdir()
    assert run.saves() == []
    assert run.latest() is None


def test_settings_may_be_any_mapping(golf: Path) -> None:
    """Nested mappings and tuples are written as tables and lists."""
    given: Mapping[str, Any] = {"gen": {"size": (384, 256)}, "hashes": ["a", "b"]}
    assert Run.create(golf, given).settings == {"gen": {"size": [384, 256]}, "hashes": ["a", "b"]}
