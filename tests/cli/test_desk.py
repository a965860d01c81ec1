"""The clip desk: clips split at their cuts, freed of their bars, or linked; and runs that keep to what they saw."""

import shutil
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest
from stage import QUICK, SMALL, Mdctl

from mdctl.cli.create import encoding
from mdctl.cli.keep import sheet
from mdctl.cli.view import shelves
from mdctl.cli.view.look import size
from mdctl.errors import BadInput
from mdctl.media import clips, ffmpeg
from mdctl.media.frames import Frames
from mdctl.settings import Shape
from mdctl.workspace import records
from mdctl.workspace.project import Project
from mdctl.workspace.records import ClipRecord
from mdctl.workspace.runs import Run

Hold = Callable[[Path], None]


def scene(shade: int, count: int) -> Frames:
    """A square that walks before a wall of its own."""
    rows, columns = np.mgrid[:48, :64]
    wall = 40 + shade // 2 * ((rows // (4 + shade // 50) + columns // (3 + shade // 30)) % 2)
    frames = np.repeat(wall.astype(np.uint8)[None, :, :, None], 3, 3).repeat(count, 0)
    for number, frame in enumerate(frames):
        frame[10:30, 2 * number : 2 * number + 20] = (shade, 255 - shade, 90)
    return frames


def filmed(path: Path, frames: Frames) -> Path:
    """A file with these frames, eight a second."""
    path.write_bytes(ffmpeg.encode(frames, 8, format="mp4"))
    return path


@pytest.fixture
def movie(tmp_path: Path) -> Path:
    """Three scenes of 10, 2 and 12 frames in one file."""
    return filmed(tmp_path / "movie.mp4", np.concatenate([scene(220, 10), scene(20, 2), scene(120, 12)]))


@pytest.fixture
def framed(tmp_path: Path) -> Path:
    """A clip with black bars above and below."""
    frames = np.zeros((16, 80, 64, 3), np.uint8)
    frames[:, 16:64] = scene(220, 16)
    return filmed(tmp_path / "framed.mp4", frames)


# --- Scenes


def test_a_clip_becomes_one_for_each_scene(mdctl: Mdctl, movie: Path) -> None:
    """Each is a part of the one copy; the short scene has its reason, and is no failure."""
    said = mdctl("--json", "new", "film", str(movie), "--split", *SMALL)
    assert said.code == 0
    told = [record for record in said.records if record["event"] == "clip"]
    assert [record["status"] for record in told] == ["ok", "left_out", "ok"]
    assert told[1]["reasons"] == ["too short: 2 of 4 frames in 1.2-1.4 s"]
    project = Project.open("film")
    first, second = project.clips
    assert first.file == second.file
    assert [path.name for path in (project.folder / "clips").iterdir()] == [first.file]
    assert first.trim is not None
    assert second.trim is not None
    assert first.trim[1] <= 1.25 < second.trim[0] + 0.3
    assert mdctl("verify", "film").code == 0
    lines = mdctl("clips", "list", "film").lines
    assert len({line.split("\t")[4] for line in lines}) == 2
    assert mdctl("clips", "sheet", "film").code == 0


def test_scenes_are_told_and_counted_once(mdctl: Mdctl, movie: Path) -> None:
    """The table has a line for each; the same line again finds nothing to do; the size is that of one copy."""
    said = mdctl("new", "film", str(movie), "--split", *SMALL)
    assert "Checked 1 clip, 3 scenes" in said.err
    assert f"2 clips, {size(movie.stat().st_size)} copied" in said.err
    assert "left out" in said.err
    again = mdctl("--json", "new", "film", str(movie), "--split", *SMALL)
    assert (again.code, again.records[-1]["status"]) == (0, "nothing_to_do")
    said = mdctl("new", "whole", str(movie), *SMALL)
    assert said.code == 0
    assert mdctl("new", "whole", str(movie), "--split", *SMALL).code == 2


