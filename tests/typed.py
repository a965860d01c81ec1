"""Command lines as texts show them, and what the real command line says to each."""

import re
import shlex
from collections.abc import Iterator
from functools import cache

import typer

from mdctl.cli import app
from mdctl.cli.face import FLAGS, take_manners

EVERYWHERE = {*FLAGS, "--home", "--help", "--version", "-h"}
"""Flags of every command."""

_JOINS = {"|", "&&", "||", ";", ">", ">>", "<", "(", ")"}


@cache
def commands() -> dict[str, typer.core.TyperCommand]:
    """Every command by the words that name it."""
    found: dict[str, typer.core.TyperCommand] = {}
    for name, command in app.commands().items():
        inner = getattr(command, "commands", None)
        found |= {f"{name} {word}": deeper for word, deeper in inner.items()} if inner else {name: command}
    return found


def flags() -> set[str]:
    """Every flag of every command."""
    own = (param for command in commands().values() for param in command.params)
    return EVERYWHERE | {name for param in own for name in (*param.opts, *param.secondary_opts)}


@cache
def examples() -> list[str]:
    """Every example in the help of the commands."""
    helped = (line.strip() for command in commands().values() for line in (command.help or "").splitlines())
    return [line for line in dict.fromkeys(helped) if line.startswith("mdctl ")]


def blocks(text: str) -> list[str]:
    """The lines of a Markdown text's code, those that go on in the next one joined."""
    found = re.findall(r"^ *```\w*\n(.*?)^ *```", text, re.DOTALL | re.MULTILINE)
    return [line for block in found for line in block.replace("\\\n", " ").splitlines()]


def spans(text: str) -> list[str]:
    """The pieces of code within a Markdown text's sentences."""
    prose = re.sub(r"^ *```.*?^ *```", "", text, flags=re.DOTALL | re.MULTILINE)
    return [" ".join(span.split()) for span in re.findall(r"`([^`]+)`", prose)]


def calls(line: str) -> Iterator[list[str]]:
    """What each `mdctl` in a line of a shell is given."""
    lexer = shlex.shlex(line, posix=True, punctuation_chars="();<>|&")
    lexer.whitespace_split = True
    words: list[str] | None = None
    for word in lexer:
        if word == "mdctl" and words is None:
            words = []
        elif words is not None and word in _JOINS:
            yield words
            words = None
        elif words is not None:
            words.append(word)
    if words is not None:
        yield words


def understood(words: list[str]) -> str:
    """The name of the command that a line calls, once all its words are read; raises what a user would be told."""
    _, rest = take_manners(words)
    command = typer.main.get_command(app.app)
    context, named = command.make_context("mdctl", list(rest)), list[str]()
    while rest and hasattr(command, "commands") and not rest[0].startswith("-"):
        name, command, rest = command.resolve_command(context, rest)
        named.append(name)
        context = command.make_context(name, list(rest), parent=context)
    return " ".join(named)


def complaint(words: list[str]) -> str:
    """The kind of fault that is found in a line, '' where there is none."""
    try:
        understood(words)
    except typer.TyperException as fault:
        return type(fault).__name__
    return ""
