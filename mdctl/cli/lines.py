"""The faces without animation: plain lines for pipes and screen readers, JSON Lines, and quiet runs."""

import json
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from typing import Any

from mdctl import jsonl
from mdctl.cli.face import AGAIN, Manners, Record, can_ask, error_lines, on_terminal, put
from mdctl.errors import MdctlError
from mdctl.text import safe

INTERVAL_S = 30.0
"""How often a long task gives a line when nothing else happens."""


class Lines:
    """One line an event on stderr, TSV and paths on stdout."""

    def __init__(self, manners: Manners) -> None:
        self.manners = manners
        self.interactive = can_ask(manners)
        self._tell: Callable[[str], None] = put_line

    def say(self, text: str) -> None:
        """Tell a sentence."""
        self._tell(safe(text, 2000))

    def warn(self, text: str, code: str = "MD-NOTE") -> None:
        """Tell something that the user may not have expected."""
        self._tell(f"warning: {safe(text, 2000)}")

    def done(self, text: str, then: Sequence[str] = ()) -> None:
        """Tell that something is finished, and which commands come next."""
        self._tell(safe(text, 2000))
        for line in then:
            self._tell(f"Next:  {safe(line, 2000)}")

    def table(self, title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        """Show a table that is part of the story, as lines."""
        self._tell(safe(title))
        for row in rows:
            self._tell("  " + "  ".join(safe(cell) for cell in row if cell))

    def answer(
        self, columns: Sequence[str], rows: Sequence[Sequence[str]], records: Sequence[Record], names: Sequence[str]
    ) -> None:
        """Give a list as TSV."""
        for row in rows:
            put(sys.stdout, "\t".join(safe(cell, 10_000) for cell in row))

    def sheet(self, facts: Sequence[tuple[str, str]], record: Record) -> None:
        """Give one thing's facts as TSV."""
        for name, value in facts:
            put(sys.stdout, f"{safe(name)}\t{safe(value, 10_000)}")

    def picture(self, png: Callable[[], bytes]) -> None:
        """Lines show no pictures."""

    def event(self, record: Record) -> None:
        """Records are for JSON; lines say the same in their own words."""

    def result(self, paths: Sequence[str], record: Record) -> None:
        """Give the paths that were made, one a line."""
        for path in paths:  # as it is for a program, harmless for a terminal
            put(sys.stdout, safe(path, 10_000) if on_terminal(sys.stdout) else path)

    @contextmanager
    def progress(self, label: str, total: int) -> Iterator[Callable[[int, str], None]]:
        """A line when a task takes long, and one at its end."""
        noted = time.monotonic()

        def show(done: int, remark: str = "") -> None:
            nonlocal noted
            if done >= total or time.monotonic() - noted > INTERVAL_S:
                noted = time.monotonic()
                self._tell(safe(f"{label} {done}/{total} {remark}".rstrip()))

        yield show

    @contextmanager
    def training(self, title: str, place: str, total: int, every: int = 0, again: str = AGAIN) -> Iterator["LineView"]:
        """A line for each save, and one every half minute."""
        self._tell(safe(f"{title} · {place}"))
        yield LineView(title.split(" ")[0], self._tell)

    def ask(self, question: str, default: str) -> str:
        """Ask for one line on the terminal."""
        sys.stderr.write(f"{safe(question)} [{safe(default)}] ")
        sys.stderr.flush()
        return sys.stdin.readline().strip() or default

    def fail(self, error: MdctlError) -> None:
        """Tell an error in its four parts."""
        for line in error_lines(error):
            put(sys.stderr, line)


def put_line(text: str) -> None:
    """One line to stderr."""
    put(sys.stderr, text)


def train_line(record: Record) -> str:
    """One step of training as a line."""
    step, of, loss = record["step"], record["of"], record["loss"]
    parts = [f"step {step}/{of} {100 * step // of}%"]
    parts += [f"{name} {value:.3f}" for name, value in loss.items() if value is not None]
    parts.append(f"{record['s_per_step']:.2f} s/step")
    if record.get("memory_gb"):
        parts.append(f"{record['memory_gb']:.1f} GB")
    if record["eta_s"] is not None:
        parts.append(f"left {clock(record['eta_s'])}")
    return " ".join(parts)


def judged(record: Record) -> dict[str, float]:
    """What a preview tells of its save, in the words for it."""
    names = {"learned": "motion learned", "leaked": "appearance leaked"}
    return {name: record["measures"][key] for key, name in names.items() if key in record["measures"]}


def clock(seconds: float) -> str:
    """Seconds as a person says them: `8m15s`, `1h02m`."""
    whole = max(0, round(seconds))
    if whole >= 3600:
        return f"{whole // 3600}h{whole % 3600 // 60:02d}m"
    return f"{whole // 60}m{whole % 60:02d}s" if whole >= 60 else f"{whole}s"


class LineView:
    """A training as lines: one for each save, and one every half minute."""

    def __init__(self, name: str, write: Callable[[str], None]) -> None:
        self._name, self._write = name, write
        self._last: Record | None = None
        self._noted = time.monotonic()

    def step(self, record: Record) -> None:
        """Show one step that was done, when it is time for a line."""
        self._last = record
        if time.monotonic() - self._noted > INTERVAL_S:
            self._line("")

    def saved(self, step: int) -> None:
        """Show that this step is safe on disk."""
        self._line(f" saved={step}")

    def remark(self, text: str) -> None:
        """Show a sentence."""
        self._write(safe(text, 2000))

    def drawing(self, text: str) -> None:
        """A preview takes seconds; lines wait for its end."""

    def preview(self, record: Record) -> None:
        """Show that there is a preview, and what it tells."""
        self._noted = time.monotonic()
        measures = ", ".join(f"{name} {value:.2f}" for name, value in judged(record).items())
        self._write(safe(f"preview of step {record['step']}{f' ({measures})' if measures else ''}: {record['path']}",
                         2000))  # fmt: skip

    def _line(self, more: str) -> None:
        if self._last is not None:
            self._noted = time.monotonic()
            self._write(safe(f"{time.strftime('%H:%M:%S')} {self._name} {train_line(self._last)}{more}"))


class Quiet(Lines):
    """The result and errors, nothing else."""

    def __init__(self, manners: Manners) -> None:
        super().__init__(manners)
        self._tell = lambda line: None

    def answer(
        self, columns: Sequence[str], rows: Sequence[Sequence[str]], records: Sequence[Record], names: Sequence[str]
    ) -> None:
        """Give the names, one a line."""
        for name in names:
            put(sys.stdout, safe(name, 10_000))


class Json(Quiet):
    """One JSON document for reading commands, JSON Lines for all others; errors as a record on stderr."""

    def __init__(self, manners: Manners, command: str) -> None:
        super().__init__(manners)
        self.interactive = False
        self._command = command
        self._seq = 0

    def _record(self, event: str, **fields: Any) -> str:
        # Of this stream, without gaps: it holds more than the log of a run does, which goes on over several commands.
        self._seq += 1
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        head = {"schema": 1, "seq": self._seq, "t": now, "event": event, "command": self._command}
        return jsonl.line({**head, **fields, "seq": self._seq})

    def warn(self, text: str, code: str = "MD-NOTE") -> None:
        """A `warning` record."""
        self.event({"event": "warning", "code": code, "text": text})

    def answer(
        self, columns: Sequence[str], rows: Sequence[Sequence[str]], records: Sequence[Record], names: Sequence[str]
    ) -> None:
        """Give a list as one document."""
        put(sys.stdout, json.dumps(jsonl.finite(list(records)), default=str, indent=1))

    def sheet(self, facts: Sequence[tuple[str, str]], record: Record) -> None:
        """Give one thing as one document."""
        put(sys.stdout, json.dumps(jsonl.finite(record), default=str, indent=1))

    def event(self, record: Record) -> None:
        """Pass on a record; what its head lacks is added."""
        with suppress(OSError):  # whoever listened may have left; the work goes on, and `result` meets it at the end
            put(sys.stdout, self._record(**record))

    def result(self, paths: Sequence[str], record: Record) -> None:
        """The last record."""
        put(sys.stdout, self._record("result", **{"status": "done", "paths": list(paths), "failed": [], **record}))

    def fail(self, error: MdctlError) -> None:
        """An `error` record, the last line of stderr."""
        fields = {"code": error.code, "exit": error.exit_code, "what": error.what, "why": error.why}
        put(sys.stderr, self._record("error", **fields, saved=error.saved, fix=list(error.fix)))
