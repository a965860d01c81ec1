"""What a benchmark on the user's own data consists of: units with reference clips, captions and prompts to judge by.

A manifest is JSON Lines, one unit a line, paths relative to the file. The layouts of known benchmarks are read into the
same form.
"""

import csv
import dataclasses
import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

from mdctl.errors import BadInput, NotFound, UsageFault, instead
from mdctl.media import folders

SLUG = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}")

LOVEU_TABLE = "LOVEU-TGVE-2023_Dataset.csv"
LOVEU_SECTIONS = {"davis": ("DAVIS_480p", 16), "youtube": ("youtube_480p", 23), "videvo": ("videvo_480p", 37)}
"""By the first word of a section's row: the folder of its videos, and how many there are."""


@dataclass(frozen=True)
class Wish:
    """One prompt that a unit is judged by."""

    id: str
    type: str
    """Such as `appearance`, `style`, `object`, `background`, `multiple`."""

    prompt: str


@dataclass(frozen=True)
class Unit:
    """One motion: clips to learn it from, and what is asked of it."""

    unit: str
    references: tuple[Path, ...]
    caption: str
    eval: tuple[Wish, ...]
    captions: tuple[str, ...] | None = None
    """One for each reference, where they differ."""

    seeds: tuple[int, ...] = (0,)


EXAMPLES: dict[str, str | list[str] | list[int]] = {
    "unit": "golf_side",
    "references": ["clips/golf_01.mp4"],
    "caption": "a person is playing golf",
    "captions": ["a person is playing golf"],
    "seeds": [0, 1],
    "id": "monkey",
    "type": "appearance",
    "prompt": "a monkey is playing golf",
}
"""What may stand in a line, for each key but `eval`; what does stand there has to be of the same kind."""


def template(name: str) -> str:
    """A manifest that is shipped to be filled in; `UsageFault` with the names that there are."""
    shipped = files("mdctl.measure").joinpath("manifests")
    names = sorted(one.name.removesuffix(".jsonl") for one in shipped.iterdir() if one.name.endswith(".jsonl"))
    if name not in names:
        raise UsageFault(f"there is no manifest template '{name}'.", fix=instead(name, names))
    return shipped.joinpath(f"{name}.jsonl").read_text("utf-8")


def read(path: Path) -> list[Unit]:
    """The units of a manifest.

    Raises:
        NotFound: there is no such file, or a reference is missing.
        BadInput: a line is no unit, with its number and what is wrong.
    """
    try:
        lines = path.read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as fault:
        raise NotFound(
            f"the manifest {path} cannot be read.", why=str(fault), fix="give a JSONL file in UTF-8"
        ) from fault
    units = [_unit(line, path, number) for number, line in enumerate(lines, 1) if line.strip()]
    if not units:
        raise BadInput(f"{path} holds no unit.", fix="one JSON object a line: unit, references, caption, eval")
    if double := _double(unit.unit for unit in units):
        raise BadInput(f"{path} has the unit '{double}' twice.", fix="give each unit a name of its own")
    return units


def write(units: Iterable[Unit], beside: Path) -> str:
    """Units as the lines of a manifest that lies in the folder `beside`."""

    def record(unit: Unit) -> str:
        fields = dataclasses.asdict(unit) | {"references": [_relative(one, beside) for one in unit.references]}
        return json.dumps(fields, ensure_ascii=False)

    return "".join(record(unit) + "\n" for unit in units)


def _relative(path: Path, folder: Path) -> str:
    return path.relative_to(folder).as_posix() if path.is_relative_to(folder) else str(path)


