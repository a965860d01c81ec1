"""`models` and `templates`: what mdctl builds on."""

import re
from dataclasses import asdict
from typing import Annotated, Any

import typer

from mdctl.catalog import CARDS
from mdctl.cli import groups, options
from mdctl.cli.face import face
from mdctl.cli.system import pull
from mdctl.errors import BadInput, MdctlError, UsageFault
from mdctl.text import safe
from mdctl.workspace import atomic, locations, presets, weights
from mdctl.workspace.pulled import Pulled

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")


def mount(app: typer.Typer) -> None:
    """Add the commands of this file."""
    about, examples = "List, get and check the base models.", ("mdctl models list", "mdctl models pull zeroscope")
    pull.mount(
        groups.mount(app, "models", about, examples, {"list": list_models, "show": show_model, "path": model_path})
    )
    groups.mount(
        app,
        "templates",
        "List, show, copy and check presets.",
        ("mdctl templates list",),
        {"list": list_templates, "show": show_template, "copy": copy_template, "check": check_templates},
    )


def list_models() -> int:
    """List the base models that mdctl knows by name, and how to get those that are missing.

    \b
    mdctl models list
    """
    records, rows = [], []
    for card in CARDS.values():
        here = weights.presence(card)
        get = f"mdctl models pull {card.name}" if here == "no" else ""
        shape = f"{card.frames} x {card.width}x{card.height}"
        rows.append([card.name, card.summary, shape, card.licence, here])
        records.append({"name": card.name, "summary": card.summary, "frames": card.frames, "width": card.width,
                        "height": card.height, "licence": card.licence, "installed": here != "no",
                        "pulled": here == "pulled", "get": get})  # fmt: skip
    face().answer(
        ["MODEL", "WHAT", "CLIPS", "LICENCE", "INSTALLED"], rows, records, [card.name for card in CARDS.values()]
    )
    if missing := [record["get"] for record in records if record["get"]]:
        face().say(f"To get one that is missing:  {missing[0]}")
    return 0


def show_model(name: options.ModelName) -> int:
    """Show one base model: where it lies, how large it is, and what adapters take in it.

    \b
    mdctl models show zeroscope
    mdctl models show starter --json
    """
    from mdctl.motion import families

    known = CARDS.get(name)
    here = weights.installed(known) if known else True
    card, folder = weights.find(name) if here else (known, None)
    assert card is not None
    pulled = Pulled.read(folder) if folder else None
    anatomy = families.anatomy(folder, card.family)
    record: dict[str, Any] = {
        "name": card.name,
        "summary": card.summary,
        "family": card.family,
        "repository": card.repository,
        "revision": pulled.commit if pulled else card.revision,
        "licence": card.licence,
        "frames": card.frames,
        "fps": card.fps,
        "width": card.width,
        "height": card.height,
        "guidance": card.guidance,
        "installed": folder is not None,
        "path": str(folder) if folder else None,
        "fingerprint": weights.fingerprint(folder) if folder else None,
        **asdict(anatomy),
    }
    facts = [
        (card.name, card.summary),
        ("licence", card.licence),
        *([("commit", f"{pulled.commit} of {pulled.repository}")] if pulled else []),
        ("clips", f"{card.frames} frames of {card.width}x{card.height} at {card.fps:g} fps"),
        ("network", f"{anatomy.parameters:,} parameters"),
        ("look", f"{anatomy.spatial_layers} layers, {anatomy.spatial_parameters:,} parameters at rank {anatomy.rank}"),
        (
            "motion",
            f"{anatomy.temporal_layers} layers, {anatomy.temporal_parameters:,} parameters at rank {anatomy.rank}",
        ),
        ("folder", str(folder) if folder else "not on this computer"),
    ]
    if folder is None:
        facts.append(("get it", f"mdctl models pull {card.name}"))
    face().sheet(facts, record)
    return 0


def model_path(name: options.ModelName) -> int:
    """Print the folder of a base model.

    \b
    mdctl models path starter
    """
    _, folder = weights.find(name)
    face().result([str(folder)], {})
    return 0


def list_templates() -> int:
    """List the presets, shipped and your own.

    \b
    mdctl templates list
    """
    rows, records = [], []
    for name, path in presets.paths().items():
        own = path.parent == locations.templates()
        record: dict[str, Any] = {"name": name, "path": str(path), "own": own}
        try:
            template = presets.read(name)
            record |= {"about": template.about, **template.tables}
        except MdctlError as fault:  # one that its user has spoilt must not hide the others
            record |= {"about": f"needs attention: {fault.what}"}
        rows.append([name, record["about"], "yours" if own else "shipped"])
        records.append(record)
    face().answer(["TEMPLATE", "FOR", "FROM"], rows, records, [record["name"] for record in records])
    return 0


def show_template(name: Annotated[str, typer.Argument(metavar="TEMPLATE", show_default=False)]) -> int:
    """Show what a preset sets.

    \b
    mdctl templates show low-vram
    """
    template = presets.read(name)
    facts = [(template.name, template.about)]
    facts += [
        (f"{table}.{key}", str(value).lower() if isinstance(value, bool) else str(value))
        for table, values in template.tables.items()
        for key, value in values.items()
    ]
    face().sheet(facts, {"name": template.name, "about": template.about, **template.tables})
    return 0


def copy_template(
    name: Annotated[str, typer.Argument(metavar="TEMPLATE", show_default=False)],
    new_name: Annotated[str, typer.Argument(metavar="NEW", show_default=False)],
) -> int:
    """Copy a preset to a new name of your own, to edit it there.

    \b
    mdctl templates copy low-vram my-card
    """
    template = presets.read(name)
    if not _NAME.fullmatch(new_name):
        raise UsageFault(
            f"'{safe(new_name, 80)}' cannot be the name of a template.",
            why="a name has letters, digits, _ and -.",
            fix=f"mdctl templates copy {name} my-{name}",
        )
    if new_name in presets.paths():
        raise UsageFault(f"a template '{new_name}' exists already.", fix=f"mdctl templates copy {name} {new_name}-2")
    path = atomic.create(locations.templates() / f"{new_name}.toml", template.path.read_text("utf-8"))
    face().done(f"Copied to {path}; edit it there.", [f"mdctl train NAME --template {new_name}"])
    face().result([str(path)] if face().manners.quiet or face().manners.json else [], {})
    return 0


def check_templates(
    name: Annotated[
        str | None, typer.Argument(metavar="TEMPLATE", help="One of them.", show_default="all, yours too")
    ] = None,
) -> int:
    """Look over presets: whether each key is one, and each value can be; what is wrong is told with its line.

    \b
    mdctl templates check
    mdctl templates check my-card
    """
    faults: list[MdctlError] = []
    rows, records = [], []
    for one in [name] if name else presets.paths():
        told = ""
        try:
            template = presets.read(one)
            presets.check(template.tables, template.path)
        except MdctlError as fault:
            if one not in presets.paths():
                raise
            told = fault.what
            faults.append(fault)
        rows.append([one, told or "ok"])
        records.append({"name": one, "path": str(presets.paths()[one]), "ok": not told, "fault": told})
    face().answer(["TEMPLATE", "STATE"], rows, records, [one for one, state in rows if state != "ok"])
    if faults:
        raise BadInput(
            f"{len(faults)} of {len(rows)} templates cannot be used.",
            why="; ".join(fault.what for fault in faults),
            fix=[line for fault in faults for line in fault.fix],
            code="MD-TEMPLATE",
        )
    return 0
