"""`list`, `show` and `path`: what there is, whatever state it is in."""

import json
import os
import shutil
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from stage import Mdctl

from mdctl.cli.view.look import when
from mdctl.workspace.project import Project
from mdctl.workspace.runs import Run

Hold = Callable[[Path], None]


def test_nothing_yet(mdctl: Mdctl, home: Path) -> None:
    """An empty home is told what to begin with, and stays as it was."""
    said = mdctl("list")
    assert (said.code, said.out) == (0, "")
    assert "mdctl new golf" in said.err
    assert json.loads(mdctl("list", "--json").out) == []
    assert mdctl("path").lines == [str(home)]
    assert not home.exists()


def test_a_list_for_programs(mdctl: Mdctl, golf: Project, model: Path, home: Path, unchanged: Hold) -> None:
    """In a pipe a line has eight fields between tabs, with -q the name, with --json everything."""
    unchanged(home)
    (line,) = mdctl("list").lines
    assert line.split("\t")[:6] == ["golf", "motion", "2", "trained · 6", str(model), "0"]
    assert len(line.split("\t")) == 8
    assert mdctl("-q", "list").lines == ["golf"]
    (record,) = json.loads(mdctl("list", "--json").out)
    assert (record["name"], record["status"], record["path"]) == ("golf", "trained · 6", str(golf.folder))
    assert record["bytes"] == golf.disk_bytes()


@pytest.mark.parametrize("place", [".", "project.toml", "outputs", "runs", "runs/RUN/events.jsonl"])
def test_when_it_was_last_used(mdctl: Mdctl, golf: Project, run: Run, place: str) -> None:
    """An edit, a training or a video counts, wherever in the project it leaves its trace."""
    golf.outputs.mkdir(exist_ok=True)
    for path in (golf.folder, *golf.folder.rglob("*")):
        os.utime(path, (1e9, 1e9))
    os.utime(golf.folder / place.replace("RUN", run.id), (1.1e9, 1.1e9))
    (record,) = json.loads(mdctl("list", "--json").out)
    assert record["used"] == "2004-11-09 11:33"


@pytest.mark.parametrize(
    ("passed", "told"),
    [
        (5, "just now"),
        (61, "1 m ago"),
        (7300, "2 h ago"),
        (29.5 * 86400, "29 d ago"),
        (-90, None),
        (31 * 86400, None),
    ],
)
def test_so_long_ago(passed: float, told: str | None) -> None:
    """A screen tells how long ago it was, of what is long ago or yet to come the date, and programs get the time."""
    then = datetime.now(UTC) - timedelta(seconds=passed)
    assert when(then, on_screen=True) == (told or f"{then.astimezone():%Y-%m-%d}")
    assert when(then, on_screen=False) == f"{then.astimezone():%Y-%m-%d %H:%M}"


def test_only_some(mdctl: Mdctl, golf: Project, run: Run) -> None:
    """A status chooses projects; one that there is not is a slip."""
    for status, found in (("trained", ["golf"]), ("paused", []), ("new", []), ("attention", [])):
        assert mdctl("list", "--status", status, "-q").lines == found
    run.extend(9)
    assert mdctl("list", "--status", "paused", "-q").lines == ["golf"]
    assert "no projects yet" not in mdctl("list", "--status", "trained").err
    assert mdctl("list", "--status", "tired").code == 2


def test_one_project(mdctl: Mdctl, golf: Project, run: Run, home: Path, unchanged: Hold) -> None:
    """Caption, clips, runs with their saves, disk and folder; --json gives the frozen settings too."""
    unchanged(home)
    said = mdctl("show", "golf")
    assert said.code == 0
    facts = dict(line.split("\t", 1) for line in said.lines)
    assert "a red square is walking" in facts["golf"]
    assert facts["clips"] == "walk.mp4, other.mp4"
    assert facts["run 1"] == f"trained · 6   saves 4, 6   {run.id}"
    assert facts["folder"] == str(golf.folder)
    record = json.loads(mdctl("show", "golf", "--json").out)
    assert (record["caption"], record["subject"]) == ("a red square is walking", "a red square")
    assert record["runs"][0]["settings"] == run.settings
    assert mdctl("path", "golf").lines == [str(golf.folder)]


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda folder: (folder / "project.toml").write_text("[clips"), "project.toml, line"),
        (lambda folder: (folder / "project.toml").write_bytes(b"\xff\xfe"), "not UTF-8"),
        (lambda folder: (folder / "project.toml").unlink(), "there is no 'project.toml'"),
        (lambda folder: (folder / "clips.toml").unlink(), "there is no 'clips.toml'"),
        (lambda folder: shutil.rmtree(folder / "clips"), "the clip 'walk.mp4' of 'golf' is gone"),
        (lambda folder: next(folder.glob("runs/*/run.toml")).unlink(), "there is no 'run.toml'"),
    ],
)
def test_a_project_that_needs_attention(
    mdctl: Mdctl, golf: Project, spoil: Callable[[Path], object], words: str
) -> None:
    """It is listed all the same, and `show` tells what is wrong with it."""
    spoil(golf.folder)
    shutil.copytree(golf.folder, golf.folder.with_name("zebra"))
    assert mdctl("-q", "list").lines == ["golf", "zebra"]
    assert [line.split("\t")[3] for line in mdctl("list").lines] == ["needs attention"] * 2
    assert mdctl("list", "--status", "attention", "-q").lines == ["golf", "zebra"]
    said = mdctl("show", "golf")
    assert said.code in (3, 4)
    assert words in said.err
    assert mdctl("path", "golf").code == 0


def test_a_folder_with_nothing_in_it(mdctl: Mdctl, golf: Project) -> None:
    """What is left of a project by hand is no crash."""
    (golf.folder.parent / "half").mkdir()
    (golf.folder.parent / "file").touch()
    assert mdctl("-q", "list").lines == ["golf", "half"]
    assert mdctl("show", "half").code == 3
    assert mdctl("train", "half").code == 3
    assert mdctl("gen", "half", "a monkey").code == 3


@pytest.mark.parametrize("command", ["show", "path", "train"])
def test_an_unknown_name(mdctl: Mdctl, golf: Project, command: str) -> None:
    """The name that was meant is offered; a name that cannot be is told so."""
    said = mdctl(command, "gulf")
    assert (said.code, said.out) == (3, "")
    assert "did you mean 'golf'?" in said.err
    assert f"  fix    mdctl {command} golf\n" in said.err
    assert mdctl(command, "../golf").code == 2


def test_an_error_as_a_record(mdctl: Mdctl, golf: Project) -> None:
    """With --json the last line of stderr is the error in its four parts."""
    said = mdctl("--json", "show", "gulf")
    assert said.out == ""
    record = json.loads(said.err.splitlines()[-1])
    assert (record["event"], record["code"], record["exit"]) == ("error", "MD-NOTFOUND", 3)
    assert record["what"] == "there is no project 'gulf'."
    assert {"why", "saved", "fix", "schema", "seq", "t", "command"} <= set(record)


def test_hints(mdctl: Mdctl, golf: Project) -> None:
    """`show` tells what is pinned, and `list` how to learn what is wrong with a project."""
    golf.set("pin.strength", 0.7)
    assert "pinned\t--strength 0.7" in mdctl("show", "golf").lines
    assert "mdctl show golf" not in mdctl("list").err
    (golf.folder / "project.toml").unlink()
    assert "mdctl show golf" in mdctl("list").err
