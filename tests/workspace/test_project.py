"""Projects on disk."""

import os
from collections.abc import Iterable
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from mdctl.errors import BadInput, Busy, NotFound, NotReady, UsageFault
from mdctl.workspace import locations, locks
from mdctl.workspace.project import Project, check_name
from mdctl.workspace.records import NewClip, subject_of


def clip(folder: Path, name: str = "swing a.mp4", content: bytes = b"moving pictures", **said: Any) -> NewClip:
    """A clip that was looked at."""
    path = folder / name
    path.write_bytes(content)
    known: dict[str, Any] = {"size_bytes": len(content), "width": 64, "height": 48, "fps": 29.97, "duration_s": 3.2}
    return NewClip(path=path, sha256=sha256(content).hexdigest(), name=name, **{"suffix": ".mp4"} | known | said)


def created(folder: Path, name: str = "golf", **said: Any) -> Project:
    """A project of one clip."""
    return Project.create(name, **{"caption": "a person is playing golf", "clips": [clip(folder)], **said})


def everything(folder: Path) -> dict[str, bytes]:
    """All files below a folder with their content, but for locks."""
    files = (path for path in folder.rglob("*") if path.is_file() and ".locks" not in path.parts)
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def names(projects: Iterable[Project]) -> list[str]:
    """The names of projects."""
    return [project.name for project in projects]


# Names


@pytest.mark.parametrize(
    ("name", "near"),
    [
        *(("../../etc", "etc"), ("/abs/x", "abs-x"), ("a/b", "a-b"), ("..", "my-motion"), (".hidden", "hidden")),
        *(
            ("-rf", "rf"),
            ("", "my-motion"),
            ("x" * 300, "x" * 64),
            ("a\0b", "a-b"),
            ("a\nb", "a-b"),
            ("golf\n", "golf"),
        ),
        *(("Golf Swing!", "golf-swing"), ("日本", "my-motion"), ("a\udcff", "a"), ("golf.", "golf"), ("golf ", "golf")),
        *(("con", "con-motion"), ("nul", "nul-motion"), ("com1", "com1-motion"), ("lpt9", "lpt9-motion")),
        *(("lpt¹", "lpt1-motion"), ("AUX", "aux-motion")),
    ],
)
def test_a_bad_name_is_refused_with_a_good_one(home: Path, tmp_path: Path, name: str, near: str) -> None:
    """Nothing is created anywhere, and the name that is suggested would do (A1, A2)."""
    before = everything(tmp_path)
    with pytest.raises(UsageFault) as told:
        Project.create(name, caption="x", clips=[])
    assert told.value.fix == (f"call it {near}",)
    assert check_name(near) == near
    assert told.value.what.isprintable()
    assert everything(tmp_path) == before
    assert not home.exists()


@pytest.mark.parametrize("name", ["golf", "0", "a_b-c", "x" * 64, "console", "com", "com10"])
def test_a_good_name_is_taken_as_it_is(name: str) -> None:
    """Names that only look like devices are none."""
    assert check_name(name) == name


@pytest.mark.parametrize("name", ["Golf", "GOLF", "gölf", "go\u0308lf", "\uff47\uff4f\uff4c\uff46"])
def test_names_are_compared_without_case_and_form(home: Path, tmp_path: Path, name: str) -> None:
    """What differs in case or Unicode form only exists already, and stays byte for byte (A3)."""
    created(tmp_path)
    before = everything(home)
    with pytest.raises(UsageFault, match="exists as golf"):
        created(tmp_path, name)
    with pytest.raises(UsageFault, match="exists as golf"):
        Project.open(name)
    assert everything(home) == before


# Making


