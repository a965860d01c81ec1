"""One's turn at a project that another process changes: refused at once, or waited for as long as was asked."""

import re
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from mdctl.cli.face import face
from mdctl.errors import Busy
from mdctl.workspace.project import Project

_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_WORDS = {"s": " s", "m": " min", "h": " h", "d": " days"}


def patience(text: str) -> float:
    """How many seconds a word such as `90s`, `10m`, `2h` or `1d` means."""
    known = re.fullmatch(r"([0-9]{1,6})([smhd])", text.strip())
    if not known or not int(known[1]):
        raise ValueError("it is a length of time, such as 90s, 10m or 2h")
    return float(int(known[1]) * _SECONDS[known[2]])


@contextmanager
def turn(project: Project, command: str, wait_s: float | None = None) -> Iterator[Project]:
    """Be a project's only writer; a holder is told once and waited for, and `Busy` names it when that took too long.

    `wait_s` is None where `--wait` was not given, and 0 for a command that does not know it.
    """

    def told(holder: str) -> None:
        face().say(f"{holder} Waiting for it, {_long(wait_s or 0)} at most; Ctrl-C gives up.")

    with ExitStack() as held:
        try:
            held.enter_context(project.locked(command, wait_s or 0.0, told))
        except Busy as fault:
            if wait_s:
                fault.why = f"waited {_long(wait_s)} for it; {fault.why}"
            elif wait_s is None:
                fault.fix = ("wait for it: the same line with --wait 10m does", *fault.fix[1:])
            raise
        yield project


def _long(seconds: float) -> str:
    unit = next(unit for unit, size in reversed(_SECONDS.items()) if seconds % size == 0)
    return f"{seconds / _SECONDS[unit]:.0f}{_WORDS[unit]}"
