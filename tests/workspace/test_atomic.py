"""The one writer."""

import errno
import os
import stat
import subprocess
import sys
from hashlib import sha256
from itertools import count
from pathlib import Path

import pytest

from mdctl.errors import BadInput, NoSpace, NotFound, NotReady
from mdctl.workspace import atomic, processes


def drafts(folder: Path) -> list[Path]:
    """What lies in a folder under a draft's name."""
    return list(folder.rglob(".tmp-*"))


def dead_name(suffix: str = "") -> str:
    """A draft's name that a process wore which is gone."""
    with subprocess.Popen([sys.executable, "-c", ""]) as child:
        pid = child.pid
    return atomic._draft_name().replace(f"-{os.getpid()}-", f"-{pid}-") + suffix


def test_a_file_is_replaced_as_a_whole(home: Path) -> None:
    """What is written stands there, in folders and a file for its owner only, and no draft is left."""
    path = home / "a" / "b" / "x.toml"
    atomic.write(path, "eins\r\nzwei ä")
    atomic.write(path, b"three")
    assert path.read_bytes() == b"three"
    if os.name == "posix":
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert {stat.S_IMODE(folder.stat().st_mode) for folder in (path.parent, path.parent.parent)} == {0o700}
    assert not drafts(home)


def test_a_failure_leaves_the_old_file(home: Path) -> None:
    """A draft that is not finished never takes the name."""
    path = home / "x"
    atomic.write(path, "old")

    def spoilt() -> None:
        with atomic.replacing(path) as draft:
            draft.write_text("half of the n")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        spoilt()
    assert path.read_text() == "old"
    assert not drafts(home)


def test_new_files_replace_nothing(home: Path) -> None:
    """A taken name gets a number, and the real name is told."""
    names = [atomic.create(home / "a.b.mp4", str(number)).name for number in range(3)]
    assert names == ["a.b.mp4", "a.b_2.mp4", "a.b_3.mp4"]
    assert [(home / name).read_text() for name in names] == ["0", "1", "2"]
    assert not drafts(home)


def test_a_name_is_taken_when_its_companion_is(home: Path) -> None:
    """A video never stands beside the sidecar of another one."""
    atomic.write(home / "x.json", "{}")
    with atomic.draft(home / "x.mp4") as draft:
        draft.write_bytes(b"video")
        video = atomic.adopt(draft, home / "x.mp4", beside=".json")
    assert video.name == "x_2.mp4"
    assert atomic.create(video.with_suffix(".json"), "{}").name == "x_2.json"


