"""The trash: what goes in whole or in parts comes back to its place, whatever happens on the way."""

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from mdctl.errors import Busy, NotFound, UsageFault
from mdctl.workspace import atomic, locations, locks, trash
from mdctl.workspace.project import Project
from mdctl.workspace.records import NewClip
from mdctl.workspace.runs import Run
from mdctl.workspace.saves import OPTIMIZER


def created(folder: Path, name: str = "golf", *steps: int) -> Project:
    """A project of one clip with a video, and a run that has saves of these steps."""
    path = folder / "swing.mp4"
    path.write_bytes(b"moving pictures")
    clip = NewClip(path, sha256(b"moving pictures").hexdigest(), ".mp4", path.name)
    project = Project.create(name, caption="a person is playing golf", clips=[clip])
    atomic.write(project.outputs / "a.mp4", b"a video")
    if steps:
        run = Run.create(project, {"train": {"steps": 9999}})
        for step in steps:
            run.keep(step, {"temporal.safetensors": b"%d" % step, OPTIMIZER: b"m"}, {"step": step}, milestone=True)
    return project


def discarded(project: Project, *parts: Path, what: str = "") -> Path:
    """Where it lies in the trash, or where its parts do."""
    with project.locked("rm"):
        return project.discard(*parts, what=what)


def contents(*folders: Path) -> dict[str, bytes]:
    """What the files below these folders hold, by their names; notes, locks and drafts are none."""
    return {
        path.name: path.read_bytes()
        for folder in folders
        for path in folder.rglob("*")
        if path.is_file() and path.name != "note.json" and ".locks" not in path.parts and path.name[:5] != ".tmp-"
    }


def test_parts_come_back_to_their_places(home: Path, tmp_path: Path) -> None:
    """A run, a save and videos go one after another and come back the last first; new videos stay beside old ones."""
    project = created(tmp_path, "golf", 50, 100)
    before = contents(project.folder)
    (run,) = project.runs()
    first, second = run.saves()
    discarded(project, first.folder, what="1 save")
    discarded(project, project.outputs, what="1 video")
    discarded(project, run.folder, what=f"run {run.id}")
    assert [thing.what for thing in trash.things()] == ["1 save", "1 video", f"run {run.id}"]
    assert project.runs() == project.videos() == []
    atomic.write(project.outputs / "b.mp4", b"a new video")
    for _ in range(3):
        Project.restore("golf")
    assert contents(project.folder) == before | {"b.mp4": b"a new video"}
    assert [save.step for save in run.saves()] == [50, 100]
    for save in (first, second):
        save.verify()
    assert list(locations.trash().iterdir()) == []
    with pytest.raises(NotFound):
        Project.restore("golf")


def test_the_whole_after_a_part(tmp_path: Path) -> None:
    """What was removed last comes first; another name is for the last that was whole."""
    project = created(tmp_path)
    discarded(project, project.outputs, what="1 video")
    discarded(project)
    other = created(tmp_path)
    discarded(other, other.outputs, what="1 video")
    old = Project.restore("golf", under="golf-old")
    assert (old.name, old.record.name, old.videos()) == ("golf-old", "golf-old", [])
    assert 'name = "golf-old"' in (old.folder / "project.toml").read_text()
    assert [video.name for video in Project.restore("golf").videos()] == ["a.mp4"]


@pytest.mark.parametrize("what", ["save", "video"])
def test_a_place_that_is_taken(tmp_path: Path, what: str) -> None:
    """Nothing is moved at all, and the trash keeps it; saves are never mixed."""
    project = created(tmp_path, "golf", 50)
    place = project.runs()[0].saves()[0].folder if what == "save" else project.outputs
    discarded(project, place, what=what)
    atomic.write(place / "a.mp4", b"another")
    before = contents(project.folder, locations.trash())
    with pytest.raises(UsageFault, match=f"the place of {what} of 'golf' is taken") as told:
        Project.restore("golf")
    assert str(place) in told.value.why
    assert contents(project.folder, locations.trash()) == before
    shutil.rmtree(place)
    Project.restore("golf")
    assert place.is_dir()
    assert trash.things() == []


