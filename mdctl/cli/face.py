"""How mdctl speaks: one interface for terminals, pipes, quiet runs and JSON, chosen once by `app.main`."""

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from contextvars import ContextVar
from dataclasses import dataclass, replace
from typing import Any, Protocol, TextIO

from mdctl.errors import MdctlError, UsageFault
from mdctl.text import safe

Record = Mapping[str, Any]

AGAIN = "the same line"
"""What goes on after a stop, where a command does not say otherwise."""


@dataclass(frozen=True)
class Manners:
    """The flags that every command takes, before or after its name."""

    json: bool = False
    quiet: bool = False
    plain: bool = False
    colour: bool = True
    verbose: bool = False
    """Whether to tell what only somebody who looks closely asks for."""

    debug: bool = False
    asks: bool = True
    """Whether prompts are welcome; they appear only on a terminal."""

    yes: bool = False
    config: bool = True
    """Whether the user's own `config.toml` and `MDCTL_*` settings take part."""

    home: str | None = None


FLAGS: dict[str, tuple[str, Any]] = {
    "--json": ("json", True),
    "-q": ("quiet", True),
    "--quiet": ("quiet", True),
    "--plain": ("plain", True),
    "--no-color": ("colour", False),
    "-v": ("verbose", True),
    "--verbose": ("verbose", True),
    "--debug": ("debug", True),
    "--no-input": ("asks", False),
    "--no-config": ("config", False),
    "-y": ("yes", True),
    "--yes": ("yes", True),
}

EPILOG = "Everywhere: --json  -q  -v  --plain  --no-color  --no-input  --no-config  -y  --debug  --home DIR"


def take_manners(arguments: Sequence[str]) -> tuple[Manners, list[str]]:
    """The flags of every command, and the arguments without them; what follows `--` is left alone."""
    taken: dict[str, Any] = {"plain": os.environ.get("MDCTL_PLAIN", "") not in ("", "0")}
    rest: list[str] = []
    words = iter(arguments)
    for word in words:
        if word == "--":
            rest += [word, *words]
        elif word in FLAGS:
            key, value = FLAGS[word]
            taken[key] = value
        elif word == "--home" or word.startswith("--home="):
            taken["home"] = word[7:] if word != "--home" else next(words, "")
            if not taken["home"]:
                raise UsageFault("--home needs a folder.", fix="mdctl --home FOLDER list")
        else:
            rest.append(word)
    return Manners(**taken), rest


class TrainView(Protocol):
    """What shows a training while it runs."""

    def step(self, record: Record) -> None:
        """Show one step that was done."""

    def saved(self, step: int) -> None:
        """Show that this step is safe on disk."""

    def remark(self, text: str) -> None:
        """Show a sentence beside the progress."""

    def drawing(self, text: str) -> None:
        """Show how far a preview is."""

    def preview(self, record: Record) -> None:
        """Show that there is a preview, and what it tells."""


class Face(Protocol):
    """Everything a command may tell its user. Results go to stdout, all else to stderr."""

    manners: Manners
    interactive: bool
    """Whether a prompt would reach somebody."""

    def say(self, text: str) -> None:
        """Tell a sentence."""

    def warn(self, text: str, code: str = "MD-NOTE") -> None:
        """Tell something that the user may not have expected."""

    def done(self, text: str, then: Sequence[str] = ()) -> None:
        """Tell that something is finished, and which commands come next."""

    def table(self, title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        """Show a table that is part of the story, not the result."""

    def answer(
        self, columns: Sequence[str], rows: Sequence[Sequence[str]], records: Sequence[Record], names: Sequence[str]
    ) -> None:
        """Give a list as the result: table, TSV, JSON document, or just the names."""

    def sheet(self, facts: Sequence[tuple[str, str]], record: Record) -> None:
        """Give one thing's facts as the result."""

    def picture(self, png: Callable[[], bytes]) -> None:
        """Show a picture where it can be seen; it is drawn only there."""

    def event(self, record: Record) -> None:
        """Pass on a machine-readable record."""

    def result(self, paths: Sequence[str], record: Record) -> None:
        """Give the paths that were made as the result."""

    def progress(self, label: str, total: int) -> AbstractContextManager[Callable[[int, str], None]]:
        """A bar; the function it lends takes what is done so far and a remark."""

    def training(
        self, title: str, place: str, total: int, every: int = 0, again: str = AGAIN
    ) -> AbstractContextManager[TrainView]:
        """The live view of a training; `every` is the steps from preview to preview, 0 without.

        `again` is the line that goes on when it was stopped.
        """

    def ask(self, question: str, default: str) -> str:
        """Ask for one line; only where `interactive`."""

    def fail(self, error: MdctlError) -> None:
        """Tell an error: what, why, what is safe, what to do."""


_current: ContextVar[Face] = ContextVar("face")


def face() -> Face:
    """The face of this command."""
    return _current.get()


def wear(new: Face) -> None:
    """Make this the face of the command."""
    _current.set(new)


def same_everywhere() -> None:
    """Leave the user's own settings out of this command, because it has to come out the same on every computer."""
    face().manners = replace(face().manners, config=False)


def put(stream: TextIO, text: str) -> None:
    """Write one line, spelling out what the stream's encoding lacks."""
    encoding = stream.encoding or "utf-8"
    stream.write(text.encode(encoding, "backslashreplace").decode(encoding) + "\n")
    stream.flush()


def error_lines(error: MdctlError) -> list[str]:
    """The four parts of an error as plain lines, the fix last."""
    lines = [f"error: {safe(error.what)}"]
    if error.why:
        lines.append(f"  why    {safe(error.why)}")
    if error.saved:
        lines.append(f"  saved  {safe(error.saved)}")
    for first, fix in enumerate(error.fix):  # a command is there to be copied: it must not be cut
        lines.append(f"  {'fix' if first == 0 else '   '}    {safe(fix, 10_000)}")
    return [*lines[:-1], f"{lines[-1]}    {error.code}"]


def on_terminal(stream: TextIO) -> bool:
    """Whether somebody looks at this stream, and it can move its cursor."""
    return stream.isatty() and os.environ.get("TERM") != "dumb"


def columns() -> int:
    """How wide the terminal is that stdout goes to; 80 in a pipe."""
    with suppress(ValueError):
        if (told := int(os.environ.get("COLUMNS", ""))) > 0:
            return told
    with suppress(OSError, ValueError):
        return os.get_terminal_size(sys.stdout.fileno()).columns or 80
    return 80


def draws(stream: TextIO) -> bool:
    """Whether this stream shows pictures: a terminal that can write every sign of them."""
    return on_terminal(stream) and (stream.encoding or "").lower().replace("-", "") in ("utf8", "cp65001")


def can_ask(manners: Manners) -> bool:
    """Whether a prompt would reach somebody."""
    return manners.asks and sys.stdin.isatty() and sys.stderr.isatty()
