"""`rename`, `copy`, `rm`, `restore`, `trash`, `verify`: in order, and nothing lost."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from stage import Mdctl, Play, sidecar, tree

from mdctl.cli.app import main
from mdctl.workspace import atomic, locations, locks, trash
from mdctl.workspace.project import Project
from mdctl.workspace.runs import Run

FAST = ("--steps", "1", "--threads", "1")


@pytest.fixture(scope="session")
def shot(tmp_path_factory: pytest.TempPathFactory, studio: Path) -> Path:
    """A folder with a video of `golf` and what stands beside it."""
    folder = tmp_path_factory.mktemp("shot") / "home"
    shutil.copytree(studio, folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MDCTL_HOME", str(folder))
        assert main(["gen", "golf", "a monkey", "--seed", "3", *FAST, "-q"]) == 0
        return Project.open("golf").outputs


@pytest.fixture
def video(golf: Project, shot: Path) -> Path:
    """A video of `golf`."""
    shutil.copytree(shot, golf.outputs)
    (path,) = golf.videos()
    return path


# --- Names


@pytest.mark.parametrize("command", ["rename", "mv"])
def test_another_name(mdctl: Mdctl, golf: Project, video: Path, command: str) -> None:
    """All of it moves; what stands beside a video is history, and the save that is pinned is found."""
    assert mdctl("pin", "golf", "--checkpoint", "4").code == 0
    before = tree(golf.folder)
    said = mdctl(command, "golf", "swing", "-q")
    assert (said.code, said.lines) == (0, [str(golf.folder.with_name("swing"))])
    swing = Project.open("swing")
    after = tree(swing.folder)
    assert before.pop("project.toml") != after.pop("project.toml")
    assert after == before
    assert 'name = "swing"' in (swing.folder / "project.toml").read_text()
    assert sidecar(swing.outputs / video.name)["project"] == "golf"
    assert mdctl("list", "-q").lines == ["swing"]
    said = mdctl("gen", "swing", "a monkey", *FAST, "-q")
    assert sidecar(said.lines[0])["voices"][0]["save"] == 4
    assert mdctl("show", "golf").code == 3


def test_a_video_of_the_old_name_is_made_again(mdctl: Mdctl, golf: Project, video: Path) -> None:
    """Its recipe finds the save by what it holds, under whatever name, also when another has the old one now."""
    assert mdctl("mv", "golf", "swing").code == 0
    video = golf.folder.with_name("swing") / "outputs" / video.name
    for _ in range(2):
        said = mdctl("gen", "--from", str(video), "--check")
        assert (said.code, said.lines) == (0, [str(video)]), said.err
        mdctl("copy", "swing", "golf")


def test_a_copy_to_train_otherwise(mdctl: Mdctl, golf: Project, video: Path) -> None:
    """Clips and settings come along, runs and videos on demand; a sweep can go on from there."""
    assert mdctl("cp", "golf", "bare").code == 0
    bare = Project.open("bare")
    assert (bare.status, bare.videos(), len(bare.clips)) == ("new", [], 2)
    assert mdctl("train", "bare", "--dry-run").code == 0
    assert mdctl("copy", "golf", "full", "--with-runs").code == 0
    full = Project.open("full")
    assert (full.status, [path.name for path in full.videos()]) == ("trained · 6", [video.name])
    assert mdctl("verify", "full").code == 0


@pytest.mark.parametrize("command", ["rename", "copy"])
@pytest.mark.parametrize(("old", "new", "code"), [("golf", "golf", 2), ("golf", "Swing!", 2), ("gulf", "swing", 3)])
def test_names_that_cannot_be(mdctl: Mdctl, golf: Project, command: str, old: str, new: str, code: int) -> None:
    """A name that is taken or bad, and a project that is not there."""
    before = tree(golf.folder.parent)
    assert mdctl(command, old, new).code == code
    assert tree(golf.folder.parent) == before


def test_a_broken_project_can_be_renamed_and_removed(mdctl: Mdctl, golf: Project) -> None:
    """What cannot be read stays as it is, under its new name, in the trash, and back."""
    (golf.folder / "project.toml").write_text("[clips")
    for line in (("mv", "golf", "swing"), ("rm", "swing", "--checkpoints", "--keep", "1"), ("rm", "swing")):
        assert mdctl(*line).code == 0
    assert mdctl("restore", "swing").code == 0
    assert (golf.folder.with_name("swing") / "project.toml").read_text() == "[clips"


@pytest.mark.parametrize(
    "line",
    ["rename golf swing", "copy golf swing", "rm golf", "rm golf --outputs", "verify golf", "clips rm golf 1"],
)
def test_while_it_is_trained(mdctl: Mdctl, golf: Project, line: str) -> None:
    """The holder is named, and nothing happens (H6)."""
    with golf.locked("train"):
        before = tree(golf.folder)
        said = mdctl(*line.split())
        assert (said.code, "golf is being trained by pid" in said.err) == (6, True)
        assert tree(golf.folder) == before
    assert not locations.trash().exists()


def test_while_a_video_is_made(mdctl: Mdctl, golf: Project, run: Run) -> None:
    """Its save, and so the project, stays where it is."""
    with locks.reader(run.saves()[-1].folder):
        for line in (("rm", "golf"), ("mv", "golf", "swing"), ("rm", "golf", "--run", "1")):
            said = mdctl(*line)
            assert (said.code, "a video is being made with 'golf'" in said.err) == (6, True)
    assert mdctl("rm", "golf").code == 0


# --- Into the trash and out of it


def test_removed_and_restored(mdctl: Mdctl, golf: Project, video: Path) -> None:
    """It is gone at once, the line that undoes it is told, and that line brings all of it back."""
    before = tree(golf.folder)
    said = mdctl("rm", "golf")
    assert (said.code, said.out) == (0, "")
    assert "mdctl restore golf" in said.err
    assert "30 days" in said.err
    assert mdctl("list", "-q").lines == []
    (line,) = mdctl("trash", "list").lines
    assert (line.split("\t")[:2], line.split("\t")[4]) == (["golf", "project"], "30 days")
    assert mdctl("restore", "golf").code == 0
    assert tree(golf.folder) == before
    assert mdctl("trash", "list").lines == []
    assert mdctl("restore", "golf").code == 3


def test_only_the_videos(mdctl: Mdctl, golf: Project, video: Path) -> None:
    """Videos and grids go, and come back beside those that were made meanwhile."""
    assert mdctl("grid", "golf", "a monkey", "--strength", "0.5,1", *FAST).code == 0
    before = tree(golf.folder)
    said = mdctl("rm", "golf", "--outputs", "--json")
    assert said.records[-1]["what"] == "1 video, 1 grid"
    assert (golf.videos(), (golf.folder / "grids").exists()) == ([], False)
    assert golf.status == "trained · 6"
    said = mdctl("rm", "golf", "--outputs")
    assert (said.code, "'golf' has no videos" in said.err) == (0, True)
    atomic.write(golf.outputs / "new.mp4", b"new")
    assert mdctl("restore", "golf").code == 0
    assert {name: content for name, content in tree(golf.folder).items() if name != "outputs/new.mp4"} == before


def test_only_a_run(mdctl: Mdctl, golf: Project, run: Run) -> None:
    """By the number that show gives it; a pin that went with it is told."""
    assert mdctl("pin", "golf", "--checkpoint", "4").code == 0
    said = mdctl("rm", "golf", "--run", "2")
    assert (said.code, "'golf' has no run 2" in said.err) == (3, True)
    said = mdctl("rm", "golf", "--run", "1")
    assert (said.code, "mdctl pin golf --clear" in said.err) == (0, True)
    assert golf.runs() == []
    assert mdctl("restore", "golf").code == 0
    assert mdctl("gen", "golf", "a monkey", "--dry-run").code == 0


def test_only_older_saves(mdctl: Mdctl, golf: Project, run: Run) -> None:
    """The newest stay, and what training goes on from; a pinned one stays too."""
    assert mdctl("rm", "golf", "--checkpoints").code == 0
    assert [save.step for save in run.saves()] == [4, 6]
    golf.set("pin.checkpoint", "4")
    assert "no saves to spare" in mdctl("rm", "golf", "--checkpoints", "--keep", "1").err
    golf.set("pin.checkpoint", None)
    said = mdctl("rm", "golf", "--checkpoints", "--keep", "1", "--dry-run")
    assert ("1 save of 'golf'" in said.err, len(run.saves())) == (True, 2)
    assert mdctl("rm", "golf", "--checkpoints", "--keep", "1").code == 0
    assert [save.step for save in run.saves()] == [6]
    assert mdctl("train", "golf", "--steps", "8").code == 0
    assert mdctl("restore", "golf").code == 0
    assert 4 in [save.step for save in run.saves()]
    assert mdctl("verify", "golf").code == 0


@pytest.mark.parametrize(
    ("flags", "code"),
    [
        (("--run", "1", "--outputs"), 2),
        (("--keep", "1"), 2),
        (("--checkpoints", "--keep", "0"), 2),
        (("--run", "0"), 3),
        (("--run", "-1"), 3),
    ],
)
def test_what_cannot_be_removed(mdctl: Mdctl, golf: Project, flags: tuple[str, ...], code: int) -> None:
    """Nothing goes."""
    before = tree(golf.folder)
    assert mdctl("rm", "golf", *flags).code == code
    assert tree(golf.folder) == before


def test_a_name_that_is_taken_again(mdctl: Mdctl, golf: Project, films: Path) -> None:
    """The line with a free name is told, and works."""
    assert mdctl("rm", "golf").code == 0
    assert mdctl("new", "golf", str(films / "walk.mp4"), "--size", "32x32", "--frames", "4").code == 0
    assert mdctl("cp", "golf", "golf-2").code == 0
    said = mdctl("restore", "golf")
    assert said.code == 2
    assert "mdctl restore golf --as golf-3" in said.err
    assert mdctl("restore", "golf", "--as", "golf-3").code == 0
    assert Project.open("golf-3").status == "trained · 6"
    assert mdctl("restore", "golf", "--as", "golf-4").code == 3


def test_emptying_the_trash(mdctl: Mdctl, golf: Project) -> None:
    """Sizes are shown first; in a pipe it wants --yes; only what is old enough goes."""
    assert "The trash is empty" in mdctl("trash", "list").err
    assert mdctl("trash", "empty").code == 0
    for name in ("old", "new"):
        mdctl("copy", "golf", name)
        mdctl("rm", name)
    (old,) = locations.trash().glob("old@*")
    old.rename(old.with_name("old@20251122-071403"))
    assert [line.split("\t")[4] for line in mdctl("trash", "list").lines] == ["30 days", "now"]
    said = mdctl("trash", "empty", "--older-than", "30d")
    assert said.code == 2
    assert "mdctl trash empty --older-than 30d --yes" in said.err
    assert mdctl("trash", "empty", "--older-than", "soon").code == 2
    assert mdctl("trash", "empty", "-n").code == 0
    assert len(trash.things()) == 2
    said = mdctl("trash", "empty", "--older-than", "30d", "--yes", "--json")
    assert (said.code, said.records[-1]["removed"]) == (0, 1)
    assert [thing.name for thing in trash.things()] == ["new"]
    assert mdctl("trash", "empty", "-y").code == 0
    assert trash.things() == []
    assert Project.open("golf").status == "trained · 6"


@pytest.mark.parametrize(("answer", "left"), [("y\n", 0), ("no\n", 1), ("\n", 1)])
def test_asked_on_a_terminal(mdctl: Mdctl, golf: Project, play: Play, answer: str, left: int) -> None:
    """Only a yes removes anything."""
    mdctl("rm", "golf")
    played = play("trash", "empty", terminal=True)
    played.until(lambda: b"for good?" in played.screen)
    played.type(answer)
    assert played.wait() == 0
    assert len(trash.things()) == left


# --- Verify


def test_what_is_sound(mdctl: Mdctl, golf: Project, video: Path, films: Path) -> None:
    """Clips, runs, saves and videos, also those of grids; nothing is changed by it."""
    mdctl("grid", "golf", "a monkey", "--strength", "0.5,1", *FAST)
    mdctl("new", "bare", str(films / "walk.mp4"), "--size", "32x32", "--frames", "4")
    before = tree(golf.folder)
    said = mdctl("verify", "golf")
    assert (said.code, said.out) == (0, "")
    assert "2 documents, 2 clips, 1 run, 2 saves, 3 videos" in said.err
    said = mdctl("verify", "--all", "--json")
    assert [(one["project"], one["sound"]) for one in json.loads(said.out)] == [("bare", True), ("golf", True)]
    assert tree(golf.folder) == before
    assert mdctl("verify", "gulf").code == 3
    assert mdctl("verify").code == mdctl("verify", "golf", "--all").code == 2


def flipped(path: Path) -> Path:
    """The file with one bit flipped in its middle."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    return path


