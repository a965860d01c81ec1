"""Which process is which: a pid alone is used again by the system, a pid with its start time is not."""

import os
import sys
from pathlib import Path

if sys.platform == "win32":  # pragma: no cover
    import ctypes
    from ctypes import wintypes

    _QUERY_LIMITED_INFORMATION = 0x1000

    def started(pid: int) -> int | None:
        """When a living process began, in units of the system's own; None when there is no such process."""
        kernel = ctypes.WinDLL("kernel32", use_last_error=True)
        kernel.OpenProcess.restype = wintypes.HANDLE
        handle = wintypes.HANDLE(kernel.OpenProcess(_QUERY_LIMITED_INFORMATION, False, pid))
        if not handle:
            return None
        began, ended, in_kernel, in_user = (wintypes.FILETIME() for _ in range(4))
        times = [ctypes.byref(time) for time in (began, ended, in_kernel, in_user)]
        known = kernel.GetProcessTimes(handle, *times)
        kernel.CloseHandle(handle)
        if ended.dwLowDateTime or ended.dwHighDateTime:
            return None
        return (began.dwHighDateTime << 32) + began.dwLowDateTime if known else 0

else:

    def started(pid: int) -> int | None:
        """When a living process began, in units of the system's own; None when there is no such process.

        0 where the system does not tell, as on macOS.
        """
        try:
            os.kill(pid, 0)
        except (ProcessLookupError, OverflowError):
            return None
        except PermissionError:
            pass  # it lives, and belongs to somebody else
        try:
            state, *fields = Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()
            return None if state == "Z" else int(fields[18])
        except (OSError, ValueError, IndexError):
            return 0


def alive(pid: int, start: int) -> bool:
    """Whether that very process still lives; where no start times are told, a living pid is taken for it."""
    now = started(pid) if pid > 0 else None
    return now is not None and (now == start or 0 in (now, start))
