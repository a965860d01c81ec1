"""`models` and `templates`: what mdctl builds on."""

from pathlib import Path
from typing import Annotated

import typer

from mdctl.catalog import CARDS
from mdctl.cli.face import EPILOG, face
from mdctl.errors import UsageFault
from mdctl.workspace import atomic, locations, presets, weights


def mount(app: typer.Typer) -> None:
    """Add the commands of this file."""
    models = typer.Typer(name="models", help="List the base models.", rich_markup_mode=None, no_args_is_help=True)
    models.command("list", epilog=EPILOG)(list_models)
    app.add_typer(models)
    templates = typer.Typer(
        name="templates", help="List, show and copy presets.", rich_markup_mode=None, no_args_is_help=True
    )
    templates.command("list", epilog=EPILOG)(list_templates)
    templates.command("show", epilog=EPILOG)(show_template)
    templates.command("copy", epilog=EPILOG)(copy_template)
    app.add_typer(templates)


def list_models() -> int:
    """List the base models that mdctl knows by name, and how to get those that are missing.

    \b
    mdctl models list
    """
    records, rows = [], []
    for card in CARDS.values():
        here = weights.installed(card)
        get = "" if here else weights.pull_line(card, locations.models() / card.name)
        shape = f"{card.frames} x {card.width}x{card.height}"
        rows.append(
            [
                card.name,
                card.summary,
                shape,
                card.licence,
                "in the package" if here and not card.repository else "yes" if here else "no",
            ]
        )
        records.append({"name": card.name, "summary": card.summary, "frames": card.frames, "width": card.width,
                        "height": card.height, "licence": card.licence, "installed": here, "get": get})  # fmt: skip
    face().answer(
        ["MODEL", "WHAT", "CLIPS", "LICENCE", "INSTALLED"], rows, records, [card.name for card in CARDS.values()]
    )
    for record in records:
        if record["get"]:
            face().say(f"{record['name']}:  {record['get']}")
    return 0


def list_templates() -> int:
    """List the presets, shipped and your own.

    \b
    mdctl templates list
    """
    found = [presets.read(name) for name in presets.paths()]
    rows = [[template.name, template.about, "yours" if template.own else "shipped"] for template in found]
    records = [{"name": t.name, "about": t.about, "path": str(t.path), "own": t.own, **t.tables} for t in found]
    face().answer(["TEMPLATE", "FOR", "FROM"], rows, records, [template.name for template in found])
    return 0


def show_template(name: Annotated[str, typer.Argument(metavar="TEMPLATE", show_default=False)]) -> int:
    """Show what a preset sets.

    \b
    mdctl templates show low-vram
    """
    template = presets.read(name)
    facts = [(template.name, template.about)]
    facts += [
        (f"{table}.{key}", str(value)) for table, values in template.tables.items() for key, value in values.items()
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
    if Path(new_name).name != new_name or new_name.startswith("."):
        raise UsageFault(
            f"'{new_name}' cannot be the name of a template.", fix=f"mdctl templates copy {name} my-{name}"
        )
    if new_name in presets.paths():
        raise UsageFault(f"a template '{new_name}' exists already.", fix=f"mdctl templates copy {name} {new_name}-2")
    path = atomic.create(locations.templates() / f"{new_name}.toml", template.path.read_text("utf-8"))
    face().done(f"Copied to {path}; edit it there.", [f"mdctl train NAME --template {new_name}"])
    face().result([str(path)] if face().manners.quiet else [], {})
    return 0
