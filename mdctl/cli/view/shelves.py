"""What a gallery shows, gathered from the disk: videos with what stands beside them, clips, and how runs went.

A sidecar is a file like any other and may hold anything; what it tells is taken where it is of the kind that is
expected, and left out where it is not.
"""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import TYPE_CHECKING, Any

from mdctl.cli.create import encoding
from mdctl.cli.create.voices import moves
from mdctl.cli.face import face
from mdctl.errors import MdctlError, NotFound
from mdctl.settings import Shape, from_table
from mdctl.workspace import atomic, footage, locations
from mdctl.workspace.project import Project
from mdctl.workspace.records import ClipRecord
from mdctl.workspace.runs import Run

if TYPE_CHECKING:
    from mdctl.media.frames import Frames

KINDS = {
    ".mp4": "video/mp4",
    ".webm": "video/webm",
    ".mkv": "video/x-matroska",
    ".gif": "image/gif",
    ".webp": "image/webp",
}
"""What a video of mdctl is to a browser, by its suffix."""

EDGE = 256
"""The longer edge of a reference clip in pixels."""

_USUAL = Shape(frames=16, fps=8.0, width=EDGE, height=EDGE)


@dataclass(frozen=True)
class Voice:
    """Who speaks in a video."""

    project: str
    kind: str
    strength: str
    save: str


@dataclass(frozen=True)
class Film:
    """One video and its sidecar, {} when there is none that can be read."""

    path: Path
    record: Mapping[str, Any]

    @property
    def kind(self) -> str:
        """What it is to a browser; a folder of pictures is shown as an mp4."""
        return KINDS.get(self.path.suffix, KINDS[".mp4"])

    @property
    def prompt(self) -> str:
        """What was asked for; '' when nobody knows."""
        return plain(self.record.get("prompt"))

    @property
    def created(self) -> str:
        """When it was made, UTC."""
        return plain(self.record.get("created"))

    @property
    def model(self) -> str:
        """The base model it was made with."""
        return model_name(plain(_table(self.record, "model").get("name")))

    @property
    def size(self) -> tuple[int, int] | None:
        """Width and height in pixels."""
        settings = _table(self.record, "settings")
        width, height = settings.get("width"), settings.get("height")
        known = type(width) is int and type(height) is int and 0 < width <= 8192 and 0 < height <= 8192
        return (width, height) if known else None  # type: ignore[return-value]

    @property
    def fps(self) -> float:
        """Frames a second, for a folder of pictures, which bear no rate; the usual where nobody knows."""
        told = _table(self.record, "settings").get("fps")
        return float(told) if type(told) in (int, float) and 0.1 <= told <= 240 else _USUAL.fps  # type: ignore[operator,arg-type]

    @property
    def voices(self) -> tuple[Voice, ...]:
        """Who speaks in it."""
        told = self.record.get("voices")
        return tuple(
            Voice(
                plain(voice.get("project")),
                "motion" if moves(plain(voice.get("file"))) else "appearance",
                plain(voice.get("strength")),
                plain(voice.get("save")),
            )
            for voice in (told if isinstance(told, list) else [])
            if isinstance(voice, Mapping)
        )


@dataclass(frozen=True)
class Reference:
    """A clip or picture that something was learned from, small; without content where it cannot be shown."""

    name: str
    caption: str
    content: bytes = b""
    kind: str = ""


@dataclass(frozen=True)
class Shelf:
    """The videos of one project or mix, and what they came from."""

    name: str
    about: Sequence[str]
    """Kind, base model, how far it is; a few words each."""

    caption: str
    note: str
    """What is wrong with it; '' when nothing is."""

    sources: tuple[Project, ...]
    """The projects whose clips stand beside the videos."""

    runs: tuple[Run, ...]
    """Its runs, newest first."""

    films: tuple[Film, ...]
    """Its videos, newest first."""


def plain(value: object) -> str:
    """A text or number of a foreign record as text; '' for anything else."""
    if isinstance(value, str):
        return value
    return f"{value:g}" if isinstance(value, float) else str(value) if type(value) is int else ""


def model_name(name: str) -> str:
    """A base model without the folders that lead to it, which are nobody's business in a page that is mailed."""
    for path in (PurePosixPath(name), PureWindowsPath(name)):
        if path.is_absolute():
            return path.name
    return name


# --- Gathering.


def gather(name: str | None) -> list[Shelf]:
    """All shelves, or that of one project with the mixes in which it speaks, or that of one mix."""
    if name is None:
        return [*map(_of_project, Project.all()), *(_of_mix(folder) for folder in _mixes())]
    for folder in _mixes():
        if folder.name == name:
            return [_of_mix(folder)]
    if "+" in name:
        raise NotFound(f"there is no mix '{name}'.", fix="mdctl gallery")
    found = [_of_project(Project.find(name))]
    for folder in _mixes():
        shelf = _of_mix(folder, name)
        found += [shelf] if shelf.films else []
    return found


def _mixes() -> list[Path]:
    with suppress(OSError):
        return sorted(path for path in locations.mixes().iterdir() if path.is_dir() and path.name[0] != ".")
    return []


def _of_project(project: Project) -> Shelf:
    films, runs = _films(project.outputs), tuple(reversed(project.runs()))
    fault, about, caption = project.fault, ["needs attention"], ""
    with suppress(MdctlError):
        record = project.record
        about, caption = [record.kind, model_name(record.model), project.status], record.caption
    return Shelf(project.name, about, caption, fault.what if fault else "", (project,), runs, films)