SPOILT: dict[str, tuple[str, Callable[[Project, Path], object]]] = {
    "document": ("'schema' is missing", lambda golf, _: (golf.folder / "project.toml").write_text("modell = 1")),
    "clip": ("its content has changed", lambda golf, _: flipped(golf.path_of(golf.clips[1]))),
    "clip gone": ("it is missing", lambda golf, _: golf.path_of(golf.clips[1]).unlink()),
    "run": ("run.toml", lambda golf, _: (golf.runs()[0].folder / "run.toml").write_text("[train")),
    "save": (
        "temporal.safetensors: its content has changed",
        lambda golf, _: flipped(golf.runs()[0].saves()[0].folder / "temporal.safetensors"),
    ),
    "save gone": ("it is missing", lambda golf, _: shutil.rmtree(golf.runs()[0].saves()[-1].folder)),
    "save aside": (
        "set aside",
        lambda golf, _: golf.runs()[0].saves()[0].folder.rename(golf.runs()[0].folder / "ckpt" / ".damaged-000004"),
    ),
    "video": ("damaged", lambda _, video: video.write_bytes(video.read_bytes()[:300])),
    "video bare": ("beside it", lambda _, video: video.with_suffix(".json").unlink()),
    "video told otherwise": (
        "is not what was written",
        lambda _, video: video.with_suffix(".json").write_text(
            video.with_suffix(".json").read_text().replace('"seed": 3', '"seed": 4')
        ),
    ),
    "video no record": ("cannot be read", lambda _, video: video.with_suffix(".json").write_text("[")),
}


