"""`config`: the user's own settings beneath all projects, and where each setting of a project comes from."""

import os
import shlex
from contextlib import suppress
from dataclasses import asdict
from typing import Annotated, Any

import typer

from mdctl import child
from mdctl.cli import groups
from mdctl.cli.choose import layers, origins, resolve
from mdctl.cli.create import start
from mdctl.cli.face import face
from mdctl.errors import MdctlError, NotFound, NotReady
from mdctl.text import safe
from mdctl.workspace import atomic, config, locations, presets
from mdctl.workspace.project import Project

Key = Annotated[str, typer.Argument(metavar="KEY", help="Such as train.rank: mdctl config show.", show_default=False)]
BLANK = """\
# Your own settings, beneath all templates and projects. `mdctl config show` lists every one with its value.

[clips]

[train]

[gen]
"""
"""What a file begins with that is made to be edited."""


def mount(app: typer.Typer) -> None:
    """Add the commands of this file."""
    about = "Your own settings, beneath all projects."
    groups.mount(
        app,
        "config",
        about,
        ("mdctl config show", "mdctl config set gen.steps 40"),
        {"show": show, "get": get, "set": put, "edit": edit, "path": path},
    )


def show(
    name: Annotated[
        str | None, typer.Argument(metavar="NAME", help="A project.", show_default="what a new one gets")
    ] = None,
    origin: Annotated[bool, typer.Option("--origin", help="Tell where each value comes from.")] = False,
) -> int:
    """Show every setting as the next training and video would take it, of a new project or of one that there is.

    \b
    mdctl config show
    mdctl config show golf --origin
    """
    project = Project.open(name) if name else None
    rows, records = [], []
    for table, kind in presets.KINDS.items():
        sources = layers(table, project, None, {}, _base(project) if table != "clips" else "")
        came = origins(sources)
        for key, value in asdict(resolve(kind, table, sources)).items():
            record = {"key": f"{table}.{key}", "value": value, "origin": came.get(key, "built-in")}
            records.append(record)
            rows.append([record["key"], _worded(value), *([record["origin"]] if origin else [])])
    columns = ["KEY", "VALUE", *(["FROM"] if origin else [])]
    face().answer(columns, rows, records, [record["key"] for record in records])
    return 0


def _base(project: Project | None) -> str:
    """The base model whose template lies beneath; '' where that cannot be told."""
    with suppress(MdctlError):  # a model folder that has gone is for the training to complain of
        return start.card_for(project.record.model if project else "auto").name
    return ""


def _worded(value: Any) -> str:
    if value is None:
        return "(as clips and model ask for)"
    if isinstance(value, bool):
        return str(value).lower()
    return str(value) if value != "" else '""'


def get(key: Key) -> int:
    """Print what your config.toml says of one setting.

    \b
    mdctl config get train.rank
    """
    table, name = config.find(key)
    said = config.read()[table]
    if name not in said:
        raise NotFound(
            f"your config.toml does not set {key}.",
            why=str(locations.settings()),
            fix=(f"mdctl config set {key} VALUE", "mdctl config show says what is taken instead"),
        )
    value = said[name]
    if face().manners.json:
        face().sheet([], {"key": key, "value": value})
    else:
        face().result([_worded(value)], {})
    return 0


def put(
    key: Key,
    value: Annotated[str, typer.Argument(metavar="VALUE", help="As in a TOML file.", show_default=False)],
) -> int:
    """Set one setting in your config.toml; its comments and its order stay.

    \b
    mdctl config set gen.steps 40
    mdctl config set train.precision bf16
    """
    table, name = config.find(key)
    meant = config.value_of(table, name, value)
    config.put(table, name, meant)
    face().done(f"{key} = {_worded(meant)}, where no template and no project says otherwise.")
    face().result([], {"key": key, "value": meant, "path": str(locations.settings())})
    return 0


def edit() -> int:
    """Open your config.toml in your editor, and look it over when that is closed.

    \b
    mdctl config edit
    EDITOR=nano mdctl config edit
    """
    file = locations.settings()
    if not file.exists():
        atomic.write(file, BLANK)
    editor = os.environ.get("VISUAL") or os.environ.get("EDITOR") or ("notepad" if os.name == "nt" else "vi")
    try:
        words = [editor] if os.name == "nt" else shlex.split(editor)
        status = child.attend([*words, str(file)])
    except (child.ChildFailed, ValueError) as fault:
        raise NotReady(
            f"the editor '{safe(editor, 80)}' cannot be started.",
            why=getattr(fault, "why", str(fault)),
            fix=("export EDITOR=nano", f"or edit {file}"),
        ) from fault
    if status:
        face().warn(f"the editor ended with {status}.")
    config.read()
    face().done(f"{file} can be used as it is.")
    face().result([str(file)] if face().manners.quiet or face().manners.json else [], {})
    return 0


def path() -> int:
    """Print where your config.toml lies, or would lie.

    \b
    mdctl config path
    """
    face().result([str(locations.settings())], {})
    return 0
