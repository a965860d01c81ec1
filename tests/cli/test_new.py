"""`new`: a project of the clips that can be used, and a reason for each that cannot."""

import os
import shutil
import subprocess
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import pytest
from stage import SMALL, Mdctl, tree

from mdctl.cli.create.desk import SUFFIX
from mdctl.media import ffmpeg, kinds
from mdctl.workspace.project import Project
from mdctl.workspace.records import SUFFIXES

Hold = Callable[[Path], None]


def made(folder: Path, name: str, *options: str) -> Path:
    """A file that ffmpeg makes."""
    path = folder / name
    subprocess.run([ffmpeg.executable(), "-v", "error", *options, f"file:{path}"], check=True, capture_output=True)
    return path


@pytest.fixture
def bench(films: Path, tmp_path: Path) -> Path:
    """A folder of this test's own with the clips in it."""
    return shutil.copytree(films, tmp_path / "bench")


# --- What is made


def test_a_project_of_two_clips(mdctl: Mdctl, films: Path, unchanged: Hold) -> None:
    """Both clips are told, copied under their hashes and left as they were; the caption comes from the name."""
    unchanged(films)
    paths = [films / "walk.mp4", films / "other.mp4"]
    said = mdctl("new", "walking", *map(str, paths), *SMALL)
    assert (said.code, said.out) == (0, "")
    for word in ("walk.mp4", "other.mp4", "64x48", "4 frames", "a person is walking", "mdctl train walking"):
        assert word in said.err
    project = Project.open("walking")
    assert (project.record.caption, project.record.subject) == ("a person is walking", "a person")
    assert (project.record.kind, project.record.model) == ("motion", "auto")
    assert dict(project.record.clips) == {"frames": 4, "width": 32, "height": 32}
    for clip, path in zip(project.clips, paths, strict=True):
        digest = sha256(path.read_bytes()).hexdigest()
        assert (clip.name, clip.sha256, clip.file) == (path.name, digest, f"{digest[:12]}.mp4")
        assert project.path_of(clip).read_bytes() == path.read_bytes()


def test_quiet_gives_the_folder(mdctl: Mdctl, films: Path) -> None:
    """With -q the one line is the project's folder."""
    said = mdctl("new", "golf", str(films / "walk.mp4"), *SMALL, "-q")
    assert (said.code, said.lines, said.err) == (0, [str(Project.find("golf").folder)], "")


def test_json_lines(mdctl: Mdctl, films: Path) -> None:
    """One record for each clip, numbered, and the result at the end."""
    said = mdctl("--json", "new", "golf", str(films / "walk.mp4"), str(films / "short.mp4"), *SMALL)
    assert said.code == 11
    *clips, result = said.records
    assert [record["seq"] for record in said.records] == list(range(1, len(said.records) + 1))
    assert {(record["schema"], record["command"]) for record in said.records} == {(1, "new")}
    told = {record["name"]: record["status"] for record in clips if record["event"] == "clip"}
    assert told == {"walk.mp4": "ok", "short.mp4": "left_out"}
    assert (result["event"], result["status"], result["failed"]) == ("result", "partial", ["short.mp4"])
    assert result["paths"] == [str(Project.find("golf").folder)]


def test_patterns_are_expanded_here(mdctl: Mdctl, films: Path) -> None:
    """A pattern that no shell has expanded finds its clips; what cannot be used is left out, and that is said."""
    said = mdctl("new", "golf", str(films / "*.mp4"), *SMALL)
    assert said.code == 11
    assert "1 clip left out: short.mp4: too short: 3 of 4 frames" in said.err
    assert sorted(clip.name for clip in Project.open("golf").clips) == ["other.mp4", "walk.mp4"]


def test_the_same_content_is_kept_once(mdctl: Mdctl, bench: Path) -> None:
    """A copy and a link of a clip are told as such, and are no failure (A8)."""
    shutil.copy(bench / "walk.mp4", bench / "copy.mp4")
    (bench / "link.mp4").symlink_to(bench / "walk.mp4")
    said = mdctl("new", "golf", *(str(bench / f"{name}.mp4") for name in ("walk", "copy", "link")), *SMALL)
    assert said.code == 0
    assert said.err.count("same content as 1") == 2
    assert len(Project.open("golf").clips) == 1


