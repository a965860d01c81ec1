"""The only door to other programs: one call of `run` runs one child, limited in time, memory and output.

A child gets no shell, no input unless it is given, a small environment and a private folder to live in. It leads a
process group of its own, and the whole group ends with it. A program of the user's own that is to show something is
another matter: `leave` starts it and lets it be. So is mdctl itself, when `helped` lets several do the same work.
"""

import contextlib
import math
import multiprocessing
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from mdctl.errors import MdctlError

GIB = 1024**3
STDERR_BYTES = 64 * 1024
FILE_BYTES = 2 * GIB
"""No file that a child writes may grow beyond this."""

_NICENESS = 5
_GRACE_S = 2.0
"""How long the pipes of a killed group may take to run dry."""


class ChildFailed(MdctlError):
    """A child that could not be started, took too long or said too much; `why` holds the reason in plain words."""

    code = "MD-CHILD"


@dataclass(frozen=True)
class Finished:
    """What a child left behind."""

    returncode: int
    """Its exit status; negative for a signal."""

    stdout: bytes
    """Everything it wrote to its standard output."""

    stderr: str
    """The first 64 kB of its complaints."""


def run(
    argv: Sequence[str | Path],
    *,
    timeout_s: float,
    stdout_limit: int,
    memory_bytes: int | None = 4 * GIB,
    stdin: bytes | None = None,
    cwd: Path | None = None,
) -> Finished:
    """Run a program to its end and give back what it said.

    `argv[0]` must be an absolute path. The child works in `cwd`, by default an empty folder that vanishes afterwards.
    Memory, processor time and file size are limited on Linux, wall-clock time and output everywhere.

    Raises:
        ChildFailed: it could not be started, ran longer than `timeout_s`, or wrote more than `stdout_limit` bytes.
    """
    if not Path(argv[0]).is_absolute():
        raise ValueError(f"a child needs an absolute path: {argv[0]}")
    with tempfile.TemporaryDirectory(prefix="mdctl-", ignore_cleanup_errors=True) as folder:
        child = _Child([str(part) for part in argv], Path(folder) if cwd is None else cwd, stdin, stdout_limit)
        try:
            child.limit(memory_bytes, timeout_s)
            return child.finish(timeout_s)
        finally:
            child.end()


def attend(argv: Sequence[str]) -> int:
    """Lend the terminal to a program that the user has chosen, such as an editor, and give its exit status.

    It is the user's own, so it gets their environment, and nothing limits it; Ctrl-C is its business meanwhile.

    Raises:
        ChildFailed: it could not be started.
    """
    before = signal.signal(signal.SIGINT, lambda number, frame: None)  # "ignore" would be handed on to it
    try:
        return subprocess.run(argv, check=False).returncode
    except (OSError, ValueError) as error:
        raise ChildFailed(f"'{argv[0]}' could not be started.", why=str(error)) from error
    finally:
        signal.signal(signal.SIGINT, before)


