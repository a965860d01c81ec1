"""What this computer has: cores and memory."""

import os
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
