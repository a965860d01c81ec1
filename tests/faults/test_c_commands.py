"""C: odd clips, prompts and captions on the command line, from `new` to the first video."""

import errno
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from films import X264, Film
from rows import as_given, fault, nothing
from stage import QUICK, SMALL, Mdctl, sidecar, tree

from mdctl.media import ffmpeg
from mdctl.workspace import atomic, locations
from mdctl.workspace.project import Project
from mdctl.workspace.runs import Run

Hold = Callable[[Path], None]
FAST = ("--steps", "1", "--threads", "1")


def made(folder: Path, name: str, *options: str) -> Path:
    """A file that ffmpeg makes."""
    path = folder / name
    subprocess.run([ffmpeg.executable(), "-v", "error", *options, f"file:{path}"], check=True, capture_output=True)
    return path


@fault("C1", guard="mdctl.media.kinds._recognise", without=lambda _: ("mov", ""))
def test_files_that_are_no_clips(mdctl: Mdctl, films: Path, tmp_path: Path, unchanged: Hold) -> None:
    """Each is left out with its reason, beside a good clip that is taken; alone they make no project."""
    contents = {
        "empty.mp4": b"",
        "noise.mp4": bytes(range(256)) * 20,
        "words.mp4": b"a text\n",
        "paper.mp4": b"%PDF-1.7\n",
    }
    shelf = tmp_path / "shelf"
    shelf.mkdir()
    for name, content in contents.items():
        (shelf / name).write_bytes(content)
    unchanged(shelf)
    names = [str(shelf / name) for name in contents]
    said = mdctl("--json", "new", "golf", str(films / "walk.mp4"), *names, *SMALL)
    assert said.code == 11
    told = {record["name"]: record["reasons"] for record in said.records if record["event"] == "clip"}
    for name, word in zip(contents, ("empty", "not a video", "text", "PDF"), strict=True):
        assert word in told[name][0]
    assert [clip.name for clip in Project.open("golf").clips] == ["walk.mp4"]
    said = mdctl("new", "tennis", *names, *SMALL)
    assert (said.code, "no project was made" in said.err) == (4, True)
    assert not (locations.projects() / "tennis").exists()


@fault("C8")
@pytest.mark.parametrize(("size", "code"), [("641x359", 0), ("2x2", 4), ("16x4000", 0)])
def test_odd_sizes(mdctl: Mdctl, tmp_path: Path, size: str, code: int) -> None:
    """What can be cropped is used, in a size that the model takes; two by two pixels hold nothing."""
    path = made(tmp_path, "odd.mkv", "-f", "lavfi", "-i", f"testsrc=s={size}:r=8:d=1", "-c:v", "ffv1")
    said = mdctl("new", "golf", str(path), *SMALL)
    assert (said.code, "too small: 2x2" in said.err) == (code, bool(code)), said.err


@fault("C10", guard="mdctl.media.kinds._has_animation", without=lambda _: False)
def test_animations_are_clips(mdctl: Mdctl, films: Path, tmp_path: Path) -> None:
    """Animated GIF, WebP and PNG are videos like others, whatever their own clock says; AVIF says why not."""
    walk = ("-i", str(films / "walk.mp4"))
    gif = made(tmp_path, "walk.gif", *walk)
    hasty = bytearray(gif.read_bytes())
    for place in range(len(hasty) - 8):
        if hasty[place : place + 3] == b"\x21\xf9\x04":
            hasty[place + 4 : place + 6] = b"\0\0"
    (tmp_path / "hasty.gif").write_bytes(hasty)
    made(tmp_path, "walk.webp", *walk, "-c:v", "libwebp_anim")
    made(tmp_path, "walk.png", *walk, "-f", "apng")
    for name in ("walk.gif", "hasty.gif", "walk.webp", "walk.png"):
        said = mdctl("new", name.replace(".", "-"), str(tmp_path / name), *SMALL)
        assert said.code == 0, (name, said.err)
        assert Project.open(name.replace(".", "-")).record.kind == "motion", name
    (tmp_path / "x.avif").write_bytes(b"\0\0\0\x20ftypavif" + bytes(40))
    said = mdctl("new", "golf", str(tmp_path / "x.avif"), *SMALL)
    assert (said.code, "AVIF" in said.err) == (4, True)


@contextmanager
def _in_place(path: Path) -> Iterator[Path]:
    atomic.room(path.parent)
    path.touch()
    yield path


@fault("C13", guard="mdctl.workspace.atomic.draft", without=_in_place)
def test_a_disk_that_drops_while_a_clip_is_copied(
    films: Path, tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch, unchanged: Hold
) -> None:
    """The original is as it was, and no part of a copy bears the name of one."""
    unchanged(films)
    source = films / "walk.mp4"

    def blocks(path: Path) -> Iterator[bytes]:
        yield path.read_bytes()[:1000]
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(atomic, "_blocks", blocks)
    with pytest.raises(OSError, match="error"):
        atomic.copy(source, home / "clip.mp4")
    assert not list(home.iterdir())


@fault("C14", guard="mdctl.cli.create.generate.videos.read_prompt", without=as_given)
@pytest.mark.parametrize("prompt", ["", "   ", "\n\t"])
def test_a_prompt_that_says_nothing(mdctl: Mdctl, golf: Project, prompt: str) -> None:
    """It is refused before anything is loaded."""
    said = mdctl("gen", "golf", prompt, *FAST)
    assert (said.code, "the prompt is empty" in said.err) == (4, True)