def test_a_cut_inside_the_window_names_the_flag(mdctl: Mdctl, movie: Path) -> None:
    """Where the window has to hold a cut, that is said with what would mend it; elsewhere nothing is."""
    said = mdctl("new", "film", str(movie), "--size", "32x32", "--frames", "16", "-n")
    assert "cuts inside the window" in said.err
    assert "warning: movie.mp4: cuts inside the window. --split makes a clip of each scene" in said.err
    assert "--split" not in mdctl("new", "film", str(movie), *SMALL, "-n").err


def test_a_clip_of_short_scenes_is_left_out(mdctl: Mdctl, movie: Path, films: Path) -> None:
    """It is one failure, whatever the number of its scenes, and its hint comes from the longest of them."""
    long = ("--size", "32x32", "--frames", "14")
    said = mdctl("--json", "new", "film", str(movie), "--split", *long)
    assert said.code == 4
    assert "--frames 12" in said.err
    said = mdctl("--json", "new", "film", str(movie), str(films / "walk.mp4"), "--split", *long)
    assert (said.code, said.records[-1]["failed"]) == (11, ["movie.mp4"])
    assert [clip.name for clip in Project.open("film").clips] == ["walk.mp4"]
    assert mdctl("new", "more", str(movie), str(films / "walk.mp4"), "--split", "--strict", *long).code == 4


def test_scenes_are_added_and_taken_out(mdctl: Mdctl, fresh: Project, movie: Path) -> None:
    """Beside other clips; what is there stays; and the lines that undo it bring the same parts back."""
    assert mdctl("clips", "add", "golf", str(movie), "--split", "--caption", "a square runs").code == 0
    four = Project.open("golf").clips
    assert [clip.name for clip in four] == ["walk.mp4", "other.mp4", "movie.mp4", "movie.mp4"]
    said = mdctl("clips", "add", "golf", str(movie), "--split")
    assert (said.code, said.err.count("is clip 3 already"), said.err.count("is clip 4 already")) == (0, 1, 1)
    assert "is clip 3 already" in mdctl("clips", "add", "golf", str(movie)).err
    assert mdctl("clips", "rm", "golf", "movie.mp4").code == 2
    said = mdctl("clips", "rm", "golf", "3", "4")
    for line in (line for line in said.err.splitlines() if "undoes it" in line):
        words = line.removeprefix("Next:  mdctl ").removesuffix("     undoes it").split('"')
        flat = [word for place, part in enumerate(words) for word in ([part] if place % 2 else part.split())]
        assert mdctl(*flat).code == 0
    assert [clip.trim for clip in Project.open("golf").clips] == [clip.trim for clip in four]


def test_a_run_of_scenes(mdctl: Mdctl, fresh: Project, movie: Path) -> None:
    """Each part has latents of its own, and what changed since the run is told of the right part."""
    mdctl("clips", "add", "golf", str(movie), "--split")
    mdctl("clips", "rm", "golf", "1", "2")
    assert mdctl("train", "golf", "--steps", "2", *QUICK).code == 0
    project = Project.open("golf")
    (run,) = project.runs()
    assert [clip["trim"] for clip in run.settings["clip"]] == [list(clip.trim or ()) for clip in project.clips]
    assert sheet.changes(project, run) == []
    project.set_clips(project.clips[::-1])
    assert sheet.changes(project, run) == ["they are in another order"]
    project.set_clips(project.clips[::-1])
    first, second = (encoding._frames(project, clip, Shape(4, 8, 32, 32), False) for clip in run.settings["clip"])
    assert np.abs(first.astype(int) - second).mean() > 5
    mdctl("clips", "set", "golf", "1", "--trim", "0:00.5-0:01.2")
    mdctl("clips", "rm", "golf", "2")
    told = sheet.changes(Project.open("golf"), run)
    assert len(told) == 2
    assert told[0] == "movie.mp4 is not among them now"
    assert told[1].endswith("in the run, 0.5-1.2 s now")


# --- Bars


