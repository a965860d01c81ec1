"""What the panel of a training tells, in words: how it is drawn is for `display`, and this knows nothing of that."""

import time
from collections import deque
from collections.abc import Callable, Iterator

from mdctl.cli.face import Record
from mdctl.cli.lines import LineView, clock, judged
from mdctl.cli.sparks import smoothed, sparkline

DAY_S = 20 * 3600.0
"""From so far ahead on, a time of day needs its day."""

RANGE = 0.5
"""What previews tell is noisy too: a curve of them is as high as this, if not higher."""


class Account(LineView):
    """Takes in what happens in a training, and gives account of it in lines with a name each."""

    def __init__(self, name: str, write: Callable[[str], None], total: int, every: int, again: str, width: int) -> None:
        super().__init__(name, write)
        self._again = again
        self._total, self._every, self._room = total, every, min(30, (width - 48) // 2)
        self._losses: dict[str, deque[float]] = {"motion": deque(maxlen=400), "appearance": deque(maxlen=400)}
        self._began = self._stepped = time.monotonic()
        self._saved: tuple[int, float] | None = None
        self._stood = 0
        self._previews: list[Record] = []
        self._drawing, self._ended = "", False

    def step(self, record: Record) -> None:
        """Take in one step that was done."""
        if self._last is None:
            self._stood = record["step"] - 1
        self._last, self._stepped = record, time.monotonic()
        for name, values in self._losses.items():
            if record["loss"].get(name) is not None:
                values.append(record["loss"][name])

    def saved(self, step: int) -> None:
        """Take in that this step is safe on disk."""
        self._saved = step, time.monotonic()

    def drawing(self, text: str) -> None:
        """Take in how far a preview is."""
        self._drawing = text

    def preview(self, record: Record) -> None:
        """Take in that there is a preview, and what it tells."""
        self._previews.append(record)
        self._drawing = ""

    def end(self) -> None:
        """Take in that no more steps are taken, all of them or not: there is nothing to wait for."""
        self._drawing, self._ended = "", True

    def progress(self) -> tuple[int, str]:
        """The last step, and how far that is in words."""
        step = self._last["step"] if self._last else 0
        return step, f"{step}/{self._total}   {100 * step // self._total} %"

    @property
    def hint(self) -> str:
        """What stands at its foot."""
        return f"loss is noisy by nature{'; judge by the previews' * bool(self._every)}"

    def facts(self, now: float) -> Iterator[tuple[str, str]]:
        """What there is to tell by now, each under its name."""
        step, _ = self.progress()
        before = f"step {self._stood}, where it goes on from" if self._stood else "not yet"
        ago = f"step {self._saved[0]} · {clock(now - self._saved[1])} ago" if self._saved else before
        memory = (self._last or {}).get("memory_gb")
        facts = {
            "time": self._time(now),
            "loss": self._loss(),
            "memory": f"{memory:.1f} GB" if memory else "",
            "saved": ago,
            "previews": self._previewed(step),
            "judged": self._judged(),
            "Ctrl-C": f"stops after this step and saves; {self._again} goes on" * self._goes_on(step),
        }
        yield from ((name, told) for name, told in facts.items() if told)

    def _goes_on(self, step: int) -> bool:
        return not self._ended and step < self._total

    def _time(self, now: float) -> str:
        """How long it took, how long it will take, when it is done, and how long a step takes."""
        passed, record = clock(now - self._began), self._last
        if record is None:
            return f"{passed} in all" if self._ended else f"{passed} · the first step takes longest"
        pace = f"{record['s_per_step']:.2f} s/step"
        if not self._goes_on(record["step"]):
            return f"{passed} in all   {pace}"
        if record["eta_s"] is None:
            return f"{passed} done · the look comes first, then the motion   {pace}"
        left = max(0.0, record["eta_s"] - (now - self._stepped) * (not self._drawing))
        ready = time.strftime("%H:%M" if left < DAY_S else "%a %H:%M", time.localtime(time.time() + left))
        return f"{passed} done · ~{clock(left)} left · ready about {ready}   {pace}"

    def _loss(self) -> str:
        courses = {name: smoothed([*values]) for name, values in self._losses.items() if values}
        return "   ".join(
            f"{name} {sparkline(course, self._room)} {course[-1]:.3f}" for name, course in courses.items()
        )

    def _previewed(self, step: int) -> str:
        """How far a preview is, or which there are and when the next one comes."""
        steps = [f"{done} ✓" for done in dict.fromkeys(record["step"] for record in self._previews[-4:])]
        following = (step // self._every + 1) * self._every if self._every and self._goes_on(step) else 0
        coming = [f"next at {following}"] if 0 < following <= self._total else []
        return self._drawing or "   ".join([*steps, *coming])

    def _judged(self) -> str:
        """What previews tell, as curves."""
        curves = [
            f"{name} {sparkline(list(values), 8, RANGE)} {values[-1]:.2f}"
            for name in ("motion learned", "appearance leaked")
            if (values := [found[name] for record in self._previews if name in (found := judged(record))])
        ]
        return "   ".join(curves)
