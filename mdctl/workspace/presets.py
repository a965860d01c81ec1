"""Templates: settings for both verbs as TOML, shipped with mdctl or the user's own."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mdctl.errors import BadInput, nearest
from mdctl.settings import ClipSettings, SampleSettings, TrainSettings, from_table, kinds_of
from mdctl.text import safe
from mdctl.workspace import documents, locations

KINDS: dict[str, Any] = {"clips": ClipSettings, "train": TrainSettings, "gen": SampleSettings}
"""Which settings each table holds."""

TABLES = tuple(KINDS)


@dataclass(frozen=True)
class Template:
    """One template."""

    name: str
    path: Path
    about: str
    tables: dict[str, dict[str, Any]]
    """Settings in `clips`, `train` and `gen`."""

    own: bool
    """Whether it is the user's."""


def paths() -> dict[str, Path]:
    """Every template by name; the user's own win over those that are shipped."""
    found: dict[str, Path] = {}
    for folder in (locations.presets(), locations.templates()):
        found |= {path.stem: path for path in sorted(folder.glob("*.toml"))}
    return found


def read(name: str) -> Template:
    """A template by name; `BadInput` when there is none of that name, or when it cannot be read."""
    known = paths()
    if name not in known:
        near = nearest(name, known)
        fix = (f"did you mean {near}?",) if near else ()
        what = f"there is no template '{safe(name, 80)}'."
        raise BadInput(
            what, why=f"known are {', '.join(known)}.", fix=(*fix, "mdctl templates list"), code="MD-TEMPLATE"
        )
    path = known[name]
    table = documents.read_toml(path)
    documents.check_keys(table, ("about", *TABLES), path)
    tables = {key: documents.value(table, key, dict, path, {}) for key in TABLES}
    about = documents.value(table, "about", str, path, "")
    return Template(name, path, about, tables, path.parent == locations.templates())


def check(tables: Mapping[str, Mapping[str, Any]], path: Path) -> None:
    """Refuse a setting that does not exist or cannot be, with the line of the file on which it stands."""
    for table, values in tables.items():
        documents.check_keys(values, tuple(kinds_of(KINDS[table])), path, table)
        for key, value in values.items():
            try:
                from_table(KINDS[table], {key: value}, table)
            except BadInput as fault:
                place = documents.place_of(path, f"{table}.{key}")
                fault.what = f"{path.name}{', ' * bool(place)}{place}: {fault.what}"
                fault.fix = (f"edit {path}",)
                raise
