"""The 87 faults, and what a test says of the row that it proves.

`@fault("A1", guard="mdctl.workspace.names.check_name", without=as_given)` proves row A1; with `--faults unguarded` the
guard is replaced by `without`, and then the row has to fail: a test that passes all the same proves nothing.
"""

import csv
from collections.abc import Callable, Iterable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent


@dataclass(frozen=True)
class Row:
    """One fault."""

    id: str
    set: str
    """`lean` where it belongs to the first set, which runs every time."""
    run: str
    """How it can be run: in the process, as a command, on a terminal, with a stub, on Windows, on a GPU."""
    code: str
    """The exit code, or the codes."""
    injected: str
    expected: str


def _read() -> dict[str, Row]:
    with (HERE / "rows.tsv").open(encoding="utf-8", newline="") as file:
        found = [Row(**line) for line in csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE)]
    return {row.id: row for row in found}


ROWS = _read()
"""All of them by their ids."""


def fault(
    *ids: str, guard: str | tuple[str, ...] = "", without: Any = None, long: bool = False
) -> pytest.MarkDecorator:
    """Mark a test as the proof of rows; `guard` names what keeps them, and `without` stands there when it is off.

    A `long` test runs with `--faults full` alone. What stands in the place of a guard in other processes has to have a
    name of its own there: no lambda.
    """
    assert set(ids) <= ROWS.keys(), ids
    guards = (guard,) if isinstance(guard, str) else guard
    return pytest.mark.fault(*ids, guards=tuple(filter(None, guards)), without=without, long=long)


def switch_off(patch: pytest.MonkeyPatch, guards: Sequence[str], without: Any) -> None:
    """Put `without` in the place of each guard; a tuple has one for each."""
    for number, guard in enumerate(guards):
        patch.setattr(guard, without[number] if isinstance(without, tuple) and len(guards) > 1 else without)


def disarm(guards: Iterable[str], without: Any, then: Callable[[], None] | None = None) -> None:
    """Switch guards off in this process for good; for processes that a test starts."""
    switch_off(pytest.MonkeyPatch(), tuple(guards), without)
    if then:
        then()


def disarmed(guards: Iterable[str], without: Any, then: Callable[[], None] | None) -> Callable[[], None]:
    """`disarm` as something that can be handed to a process."""
    return partial(disarm, tuple(guards), without, then)


# --- What stands in the place of a guard.


def nothing(*_: Any, **__: Any) -> None:
    """Do nothing."""


def as_given(first: Any, *_: Any, **__: Any) -> Any:
    """Give back the first argument."""
    return first


def yes(*_: Any, **__: Any) -> bool:
    """Agree."""
    return True


def no(*_: Any, **__: Any) -> bool:
    """Deny."""
    return False


def open_door(*_: Any, **__: Any) -> Any:
    """A context in which nothing is kept."""
    return nullcontext()