def test_bars_are_told_and_cut_off(mdctl: Mdctl, framed: Path) -> None:
    """Without the flag they stay, with a word; with it the crop is kept with the clip."""
    said = mdctl("new", "film", str(framed), *SMALL)
    assert "warning: framed.mp4: black bars, which would be learned too. --crop-bars cuts them off." in said.err
    assert Project.open("film").clips[0].crop is None
    assert "crop" not in (Project.open("film").folder / "clips.toml").read_text()
    said = mdctl("--json", "new", "free", str(framed), "--crop-bars", *SMALL)
    (told,) = [record for record in said.records if record["event"] == "clip"]
    assert told["reasons"] == ["black bars cut off"]
    (clip,) = Project.open("free").clips
    assert clip.crop == tuple(told["crop"])
    assert clip.crop == pytest.approx((0, 16, 64, 48), abs=4)
    assert "bars off" in mdctl("clips", "list", "free").out
    assert "--crop-bars" not in mdctl("new", "plain", str(framed), "--trim", "0-1", "--crop-bars", *SMALL).err


def test_bars_are_set_and_kept(mdctl: Mdctl, framed: Path, films: Path) -> None:
    """Later too; a clip without any is told, and a picture has none."""
    mdctl("new", "film", str(framed), str(films / "walk.mp4"), *SMALL)
    assert mdctl("clips", "set", "film", "1", "--crop-bars").code == 0
    assert Project.open("film").clips[0].crop is not None
    assert "black bars" not in mdctl("clips", "set", "film", "1", "--trim", "0:00-0:01.5").err
    assert mdctl("clips", "set", "film", "1", "--keep-bars", "--trim", "all").code == 0
    assert Project.open("film").clips[0].crop is None
    said = mdctl("clips", "set", "film", "2", "--crop-bars")
    assert (said.code, "walk.mp4 has no black bars" in said.err) == (4, True)


def test_what_is_cut_is_what_is_seen(mdctl: Mdctl, framed: Path) -> None:
    """Training and the sheet see the picture without its bars; what a run has frozen stays as it was."""
    mdctl("new", "film", str(framed), "--crop-bars", *SMALL)
    project = Project.open("film")
    (clip,) = project.clips
    frozen, shape = clip.frozen("a square"), Shape(4, 8, 32, 32)
    assert frozen["crop"] == list(clip.crop or ())
    seen = encoding._frames(project, frozen, shape, False)
    assert seen[:, [0, -1]].mean() > 30
    assert np.array_equal(sheet._shown(project, clip, shape).frames, seen)
    whole = encoding._frames(project, {key: frozen[key] for key in frozen if key != "crop"}, shape, False)
    assert whole[:, [0, -1]].mean() < 10
    assert encoding._part(frozen) != encoding._part({})


def test_a_gallery_shows_no_bars_either(mdctl: Mdctl, framed: Path) -> None:
    """Also of a clip that is too short to be learned from, of which it shows all."""
    mdctl("new", "film", str(framed), "--crop-bars", *SMALL)
    project = Project.open("film")
    for frames in (4, 40):
        seen = shelves._cut(project, project.clips[0], Shape(frames, 8, 32, 32))
        assert len(seen) == min(frames, 16)
        assert seen[:, [0, -1]].mean() > 30


def test_a_run_keeps_its_crop(mdctl: Mdctl, framed: Path, model: Path) -> None:
    """A clip that is cropped later is another to a run that began before."""
    mdctl("new", "film", str(framed), "--crop-bars", "--model", str(model), *SMALL)
    assert mdctl("train", "film", "--steps", "2", *QUICK).code == 0
    project = Project.open("film")
    (run,) = project.runs()
    assert run.settings["clip"][0]["crop"] == list(project.clips[0].crop or ())
    assert sheet.changes(project, run) == []
    mdctl("clips", "set", "film", "1", "--keep-bars")
    (told,) = sheet.changes(Project.open("film"), run)
    assert told.endswith("in the run, not cropped now")


# --- Links


