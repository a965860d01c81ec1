"""`animate-image`: a picture moves as a motion was learned."""

import shutil
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from stage import FAST, Mdctl, seen, sidecar

from mdctl.cli.create import fitting
from mdctl.errors import NoSpace
from mdctl.workspace import locations
from mdctl.workspace.project import Project
from mdctl.workspace.runs import Run


def test_a_picture_is_animated(mdctl: Mdctl, golf: Project, photos: Path) -> None:
    """Its look is learned once, mixed with the motion, and known the next time."""
    picture = str(photos / "pot_0.png")
    flags = (
        picture,
        "--motion",
        "golf",
        "a clay pot is walking",
        "--image-steps",
        "3",
        "--steps",
        "2",
        "--threads",
        "1",
    )
    said = mdctl("animate-image", *flags, "--seed", "1")
    assert said.code == 0, said.err
    assert "learning the look of pot_0.png" in said.err
    path = Path(said.lines[0])
    assert path.parents[1].name.startswith("pot_0-")
    assert path.parents[1].name.endswith("+golf")
    files = [voice["file"] for voice in sidecar(path)["voices"]]
    assert files == ["temporal.safetensors", "spatial_000.safetensors"]
    (known,) = locations.images().glob("pot_0-*")
    assert Project(known).record.caption == "a clay pot"
    again = mdctl("animate-image", *flags, "--seed", "1", "--keep", "pot")
    assert "is known already" in again.err
    assert Path(again.lines[0]).read_bytes() == path.read_bytes()
    kept = Project.open("pot")
    assert (kept.record.kind, kept.status) == ("appearance", "trained · 3")
    assert mdctl("mix", "--appearance", "pot", "--motion", "golf", *FAST).code == 0


def test_a_damaged_look_is_learned_anew(mdctl: Mdctl, golf: Project, photos: Path) -> None:
    """What lies in the cache may go at any moment, be it the picture or what was learned of it."""
    line = ("animate-image", str(photos / "pot_0.png"), "--motion", "golf", "a clay pot", "--image-steps", "2")
    wanted = seen(mdctl, *line)
    (folder,) = locations.images().glob("pot_0-*")
    shutil.rmtree(folder / "clips")
    assert seen(mdctl, *line) == wanted
    assert Project(folder).fault is None
    for save in Project(folder).runs()[-1].saves():
        (save.folder / "spatial_000.safetensors").write_bytes(b"damaged")
    assert seen(mdctl, *line) == wanted
    assert [run.finished for run in Project(folder).runs()] == [False, True]


def test_a_look_that_breaks_off(mdctl: Mdctl, golf: Project, photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same line goes on; no command knows the look by its name, and one makes a project of the picture."""
    stock = fitting.steps

    def broken(run: Run, *rest: Any) -> Iterator[Any]:
        yield from islice(stock(run, *rest), 1)
        small = f"mdctl new {run.project}-small CLIPS... --size 64x64 --appearance    takes 1 GB"
        raise NoSpace("no room.", fix=(small, f"mdctl train {run.project} --precision int8 --fresh"))

    monkeypatch.setenv("MDCTL_SAVE_EVERY", "1")
    monkeypatch.setattr(fitting, "steps", broken)
    picture = str(photos / "pot_0.png")
    line = ("animate-image", picture, "--motion", "golf", "a clay pot", "--image-steps", "2", *FAST)
    said = mdctl(*line)
    assert said.code == 7
    assert "the save of step 1 is good, and the same line goes on from there" in said.err
    assert "mdctl train" not in said.err
    (folder,) = locations.images().glob("pot_0-*")
    assert f'fix    mdctl new {folder.name}-small "{picture}" --caption "a clay pot" --size 64x64' in said.err
    monkeypatch.setattr(fitting, "steps", stock)
    assert mdctl(*line).code == 0
    (run,) = Project(folder).runs()
    assert [event["step"] for event in run.events() if event["event"] == "step"] == [1, 2]


def test_the_motions_caption_is_the_default_prompt(mdctl: Mdctl, golf: Project, photos: Path) -> None:
    """It is shown, with the advice to name what is in the picture."""
    picture = str(photos / "pot_0.png")
    said = mdctl("animate-image", picture, "--motion", "golf", "--image-steps", "2", "--steps", "1")
    assert said.code == 0, said.err
    assert 'Prompt: "a red square is walking" (the caption of the motion; name what is in the picture' in said.err


def test_what_cannot_be_animated(mdctl: Mdctl, golf: Project, films: Path, tmp_path: Path) -> None:
    """A missing file, a video, no picture at all, a name that is taken."""
    (tmp_path / "text.png").write_text("no picture")
    for flags, code, words in (
        ((str(tmp_path / "none.png"),), 3, "there is no picture"),
        ((str(films / "walk.mp4"),), 4, "mdctl new walk"),
        ((str(tmp_path / "text.png"),), 4, "cannot be animated"),
        ((str(tmp_path / "text.png"), "--keep", "golf"), 2, "exists already"),
    ):
        said = mdctl("animate-image", *flags, "--motion", "golf")
        assert (said.code, words in said.err) == (code, True), said.err
    assert not locations.images().exists()