def leave(argv: Sequence[str | Path], *, patience_s: float = 2.0) -> int | None:
    """Start a program of the user's that outlives us, and give its exit status; None when it still runs after a while.

    It gets the user's own surroundings, which a window needs, and nothing of our streams; it is in no group of ours,
    so that Ctrl-C and our end do not reach it. `argv[0]` must be an absolute path.

    Raises:
        ChildFailed: it could not be started.
    """
    if not Path(argv[0]).is_absolute():
        raise ValueError(f"a child needs an absolute path: {argv[0]}")
    try:
        process = subprocess.Popen(
            [str(part) for part in argv],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
    except (OSError, ValueError) as error:
        raise ChildFailed(f"{Path(argv[0]).name} could not be started.", why=str(error)) from error
    try:
        return process.wait(patience_s)
    except subprocess.TimeoutExpired:
        _LEFT.append(process)
        return None


_LEFT: list["subprocess.Popen[bytes]"] = []
"""Programs that were left to themselves; kept, because one that is forgotten while it runs is warned of."""


@contextlib.contextmanager
def helped(helpers: int, work: Callable[..., object], *given: object) -> Iterator[Callable[[], int]]:
    """Let so many other processes do the same work meanwhile, `work(*given)`; what is left of them ends with the block.

    They say nothing: it tells how many have broken off, and what the others have done is seen by what they leave on
    disk. `work` stands in a module, and what it is given can be pickled.
    """
    spawn = multiprocessing.get_context("spawn")  # a fork would not survive the threads of torch
    started = [spawn.Process(target=_silently, args=(work, *given), daemon=True) for _ in range(helpers)]
    for process in started:
        process.start()
    try:
        yield lambda: sum(process.exitcode not in (None, 0) for process in started)
    finally:
        for process in started:
            process.terminate()
        for process in started:
            process.join(_GRACE_S)


def orphaned() -> bool:
    """Whether this process helps one that is gone."""
    parent = multiprocessing.parent_process()
    return parent is not None and not parent.is_alive()


def _silently(work: Callable[..., object], *given: object) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the one that is helped, and that ends us
    nowhere = os.open(os.devnull, os.O_RDWR)
    for stream in range(3):
        os.dup2(nowhere, stream)
    work(*given)


class _Child:
    """A started program and the threads that serve its pipes."""

    def __init__(self, argv: list[str], cwd: Path, stdin: bytes | None, stdout_limit: int) -> None:
        self.name = Path(argv[0]).name
        self.started = time.monotonic()
        try:
            self.process = subprocess.Popen(
                argv,
                stdin=subprocess.DEVNULL if stdin is None else subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                cwd=cwd,
                env=_environment(),
                start_new_session=True,  # a group of its own; and Ctrl-C at the terminal reaches only us
                creationflags=_windows_flags(),
            )
        except (OSError, ValueError) as error:  # ValueError: a NUL in an argument
            raise ChildFailed(f"{self.name} could not be started.", why=str(error)) from error
        self.stdout_limit = stdout_limit
        self.overflowed = False
        self._stdout: list[bytes] = []
        self._stderr: list[bytes] = []
        assert self.process.stdout is not None
        assert self.process.stderr is not None
        self._threads = [
            threading.Thread(target=self._collect, args=(self.process.stdout,), daemon=True),
            threading.Thread(target=self._listen, args=(self.process.stderr,), daemon=True),
        ]
        if stdin is not None and self.process.stdin is not None:
            self._threads.append(threading.Thread(target=_feed, args=(self.process.stdin, stdin), daemon=True))
        for thread in self._threads:
            thread.start()

    def limit(self, memory_bytes: int | None, timeout_s: float) -> None:
        """Bound what the child may take, from outside: `preexec_fn` is unsafe beside torch's threads."""
        if sys.platform != "linux":
            return
        import resource

        seconds = math.ceil(timeout_s * (os.cpu_count() or 1))
        limits = [(resource.RLIMIT_CPU, seconds), (resource.RLIMIT_FSIZE, FILE_BYTES), (resource.RLIMIT_CORE, 0)]
        if memory_bytes is not None:
            limits.append((resource.RLIMIT_AS, memory_bytes))
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.setpriority(os.PRIO_PROCESS, self.process.pid, _NICENESS)
        for kind, most in limits:
            # A child that is gone already, or a stricter limit set by an administrator: both are fine.
            with contextlib.suppress(ProcessLookupError, PermissionError, ValueError):
                resource.prlimit(self.process.pid, kind, (most, most))

    def finish(self, timeout_s: float) -> Finished:
        """Wait for the end of the child and of what it says."""
        deadline = self.started + timeout_s
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))
        try:
            if self.overflowed:
                why = f"it wrote more than {self.stdout_limit / 1e6:.1f} MB"
                raise ChildFailed(f"{self.name} said too much.", why=why)
            if any(thread.is_alive() for thread in self._threads):
                raise subprocess.TimeoutExpired(self.name, timeout_s)
            returncode = self.process.wait(max(0.05, deadline - time.monotonic()))
        except subprocess.TimeoutExpired as error:
            raise ChildFailed(f"{self.name} did not end.", why=f"it ran longer than {timeout_s:g} s") from error
        return Finished(returncode, b"".join(self._stdout), b"".join(self._stderr).decode("utf-8", "replace"))

    def end(self) -> None:
        """End whoever of the group is left, and let go of the pipes."""
        self._kill()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(_GRACE_S)
        for thread in self._threads:
            thread.join(_GRACE_S)
        for pipe in (self.process.stdout, self.process.stderr):
            if pipe is not None and not any(thread.is_alive() for thread in self._threads):
                pipe.close()

    def _kill(self) -> None:
        if sys.platform == "win32":
            self.process.kill()
            return
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, signal.SIGKILL)

    def _collect(self, pipe: IO[bytes]) -> None:
        size = 0
        while chunk := pipe.read(1 << 16):
            size += len(chunk)
            if size > self.stdout_limit:
                self.overflowed = True
                self._stdout.clear()
                self._kill()
                return
            self._stdout.append(chunk)

    def _listen(self, pipe: IO[bytes]) -> None:
        room = STDERR_BYTES
        while chunk := pipe.read(1 << 12):  # read on when full, or the child would block
            self._stderr.append(chunk[:room])
            room -= len(self._stderr[-1])


def _feed(pipe: IO[bytes], data: bytes) -> None:
    with contextlib.suppress(OSError), pipe:  # a child may end before it has read everything
        pipe.write(data)


def _environment() -> dict[str, str]:
    """Little enough that nothing of the user's (FFREPORT, LD_PRELOAD, proxies) can steer a child."""
    if sys.platform == "win32":
        return {name: os.environ[name] for name in ("SYSTEMROOT", "WINDIR") if name in os.environ}
    return {"PATH": os.defpath, "LC_ALL": "C"}


def _windows_flags() -> int:
    if sys.platform != "win32":
        return 0
    return subprocess.CREATE_NEW_PROCESS_GROUP | subprocess.CREATE_NO_WINDOW | subprocess.BELOW_NORMAL_PRIORITY_CLASS
