"""I: disks and file systems. A full, a read-only or an odd one costs nothing that was whole."""

import errno
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import stage
from disk import refuse
from launcher import attempt
from rows import fault, nothing
from stage import QUICK, SMALL, Mdctl, Play, tree

from mdctl.cli.system import probes
from mdctl.workspace import atomic, locations
from mdctl.workspace.project import Project
from mdctl.workspace.records import ProjectRecord
from mdctl.workspace.runs import Run

FAST = ("--steps", "1", "--threads", "1")
Hold = Callable[[Path], None]


@fault("I1", guard="mdctl.workspace.atomic._explained", without=nothing)
def test_a_full_disk_during_a_save(mdctl: Mdctl, play: Play, golf: Project, run: Run) -> None:
    """It is told so, the save before stays, and the same line goes on to the same result."""
    assert mdctl("copy", "golf", "twin", "--with-runs").code == 0
    assert mdctl("train", "twin", "--steps", "8").code == 0
    played = play("train", "golf", "--steps", "8", before=stage.small_disk)
    assert played.wait() == 7, played.err
    assert "the disk is full: " in played.err
    assert "to be written" in played.err
    assert "saved  the save of step 6 is good" in played.err
    assert Run(run.folder).step == 6
    assert not list(run.folder.glob("ckpt/.tmp-*"))
    assert mdctl("train", "golf").code == 0
    straight = Project.open("twin").runs()[-1].saves()[-1]
    assert (run.step, run.saves()[-1].sha256) == (8, straight.sha256)


@fault("I1")
def test_a_full_disk_before_the_first_save(play: Play, fresh: Project) -> None:
    """When nothing was saved yet, that is what is said."""
    played = play("train", "golf", "--steps", "2", *QUICK, before=stage.small_disk)
    assert played.wait() == 7, played.err
    assert "it stopped before its first save" in played.err


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@fault("I3")
@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("list", 0),
        ("show golf", 0),
        ("path golf", 0),
        ("clips list golf", 0),
        ("config show", 0),
        ("rename golf swing", 5),
        ("config set gen.steps 7", 5),
        ("pin golf --checkpoint 4", 5),
        ("clips rm golf 1", 5),
        ("gen golf monkey --steps 1", 5),
    ],
)
def test_a_home_that_is_read_only(golf: Project, home: Path, line: str, code: int) -> None:
    """What only looks works; what writes names the variable that moves mdctl elsewhere; nothing is changed."""
    before = tree(home)
    ended = attempt(line.split(), home, 1, refuse)
    assert ended.code == code, ended.err
    assert ("MDCTL_HOME" in ended.err) == bool(code)
    assert tree(home) == before


@pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="needs a folder in which nobody can write")
@fault("I3", guard=("mdctl.workspace.atomic._CLOSED", "mdctl.cli.app._system"), without=(frozenset(), lambda _: 1))
def test_a_home_where_nobody_may_write(mdctl: Mdctl, films: Path) -> None:
    """A real one: the reason and the cure are told."""
    said = mdctl("new", "golf", str(films / "walk.mp4"), *SMALL, "--home", "/dev/null/home")
    assert (said.code, "MDCTL_HOME" in said.err) == (5, True), said.err


# --- File systems that lack something