def test_parts_of_a_project_that_is_called_otherwise_now(tmp_path: Path) -> None:
    """They do not go into another of its name; the lines that are told bring them back."""
    project = created(tmp_path)
    project.folder.joinpath("project.toml").write_text(
        project.folder.joinpath("project.toml").read_text().replace("created = ", 'created = "2020" # ')
    )
    discarded(project, project.outputs, what="1 video")
    with Project.find("golf").locked("rename") as held:
        held.renamed("swing")
    with pytest.raises(NotFound, match="the project 'golf' that 1 video belonged to is not there") as told:
        Project.restore("golf")
    assert told.value.fix == ("mdctl rename swing golf", "mdctl restore golf")
    created(tmp_path)
    with pytest.raises(NotFound) as told:
        Project.restore("golf")
    assert told.value.fix == ("mdctl rename golf golf-2", "mdctl rename swing golf", "mdctl restore golf")
    for old, new in (("golf", "golf-2"), ("swing", "golf")):
        with Project.find(old).locked("rename") as held:
            held.renamed(new)
    assert [video.name for video in Project.restore("golf").videos()] == ["a.mp4"]


def test_order_does_not_hang_on_the_clock(tmp_path: Path) -> None:
    """Ten in one second come back the last first, also when the clock was set back before the last."""
    for number in range(11):
        project = created(tmp_path)
        project.set("title", f"take {number}")
        if number == 10:
            for path in locations.trash().iterdir():
                path.rename(path.with_name(path.name.replace("@2", "@3")))
        discarded(project)
    for number in reversed(range(11)):
        assert Project.restore("golf", under=f"golf-{number}").record.title == f"take {number}"


def test_what_else_lies_in_the_trash(tmp_path: Path) -> None:
    """Projects without a note are projects, replaced files are told by their names, oddities as what they are."""
    project = created(tmp_path)
    folder = atomic.room(locations.trash())
    project.folder.rename(folder / "golf@20261122-071403")
    (folder / "20261122-0731_5f0c21aa_a b.mp4").write_bytes(b"12345")
    (folder / "golf@20261122-999999").mkdir()
    (folder / "nobody knows").touch()
    (folder / ".tmp-x").touch()
    (folder / "golf@20261122-071404.part").mkdir()
    (folder / "golf@20261122-071404.part" / "note.json").write_text("[")
    told = {thing.path.name: (thing.name, thing.what) for thing in trash.things()}
    assert told == {
        "golf@20261122-071403": ("golf", "project"),
        "golf@20261122-999999": ("golf", "project"),
        "20261122-0731_5f0c21aa_a b.mp4": ("a b.mp4", "file"),
        "nobody knows": ("nobody knows", "file"),
    }
    assert [thing.size_bytes for thing in trash.things() if thing.name == "a b.mp4"] == [5]
    assert Project.restore("golf").record.caption == "a person is playing golf"
    trash.empty(trash.things())
    assert [path.name for path in folder.iterdir()] == [".tmp-x"]


def test_days_that_are_left(tmp_path: Path) -> None:
    """Thirty at first, none after that."""
    now = datetime.now(UTC)
    for age, left in ((0.5, 30), (1.5, 29), (29.5, 1), (30.5, 0), (400, 0)):
        assert trash.Trashed(tmp_path, "golf", "project", now - timedelta(days=age)).days_left == left


def test_a_project_that_a_video_is_made_with(tmp_path: Path) -> None:
    """It stays, as do its runs and its name; its videos may go."""
    project = created(tmp_path, "golf", 50)
    (run,) = project.runs()
    with locks.reader(run.saves()[0].folder), project.locked("rm"):
        for change in (project.discard, lambda: project.discard(run.folder), lambda: project.renamed("swing")):
            with pytest.raises(Busy, match="a video is being made with 'golf'"):
                change()
        project.discard(project.outputs, what="1 video")
    assert [one.name for one in Project.all()] == ["golf"]


