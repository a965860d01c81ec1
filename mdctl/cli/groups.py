"""Commands of two words, such as `clips list`."""

from collections.abc import Callable, Mapping, Sequence

import typer

from mdctl.cli.face import EPILOG


def mount(
    app: typer.Typer, name: str, about: str, examples: Sequence[str], commands: Mapping[str, Callable[..., int]]
) -> typer.Typer:
    """Add commands under a common first word, and give what more of them can be added to."""
    told = "\n".join(examples)
    group = typer.Typer(name=name, help=f"{about}\n\n\b\n{told}", rich_markup_mode=None, suggest_commands=False)
    for word, command in commands.items():
        group.command(word, epilog=EPILOG)(command)
    app.add_typer(group)
    return group