def test_a_project_holds_copies_by_content(home: Path, tmp_path: Path) -> None:
    """What was told is read back, originals stay as they are, and nothing else lies about."""
    first = clip(tmp_path, "swing a.mp4", trim=(0.4, 2.4), caption="she swings")
    second = clip(tmp_path, "x.gif", b"GIF", suffix=".gif", fps=0, duration_s=0)
    created(
        tmp_path, clips=[first, second], table={"train": {"rank": 16}, "gen": {}}, template="draft", model="starter"
    )
    project = Project.open("golf")
    record = project.record
    assert (record.name, record.kind, record.caption) == ("golf", "motion", "a person is playing golf")
    assert (record.subject, record.model, record.template, record.schema) == ("a person", "starter", "draft", 1)
    assert (record.train, record.gen, record.clips, record.pin) == ({"rank": 16}, {}, {}, {})
    assert record.created.endswith("Z")
    one, two = project.clips
    assert (one.name, one.caption, one.trim, one.source) == ("swing a.mp4", "she swings", (0.4, 2.4), str(first.path))
    assert (one.size_bytes, one.width, one.height, one.fps, one.duration_s) == (15, 64, 48, 29.97, 3.2)
    assert (two.file, two.trim, two.caption, two.fps) == (f"{second.sha256[:12]}.gif", None, "", 0.0)
    for record_of, origin in ((one, first), (two, second)):
        assert project.path_of(record_of).read_bytes() == origin.path.read_bytes()
    assert {path.name for path in project.folder.iterdir()} == {"project.toml", "clips.toml", "clips"}
    assert project.same_clips([first.sha256])
    assert not project.same_clips([first.sha256, "0" * 64])
    assert project.disk_bytes("clips") == 18
    assert project.disk_bytes() > 18
    assert (project.fault, project.status, project.runs(), project.videos()) == (None, "new", [], [])
    assert str(os.fspath(project)) == str(home / "projects" / "golf")


@pytest.mark.parametrize(
    ("caption", "subject"),
    [
        ("a person is playing golf", "a person"),
        ("two men are what this is about", "two men"),
        ("this island", ""),
        ("", ""),
        ("a bird is what birds are", "a bird"),
    ],
)
def test_the_subject_stands_before_the_verb(caption: str, subject: str) -> None:
    """The first " is " or " are " ends the subject."""
    assert subject_of(caption) == subject


def test_strange_names_of_clips_are_data(tmp_path: Path) -> None:
    """No name reaches the disk as a name, and each is found again by hash (A4, A5)."""
    strange = [
        "-i.mp4",
        "a:b.mp4",
        "100%d.png",
        "x[1]*.mp4",
        "a|b",
        "$(touch pwn).mp4",
        'q"\n[x]',
        os.fsdecode(b"c\xff"),
    ]
    clips = [clip(tmp_path, name, name.encode("utf-8", "surrogateescape")) for name in strange]
    project = created(tmp_path, clips=clips)
    assert [record.sha256 for record in Project.open("golf").clips] == [clip.sha256 for clip in clips]
    assert [record.name for record in Project.open("golf").clips] == [*strange[:-1], "c\\xff"]
    assert all(path.stem.isalnum() and path.suffix == ".mp4" for path in (project.folder / "clips").iterdir())


def test_one_clip_twice_is_one_copy(tmp_path: Path) -> None:
    """Two windows of the same content share a file."""
    project = created(tmp_path, clips=[clip(tmp_path, trim=(0, 1)), clip(tmp_path, trim=(1, 2))])
    assert len(project.clips) == 2
    assert len(list((project.folder / "clips").iterdir())) == 1


def test_a_project_appears_complete_or_not_at_all(home: Path, tmp_path: Path) -> None:
    """A clip that changed, vanished, or is of an unknown kind leaves no project and no trace."""
    good = clip(tmp_path)
    changed = clip(tmp_path, "b.mp4", b"one")
    changed.path.write_bytes(b"two")
    gone = clip(tmp_path, "c.mp4", b"gone")
    gone.path.unlink()
    alike = NewClip(tmp_path / "b.mp4", good.sha256[:12] + "0" * 52, ".mp4", "alike")
    for bad, fault in (
        (changed, BadInput),
        (gone, NotFound),
        (clip(tmp_path, "d", b"d", suffix=".m3u8"), BadInput),
        (alike, BadInput),
    ):
        with pytest.raises(fault):
            created(tmp_path, clips=[good, bad])
    with pytest.raises(BadInput, match="no key 'trian'"):
        created(tmp_path, table={"trian": {}})
    assert Project.all() == []
    assert everything(home) == {}
    assert created(tmp_path).fault is None


