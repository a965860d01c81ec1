"""A base model in 8 bits: by the user's word alone, and whatever is learned on it says so."""

from pathlib import Path

import pytest
from stage import QUICK, Mdctl, sidecar

from mdctl.cli.create import fitting
from mdctl.errors import NoSpace
from mdctl.motion import device as machine
from mdctl.motion.lora import card_of
from mdctl.settings import Shape, TrainSettings
from mdctl.workspace import weights
from mdctl.workspace.project import Project
from mdctl.workspace.runs import Run

LINE = ("gen", "golf", "a blue square", "--seed", "0", "--steps", "2")


@pytest.fixture
def rounded(mdctl: Mdctl, fresh: Project) -> Run:
    """The project `golf`, trained on the tiny model in 8 bits, with a preview."""
    fresh.set("gen.steps", 2)
    flags = ("--preview", "a blue square", "--preview-every", "2")
    said = mdctl("train", "golf", "--steps", "2", *QUICK, "--precision", "int8", *flags)
    assert said.code == 0, said.err
    return fresh.runs()[-1]


def test_what_is_learned_on_it_says_so(mdctl: Mdctl, rounded: Run) -> None:
    """In run.toml, in every file of adapters, on the screen, and when videos are made on the base model as it is."""
    assert rounded.settings["train"]["precision"] == "int8"
    save = rounded.saves()[-1]
    files = [name for name in save.files if name.startswith(("temporal", "spatial"))]
    assert len(files) == 3
    assert {card_of(save.read(name), name).base_precision for name in files} == {"int8"}
    assert "in 8 bits" in mdctl("show", "golf").out
    said = mdctl(*LINE)
    assert (said.code, "learned on this base model in 8 bits" in said.err) == (0, True)


def test_its_previews_are_what_gen_makes_on_it(mdctl: Mdctl, rounded: Run, tmp_path: Path) -> None:
    """Beside the weights, which are too coarse to take anything in; merging is refused."""
    (preview,) = rounded.samples.glob("*.mp4")
    again = tmp_path / "again.mp4"
    said = mdctl(*LINE, "--precision", "int8", "-o", str(again))
    assert (said.code, "in 8 bits" in said.err) == (0, False), said.err
    assert again.read_bytes() == preview.read_bytes()
    assert "merged" not in sidecar(again)["settings"]
    said = mdctl(*LINE, "--precision", "int8", "--merged")
    assert (said.code, "--no-merged" in said.err) == (4, True)


def test_a_video_made_again_on_it(mdctl: Mdctl, golf: Project) -> None:
    """That it was merged is not asked for again; who asks for both is told."""
    video = mdctl(*LINE).lines[0]
    assert sidecar(video)["settings"]["merged"]
    said = mdctl("gen", "--from", video, "--precision", "int8")
    assert said.code == 0, said.err
    assert "merged" not in sidecar(said.lines[0])["settings"]
    assert mdctl("gen", "--from", video, "--precision", "int8", "--merged").code == 4


@pytest.mark.usefixtures("capsys")
def test_a_card_too_small_is_told_of_it(run: Run, mdctl: Mdctl, monkeypatch: pytest.MonkeyPatch) -> None:
    """The plan never takes it by itself; where nothing else fits it is named, with what it takes."""
    folder, settings = weights.find(run.settings["model"]["name"])[1], TrainSettings(rank=2, steps=6)
    shape = Shape(**run.settings["clips"])
    wide, narrow = (
        fitting.footprint(folder, shape, settings, 2, precision, "full").peak for precision in ("fp32", "int8")
    )
    assert narrow < 0.9 * wide
    monkeypatch.setattr("mdctl.motion.plan.OVERHEAD", 0.0)
    monkeypatch.setattr(machine, "describe", lambda _: "a card")
    mdctl("list")  # a face to speak with

    class Card:
        type = "cuda"

    for free, offered in ((wide - 1, True), (narrow - 1, False)):
        monkeypatch.setattr(machine, "free_bytes", lambda _, free=free: free)
        with pytest.raises(NoSpace) as caught:
            fitting.fit(run, settings, folder, Card(), "fp32", "auto")
        assert any("--precision int8" in one for one in caught.value.fix) == offered