def test_new_files_replace_nothing_where_links_are_unknown(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk without hard links gives each file a name of its own as well."""

    def refused(*_: object, **__: object) -> None:
        raise OSError(errno.EPERM, "no links here")

    monkeypatch.setattr(os, "link", refused)
    names = [atomic.create(home / "x.mp4", str(number)).name for number in range(3)]
    assert names == ["x.mp4", "x_2.mp4", "x_3.mp4"]
    assert [(home / name).read_text() for name in names] == ["0", "1", "2"]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_twenty_at_once_get_twenty_files(home: Path) -> None:
    """Processes that want the same name in the same moment do not meet (H6)."""
    children = []
    for number in range(20):
        if not (pid := os.fork()):
            ended = 1
            try:
                atomic.create(home / "x.mp4", str(number))
                ended = 0
            finally:
                os._exit(ended)  # else it would go on as another pytest
        children.append(pid)
    assert {os.waitpid(pid, 0)[1] for pid in children} == {0}
    assert sorted(int(path.read_text()) for path in home.glob("x*.mp4")) == list(range(20))


def test_a_copy_tells_its_hash_and_only_reads_the_source(home: Path, tmp_path: Path) -> None:
    """The hash is that of what was copied, over more than one block."""
    source = tmp_path / "-i [x]*%d.mp4"
    source.write_bytes(os.urandom(2_500_000))
    source.chmod(0o400)
    before = source.stat()
    assert atomic.copy(source, home / "clip.mp4") == sha256(source.read_bytes()).hexdigest()
    assert (home / "clip.mp4").read_bytes() == source.read_bytes()
    assert (source.stat().st_mtime_ns, source.stat().st_mode) == (before.st_mtime_ns, before.st_mode)


def test_a_copy_that_is_not_what_was_expected_gets_no_name(home: Path, tmp_path: Path) -> None:
    """A source that changed, or is gone, or is no file leaves what was there before."""
    (tmp_path / "source").write_text("new")
    atomic.write(home / "target", "old")
    with pytest.raises(BadInput, match="changed after it was looked at"):
        atomic.copy(tmp_path / "source", home / "target", expected=sha256(b"other").hexdigest())
    with pytest.raises(NotFound):
        atomic.copy(tmp_path / "nothing", home / "target")
    with pytest.raises(BadInput, match="cannot be read"):
        atomic.copy(tmp_path, home / "target")
    assert (home / "target").read_text() == "old"
    assert not drafts(home)


def test_a_folder_appears_whole(home: Path) -> None:
    """Nobody sees it before it is full, and everything in it is there after."""
    with atomic.folder(home / "golf") as stage:
        atomic.write(stage / "clips" / "a.mp4", b"a")
        atomic.write(stage / "project.toml", "x = 1")
        assert not (home / "golf").exists()
        assert stage.parent == home
    assert (home / "golf" / "clips" / "a.mp4").read_bytes() == b"a"
    assert not drafts(home)


def test_a_folder_takes_no_name_that_is_taken(home: Path) -> None:
    """What bears the name stays as it was, and the staging folder is gone."""
    atomic.write(home / "golf" / "x", "mine")

    with pytest.raises(FileExistsError), atomic.folder(home / "golf") as stage:
        atomic.write(stage / "y", "theirs")
    assert [path.name for path in (home / "golf").iterdir()] == ["x"]
    assert not drafts(home)


def test_a_failed_folder_leaves_nothing(home: Path) -> None:
    """An error inside takes the staging folder with it."""

    def spoilt() -> None:
        with atomic.folder(home / "golf") as stage:
            atomic.write(stage / "x", "x")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        spoilt()
    assert not list(home.iterdir())


def test_lines_are_added_and_a_torn_one_harms_no_other(home: Path) -> None:
    """After a crash in the middle of a line, the next one begins anew."""
    log = home / "events.jsonl"
    atomic.append(log, '{"seq":1}')
    with log.open("a") as file:
        file.write('{"seq":2,"tor')
    atomic.append(log, '{"seq":3}')
    atomic.append(log, '{"seq":4}')
    assert log.read_text().split("\n") == ['{"seq":1}', '{"seq":2,"tor', '{"seq":3}', '{"seq":4}', ""]
    with pytest.raises(ValueError, match="line break"):
        atomic.append(log, "a\nb")


def test_things_move_to_a_free_name(home: Path) -> None:
    """Two things of one name lie side by side in the trash."""
    for content in ("first", "second"):
        atomic.write(home / "golf" / "x", content)
        atomic.move(home / "golf", home / "trash" / "golf@1")
    assert (home / "trash" / "golf@1" / "x").read_text() == "first"
    assert (home / "trash" / "golf@1_2" / "x").read_text() == "second"
    with pytest.raises(FileNotFoundError):
        atomic.move(home / "golf", home / "trash" / "golf@1")


def test_what_is_removed_is_gone(home: Path, tmp_path: Path) -> None:
    """Files, folders and links go, the target of a link stays, and what is not there is no fault."""
    (tmp_path / "kept").mkdir()
    atomic.write(home / "folder" / "deep" / "x", "x")
    atomic.write(home / "file", "x")
    (home / "link").symlink_to(tmp_path / "kept")
    for name in ("folder", "file", "link", "nothing"):
        atomic.remove(home / name)
    assert not list(home.iterdir())
    assert (tmp_path / "kept").is_dir()


def test_only_what_the_dead_left_is_swept(home: Path) -> None:
    """Drafts of a living process stay, also when a later one has the pid of the dead; foreign ones stay for a week."""
    atomic.write(home / "kept", "x")
    own = home / atomic._draft_name()
    foreign, old = home / ".tmp-ffffffff-1-1-0123456789ab", home / ".tmp-ffffffff-1-2-0123456789ab.mp4"
    reused = home / own.name.replace(f"-{processes.started(os.getpid())}-", "-1-")
    dead_file, dead_folder = home / dead_name(".mp4"), home / dead_name()
    for path in (own, foreign, old, reused, dead_file, dead_folder / "deep"):
        path.parent.mkdir(exist_ok=True)
        path.write_text("x")
    os.utime(old, (0, 0))
    swept = {old, dead_file, dead_folder} | ({reused} if sys.platform == "linux" else set())
    assert set(atomic.sweep(home)) == swept
    assert (home / "kept").exists()
    assert own.exists()
    assert foreign.exists()
    assert not any(path.exists() for path in swept)
    assert atomic.sweep(home / "nowhere") == []


def test_a_process_is_known_by_its_start() -> None:
    """This process lives; nobody has pid 0 or one beyond all bounds."""
    own = os.getpid()
    assert processes.alive(own, processes.started(own) or 0)
    assert not processes.alive(0, 0)
    assert not processes.alive(2**40, 1)


@pytest.mark.parametrize(
    ("number", "fault", "hint"),
    [
        (errno.ENOSPC, NoSpace, "make room on it,"),
        (errno.EDQUOT, NoSpace, "make room on it,"),
        (errno.EROFS, NotReady, "MDCTL_HOME"),
        (errno.EACCES, NotReady, "MDCTL_HOME"),
        (errno.EIO, NotReady, "look at the disk, or set MDCTL_HOME to a folder on another one"),
        (errno.EMFILE, NotReady, "look at the disk, or set MDCTL_HOME to a folder on another one"),
    ],
)
def test_what_a_disk_refuses_is_told_with_path_and_cure(
    home: Path, monkeypatch: pytest.MonkeyPatch, number: int, fault: type[NoSpace | NotReady], hint: str
) -> None:
    """Whichever write fails, the old file stays and the user reads what to do (I1, I2)."""
    atomic.write(home / "x", "old")
    real = os.write
    for failing in range(1, 5):
        calls = count(1)

        def refuse(descriptor: int, data: bytes, calls: "count[int]" = calls, failing: int = failing) -> int:
            if next(calls) == failing:
                raise OSError(number, os.strerror(number))
            return real(descriptor, data[:2])

        monkeypatch.setattr(os, "write", refuse)
        with pytest.raises(fault) as told:
            atomic.write(home / "x", "seven b")
        assert str(home / "x") in told.value.why
        assert hint in " ".join(told.value.fix)
        assert (home / "x").read_text() == "old"
        assert not drafts(home)


@pytest.mark.parametrize("place", ["/dev/null/home", "/sys/mdctl"])
@pytest.mark.skipif(sys.platform != "linux", reason="these places are Linux's")
def test_a_home_that_cannot_be_written_is_told(place: str) -> None:
    """A real place that refuses: the hint names the variable that moves mdctl elsewhere (I3)."""
    with pytest.raises(NotReady) as told:
        atomic.write(Path(place) / "projects" / "x", "x")
    assert "MDCTL_HOME" in told.value.fix[0]
