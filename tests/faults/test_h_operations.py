"""H: every command that writes, struck at its Nth change of the disk: killed there, or the disk is full or broken.

After each, the home is opened again: nothing that was whole is lost, no final name bears a part, drafts are swept, and
the same line can be run again.
"""

import json
import os
import shutil
import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from disk import KILLED, Fault, break_down, die, overflow
from launcher import MANY, all_numbers, attempt, prepare
from rows import fault
from scene import CAREFUL, CARELESS
from stage import QUICK, SMALL, Mdctl

from mdctl.cli.app import main
from mdctl.media.probe import probe
from mdctl.workspace import archive, atomic, locations
from mdctl.workspace.project import Project

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
FAST = ("--steps", "1", "--threads", "1")


@dataclass(frozen=True)
class Command:
    """A command that writes."""

    line: tuple[str, ...]
    """{films}, {model} and {out} stand for places."""
    again: tuple[int, ...] = (0,)
    """How the same line may end afterwards: a rename that was done finds nothing to rename."""
    before: tuple[tuple[str, ...], ...] = ()
    """What was done before it."""
    heavy: bool = False
    """Whether it loads a model, and so takes a second."""


COMMANDS = {
    "new": Command(("new", "walk", "{films}/walk.mp4", "{films}/other.mp4", *SMALL)),
    "train": Command(("train", "golf", "--steps", "3", *QUICK, "--save-every", "1", "--fresh"), heavy=True),
    "gen": Command(("gen", "golf", "a monkey", "--seed", "1", *FAST), heavy=True),
    "import": Command(("import", "{out}/golf.mdz", "--model", "{model}", "--name", "guest"), heavy=True),
    "export": Command(("export", "golf", "-o", "{home}/x.mdz", "--force")),
    "rename": Command(("rename", "golf", "swing"), (0, 3)),
    "copy": Command(("copy", "golf", "twin", "--with-runs"), (0, 2)),
    "rm": Command(("rm", "golf"), (0, 3)),
    "rm saves": Command(("rm", "golf", "--checkpoints", "--keep", "1")),
    "restore": Command(("restore", "golf"), (0, 3), (("rm", "golf"),)),
    "restore saves": Command(("restore", "golf"), (0, 3), (("rm", "golf", "--checkpoints", "--keep", "1"),)),
    "clips add": Command(("clips", "add", "golf", "{films}/third.mp4")),
    "clips rm": Command(("clips", "rm", "golf", "walk.mp4"), (0, 3)),
    "pin": Command(("pin", "golf", "--checkpoint", "4")),
    "config set": Command(("config", "set", "gen.steps", "7")),
    "templates copy": Command(("templates", "copy", "draft", "mine"), (0, 2)),
    "trash empty": Command(("trash", "empty", "--yes"), (0,), (("copy", "golf", "gone"), ("rm", "gone"))),
}


@dataclass(frozen=True)
class Place:
    """Where the commands are played."""

    base: Path
    """A home that is copied for each attempt: `golf`, trained, and `bystander`, which nobody touches."""
    films: Path
    model: Path
    out: Path

    def line(self, words: Sequence[str], home: Path) -> list[str]:
        """A line with its places."""
        return [word.format(films=self.films, model=self.model, out=self.out, home=home) for word in words]


@pytest.fixture(scope="session")
def place(tmp_path_factory: pytest.TempPathFactory, studio: Path, films: Path, model: Path) -> Place:
    """What all of them begin with."""
    folder = tmp_path_factory.mktemp("place")
    shutil.copytree(studio, folder / "base")
    third = shutil.copytree(films, folder / "films") / "third.mp4"
    third.write_bytes((films / "walk.mp4").read_bytes() + b"\0\0\0\x08free")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MDCTL_HOME", str(folder / "base"))
        assert main(["copy", "golf", "bystander", "--with-runs", "-q"]) == 0
        assert main(["export", "golf", "-o", str(folder / "golf.mdz"), "-q"]) == 0
    return Place(folder / "base", folder / "films", model, folder)


def whole(path: Path) -> bool:
    """Whether a file under a final name is a whole one, as far as its kind tells."""
    content = path.read_bytes()
    try:
        if path.suffix == ".toml":
            return bool(tomllib.loads(content.decode()))
        if path.suffix == ".json":
            return bool(json.loads(content))
        if path.suffix == ".mdz":
            return bool(archive.read(path))
        if path.suffix == ".mp4" and path.parent.name == "outputs":
            return probe(path).frames == 4
    except Exception:  # noqa: BLE001 - whatever is wrong with it, it is not whole
        return False
    return path.parent.name != "clips" or sha256(content).hexdigest().startswith(path.stem)


def contents(folder: Path) -> set[str]:
    """The hashes of everything below a folder that must not be lost: clips, saves, videos."""
    kept = (".mp4", ".safetensors")
    return {sha256(path.read_bytes()).hexdigest() for path in folder.rglob("*") if path.suffix in kept}