def test_a_taken_name_is_never_changed(home: Path, tmp_path: Path) -> None:
    """The second `new` of a name is refused with the line that adds clips (exit 2)."""
    created(tmp_path)
    before = everything(home)
    with pytest.raises(UsageFault) as told:
        created(tmp_path, clips=[clip(tmp_path, "other.mp4", b"other")])
    assert "golf-2" in told.value.fix[0]
    assert everything(home) == before


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_of_twenty_at_once_one_wins(tmp_path: Path) -> None:
    """Twenty `new` of one name make one project, and the others are told (H6)."""
    clips = [clip(tmp_path)]
    children = []
    for number in range(20):
        if not (pid := os.fork()):
            code = 1
            try:
                Project.create("golf", caption=f"take {number}", clips=clips)
                code = 0
            except (UsageFault, Busy) as told:
                code = told.exit_code
            finally:
                os._exit(code)
        children.append(pid)
    codes = [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in children]
    assert codes.count(0) == 1
    assert set(codes) <= {0, 2, 6}
    winner = Project.open("golf")
    assert winner.record.caption == f"take {codes.index(0)}"
    assert winner.fault is None


@pytest.mark.skipif(not Path("/sys/kernel").is_dir(), reason="needs a folder in which nobody can write")
def test_a_read_only_home_can_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Listing works where nothing can be written, and a writer names the variable to set (I3)."""
    monkeypatch.setenv("MDCTL_HOME", "/sys/kernel")
    assert Project.all() == []
    with pytest.raises(NotReady) as told:
        created(tmp_path)
    assert "MDCTL_HOME" in told.value.fix[0]


# Finding


def test_an_unknown_name_is_told_with_the_nearest(tmp_path: Path) -> None:
    """`glof` is not there, but `golf` is (exit 3)."""
    with pytest.raises(NotFound) as told:
        Project.open("glof")
    assert told.value.fix == ("mdctl list",)
    created(tmp_path)
    with pytest.raises(NotFound) as told:
        Project.open("glof")
    assert (told.value.fix, told.value.meant) == (("mdctl list",), ("glof", "golf"))


def test_broken_projects_are_listed_with_the_reason(tmp_path: Path) -> None:
    """Whatever is wrong with a folder, the others are listed, and the fault says which file it is (I5)."""
    for name in ("a-good", "b-empty", "c-broken", "d-clip", "e-newer", "f-key", "g-kind", "h-run", "i-hash"):
        created(tmp_path, name)
    folder = locations.projects()
    for path in (folder / "b-empty").glob("*.toml"):
        path.unlink()
    (folder / "c-broken" / "project.toml").write_text("schema = 1\nname = [")
    next((folder / "d-clip" / "clips").iterdir()).unlink()
    for name, old, new in (
        ("e-newer/project.toml", "schema = 1", "schema = 2"),
        ("f-key/project.toml", "model =", "modell ="),
        ("g-kind/project.toml", '"motion"', '"emotion"'),
        ("i-hash/clips.toml", 'file = "', 'file = "../'),
    ):
        text = (folder / name).read_text()
        assert old in text
        (folder / name).write_text(text.replace(old, new))
    Project.open("h-run").folder.joinpath("runs", "20261122-071403-a1f3").mkdir(parents=True)
    (folder / "J Hand").mkdir()
    (folder / "file").write_text("x")

    listed = {project.name: project for project in Project.all()}
    assert [name for name, project in listed.items() if project.status != "needs attention"] == ["a-good"]
    said = {name: f"{type(fault).__name__}: {fault}" for name, project in listed.items() if (fault := project.fault)}
    assert said == {
        "J Hand": "UsageFault: 'J Hand' cannot be the name of a project.",
        "b-empty": "NotFound: there is no 'project.toml'.",
        "c-broken": "BadInput: project.toml, line 2, column 9: Invalid value.",
        "d-clip": "NotFound: the clip 'swing a.mp4' of 'd-clip' is gone.",
        "e-newer": "BadInput: 'e-newer' was made by a newer mdctl; it is left as it is.",
        "f-key": "BadInput: project.toml, line 6, column 1: there is no key 'modell'.",
        "g-kind": "BadInput: project.toml: 'emotion' is no kind of project.",
        "h-run": "NotFound: there is no 'run.toml'.",
        "i-hash": "BadInput: clips.toml: clip[0] does not name a file by its hash.",
    }
    fault = listed["f-key"].fault
    assert fault is not None
    assert fault.fix == ("write 'model' instead.",)
    with pytest.raises(BadInput, match="newer mdctl"):
        Project.open("e-newer")


@pytest.mark.parametrize("trim", ["[1]", "[2, 1]", "['a', 'b']", "3", "[true, 2]", "{}"])
def test_a_trim_is_two_times(tmp_path: Path, trim: str) -> None:
    """A hand edit of `clips.toml` that means nothing is refused, not guessed."""
    project = created(tmp_path, clips=[clip(tmp_path, trim=(1, 2))])
    path = project.folder / "clips.toml"
    path.write_text(path.read_text().replace("[1, 2]", trim))
    with pytest.raises(BadInput, match="trim"):
        Project.open("golf")


# Changing


def test_a_setting_is_written_beside_the_comments(tmp_path: Path) -> None:
    """`set` changes one value, keeps what a person wrote, and is read at once (N5)."""
    project = created(tmp_path)
    path = project.folder / "project.toml"
    path.write_text("# mine\n" + path.read_text())
    assert project.record.model == "auto"
    project.set("model", "starter")
    project.set("train.rank", 16)
    project.set("pin.checkpoint", 200)
    project.set("title", 'Golf "Swing"!')
    assert project.record.model == "starter"
    project.set("train.rank", None)
    again = Project.open("golf").record
    assert (again.model, again.title, dict(again.train), dict(again.pin)) == (
        *("starter", 'Golf "Swing"!'),
        *({}, {"checkpoint": 200}),
    )
    assert path.read_text().startswith("# mine\n")
    for key in ("modell", "name", "schema", "created", "train", "other.rank", "train.", ""):
        with pytest.raises(UsageFault):
            project.set(key, "x")
    with pytest.raises(UsageFault, match="must be text"):
        project.set("model", 5)


def test_clips_are_changed_as_a_list(tmp_path: Path) -> None:
    """New ones are copied in, order and captions are as given, and a damaged copy is made whole again."""
    project = created(tmp_path)
    (old,) = project.clips
    new = clip(tmp_path, "b.mp4", b"second")
    project.set_clips([new, old])
    assert [record.name for record in Project.open("golf").clips] == ["b.mp4", "swing a.mp4"]
    project.path_of(project.clips[0]).write_bytes(b"damaged")
    project.set_clips([new])
    assert project.path_of(project.clips[0]).read_bytes() == b"second"
    assert project.path_of(old).exists()


def test_only_one_writes(tmp_path: Path) -> None:
    """Who holds the project is named to the next one, and what the dead left is swept."""
    project = created(tmp_path)
    left = project.folder / "outputs" / ".tmp-ffffffff-1-1-0123456789ab.mp4"
    left.parent.mkdir()
    left.touch()
    os.utime(left, (0, 0))
    with project.locked("train") as held:
        assert held is project
        assert not left.exists()
        with pytest.raises(Busy, match="golf is being trained by pid"), Project.open("golf").locked("rm"):
            pass
    with project.locked("rm"):
        pass


def test_videos_are_listed_without_drafts_and_sidecars(tmp_path: Path) -> None:
    """Only finished videos count."""
    project = created(tmp_path)
    project.outputs.mkdir()
    for name in ("b.mp4", "a.gif", "a.json", ".tmp-x.mp4"):
        (project.outputs / name).touch()
    assert [path.name for path in project.videos()] == ["a.gif", "b.mp4"]


def test_what_is_discarded_can_be_restored(home: Path, tmp_path: Path) -> None:
    """Delete means trash: the folder moves there whole, and the last one comes back (N7)."""
    for take in ("first", "second"):
        project = created(tmp_path, caption=take)
        with project.locked("rm"):
            project.discard()
    with pytest.raises(NotFound), project.locked("train"):
        pass
    assert Project.all() == []
    assert len(list((home / "trash").iterdir())) == 2
    assert Project.restore("golf").record.caption == "second"
    with pytest.raises(UsageFault) as told:
        Project.restore("golf")
    assert told.value.fix == ("bring it back under another name",)
    assert Project.restore("golf", under="golf-2").record.caption == "first"
    assert names(Project.all()) == ["golf", "golf-2"]
    with pytest.raises(NotFound):
        Project.restore("golf", under="golf-3")


def test_a_lock_on_a_project_that_is_gone_is_told(tmp_path: Path) -> None:
    """A project that was removed while one waited for it is not made anew."""
    project = created(tmp_path)
    with locks.writer(project.folder, "rm"):
        project.discard()
    with pytest.raises(NotFound), project.locked("train"):
        pass
    assert not project.folder.exists()
