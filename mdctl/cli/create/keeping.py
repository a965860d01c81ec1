"""Saves of a run, written while it goes on: a GPU waits for a copy of what was learned, and not for the disk."""

import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mdctl.cli.face import TrainView, face
from mdctl.errors import MdctlError
from mdctl.workspace.runs import Run
from mdctl.workspace.saves import Save

if TYPE_CHECKING:
    from mdctl.motion.training import TrainState


@dataclass(frozen=True)
class _Kept:
    save: Save
    seconds: float
    """From the copy until it was read back."""


class Keeper:
    """Keeps what a run has learned, one save at a time; a save counts, and is told, once it was read back."""

    def __init__(self, run: Run, objective: str, view: TrainView, pool: ThreadPoolExecutor, aside: bool) -> None:
        self._run, self._objective, self._view = run, objective, view
        self._pool, self._aside = pool, aside
        self._writing: Future[_Kept] | None = None
        self._held_up_s = 0.0

    def keep(self, state: "TrainState", *, milestone: bool = False) -> None:
        """Begin a save of this state, which may change at once; raises what was wrong with the one before."""
        self.settle()
        began = time.monotonic()
        files = state.copied(self._run.settings["model"]["fingerprint"], self._objective)
        content = state.number, files, state.record(), milestone, began
        if self._aside:
            self._writing = self._pool.submit(self._write, *content)
            self._held_up_s = time.monotonic() - began
        else:
            kept = self._write(*content)
            self._tell(kept, kept.seconds)

    def look(self) -> None:
        """Tell of a save that has been written since the last time; raises what was wrong with it."""
        if self._writing and self._writing.done():
            self.settle()

    def settle(self) -> None:
        """Wait for the save that is being written and tell of it; raises what was wrong with it."""
        if self._writing is None:
            return
        began = time.monotonic()
        try:
            kept = self._writing.result()
        finally:
            self._writing = None
        self._tell(kept, self._held_up_s + time.monotonic() - began)

    def _write(
        self,
        step: int,
        files: Callable[[], Mapping[str, bytes]],
        record: Mapping[str, Any],
        milestone: bool,
        began: float,
    ) -> _Kept:
        save = self._run.keep(step, files(), record, milestone=milestone)
        return _Kept(save, time.monotonic() - began)

    def _tell(self, kept: _Kept, held_up_s: float) -> None:
        save, took = kept.save, {"seconds": round(kept.seconds, 3), "held_up_s": round(held_up_s, 3)}
        face().event(self._run.note("save", step=save.step, path=str(save.folder), sha256=save.sha256, **took))
        self._view.saved(save.step)


@contextmanager
def keeping(run: Run, objective: str, view: TrainView, *, aside: bool) -> Iterator[Keeper]:
    """What keeps the saves of a run; `aside` of its steps, which on a CPU would only take turns with the writing.

    At the end every save is written, also where something else went wrong.
    """
    with ThreadPoolExecutor(1, "save") as pool:
        keeper = Keeper(run, objective, view, pool, aside)
        try:
            yield keeper
        except BaseException:
            with suppress(MdctlError, OSError):  # what broke off the steps is what is to be told
                keeper.settle()
            raise
        keeper.settle()
