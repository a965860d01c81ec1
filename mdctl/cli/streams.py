"""The standard streams as a process finds them: perhaps closed, perhaps gone with their terminal."""

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any, TextIO

SLOW = {"new", "demo", "train", "gen", "mix", "animate-image", "grid", "clips", "gallery", "verify", "doctor", "bench"}
"""Commands that are a while at loading before they can say anything."""

WAIT = "loading ..."


class Lasting:
    """A stream whose listener may leave: what nobody can hear is not an error, and the work goes on."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        """Write as far as somebody listens."""
        with suppress(OSError):
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        """Pass on what was written, as far as somebody listens."""
        with suppress(OSError):
            self._stream.flush()


def steady() -> None:
    """Give this process three streams that can be used, whatever its parent closed; stderr never breaks."""
    if sys.stdin is None:
        sys.stdin = open(os.devnull, encoding="utf-8")  # noqa: PTH123, SIM115 - it lives as long as the process
    if sys.stdout is None:
        mute_stdout()
    if sys.stderr is None:
        sys.stderr = _nowhere()
    sys.stderr = Lasting(sys.stderr)


class _Cleared:
    """A stream that takes back what was shown only for the time being before it writes anything itself."""

    def __init__(self, stream: TextIO, clear: Callable[[], None]) -> None:
        self._stream, self._clear = stream, clear

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        """Write, on a line that is free."""
        self._clear()
        return self._stream.write(text)


@contextmanager
def waiting(words: Sequence[str]) -> Iterator[None]:
    """Show whoever sits before a terminal at once that a slow command has begun, until it says something itself."""
    stderr, shown = sys.stderr, _is_awaited(words)

    def clear() -> None:
        nonlocal shown
        if shown:
            shown = False
            stderr.write(f"\r{' ' * len(WAIT)}\r")
            stderr.flush()

    if not shown:
        yield
        return
    stderr.write(WAIT)
    stderr.flush()
    sys.stderr = _Cleared(stderr, clear)
    if sys.stdout.isatty():
        sys.stdout = _Cleared(sys.stdout, clear)
    try:
        yield
    finally:
        clear()


def _is_awaited(words: Sequence[str]) -> bool:
    """Whether it will be a while until a command says something, and somebody waits for that."""
    command = next((word for word in words if not word.startswith("-")), "")
    brief = {"-h", "--help", "-q", "--quiet", "--json", "--plain"}.intersection(words) or os.environ.get("MDCTL_PLAIN")
    typed = "-" in words and sys.stdin.isatty()  # it waits for a prompt, and not the other way round
    return command in SLOW and not brief and not typed and sys.stderr.isatty() and os.environ.get("TERM") != "dumb"


def mute_stdout() -> None:
    """Leave stdout to itself: nobody reads it any more, and the interpreter wants to flush something at its end."""
    sys.stdout = _nowhere()


def _nowhere() -> TextIO:
    return open(os.devnull, "w", encoding="utf-8")  # noqa: PTH123 - it lives as long as the process
