"""The live face for terminals: the only file that knows rich. All text passes `safe` and is drawn as `Text`."""

import io
import os
import re
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import zip_longest
from typing import Any

from rich.cells import cell_len, set_cell_size
from rich.console import Console, Group
from rich.live import Live
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from mdctl.cli.face import AGAIN, Manners, Record, draws, error_lines
from mdctl.cli.lines import Lines, LineView, clock
from mdctl.cli.panel import Account
from mdctl.cli.terminal import graphics
from mdctl.errors import MdctlError
from mdctl.text import safe

MARKS = {"✓": "not dim green", "!": "not dim yellow", "✗": "not dim bold red"}
"""Colours of the marks with which a fact may begin."""

NARROW = 80
"""Below this many columns a training shows lines instead of the panel."""

WIDEST = 100
"""Columns that a panel or a picture takes at most."""

MIN_ROOM = 20
"""Below this many columns words are left to the terminal to wrap."""

LONGEST, HIGHEST = 16, 3
"""Longer words of a table may be cut, such as paths; a cell takes about so many lines at most."""

ROOMY = 50
"""On so many columns a name that is too long for its column may stand above it."""

PART = re.compile(r"((?<=  )mdctl (?:(?!  ).)+|^\$ mdctl .+)|\S+")
"""A command, as it stands in a line that is told, or a word of it."""

STAMP = re.compile(r"\d\d:\d\d:\d\d ")
"""How a line with the time of day begins."""

LABEL = len("  saved  ")
"""Columns before what an error tells."""

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
        elif rows:
            _tabulate(_console(self.manners, stderr=False), columns, rows)

    def sheet(self, facts: Sequence[tuple[str, str]], record: Record) -> None:
        """Give one thing's facts, the first as a heading."""
        if not draws(sys.stdout):
            super().sheet(facts, record)
            return
        console = _console(self.manners, stderr=False)
        widest = max((cell_len(safe(name)) for name, _ in facts), default=0) + 2
        for place, (name, value) in enumerate(facts):
            lead = text(name, "dim" if place or name[:1] in MARKS else "bold")
            lead.stylize(MARKS.get(name[:1], ""), 0, 1)
            lead.pad_right(widest - lead.cell_len)
            _write(console, lead, text(value, limit=10_000))


