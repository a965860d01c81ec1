"""A course of training when saves, disks, models or clips are not what they were."""

import shutil
from pathlib import Path

import pytest
import torch
from stage import QUICK, SMALL, Mdctl

from mdctl.workspace import locations
from mdctl.workspace.project import Project
from mdctl.workspace.runs import Run
from mdctl.workspace.saves import Save


def adapters(save: Save) -> dict[str, str]:
    """The hashes of what was learned."""
    return {name: entry.sha256 for name, entry in save.manifest.items() if name.endswith("l.safetensors")} | {
        name: entry.sha256 for name, entry in save.manifest.items() if name.startswith("spatial")
    }


def spoil(save: Save) -> None:
    """Turn one bit of what was learned."""
    path = save.folder / "temporal.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


# --- Saves


def test_a_damaged_save_is_passed_over(mdctl: Mdctl, golf: Project, run: Run) -> None:
    """The one before is used, that is said, and the result is what it would have been (H10)."""
    newest = run.saves()[-1]
    straight = adapters(newest)
    spoil(newest)
    run.extend(7)
    said = mdctl("--json", "train", "golf")
    assert said.code == 0
    assert [record["step"] for record in said.records if record["event"] == "step"] == [5, 6, 7]
    (changed,) = [record for record in said.records if record["event"] == "changed"]
    assert (changed["what"], changed["from"], changed["to"]) == ("save", 6, 4)
    (warning,) = [record for record in said.records if record["event"] == "warning"]
    assert "step 6 is damaged" in warning["text"]
    assert "step 4 is used" in warning["text"]
    assert list(run.folder.glob("ckpt/.damaged-*"))
    (again,) = [save for save in run.saves() if save.step == 6]
    assert adapters(again) == straight


def test_a_missing_save_is_told(mdctl: Mdctl, golf: Project, run: Run) -> None:
    """A newest save that somebody deleted is missed, and the one before is used."""
    shutil.rmtree(run.saves()[-1].folder)
    said = mdctl("train", "golf")
    assert said.code == 0
    assert "the save of step 6 is damaged (it is missing); step 4 is used" in said.err
    assert run.step == 6


@pytest.mark.parametrize("command", [("train", "golf"), ("gen", "golf", "a monkey")])
def test_all_saves_damaged(mdctl: Mdctl, golf: Project, run: Run, command: tuple[str, ...]) -> None:
    """It stops, tells what is wrong, and never begins again at step 0 by itself (H10)."""
    for save in run.saves():
        spoil(save)
    run.extend(9)
    said = mdctl(*command)
    assert said.code == 3
    assert "no save left that can be used" in said.err
    assert "mdctl train golf --fresh" in said.err
    assert said.out == ""
    assert mdctl(*command).code == 3
    assert [found.id for found in golf.runs()] == [run.id]
    assert not run.saves()


def test_a_run_that_cannot_go_on_loses_nothing(mdctl: Mdctl, golf: Project, run: Run) -> None:
    """Where even the log is gone, a clip that is missed costs no save."""
    run.extend(9)
    (run.folder / "events.jsonl").unlink()
    golf.path_of(golf.clips[0]).unlink()
    assert mdctl("train", "golf").code == 3
    assert [save.step for save in Run(run.folder).saves()] == [4, 6]


# --- A run that never began


