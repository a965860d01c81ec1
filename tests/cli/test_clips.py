"""`clips`: what a project learns from, looked at, added to and changed."""

import io
import json
import shutil
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from stage import QUICK, SMALL, Mdctl, tree

from mdctl.cli.create import encoding
from mdctl.cli.keep import sheet
from mdctl.media import ffmpeg
from mdctl.media.frames import Frames
from mdctl.settings import Shape
from mdctl.workspace import locations
from mdctl.workspace.project import Project
from mdctl.workspace.runs import Run

Hold = Callable[[Path], None]


@pytest.fixture
def film(tmp_path: Path) -> Path:
    """A clip of two seconds that `golf` does not have: a square that falls."""
    frames = np.full((16, 48, 64, 3), 90, np.uint8)
    for number, frame in enumerate(frames):
        frame[2 * number : 2 * number + 16, 20:40] = (10, 200, 60)
    path = tmp_path / "fall.mp4"
    path.write_bytes(ffmpeg.encode(frames, 8, format="mp4"))
    return path


@pytest.fixture
def paused(golf: Project, run: Run) -> Run:
    """A run of `golf` that has steps left."""
    run.extend(20)
    return run


# --- What there is


def test_the_clips_of_a_project(mdctl: Mdctl, golf: Project, home: Path, unchanged: Hold) -> None:
    """Each has a number; --json tells where its copy lies and what is said of it."""
    unchanged(home)
    first, second = mdctl("clips", "list", "golf").lines
    assert first.split("\t")[:5] == ["1", "walk.mp4", "2.0 s", "64x48  8 fps", "all of it"]
    assert second.split("\t")[:2] == ["2", "other.mp4"]
    assert mdctl("clips", "list", "golf", "-q").lines == ["walk.mp4", "other.mp4"]
    told = json.loads(mdctl("clips", "list", "golf", "--json").out)
    assert [Path(clip["path"]) for clip in told] == [golf.path_of(clip) for clip in golf.clips]
    assert told[0]["caption"] == "a red square is walking"
    assert mdctl("clips", "list", "gulf").code == 3


# --- What is added


def test_more_clips(mdctl: Mdctl, golf: Project, film: Path, unchanged: Hold) -> None:
    """They are looked at as by `new`, copied by content, and the original stays."""
    unchanged(film.parent / "fall.mp4")
    said = mdctl("clips", "add", "golf", str(film), "--caption", " a square  falls ", "--trim", "0:00.5-0:02")
    assert said.code == 0, said.err
    assert "4 frames, 0.5-1.0 s" in said.err
    assert "mdctl train golf --fresh" in said.err
    clip = Project.open("golf").clips[2]
    assert (clip.name, clip.caption, clip.trim) == ("fall.mp4", "a square falls", (0.5, 2.0))
    assert golf.path_of(clip).read_bytes() == film.read_bytes()


def test_some_of_them_cannot_be_used(mdctl: Mdctl, golf: Project, films: Path, film: Path) -> None:
    """Each is told, those that are there already stay as they are, and what is left out makes it 11."""
    said = mdctl("--json", "clips", "add", "golf", str(films / "*.mp4"), str(film))
    assert said.code == 11
    assert {one["name"]: one["status"] for one in said.records if one["event"] == "clip"} == {
        "walk.mp4": "ok",
        "other.mp4": "ok",
        "short.mp4": "left_out",
        "fall.mp4": "ok",
    }
    assert (said.records[-1]["status"], said.records[-1]["failed"]) == ("partial", ["short.mp4"])
    assert [clip.name for clip in Project.open("golf").clips] == ["walk.mp4", "other.mp4", "fall.mp4"]
    said = mdctl("clips", "add", "golf", str(film))
    assert (said.code, "fall.mp4 is clip 3 already" in said.err) == (0, True)


