"""The live face for terminals: the only file that knows rich. All text passes `safe` and is drawn as `Text`."""

import os
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress

from rich.console import Console, Group
from rich.live import Live
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from mdctl.cli.face import Manners, Record, draws, error_lines
from mdctl.cli.lines import Lines, LineView, clock, judged
from mdctl.errors import MdctlError
from mdctl.text import safe

SPARKS = "▁▂▃▄▅▆▇█"
NARROW = 80
"""Below this many columns a training shows lines instead of the panel."""

LONG_S = 60.0
"""A training that took longer ends with a bell: whoever began it looks elsewhere by then."""


def _console(manners: Manners, *, stderr: bool) -> Console:
    return Console(
        stderr=stderr,
        markup=False,
        emoji=False,
        highlight=False,
        no_color=not manners.colour or None,
        soft_wrap=False,
    )


def text(line: str, style: str = "", limit: int = 2000) -> Text:
    """Foreign text as rich may draw it."""
    return Text(safe(line, limit), style=style)


class Tables(Lines):
    """Tables on stdout where it is a terminal, lines on stderr."""

    def answer(
        self, columns: Sequence[str], rows: Sequence[Sequence[str]], records: Sequence[Record], names: Sequence[str]
    ) -> None:
        """Give a list as a table, or as TSV into a pipe."""
        if not draws(sys.stdout):
            super().answer(columns, rows, records, names)
        else:
            _console(self.manners, stderr=False).print(_table(columns, rows))

    def sheet(self, facts: Sequence[tuple[str, str]], record: Record) -> None:
        """Give one thing's facts, the first as a heading."""
        if not draws(sys.stdout):
            super().sheet(facts, record)
            return
        grid = Table.grid(padding=(0, 2))
        for name, value in facts:
            grid.add_row(text(name, "dim"), text(value))
        _console(self.manners, stderr=False).print(grid)