def _of_mix(folder: Path, only: str | None = None) -> Shelf:
    """The shelf of a mix; `only` keeps the videos in which this project speaks."""
    films = _films(folder / "outputs")
    if only:
        films = tuple(film for film in films if only in (voice.project for voice in film.voices))
    names = dict.fromkeys(voice.project for film in films for voice in film.voices)
    known = {project.name: project for project in Project.all()}
    sources = [known.get(name) or _picture(name) for name in names]
    models = dict.fromkeys(film.model for film in films if film.model)
    return Shelf(folder.name, ["mix", *models], "", "", tuple(one for one in sources if one), (), films)


def _picture(name: str) -> Project | None:
    """The look of a single picture, which `animate-image` has learned."""
    known = (path for path in locations.images().glob("*") if path.name == name and path.is_dir())
    return next(map(Project, known), None)


def _films(folder: Path) -> tuple[Film, ...]:
    """The videos of a folder, newest first; a link is passed over and told, because it may lead anywhere."""
    films = []
    with suppress(OSError):
        for path in folder.iterdir():
            if not footage.is_video(path):
                continue
            if path.is_symlink() or not (path.is_file() or footage.is_folder(path)):
                face().warn(f"'{path.name}' is left out: it is no file of its own.", "MD-LEFT-OUT")
            else:
                films.append(Film(path, _sidecar(path.with_suffix(".json"))))
    return tuple(sorted(films, key=lambda film: (film.created, film.path.name), reverse=True))


def content(film: Film) -> bytes:
    """What a browser plays: the file itself, or the pictures of a folder as an mp4, from the cache where that is there.

    Raises:
        MdctlError: a picture cannot be read.
    """
    if not film.path.is_dir():
        return film.path.read_bytes()
    from mdctl.media import ffmpeg, folders

    cached = locations.cache() / "references" / f"{folders.digest(film.path)[:32]}@{film.fps:g}.mp4"
    with suppress(OSError):
        return cached.read_bytes()
    frames, _ = folders.spread(film.path, len(folders.pictures(film.path)) or 1)
    made = ffmpeg.encode(frames, film.fps, format="mp4")
    atomic.write(cached, made)
    return made


def _sidecar(path: Path) -> Mapping[str, Any]:
    with suppress(OSError, ValueError):
        return {} if path.is_symlink() else footage.sidecar(path)
    return {}


def _table(record: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    table = record.get(key)
    return table if isinstance(table, Mapping) else {}


# --- Reference clips.


def references(project: Project, most: int) -> list[Reference]:
    """The first clips of a project, cut to what a training sees of them; one that cannot be shown says why."""
    with suppress(MdctlError):
        return [_reference(project, clip) for clip in project.clips[:most]]
    return []


def _reference(project: Project, clip: ClipRecord) -> Reference:
    kind = "image/png" if clip.picture else "video/mp4"
    try:
        return Reference(clip.name, clip.caption, _small(project, clip), kind)
    except MdctlError as fault:
        why = f"the clip '{clip.name}' of '{project.name}' is not shown: {fault.why or fault.what}"
        face().warn(why, "MD-LEFT-OUT")
        return Reference(clip.name, clip.caption)


def _small(project: Project, clip: ClipRecord) -> bytes:
    """A clip as a small file that every browser plays; from the cache where it is there."""
    shape = _shape(project, clip)
    trim = "-".join(f"{edge:g}" for edge in clip.trim or ())
    trim += "".join(f"+{edge}" for edge in clip.crop or ())
    about = f"{clip.sha256[:32]}_{shape.frames}x{shape.width}x{shape.height}@{shape.fps:g}{'_' * bool(trim)}{trim}"
    cached = locations.cache() / "references" / f"{about}.{'png' if clip.picture else 'mp4'}"
    with suppress(OSError):
        return cached.read_bytes()
    content = _encoded(_cut(project, clip, shape), shape, clip.picture)
    atomic.write(cached, content)
    return content


def _encoded(frames: "Frames", shape: Shape, picture: bool) -> bytes:
    from mdctl.media import ffmpeg, preview

    return preview.png(frames[0]) if picture else ffmpeg.encode(frames, shape.fps, format="mp4")


def _cut(project: Project, clip: ClipRecord, shape: Shape) -> "Frames":
    """What training sees of a clip; of one that it would leave out, frames from all of it."""
    from mdctl.media import clips as media

    found, frames = encoding.window(project, clip, shape)
    if frames is not None:
        return frames
    return media.spread(found.path, shape.frames, (shape.width, shape.height), clip.crop)[0]


def _shape(project: Project, clip: ClipRecord) -> Shape:
    """That of the newest run, else what is usual with the clip's own proportions; no edge beyond `EDGE`."""
    wanted = Shape(_USUAL.frames, _USUAL.fps, clip.width or EDGE, clip.height or EDGE)
    for run in project.runs()[-1:]:
        with suppress(MdctlError, KeyError, TypeError):
            wanted = from_table(Shape, run.settings["clips"], "run.toml: clips")
    less = min(1.0, EDGE / max(wanted.width, wanted.height))
    width, height = (max(2, round(edge * less / 2) * 2) for edge in (wanted.width, wanted.height))
    return Shape(wanted.frames, wanted.fps, width, height)
