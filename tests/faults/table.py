"""The table of all faults, made of what the suite itself has found."""

import re
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from rows import ROWS

SUMMARY = re.compile(r"(\d+) fault cases, (\d+) run here, (\d+) lost")
NOT_RUN, PASSED, FAILED, OPEN, NOT_HERE = "not run", "pass", "FAIL", "open", "not here"
_LINE = re.compile(r"\| ([A-K]\d+) \| .* \| (\S[^|]*?) \| (yes|no|-) \|$")


@dataclass(frozen=True)
class Outcome:
    """What became of a row."""

    said: str = NOT_RUN
    """`pass`, `FAIL`, `open: reason`, `not here: reason` or `not run`."""
    proven: str = "-"
    """Whether its tests fail without its guard: yes, no, or - where that was not tried."""


class Ledger:
    """A plugin that listens to the reports, also those of other workers, and writes them down at the end."""

    def __init__(self, unguarded: bool, file: Path | None) -> None:
        self.unguarded = unguarded
        self.file = file
        self.said: dict[str, list[tuple[str, str]]] = defaultdict(list)
        self.caught: dict[str, list[bool]] = defaultdict(list)
        self.tests: dict[str, list[bool]] = defaultdict(list)
        """The same by test, whatever its parameters."""

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """One test is done."""
        told = dict(report.user_properties)
        if "caught" in told and report.when == "call":
            self.tests[report.nodeid.partition("[")[0]].append(bool(told["caught"]))
        for row in told.get("faults", ()):
            if "caught" in told:
                if report.when == "call":
                    self.caught[row].append(bool(told["caught"]))
            elif report.failed:
                self.said[row].append((FAILED, ""))
            elif report.skipped:
                why = getattr(report, "wasxfail", "") or _reason(report)
                self.said[row].append((OPEN if hasattr(report, "wasxfail") else NOT_HERE, why))
            elif report.when == "call":
                self.said[row].append((PASSED, ""))

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """All are done."""
        if self.unguarded and not all(map(any, [*self.caught.values(), *self.tests.values()])):
            session.exitstatus = pytest.ExitCode.TESTS_FAILED
        if self.file:
            outcomes = read(self.file)
            for row in ROWS:
                if self.unguarded and row in self.caught:
                    outcomes[row] = replace(outcomes[row], proven="yes" if any(self.caught[row]) else "no")
                elif not self.unguarded:
                    outcomes[row] = replace(outcomes[row], said=_worst(self.said[row]))
            self.file.write_text(written(outcomes), encoding="utf-8")

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Which guards nobody misses."""
        missed = [row for row in ROWS if row in self.caught and not any(self.caught[row])]
        idle = [test for test, caught in self.tests.items() if not any(caught)]
        if self.unguarded:
            proven = sum(any(caught) for caught in self.caught.values())
            terminalreporter.write_line(
                f"{proven} rows fail without their guard; not missed: {', '.join(missed) or '-'}; "
                f"tests that pass all the same: {', '.join(idle) or '-'}"
            )


def _reason(report: pytest.TestReport) -> str:
    return str(report.longrepr[2]).removeprefix("Skipped: ") if isinstance(report.longrepr, tuple) else ""


def _worst(said: list[tuple[str, str]]) -> str:
    """A row passes when one of its tests passes and none fails; what cannot be tried here does not take that away."""
    for kind in (FAILED, OPEN, PASSED, NOT_HERE):
        for one, why in said:
            if one == kind:
                return f"{kind}: {why}" if why else kind
    return NOT_RUN


def written(outcomes: Mapping[str, Outcome]) -> str:
    """The table as Markdown, with the line that sums it up on top."""
    lines = ["# The fault table", "", f"{summary(outcomes)}.", "",
             "Made by `pytest tests/faults --faults full --faults-table tests/faults/TABLE.md`, and the last column by",
             "the same with `--faults unguarded`: yes where the row fails once its guard is off.", "",
             "| id | what is done | code | outcome | guard proven |", "|---|---|---|---|---|"]  # fmt: skip
    for row in ROWS.values():
        injected = row.injected.replace("|", "\\|")
        lines.append(f"| {row.id} | {injected} | {row.code} | {outcomes[row.id].said} | {outcomes[row.id].proven} |")
    return "\n".join(lines) + "\n"


def summary(outcomes: Mapping[str, Outcome]) -> str:
    """How many there are, how many were run here, and in how many of these something was lost or is still open."""
    run = [one.said for one in outcomes.values() if not one.said.startswith((NOT_HERE, NOT_RUN))]
    lost = sum(said != PASSED for said in run)
    return f"{len(outcomes)} fault cases, {len(run)} run here, {lost} lost"


def read(file: Path) -> dict[str, Outcome]:
    """What a table says of every row; nothing where there is none yet."""
    found = dict.fromkeys(ROWS, Outcome())
    if file.exists():
        for line in file.read_text(encoding="utf-8").splitlines():
            if known := _LINE.fullmatch(line):
                found[known[1]] = Outcome(known[2], known[3])
    return found
