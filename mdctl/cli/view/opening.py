"""`open`: a project's videos, or a picture, video or page, in the program that the system has for it.

What is opened is named by the user. It has one of a few kinds, by its name and by its first bytes: no program, shortcut
or script can be started this way, whatever it is called.
"""

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from mdctl import child
from mdctl.cli.face import EPILOG, face
from mdctl.errors import BadInput, MdctlError, NotFound, NotReady
from mdctl.text import safe
from mdctl.workspace import footage, locations
from mdctl.workspace.project import Project

KINDS: dict[str, Callable[[bytes], bool]] = {
    ".mp4": lambda head: head[4:8] == b"ftyp",
    ".gif": lambda head: head.startswith((b"GIF87a", b"GIF89a")),
    ".webp": lambda head: head[:4] == b"RIFF" and head[8:12] == b"WEBP",
    ".png": lambda head: head.startswith(b"\x89PNG\r\n\x1a\n"),
    ".html": lambda head: head.removeprefix(b"\xef\xbb\xbf").lstrip().lower().startswith((b"<!doctype html", b"<html")),
}
"""What is opened besides folders: by the end of its name, and how it begins."""


def mount(app: typer.Typer) -> None:
    """Add the command of this file."""
    app.command("open", epilog=EPILOG)(open_)


def open_(
    what: Annotated[
        str,
        typer.Argument(
            metavar="NAME|FILE",
            help="A project, or an mp4, gif, webp, png or html file, or a folder of frames.",
            show_default=False,
        ),
    ],
) -> int:
    """Open a project's videos, or one video, picture or page.

    \b
    mdctl open golf
    mdctl open gallery.html
    """
    path = _file(what) if Path(what).suffix or set(what) & set("/\\") else _outputs(what)
    show(path)
    face().result([str(path)], {})
    return 0


def show(path: Path) -> None:
    """Have the system show a file or a folder of videos; `NotReady` tells the path where it cannot."""
    fix = f"open it yourself: {path}"
    if sys.platform == "win32":  # pragma: no cover
        try:
            os.startfile(path)
        except OSError as error:
            raise NotReady(f"Windows does not open '{path.name}'.", why=str(error), fix=fix) from error
        return
    if sys.platform != "darwin" and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        raise NotReady("there is no screen to open it on.", why="neither DISPLAY nor WAYLAND_DISPLAY is set.", fix=fix)
    name = "open" if sys.platform == "darwin" else "xdg-open"
    opener = _program(name)
    if opener is None:
        raise NotReady(f"there is no '{name}' on this computer.", fix=fix)
    try:
        code = child.leave([opener, path])
    except MdctlError as fault:
        raise NotReady(f"'{path.name}' could not be opened.", why=fault.why, fix=fix) from fault
    if code:
        raise NotReady(f"'{path.name}' could not be opened.", why=f"{name} ended with {code}.", fix=fix)


def _program(name: str) -> Path | None:
    """Where a program lies on PATH; the current folder is never searched."""
    folders = [Path(entry) for entry in os.get_exec_path()]
    found = (folder / name for folder in folders if folder.is_absolute())
    return next((path for path in found if path.is_file() and os.access(path, os.X_OK)), None)


def _outputs(name: str) -> Path:
    """The folder of videos of a project, or of a mix."""
    mix = locations.mixes() / name
    folder = mix / "outputs" if "+" in name and mix.is_dir() else Project.find(name).outputs
    if not folder.is_dir():
        raise NotFound(f"'{name}' has no videos yet.", fix=f'mdctl gen {name} "PROMPT"')
    return folder


def _file(name: str) -> Path:
    """The file itself, links followed, when it is of a kind that may be opened."""
    refused = f"'{safe(name, 200)}' is not opened."
    try:
        path = Path(name).resolve()
        if _is_frames(path):
            return path
        if not path.is_file():
            raise NotFound(f"there is no file '{safe(name, 200)}'.", fix="mdctl open NAME")
        kind = path.suffix.lower()
        if kind not in KINDS:
            raise BadInput(refused, why=f"mdctl opens {', '.join(KINDS)} and folders of projects, nothing else.")
        with path.open("rb") as file:
            genuine = KINDS[kind](file.read(1024))
    except (OSError, ValueError, RuntimeError) as error:  # a NUL, a circle of links, no right to read
        raise BadInput(refused, why=str(error)) from error
    if not genuine:
        raise BadInput(refused, why=f"it is called {kind}, but what is in it is something else.")
    return path


def _is_frames(path: Path) -> bool:
    """Whether this is a video as a folder of PNGs; one that holds or is called anything else may be a program."""
    if path.suffix or not footage.is_folder(path) or not (path / footage.FIRST).is_file():
        return False
    with (path / footage.FIRST).open("rb") as file:
        return KINDS[".png"](file.read(16)) and all(one.suffix == ".png" and one.is_file() for one in path.iterdir())