def test_what_is_not_added(mdctl: Mdctl, golf: Project, films: Path, film: Path, unchanged: Hold) -> None:
    """Nothing that fits, a plan, a strict look, a folder, a pattern without a match."""
    unchanged(golf.folder)
    for flags, code in (
        ((str(films / "short.mp4"),), 4),
        ((str(film), "--dry-run"), 0),
        ((str(film), str(films / "short.mp4"), "--strict"), 4),
        ((str(films),), 4),
        ((str(films / "*.mov"),), 3),
        ((str(film), str(films / "walk.mp4"), "--trim", "0:01-0:02"), 2),
    ):
        assert mdctl("clips", "add", "golf", *flags).code == code, flags


# --- What is taken out and changed


def test_a_clip_is_taken_out(mdctl: Mdctl, golf: Project, film: Path) -> None:
    """By number or name; its copy stays for old runs, and the line that adds it again works."""
    mdctl("clips", "add", "golf", str(film))
    gone = Project.open("golf").clips[2]
    film.unlink()
    said = mdctl("clips", "rm", "golf", "fall.mp4", "2")
    assert said.code == 0, said.err
    project = Project.open("golf")
    assert [clip.name for clip in project.clips] == ["walk.mp4"]
    assert project.path_of(gone).is_file()
    (line,) = [line for line in said.err.splitlines() if "undoes it" in line]
    words = line.removeprefix("Next:  mdctl ").removesuffix("     undoes it").replace('"', "").split()
    assert mdctl(*words).code == 0
    assert {clip.sha256 for clip in Project.open("golf").clips} == {clip.sha256 for clip in [*golf.clips, gone]}


@pytest.mark.parametrize(
    ("which", "code", "words"),
    [
        (("1", "2"), 4, "would be left without a clip"),
        (("3",), 3, "it has 1 walk.mp4, 2 other.mp4"),
        (("0",), 3, "has no clip '0'"),
        (("walk",), 3, "mdctl clips list golf"),
        (("\N{SUPERSCRIPT TWO}",), 3, "has no clip"),
    ],
)
def test_what_cannot_be_taken_out(
    mdctl: Mdctl, golf: Project, unchanged: Hold, which: tuple[str, ...], code: int, words: str
) -> None:
    """The last clip stays, and a clip that is not there is told with those that are."""
    unchanged(golf.folder)
    said = mdctl("clips", "rm", "golf", *which)
    assert (said.code, words in said.err) == (code, True), said.err


def test_a_part_and_a_caption(mdctl: Mdctl, golf: Project) -> None:
    """Both can be set and taken back; order and the other clips stay."""
    said = mdctl("clips", "set", "golf", "2", "--trim", "0:01-0:02", "--caption", "a square runs")
    assert said.code == 0, said.err
    first, second = Project.open("golf").clips
    assert (first, second.name, second.trim, second.caption) == (
        *(golf.clips[0], "other.mp4"),
        *((1.0, 2.0), "a square runs"),
    )
    assert mdctl("clips", "list", "golf").lines[1].split("\t")[4:6] == ["1-2 s", "a square runs"]
    assert mdctl("clips", "set", "golf", "other.mp4", "--trim", "all", "--caption", "").code == 0
    assert Project.open("golf").clips == golf.clips


@pytest.mark.parametrize(
    ("flags", "code"),
    [
        (("1",), 2),
        (("1", "--trim", "0:03-0:04"), 4),
        (("1", "--trim", "0:01.8-0:02"), 4),
        (("1", "--trim", "later"), 2),
        (("3", "--caption", "x"), 3),
    ],
)
def test_what_cannot_be_set(mdctl: Mdctl, golf: Project, unchanged: Hold, flags: tuple[str, ...], code: int) -> None:
    """A part that is too short or not there, and a clip that is not there."""
    unchanged(golf.folder)
    assert mdctl("clips", "set", "golf", *flags).code == code


