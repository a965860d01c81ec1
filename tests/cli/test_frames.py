"""`--format frames`: a video as a folder of PNGs, whole or absent, with its record beside it."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from stage import Mdctl, tree

from mdctl.errors import NoSpace
from mdctl.workspace import atomic, locations
from mdctl.workspace.project import Project

MADE = ("gen", "golf", "a red square", "--steps", "1", "--threads", "1", "--format", "frames")


def test_a_folder_of_pngs(mdctl: Mdctl, golf: Project) -> None:
    """Every frame is there, without loss, in order; the record beside it makes it again, equal bit for bit."""
    said = mdctl(*MADE, "--seed", "3")
    (folder,) = map(Path, said.lines)
    assert [path.name for path in sorted(folder.iterdir())] == ["000.png", "001.png", "002.png", "003.png"]
    assert np.asarray(Image.open(folder / "000.png")).shape == (32, 32, 3)
    record = json.loads(folder.with_suffix(".json").read_text())
    assert (record["video"], record["seed"]) == (folder.name, 3)
    for word in (str(folder), f"{folder}.json", "last"):
        assert mdctl("gen", "--from", word, "--check").code == 0


def test_a_name_of_ones_own(mdctl: Mdctl, golf: Project, tmp_path: Path) -> None:
    """-o names the folder, or the one that many go into; a taken name is refused, and --force does not help."""
    named = tmp_path / "robot"
    assert mdctl(*MADE, "-o", str(named)).lines == [str(named)]
    before = tree(tmp_path / "robot")
    assert mdctl(*MADE, "-o", f"{tmp_path}/robot.gif").code == 2
    (tmp_path / "taken.json").write_text("{}")
    refused = mdctl(*MADE, "-o", str(tmp_path / "taken"), "--force")
    assert refused.code == 2
    assert "exists" in refused.err
    many = mdctl(*MADE, "-o", f"{tmp_path}/many/", "--count", "2", "--seed", "5")
    assert len(many.lines) == 2
    assert all(Path(line).is_dir() for line in many.lines)
    assert tree(tmp_path / "robot") == before


def test_a_name_with_a_dot(mdctl: Mdctl, golf: Project, tmp_path: Path) -> None:
    """A folder is frames whatever it is called; a name that is taken, as by a check that was killed, gets a number."""
    named = tmp_path / "take.1"
    assert mdctl(*MADE, "-o", str(named)).lines == [str(named)]
    recipe = str(tmp_path / "take.json")
    assert mdctl("gen", "--from", recipe, "--check").code == 0
    left = locations.cache() / "check" / "take.1"
    left.mkdir(parents=True)
    left.with_name("take.json").touch()
    assert mdctl("gen", "--from", recipe, "--check").code == 0


def test_two_formats_share_no_record(mdctl: Mdctl, golf: Project, tmp_path: Path) -> None:
    """The same video as mp4 and as frames in one minute: each has its own .json."""
    line = ("-o", f"{tmp_path}/", "--seed", "7")
    mp4 = mdctl(*MADE[:-2], *line).lines
    frames = mdctl(*MADE, *line).lines
    again = mdctl(*MADE, *line).lines
    records = {Path(path).with_suffix(".json") for path in (*mp4, *frames, *again)}
    assert len(records) == 3
    assert all(record.is_file() for record in records)


def test_a_full_disk_leaves_nothing(
    mdctl: Mdctl, golf: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where a frame cannot be written there is no folder, and no record."""
    write = atomic.write

    def failing(path: Path, data: bytes | str) -> None:
        if path.name == "002.png":
            raise NoSpace("the disk is full.")
        write(path, data)

    monkeypatch.setattr(atomic, "write", failing)
    (tmp_path / "out").mkdir()
    assert mdctl(*MADE, "-o", f"{tmp_path}/out/").code == 7
    assert not list((tmp_path / "out").iterdir())


def test_it_counts_as_a_video(mdctl: Mdctl, golf: Project) -> None:
    """Where videos are counted and shown: `list`, `show`, `gallery`, `verify`, `rm`."""
    (folder,) = map(Path, mdctl(*MADE, "--seed", "3").lines)
    assert golf.videos() == [folder]
    assert [record["videos"] for record in json.loads(mdctl("list", "--json").out)] == [1]
    assert "videos\t1" in mdctl("show", "golf").out
    assert "1 video" in mdctl("verify", "golf").err
    for more in ((), ("--link",)):  # no browser plays a folder, so it lies in the page as an mp4
        said = mdctl("gallery", "golf", "--json", *more)
        assert said.records[-1]["videos"] == 1
        page = Path(said.records[-1]["paths"][0]).read_text()
        assert page.count('class="tiny" aria-label="a red square" src="data:video/mp4;base64,') == 1
    said = mdctl("rm", "golf", "--outputs")
    assert "1 video" in said.err
    assert golf.videos() == []


@pytest.mark.parametrize(
    ("spoil", "why"),
    [
        (lambda folder: (folder / "002.png").unlink(), "3 of its 4 pictures are there"),
        (lambda folder: (folder / "000.png").unlink(), "3 of its 4 pictures are there"),
        (lambda folder: (folder / "001.png").write_bytes(b"no picture"), "cannot identify"),
        (lambda folder: shutil.rmtree(folder) or folder.mkdir(), "there is no picture"),
        (lambda folder: folder.with_suffix(".json").unlink(), "beside it"),
    ],
)
def test_a_damaged_one_is_found(mdctl: Mdctl, golf: Project, spoil: Callable[[Path], object], why: str) -> None:
    """`verify` tells what is wrong, and the gallery shows all that can be shown."""
    (folder,) = map(Path, mdctl(*MADE, "--seed", "3").lines)
    spoil(folder)
    said = mdctl("verify", "golf")
    assert said.code == 10
    assert said.lines[0].split("\t")[1:3] == ["video", str(folder)]
    assert why in said.out
    assert mdctl("gallery", "golf").code == 0


def test_what_is_no_video(mdctl: Mdctl, golf: Project, tmp_path: Path) -> None:
    """A folder of other things, one that is still being made, and a link to one are not counted."""
    (folder,) = map(Path, mdctl(*MADE, "--seed", "3").lines)
    (golf.outputs / "notes").mkdir()
    (golf.outputs / ".tmp-half").mkdir()
    (golf.outputs / ".tmp-half" / "000.png").touch()
    (golf.outputs / "link").symlink_to(folder)
    assert golf.videos() == [folder]
