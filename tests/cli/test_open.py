"""`open`: folders of videos and a few kinds of files reach the system's opener; nothing else ever does."""

import os
import sys
from pathlib import Path

import pytest
from stage import Mdctl

from mdctl import child
from mdctl.cli.view.opening import KINDS
from mdctl.workspace import locations
from mdctl.workspace.project import Project

pytestmark = pytest.mark.skipif(os.name == "nt", reason="Windows opens files itself")

HEADS = {
    ".mp4": b"\0\0\0\x20ftypisom",
    ".gif": b"GIF89a",
    ".webp": b"RIFF\0\0\0\0WEBPVP8 ",
    ".png": b"\x89PNG\r\n\x1a\n",
    ".html": b"\xef\xbb\xbf\n <!DOCTYPE HTML><p>",
}


@pytest.fixture
def opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The note of an opener that is on PATH: what it was given to open."""
    note, folder = tmp_path / "opened", tmp_path / "bin"
    folder.mkdir()
    program = folder / ("open" if sys.platform == "darwin" else "xdg-open")
    program.write_text(f'#!/bin/sh\nprintf "%s|$#|$DISPLAY" "$1" > {note}\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.setenv("DISPLAY", ":7")
    return note


def test_the_videos_of_a_project(mdctl: Mdctl, opened: Path, golf: Project) -> None:
    """Its folder of videos is opened, with the user's own surroundings; its path is the result."""
    assert mdctl("open", "golf").code == 3
    golf.outputs.mkdir()
    assert mdctl("open", "golf").lines == [str(golf.outputs)]
    assert opened.read_text() == f"{golf.outputs}|1|:7"
    assert mdctl("open", "gulf").code == 3
    mix = locations.mixes() / "clay+golf" / "outputs"
    mix.mkdir(parents=True)
    assert mdctl("open", "clay+golf").lines == [str(mix)]
    assert mdctl("open", "clay+gulf").code == 2


@pytest.mark.parametrize("kind", KINDS)
def test_files_of_these_kinds(mdctl: Mdctl, opened: Path, tmp_path: Path, kind: str) -> None:
    """Each kind is known by name and content; a file that only is called so is refused."""
    path = tmp_path / f"-a; $(b) 'c'{kind.upper()}"
    path.write_bytes(HEADS[kind])
    assert mdctl("open", str(path)).lines == [str(path)]
    assert opened.read_text().startswith(f"{path}|1|")
    opened.unlink()
    path.write_bytes(b"#!/bin/sh\n")
    said = mdctl("open", str(path))
    assert (said.code, "what is in it is something else" in said.err) == (4, True)
    assert not opened.exists()


def test_nothing_else(mdctl: Mdctl, opened: Path, tmp_path: Path, golf: Project) -> None:
    """Programs, shortcuts, folders, addresses, and links with another name than what they lead to stay closed."""
    program = tmp_path / "run.desktop"
    program.write_bytes(HEADS[".html"])
    (tmp_path / "film.mp4").symlink_to(program)
    (tmp_path / "folder.html").mkdir()
    for name, code in (
        ("run.desktop", 4),
        ("film.mp4", 4),
        ("folder.html", 3),
        ("missing.png", 3),
        (".", 3),
        ("a\0.png", 4),
    ):
        assert mdctl("open", f"{tmp_path}/{name}").code == code, name
    for name in ("https://example.org/a.html", "file:///etc/passwd", str(golf.folder), "..", "-h.html"):
        assert mdctl("open", "--", name).code in (2, 3, 4), name
    assert not opened.exists()


def test_where_nothing_can_be_opened(
    mdctl: Mdctl, opened: Path, golf: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No opener, one that fails or cannot be started, no screen: exit 5, with the path to open by hand."""
    golf.outputs.mkdir()
    program = next((tmp_path / "bin").iterdir())
    for text in ("#!/bin/sh\nexit 3\n", "#!/nowhere/sh\n"):
        program.write_text(text)
        said = mdctl("open", "golf")
        assert (said.code, f"open it yourself: {golf.outputs}" in said.err) == (5, True)
    program.chmod(0o644)
    said = mdctl("open", "golf")
    assert (said.code, f"open it yourself: {golf.outputs}" in said.err, said.out) == (5, True, "")
    if sys.platform != "darwin":
        monkeypatch.delenv("DISPLAY")
        monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
        said = mdctl("open", "golf")
        assert (said.code, "there is no screen" in said.err) == (5, True)


def test_a_gallery_is_opened_when_it_is_there(mdctl: Mdctl, opened: Path, golf: Project) -> None:
    """--open hands the page on; where it cannot be opened it is written all the same."""
    said = mdctl("gallery", "golf", "--open")
    assert said.code == 0, said.err
    assert opened.read_text().startswith(f"{golf.folder / 'gallery.html'}|1|")
    next(opened.parent.joinpath("bin").iterdir()).unlink()
    said = mdctl("gallery", "golf", "--open")
    assert (said.code, said.lines) == (5, [str(golf.folder / "gallery.html")])


def test_a_program_that_is_left_to_itself() -> None:
    """One that goes on running is not waited for, and lives when its parent is signalled as a group."""
    program = [sys.executable, "-c", "import os, time; time.sleep(600)"]
    assert child.leave(program, patience_s=0.05) is None
    process = child._LEFT.pop()
    assert process.poll() is None
    assert os.getpgid(process.pid) != os.getpgid(0)
    process.kill()
    process.wait(30)
    with pytest.raises(ValueError, match="absolute"):
        child.leave(["xdg-open"])


def test_a_folder_of_frames(mdctl: Mdctl, opened: Path, tmp_path: Path) -> None:
    """A video that is a folder of PNGs is opened; not one that holds anything else, or is called as programs are."""
    folder = tmp_path / "20261126-0731_a-robot_s3"
    for name, more, code in ((folder.name, "001.png", 0), ("app", "Contents", 3), ("robot.app", "001.png", 3)):
        path = folder.with_name(name)
        path.mkdir()
        path.with_suffix(".json").write_text("{}")
        for file in ("000.png", more):
            (path / file).write_bytes(HEADS[".png"])
        assert mdctl("open", str(path)).code == code, name
    assert opened.read_text().startswith(f"{folder}|1|")
    (folder / "000.png").write_bytes(b"#!/bin/sh")
    assert mdctl("open", str(folder)).code == 3