class Screen(Tables):
    """Bars and panels on stderr, which is a terminal, and tables on both."""

    def __init__(self, manners: Manners) -> None:
        super().__init__(manners)
        self._err = _console(manners, stderr=True)

    def say(self, text_: str) -> None:
        """Tell a sentence."""
        self._err.print(text(text_), soft_wrap=True)

    def warn(self, text_: str, code: str = "MD-NOTE") -> None:
        """Tell something that the user may not have expected."""
        self._err.print(Text.assemble(("! ", "yellow"), text(text_)), soft_wrap=True)

    def done(self, text_: str, then: Sequence[str] = ()) -> None:
        """Tell that something is finished, and which commands come next."""
        self._err.print(Text.assemble(("✓ ", "green"), text(text_)), soft_wrap=True)
        for place, line in enumerate(then):
            lead = "Next:  " if place == 0 else "       "
            self._err.print(Text.assemble((lead, "dim"), text(line, "cyan")), soft_wrap=True)

    def table(self, title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        """Show a table that is part of the story."""
        self._err.print(text(title, "bold"))
        self._err.print(_table(columns, rows))

    @contextmanager
    def progress(self, label: str, total: int) -> Iterator[Callable[[int, str], None]]:
        """A bar with the time it took."""
        began = time.monotonic()
        bar = ProgressBar(total=total, width=30)
        with Live(console=self._err, transient=False, refresh_per_second=8) as live:

            def show(done: int, remark: str = "") -> None:
                bar.update(done)
                row = Table.grid(padding=(0, 2))
                passed = clock(time.monotonic() - began)
                row.add_row(text(label), bar, text(f"{done}/{total}"), text(passed, "dim"), text(remark))
                live.update(row)

            show(0)
            yield show

    @contextmanager
    def training(self, title: str, place: str, total: int) -> Iterator[LineView]:
        """A panel that follows the training; lines on a narrow terminal."""
        if self._err.width < NARROW:
            with super().training(title, place, total) as view:
                yield view
            return
        began = time.monotonic()
        try:
            with Live(console=self._err, transient=False, refresh_per_second=4) as live:
                yield _Panel(live, title, place, total, self._taskbar)
        finally:
            self._taskbar(None)
            if time.monotonic() - began > LONG_S and os.environ.get("MDCTL_NOTIFY") != "off":
                self._write("\a")

    def _taskbar(self, percent: int | None) -> None:
        """Progress on the taskbar of the desktop, where this terminal is known to pass it on; None clears it."""
        if os.environ.keys() & {"WT_SESSION", "ConEmuANSI"} or os.environ.get("TERM_PROGRAM") in ("ghostty", "WezTerm"):
            self._write("\x1b]9;4;0;\a" if percent is None else f"\x1b]9;4;1;{percent}\a")

    def _write(self, sign: str) -> None:
        self._err.file.write(sign)
        self._err.file.flush()

    def ask(self, question: str, default: str) -> str:
        """Ask for one line; its end, Ctrl-D, takes the default."""
        answer = ""
        with suppress(EOFError):
            answer = self._err.input(Text.assemble(text(question), (f" [{safe(default)}] ", "dim")))
        return answer.strip() or default

    def fail(self, error: MdctlError) -> None:
        """Tell an error in its four parts."""
        first, *rest = error_lines(error)
        what = text(first.removeprefix("error: "), "bold")
        self._err.print(Text.assemble(("error: ", "bold red"), what), soft_wrap=True)
        for line in rest:
            self._err.print(text(line, limit=10_000), soft_wrap=True)


def _table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim", padding=(0, 2, 0, 0))
    for number, column in enumerate(columns):
        table.add_column(text(column), overflow="fold", no_wrap=not number)  # what comes first names the row
    for row in rows:
        table.add_row(*(text(cell) for cell in row))
    return table


def sparkline(values: Sequence[float], width: int = 16) -> str:
    """The course of some numbers in one line of blocks."""
    if not values:
        return ""
    size = max(1, -(-len(values) // width))
    means = [sum(part) / len(part) for part in (values[i : i + size] for i in range(0, len(values), size))]
    low, high = min(means), max(means)
    return "".join(SPARKS[round((value - low) / (high - low or 1) * (len(SPARKS) - 1))] for value in means)


class _Panel(LineView):
    """The panel of one training."""

    def __init__(self, live: Live, title: str, place: str, total: int, taskbar: Callable[[int | None], None]) -> None:
        super().__init__(title, lambda line: live.console.print(text(line)))
        self._taskbar, self._percent = taskbar, -1
        self._live, self._title, self._place = live, title, place
        self._bar = ProgressBar(total=total, width=40)
        self._losses: dict[str, deque[float]] = {"motion": deque(maxlen=400), "appearance": deque(maxlen=400)}
        self._began = time.monotonic()
        self._saved: tuple[int, float] | None = None
        self._previews: list[Record] = []
        self._drawing = ""

    def step(self, record: Record) -> None:
        """Show one step that was done."""
        self._last = record
        for name, values in self._losses.items():
            if record["loss"].get(name) is not None:
                values.append(record["loss"][name])
        self._draw()

    def saved(self, step: int) -> None:
        """Show that this step is safe on disk."""
        self._saved = step, time.monotonic()
        self._draw()

    def drawing(self, text_: str) -> None:
        """Show how far a preview is."""
        self._drawing = text_
        self._draw()

    def preview(self, record: Record) -> None:
        """Show that there is a preview, and what it tells."""
        self._previews.append(record)
        self._drawing = ""
        self._draw()

    def _previewed(self) -> str:
        """Which previews there are, or how far the next one is, and both curves of what they tell."""
        steps = " ".join(f"{step} ✓" for step in dict.fromkeys(record["step"] for record in self._previews[-4:]))
        curves = [
            f"{name.split()[-1]} {sparkline(list(values), 8)} {values[-1]:.2f}"
            for name in ("motion learned", "appearance leaked")
            if (values := [found[name] for record in self._previews if name in (found := judged(record))])
        ]
        return "   ".join(part for part in (self._drawing or steps, *curves) if part)

    def _draw(self) -> None:
        if self._last is None:
            return
        record, now = self._last, time.monotonic()
        grid = Table.grid(padding=(0, 2))
        done = Table.grid(padding=(0, 2))
        self._bar.update(record["step"])
        percent = 100 * record["step"] // record["of"]
        if percent != self._percent:
            self._percent = percent
            self._taskbar(percent)
        done.add_row(self._bar, text(f"{record['step']}/{record['of']}   {percent} %"))
        grid.add_row(text("training", "dim"), done)
        eta = "looks first" if record["eta_s"] is None else f"~{clock(record['eta_s'])} left"
        took = f"{clock(now - self._began)} done · {eta}   {record['s_per_step']:.2f} s/step"
        grid.add_row(text("time", "dim"), text(took))
        losses = "   ".join(
            f"{name} {sparkline(list(values))} {values[-1]:.3f}" for name, values in self._losses.items() if values
        )
        grid.add_row(text("loss", "dim"), text(losses))
        if record.get("memory_gb"):
            grid.add_row(text("memory", "dim"), text(f"{record['memory_gb']:.1f} GB"))
        ago = f"step {self._saved[0]} · {clock(now - self._saved[1])} ago" if self._saved else "not yet"
        grid.add_row(text("saved", "dim"), text(f"{ago}    (Ctrl-C stops and saves)"))
        if told := self._previewed():
            grid.add_row(text("previews", "dim"), text(told))
        hint = text("loss is noisy by nature; judge by the previews", "dim")
        self._live.update(
            Panel(Group(grid, hint), title=text(self._title), subtitle=text(self._place, "dim"), width=NARROW)
        )