def test_a_linked_clip_is_not_copied(mdctl: Mdctl, framed: Path, unchanged: Hold) -> None:
    """It stays where it is, is told as linked, and can be looked at."""
    unchanged(framed.parent / "framed.mp4")
    said = mdctl("new", "film", str(framed), "--link", *SMALL)
    assert said.code == 0
    assert "linked and not copied" in said.err
    project = Project.open("film")
    (clip,) = project.clips
    assert project.path_of(clip) == framed
    assert not list(project.folder.glob("clips/*"))
    assert clip.sha256 == sha256(framed.read_bytes()).hexdigest()
    assert mdctl("clips", "list", "film").lines[0].endswith("\tlinked")
    assert mdctl("clips", "sheet", "film").code == 0
    assert project.status == "new"
    assert mdctl("clips", "add", "film", str(framed), "--link").code == 0
    assert len(Project.open("film").clips) == 1


@pytest.mark.parametrize("how", ["gone", "edited"])
def test_a_linked_clip_that_is_gone_or_edited(
    mdctl: Mdctl, golf: Project, run: Run, tmp_path: Path, films: Path, how: str, unchanged: Hold
) -> None:
    """It is named, with the lines that add it again; what was learned before stays (C16)."""
    path = Path(shutil.copy(films / "short.mp4", tmp_path / "mine.mp4"))
    filmed(path, scene(150, 10))
    assert mdctl("clips", "add", "golf", str(path), "--link").code == 0
    unchanged(run.folder)
    path.unlink()
    if how == "edited":
        filmed(path, scene(90, 12))
    said = mdctl("train", "golf", "--fresh", "--steps", "1", *QUICK)
    assert (said.code, "MD-CLIP-CHANGED" in said.err) == (4, True), said.err
    assert "the clip 'mine.mp4' of 'golf' is" in said.err
    assert "mdctl clips rm golf 3" in said.err
    assert len(golf.runs()) == 1
    assert ("needs attention" in mdctl("list").out) == (how == "gone")
    filmed(path, scene(90, 12))
    assert mdctl("clips", "add", "golf", str(path), "--link").code == 0
    assert mdctl("clips", "rm", "golf", "3").code == 0
    assert mdctl("train", "golf", "--fresh", "--steps", "1", *QUICK).code == 0


def test_what_is_not_linked(mdctl: Mdctl, films: Path, tmp_path: Path) -> None:
    """A name of bytes that no document can hold; a copy of it is made all the same."""
    path = tmp_path / "clip\udcff.mp4"
    shutil.copy(films / "walk.mp4", path)
    said = mdctl("new", "film", str(path), "--link", *SMALL)
    assert (said.code, "leave --link out" in said.err) == (4, True)
    assert mdctl("new", "film", str(path), *SMALL).code == 0


# --- The document


def test_what_clips_toml_says(tmp_path: Path) -> None:
    """A clip without crop and link is written as ever; with them it is read as it was written."""
    plain = ClipRecord("a" * 64, f"{'a' * 12}.mp4", "a.mp4", "/a.mp4", "", None, 1, 2, 3, 8.0, 1.0)
    records.write_clips(tmp_path, [plain])
    text = (tmp_path / records.CLIPS).read_text()
    assert "crop" not in text
    assert "linked" not in text
    other = ClipRecord(**{**vars(plain), "crop": (0, 2, 64, 40), "linked": True, "trim": (0.5, 1.0)})
    records.write_clips(tmp_path, [plain, other])
    assert records.read_clips(tmp_path) == (plain, other)


@pytest.mark.parametrize("line", ["crop = [0, 1, 2]", "crop = [0, 0, 0, 4]", "crop = [0, 0.5, 2, 2]", "linked = 1"])
def test_what_clips_toml_may_not_say(tmp_path: Path, line: str) -> None:
    """A crop is four numbers of pixels, and linked is a word."""
    plain = ClipRecord("a" * 64, f"{'a' * 12}.mp4", "a.mp4", "/a.mp4", "", None, 1, 2, 3, 8.0, 1.0)
    records.write_clips(tmp_path, [plain])
    path = tmp_path / records.CLIPS
    path.write_text(f"{path.read_text()}{line}\n")
    with pytest.raises(BadInput):
        records.read_clips(tmp_path)


def test_a_search_sees_the_scenes(movie: Path) -> None:
    """What the command tells is what the search finds."""
    found = clips.split(movie, num_frames=4, fps=8, width=32, height=32)
    assert [one.status for one in found] == ["ok", "left_out", "ok"]