def _unit(line: str, path: Path, number: int) -> Unit:
    where = f"{path}, line {number}"
    try:
        record = json.loads(line)
    except ValueError as fault:
        raise BadInput(f"{where} is no JSON.", why=str(fault), fix="write one object a line") from fault
    fields = _known(record, Unit, where)
    wishes = fields.get("eval")
    if not isinstance(wishes, list) or not wishes:
        raise BadInput(f"{where}: 'eval' names no prompts.", fix='"eval": [{"id": "monkey", "prompt": "a monkey …"}]')
    found = tuple(Wish(**({"type": "appearance"} | _known(wish, Wish, f"{where}, eval"))) for wish in wishes)
    named = [path.parent / name for name in fields.get("references", ())]
    if not named:
        raise BadInput(f"{where}: 'references' names no clips.", fix='"references": ["clips/golf_01.mp4"]')
    unit = Unit(
        unit=fields.get("unit", ""),
        references=tuple(clip for one in named for clip in (folders.videos(one) or [one])),
        caption=fields.get("caption", ""),
        eval=found,
        captions=tuple(fields.get("captions", ())) or None,
        seeds=tuple(fields.get("seeds", ())) or (0,),
    )
    _check(unit, where)
    return unit


def _known(record: Any, kind: type, where: str) -> dict[str, Any]:
    """What a record says, null being nothing; `BadInput` where a key is unknown, missing, or of another kind."""
    if not isinstance(record, dict):
        raise BadInput(f"{where} is no object.", fix="write it as {…}")
    names = [field.name for field in dataclasses.fields(kind)]
    for key in record:
        if key not in names:
            raise BadInput(f"{where} has the unknown key '{key}'.", fix=instead(key, names))
    if missing := [name for name in ("id", "prompt") if kind is Wish and not record.get(name)]:
        raise BadInput(f"{where} lacks '{missing[0]}'.", fix='{"id": "monkey", "prompt": "a monkey playing golf"}')
    said = {key: value for key, value in record.items() if value is not None}
    for key, value in said.items():
        if key in EXAMPLES:
            _require_kind(key, value, where)
    return said


def _require_kind(key: str, value: Any, where: str) -> None:
    example = EXAMPLES[key]
    if isinstance(example, list):
        kind = type(example[0])
        right = isinstance(value, list) and all(type(one) is kind for one in value)
        called = "a list of whole numbers" if kind is int else "a list of texts"
    else:
        right, called = isinstance(value, str), "text"
    if not right:
        raise BadInput(f"{where}: '{key}' has to be {called}.", fix=f'"{key}": {json.dumps(example)}')


def _check(unit: Unit, where: str) -> None:
    for name in (unit.unit, *(wish.id for wish in unit.eval)):
        if not SLUG.fullmatch(name):
            raise BadInput(f"{where}: '{name}' is no name.", fix="use letters, digits, '-' and '_'")
    if double := _double(wish.id for wish in unit.eval):
        raise BadInput(f"{where}: the prompt '{double}' is there twice.", fix="give each an id of its own")
    if unit.captions and len(unit.captions) != len(unit.references):
        raise BadInput(
            f"{where}: {len(unit.captions)} captions for {len(unit.references)} references.",
            fix="one for each, or null",
        )
    for reference in unit.references:
        if not reference.exists():
            raise NotFound(f"{where}: there is no {reference}.", fix="paths are relative to the manifest")
        if reference.is_dir() and not folders.pictures(reference):
            raise NotFound(
                f"{where}: there is neither a video nor a picture in {reference}.", fix="put the clips there"
            )


def _double(names: Iterable[str]) -> str | None:
    seen = set[str]()
    return next((name for name in names if name in seen or seen.add(name)), None)  # type: ignore[func-returns-value]


# --- Layouts.


def from_folder(folder: Path) -> list[Unit]:
    """A unit for each subfolder: its videos, `caption.txt`, and `prompts.txt`, one a line, perhaps after a `type: `."""
    units = []
    for inner in sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith(".")):
        clips = tuple(folders.videos(inner))
        if not clips:
            raise NotFound(f"there is no video in {inner}.", fix="put the clips of one motion into each folder")
        wishes = []
        for number, line in enumerate(_lines(inner / "prompts.txt"), 1):
            kind, colon, rest = line.partition(": ")
            typed = colon and " " not in kind
            wishes.append(Wish(f"p{number:02d}", kind if typed else "appearance", rest if typed else line))
        units.append(Unit(_slug(inner.name), clips, " ".join(_lines(inner / "caption.txt")), tuple(wishes)))
    if not units:
        raise NotFound(f"there is no folder in {folder}.", fix="each unit is a folder with videos, caption and prompts")
    return units


