"""A program of its own: what completion has to know of the commands, as JSON on stdout.

    python -m mdctl.cli.system.completion_table > mdctl/cli/system/completion.json

It reads the commands as they are mounted, so that nothing about them is written twice; a test compares it with the
file that is shipped.
"""

import json
import re
import sys
import types
from collections.abc import Iterator
from dataclasses import fields
from typing import Any, Literal, Union, get_args, get_origin

import typer

from mdctl.catalog import CARDS
from mdctl.cli import app, groups
from mdctl.cli.face import FLAGS
from mdctl.cli.system import topics
from mdctl.settings import OBJECTIVES, PRECISIONS, ClipSettings, SampleSettings, TrainSettings
from mdctl.workspace import locations

BY_METAVAR = {
    "NAME": "project",
    "[NAME]": "project",
    "NAME|FILE": "project|file",
    "NAME[:WEIGHT]": "project",
    "OLD": "project",
    "MODEL": "model",
    "TEMPLATE": "template",
    "KEY": "key",
    "KEY=VALUE": "setting",
    "VIDEO|JSON|last": "last|file",
}
"""What is typed in a place, by what help calls it; for a place that is not here, nothing is offered."""

FILES = ("FILE", "DIR", "FOLDER", "CLIPS", "IMAGE", "MANIFEST")
"""How places begin in which a file is typed."""

BY_OPTION = {
    "--template": "template",
    "--model": "model|file",
    "--checkpoint": "save",
    "--run": "run",
    "--output": "file",
    "--manifest": "file",
}
"""The same by the names of options that help calls nothing in particular."""

OF_THEIR_OWN = {
    ("new", "name"): "",
    ("animate-image", "keep"): "",
    ("restore", "name"): "trashed",
    ("help", "words"): "topic",
}
"""Places where something else is typed than their name says: names that are new, or in the trash."""


def table() -> dict[str, Any]:
    """Commands with their arguments and options, settings with their values, and what is shipped by name."""
    root = typer.main.get_group(app.app)
    root.commands = dict(app.commands())
    everywhere: list[tuple[str, str | None, str]] = [(name, None, "") for name in FLAGS if name.startswith("--")]
    everywhere += [("--home", "file", "The folder of all data."), ("--help", None, "Show how it is used.")]
    return {
        **_command(root, ""),
        "everywhere": [
            {"names": [name], "takes": takes, "many": False, "about": about} for name, takes, about in everywhere
        ],
        "settings": _settings(),
        "topics": list(topics.TOPICS),
        "models": sorted(CARDS),
        "templates": sorted(path.stem for path in locations.presets().glob("*.toml")),
    }


def _command(command: Any, name: str) -> dict[str, Any]:
    about = groups.sentence(command.help or "")
    known = [one for one in command.params if not getattr(one, "hidden", False)]
    options = [_option(one, name) for one in known if one.param_type_name == "option" and one.name != "help"]
    if inner := getattr(command, "commands", None):
        deeper = {word: _command(one, word) for word, one in inner.items() if not getattr(one, "hidden", False)}
        return {"about": about, "options": options, "commands": deeper}
    arguments = [
        {"takes": _takes(one, name), "many": one.nargs != 1} for one in known if one.param_type_name == "argument"
    ]
    return {"about": about, "arguments": arguments, "options": options}


def _option(option: Any, command: str) -> dict[str, Any]:
    names = sorted([*option.opts, *option.secondary_opts], key=len, reverse=True)
    takes = None if option.is_flag else _takes(option, command)
    return {"names": names, "takes": takes, "many": option.multiple, "about": option.help or ""}


def _takes(parameter: Any, command: str) -> str | list[str]:
    """A list of words, or the kind of what is typed."""
    if (command, parameter.name) in OF_THEIR_OWN:
        return OF_THEIR_OWN[command, parameter.name]
    if words := list(_literals(parameter.type_descriptor.annotation)):
        return words
    metavar = parameter.metavar or ""
    if metavar in BY_METAVAR or metavar.startswith(FILES):
        return BY_METAVAR.get(metavar, "file")
    return next((BY_OPTION[name] for name in parameter.opts if name in BY_OPTION), "")


def _literals(annotation: Any) -> Iterator[str]:
    if get_origin(annotation) is Literal:
        yield from get_args(annotation)
    elif get_origin(annotation) in (Union, types.UnionType, list):
        for part in get_args(annotation):
            yield from _literals(part)


def _settings() -> dict[str, list[str]]:
    """Every setting with its table, and the words that may stand for it."""
    words = {"objective": OBJECTIVES, "precision": PRECISIONS}
    tables = {"clips": ClipSettings, "train": TrainSettings, "gen": SampleSettings}
    return {
        f"{table}.{field.name}": list(
            words.get(field.name, ("true", "false") if bool in (field.type, *get_args(field.type)) else ())
        )
        for table, kind in tables.items()
        for field in fields(kind)
    }


def text() -> str:
    """The table as JSON, an option or argument a line."""
    return re.sub(r"\{[^{}]*\}", lambda leaf: " ".join(leaf[0].split()), json.dumps(table(), indent=1)) + "\n"


if __name__ == "__main__":
    sys.stdout.write(text())
