"""The standard streams as a process finds them: perhaps closed, perhaps gone with their terminal."""

import os
import sys
from contextlib import suppress
from typing import Any, TextIO


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


def mute_stdout() -> None:
    """Leave stdout to itself: nobody reads it any more, and the interpreter wants to flush something at its end."""
    sys.stdout = _nowhere()


def _nowhere() -> TextIO:
    return open(os.devnull, "w", encoding="utf-8")  # noqa: PTH123 - it lives as long as the process
