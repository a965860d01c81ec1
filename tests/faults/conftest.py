"""Options of the fault suite, what its tests share, and the table that is made of their outcome."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

sys.path.append(str(Path(__file__).parent))  # test folders are no packages, and `rows` belongs to this one alone

import props
from films import base, film, levels
from hubserver import server
from props import films, fresh, golf, mdctl, model, packed, run, studio, take, template, unchanged
from rows import disarmed, switch_off
from table import Ledger

__all__ = [
    "base",
    "film",
    "films",
    "fresh",
    "golf",
    "levels",
    "mdctl",
    "model",
    "packed",
    "run",
    "server",
    "studio",
    "take",
    "template",
    "unchanged",
]

HERE = Path(__file__).parent


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--faults` and `--faults-table`."""
    group = parser.getgroup("faults")
    group.addoption("--faults", choices=("lean", "full", "unguarded"), default="lean", help="how many faults to try")
    group.addoption("--faults-table", metavar="FILE", help="write the outcome of every row into this table")


def mode(config: pytest.Config) -> str:
    """Which faults are tried; when the whole tree is run, pytest sees these options too late to take them."""
    return str(config.getoption("faults", "lean"))


def pytest_configure(config: pytest.Config) -> None:
    """Keep a ledger where somebody wants to read it."""
    table = config.getoption("faults_table", None)
    if (table or mode(config) == "unguarded") and not hasattr(config, "workerinput"):
        config.pluginmanager.register(Ledger(mode(config) == "unguarded", Path(table) if table else None))


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what this run does not try."""
    if mode(config) == "unguarded":  # what is broken on purpose may leave things open
        for item in items:
            item.add_marker(pytest.mark.filterwarnings("ignore"))
    left = [item for item in items if _left_out(item, mode(config))]
    if left:
        config.hook.pytest_deselected(items=left)
        items[:] = [item for item in items if item not in set(left)]


def _left_out(item: pytest.Item, tried: str) -> bool:
    if HERE not in item.path.parents or tried == "full":
        return False
    marks = list(item.iter_markers("fault"))
    if tried == "unguarded":
        return not any(mark.kwargs["guards"] for mark in marks)
    return any(mark.kwargs["long"] for mark in marks)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    """Note the rows of a test with its outcome; a test whose guard is off has to fail, and that is no failure."""
    report = yield
    marks = list(item.iter_markers("fault"))
    if not marks:
        return report
    report.user_properties.append(("faults", [row for mark in marks for row in mark.args]))
    if mode(item.config) == "unguarded" and report.when != "setup" and not report.skipped:
        report.user_properties.append(("caught", report.failed))
        report.outcome, report.longrepr = "passed", None
    return report


def _off(request: pytest.FixtureRequest) -> list[tuple[tuple[str, ...], Any]]:
    if mode(request.config) != "unguarded":
        return []
    marks = list(request.node.iter_markers("fault"))
    return [(mark.kwargs["guards"], mark.kwargs["without"]) for mark in marks if mark.kwargs["guards"]]


@pytest.fixture(autouse=True)
def unguarded(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """The guards of this test are off, with `--faults unguarded`."""
    # What other fixtures make is made with all guards on.
    for name in set(request.fixturenames) - {"play", "off", "unguarded", "request"}:
        request.getfixturevalue(name)
    for guards, without in _off(request):
        switch_off(monkeypatch, guards, without)


@pytest.fixture
def off(request: pytest.FixtureRequest) -> list[tuple[tuple[str, ...], Any]]:
    """What is to be switched off in processes that this test starts, with `--faults unguarded`."""
    return _off(request)


@pytest.fixture
def play(off: list[tuple[tuple[str, ...], Any]], tmp_path: Path) -> Iterator[Callable[..., Any]]:
    """`play("train", "golf")` starts one command line in a process of its own, there too without its guards."""
    start = props.player(tmp_path)
    first = next(start)

    def guarded(*arguments: str, before: Callable[[], None] | None = None, **how: Any) -> Any:
        for guards, without in off:
            before = disarmed(guards, without, before)
        return first(*arguments, before=before, **how)

    yield guarded
    next(start, None)
