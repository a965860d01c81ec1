"""`bench run`: what a benchmark on the user's own data consists of, and where each of its videos lies.

A campaign is units times methods times training seeds times prompts times seeds. Every stage has a key: the hash of all
that it depends on and of nothing else, so that what is finished under a key is never done again.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any

from mdctl.measure.manifest import LOVEU_SECTIONS, Unit, Wish
from mdctl.media import folders

VERSION = 1
"""Of the way videos are made: it grows whenever the same inputs would give other ones."""

REFERENCE = "reference"
"""The row in which each clip is judged by itself: what a perfect copy of the motion would reach."""


@dataclass(frozen=True)
class Item:
    """One video of a campaign."""

    method: str
    unit: Unit
    wish: Wish
    train_seed: int
    seed: int

    @property
    def place(self) -> str:
        """Where it lies in the folder of results, without its ending."""
        return place(self.method, self.unit.unit, self.wish.id, self.train_seed, self.seed)


def place(method: str, unit: str, wish: str, train_seed: int, seed: int) -> str:
    """Where the video with these names lies in the folder of results, without its ending."""
    again = f"_t{train_seed}" if train_seed else ""
    return f"{method}/{unit}/{wish}/{seed}{again}"


def items(units: Sequence[Unit], methods: Mapping[str, bool], train_seeds: int) -> Iterator[Item]:
    """All videos, method by method; `methods` says of each whether it is trained: what is not has one seed of it."""
    for method, trained in methods.items():
        for unit in units:
            for train_seed in range(train_seeds if trained else 1):
                for wish in unit.eval:
                    for seed in unit.seeds:
                        yield Item(method, unit, wish, train_seed, seed)


def key(**about: Any) -> str:
    """A name for what these inputs determine."""
    return blake2b(json.dumps(about, sort_keys=True, default=str).encode(), digest_size=12).hexdigest()


def made(folder: Path, item: Item) -> Path | None:
    """The video of an item in mdctl's own folder of results, of whatever kind; None where there is none."""
    return _video(folder / item.place)


# --- Where other systems put their videos.


def find(folder: Path, item: Item) -> Path | None:
    """The video of an item in a system's own folder, in whichever of the known layouts; None where there is none.

    `<unit>/<id>/<seed>.mp4` or a folder of frames there; LOVEU-TGVE's `<section>/<video>/<type>/`; MTBench's
    `<prompt_with_underscores>/*.mp4`. Where a layout has no seeds, its one video counts for the first seed.
    """
    unit, wish = item.unit, item.wish
    names = dict.fromkeys((unit.unit, unit.references[0].stem, unit.references[0].name))
    own = Path(item.place).name
    for name in names:
        if found := _video(folder / name / wish.id / own):
            return found
    number = unit.seeds.index(item.seed) if item.train_seed == 0 else len(unit.seeds)
    if number == 0:
        sections = ("", *(section for section, _ in LOVEU_SECTIONS.values()))
        for name in (f"{section}/{name}" for section in sections for name in names):
            if found := _video(folder / name / wish.id):
                return found
    inside = _spoken(folder, wish.prompt)
    return inside[number] if number < len(inside) else None


def _spoken(folder: Path, prompt: str) -> list[Path]:
    """The videos of a folder that is called as the prompt."""
    name = prompt.strip().replace(" ", "_").removesuffix(".")
    if not name.strip(".") or set(name) & {"/", "\\"}:
        return []
    with suppress(OSError, ValueError):  # too long for a name, or with a NUL
        return sorted(path for path in (folder / name).iterdir() if path.suffix.lower() == ".mp4")
    return []


def _video(stem: Path) -> Path | None:
    ways = (stem, *(stem.with_name(stem.name + suffix) for suffix in folders.VIDEOS))
    return next((path for path in ways if folders.is_video(path)), None)


def extras(folder: Path, known: Sequence[Path]) -> list[Path]:
    """Videos and folders of frames inside a folder that nobody asked for."""
    taken = {path.resolve() for path in known}
    found = []
    for path in sorted(folder.rglob("*")):
        hidden = any(part.startswith(".") for part in path.relative_to(folder).parts)
        if not hidden and folders.is_video(path) and path.resolve() not in taken:
            found.append(path)
    return found