def losses(place: Place, home: Path, originals: set[str], may_go: bool) -> Iterator[str]:
    """What is wrong with what a survivor finds (N1-N7)."""
    if contents(place.films) != originals:
        yield "an original was changed"
    projects = {project.name: project for project in Project.all()}
    if projects.get("bystander") is None or contents(projects["bystander"].folder) != contents(
        place.base / "projects" / "bystander"
    ):
        yield "a project was touched that nobody named"
    for project in projects.values():
        if project.fault:
            yield f"{project.name}: {project.fault}"
            continue
        with project.locked("train"):
            pass
        for run in project.runs():
            told: list[Any] = []
            run.latest(report=told.append)
            if told:
                yield f"{run.id}: {told}"
    if not may_go and not contents(place.base / "projects") <= contents(home):
        yield "a clip, a save or a video is gone"
    for path in home.rglob("*"):
        final = not any(part.startswith((".tmp-", ".locks", ".damaged")) for part in path.relative_to(home).parts)
        if final and path.is_file() and not whole(path):
            yield f"a part of a file bears its name: {path.relative_to(home)}"


def tried(
    name: str, place: Place, mdctl: Mdctl, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, how: Fault, few: int,
    guards: Sequence[tuple[Any, Any]] = (),
) -> int:  # fmt: skip
    """Strike a command at some or all of its changes, look at what is left each time, and tell how many those were."""
    command, home, base = COMMANDS[name], tmp_path / "home", tmp_path / "base"
    shutil.copytree(place.base, base)
    monkeypatch.setenv("MDCTL_HOME", str(base))
    for line in command.before:
        assert mdctl(*line, "-q").code == 0
    monkeypatch.setenv("MDCTL_HOME", str(home))
    line, originals = place.line(command.line, home), contents(place.films)
    numbers = all_numbers(name, line, base, home, few)
    for number in numbers:
        prepare(base, home)
        ended = attempt(line, home, number, how, guards)
        assert "Traceback" not in ended.err, (number, ended.err)
        codes = (KILLED,) if how is die else (0, 7, 11) if how is overflow else (0, 5, 11)
        assert ended.code in codes, (number, ended)
        assert list(losses(place, home, originals, may_go=name == "trash empty")) == [], (number, ended)
        said = mdctl(*line)
        assert said.code in command.again, (number, said.err)
        assert list(losses(place, home, originals, may_go=name == "trash empty")) == [], (number, said.err)
        for folder in (locations.projects(), locations.trash(), locations.config()):
            atomic.sweep(folder)
            assert not list(folder.glob(".tmp-*")), (number, "drafts stay")
    return len(numbers)


def _few(name: str) -> int:
    return 2 if COMMANDS[name].heavy else 3


@fault("H1")
@pytest.mark.parametrize("name", COMMANDS)
def test_killed(name: str, place: Place, mdctl: Mdctl, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """As by `kill -9`, at some of its changes."""
    assert tried(name, place, mdctl, monkeypatch, tmp_path, die, _few(name)) > 0


@fault("F3", guard=CAREFUL, without=CARELESS)
def test_an_import_is_whole_or_absent(
    place: Place, mdctl: Mdctl, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, off: Sequence[Any]
) -> None:
    """Killed anywhere, it has made no project or all of it, and works the next time."""
    assert tried("import", place, mdctl, monkeypatch, tmp_path, die, 4, off) > 0


@fault("I1")
@pytest.mark.parametrize("name", COMMANDS)
def test_a_full_disk(name: str, place: Place, mdctl: Mdctl, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """From one of its changes on there is no room."""
    assert tried(name, place, mdctl, monkeypatch, tmp_path, overflow, _few(name) - 1) > 0


def _untold(_: object) -> int:
    return 1


@fault("I2", guard=("mdctl.workspace.atomic._FAILING", "mdctl.cli.app._system"), without=(frozenset(), _untold))
@pytest.mark.parametrize("name", [name for name, command in COMMANDS.items() if not command.heavy or name == "gen"])
def test_a_broken_disk(
    name: str, place: Place, mdctl: Mdctl, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, off: Sequence[Any]
) -> None:
    """From one of its changes on the disk fails."""
    assert tried(name, place, mdctl, monkeypatch, tmp_path, break_down, 1 if COMMANDS[name].heavy else 2, off) > 0


@fault("H1", "F3", "I1", "I2", long=True)
@pytest.mark.parametrize("how", [die, overflow, break_down], ids=lambda how: how.__name__)
@pytest.mark.parametrize("name", COMMANDS)
def test_every_change(
    name: str, place: Place, mdctl: Mdctl, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, how: Fault
) -> None:
    """All of them, one after the other."""
    assert tried(name, place, mdctl, monkeypatch, tmp_path, how, MANY) > 0


@fault("F3", "H1")
@pytest.mark.parametrize("name", ["import", "copy"])
def test_a_command_without_care_is_caught(
    name: str, place: Place, mdctl: Mdctl, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """These tests can fail: with plain writes into the final place the same look finds something."""
    with pytest.raises(AssertionError):
        tried(name, place, mdctl, monkeypatch, tmp_path, die, 8, ((CAREFUL, CARELESS),))
