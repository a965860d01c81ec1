"""What a project's two documents say: `project.toml`, which its user may edit, and `clips.toml`, which mdctl keeps."""

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from mdctl.errors import BadInput
from mdctl.text import safe
from mdctl.workspace import documents

SCHEMA = 1
"""The version of both documents."""
PROJECT, CLIPS = "project.toml", "clips.toml"
"""The names of both documents."""
KINDS = ("motion", "appearance")
"""What a project can teach."""
SUFFIXES = (
    *(".mp4", ".mov", ".mkv", ".webm", ".avi", ".ts", ".mpg", ".gif"),
    *(".png", ".jpg", ".webp"),
)
"""What a copied clip may be called, by what it is; never by what somebody named it."""

Span = tuple[float, float]
"""A part of a clip: the seconds at which it begins and ends."""
Box = tuple[int, int, int, int]
"""A part of a picture: its left and upper edge, its width and height, in upright pixels."""

_Part = TypeVar("_Part")

_CLIP_FILE = re.compile(r"[0-9a-f]{12}\.[a-z0-9]{2,4}")
_HASH = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class ProjectRecord:
    """What `project.toml` says."""

    name: str
    """The project's name; its folder is called so too, and the folder is right when they differ."""
    kind: str
    """`motion` or `appearance`."""
    caption: str
    """What happens in the clips, in one plain sentence."""
    subject: str
    """The words of the caption that stand for who does it; '' when it has none."""
    model: str = "auto"
    """The base model; `auto` until the first training settles it."""
    template: str | None = None
    """The template its settings come from."""
    created: str = ""
    """When it was made, UTC."""
    title: str = ""
    """What its user calls it; any text."""
    schema: int = SCHEMA
    """The version of the document."""
    clips: Mapping[str, Any] = field(default_factory=dict)
    """Its own settings for cutting clips."""
    train: Mapping[str, Any] = field(default_factory=dict)
    """Its own settings for training."""
    gen: Mapping[str, Any] = field(default_factory=dict)
    """Its own settings for making videos."""
    pin: Mapping[str, Any] = field(default_factory=dict)
    """The save and strengths its user chose as default."""

    @classmethod
    def read(cls, folder: Path) -> "ProjectRecord":
        """The record of a project's folder; `BadInput` names what is wrong with it, `NotFound` when it has none."""
        path = folder / PROJECT
        table = _versioned(path)
        documents.check_keys(table, _PROJECT_KEYS, path)
        kind = documents.value(table, "kind", str, path)
        if kind not in KINDS:
            fix = f"write {' or '.join(KINDS)}."
            raise BadInput(f"{PROJECT}: '{safe(kind, 80)}' is no kind of project.", why=str(path), fix=fix)
        caption = documents.value(table, "caption", str, path, "")
        return cls(
            name=folder.name,
            kind=kind,
            caption=caption,
            subject=documents.value(table, "subject", str, path, subject_of(caption)),
            model=documents.value(table, "model", str, path, "auto"),
            template=documents.value(table, "template", str, path, "") or None,
            created=documents.value(table, "created", str, path, ""),
            title=documents.value(table, "title", str, path, ""),
            clips=_section(table, "clips", path),
            train=_section(table, "train", path),
            gen=_section(table, "gen", path),
            pin=_section(table, "pin", path),
        )

    def write(self, folder: Path) -> None:
        """Write it as a new document."""
        table: dict[str, Any] = {"schema": self.schema, **asdict(self)}
        always = ("caption", "subject")
        said = {key: value for key, value in table.items() if value not in (None, "", {}) or key in always}
        documents.write_toml(folder / PROJECT, said)


@dataclass(frozen=True)
class ClipRecord:
    """What `clips.toml` says of one clip."""

    sha256: str
    """The hash of its content."""
    file: str
    """Its name in the project's `clips/`."""
    name: str
    """What the original was called; stray bytes are spelt out."""
    source: str
    """Where the original lay."""
    caption: str
    """What happens in it; '' when the project's caption says it."""
    trim: Span | None
    """The seconds between which it is used; None for all of it."""
    size_bytes: int
    """Its length as a file."""
    width: int
    """In pixels, upright."""
    height: int
    """In pixels, upright."""
    fps: float
    """Frames in a second; 0 for a picture."""
    duration_s: float
    """Its length in time; 0 for a picture."""
    crop: Box | None = None
    """The part of its picture that is used; None for all of it."""
    linked: bool = False
    """Whether it was not copied, and lies at its source."""

    @property
    def picture(self) -> bool:
        """Whether it is a single picture."""
        return self.duration_s == 0

    def frozen(self, caption: str) -> dict[str, Any]:
        """What a run keeps of it, so that later changes touch the next run only; `caption` is that of the project."""
        return {
            "sha256": self.sha256,
            "name": self.name,
            "caption": self.caption or caption,
            **({"trim": list(self.trim)} if self.trim else {}),
            **({"crop": list(self.crop)} if self.crop else {}),
            **({"picture": True} if self.picture else {}),
        }