@pytest.fixture
def poor(golf: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk without hard links, locks and syncs of folders, as exFAT and some shares are."""
    import fcntl

    def lacking(number: int) -> Callable[..., None]:
        def call(*_: Any, **__: Any) -> None:
            raise OSError(number, os.strerror(number))

        return call

    sync = os.fsync

    def files_only(descriptor: int) -> None:
        if os.path.isdir(f"/proc/self/fd/{descriptor}"):  # noqa: PTH112
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        sync(descriptor)

    monkeypatch.setattr(os, "link", lacking(errno.EPERM))
    monkeypatch.setattr(fcntl, "flock", lacking(errno.ENOSYS))
    monkeypatch.setattr(os, "fsync", files_only)


@pytest.mark.skipif(os.name == "nt", reason="needs flock")
@fault("I4", guard="mdctl.workspace.atomic._NO_LINKS", without=frozenset())
def test_a_disk_that_lacks_links_and_locks(mdctl: Mdctl, golf: Project, poor: None) -> None:
    """Everything works all the same: training, videos that replace nothing, the trash."""
    assert mdctl("train", "golf", "--steps", "7").code == 0
    made = [mdctl("gen", "golf", "a monkey", "--seed", "1", *FAST, "-q").lines[0] for _ in range(2)]
    assert len(set(made)) == 2
    assert mdctl("rm", "golf").code == 0
    assert mdctl("restore", "golf").code == 0
    assert mdctl("verify", "golf").code == 0
    assert not list(locations.home().rglob("*.held"))
    (finding,) = probes.data()
    assert (finding.status, "no locks" in finding.text) == ("warning", True)


@pytest.mark.skipif(os.name != "nt", reason="needs Windows, whose virus scanners hold files open")
@fault("I4")
def test_a_file_that_is_held_open(home: Path) -> None:
    """A rename is tried again for half a second."""
    atomic.write(home / "x", "old")
    with (home / "x").open("rb"):
        pass
    atomic.write(home / "x", "new")
    assert (home / "x").read_text() == "new"


# --- What a user has deleted


@fault("I5", guard="mdctl.workspace.runs.Run._noted_step", without=nothing)
def test_what_somebody_has_deleted(mdctl: Mdctl, golf: Project, run: Run) -> None:
    """A cache is made again; a save, half a run and a project are missed, in a clear line, and the rest works."""
    shutil.rmtree(locations.cache())
    run.extend(8)
    shutil.rmtree(run.saves()[-1].folder)
    said = mdctl("train", "golf")
    assert (said.code, "the save of step 6 is damaged (it is missing)" in said.err) == (0, True), said.err
    assert mdctl("copy", "golf", "twin", "--with-runs").code == 0
    (Project.open("twin").runs()[-1].folder / "run.toml").unlink()
    (golf.folder / "clips.toml").unlink()
    listed = mdctl("list")
    assert listed.code == 0
    assert "needs attention" in listed.out
    assert {line.split("\t")[0] for line in listed.lines} == {"golf", "twin"}
    assert mdctl("train", "golf").code in (3, 4)
    assert mdctl("gen", "twin", "a monkey", *FAST).code in (3, 4)
    shutil.rmtree(golf.folder)
    assert mdctl("show", "golf").code == 3
    assert [line.split("\t")[0] for line in mdctl("list").lines] == ["twin"]


@fault(
    "I6",
    guard="mdctl.workspace.project.Project.record",
    without=property(lambda project: ProjectRecord.read(project.folder)),
)
@pytest.mark.parametrize("number", [200, pytest.param(5000, marks=fault("I6", long=True))])
def test_very_many_projects(mdctl: Mdctl, home: Path, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    """The list and the completion of names know them all, and read no more than one file of each."""
    for index in range(number):
        folder = locations.projects() / f"p{index:05d}"
        (folder / "outputs").mkdir(parents=True)
        ProjectRecord(f"p{index:05d}", "motion", "x is y", "x", "starter", created="2026-11-22T07:14:03Z").write(folder)
        (folder / "clips.toml").write_text("schema = 1\n")
    opened = []
    real = Path.open

    def counted(path: Path, *given: Any, **more: Any) -> Any:
        opened.append(path)
        return real(path, *given, **more)

    monkeypatch.setattr(Path, "open", counted)
    assert len(mdctl("list", "-q").lines) == number
    assert len(opened) <= 3 * number
    opened.clear()
    assert len(mdctl("path", f"p{number - 1:05d}").lines) == 1
    assert len(opened) <= 3