def test_what_is_adjusted_is_told(mdctl: Mdctl, bench: Path) -> None:
    """A clip from a turned phone is used upright; one of an odd size is used too (C5, C8)."""
    turned = made(bench, "turned.mp4", "-display_rotation", "90", "-i", str(bench / "walk.mp4"), "-c", "copy")
    odd = made(bench, "odd.mkv", "-f", "lavfi", "-i", "testsrc=s=641x359:r=8:d=2", "-c:v", "ffv1")
    said = mdctl("new", "golf", str(turned), str(odd), *SMALL)
    assert said.code == 0
    assert "48x64" in said.err
    assert "upright" in said.err
    assert "ok, adjusted" in said.err
    assert [(clip.width, clip.height) for clip in Project.open("golf").clips] == [(48, 64), (641, 359)]


def test_names_that_mean_something_elsewhere(mdctl: Mdctl, bench: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Options, protocols, sequences, patterns and shell words are file names like any other (A4, A5)."""
    monkeypatch.chdir(bench)
    source = bench / "walk.mp4"
    emoji = "\N{MONKEY}" * 62 + "_.mp4"
    names = ["-i.mp4", "a:b.mp4", "100%d.mp4", "x[1]*.mp4", "a|b.mp4", "$(touch pwn).mp4", ";rm.mp4", emoji]
    names.append(os.fsdecode(b"clip\xff.mp4"))
    assert len(os.fsencode(emoji)) <= 255
    content = source.read_bytes()
    for number, name in enumerate(names):  # after the last box of an MP4 anything may follow
        Path(name).write_bytes(content + b"\0\0\0\x08free" * (number + 1))
    before = tree(bench)
    said = mdctl("new", "odd", *SMALL, "--caption", "a square is walking", "--", *names)
    assert said.code == 0, said.err
    assert tree(bench) == before
    assert r"clip\xff.mp4" in said.err
    hashes = [sha256(Path(name).read_bytes()).hexdigest() for name in names]
    assert [clip.sha256 for clip in Project.open("odd").clips] == hashes
    assert mdctl("new", "odd2", *SMALL, "--json", "--caption", "x", "--", names[-1]).records[0]["name"] == names[-1]


def test_a_part_of_a_clip(mdctl: Mdctl, films: Path) -> None:
    """The trimmed part is what is used and remembered."""
    said = mdctl("new", "golf", str(films / "walk.mp4"), "--trim", "0:01-0:02", *SMALL)
    assert said.code == 0
    assert "1.0-1.5 s" in said.err
    assert Project.open("golf").clips[0].trim == (1.0, 2.0)


def test_an_animated_png(mdctl: Mdctl, bench: Path) -> None:
    """It is a video like others (C10)."""
    path = made(bench, "walk.png", "-i", str(bench / "walk.mp4"), "-f", "apng")
    assert mdctl("new", "golf", str(path), *SMALL).code == 0
    (clip,) = Project.open("golf").clips
    assert clip.file.endswith(".png")


HEADS = (
    *(
        b"\0\0\0\x20ftypisom",
        b"\x1aE\xdf\xa3",
        b"RIFF\0\0\0\0AVI ",
        (b"G" + b"\0" * 187) * 3,
        b"\0\0\x01\xba",
        b"GIF89a",
    ),
    *(b"\x89PNG\r\n\x1a\n", b"\x89PNG\r\n\x1a\n\0\0\0\x08acTL", b"\xff\xd8\xff"),
    *(b"RIFF\0\0\0\0WEBPVP8 ", b"RIFF\0\0\0\0WEBPVP8X\x0a\0\0\0\x02\0"),
)
"""How files begin, one for each reader."""


def test_every_kind_of_clip_has_a_name(tmp_path: Path) -> None:
    """Whatever may be read can be kept."""
    readers = set()
    for head in HEADS:
        (tmp_path / "clip").write_bytes(head)
        readers.add(kinds.sniff(tmp_path / "clip"))
    assert len(readers) == len(HEADS)
    assert {reader for _, reader, _ in kinds._SIGNATURES if reader} < readers
    assert readers == set(SUFFIX)
    assert set(SUFFIX.values()) <= set(SUFFIXES)


def test_the_base_model_is_found_from_anywhere(
    mdctl: Mdctl, films: Path, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A folder is remembered by its absolute path, and sets the size that clips are cut to."""
    monkeypatch.chdir(model.parent)
    said = mdctl("new", "golf", str(films / "walk.mp4"), "--model", f"./{model.name}")
    assert said.code == 0
    assert Project.open("golf").record.model == str(model)
    assert mdctl("new", "named", str(films / "walk.mp4"), "--model", "zeroscope").code == 0
    assert Project.open("named").record.model == "zeroscope"


def test_a_dry_run_writes_nothing(mdctl: Mdctl, films: Path, home: Path) -> None:
    """With -n everything is looked at and nothing is made."""
    said = mdctl("new", "golf", str(films / "walk.mp4"), "-n", *SMALL)
    assert said.code == 0
    assert "would be made of 1 clip" in said.err
    assert not home.exists()


# --- An existing project is never changed


def test_all_clips_in_it_already(mdctl: Mdctl, golf: Project, films: Path, unchanged: Hold) -> None:
    """The same line again finds nothing to do."""
    unchanged(golf.folder)
    said = mdctl("--json", "new", "golf", str(films / "walk.mp4"), *SMALL)
    assert said.code == 0
    assert said.records[-1]["status"] == "nothing_to_do"


@pytest.mark.parametrize("more", [(), ("-n",)])
def test_a_taken_name(mdctl: Mdctl, golf: Project, bench: Path, unchanged: Hold, more: tuple[str, ...]) -> None:
    """Other clips under a name that is taken are refused, in a dry run too."""
    unchanged(golf.folder)
    path = made(bench, "new.mkv", "-f", "lavfi", "-i", "testsrc2=s=64x64:r=8:d=2", "-c:v", "ffv1")
    said = mdctl("new", "golf", str(path), *SMALL, *more)
    assert said.code == 2
    assert "'golf' exists already" in said.err
    assert "MD-EXISTS" in said.err
    assert "mdctl new golf-2" in said.err


# --- Bad input

NAMES = ("../../etc", "/abs/x", "a/b", "..", ".hidden", "", "x" * 300, "two\nlines", "Golf", "con", "com1", "golf. ")


@pytest.mark.parametrize("name", NAMES)
def test_a_name_that_is_no_slug(mdctl: Mdctl, films: Path, home: Path, tmp_path: Path, name: str) -> None:
    """Nothing is created, inside or outside, and a name that would do is suggested (A1, A2)."""
    said = mdctl("new", name, str(films / "walk.mp4"), *SMALL)
    assert said.code == 2
    assert "call it " in said.err
    assert not home.exists()
    assert list(tmp_path.iterdir()) == []


def test_the_suggested_name_is_the_words_that_were_meant(mdctl: Mdctl, films: Path) -> None:
    """`Golf Swing!` is heard as `golf-swing`."""
    assert "call it golf-swing" in mdctl("new", "Golf Swing!", str(films / "walk.mp4")).err


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("empty.mp4", b"", "empty"),
        ("noise.mp4", bytes(range(256)) * 20, "video"),
        ("text.mp4", b"just a text\n" * 20, "text"),
        ("paper.mp4", b"%PDF-1.7\n" + b"x" * 200, "PDF"),
        ("half.mp4", b"\0\0\0\x20ftypisom" + b"\0" * 20 + b"\0\0\x10\0mdat" + b"x" * 50, "read"),
    ],
)
def test_not_a_video(mdctl: Mdctl, tmp_path: Path, home: Path, name: str, content: bytes, reason: str) -> None:
    """Alone it makes no project, and its reason is told (C1, C2)."""
    (tmp_path / name).write_bytes(content)
    said = mdctl("new", "golf", str(tmp_path / name), *SMALL)
    assert said.code == 4
    assert "none of the clips can be used" in said.err
    assert reason.lower() in said.err.lower()
    assert not home.exists()


