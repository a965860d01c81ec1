"""`train --dry-run`: every setting with its origin, what the training will take, and what would fit in its place."""

import json
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
import torch
from stage import QUICK, Mdctl, tree

from mdctl.motion import device as machine
from mdctl.settings import Shape, TrainSettings
from mdctl.workspace import atomic, paces
from mdctl.workspace.project import Project
from mdctl.workspace.runs import Run

DRY = ("train", "golf", "-n", "--json")


def told(mdctl: Mdctl, *more: str) -> dict[str, Any]:
    """What a dry run says."""
    said = mdctl(*DRY, *more)
    assert said.code == 0, said.err
    found: dict[str, Any] = json.loads(said.out)
    return found


# --- Settings


def test_every_setting_has_an_origin(mdctl: Mdctl, fresh: Project, template: Callable[[str, str], str]) -> None:
    """None is left out, and each is named after what it was taken from, those that nobody gave too."""
    template("mine", "[train]\nbeta = 0.5\nseed = 4\n")
    fresh.set("train.seed", 8)
    found = told(mdctl, "--template", "mine", "--rank", "2", "--precision", "auto")
    named = {field.name for kind in (Shape, TrainSettings) for field in fields(kind)}
    assert set(found["origin"]) == named == {*found["clips"], *found["train"]}
    wanted = {"rank": "flag", "seed": "golf/project.toml", "beta": "template mine", "dropout": "built-in"}
    wanted |= {"steps": "clips", "weight_decay": "clips", "frames": "golf/project.toml", "threads": "computer"}
    wanted |= {"precision": "device", "recompute": "device", "learning_rate": "built-in"}
    assert found["origin"] | wanted == found["origin"]
    assert (found["train"]["precision"], found["train"]["recompute"]) == ("fp32", False)
    lines = dict(line.split("\t") for line in mdctl("train", "golf", "-n", "--rank", "2").lines)
    assert lines["rank"].split() == ["2", "flag"]
    assert lines["previews"] == "every 50 steps: a monkey is walking"
    assert "previews\tnone" in mdctl("train", "golf", "-n", "--no-preview").lines


def test_what_a_run_has_frozen_comes_from_it(mdctl: Mdctl, golf: Project, run: Run) -> None:
    """Of a run that goes on, and of a new one that sets out from it; what is asked for now is the flag's."""
    found = told(mdctl, "--steps", "9")
    assert found["resume_from"] == run.id
    assert found["origin"].pop("steps") == "flag"
    assert set(found["origin"].values()) == {f"run {run.id}"}
    forked = told(mdctl, "--fork", "1", "--steps", "9", "--lr", "1e-4")
    assert {key for key, source in forked["origin"].items() if source == "flag"} == {"steps", "learning_rate"}
    assert forked["origin"]["rank"] == f"run {run.id}"


# --- What it takes


def test_what_nobody_can_know_is_not_made_up(mdctl: Mdctl, fresh: Project) -> None:
    """Time and memory are those of the last training like it; before the first one there is a word instead."""
    paces.file().unlink()
    line = ("--steps", "6", *QUICK)
    found = told(mdctl, *line)
    assert (found["seconds"], found["memory_gb"], found["fits"]) == (None, None, True)
    lines = dict(line.split("\t") for line in mdctl("train", "golf", "-n", *line).lines)
    assert lines["time"].startswith("not known")
    assert lines["memory"].startswith("not known")
    assert mdctl("train", "golf", *line).code == 0
    found = told(mdctl, *line, "--fresh")
    assert found["seconds"] >= 0
    assert found["memory_gb"] > 0.1
    assert "of the computer's, by the last time" in mdctl("train", "golf", "-n", *line, "--fresh").out
    assert "time\tnone: it is trained already" in mdctl("train", "golf", "-n").lines


@pytest.mark.parametrize("more", [(), ("--shared-spatial", "--save-every", "2")])
def test_the_disk_that_its_saves_take(mdctl: Mdctl, fresh: Project, more: tuple[str, ...]) -> None:
    """No more than is said lies there in the end."""
    line = ("--steps", "6", *QUICK, *more)
    planned = told(mdctl, *line)["disk_mb"]
    assert mdctl("train", "golf", *line, "--no-preview").code == 0
    there = sum(len(content or b"") for content in tree(fresh.runs()[-1].folder / "ckpt").values())
    assert there / 1e6 <= planned <= 1 + 5 * there / 1e6


def test_a_full_disk_is_told_before(mdctl: Mdctl, fresh: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """The settings are shown all the same, then what makes room."""
    monkeypatch.setattr(atomic, "free_bytes", lambda _: 1000)
    said = mdctl(*DRY)
    assert said.code == 7
    assert json.loads(said.out)["fits"] is False
    assert json.loads(said.err.splitlines()[-1])["fix"][0] == "mdctl cache prune --all"


# --- A card


class Card:
    """A GPU as far as a plan asks for it."""

    type = "cuda"


@pytest.fixture
def card(monkeypatch: pytest.MonkeyPatch) -> dict[str, float]:
    """What is free on a card that is not there."""
    memory = {"free": 30e9}
    monkeypatch.setattr(machine, "choose", lambda _: Card())
    monkeypatch.setattr(machine, "describe", lambda _: "a card")
    monkeypatch.setattr(machine, "free_bytes", lambda _: memory["free"])
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda **_: False)
    return memory


def test_the_memory_of_a_card(mdctl: Mdctl, fresh: Project, card: dict[str, float]) -> None:
    """What it takes is planned and told; where that is not there, which settings would fit, and it ends with 7."""
    found = told(mdctl, *QUICK)
    assert found["vram_gb"] >= 0.8
    assert found["fits"] is True
    assert f"about {found['vram_gb']:.1f} GB of 30.0 GB" in mdctl("train", "golf", "-n", *QUICK).out
    card["free"] = 0.5e9
    said = mdctl(*DRY, *QUICK)
    assert said.code == 7
    assert (json.loads(said.out)["fits"], json.loads(said.out)["train"]["rank"]) == (False, 2)
    error = json.loads(said.err.splitlines()[-1])
    assert (error["code"], error["saved"]) == ("MD-VRAM", "nothing was loaded.")
    assert "mdctl train golf --precision bf16 --fresh    takes half for the base model" in error["fix"]
    assert not Path(fresh.folder / "runs").exists()