class Screen(Tables):
    """Bars and panels on stderr, which is a terminal, and tables on both."""

    def __init__(self, manners: Manners) -> None:
        super().__init__(manners)
        self._err = _console(manners, stderr=True)
        self._tell, self._in_lines = self._told, False
        self._graphics: str | None = None

    def say(self, text_: str) -> None:
        """Tell a sentence."""
        if self._in_lines:
            self._write("\r")  # over what the terminal echoes of Ctrl-C
        _write(self._err, Text(), text(text_))

    def _told(self, line: str) -> None:
        """A line of a long task; it goes on beside the time of day with which it begins."""
        time_of_day = STAMP.match(line)
        cut = time_of_day.end() if time_of_day else 0
        _write(self._err, text(line[:cut], "dim"), text(line[cut:]))

    def warn(self, text_: str, code: str = "MD-NOTE") -> None:
        """Tell something that the user may not have expected."""
        _write(self._err, Text("! ", "yellow"), text(text_))

    def done(self, text_: str, then: Sequence[str] = ()) -> None:
        """Tell that something is finished, and which commands come next."""
        _write(self._err, Text("✓ ", "green"), text(text_))
        for place, line in enumerate(then):
            lead = "Next:  " if place == 0 else "       "
            command, gap, remark = line.partition("  ")
            if len(lead) + cell_len(line) > self._err.width:
                gap = f"\n{' ' * len(lead)}"
            told = Text.assemble((lead, "dim"), text(command, "cyan"), f"{gap}  ", text(remark.strip(), "dim"))
            told.rstrip()
            self._err.print(told, soft_wrap=True)

    def table(self, title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        """Show a table that is part of the story."""
        self._err.print(text(title, "bold"), soft_wrap=True)
        _tabulate(self._err, columns, rows)

    def picture(self, png: Callable[[], bytes]) -> None:
        """Show a picture, where this terminal can and the extra that draws it is installed."""
        if self._graphics is None:
            self._graphics = graphics()
        if not self._graphics or (self._graphics == "kitty" and self._err.color_system != "truecolor"):
            return  # kitty's pictures are known by their colour
        with _spoken_to(None):  # or it would ask the terminal too, less carefully
            from textual_image.renderable import SixelImage, TGPImage
        image: Any = (SixelImage if self._graphics == "sixel" else TGPImage)(io.BytesIO(png()), "auto", "auto")
        with _spoken_to(self._err.file):
            self._err.print(image, width=min(WIDEST, self._err.width), height=max(1, self._err.height - 4))

    @contextmanager
    def progress(self, label: str, total: int) -> Iterator[Callable[[int, str], None]]:
        """A bar with the time it took."""
        began = time.monotonic()
        bar = _bar(total, 30 if self._err.width >= NARROW else 6)
        with Live(console=self._err, transient=False, refresh_per_second=8) as live:

            def show(done: int, remark: str = "") -> None:
                bar.update(done)
                row = Table.grid(padding=(0, 2))
                for _ in range(4):
                    row.add_column(no_wrap=True)
                row.add_column(no_wrap=True, overflow="ellipsis")
                passed = clock(time.monotonic() - began)
                row.add_row(text(label), bar, text(f"{done}/{total}"), text(passed, "dim"), text(remark))
                live.update(row)

            show(0)
            yield show

    @contextmanager
    def training(self, title: str, place: str, total: int, every: int = 0, again: str = AGAIN) -> Iterator[LineView]:
        """A panel that follows the training; lines on a narrow terminal."""
        if self._err.width < NARROW:
            self._in_lines = True
            try:
                with super().training(title, place, total, every, again) as view:
                    yield view
            finally:
                self._in_lines = False
            return
        began = time.monotonic()
        try:
            panel = _Panel(self._err, title, place, total, every, again, self._taskbar)
            with Live(console=self._err, get_renderable=panel.drawn, refresh_per_second=2):
                try:
                    yield panel
                finally:
                    panel.end()
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
        first, *rest = "\n".join(error_lines(error)).removesuffix(f"    {error.code}").split("\n")
        _write(self._err, Text("error: ", "bold red"), text(first.removeprefix("error: "), "bold"))
        for line in rest:
            # A command is there to be copied, and so is every cure that may be one.
            whole = not line.startswith(("  why", "  saved")) and "  mdctl " not in line[LABEL:]
            _write(self._err, text(line[:LABEL], "dim"), text(line[LABEL:], limit=10_000), whole=whole)
        code, more = f"{' ' * LABEL}{error.code}", f" · mdctl help {error.code}"
        self._err.print(text(f"{code}{more}" if len(code + more) < self._err.width else code, "dim"))


@contextmanager
def _spoken_to(stream: Any) -> Iterator[None]:
    """Have what draws pictures speak to this stream: it knows no other than the one that the interpreter began with."""
    kept = sys.__stdout__
    vars(sys)["__stdout__"] = stream
    try:
        yield
    finally:
        vars(sys)["__stdout__"] = kept


# --- Words and tables as wide as the terminal.


def _write(console: Console, lead: Text, line: Text, *, whole: bool = False) -> None:
    """Words after a mark, wrapped between words below it; what is there to be copied stays one line, as paths do."""
    indent = len(line.plain) - len(line.plain.lstrip(" "))
    lead, line = Text.assemble(lead, " " * indent), line[indent:]
    room = console.width - lead.cell_len
    if whole or room < MIN_ROOM or line.cell_len <= room:
        console.print(Text.assemble(lead, line), soft_wrap=True)
        return
    pieces = [*_pieces(console, line, room)]
    if lead.plain.strip() and pieces[0].cell_len > room:
        pieces.insert(0, Text())
    for place, piece in enumerate(pieces):
        margin = lead if not place else Text(" " * lead.cell_len if piece.cell_len <= room else "")
        console.print(Text.assemble(margin, piece), soft_wrap=True)


def _pieces(console: Console, line: Text, room: int) -> Iterator[Text]:
    """A line in pieces that have room; commands, and words too long to have it, such as paths, are one piece each."""
    begun = 0
    for part in PART.finditer(line.plain):
        if part[1] or cell_len(part[0]) > room:
            yield from _wrapped(console, line[begun : part.start()], room)
            yield line[part.start() : part.end()]
            begun = part.end()
    yield from _wrapped(console, line[begun:], room)


def _wrapped(console: Console, line: Text, room: int) -> Iterator[Text]:
    indent = len(line.plain) - len(line.plain.lstrip(" "))
    yield from (piece for piece in line[indent:].wrap(console, room) if piece)


def _tabulate(console: Console, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """A table whose cells are wrapped between words; where that would be a ladder, each row in lines of its own."""
    cells = [[text(cell) for cell in row] for row in rows]
    grid = [[text(column, "dim") for column in columns], *cells]
    heads = 2 if rows and rows[0][0].isdigit() else 1  # a number says less than the name beside it
    widths = _widths([*zip(*grid, strict=True)], console.width - 2 * (len(columns) - 1), heads)
    if not widths:
        for row in cells:
            name = Text("  ").join(row[:heads])
            name.stylize("bold")
            _write(console, Text(), name)
            told = [
                Text.assemble((f"{column.lower()} " if column else "", "dim"), value)
                for column, value in zip(columns[heads:], row[heads:], strict=True)
                if value.plain
            ]
            for line in _packed(told, console.width - 2):
                for part in line.wrap(console, console.width - 2):
                    console.print(Text.assemble("  ", part), soft_wrap=True)
        return
    head, *body = ("\n".join(_laid(console, row, widths, heads)) for row in grid)
    console.print(Text(head, style="dim"), soft_wrap=True)
    if body:
        console.print(Text("\n".join(body)), soft_wrap=True)


def _packed(parts: Sequence[Text], room: int) -> Iterator[Text]:
    """Parts side by side, as many to a line as there is room for."""
    line = Text()
    for part in parts:
        if line and line.cell_len + 2 + part.cell_len > room:
            yield line
            line = Text()
        line = Text("  ").join([line, part]) if line else part
    yield line


def _laid(console: Console, row: Sequence[Text], widths: Sequence[int], heads: int) -> Iterator[str]:
    """A row of a table as lines; a Table of rich would take seconds for some thousand rows."""
    if row[heads - 1].cell_len > widths[heads - 1]:  # a name that is too long stands above what is told of it
        yield "  ".join(cell.plain for cell in row[:heads])
        row = [*[Text()] * heads, *row[heads:]]
    parts = [
        [cell.plain] if cell.cell_len <= width else [part.plain for part in cell.wrap(console, width)]
        for cell, width in zip(row, widths, strict=True)
    ]
    for line in zip_longest(*parts, fillvalue=""):
        yield "  ".join(set_cell_size(part, width) for part, width in zip(line, widths, strict=True)).rstrip()


def _widths(columns: Sequence[Sequence[Text]], room: int, heads: int) -> list[int]:
    """How wide each column is, the widest made narrower until all fit; none where cells would be cut or too high."""
    usual = [max(cell.cell_len for cell in column) for column in columns]
    least = [min(LONGEST, max(_longest(cell) for cell in column)) for column in columns]
    if sum(usual) > room >= ROOMY:  # what comes first names the row, and is not cut
        most = max(LONGEST, room // 3)
        usual[heads - 1] = max(size for cell in columns[heads - 1] if (size := cell.cell_len) <= most)
    least[:heads] = usual[:heads]
    widths = [*usual]
    while sum(widths) > room:
        widest = max(range(len(widths)), key=lambda n: widths[n] if widths[n] > least[n] else 0)
        if widths[widest] <= least[widest] or usual[widest] > HIGHEST * widths[widest]:
            return []
        widths[widest] -= 1
    return widths


def _longest(cell: Text) -> int:
    return max((cell_len(word) for word in cell.plain.split()), default=0)


def _bar(total: int, width: int) -> ProgressBar:
    """A bar in colours of the terminal's own, which are made for its ground."""
    return ProgressBar(total=total, width=width, style="bright_black", complete_style="cyan", finished_style="green")


# --- The panel.


class _Panel(Account):
    """The panel of one training."""

    def __init__(
        self,
        console: Console,
        title: str,
        place: str,
        total: int,
        every: int,
        again: str,
        taskbar: Callable[[int | None], None],
    ) -> None:
        # What the terminal echoes of Ctrl-C has room beside the panel; else it would push it out of its place.
        self._width = min(console.width - 3, WIDEST)
        super().__init__(title, lambda line: _write(console, Text(), text(line)), total, every, again, self._width)
        self._title, self._place = title, place
        self._taskbar, self._percent = taskbar, -1
        self._bar = _bar(total, self._width - 36)

    def step(self, record: Record) -> None:
        """Show one step that was done."""
        super().step(record)
        percent = 100 * record["step"] // record["of"]
        if percent != self._percent:
            self._percent = percent
            self._taskbar(percent)

    def drawn(self) -> Panel:
        """The panel as it is now."""
        step, how_far = self.progress()
        self._bar.update(step)
        done = Table.grid(padding=(0, 2))
        done.add_row(self._bar, text(how_far))
        grid = Table.grid(padding=(0, 2))
        grid.add_row(text("training", "dim"), done)
        for name, told in self.facts(time.monotonic()):
            grid.add_row(text(name, "dim"), text(told))
        place = text(self._place, "dim")
        return Panel(Group(grid, text(self.hint, "dim")), title=text(self._title), subtitle=place, width=self._width)