def test_bad_clips_beside_a_good_one(mdctl: Mdctl, bench: Path) -> None:
    """The good one is added, each of the others has its reason: no video, a picture, too short (C1, C3, C9)."""
    sound = made(bench, "sound.m4a", "-f", "lavfi", "-i", "sine=d=1")
    picture = made(bench, "picture.png", "-f", "lavfi", "-i", "testsrc2=s=64x64", "-frames:v", "1")
    short = bench / "short.mp4"
    said = mdctl("--json", "new", "golf", str(bench / "walk.mp4"), *map(str, (sound, picture, short)), *SMALL)
    assert said.code == 11
    reasons = {record["name"]: record["reasons"] for record in said.records if record["event"] == "clip"}
    assert reasons["walk.mp4"] == []
    assert all(reasons[path.name] for path in (sound, picture, short))
    assert said.records[-1]["failed"] == ["sound.m4a", "picture.png", "short.mp4"]
    assert [clip.name for clip in Project.open("golf").clips] == ["walk.mp4"]


def test_strict_stops_at_the_first(mdctl: Mdctl, films: Path, home: Path) -> None:
    """With --strict one bad clip is enough to make nothing."""
    said = mdctl("new", "golf", str(films / "walk.mp4"), str(films / "short.mp4"), "--strict", *SMALL)
    assert said.code == 4
    assert "short.mp4" in said.err
    assert not home.exists()


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["BENCH/*.avi"], 3, "no file matches"),
        (["BENCH/none.mp4"], 3, "there is no file"),
        (["BENCH"], 4, "*.mp4"),
        (["BENCH/walk.mp4", "BENCH/other.mp4", "--trim", "0:01-0:02"], 2, "one clip"),
        (["BENCH/walk.mp4", "--trim", "2-1"], 2, "--trim 0:01-0:03"),
        (["BENCH/walk.mp4", "--trim", "soon"], 2, "--trim 0:01-0:03"),
        (["BENCH/walk.mp4", "--trim", "0:10-0:12"], 4, "shorter than its trim"),
        (["BENCH/walk.mp4", "--caption", ""], 4, "caption is empty"),
        (["BENCH/walk.mp4", "--caption", " \n "], 4, "caption is empty"),
        (["BENCH/walk.mp4", "--size", "large"], 4, "WIDTHxHEIGHT"),
        (["BENCH/walk.mp4", "--size", "63x41"], 4, "--size 64x40"),
        (["BENCH/walk.mp4", "--frames", "1"], 4, "clips.frames = 1"),
        (["BENCH/walk.mp4", "--fps", "nan"], 4, "clips.fps = nan"),
        (["BENCH/walk.mp4", "--frames", "few"], 2, "--frames"),
        (["BENCH/walk.mp4", "--model", "zeroscop"], 3, "--model zeroscope"),
        (["BENCH/walk.mp4", "--model", "BENCH/none"], 3, "no base model"),
        (["BENCH/walk.mp4", "--model", "x" * 5000], 3, "no base model"),
        (["BENCH/walk.mp4", "--model", "BENCH"], 4, "no text-to-video model"),
        (["BENCH/walk.mp4", "--model", "some/repository"], 8, "mdctl models pull some/repository"),
        (["BENCH/walk.mp4", "--template", "drafd"], 4, "did you mean draft?"),
        ([], 2, "CLIPS"),
    ],
)
def test_refusals(
    mdctl: Mdctl, bench: Path, home: Path, unchanged: Hold, arguments: list[str], code: int, words: str
) -> None:
    """Each has its exit code and says what to do; nothing is made, nothing is touched."""
    unchanged(bench)
    said = mdctl("new", "golf", *(word.replace("BENCH", str(bench)) for word in arguments))
    assert (said.code, said.out) == (code, "")
    assert words in said.err
    assert said.err.startswith(("error: ", "checking", "Caption", "Checked"))
    assert not home.exists()


def test_many_clips_have_to_be_meant(mdctl: Mdctl, tmp_path: Path, home: Path) -> None:
    """More than 200 are refused unless --yes says so."""
    for number in range(201):
        (tmp_path / f"{number}.mp4").touch()
    said = mdctl("new", "golf", str(tmp_path / "*.mp4"))
    assert said.code == 2
    assert "--yes" in said.err
    assert not home.exists()


def test_an_unknown_key_in_a_template(mdctl: Mdctl, films: Path, template: Callable[[str, str], str]) -> None:
    """It is refused by name, with the key that was meant and the file that holds it."""
    template("mine", "about = 'x'\n[clips]\nfrmes = 4\n")
    said = mdctl("new", "golf", str(films / "walk.mp4"), "--template", "mine")
    assert said.code == 4
    assert "template mine: clips has no setting 'frmes'" in said.err
    assert "did you mean 'frames'?" in said.err
    template("odd", "abuot = 'x'\n")
    assert "there is no key 'abuot'" in mdctl("new", "golf", str(films / "walk.mp4"), "--template", "odd").err
