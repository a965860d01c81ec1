"""A: names, paths and arguments. Whatever something is called, it is a name and nothing else."""

import os
import shutil
import socket
import stat
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory
from types import SimpleNamespace
from typing import Any

import pytest
from films import read
from PIL import Image
from rows import as_given, fault, no
from stage import SMALL, Mdctl, sidecar, tree

from mdctl import child
from mdctl.media import ffmpeg
from mdctl.media.kinds import Unusable
from mdctl.workspace.project import Project

POSIX = pytest.mark.skipif(os.name != "posix", reason="needs file names of POSIX")
CHECKS = ("mdctl.workspace.names.check_name", "mdctl.workspace.project.check_name", "mdctl.cli.create.start.check_name")
NAMES = ("../../etc", "{}/abs/x", "a/b", "..", ".hidden", "-rf", "", "x" * 300, "a\0b", "two\nlines")
DEVICES = ("con", "nul", "aux", "com1", "lpt\N{SUPERSCRIPT ONE}", "golf.", "golf ", "CON", "prn")


@fault("A1", guard=CHECKS, without=as_given)
@pytest.mark.parametrize("name", NAMES)
def test_a_project_lies_in_its_place(mdctl: Mdctl, films: Path, home: Path, tmp_path: Path, name: str) -> None:
    """A name that leads elsewhere is refused, one that would do is offered, and nothing is made anywhere."""
    said = mdctl("new", *SMALL, "--", name.format(tmp_path), str(films / "walk.mp4"))
    assert said.code == 2
    assert "call it " in said.err
    assert list(tmp_path.iterdir()) == []


@fault("A2", guard=CHECKS, without=as_given)
@pytest.mark.parametrize("name", DEVICES)
def test_a_device_of_windows_is_no_name_anywhere(mdctl: Mdctl, films: Path, home: Path, name: str) -> None:
    """A project can be carried to any system."""
    said = mdctl("new", name, str(films / "walk.mp4"), *SMALL)
    assert (said.code, "call it " in said.err) == (2, True), said.err
    assert not home.exists()


@fault("A3", guard=("mdctl.workspace.names._folded", "mdctl.workspace.names.slug"), without=as_given)
@pytest.mark.parametrize("name", ["Golf", "GOLF", "\uff47olf"])
def test_what_counts_as_the_same_name_is_taken(mdctl: Mdctl, golf: Project, films: Path, name: str) -> None:
    """Case and Unicode form make no second project, and the first stays as it is, byte for byte."""
    before = tree(golf.folder)
    said = mdctl("new", name, str(films / "walk.mp4"), *SMALL)
    assert (said.code, "exists as golf" in said.err) == (2, True), said.err
    assert tree(golf.folder.parent) == {"golf": None, **{f"golf/{path}": what for path, what in before.items()}}


@fault("A3", guard="mdctl.workspace.names.slug", without=as_given)
@pytest.mark.parametrize("name", ["g\u00f6lf", "go\u0308lf"], ids=["composed", "decomposed"])
def test_an_accent_makes_no_other_name(mdctl: Mdctl, golf: Project, films: Path, name: str) -> None:
    """Both ways to write it mean the project that is there."""
    said = mdctl("new", name, str(films / "walk.mp4"), *SMALL)
    assert (said.code, "exists as golf" in said.err) == (2, True), said.err


def _as_a_pattern(pattern: str) -> list[Path]:
    return sorted(Path().glob(pattern.lstrip("/")))


def _numbered(folder: Path, source: Path, names: list[str]) -> None:
    """A clip under each of these names, each with another content: after the last box of an MP4 anything may follow."""
    for number, name in enumerate(names):
        (folder / name).write_bytes(source.read_bytes() + b"\0\0\0\x08free" * (number + 1))


