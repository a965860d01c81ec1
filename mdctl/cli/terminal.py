"""What the terminal behind stderr can draw: asked so that nothing is left behind on it.

What was typed before the question stays for the next program; keys that come while the answer is awaited are lost.
"""

import importlib.util
import os
import re
import select
import sys
import time
from contextlib import suppress

_QUESTION = b"\x1b_Gi=31,s=1,v=1,a=q,t=d,f=24;AAAA\x1b\\\x1b[c"
"""Whether it knows kitty's graphics, and then what it is: the second every terminal answers, which ends the waiting."""

_NATURE = re.compile(rb"\x1b\[\?([\d;]*)c")
_KITTY = re.compile(rb"\x1b_Gi=31;OK\x1b\\")
_SIXEL = b"4"
_PATIENCE_S = 1.0
"""A terminal at the end of a slow line needs its time, and one that never answers costs this once."""


def graphics() -> str:
    """How pictures can be drawn on stderr: `sixel`, `kitty`, or '' where they cannot."""
    if os.environ.get("MDCTL_PICTURES") == "off" or importlib.util.find_spec("textual_image") is None:
        return ""
    with suppress(OSError, ValueError, ImportError):  # a stream without a descriptor, a system without termios
        answer = _answer(sys.stdin.fileno(), sys.stderr.fileno())
        nature = _NATURE.search(answer)
        # Sixels first: some terminals that know both know only a part of what kitty draws.
        if nature and _SIXEL in nature[1].split(b";")[1:]:
            return "sixel"
        return "kitty" if _KITTY.search(answer) else ""
    return ""


def _answer(ears: int, mouth: int) -> bytes:
    """What the terminal says to the question; nothing where it may not be asked, or was not heard in time."""
    import fcntl
    import struct
    import termios
    import tty

    # It has to be one terminal, mdctl in its foreground, and it has to tell how large its letters are.
    if not (os.isatty(ears) and os.isatty(mouth) and os.ttyname(ears) == os.ttyname(mouth)):
        return b""
    size = struct.unpack("HHHH", fcntl.ioctl(mouth, termios.TIOCGWINSZ, bytes(8)))
    if os.tcgetpgrp(ears) != os.getpgrp() or not all(size):
        return b""
    try:
        before = termios.tcgetattr(ears)
        tty.setcbreak(ears, termios.TCSANOW)
    except termios.error:  # it has just gone
        return b""
    try:
        if _waits(ears, 0):  # somebody has typed ahead: that is for the next program, and is not to be read here
            return b""
        os.write(mouth, _QUESTION)
        return _heard(ears)
    finally:
        with suppress(termios.error):  # it has gone meanwhile
            termios.tcsetattr(ears, termios.TCSANOW, before)


def _heard(ears: int) -> bytes:
    """What comes until the terminal has said what it is, has gone, or the time is up, however much it sends."""
    said, until = b"", time.monotonic() + _PATIENCE_S
    while not _NATURE.search(said) and (left := until - time.monotonic()) > 0 and _waits(ears, left):
        if not (more := os.read(ears, 1024)):  # a terminal that has gone can always be read, and says nothing
            break
        said += more
    return said


def _waits(descriptor: int, seconds: float) -> bool:
    return bool(select.select([descriptor], [], [], seconds)[0])
