"""Which setting wins, and where it came from.

flag > MDCTL_* > pin > project.toml > template > config.toml > what suits the base model > built-in
"""

from collections.abc import Mapping, Sequence
from typing import Any

from mdctl.cli.face import face
from mdctl.errors import BadInput, UsageFault
from mdctl.settings import Settings, from_table
from mdctl.text import safe
from mdctl.workspace import config, documents, presets
from mdctl.workspace.project import Project

Table = Mapping[str, Any]


def layers(
    table: str, project: Project | None, template: str | None, flags: Table, base: str = ""
) -> list[tuple[str, Table]]:
    """The sources of one table of settings, weakest first, each with its name.

    A template that is named like the base model always lies beneath; beneath all of an appearance also `images`, and
    what is named like the base model and `-images`. Each variable is a source of its own; `--no-config` leaves
    variables and the user's `config.toml` out.
    """
    beneath = [base]
    if project and project.record.kind == "appearance":
        beneath += ["images", f"{base}-images"]
    known = presets.paths()
    suits = [(f"template {one}", presets.read(one).tables[table]) for one in beneath if one in known]
    name = template or (project.record.template if project else None)
    chosen = presets.read(name) if name else None
    own: Table = getattr(project.record, table) if project else {}
    pinned = project.record.pin if project and table == "gen" else {}
    given = {key: value for key, value in flags.items() if value is not None}
    heeded = face().manners.config
    return [
        *suits,
        ("config.toml", config.read()[table] if heeded else {}),
        (f"template {name}", chosen.tables[table] if chosen else {}),
        (f"{project.name}/project.toml" if project else "project.toml", own),
        (f"pin {project.name}" if project else "pin", {key: pinned[key] for key in pinned if key != "checkpoint"}),
        *(config.spoken(table) if heeded else []),
        ("flag", given),
    ]


def origins(sources: list[tuple[str, Table]]) -> dict[str, str]:
    """Of every setting that a source gives: the one that wins."""
    return {key: source for source, values in sources for key in values}


def pairs(words: Sequence[str] | None) -> dict[str, Any]:
    """What `--set key=value` says, as a table."""
    found = {}
    for word in words or ():
        key, equals, text = word.partition("=")
        if not equals or not key.strip():
            raise UsageFault(f"'{safe(word, 80)}' sets nothing.", fix="--set beta=0.5, a key and its value")
        found[key.strip()] = documents.literal(text.strip())
    return found


def resolve(kind: type[Settings], table: str, sources: list[tuple[str, Table]]) -> Settings:
    """One frozen record of settings out of its sources; each is checked by itself, so that the error names it."""
    merged: dict[str, Any] = {}
    for source, values in sources:
        try:
            from_table(kind, values, table if source == "flag" else f"{source}: {table}")
        except BadInput as fault:
            if source != "flag" and source not in fault.what:
                fault.why = f"{source}: {fault.why}"
            if source.startswith("pin "):
                fault.fix = (f"mdctl {source} --clear",)
            if source.startswith("MDCTL_"):
                raise UsageFault(fault.what, why=fault.why, fix=f"unset {source}", code=fault.code) from fault
            raise
        merged |= values
    return from_table(kind, merged, table)
