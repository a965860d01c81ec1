"""`gen --from`: a video made again from what stands beside it, and what happens when that cannot be."""

import json
import shutil
from pathlib import Path

import pytest
from stage import Mdctl, sidecar

from mdctl.cli.create import videos
from mdctl.workspace import locations
from mdctl.workspace.project import Project
from mdctl.workspace.runs import Run

FAST = ("--steps", "2", "--threads", "1", "-q")


@pytest.fixture
def video(mdctl: Mdctl, golf: Project) -> Path:
    """A video with settings of its own."""
    flags = ("--seed", "5", "--strength", "2@0-0.5", "--guidance", "3", "--follow", "0.2", "--size", "48x32")
    said = mdctl("gen", "golf", "a monkey", *flags, *FAST)
    assert said.code == 0, said.err
    return Path(said.lines[0])


@pytest.mark.parametrize("word", ["video", "sidecar", "last", "last of golf", "moved"])
def test_it_comes_out_the_same(mdctl: Mdctl, video: Path, tmp_path: Path, word: str) -> None:
    """By its file, its sidecar, or as the newest; also where the video was moved, by the number it carries."""
    moved = shutil.copy(video, tmp_path / "mine.mp4")
    words = {
        "video": ["--from", str(video)],
        "sidecar": ["--from", str(video.with_suffix(".json"))],
        "last": ["--from", "last"],
        "last of golf": ["golf", "--from", "last"],
        "moved": ["--from", str(moved)],
    }[word]
    said = mdctl("gen", *words, "-q")
    assert said.code == 0, said.err
    again = Path(said.lines[0])
    assert again != video
    assert again.read_bytes() == video.read_bytes()
    assert sidecar(again)["id"] == sidecar(video)["id"]


def test_check_writes_nothing(mdctl: Mdctl, golf: Project, video: Path) -> None:
    """It tells whether the video comes out the same: it does, until somebody changes the file."""
    said = mdctl("gen", "--from", str(video), "--check")
    assert (said.code, "comes out the same, bit for bit" in said.err) == (0, True), said.err
    assert golf.videos() == [video]
    video.write_bytes(video.read_bytes()[:-1] + b"x")
    said = mdctl("gen", "--from", str(video.with_suffix(".json")), "--check")
    assert (said.code, "comes out different" in said.err) == (11, True)


