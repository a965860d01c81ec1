"""The user's own word on settings: `config.toml` beneath all projects, and `MDCTL_*` variables above them.

Both know the tables that templates know. A key of [train] is spoken as `MDCTL_KEY`, one of [clips] or [gen] as
`MDCTL_CLIPS_KEY` and `MDCTL_GEN_KEY`.
"""

import os
from collections.abc import MutableMapping
from difflib import get_close_matches
from typing import Any

from mdctl.errors import BadInput, UsageFault, nearest
from mdctl.settings import from_table, kinds_of
from mdctl.text import safe
from mdctl.workspace import documents, locations, presets

OTHERS = {
    "MDCTL_HOME": "A folder for everything: data in it, config/, cache/ and state/ below it. As --home.",
    "MDCTL_PLAIN": "1: plain lines, no boxes, no colours. As --plain.",
    "MDCTL_FFMPEG": "The absolute path of the ffmpeg to use.",
    "MDCTL_NOTIFY": "off: no bell at the end of a training that took over a minute.",
    "MDCTL_PICTURES": "off: no pictures in terminals that could show them.",
    "MDCTL_WORDS": "What is typed so far; only completion in PowerShell sets it, for a moment.",
}
"""Variables of mdctl that are no settings, and what they do."""

_LEAD = "MDCTL_"
_ALIKE = 0.8
"""How much a variable has to look like a setting to be taken for a slip; any other belongs to somebody else."""


def keys() -> dict[str, tuple[str, str]]:
    """Every setting as it is written, such as `train.rank`, with its table and its name in it."""
    return {f"{table}.{key}": (table, key) for table, kind in presets.KINDS.items() for key in kinds_of(kind)}


def find(written: str) -> tuple[str, str]:
    """Table and name of a setting; `BadInput` (4) with the nearest for one that there is not."""
    known = keys()
    if written in known:
        return known[written]
    ending = [key for key, (_, name) in known.items() if name == written.rpartition(".")[2]]
    near = ending[0] if len(ending) == 1 else nearest(written, known)
    meant = f"one of {', '.join(ending)}" if len(ending) > 1 else f"did you mean {near}?" if near else ""
    raise BadInput(
        f"there is no setting '{safe(written, 80)}'.",
        why="" if "." in written else "a setting is named with its table.",
        fix=(*([meant] if meant else []), "mdctl config show"),
        code="MD-SETTING",
    )


def read() -> dict[str, dict[str, Any]]:
    """What `config.toml` says, table by table; `BadInput` names the line of what cannot be."""
    file = locations.settings()
    if not file.exists():
        return {table: {} for table in presets.TABLES}
    document = documents.read_toml(file)
    documents.check_keys(document, presets.TABLES, file)
    tables = {table: documents.value(document, table, dict, file, {}) for table in presets.TABLES}
    presets.check(tables, file)
    return tables


def put(table: str, key: str, value: Any) -> None:
    """Write one setting into `config.toml`; comments and order stay, and an edit that is made meanwhile too."""
    from_table(presets.KINDS[table], {key: value}, table)

    def change(document: MutableMapping[str, Any]) -> None:
        document.setdefault(table, {})[key] = documents.plain(value)

    documents.edit_toml(locations.settings(), change)


def value_of(table: str, key: str, text: str) -> Any:
    """What a text says as a value of this setting; whether it may be one is for the settings to tell."""
    types, found = kinds_of(presets.KINDS[table])[key], documents.literal(text.strip())
    if types == (str,):
        return found if isinstance(found, str) else text
    if types == (bool,) and type(found) is int and found in (0, 1):  # as variables of the shell are set
        return bool(found)
    return found


def variables() -> dict[str, tuple[str, str]]:
    """The variable of every setting, with its table and its name in it."""
    short = {"train": ""}
    return {f"{_LEAD}{short.get(table, f'{table}_')}{key}".upper(): (table, key) for table, key in keys().values()}


def spoken(table: str) -> list[tuple[str, dict[str, Any]]]:
    """What the variables that are set say of one table, each by its name; one that says nothing counts as not set.

    `UsageFault` (2) for a variable that is nearly one, so that a slip is not passed over in silence.
    """
    found, known = [], variables()
    for name, text in os.environ.items():
        if name in known and known[name][0] == table and text.strip():
            key = known[name][1]
            found.append((name, {key: value_of(table, key, text)}))
    rests = [name.removeprefix(_LEAD) for name in known]
    for name in unknown():
        if near := get_close_matches(name.removeprefix(_LEAD), rests, n=1, cutoff=_ALIKE):
            what, fix = f"there is no setting {safe(name, 80)}.", (f"did you mean {_LEAD}{near[0]}?", "mdctl help env")
            raise UsageFault(what, why="it is set in the environment.", fix=fix, code="MD-SETTING")
    return found


def unknown() -> list[str]:
    """The variables that begin like mdctl's and are none of them."""
    known = {*variables(), *OTHERS}
    return sorted(name for name in os.environ if name.startswith(_LEAD) and name not in known)
