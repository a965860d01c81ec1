"""Saves that are written while the steps go on, as on a GPU."""

import errno
import os
import time
from collections.abc import Callable
from typing import Any

import pytest
from stage import QUICK, Mdctl

from mdctl.cli.create import learning
from mdctl.cli.create.keeping import keeping
from mdctl.errors import NotReady
from mdctl.workspace import atomic
from mdctl.workspace.project import Project
from mdctl.workspace.runs import Run
from mdctl.workspace.saves import Save

TRAIN = ("--json", "train", "golf", "--steps", "6", *QUICK)
PATIENCE_S = 60.0


@pytest.fixture(autouse=True)
def aside(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the computer that runs the tests write as one with a GPU does."""
    monkeypatch.setattr(learning, "keeping", lambda *given, aside: keeping(*given, aside=True))


def hashes(run: Run) -> dict[int, str]:
    """What was learned, by step."""
    return {save.step: save.sha256 for save in run.saves()}


def test_it_keeps_the_same(mdctl: Mdctl, fresh: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every save is what it is without, is told once in order, and belongs to the step at which it was begun."""
    said = mdctl(*TRAIN)
    assert said.code == 0
    saves = [record for record in said.records if record["event"] == "save"]
    assert [record["step"] for record in saves] == [2, 4, 6]
    assert all(record["held_up_s"] >= 0 for record in saves)
    found = hashes(fresh.runs()[-1])
    monkeypatch.setattr(learning, "keeping", lambda *given, aside: keeping(*given, aside=False))
    assert mdctl(*TRAIN, "--fresh").code == 0
    assert hashes(fresh.runs()[-1]) == found
    assert {4, 6} <= found.keys()


def until(holds: Callable[[], bool]) -> None:
    """Wait until something holds."""
    deadline = time.monotonic() + PATIENCE_S
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_steps_do_not_wait_for_the_disk(mdctl: Mdctl, fresh: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two more steps are done before a slow save is; what they change does not get into it."""
    keep = Run.keep

    def slowly(run: Run, step: int, *given: Any, **named: Any) -> Save:
        if step == 2:
            until(lambda: any(r["event"] == "step" and r["step"] == 4 for r in run.events()))
        return keep(run, step, *given, **named)

    monkeypatch.setattr(Run, "keep", slowly)
    said = mdctl(*TRAIN)
    assert said.code == 0, said.err
    told = [(r["event"], r["step"]) for r in said.records if r["event"] in ("step", "save")]
    assert told.index(("step", 4)) < told.index(("save", 2)) < told.index(("save", 4)) < told.index(("save", 6))
    monkeypatch.setattr(Run, "keep", keep)
    again = mdctl(*TRAIN, "--fresh")
    slow, straight = ([r["sha256"] for r in run.records if r["event"] == "save"] for run in (said, again))
    assert slow == straight


def test_a_disk_that_refuses_is_told_at_the_next_step(
    mdctl: Mdctl, fresh: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The training stops, says which save is good, and goes on from there to the same result."""
    put = atomic._put

    def refusing(descriptor: int, content: bytes) -> None:
        if len(content) > 10_000 and fresh.runs()[-1].step == 2:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        put(descriptor, content)

    monkeypatch.setattr(atomic, "_put", refusing)
    said = mdctl(*TRAIN[1:])
    assert said.code == 7
    assert "the disk is full" in said.err
    assert "the save of step 2 is good" in said.err
    run = fresh.runs()[-1]
    assert run.step == 2
    monkeypatch.setattr(atomic, "_put", put)
    assert mdctl(*TRAIN).code == 0
    ended = hashes(run)[6]
    assert mdctl(*TRAIN, "--fresh").code == 0
    assert hashes(fresh.runs()[-1])[6] == ended


def test_a_step_that_fails_loses_no_save(mdctl: Mdctl, fresh: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is being written when something else goes wrong is written to its end, and counts."""
    keep, note = Run.keep, Run.note
    failed = list[bool]()

    def slowly(run: Run, *given: Any, **named: Any) -> Save:
        until(lambda: bool(failed))
        return keep(run, *given, **named)

    def failing(run: Run, event: str, **fields: Any) -> dict[str, Any]:
        if event == "step" and fields["step"] == 3:
            failed.append(True)
            raise NotReady("the cable was pulled.")
        return note(run, event, **fields)

    monkeypatch.setattr(Run, "keep", slowly)
    monkeypatch.setattr(Run, "note", failing)
    said = mdctl(*TRAIN[1:])
    assert said.code == NotReady("").exit_code
    assert "the cable was pulled" in said.err
    assert "the save of step 2 is good" in said.err
    run = fresh.runs()[-1]
    run.saves()[-1].verify()
    assert [record["step"] for record in run.events() if record["event"] == "save"] == [2]