def from_loveu(root: Path) -> list[Unit]:
    """LOVEU-TGVE 2023: 76 videos with four prompts each, by the sections of its table."""
    try:
        with (root / LOVEU_TABLE).open(encoding="utf-8-sig", newline="") as file:
            rows = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as fault:
        raise NotFound(
            f"{root / LOVEU_TABLE} cannot be read.", why=str(fault), fix="download the dataset there, as it is"
        ) from fault
    units, counts, section = list[Unit](), dict.fromkeys(LOVEU_SECTIONS, 0), ""
    for row in ({(key or "").strip(): (value or "").strip() for key, value in row.items() if key} for row in rows):
        name = row.get("Video name", "")
        if name.endswith(":"):
            section = name.split()[0].lower()
            continue
        wishes = tuple(_loveu_wishes(row))
        if not name or not wishes or section not in LOVEU_SECTIONS:
            continue
        place = root / LOVEU_SECTIONS[section][0]
        ways = (place / "480p_frames" / name, place / "480p_videos" / f"{name}.mp4")
        video = next((way for way in ways if way.exists()), None)
        if video is None:
            raise NotFound(f"there is neither {ways[0]} nor {ways[1]}.", fix=f"download {LOVEU_SECTIONS[section][0]}")
        counts[section] += 1
        units.append(Unit(_slug(name), (video,), row.get("Our GT caption", ""), wishes))
    for name, (place_name, number) in LOVEU_SECTIONS.items():
        if counts[name] != number:
            raise BadInput(
                f"the table has {counts[name]} videos of {place_name}, not {number}.", fix="download it again"
            )
    return units


def _loveu_wishes(row: dict[str, str]) -> Iterator[Wish]:
    for column, prompt in row.items():
        kind = column.split()[0].lower() if column.endswith(("Change Caption", "Changes Caption")) else ""
        if kind and prompt:
            yield Wish(kind, kind, prompt)


def from_mtbench(root: Path) -> list[Unit]:
    """MTBench: a folder for each video, with its prompts."""
    units = []
    for inner in sorted(path for path in root.iterdir() if (path / "eval_prompts.txt").is_file()):
        video = inner / "videos" / f"{inner.name}.mp4"
        if not video.exists():
            raise NotFound(f"there is no {video}.", fix="download the whole dataset")
        caption = _lines(inner / "prompts.txt")[:1] if (inner / "prompts.txt").exists() else [""]
        prompts = _lines(inner / "eval_prompts.txt")
        wishes = tuple(Wish(f"p{number:02d}", "text", prompt) for number, prompt in enumerate(prompts, 1))
        units.append(Unit(_slug(inner.name), (video,), caption[0], wishes))
    if not units:
        raise NotFound(f"there is no MTBench in {root}.", fix="each video has a folder with an eval_prompts.txt")
    return units


def mtbench_mask(clip: Path, frame: int = 0) -> Path | None:
    """The mask of a frame of one of MTBench's videos; None where there is none, or the clip is another's."""
    mask = clip.parent.parent / "masks" / clip.stem / f"{frame:05d}.png"
    return mask if clip.parent.name == "videos" and mask.is_file() else None


def _lines(path: Path) -> list[str]:
    try:
        found = [line.strip() for line in path.read_text("utf-8-sig").splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError) as fault:
        raise NotFound(f"{path} cannot be read.", why=str(fault), fix="write it as text, one entry a line") from fault
    if not found:
        raise BadInput(f"{path} is empty.", fix="write one entry a line")
    return found


def _slug(name: str) -> str:
    slug = re.sub(r"[^A-Za-z0-9_.-]+", "-", name).strip("-._")[:100]
    return slug or "unit"