@fault("C14", guard="mdctl.cli.create.videos.tell_unread", without=nothing)
def test_a_prompt_that_says_too_much(mdctl: Mdctl, golf: Project) -> None:
    """Words beyond what the model reads are named; all of it is kept, emoji and line breaks too."""
    prompt = "a red square \N{MONKEY}\n" + "on " * 5000 + "mars"
    said = mdctl("gen", "golf", prompt, *FAST)
    assert said.code == 0
    assert "does not read these words of the prompt" in said.err
    assert sidecar(said.lines[0])["prompt"] == prompt


@fault("C14")
@pytest.mark.parametrize("caption", ["", "  \n "])
def test_a_caption_that_says_nothing(mdctl: Mdctl, films: Path, home: Path, caption: str) -> None:
    """It is refused, and no project is made."""
    said = mdctl("new", "golf", str(films / "walk.mp4"), *SMALL, "--caption", caption)
    assert (said.code, "the caption is empty" in said.err) == (4, True)
    assert not home.exists()


def _whatever_there_is(times: Any, wanted: Any, until_s: float) -> list[int]:
    return list(range(min(len(times), len(wanted) + 2)))


@fault("C15", guard="mdctl.media.ffmpeg.choose", without=_whatever_there_is)
def test_long_and_short_clips_together(mdctl: Mdctl, film: Film, tmp_path: Path) -> None:
    """Of clips that are longer than what is trained, as long, and shorter, the first two are learned from."""
    for frames in (40, 4, 3):
        path = film(f"{frames}.mp4", "-f", "lavfi", "-i", "testsrc2=s=64x64:r=8", "-frames:v", str(frames), *X264)
        shutil.copy(path, tmp_path)
    said = mdctl("new", "golf", *(str(tmp_path / f"{frames}.mp4") for frames in (40, 4, 3)), *SMALL)
    assert (said.code, "3.mp4: too short: 3 of 4 frames" in said.err) == (11, True)
    said = mdctl("train", "golf", "--model", "starter", "--steps", "1", *QUICK, "-q")
    assert said.code == 0, said.err
    from mdctl.cli.create import encoding

    (run,) = Project.open("golf").runs()
    assert [len(encoding.frames(run, number)) for number in range(2)] == [4, 4]


@fault("C16", guard="mdctl.cli.create.encoding.intact", without=lambda project, clip: project.path_of(clip))
@pytest.mark.parametrize(("how", "code", "words"), [("gone", 3, "is gone"), ("edited", 4, "is not what it was")])
def test_a_clip_that_is_gone_or_edited(
    mdctl: Mdctl, golf: Project, run: Run, how: str, code: int, words: str, unchanged: Hold
) -> None:
    """It is named, with what to do, and what was learned from it before stays; the latents of it are not trusted."""
    unchanged(run.folder)
    clip, other = (golf.path_of(clip) for clip in golf.clips)
    content = other.read_bytes()
    clip.unlink()
    if how == "edited":
        clip.write_bytes(content)
    said = mdctl("train", "golf", "--fresh", "--steps", "1", *QUICK)
    assert (said.code, words in said.err) == (code, True), said.err
    assert "walk.mp4" in said.err
    assert "  fix    " in said.err
    assert len(golf.runs()) == 1


@fault("C16")
def test_the_original_may_go(mdctl: Mdctl, films: Path, tmp_path: Path) -> None:
    """A project has copies, so whatever becomes of the originals it can be trained."""
    path = Path(shutil.copy(films / "walk.mp4", tmp_path))
    assert mdctl("new", "golf", str(path), *SMALL).code == 0
    before = tree(Project.open("golf").folder)
    path.unlink()
    assert mdctl("train", "golf", "-n").code == 0
    assert mdctl("clips", "sheet", "golf", "-q").code == 0
    assert before.items() <= tree(Project.open("golf").folder).items()


@fault("C16", guard="mdctl.cli.create.encoding.intact", without=lambda project, clip: project.path_of(clip))
@pytest.mark.parametrize("how", ["gone", "edited"])
def test_a_linked_clip_that_is_gone_or_edited(mdctl: Mdctl, films: Path, model: Path, tmp_path: Path, how: str) -> None:
    """It is named, with what to do; what was learned before stays, and with the original back all is well."""
    path = Path(shutil.copy(films / "walk.mp4", tmp_path))
    content = path.read_bytes()
    assert mdctl("new", "golf", str(path), "--link", "--model", str(model), *SMALL).code == 0
    assert mdctl("train", "golf", "--steps", "1", *QUICK).code == 0
    (run,) = Project.open("golf").runs()
    before = tree(run.folder)
    path.unlink()
    if how == "edited":
        shutil.copy(films / "other.mp4", path)
    said = mdctl("train", "golf", "--fresh", "--steps", "1", *QUICK)
    assert said.code in (3, 4), said.err
    assert "walk.mp4" in said.err
    assert "  fix    " in said.err
    assert tree(run.folder) == before
    path.write_bytes(content)
    assert mdctl("train", "golf", "--fresh", "--steps", "1", *QUICK).code == 0
