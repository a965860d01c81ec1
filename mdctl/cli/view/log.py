"""`log`: what happened in a run, from its own records; on demand while it happens."""

import json
import sys
import textwrap
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from mdctl.cli import options
from mdctl.cli.face import EPILOG, columns, draws, face, put
from mdctl.cli.lines import judged, train_line
from mdctl.errors import NotFound
from mdctl.text import safe
from mdctl.workspace import locks
from mdctl.workspace.project import Project
from mdctl.workspace.runs import Run

Record = Mapping[str, Any]

LOOK_EVERY_S = 0.25
"""How often a log that is followed is looked at again."""

WIDE = 104
"""So many columns a step wants beside date and kind; on a narrower terminal the day stands above its records."""

_HEAD = {"schema", "seq", "t", "event", "command", "project", "run"}


def mount(app: typer.Typer) -> None:
    """Add the command of this file."""
    app.command(epilog=EPILOG)(log)


def log(
    name: options.ProjectName,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until the training ends.")] = False,
    run: Annotated[int | None, typer.Option(help="Which run: 1, 2, ...", show_default="the newest")] = None,
) -> int:
    """Tell what happened in a run: plan, steps, saves, changes.

    \b
    mdctl log golf
    mdctl log golf -f
    mdctl log golf --run 2 --json
    """
    project = Project.find(name)
    chosen = _chosen(project, run)
    tell = _teller(chosen)
    for record in _records(chosen.log, (lambda: locks.held(project.folder)) if follow else None):
        tell(record)
    if follow:
        face().say(f"'{name}' is {project.status}; nobody is training it.")
    return 0


def _chosen(project: Project, number: int | None) -> Run:
    runs = project.runs()
    if not runs:
        raise NotFound(f"'{project.name}' has no run yet.", fix=f"mdctl train {project.name}")
    if number is None:
        return runs[-1]
    if not 1 <= number <= len(runs):
        raise NotFound(
            f"'{project.name}' has no run {number}.",
            why=f"it has {len(runs)}, and the newest is run {len(runs)}.",
            fix=f"mdctl show {project.name}",
        )
    return runs[number - 1]


# --- Reading.


def _records(path: Path, at_work: Callable[[], bool] | None) -> Iterator[Record]:
    """The records of a log, oldest first; with `at_work`, those to come too, until it says that nobody is.

    A line without its end is still being written, or was torn by a crash: it is waited for, and never told.
    """
    try:
        file = path.open("rb")
    except FileNotFoundError:
        return
    with file:
        begun, last = b"", False
        while True:
            for line in file:
                begun += line
                if begun.endswith(b"\n"):
                    if (record := _record(begun)) is not None:
                        yield record
                    begun = b""
            if at_work is None or last:
                return
            last = not at_work()  # what it wrote before it ended is still to be read
            if not last:
                time.sleep(LOOK_EVERY_S)


def _record(line: bytes) -> Record | None:
    try:
        record = json.loads(line)
        json.dumps(record)  # what is nested too deeply to be told is no record
    except (ValueError, RecursionError):
        return None
    return record if isinstance(record, dict) and isinstance(record.get("event"), str) else None


# --- Telling.


def _teller(run: Run) -> Callable[[Record], None]:
    """What tells one record: as lines to read on a terminal, else as TSV; with --json as it was written."""
    manners = face().manners
    if manners.json:
        return lambda record: put(sys.stdout, json.dumps(record))
    if manners.quiet:
        put(sys.stdout, safe(str(run.log), 10_000))
        return lambda record: None
    if manners.plain or not draws(sys.stdout):
        return lambda record: put(sys.stdout, "\t".join(_cells(record, 10_000)))
    return _columns()


def _cells(record: Record, limit: int = 500) -> list[str]:
    return [safe(text, limit) for text in (str(record.get("t", "")), record["event"], told(record))]


def _columns() -> Callable[[Record], None]:
    """What tells one record on a terminal."""
    today = ""

    def tell(record: Record) -> None:
        nonlocal today
        width, day = columns(), _by_their_clock(_cells(record)[0]).partition(" ")[0]
        if width < WIDE and day != today:
            put(sys.stdout, day)
        today = day
        put(sys.stdout, line(record, width))

    return tell


def line(record: Record, width: int) -> str:
    """A record as it stands on a terminal so wide."""
    wide = width >= WIDE
    if not wide:
        record = {**record, "memory_gb": None}  # so that a step has room for the time that is left
    when, event, text = _cells(record)
    moment = _by_their_clock(when)
    head = f"{moment}  {event:<11} " if wide else f"{moment.rpartition(' ')[2]} {event} "
    lines = textwrap.wrap(
        head + text.removeprefix(f"{event} "),
        width,
        subsequent_indent=" " * (len(head) if wide else 2),
        break_long_words=False,
        break_on_hyphens=False,
        drop_whitespace=True,
    )
    # A path is there to be copied: where it has no room it begins at the edge.
    return "\n".join(part if len(part) <= width else part.strip() for part in lines)


def _by_their_clock(when: str) -> str:
    """A time of the log as the clocks of those who read it say it; what is none, as it is."""
    try:
        return f"{datetime.fromisoformat(when).astimezone():%Y-%m-%d %H:%M:%S}"
    except (ValueError, OverflowError, OSError):
        return when


def told(record: Record) -> str:
    """A record in words; one that is not as it should be is told key by key."""
    try:
        return _WORDS[record["event"]](record)
    except (KeyError, TypeError, ValueError, ArithmeticError, AttributeError):
        return _pairs({key: value for key, value in record.items() if key not in _HEAD})


def _pairs(record: Record) -> str:
    return ", ".join(f"{key} {value if isinstance(value, str) else json.dumps(value)}" for key, value in record.items())


def _plan(record: Record) -> str:
    begun = f"from step {record['resume_from']} on" if record["resume_from"] else "from nothing"
    return f"{begun}, on {record['device']}: {_pairs(record['settings'])}"


def _save(record: Record) -> str:
    return f"step {record['step']} in {record['seconds']:.2f} s, {record['path']}"


def _preview(record: Record) -> str:
    seen = "".join(f", {name} {value:.2f}" for name, value in judged(record).items())
    return f"step {record['step']}{seen}: {record['path']}"


def _changed(record: Record) -> str:
    return f"{record['what']} from {record['from']} to {record['to']}: {record['why']}"


_WORDS: dict[str, Callable[[Record], str]] = {
    "plan": _plan,
    "prepare": lambda record: f"{record['what']} {record['done']}/{record['of']}",
    "step": train_line,
    "save": _save,
    "preview": _preview,
    "changed": _changed,
    "interrupted": lambda record: f"by {record['signal']} after step {record['step']}",
    "warning": lambda record: f"{record['text']}",
    "error": lambda record: f"{record['what']} {record['why']}".rstrip(),
}
