"""Every example in the help of a command works as it is written, in a folder that has what it speaks of."""

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import typed
from PIL import Image
from stage import QUICK, SMALL, Mdctl

from mdctl.cli.app import main
from mdctl.media import ffmpeg
from mdctl.media.frames import Frames
from mdctl.workspace.project import Project

READ_ONLY = {
    "animate-image": "learns a picture first",
    "bench fidelity": "takes minutes",
    "bench run bench.jsonl": "wants the clips of twelve motions",
    "bench score": "takes long",
    "bench speed": "takes minutes",
    "bench trajectories": "takes minutes",
    "config edit": "opens an editor",
    "demo": "takes minutes",
    "doctor": "tries the whole computer out",
    "export golf --to comfyui": "is for another family of models",
    "gallery --open": "opens a browser",
    "import outputs/train/golf/": "needs weights",
    "models pull": "needs a network",
    "models rm": "needs weights",
    "models verify": "needs weights",
    "open": "opens a window",
    "train golf --fork": "wants a run that was stopped",
}
"""What is only read here, word by word, and why it is not done."""

MORE = {
    "train": "--dry-run",
    "gen": "--dry-run",
    "mix": "--dry-run",
    "grid": "--dry-run",
    "bench folder": "--dry-run",
    "import golf.mdz": "--model FOLDER",
}
"""What is added: all of it is checked and nothing computed for long, on a model that has no name."""

BEFORE = {
    "new golf": ["rm golf"],
    "new terracotta": ["rm terracotta"],
    "train golf --steps": ["rm golf --run 2", "rm golf --run 1"],
    "restore": ["rm golf"],
    "import golf.mdz": ["export golf"],
    "templates check my-card": ["templates copy low-vram my-card"],
    "config get train.rank": ["config set train.rank 8"],
}
"""What was done before the example is typed."""


@pytest.fixture(scope="session")
def scene(tmp_path_factory: pytest.TempPathFactory, model: Path) -> Path:
    """A folder with clips and pictures, and a home with the projects that examples speak of."""
    folder = tmp_path_factory.mktemp("scene")
    for number, name in enumerate(("swing.mov", "match.mp4", "swing_d.mp4", "long.mp4", "clips/golf_01.mp4",
                                   "swing_a.mp4", "swing_b.mp4", "swing_c.mp4", "motions/swing/x.mp4")):  # fmt: skip
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        length = 128 if name in ("long.mp4", "swing_a.mp4") else 32
        (folder / name).write_bytes(ffmpeg.encode(_walk(90 + 10 * number, length), 8, format="mp4"))
    (folder / "motions" / "swing" / "prompts.txt").write_text("a monkey is walking\n")
    (folder / "motions" / "swing" / "caption.txt").write_text("a red square is walking")
    (folder / "photos").mkdir()
    for name in ("photos/one.jpg", "car.jpg", "me.png"):
        Image.new("RGB", (40, 40), (90, 120, 200)).save(folder / name)
    shutil.copytree(model, folder / "FOLDER")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MDCTL_HOME", str(folder / "home"))
        patch.chdir(folder)
        clips = ["long.mp4", "swing_b.mp4", "swing_c.mp4", "swing_a.mp4"]
        asked = ["--caption", "a red square is walking", "--model", "FOLDER", *SMALL, "-q"]
        assert main(["new", "golf", *clips, *asked]) == 0
        assert main(["train", "golf", "--steps", "2", "--no-preview", *QUICK, "-q"]) == 0
        _trained_longer(Project.open("golf"))
        for name in ("riding_horse", "zoom_in", "terracotta"):
            assert main(["copy", "golf", name, "--with-runs", "-q"]) == 0
        assert main(["gen", "golf", "a red square", "--steps", "1", "--threads", "1", "--seed", "1", "-q"]) == 0
    save = Project(folder / "home" / "projects" / "golf").runs()[-1].folder / "ckpt" / "000002"
    shutil.copy(save / "temporal.safetensors", folder / "zoom.safetensors")
    return folder


def _walk(shade: int, length: int) -> Frames:
    """A square that goes to and fro."""
    frames = np.full((length, 48, 64, 3), 40, np.uint8)
    for number, frame in enumerate(frames):
        left = abs(number % 40 - 20) * 2
        frame[10:30, left : left + 20] = (shade, 255 - shade, 90)
    return frames


def _trained_longer(golf: Project) -> None:
    """An older run, and saves at the steps that examples name."""
    (run,) = golf.runs()
    shutil.copytree(run.folder, run.folder.with_name("20250101-000000-0000"))
    saves = run.folder / "ckpt"
    for step in (100, 200, 300):
        other = shutil.copytree(saves / "000002", saves / f"{step:06d}")
        manifest = json.loads((other / "MANIFEST.json").read_text())
        (other / "MANIFEST.json").write_text(json.dumps({**manifest, "step": step}))


@pytest.fixture
def here(scene: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of it, to work in."""
    folder = tmp_path / "here"
    shutil.copytree(scene, folder)
    monkeypatch.chdir(folder)
    for name, value in (("MDCTL_HOME", folder / "home"), ("HOME", folder), ("PROFILE", folder / "profile.ps1")):
        monkeypatch.setenv(name, str(value))
    monkeypatch.setenv("SHELL", "/bin/bash")
    return folder


def begins(said: str, line: str) -> bool:
    """Whether a command line begins with these words."""
    return f"{said} ".startswith(f"{line} ")


@pytest.mark.parametrize("example", typed.examples())
def test_an_example(mdctl: Mdctl, here: Path, example: str) -> None:
    """It is done as it is written, with yes to what it would ask; what a test cannot do is read."""
    (words,) = typed.calls(example)
    typed.understood(words)
    said = " ".join(words)
    if any(begins(said, line) for line in READ_ONLY):
        return
    for line in (line for start, lines in BEFORE.items() if begins(said, start) for line in lines):
        assert mdctl(*line.split()).code == 0, line
    more = [word for start, words in MORE.items() if begins(said, start) for word in words.split()]
    done = mdctl(*(as_a_shell for word in words for as_a_shell in _expanded(word)), *more, "--yes")
    assert done.code == 0, done.err


def _expanded(word: str) -> list[str]:
    """What a shell makes of a word."""
    paths = sorted(str(path) for path in Path().glob(word)) if "*" in word else []
    return paths or [os.path.expandvars(word)]


def test_no_exception_stands_for_nothing() -> None:
    """What is only read, done otherwise, or prepared is an example."""
    said = [example.removeprefix("mdctl ") for example in typed.examples()]
    for line in (*READ_ONLY, *MORE, *BEFORE):
        assert [one for one in said if begins(one, line)], line