def test_saves_that_can_be_spared(tmp_path: Path) -> None:
    """Only those older than the newest whose content is right, but for a pinned one; all stay while none is right."""
    project = created(tmp_path, "golf", 50, 100, 150, 200)
    (run,) = project.runs()

    def steps(folders: list[Path]) -> list[str]:
        return [folder.name for folder in folders]

    assert steps(run.spare(2)) == ["000050", "000100"]
    assert steps(run.spare(1, pinned="100")) == ["000050", "000150"]
    (run.folder / "ckpt" / "000200" / "temporal.safetensors").write_bytes(b"bad")
    assert steps(run.spare(1)) == ["000050", "000100"]
    (run.folder / "ckpt" / "000100").rename(run.folder / "ckpt" / ".damaged-000100")
    assert steps(run.spare(1)) == [".damaged-000100", "000050"]
    for save in ("000050", "000150"):
        (run.folder / "ckpt" / save / "temporal.safetensors").write_bytes(b"ba")
    assert run.spare(1) == []


def test_a_copy_of_clips_and_settings(tmp_path: Path) -> None:
    """Without runs neither these nor videos nor what was pinned come along; with them everything does."""
    project = created(tmp_path, "golf", 50)
    path = project.folder / "project.toml"
    path.write_text("# mine\n" + path.read_text() + "\n[train]\nrank = 4\n\n[pin]\ncheckpoint = '50'\n")
    project = Project.open("golf")
    bare, full = project.copy("bare", with_runs=False), project.copy("full")
    assert (bare.runs(), bare.videos(), dict(bare.record.pin)) == ([], [], {})
    assert bare.same_clips(clip.sha256 for clip in project.clips)
    assert bare.fault is None
    assert dict(bare.record.train) == {"rank": 4}
    assert bare.folder.joinpath("project.toml").read_text().startswith("# mine\n")
    assert 'name = "bare"' in bare.folder.joinpath("project.toml").read_text()
    assert [run.id for run in full.runs()] == [run.id for run in project.runs()]
    assert dict(full.record.pin) == {"checkpoint": "50"}
    for name in ("full", "golf", "Full"):
        with pytest.raises(UsageFault, match="exists"), project.locked("copy"):
            project.copy(name)


# --- Crashes

CHANGES = ("open", "write", "mkdir", "link", "replace", "rename", "unlink", "rmdir")
KILLED = 137


def ending(work: Callable[[], object], number: int) -> int:
    """Run something in a process that ends, as after `kill -9`, at the Nth change of the file system; its status."""
    if not (pid := os.fork()):
        operations = count(1)

        def watched(real: Callable[..., Any], name: str) -> Callable[..., Any]:
            def operation(*args: Any, **more: Any) -> Any:
                changes = name != "open" or args[1] & (os.O_CREAT | os.O_TRUNC)
                if changes and next(operations) >= number:
                    os._exit(KILLED)
                return real(*args, **more)

            return operation

        for name in CHANGES:
            setattr(os, name, watched(getattr(os, name), name))
        try:
            work()
        finally:
            os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def removed_and_restored() -> Iterator[bool]:
    """Whatever there is to be done with a project, each thing in its turn; what is done already is not done again."""
    with suppress(NotFound), Project.find("golf").locked("rm") as project:
        if project.outputs.exists():
            project.discard(project.outputs, *(save.folder for save in project.runs()[0].saves()[:1]), what="parts")
        yield True
        project.discard()
    yield True
    with suppress(NotFound):
        Project.restore("golf")
    yield True
    with suppress(NotFound):
        Project.restore("golf")
    yield True
    with suppress(NotFound), Project.find("golf").locked("rename") as project:
        project.renamed("swing")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_crash_loses_nothing(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """At every third change; each file is there once, in the project or in the trash, and comes back (H1, N7).

    Every single one of `rm`, `restore` and `rename` is tried by the fault suite.
    """
    monkeypatch.setattr(os, "fsync", lambda _: None)
    store = shutil.copytree(created(tmp_path, "golf", 50, 100).folder.parents[1], tmp_path / "store")
    whole = contents(store)

    number = 0
    for number in count(1, 3):
        shutil.rmtree(home)
        shutil.copytree(store, home)
        if not ending(lambda: all(removed_and_restored()), number):
            break
        assert contents(locations.projects(), locations.trash()).keys() == whole.keys(), number
        for left in trash.things():
            Project.restore(left.name)
        (project,) = Project.all()
        assert project.fault is None, number
        assert [save.step for save in project.runs()[0].saves()] == [50, 100], number
        assert [video.name for video in project.videos()] == ["a.mp4"], number
        assert trash.things() == [], number
    assert [project.name for project in Project.all()] == ["swing"]
    assert number > 40
