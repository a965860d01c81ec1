"""What this computer has: cores and memory."""

import os
import time
from contextlib import suppress
from pathlib import Path


def cores() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def memory() -> tuple[int | None, int | None]:
    """Bytes of memory in all, and free of them, as far as the system tells."""
    total = free = None
    with suppress(AttributeError, ValueError, OSError):
        total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    with suppress(OSError, ValueError, IndexError):
        text = Path("/proc/meminfo").read_text("ascii").partition("MemAvailable:")[2]
        free = int(text.split()[0]) * 1024
    return total, free


def idle() -> bool | None:
    """Whether this process can have all its cores to itself at this moment; None where the system does not tell.

    Who wants to run is looked up three times within two milliseconds, because a shell that has just started us still
    counts the first time.
    """
    try:
        running = []
        for _ in range(3):
            running.append(int(Path("/proc/loadavg").read_text("ascii").split()[3].partition("/")[0]))
            time.sleep(0.001)
    except (OSError, ValueError, IndexError):
        return None
    others = min(running) - 1  # the reader counts too
    return others + cores() <= (os.cpu_count() or 1)


def patience() -> dict[str, str]:
    """Variables that say how torch's threads wait for one another; OpenMP reads them when torch is loaded.

    A step of a small model is thousands of pieces of microseconds, and a thread that sleeps after each of them wakes
    too late: on two idle cores a step of `starter` takes 0.42 s with threads that spin for a moment, 0.75 s with
    sleeping ones. Beside another busy process it is the other way round (1.1 and 0.67 s), because who spins takes the
    core from who works; and threads that spin for long stall such a neighbour altogether.
    """
    if "OMP_WAIT_POLICY" in os.environ or "GOMP_SPINCOUNT" in os.environ:
        return {}
    return {"GOMP_SPINCOUNT": "2000"} if idle() else {"OMP_WAIT_POLICY": "passive"}
