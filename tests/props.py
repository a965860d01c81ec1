"""Fixtures for tests of the command line: clips, a tiny model, a project that is trained, and ways to run mdctl."""

import shutil
from collections.abc import Callable, Iterator
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from stage import QUICK, SMALL, Mdctl, Play, Played, Said, tree
from tiny import tiny_folder

from mdctl.cli.app import main
from mdctl.media import ffmpeg
from mdctl.workspace import locations
from mdctl.workspace.project import Project
from mdctl.workspace.runs import Run


@pytest.fixture
def mdctl(capsys: pytest.CaptureFixture[str]) -> Mdctl:
    """`mdctl("list", "-q")` runs one command line in this process, as in a pipe."""

    def run(*arguments: str) -> Said:
        capsys.readouterr()
        code = main(arguments)
        return Said(code, *capsys.readouterr())

    return run


@pytest.fixture
def play(tmp_path: Path) -> Iterator[Play]:
    """`play("train", "golf")` starts one command line in a process of its own; `terminal=True` gives it one."""
    yield from player(tmp_path)


def player(folder: Path) -> Iterator[Play]:
    """Lend what starts command lines; what still runs at the end is ended."""
    numbers, started = count(1), list[Played]()

    def start(*arguments: str, **how: Any) -> Played:
        started.append(Played(arguments, folder / f"process-{next(numbers)}", **how))
        return started[-1]

    yield start
    for played in started:
        played.close()


@pytest.fixture(scope="session")
def films(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with clips of two seconds: `walk.mp4`, `other.mp4`, and `short.mp4` of three frames."""
    folder = tmp_path_factory.mktemp("films")
    for name, shade, length in (("walk", 220, 16), ("other", 120, 16), ("short", 80, 3)):
        frames = np.full((length, 48, 64, 3), 40, np.uint8)
        for number, frame in enumerate(frames):
            frame[10:30, 2 * number : 2 * number + 20] = (shade, 255 - shade, 90)
        (folder / f"{name}.mp4").write_bytes(ffmpeg.encode(frames, 8, format="mp4"))
    return folder


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a tiny model in the layout of ZeroScope."""
    return tiny_folder(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture(scope="session")
def studio(tmp_path_factory: pytest.TempPathFactory, films: Path, model: Path) -> Path:
    """A home with the project `golf` of two clips, trained to step 6 of 6."""
    folder = tmp_path_factory.mktemp("studio") / "home"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MDCTL_HOME", str(folder))
        clips = [str(films / name) for name in ("walk.mp4", "other.mp4")]
        caption = ("--caption", "a red square is walking")
        assert main(["new", "golf", *clips, *caption, "--model", str(model), *SMALL, "-q"]) == 0
        assert main(["train", "golf", "--steps", "6", *QUICK, "-q"]) == 0
    return folder


@pytest.fixture
def golf(studio: Path, home: Path) -> Project:
    """The trained project `golf`, in this test's own home."""
    shutil.copytree(studio, home)
    return Project.open("golf")


@pytest.fixture
def run(golf: Project) -> Run:
    """The run of `golf`."""
    return golf.runs()[-1]


@pytest.fixture
def fresh(golf: Project) -> Project:
    """The project `golf` before it was trained; its clips are encoded already."""
    shutil.rmtree(golf.folder / "runs")
    return Project.open("golf")


@pytest.fixture
def unchanged() -> Iterator[Callable[[Path], None]]:
    """`unchanged(folder)` holds the test to leaving this folder as it is now."""
    held: list[Callable[[], None]] = []

    def compare(folder: Path, before: dict[str, bytes | None]) -> None:
        assert tree(folder) == before

    def hold(folder: Path) -> None:
        held.append(partial(compare, folder, tree(folder)))

    yield hold
    for check in held:
        check()


@pytest.fixture
def template(home: Path) -> Callable[[str, str], str]:
    """`template("mine", toml)` writes a template of the user's and gives its name."""

    def write(name: str, text: str) -> str:
        folder = locations.templates()
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{name}.toml").write_text(text, encoding="utf-8")
        return name

    return write


@pytest.fixture
def packed(mdctl: Mdctl, golf: Project, tmp_path: Path) -> Path:
    """`golf` as an archive."""
    path = tmp_path / "golf.mdz"
    said = mdctl("export", "golf", "-o", str(path))
    assert said.code == 0, said.err
    return path


@pytest.fixture
def take(mdctl: Mdctl, model: Path) -> Callable[..., Any]:
    """`take(path)` imports an archive onto the tiny model."""
    return lambda path, *flags: mdctl("import", str(path), "--model", str(model), *flags)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """A folder with two pictures, one of them with transparency."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for number, mode in enumerate(("RGB", "RGBA")):
        pixels = np.full((40, 56, len(mode)), 90 + 60 * number, np.uint8)
        pixels[10:30, 10:40] = 200
        Image.fromarray(pixels, mode).save(folder / f"pot_{number}.png")
    return folder