@dataclass(frozen=True)
class NewClip:
    """A clip that was looked at and shall become part of a project."""

    path: Path
    """Where it lies now; it is only read."""
    sha256: str
    """The hash of what was looked at."""
    suffix: str
    """One of `SUFFIXES`, by the container that was found in it."""
    name: str
    """What its user calls it."""
    caption: str = ""
    """What happens in it; '' when the project's caption says it."""
    trim: Span | None = None
    """The seconds between which it is used; None for all of it."""
    size_bytes: int = 0
    """Its length as a file."""
    width: int = 0
    """In pixels, upright."""
    height: int = 0
    """In pixels, upright."""
    fps: float = 0.0
    """Frames in a second; 0 for a picture."""
    duration_s: float = 0.0
    """Its length in time; 0 for a picture."""
    crop: Box | None = None
    """The part of its picture that is used; None for all of it."""
    linked: bool = False
    """Whether it shall stay where it lies, and not be copied."""


_PROJECT_KEYS = tuple(ProjectRecord.__dataclass_fields__)
_CLIP_KEYS = tuple(ClipRecord.__dataclass_fields__)


def read_clips(folder: Path) -> tuple[ClipRecord, ...]:
    """The clips of a project's folder, in order; `BadInput` names what is wrong with the document."""
    path = folder / CLIPS
    table = _versioned(path)
    documents.check_keys(table, ("schema", "clip"), path)
    clips = documents.value(table, "clip", list, path, [])
    return tuple(_clip(clip, number, path) for number, clip in enumerate(clips))


def write_clips(folder: Path, clips: Sequence[ClipRecord]) -> None:
    """Write the clips of a project's folder as a new document."""
    said = [{key: value for key, value in asdict(clip).items() if value is not False} for clip in clips]
    documents.write_toml(folder / CLIPS, {"schema": SCHEMA, "clip": said})


def subject_of(caption: str) -> str:
    """The words before the first " is " or " are "; '' when there are none."""
    subject, verb, _ = re.sub(r" (is|are) ", "\n", caption, count=1).partition("\n")
    return subject.strip() if verb else ""


def _versioned(path: Path) -> dict[str, Any]:
    table = documents.read_toml(path)
    if documents.value(table, "schema", int, path) > SCHEMA:
        what = f"'{path.parent.name}' was made by a newer mdctl; it is left as it is."
        raise BadInput(what, why=str(path), fix="pip install --upgrade mdctl", code="MD-NEWER")
    return table


def _section(table: Mapping[str, Any], key: str, path: Path) -> dict[str, Any]:
    return documents.value(table, key, dict, path, {})


def _clip(table: object, number: int, path: Path) -> ClipRecord:
    inside = f"clip[{number}]"
    if not isinstance(table, dict):
        raise BadInput(f"{CLIPS}: {inside} must be a table.", why=str(path))
    documents.check_keys(table, _CLIP_KEYS, path, inside)
    sha256, file = documents.value(table, "sha256", str, path), documents.value(table, "file", str, path)
    if not (_HASH.fullmatch(sha256) and _CLIP_FILE.fullmatch(file) and sha256.startswith(file[:12])):
        raise BadInput(f"{CLIPS}: {inside} does not name a file by its hash.", why=str(path))
    return ClipRecord(
        sha256=sha256,
        file=file,
        name=documents.value(table, "name", str, path),
        source=documents.value(table, "source", str, path, ""),
        caption=documents.value(table, "caption", str, path, ""),
        trim=_read(trim_of, table, "trim", path),
        size_bytes=documents.value(table, "size_bytes", int, path, 0),
        width=documents.value(table, "width", int, path, 0),
        height=documents.value(table, "height", int, path, 0),
        fps=documents.value(table, "fps", float, path, 0.0),
        duration_s=documents.value(table, "duration_s", float, path, 0.0),
        crop=_read(crop_of, table, "crop", path),
        linked=documents.value(table, "linked", bool, path, False),
    )


def _read(part_of: Callable[[Any], _Part | None], table: Mapping[str, Any], key: str, path: Path) -> _Part | None:
    try:
        return part_of(table.get(key, []))
    except ValueError as fault:
        raise BadInput(f"{CLIPS}: {fault}.", why=str(path)) from fault


def trim_of(said: Any) -> Span | None:
    """The seconds between which a clip is used, as a document tells them; None for []. `ValueError` for all else."""
    if said == []:
        return None
    told = isinstance(said, list) and len(said) == 2 and all(type(second) in (int, float) for second in said)
    if not (told and -math.inf < said[0] < said[1] < math.inf):  # NaN compares with nothing
        raise ValueError("a trim is two numbers of seconds, the earlier first")
    return float(said[0]), float(said[1])


def crop_of(said: Any) -> Box | None:
    """The part of its picture that is used, as a document tells it; None for []. `ValueError` for all else."""
    if said == []:
        return None
    told = isinstance(said, list) and len(said) == 4 and all(type(edge) is int for edge in said)
    if not told or min(said) < 0 or min(said[2:]) < 1:
        raise ValueError("a crop is left, top, width and height in pixels")
    left, top, width, height = said
    return left, top, width, height
