"""Command lines in processes of their own, which are there at once: their parent has the heavy libraries loaded.

A plain fork of pytest would not do, because threads of torch do not survive one. Each process is a real one: it has its
own streams, or a terminal, and can be sent signals.
"""

import json
import multiprocessing
import os
import signal
import struct
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av

_CONTEXT = multiprocessing.get_context("forkserver") if os.name == "posix" else multiprocessing.get_context()
_HEAVY = ["torch", "diffusers", "transformers", "peft", "mdctl.cli.app", "mdctl.motion.families.unet3d", "rich.live"]
SMALL = ("--size", "32x32", "--frames", "4")
"""What a tiny model makes in a moment."""

FAST = ("--steps", "2", "--threads", "1", "-q")
"""How a video is made in a moment."""
QUICK = ("--rank", "2", "--threads", "1", "--save-every", "2")
"""How it learns in a moment."""


@dataclass(frozen=True)
class Said:
    """How a command ended and what it said."""

    code: int
    out: str
    err: str

    @property
    def lines(self) -> list[str]:
        """The lines of stdout."""
        return self.out.splitlines()

    @property
    def records(self) -> list[dict[str, Any]]:
        """The lines of stdout as JSON."""
        return [json.loads(line) for line in self.lines]


PATIENCE_S = 120.0
"""After so long a test gives up; nothing here takes long on an idle machine."""


class Played:
    """One command line at work, or what it left behind."""

    def __init__(
        self,
        arguments: Sequence[str],
        folder: Path,
        *,
        stdin: str = "",
        before: Callable[[], None] | None = None,
        terminal: bool = False,
    ) -> None:
        folder.mkdir(parents=True)
        (folder / "in").write_text(stdin, encoding="utf-8")
        for name in ("out", "err"):  # so that they can be read before it has said anything
            (folder / name).touch()
        self._folder = folder
        self._seen = b""
        self._screen, line = os.openpty() if terminal else (-1, -1)
        name = os.ttyname(line) if terminal else ""
        os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # as `mdctl` itself does, before torch is loaded
        if isinstance(_CONTEXT, multiprocessing.context.ForkServerContext):
            _CONTEXT.set_forkserver_preload(_HEAVY)
        environment = {key: value for key, value in os.environ.items() if key.startswith(("MDCTL_", "COL", "TERM"))}
        self._process = _CONTEXT.Process(target=_act, args=(list(arguments), environment, folder, name, before))
        self._process.start()
        self.pid = self._process.pid or 0
        self._line = line

    def signal(self, number: int) -> None:
        """Send a signal."""
        os.kill(self.pid, number)

    def wait(self) -> int:
        """Its exit status; negative for a signal."""
        deadline = time.monotonic() + PATIENCE_S
        while self._process.is_alive() and time.monotonic() < deadline:
            self._look()
            self._process.join(0.02)
        self._look()
        assert self._process.exitcode is not None, f"it hangs: {self.err[-2000:]}"
        return self._process.exitcode

    def until(self, holds: Callable[[], bool]) -> None:
        """Let it work until something holds; an assertion fails when it ends before that."""
        deadline = time.monotonic() + PATIENCE_S
        while not holds():
            self._look()
            assert self._process.is_alive(), f"it ended early: {self.err[-2000:]}"
            assert time.monotonic() < deadline, f"it takes too long: {self.err[-2000:]}"
            time.sleep(0.005)

    @property
    def out(self) -> str:
        """What it wrote to stdout so far."""
        return (self._folder / "out").read_text(encoding="utf-8", errors="replace")

    @property
    def err(self) -> str:
        """What it wrote to stderr so far."""
        return (self._folder / "err").read_text(encoding="utf-8", errors="replace")

    @property
    def screen(self) -> bytes:
        """The raw bytes that its terminal got so far."""
        self._look()
        return self._seen

    def type(self, text: str) -> None:
        """Type on its terminal."""
        os.write(self._screen, text.encode())

    def hang_up(self) -> None:
        """Take its terminal away."""
        for descriptor in (self._screen, self._line):
            os.close(descriptor)
        self._screen = self._line = -1

    def close(self) -> None:
        """End it, if it still lives."""
        if self._process.is_alive():
            self._process.kill()
        self._process.join(PATIENCE_S)
        if self._screen >= 0:
            self.hang_up()

    def _look(self) -> None:
        if self._screen < 0:
            return
        os.set_blocking(self._screen, False)
        with suppress(BlockingIOError):
            while seen := os.read(self._screen, 1 << 16):
                self._seen += seen