@pytest.mark.parametrize("what", SPOILT)
def test_what_is_damaged(mdctl: Mdctl, golf: Project, video: Path, what: str) -> None:
    """Each fault is found, told with its place, and the exit code says so (E7)."""
    words, spoil = SPOILT[what]
    spoil(golf, video)
    said = mdctl("verify", "golf")
    assert said.code == 10
    (line,) = said.lines
    assert line.split("\t")[:2] == ["golf", what.split()[0]]
    assert words in line, line
    assert len(mdctl("verify", "golf", "-q").lines) == 1


def test_all_that_is_damaged(mdctl: Mdctl, golf: Project, video: Path) -> None:
    """Every fault is told, not only the first; the videos of mixes belong to all."""
    for what in ("clip gone", "run", "save", "video bare"):
        SPOILT[what][1](golf, video)
    mix = locations.mixes() / "a+golf" / "outputs"
    atomic.write(mix / "x.mp4", b"no video")
    said = mdctl("verify", "--all", "--json")
    assert said.code == 10
    one, other = json.loads(said.out)
    assert [fault["what"] for fault in one["faults"]] == ["clip", "run", "save", "video"]
    assert (other["project"], [fault["path"] for fault in other["faults"]]) == ("a+golf", [str(mix / "x.mp4")])
    error = json.loads(said.err.splitlines()[-1])
    assert (error["code"], error["exit"]) == ("MD-DAMAGED", 10)
    assert "copy the original to that place again" in error["fix"][0]


def test_busy_ones_among_all(mdctl: Mdctl, golf: Project) -> None:
    """The others are looked at, and that one was left out is told."""
    mdctl("copy", "golf", "bare")
    with golf.locked("train"):
        said = mdctl("verify", "--all", "--json")
    assert said.code == 6
    assert [one["project"] for one in json.loads(said.out[: said.out.rindex("]") + 1])] == ["bare"]


def test_short_names_are_not_in_the_help(mdctl: Mdctl, golf: Project) -> None:
    """They work, and help lists the long ones only."""
    listed = [line.split()[0] for line in mdctl("--help").lines if line.startswith("  ")]
    assert {"rename", "copy", "list"} <= set(listed)
    assert not {"mv", "cp", "ls"} & set(listed)
    assert mdctl("ls", "-q").lines == ["golf"]
