"""Commands of two words, such as `clips list`, and help that says of each command what it does."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import typer
from typer.core import TyperGroup

from mdctl.cli.face import EPILOG, columns

WIDEST = 100
"""Columns that help takes at most."""

_BRACES = str.maketrans("", "", "{}")
_TYPES = {r"<int( range)?>": "N", r"<float( range)?>": "X", "<str>": "TEXT", "<([^<>]+)>": r"\1"}
_RANGE = re.compile(r"  \[[^][ ;]*x[<>][^][;]*\]|; [^][ ;]*x[<>][^][;]*")
"""How Typer tells of braces, types and ranges what an example or an error tells better."""


MANY = 12
"""More options than so many stand below titles of their own."""

TITLES = {
    "Look": "strength appearance-strength follow guidance negative size frames fps format crop crop-bars",
    "Hardware": "device vram precision threads deterministic graph merged",
    "Advanced": "set template rank lr shared-spatial save-every sampler wait dry-run clip pick dino clip-b32",
}
"""Which options stand below which; all others are common ones."""

_TITLED = {f"--{word}": title for title, words in TITLES.items() for word in words.split()}


class _Page(typer.Context.formatter_class):  # type: ignore[misc, valid-type]
    """Help as wide as the terminal; names take a third of it at most, and longer ones a line of their own."""

    def __init__(self, **known: Any) -> None:
        super().__init__(**{**known, "width": max(1, min(WIDEST, columns()) - 2)})
        self._title = ""

    @contextmanager
    def section(self, name: str) -> Iterator[None]:
        """Write a title, and what comes now below it."""
        self._title = name
        with super().section(name):
            yield

    def write_usage(self, prog: str, args: str = "", prefix: str | None = None) -> None:
        """Write how a command is typed."""
        super().write_usage(prog, args.translate(_BRACES).replace("......", "..."), prefix)

    def write_dl(self, rows: Sequence[tuple[str, str]], col_max: int = 30, col_spacing: int = 2) -> None:
        """Write what things are called, and what they mean beside it; many options below titles of their own."""
        widest = min(col_max, self.width // 3)
        told = [readable(*row) for row in rows]
        if self._title != "Options" or len(rows) <= MANY:
            super().write_dl(told, widest, col_spacing)
            return
        parts: dict[str, list[tuple[str, str]]] = {"Options": [], **{title: [] for title in TITLES}}
        for name, about in told:
            flag = next((word for word in re.split(r"[ ,]+", name) if word.startswith("--")), "")
            parts[_TITLED.get(flag, "Options")].append((name, about))
        super().write_dl(parts.pop("Options"), widest, col_spacing)
        self.dedent()
        for title, part in parts.items():
            if part:
                with self.section(title):
                    super().write_dl(part, widest, col_spacing)
        self.indent()


class Context(typer.Context):
    """What Typer knows of a command line, with such help."""

    formatter_class = _Page


class Group(TyperGroup):
    """Commands whose help tells of each in a whole sentence, wrapped where the terminal is narrow and never cut."""

    context_class = Context

    def get_command(self, ctx: typer.Context, cmd_name: str) -> Any:  # type: ignore[override]
        """The command of this name."""
        command = super().get_command(ctx, cmd_name)
        if command is not None:
            command.context_class = Context
        return command

    def told(self, ctx: typer.Context) -> Iterator[tuple[str, list[tuple[str, str]]]]:
        """Titles, each with commands and what they do."""
        known = [(word, self.get_command(ctx, word)) for word in self.list_commands(ctx)]
        yield "Commands", [(word, sentence(one.help or "")) for word, one in known if one and not one.hidden]

    def format_commands(self, ctx: typer.Context, formatter: Any) -> None:  # type: ignore[override]
        """Write them below their titles, as one table."""
        told = [(title, rows) for title, rows in self.told(ctx) if rows]
        widest = max((len(word) for _, rows in told for word, _ in rows), default=0)
        for title, rows in told:
            with formatter.section(title):
                formatter.write_dl([(word.ljust(min(widest, formatter.width // 3)), about) for word, about in rows])


def readable(name: str, about: str) -> tuple[str, str]:
    """What an option or argument is called and what it means, in words that no programmer has to explain."""
    name = name if name.startswith("-") else name.partition(" <")[0]
    for typed, told in _TYPES.items():
        name = re.sub(typed, told, name)
    return name, re.sub(_RANGE, "", re.sub(r"default: \(([^()]*)\)", r"default: \1", about))


def sentence(text: str) -> str:
    """What a command does: the first sentence of its help."""
    return " ".join(text.partition("\n\n")[0].split())


def mount(
    app: typer.Typer, name: str, about: str, examples: Sequence[str], commands: Mapping[str, Callable[..., int]]
) -> typer.Typer:
    """Add commands under a common first word, and give what more of them can be added to."""
    told = "\n".join(examples)
    group = typer.Typer(
        name=name, cls=Group, help=f"{about}\n\n\b\n{told}", rich_markup_mode=None, suggest_commands=False
    )
    for word, command in commands.items():
        group.command(word, epilog=EPILOG)(command)
    app.add_typer(group)
    return group
