"""`gen`: which save a video is made from, and what happens where there is none that can be used."""

import json
import os
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load, save
from stage import QUICK, SMALL, Mdctl, sidecar

from mdctl.workspace.project import Project
from mdctl.workspace.runs import Run

FAST = ("--steps", "1", "--threads", "1")


def test_not_trained_yet(mdctl: Mdctl, fresh: Project) -> None:
    """The command that trains it is offered."""
    said = mdctl("gen", "golf", "a red square")
    assert said.code == 3
    assert "fix    mdctl train golf" in said.err
    assert mdctl("gen", "tennis", "a red square").code == 3


def test_a_paused_run(mdctl: Mdctl, golf: Project, run: Run) -> None:
    """Its last save is used, and that is said."""
    run.extend(20)
    said = mdctl("gen", "golf", "a red square", *FAST)
    assert said.code == 0
    assert "'golf' is paused · 6/20; step 6 is used" in said.err


def test_a_newer_run_without_a_save(mdctl: Mdctl, golf: Project, run: Run) -> None:
    """A draft of a save that a killed process left hides no motion that was learned before."""
    newer = Run.create(golf, run.settings)
    (newer.folder / "ckpt" / ".tmp-1").mkdir()
    said = mdctl("gen", "golf", "a red square", *FAST, "-q")
    assert said.code == 0, said.err
    assert sidecar(said.lines[0])["voices"][0]["run"] == run.id


def test_a_damaged_save_is_passed_over(mdctl: Mdctl, golf: Project, run: Run) -> None:
    """The one before is used, which is said and stands in the sidecar."""
    path = run.saves()[-1].folder / "temporal.safetensors"
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    assert mdctl("gen", "golf", "a red square", "--checkpoint", "6", *FAST).code == 10
    said = mdctl("gen", "golf", "a red square", *FAST)
    assert said.code == 0
    assert "step 6 is damaged" in said.err
    assert sidecar(said.lines[0])["voices"][0]["save"] == 4


def test_an_adapter_without_effect(mdctl: Mdctl, golf: Project, run: Run) -> None:
    """A video that only looks as if the motion were in it is never made (E3)."""
    last = run.saves()[-1]
    files = {name: last.read(name) for name in last.files}
    tensors = load(files["temporal.safetensors"])
    for name, tensor in tensors.items():
        if "lora_B" in name:
            tensor.zero_()
    header = files["temporal.safetensors"]
    said_of_itself = json.loads(header[8 : 8 + int.from_bytes(header[:8], "little")])["__metadata__"]
    files["temporal.safetensors"] = save(tensors, said_of_itself)
    run.extend(7)
    run.keep(7, files, last.state)
    said = mdctl("gen", "golf", "a red square", *FAST)
    assert said.code == 10
    assert "MD-LORA-NOEFFECT" in said.err
    assert golf.videos() == []
    assert mdctl("gen", "golf", "a red square", "--strength", "0", *FAST).code == 0


def test_weights_that_are_something_else(mdctl: Mdctl, golf: Project, run: Run) -> None:
    """A save whose file is no adapter, or that of another rank, is refused (E1, E3)."""
    last = run.saves()[-1]
    files = {name: last.read(name) for name in last.files}
    run.extend(8)
    run.keep(7, {**files, "temporal.safetensors": b"\x80\x04pickle"}, last.state)
    assert mdctl("gen", "golf", "a red square", *FAST).code == 10
    wider = files["temporal.safetensors"].replace(b'\\"rank\\": 2', b'\\"rank\\": 4')
    run.keep(8, {**files, "temporal.safetensors": wider}, last.state)
    said = mdctl("gen", "golf", "a red square", *FAST)
    assert said.code == 10
    assert "MD-LORA-MISFIT" in said.err


def test_a_full_disk_leaves_no_half_video(mdctl: Mdctl, golf: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """When the sidecar does not fit any more, the video goes too: a video always tells how it was made."""
    real = os.write

    def full(descriptor: int, data: Any) -> int:
        if b'"schema"' in bytes(data):
            raise OSError(28, "No space left on device")
        return real(descriptor, data)

    monkeypatch.setattr("os.write", full)
    said = mdctl("gen", "golf", "a red square", *FAST)
    assert said.code == 7
    assert "the disk is full" in said.err
    assert [path for path in golf.outputs.iterdir() if path.name[0] != "."] == []


def test_one_clip_takes_the_same_way(mdctl: Mdctl, films: Path, model: Path) -> None:
    """A project of one clip, with one shared look, in 16 bits, goes from clip to video."""
    assert mdctl("new", "one", str(films / "walk.mp4"), "--model", str(model), *SMALL).code == 0
    assert mdctl("train", "one", "--steps", "1", "--shared-spatial", "--precision", "bf16", *QUICK).code == 0
    said = mdctl("gen", "one", "a red square", "--precision", "bf16", *FAST)
    assert said.code == 0
    assert sidecar(said.lines[0])["precision"] == "bf16"
