"""Stopping politely: a signal asks, the loop answers between two steps, a second Ctrl-C forces."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType


class Request:
    """Whether somebody asked to stop, and with which signal."""

    def __init__(self) -> None:
        self.signal: signal.Signals | None = None

    def __bool__(self) -> bool:
        return self.signal is not None

    @property
    def exit_code(self) -> int:
        """What a shell expects of a process that this signal ended: 130 for Ctrl-C, 143, 129."""
        return 128 + int(self.signal or 0)


@contextmanager
def polite(told: Callable[[Request], None]) -> Iterator[Request]:
    """Collect SIGINT, SIGTERM and SIGHUP instead of dying of them; `told` is called once, when the first arrives."""
    request = Request()

    def asked(number: int, frame: FrameType | None) -> None:
        if request and number == signal.SIGINT:
            raise KeyboardInterrupt
        if not request:
            request.signal = signal.Signals(number)
            told(request)

    names = [name for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK") if hasattr(signal, name)]
    if threading.current_thread() is not threading.main_thread():
        yield request
        return
    before = {}
    for name in names:
        number = getattr(signal, name)
        if signal.getsignal(number) is not signal.SIG_IGN:  # nohup stays nohup
            before[number] = signal.signal(number, asked)
    try:
        yield request
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
