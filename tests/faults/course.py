"""A training that is long enough to be stopped, and what may be wrong with the place where it runs."""

import io
import os
import sys
import time
from collections.abc import Callable
from typing import Any

from mdctl.workspace.project import Project

STEPS = 12
LINE = ("train", "golf", "--steps", str(STEPS), "--rank", "2", "--threads", "1", "--save-every", "5")
SHOWN, HIDDEN = b"\x1b[?25h", b"\x1b[?25l"


def learned(project: Project, step: int = STEPS) -> dict[str, str]:
    """The hashes of the files that the last save holds, which is that of this step."""
    save = project.runs()[-1].saves()[-1]
    assert save.step == step
    return {name: entry.sha256 for name, entry in save.manifest.items()}


def steps_done(project: Project) -> int:
    """How many steps the log tells."""
    runs = project.runs()
    return max((record["step"] for record in runs[-1].events() if record["event"] == "step"), default=0) if runs else 0


def after(project: Project, step: int) -> Callable[[], bool]:
    """Whether so many steps are done."""
    return lambda: steps_done(project) >= step


# --- `before=` runs one of these in the process.


def old_encoding() -> None:
    """The streams know the signs of Western Europe alone."""
    for stream in (sys.stdout, sys.stderr):
        assert isinstance(stream, io.TextIOWrapper)
        stream.reconfigure(encoding="cp1252", errors="strict")


def no_stdout() -> None:
    """The parent has closed stdout."""
    os.close(1)
    sys.stdout = None  # type: ignore[assignment]  # as the interpreter itself leaves it


def failing_view() -> None:
    """What draws the training breaks at its third save."""
    from mdctl.cli import display

    def broken(view: object, step: int) -> None:
        raise ZeroDivisionError("in the midst of a picture")

    display._Panel.saved = broken  # type: ignore[method-assign,assignment]


def at_leisure() -> None:
    """Every step takes a while longer, so that somebody can come meanwhile."""
    from mdctl.motion import training

    learn = training._learn

    def slow(*given: Any, **more: Any) -> Any:
        time.sleep(0.3)
        return learn(*given, **more)

    training._learn = slow


def behind(proxy: str) -> None:
    """The hub can be reached through a proxy alone."""
    os.environ |= {"HTTPS_PROXY": proxy, "https_proxy": proxy, "HF_ENDPOINT": "https://hub.example"}
    for name in ("NO_PROXY", "no_proxy", "HF_HUB_OFFLINE"):
        os.environ.pop(name, None)
    from mdctl.workspace import hub

    hub.PAUSES_S = ()
    import huggingface_hub.constants

    huggingface_hub.constants.HF_HUB_OFFLINE = False