def _act(
    arguments: list[str], environment: dict[str, str], folder: Path, terminal: str, before: Callable[[], None] | None
) -> None:
    """What the process does: take its place, its streams and its environment, and be mdctl."""
    # Whoever started the tests may have them ignore hang-ups, as nohup does, or Ctrl-C, as a shell's `&` does.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if hasattr(signal, "SIGHUP"):
        signal.signal(signal.SIGHUP, signal.SIG_DFL)
    os.environ.update(environment)
    if terminal:
        os.setsid()  # so that the terminal which is opened next is its own
        line = os.open(terminal, os.O_RDWR)
        descriptors = (line, line, line)
    else:
        descriptors = (
            os.open(folder / "in", os.O_RDONLY),
            os.open(folder / "out", os.O_WRONLY | os.O_CREAT),
            os.open(folder / "err", os.O_WRONLY | os.O_CREAT),
        )
    for number, descriptor in enumerate(descriptors):
        os.dup2(descriptor, number)
    sys.stdin, sys.stdout, sys.stderr = (
        os.fdopen(number, mode, encoding="utf-8", closefd=False) for number, mode in enumerate("rww")
    )
    if before:
        before()
    from mdctl.__main__ import run

    sys.argv = ["mdctl", *arguments]
    run()


Mdctl = Callable[..., Said]
"""`mdctl("list", "-q")` runs one command line in this process, as in a pipe."""

Play = Callable[..., Played]
"""`play("train", "golf")` starts one in a process of its own."""


def tree(folder: Path) -> dict[str, bytes | None]:
    """Everything below a folder, byte for byte, apart from locks."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() if path.is_file() else None
        for path in sorted(folder.rglob("*"))
        if ".locks" not in path.parts
    }


# --- What the place is like where mdctl plays; `before=` runs one of these in the process.


def of_ten_by_twenty(terminal: int = 2) -> None:
    """The terminal tells that its letters are of 10 by 20 pixels."""
    import fcntl  # not on Windows
    import termios

    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 30, 100, 1000, 600))


def deaf_stdout() -> None:
    """Nobody reads stdout any more."""
    reader, writer = os.pipe()
    os.close(reader)
    os.dup2(writer, 1)


def small_disk() -> None:
    """No file may grow beyond 20 kB: a log does not, a save does."""
    import resource  # not on Windows

    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, resource.RLIM_INFINITY))


def slow_saves() -> None:
    """It takes a minute until a save is on disk for certain."""
    sync = os.fsync

    def slow(descriptor: int) -> None:
        if "/ckpt/" in str(Path(f"/proc/self/fd/{descriptor}").readlink()):
            time.sleep(60)
        sync(descriptor)

    os.fsync = slow


def sidecar(video: str | Path) -> dict[str, Any]:
    """What lies beside a video."""
    found: dict[str, Any] = json.loads(Path(video).with_suffix(".json").read_text(encoding="utf-8"))
    return found


def seen(mdctl: Mdctl, *line: str) -> bytes:
    """What a command that makes a video shows with one seed, without the comment that says how it was made."""
    said = mdctl(*line, "--seed", "3", *FAST)
    assert said.code == 0, said.err
    with av.open(said.lines[0]) as container:
        return b"".join(frame.to_ndarray(format="rgb24").tobytes() for frame in container.decode(video=0))


def leave_a_mark(folder: Path, stays: bool) -> None:
    """Work for helpers: a file named after the process, and on demand no end."""
    sys.stdout.write("nobody hears this")
    (folder / str(os.getpid())).touch()
    while stays:
        time.sleep(0.01)