def test_two_checks_at_once(mdctl: Mdctl, golf: Project, video: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A second one that begins and ends while the first compares takes nothing away from it."""
    codes: list[int] = []
    content = videos.content

    def meanwhile(path: Path) -> bytes | list[bytes]:
        if not codes:
            codes.append(-1)
            codes.append(mdctl("gen", "--from", str(video), "--check").code)
        return content(path)

    monkeypatch.setattr(videos, "content", meanwhile)
    assert mdctl("gen", "--from", str(video), "--check").code == 0
    assert codes == [-1, 0]
    assert golf.videos() == [video]
    assert list((locations.cache() / "check").iterdir()) == []


def test_every_digit_of_a_strength_is_in_its_recipe(mdctl: Mdctl, golf: Project) -> None:
    """Also where a number holds for a part of the way only, so that the recipe has it as a schedule."""
    golf.set("gen.strength_until", 0.5)
    video = mdctl("gen", "golf", "a monkey", "--strength", "0.33333333333", *FAST).lines[0]
    assert sidecar(video)["voices"][0]["strength"] == "0.33333333333@0-0.5"
    assert mdctl("gen", "--from", video, "--check").code == 0


def test_a_video_that_is_gone(mdctl: Mdctl, video: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """There is nothing to compare with, and this is said before anything is drawn."""
    video.unlink()
    monkeypatch.setattr("mdctl.cli.create.rendering.load", None)
    said = mdctl("gen", "--from", str(video.with_suffix(".json")), "--check")
    assert (said.code, f"'{video.name}' is gone" in said.err, "makes it again" in said.err) == (3, True, True)


def test_the_words_for_a_device_are_a_part_of_the_number(mdctl: Mdctl, golf: Project) -> None:
    """They stay as they always were in recipes; a screen says them as a person does."""
    made = mdctl("gen", "golf", "a monkey", "--device", "cpu", *FAST)
    assert sidecar(made.lines[0])["device"] == "cpu, 1 threads"
    said = mdctl("train", "golf", "--steps", "7", "--device", "cpu")
    assert "· cpu, 1 thread\n" in said.err


def test_flags_change_it(mdctl: Mdctl, video: Path) -> None:
    """Whatever is given wins over the recipe; all else stays as it was."""
    said = mdctl("gen", "--from", str(video), "--seed", "6", "--strength", "0.5", "--count", "2", "-q")
    assert said.code == 0, said.err
    first, second = (sidecar(line) for line in said.lines)
    assert (first["seed"], second["seed"]) == (6, 7)
    assert first["settings"] == sidecar(video)["settings"] | {"strength": 0.5}
    assert first["voices"][0]["strength"] == 0.5
    said = mdctl("gen", "golf", "a robot", "--from", "last", "-q")
    assert sidecar(said.lines[0])["prompt"] == "a robot"


def test_a_look_can_be_added_and_taken_away(mdctl: Mdctl, video: Path) -> None:
    """A strength for the look that the video had not is heard, at the clip that is asked for, and is gone with 0."""
    said = mdctl("gen", "--from", str(video), "--appearance-strength", "0.7", "--clip", "2", "-q")
    assert said.code == 0, said.err
    files = [(voice["file"], voice["strength"]) for voice in sidecar(said.lines[0])["voices"]]
    assert files == [("temporal.safetensors", "2@0-0.5"), ("spatial_001.safetensors", 0.7)]
    again = mdctl("gen", "--from", said.lines[0], "--appearance-strength", "0", "-q")
    assert [voice["file"] for voice in sidecar(again.lines[0])["voices"]] == ["temporal.safetensors"]


def test_another_save_of_the_same_weights_will_do(mdctl: Mdctl, video: Path, run: Run) -> None:
    """What counts is the hash of the weights: without them the project is named, and nothing is made."""
    for save in run.saves():
        shutil.rmtree(save.folder)
    said = mdctl("gen", "--from", str(video))
    assert said.code == 3
    assert "an adapter that" in said.err
    assert run.id in said.err


def test_a_changed_base_model_is_refused(mdctl: Mdctl, video: Path, run: Run, model: Path, tmp_path: Path) -> None:
    """The adapters do not fit another model, and this is said before it is loaded."""
    told = json.loads(video.with_suffix(".json").read_text())
    assert told["model"]["name"] == str(model)
    hidden = model.rename(tmp_path / "hidden")
    try:
        said = mdctl("gen", "--from", str(video))
        assert said.code == 3, said.err
        assert "there is no base model" in said.err
    finally:
        hidden.rename(model)


def test_what_is_another_now_is_told(mdctl: Mdctl, video: Path) -> None:
    """Other versions or threads are a warning: the same bits cannot be promised."""
    path = video.with_suffix(".json")
    path.write_text(json.dumps(json.loads(path.read_text()) | {"torch": "1.0"}))
    said = mdctl("gen", "--from", str(video))
    assert said.code == 0
    assert "the same bits cannot be promised: it was made with torch 1.0 (now " in said.err


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (("--from", "none.mp4"), 3, "there is no video 'none.mp4'"),
        (("--from", "pyproject.toml"), 4, ""),
        (("--from", "last", "--checkpoint", "4"), 2, "leave --checkpoint and --template out"),
        (("golf", "--from", "x.mp4"), 2, "a recipe says its project itself"),
        (("golf",), 2, "a project and a prompt are needed"),
        ((), 2, "a project and a prompt are needed"),
        (("golf", "a monkey", "--check"), 2, "--check needs --from"),
    ],
)
def test_refusals(mdctl: Mdctl, golf: Project, words: tuple[str, ...], code: int, told: str) -> None:
    """Each with what to do instead."""
    said = mdctl("gen", *words)
    assert (said.code, told in said.err) == (code, True), said.err


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{}", "no json", '{"video": 3}', '{"video": "x.mp4", "voices": [], "settings": {}}', "[" * 100_000],
)
def test_a_record_of_another_kind(mdctl: Mdctl, golf: Project, tmp_path: Path, text: str) -> None:
    """It is refused with its name, whatever is wrong with it."""
    path = tmp_path / "odd.json"
    path.write_text(text)
    said = mdctl("gen", "--from", str(path))
    assert (said.code, "'odd.json' is no recipe of a video" in said.err) == (4, True), said.err


def test_a_video_without_a_recipe(mdctl: Mdctl, golf: Project, films: Path) -> None:
    """A stranger's video carries no number, and that is said."""
    said = mdctl("gen", "--from", str(films / "walk.mp4"))
    assert (said.code, "the recipe of 'walk.mp4' is gone" in said.err) == (3, True), said.err