def test_a_device_that_is_not_there(mdctl: Mdctl, fresh: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run that never began is none: what the project says afterwards counts."""
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    said = mdctl("train", "golf", "--rank", "1", "--seed", "7", "--steps", "3", "--device", "cuda")
    assert said.code == 5
    assert fresh.runs() == []


@pytest.mark.parametrize(
    ("fault", "code"), [(torch.OutOfMemoryError, 7), (KeyboardInterrupt, 130), (ZeroDivisionError, 1)]
)
def test_nothing_comes_of_it(
    mdctl: Mdctl, fresh: Project, monkeypatch: pytest.MonkeyPatch, fault: type[BaseException], code: int
) -> None:
    """Whatever breaks off the loading, no run is left behind."""

    def load(*_: object) -> None:
        raise fault

    monkeypatch.setattr("mdctl.motion.families.load", load)
    assert mdctl("train", "golf", "--steps", "1", *QUICK).code == code
    assert fresh.runs() == []


# --- What it learns from


def test_a_changed_trim_is_refused(mdctl: Mdctl, golf: Project, run: Run, films: Path) -> None:
    """An edit of the clips between two stretches of a run is told, and nothing is learned until it is undone (H9)."""
    path = golf.folder / "clips.toml"
    before = path.read_text()
    path.write_text(before.replace('caption = ""', 'caption = "other"\ntrim = [0.5, 1.5]', 1))
    step = run.step
    said = mdctl("train", "golf", "--steps", "8")
    assert (said.code, run.step) == (4, step)
    assert "0.5" in said.err
    assert "other" in said.err
    path.write_text(before)
    assert mdctl("train", "golf", "--steps", "8").code == 0


def damaged(model: Path, folder: Path, how: str) -> Path:
    """A copy of the tiny model with something wrong."""
    if how == "empty":
        folder.mkdir()
        return folder
    shutil.copytree(model, folder)
    config = folder / "unet" / "config.json"
    if how == "class":
        config.write_text(config.read_text().replace("UNet3DConditionModel", "UNet2DConditionModel"))
    elif how == "list":
        config.write_text("[]")
    elif how == "pickle":
        (folder / "unet" / "diffusion_pytorch_model.safetensors").unlink()
        (folder / "unet" / "diffusion_pytorch_model.bin").write_bytes(b"\x80\x04.")
    elif how == "cut":
        weights = folder / "unet" / "diffusion_pytorch_model.safetensors"
        weights.write_bytes(weights.read_bytes()[:5000])
    return folder


@pytest.mark.parametrize(
    ("how", "code", "words"),
    [
        ("empty", 4, "no text-to-video model"),
        ("class", 4, "UNet2DConditionModel"),
        ("list", 4, "no text-to-video model"),
        ("pickle", 10, "safetensors"),
        ("cut", 10, "cannot be loaded"),
    ],
)
def test_a_wrong_model_folder(
    mdctl: Mdctl, fresh: Project, model: Path, tmp_path: Path, how: str, code: int, words: str
) -> None:
    """Empty, of another class, unreadable, pickled, cut off: each is told, and no run is left behind (E5)."""
    said = mdctl("train", "golf", "--steps", "1", "--model", str(damaged(model, tmp_path / "bad", how)), *QUICK)
    assert said.code == code
    assert words in said.err
    assert "Traceback" not in said.err
    assert fresh.runs() == []


def test_the_model_has_changed(mdctl: Mdctl, films: Path, model: Path, tmp_path: Path) -> None:
    """A run goes on with the model it began with, or not at all; a video neither."""
    mine = shutil.copytree(model, tmp_path / "mine")
    assert mdctl("new", "golf", str(films / "walk.mp4"), "--model", str(mine), *SMALL).code == 0
    assert mdctl("train", "golf", "--steps", "1", *QUICK).code == 0
    config = mine / "scheduler" / "scheduler_config.json"
    config.write_text(config.read_text().replace("0.012", "0.013"))
    said = mdctl("train", "golf", "--steps", "2")
    assert said.code == 4
    assert "MD-MODEL-CHANGED" in said.err
    assert "its saves up to step 1 are untouched" in said.err
    said = mdctl("gen", "golf", "a monkey")
    assert said.code == 4
    assert "MD-MODEL-CHANGED" in said.err
    shutil.rmtree(mine)
    assert mdctl("train", "golf").code == 3
    assert mdctl("gen", "golf", "a monkey").code == 3


def test_a_clip_that_is_gone(mdctl: Mdctl, fresh: Project) -> None:
    """It is named."""
    fresh.path_of(fresh.clips[0]).unlink()
    said = mdctl("train", "golf", "--steps", "1", *QUICK)
    assert said.code == 3
    assert "the clip 'walk.mp4' of 'golf' is gone" in said.err


@pytest.mark.parametrize("cached", [True, False])
def test_a_clip_that_was_edited(mdctl: Mdctl, fresh: Project, cached: bool) -> None:
    """It is named and not learned from, nor are its latents kept for others; with the original all is well again."""
    clip, other = (fresh.path_of(clip) for clip in fresh.clips)
    if not cached:
        shutil.rmtree(locations.latents())
    original = clip.read_bytes()
    clip.write_bytes(other.read_bytes())
    said = mdctl("train", "golf", "--steps", "1", *QUICK)
    assert said.code == 4
    assert "the clip 'walk.mp4' of 'golf' is not what it was" in said.err
    assert f"copy the original to that place again: {fresh.clips[0].source}" in said.err
    assert cached or not list(locations.latents().glob("*"))
    clip.write_bytes(original)
    assert mdctl("train", "golf", "--steps", "1", *QUICK).code == 0


def test_a_clip_that_is_too_short_by_now(mdctl: Mdctl, fresh: Project) -> None:
    """Settings that were changed after `new` may ask for more frames than there are."""
    fresh.set("clips.frames", 99)
    said = mdctl("train", "golf", "--steps", "1", *QUICK)
    assert said.code == 4
    assert "the clip 'walk.mp4' of 'golf' cannot be used like this" in said.err
    assert "too short" in said.err