def test_pictures(mdctl: Mdctl, films: Path, tmp_path: Path) -> None:
    """They have no parts, no place among clips of a motion, and stand beside one another on a sheet."""
    for number in range(9):
        Image.new("RGB", (40, 40), (25 * number, 90, 200)).save(tmp_path / f"{number}.png")
    assert mdctl("new", "blue", str(tmp_path / "[0-7].png"), "--size", "32x32").code == 0
    assert mdctl("clips", "add", "blue", str(tmp_path / "8.png")).code == 0
    said = mdctl("clips", "set", "blue", "1", "--trim", "0-1")
    assert (said.code, "has no parts" in said.err) == (4, True)
    said = mdctl("clips", "sheet", "blue", "-q")
    with Image.open(said.lines[0]) as image:
        assert image.width > 8 * 128
        assert image.height < 400
    mdctl("new", "walk", str(films / "walk.mp4"), *SMALL)
    assert mdctl("clips", "add", "walk", str(tmp_path / "8.png")).code == 4


# --- A run is bound to its clips


@pytest.mark.parametrize("line", ["rm golf 2", "add golf FILM", "set golf 1 --trim 1-2"])
def test_a_paused_run_whose_clips_changed(mdctl: Mdctl, golf: Project, paused: Run, film: Path, line: str) -> None:
    """It does not go on with others; its saves stay; taken back, or begun afresh, training works (H9)."""
    assert mdctl("clips", *line.replace("FILM", str(film)).split()).code == 0
    before = tree(paused.folder)
    said = mdctl("train", "golf")
    assert said.code == 4
    assert "was made with other settings" in said.err
    assert "clips: " in said.err
    assert "its saves up to step 6 are untouched" in said.err
    assert "mdctl train golf --fresh" in said.err
    assert tree(paused.folder) == before
    golf.set_clips(golf.clips)
    assert mdctl("train", "golf", "--dry-run").code == 0
    assert mdctl("gen", "golf", "a monkey", "--steps", "1", "--follow", "0.3", "--threads", "1").code == 0


def test_a_video_that_follows_a_clip_that_was_taken_out(mdctl: Mdctl, golf: Project) -> None:
    """Its copy is still there, and its noise can be found anew."""
    assert mdctl("clips", "rm", "golf", "1").code == 0
    shutil.rmtree(locations.cache())
    said = mdctl("gen", "golf", "a monkey", "--steps", "1", "--follow", "0.3", "--threads", "1")
    assert said.code == 0, said.err


def test_how_clips_differ_from_those_of_a_run(mdctl: Mdctl, golf: Project, paused: Run, film: Path) -> None:
    """What is gone, new, cut or told otherwise, or in another order; the project's own caption is for the next run."""
    assert sheet.changes(golf, paused) == []
    golf.set("caption", "another")
    assert sheet.changes(Project.open("golf"), paused) == []
    golf.set_clips(golf.clips[::-1])
    assert sheet.changes(golf, paused) == ["they are in another order"]
    golf.set_clips(golf.clips[::-1])
    mdctl("clips", "set", "golf", "1", "--trim", "1-2", "--caption", "a square runs")
    mdctl("clips", "add", "golf", str(film))
    mdctl("clips", "rm", "golf", "2")
    assert sheet.changes(Project.open("golf"), paused) == [
        "other.mp4 is not among them now",
        "fall.mp4 is new",
        "walk.mp4: all of it in the run, 1-2 s now",
        'walk.mp4: "a red square is walking" in the run, "a square runs" now',
    ]


def test_a_fresh_run_of_changed_clips(mdctl: Mdctl, golf: Project, paused: Run, film: Path) -> None:
    """The old run keeps its clips, the new one begins with those of now."""
    mdctl("clips", "add", "golf", str(film))
    assert mdctl("train", "golf", "--fresh", "--steps", "1", *QUICK).code == 0
    old, new = Project.open("golf").runs()
    assert (old.id, len(old.settings["clip"]), len(new.settings["clip"])) == (paused.id, 2, 3)


# --- The sheet


def cells(picture: bytes, top: int, size: int, number: int) -> Frames:
    """The frames of one row of a sheet, read back at their own size."""
    with Image.open(io.BytesIO(picture)) as image:
        drawn = np.asarray(image.convert("RGB"))
    step = 128 // size
    return np.stack([drawn[top : top + 128 : step, 8 + 130 * n : 8 + 130 * n + 128 : step] for n in range(number)])


