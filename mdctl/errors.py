"""What can go wrong and be mended by the user: a sentence, a reason, a cure, and the exit code of each kind.

MdctlError
├── UsageFault   2   wrong flags or arguments
├── NotFound     3   no such project, save, model or file
├── BadInput     4   a clip, value, prompt or file that cannot be used
├── NotReady     5   the computer lacks something: ffmpeg, rights
├── Busy         6   locked by another process
├── NoSpace      7   out of disk or memory
├── NotInstalled 8   the base model is not here
├── Diverged     9   training broke down
├── Refused     10   unsafe or damaged
└── Partly      11   some of it is done; the failures are listed
Anything else that is raised is a fault of mdctl itself, exit 1.
"""

from collections.abc import Collection, Iterable, Sequence
from difflib import get_close_matches


class MdctlError(Exception):
    """Something the user can mend. `args[0]` is one sentence that names the fault."""

    exit_code = 1
    code = "MD-ERROR"

    def __init__(
        self,
        what: str,
        *,
        why: str = "",
        saved: str = "",
        fix: str | Sequence[str] = (),
        code: str | None = None,
        meant: tuple[str, str] | None = None,
    ) -> None:
        super().__init__(what)
        self.what = what
        self.why = why
        self.saved = saved
        self.fix = (fix,) if isinstance(fix, str) else tuple(fix)
        self.code = code or self.code
        self.meant = meant
        """A name as it was typed and the one that it nearly is: the line that was typed is offered with that."""


class UsageFault(MdctlError):
    """Wrong flags or arguments."""

    exit_code, code = 2, "MD-USAGE"


class NotFound(MdctlError):
    """A name that nothing bears."""

    exit_code, code = 3, "MD-NOTFOUND"


class BadInput(MdctlError):
    """A clip, value, prompt or file that cannot be used."""

    exit_code, code = 4, "MD-INPUT"


class NotReady(MdctlError):
    """The computer lacks something that is needed."""

    exit_code, code = 5, "MD-COMPUTER"


class Busy(MdctlError):
    """Another process holds it."""

    exit_code, code = 6, "MD-BUSY"


class NoSpace(MdctlError):
    """Out of disk or memory."""

    exit_code, code = 7, "MD-SPACE"


class NotInstalled(MdctlError):
    """The base model is not on this computer."""

    exit_code, code = 8, "MD-MODEL"


class Diverged(MdctlError):
    """Training broke down and could not be recovered."""

    exit_code, code = 9, "MD-DIVERGED"


class Refused(MdctlError):
    """Unsafe or damaged, so not used."""

    exit_code, code = 10, "MD-REFUSED"


class Partly(MdctlError):
    """Some of it is done; the failures are listed."""

    exit_code, code = 11, "MD-PARTLY"


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The known name that looks most like this one, None when nothing is near."""
    return next(iter(get_close_matches(name, list(known), n=1, cutoff=0.5)), None)


def instead(name: str, known: Collection[str]) -> str:
    """The cure for a name that nothing bears: the known one that looks most like it, or else all of them."""
    near = nearest(name, known)
    return f"did you mean '{near}'?" if near else f"known are: {', '.join(known)}"