@POSIX
@fault("A4", guard="mdctl.media.clips._matches", without=_as_a_pattern)
def test_no_name_of_a_clip_does_anything(
    mdctl: Mdctl, films: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Options, protocols, sequences, patterns and words of a shell are names; the originals stay as they were."""
    monkeypatch.chdir(tmp_path)
    names = ["-i.mp4", "a:b.mp4", "100%d.mp4", "x[1]*.mp4", "a|b.mp4", "$(touch pwn).mp4", ";rm.mp4"]
    _numbered(tmp_path, films / "walk.mp4", names)
    before = tree(tmp_path)
    said = mdctl("new", "odd", *SMALL, "--caption", "a square is walking", "--", *names)
    assert said.code == 0, said.err
    assert {path: what for path, what in tree(tmp_path).items() if not path.startswith("home")} == before
    hashes = [sha256(Path(name).read_bytes()).hexdigest() for name in names]
    assert [clip.sha256 for clip in Project.open("odd").clips] == hashes


FILES = [
    b"-i.mp4",
    b"a:b.mp4",
    b"100%d.mp4",
    b"x[1]*.mp4",
    b"a|b",
    b"$(touch pwn).mp4",
    b";rm.mp4",
    b"'\".mp4",
    b"\xff.mp4",
]
FILES += ["🐒".encode() * 62 + b".mp4", b"file:x.mp4", b"concat:a|b.mp4", b" .mp4", b"a\nb.mp4"]


def _bare(path: Path, output: Any, *, stdout_limit: int, cwd: Path | None = None, strict: bool = False) -> Any:
    argv = output.compile(cmd=[ffmpeg.executable(), *ffmpeg._QUIET])
    argv[argv.index(ffmpeg._FOREIGN)] = path.name
    with TemporaryDirectory() as own:
        folder = cwd or Path(own)
        (folder / path.name).symlink_to(path.absolute())  # so that its name is all that ffmpeg needs
        return child.run(argv, timeout_s=20, stdout_limit=stdout_limit, cwd=folder)


@POSIX
@fault("A4", "A5", guard="mdctl.media.ffmpeg._run", without=_bare)
@pytest.mark.parametrize("name", FILES, ids=lambda name: ascii(name[:12]))
def test_no_name_is_an_option_a_pattern_or_an_address(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: bytes
) -> None:
    """A film is read under any name that a file system takes, from a relative path too."""
    monkeypatch.chdir(tmp_path)
    path = Path(os.fsdecode(name))
    path.write_bytes(base.read_bytes())
    assert read(path).shape == (1, 32, 32, 3)
    assert [os.fsencode(path) for path in Path().iterdir() if path.is_file()] == [name]


@POSIX
@fault("A4")
def test_pictures_are_no_sequences(tmp_path: Path) -> None:
    """A picture called like a pattern is that one picture."""
    Image.new("RGB", (32, 32), (200, 0, 0)).save(tmp_path / "frame1.png")
    Image.new("RGB", (32, 32), (0, 0, 200)).save(tmp_path / "frame%d.png")
    assert read(tmp_path / "frame%d.png")[0, 0, 0].tolist() == [0, 0, 200]


@POSIX
@fault("A5", guard="mdctl.cli.lines.safe", without=as_given)
def test_bytes_that_are_no_text_are_shown_and_found_again(
    mdctl: Mdctl, films: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stray byte is spelt out, JSON carries it there and back, and the original is told by its hash."""
    monkeypatch.chdir(tmp_path)
    names = [os.fsdecode(b"clip\xff.mp4"), "\N{MONKEY}" * 62 + "abc.mp4"]
    assert len(os.fsencode(names[1])) == 255
    _numbered(tmp_path, films / "walk.mp4", names)
    said = mdctl("new", "odd", *SMALL, "--caption", "x", "--", *names)
    assert said.code == 0, said.err
    assert r"clip\xff.mp4" in said.err
    hashes = [sha256(Path(name).read_bytes()).hexdigest() for name in names]
    assert [clip.sha256 for clip in Project.open("odd").clips] == hashes
    told = mdctl("new", "odd2", *SMALL, "--json", "--caption", "x", "--", *names).records
    assert [record["name"] for record in told if record["event"] == "clip"] == names


@fault(
    "A6", guard="mdctl.cli.create.start.chosen", without=lambda patterns, trim: ([Path(one) for one in patterns], None)
)
def test_patterns_are_of_clips_alone(
    mdctl: Mdctl, golf: Project, films: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A prompt with `*`, `?`, `~` and `%PATH%` is what it is, beside files that would match; clips are expanded."""
    monkeypatch.chdir(tmp_path)
    for name in ("walk.mp4", "what.mp4"):
        shutil.copy(films / ("other.mp4" if name == "what.mp4" else name), tmp_path / name)
    prompt = "wha? ~ %PATH% * ?alk.mp4"
    said = mdctl("gen", "golf", prompt, "--steps", "1", "--threads", "1", "-q")
    assert sidecar(said.lines[0])["prompt"] == prompt
    assert mdctl("new", "two", "w*.mp4", *SMALL).code == 0
    assert len(Project.open("two").clips) == 2


@pytest.mark.skipif(os.name != "nt", reason="needs Windows, whose shells expand nothing")
@fault("A6")
def test_windows_expands_no_prompt(mdctl: Mdctl, golf: Project) -> None:
    """Click's own way to begin would expand what looks like a pattern."""
    said = mdctl("gen", "golf", "%PATH% ~ *", "--steps", "1", "-q")
    assert sidecar(said.lines[0])["prompt"] == "%PATH% ~ *"


@fault("A7", guard="mdctl.cli.create.start.MANY", without=10**9)
@pytest.mark.parametrize(("number", "what", "code", "words"), [
    (0, "*.avi", 3, "no file matches"), (0, ".", 4, "is a folder"), (201, "*.mp4", 2, "--yes"),
])  # fmt: skip
def test_clips_that_are_none_or_many(
    mdctl: Mdctl, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, what: str, code: int,
    words: str,
) -> None:  # fmt: skip
    """A pattern without a file, a folder, and thousands of files: nothing is made, and what to do is said."""
    shelf = tmp_path / "shelf"
    shelf.mkdir()
    monkeypatch.chdir(shelf)
    for index in range(number):
        (shelf / f"{index}.mp4").touch()
    said = mdctl("new", "golf", what, *SMALL)
    assert (said.code, words in said.err) == (code, True), said.err
    assert not home.exists()


@pytest.mark.skipif(os.name != "posix", reason="needs links")
@fault("A8", guard="mdctl.media.clips.digest", without=lambda path: sha256(bytes(str(path), "utf8")).hexdigest())
def test_the_same_content_is_kept_once(mdctl: Mdctl, films: Path, tmp_path: Path) -> None:
    """A clip named twice, its copy and a link to it are one."""
    walk = Path(shutil.copy(films / "walk.mp4", tmp_path))
    shutil.copy(walk, tmp_path / "copy.mp4")
    (tmp_path / "link.mp4").symlink_to(walk)
    said = mdctl("new", "golf", str(walk), str(walk), str(tmp_path / "copy.mp4"), str(tmp_path / "link.mp4"), *SMALL)
    assert (said.code, said.err.count("same content as 1")) == (0, 2), said.err
    assert len(list((Project.open("golf").folder / "clips").iterdir())) == 1


def _open_to_most(mode: int) -> bool:
    return not stat.S_ISFIFO(mode)  # a pipe would be waited for, and that for ever


@POSIX
@fault(
    "A9",
    guard=("mdctl.media.kinds.stat", "mdctl.media.kinds._recognise"),
    without=(SimpleNamespace(**{**vars(stat), "S_ISREG": _open_to_most}), lambda _: ("mov", "")),
)
@pytest.mark.parametrize("kind", ["passwd", "fifo", "zero", "socket"])
def test_only_a_file_is_a_clip(mdctl: Mdctl, home: Path, tmp_path: Path, kind: str) -> None:
    """A link to somebody's file, a pipe, a device and a socket are refused at once: none of them is waited for."""
    path = tmp_path / "clip.mp4"
    listener = socket.socket(socket.AF_UNIX)
    if kind == "fifo":
        os.mkfifo(path)
    elif kind == "socket":
        listener.bind(os.path.relpath(path))
    else:
        path.symlink_to("/etc/passwd" if kind == "passwd" else "/dev/zero")
    said = mdctl("new", "golf", str(path), *SMALL)
    listener.close()
    assert said.code == 4
    assert "a text file" in said.err if kind == "passwd" else "not a regular file" in said.err
    assert not home.exists()


@fault("A9")
def test_a_pipe_is_not_even_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """To open one would wait for a writer who never comes."""
    if not hasattr(os, "mkfifo"):
        pytest.skip("needs pipes with names")
    os.mkfifo(tmp_path / "pipe.mp4")
    monkeypatch.setattr(Path, "open", no)
    with pytest.raises(Unusable, match="cannot be used"):
        read(tmp_path / "pipe.mp4")


@pytest.mark.skipif(os.name != "nt", reason="needs Windows, where 260 characters are a bound")
@fault("A10")
def test_a_path_that_windows_finds_long(mdctl: Mdctl, films: Path, tmp_path: Path) -> None:
    """It works, or the reason is told."""
    deep = tmp_path.joinpath(*["folder" * 5] * 9)
    said = mdctl("new", "golf", str(films / "walk.mp4"), *SMALL, "--home", str(deep))
    assert said.code in (0, 4, 5)
    assert "Traceback" not in said.err


@pytest.mark.skipif(os.name == "nt", reason="there the bound is another one")
@fault("A10", guard=("mdctl.workspace.atomic._FAILING", "mdctl.cli.app._system"), without=(frozenset(), lambda _: 1))
@pytest.mark.parametrize("deep", ["x" * 300, "/".join(["folder" * 5] * 150)], ids=["a name", "a path"])
def test_a_path_that_is_too_long(mdctl: Mdctl, films: Path, tmp_path: Path, deep: str) -> None:
    """A name of more than 255 characters, or a path of more than 4 096: the reason and the cure are told."""
    said = mdctl("new", "golf", str(films / "walk.mp4"), *SMALL, "--home", str(tmp_path / deep))
    assert (said.code, "too long" in said.err, "MDCTL_HOME" in said.err) == (5, True, True), said.err