def test_the_sheet_is_what_training_sees(mdctl: Mdctl, golf: Project, run: Run, unchanged: Hold) -> None:
    """Pixel for pixel the frames that are encoded, also of a part; and the picture lies where it is told."""
    unchanged(run.folder)
    golf.set_clips([golf.clips[0], golf.clips[1].__class__(**{**vars(golf.clips[1]), "trim": (0.5, 2.0)})])
    said = mdctl("clips", "sheet", "golf")
    assert said.lines == [str(golf.folder / "clips.png")]
    picture = Path(said.lines[0]).read_bytes()
    top = 8 + 18 + 8  # margin and heading
    for number, clip in enumerate(Project.open("golf").clips):
        top += 14 + 6  # the label
        frozen = {"sha256": clip.sha256, "name": clip.name, **({"trim": list(clip.trim)} if clip.trim else {})}
        seen = encoding._frames(golf, frozen, Shape(4, 8, 32, 32), False)
        assert np.array_equal(cells(picture, top, 32, 4), seen), number
        top += 128 + 8


def test_a_sheet_under_other_settings(mdctl: Mdctl, golf: Project, run: Run, tmp_path: Path) -> None:
    """All frames are drawn, eight in a row; that a run learns from something else is told."""
    file = tmp_path / "golf-12.png"
    said = mdctl("clips", "sheet", "golf", "--frames", "12", "--size", "48x32", "-o", str(file))
    assert (said.code, said.lines) == (0, [str(file)])
    assert f"run {run.id} learns from something else: frames 4 and not 12; width 32 and not 48" in said.err
    with Image.open(file) as image:
        assert image.width == 2 * 8 + 8 * (192 + 2) - 2
    assert "something else" not in mdctl("clips", "sheet", "golf").err


def test_a_sheet_of_what_fits(mdctl: Mdctl, golf: Project, films: Path) -> None:
    """A clip that would be left out is told; when none is left, there is no sheet."""
    mdctl("new", "mixed", str(films / "walk.mp4"), str(films / "short.mp4"), "--size", "32x32", "--frames", "3")
    said = mdctl("clips", "sheet", "mixed", "--frames", "4")
    assert said.code == 11
    assert "short.mp4 cannot be used like this: too short: 3 of 4 frames" in said.err
    said = mdctl("clips", "sheet", "mixed", "--frames", "64")
    assert (said.code, "no clip of 'mixed' can be used like this" in said.err) == (4, True)


def test_where_a_sheet_goes(mdctl: Mdctl, golf: Project, tmp_path: Path) -> None:
    """Nothing is replaced without --force, which keeps the old one in the trash; a folder will do."""
    file = tmp_path / "golf-clips.png"
    file.write_bytes(b"mine")
    assert mdctl("clips", "sheet", "golf", "-o", str(tmp_path)).code == 2
    assert mdctl("clips", "sheet", "golf", "-o", str(tmp_path / "x.jpg")).code == 2
    assert file.read_bytes() == b"mine"
    assert mdctl("clips", "sheet", "golf", "-o", str(tmp_path), "--force").code == 0
    assert [old.read_bytes() for old in locations.trash().iterdir()] == [b"mine"]
    with Image.open(file) as image:
        assert image.format == "PNG"


@pytest.mark.parametrize("gone", [True, False])
def test_a_sheet_of_a_spoilt_copy(mdctl: Mdctl, golf: Project, gone: bool) -> None:
    """What training would refuse is refused here too."""
    path = golf.path_of(golf.clips[0])
    shutil.copy(golf.path_of(golf.clips[1]), path)
    if gone:
        path.unlink()
    else:
        assert sha256(path.read_bytes()).hexdigest() != golf.clips[0].sha256
    assert mdctl("clips", "sheet", "golf").code == (3 if gone else 4)
