"""Stopping politely: a signal asks, the loop answers between two steps, a second Ctrl-C forces."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType

_ENDING = ("SIGTERM", "SIGHUP", "SIGBREAK")


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
def polite(told: Callable[[], None]) -> Iterator[Request]:
    """Collect SIGINT, SIGTERM and SIGHUP instead of dying of them; `told` is called once, when the first arrives."""
    request = Request()

    def asked(number: int, frame: FrameType | None) -> None:
        if request and number == signal.SIGINT:
            raise KeyboardInterrupt
        if not request:
            request.signal = signal.Signals(number)
            with suppress(RuntimeError):  # the signal came in the midst of a write to the same stream
                told()

    with _handling(("SIGINT", *_ENDING), asked):
        yield request


class Stopped(BaseException):
    """A signal that ends the process, raised so that cursor, locks and drafts are put right on the way out."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.exit_code = 128 + number


@contextmanager
def unwinding() -> Iterator[None]:
    """Let SIGTERM and SIGHUP raise `Stopped`; a second one ends the process at once."""

    def stop(number: int, frame: FrameType | None) -> None:
        signal.signal(number, signal.SIG_DFL)
        raise Stopped(number)

    with _handling(_ENDING, stop):
        yield


@contextmanager
def _handling(names: tuple[str, ...], handler: Callable[[int, FrameType | None], None]) -> Iterator[None]:
    before = {}
    if threading.current_thread() is threading.main_thread():  # Python lets no other thread handle signals
        for number in [getattr(signal, name) for name in names if hasattr(signal, name)]:
            if signal.getsignal(number) is not signal.SIG_IGN:  # nohup stays nohup
                before[number] = signal.signal(number, handler)
    try:
        yield
    finally:
        for number, earlier in before.items():
            signal.signal(number, earlier)
