"""A training and the memory of its device: planned, refused in words, and one level down where it runs out."""

import json
from collections import deque
from pathlib import Path
from typing import Any

import pytest
import torch
from stage import QUICK, Mdctl

from mdctl.cli.create import fitting
from mdctl.cli.create.outlook import Draft
from mdctl.errors import NoSpace
from mdctl.motion import device as machine
from mdctl.motion import training
from mdctl.settings import TrainSettings
from mdctl.workspace import paces, weights
from mdctl.workspace.project import Project
from mdctl.workspace.runs import Run


def test_a_card_on_a_cpu_is_refused(mdctl: Mdctl, fresh: Project) -> None:
    """Without a GPU there is no memory of one to keep to; nothing is begun, and the line to type is there."""
    said = mdctl("train", "golf", "--steps", "2", *QUICK, "--vram", "8", "--device", "cpu")
    assert said.code == 4
    assert "--vram 8 speaks of a GPU" in said.err
    assert "mdctl train golf" in said.err
    assert not fresh.runs()


def test_out_of_memory_is_one_level_down(mdctl: Mdctl, fresh: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first step is done again with more computed twice; that is told and noted, and the result is the same."""
    assert mdctl("train", "golf", "--steps", "2", *QUICK).code == 0
    wanted = weights_of(fresh.runs()[-1])
    stock, left = training.learn, [2]

    def greedy(*args: Any, **kwargs: Any) -> Any:
        found = stock(*args, **kwargs)
        if left[0]:
            left[0] -= 1
            raise torch.OutOfMemoryError("no memory left")
        return found

    monkeypatch.setattr(training, "learn", greedy)
    said = mdctl("train", "golf", "--steps", "2", *QUICK, "--fresh")
    assert said.code == 0
    assert said.err.count("memory ran out in step 1") == 2
    run = fresh.runs()[-1]
    changes = [(one["what"], one["from"], one["to"]) for one in run.events() if one["event"] == "changed"]
    assert changes == [("recompute", "none", "light"), ("recompute", "light", "middle")]
    assert weights_of(run) == wanted


def test_at_the_end_of_the_ladder_it_is_an_error(mdctl: Mdctl, fresh: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where even the smallest level runs out, the training ends with what takes less, and leaves nothing behind."""

    def greedy(*_: Any, **__: Any) -> Any:
        raise torch.OutOfMemoryError("no memory left")

    monkeypatch.setattr(training, "learn", greedy)
    said = mdctl("train", "golf", "--steps", "2", *QUICK)
    assert said.code == 7
    assert "MD-VRAM" in said.err


def weights_of(run: Run) -> dict[str, bytes]:
    """The files of a run's last save."""
    save = run.saves()[-1]
    return {name: save.read(name) for name in save.files}


class Card:
    """A GPU as far as a plan asks for it."""

    type = "cuda"


@pytest.fixture
def card(monkeypatch: pytest.MonkeyPatch) -> dict[str, float]:
    """What is free on a card that is not there."""
    memory = {"free": 30e9, "most": 0.0}
    monkeypatch.setattr(machine, "describe", lambda _: "a card")
    monkeypatch.setattr(machine, "free_bytes", lambda _: memory["free"])
    monkeypatch.setattr(machine, "limit", lambda _, most: memory.update(most=most))
    return memory


@pytest.mark.usefixtures("capsys")
def test_the_plan_of_a_card(run: Run, card: dict[str, float], monkeypatch: pytest.MonkeyPatch, mdctl: Mdctl) -> None:
    """The fastest level that fits; a card too small is refused before anything is loaded, with sizes that would fit."""
    folder = weights.find(run.settings["model"]["name"])[1]
    settings = TrainSettings(rank=2, steps=6)
    peaks = {level: fitting.footprint(folder, shape(run), settings, 2, "fp32", level).peak for level in fitting.WORDS}
    assert [*peaks.values()] == sorted(peaks.values(), reverse=True)
    monkeypatch.setattr("mdctl.motion.plan.OVERHEAD", 0.0)

    def chosen(free: float, vram: str = "auto", recompute: bool | None = None) -> fitting.Fit:
        card["free"] = free
        asked = TrainSettings(rank=2, steps=6, recompute=recompute)
        return fitting.fit(run, asked, folder, Card(), "fp32", vram)

    mdctl("list")  # a face to speak with
    assert chosen(1e9).level == "none"
    assert chosen(1e9, recompute=True).level == "light"
    assert chosen(peaks["middle"]).level == "middle"
    assert chosen(1e9, recompute=False).level == "none"
    assert chosen(peaks["middle"], recompute=False).level == "middle"  # a run that began with room goes on without
    assert chosen(1e12, vram="8").level == "none"
    assert card["most"] == 7 * fitting.GIB
    with pytest.raises(NoSpace, match="not enough GPU memory") as caught:
        chosen(peaks["full"] - 1)
    assert caught.value.code == "MD-VRAM"
    assert caught.value.saved == "nothing was loaded."


@pytest.mark.usefixtures("capsys")
def test_the_plan_of_a_look(run: Run, card: dict[str, float], monkeypatch: pytest.MonkeyPatch, mdctl: Mdctl) -> None:
    """It is that of a look's own step, and kept under a name of its own; frames are no part of what would fit."""
    folder, settings = weights.find(run.settings["model"]["name"])[1], TrainSettings(rank=2, steps=6)
    frozen = {**run.settings, "clips": {**run.settings["clips"], "width": 128, "height": 128}}
    monkeypatch.setattr("mdctl.motion.plan.OVERHEAD", 0.0)

    def chosen(learns: str, free: float = 1e9) -> fitting.Fit:
        card["free"] = free
        return fitting.fit(Draft("pot", {**frozen, "learns": learns}), settings, folder, Card(), "fp32", "auto")

    mdctl("list")  # a face to speak with
    needed = chosen("appearance").predicted
    assert needed
    assert chosen("appearance", needed).level == "none"
    with pytest.raises(NoSpace, match="at 128x128, 4 frames"):
        chosen("motion", needed)
    assert chosen("motion").key != chosen("appearance").key
    with pytest.raises(NoSpace, match=r"at 128x128\.") as caught:
        chosen("appearance", 1e6)
    assert caught.value.fix[0].startswith("mdctl new pot-small CLIPS... --size 64x64 --appearance    takes")


@pytest.mark.parametrize(("kind", "levels"), [("cpu", "none none full"), ("mps", "full none full")])
def test_without_a_card_it_is_all_or_nothing(run: Run, card: dict[str, float], kind: str, levels: str) -> None:
    """Open, it is nothing on a CPU and all on another device; what was asked for holds."""
    device, folder = Card(), weights.find(run.settings["model"]["name"])[1]
    device.type = kind
    asked = [TrainSettings(rank=2, steps=6, recompute=recompute) for recompute in (None, False, True)]
    assert [fitting.fit(run, one, folder, device, "fp32", "auto").level for one in asked] == levels.split()


def shape(run: Run) -> Any:
    """The shape of a run's clips."""
    from mdctl.settings import Shape

    return Shape(**run.settings["clips"])


def test_the_last_time_is_the_next_estimate(mdctl: Mdctl, fresh: Project) -> None:
    """A training that was long enough leaves its pace, and the plan of the next one tells the time."""
    assert mdctl("train", "golf", "--steps", "6", *QUICK).code == 0
    assert json.loads(paces.file().read_text())
    assert mdctl("train", "golf", "--steps", "6", *QUICK, "--fresh").code == 0
    (plan,) = [record for record in fresh.runs()[-1].events() if record["event"] == "plan"]
    assert plan["seconds"] >= 0
    assert plan["recompute"] == "none"


def test_looks_alone_have_a_pace_of_their_own(home: Path) -> None:
    """Steps in which only looks are learned are counted by it, those of an appearance all; what is unknown is None."""
    fit = fitting.Fit("none", {})
    motion: dict[str, Any] = {"learns": "motion", "train": {"steps": 12, "spatial_first": 0.25}}
    assert fit.seconds(motion, 0) is None
    fitting.remember(fit, fitting.Paces(deque([2.0] * 9), deque([0.5] * 3)), 1.4)
    assert [fit.seconds(motion, stands) for stands in (0, 2, 5, 12)] == [19.5, 18.5, 14.0, 0.0]
    assert fit.seconds({**motion, "learns": "appearance"}, 4) == 4.0
    assert fit.needed == 1.4e9
    paces.note({"level": "light"}, s_per_step=2.0)  # by an mdctl that did not tell them apart
    assert fitting.Fit("light", {}).seconds(motion, 0) == 24.0
    assert fitting.Fit("light", {}).seconds({**motion, "learns": "appearance"}, 0) is None
    other = fitting.Fit("full", {})
    fitting.remember(other, fitting.Paces(deque(), deque([0.5] * 6)), 1.4)
    assert other.seconds(motion, 0) is None
    assert other.seconds({**motion, "learns": "appearance"}, 0) == 6.0


@pytest.mark.parametrize("text", ["", "[]", "{", '{"a": 1}', '{"{}": {"s_per_step": "x", "peak_gb": true}}'])
def test_a_damaged_file_of_paces_is_an_empty_one(text: str, home: Path) -> None:
    """It may be deleted or broken at any moment, and is written again."""
    paces.file().parent.mkdir(parents=True)
    paces.file().write_text(text)
    assert paces.known({}) == {}
    paces.note({}, s_per_step=1.5)
    assert paces.known({}) == {"s_per_step": 1.5}
