"""The course of a training as a drawing: the losses that a run has noted, as SVG that stands in a page."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

NAMES = ("motion", "appearance")
POINTS = 120
"""So many points a line has at most; each is the mean of the steps that it stands for."""

_WIDTH, _HEIGHT = 320, 140
_LEFT, _RIGHT, _TOP, _BOTTOM = 40, 4, 4, 24
_MOST_STEPS = 10_000_000

Point = tuple[float, float]


@dataclass(frozen=True)
class Course:
    """What a run noted of its losses."""

    losses: Mapping[str, Sequence[Point]]
    """Step and loss, rising; a loss that was never measured is not in it."""

    saves: Sequence[int]
    """The steps that were saved."""

    @property
    def steps(self) -> int:
        """The last step that was noted."""
        return int(max((points[-1][0] for points in self.losses.values()), default=0))


def read(events: Iterable[Mapping[str, Any]]) -> Course:
    """The losses in a run's events; a step that was taken again after a loss counts as it was taken last."""
    losses: dict[str, dict[int, float]] = {name: {} for name in NAMES}
    saves = set[int]()
    for event in events:
        step, told = event.get("step"), event.get("loss")
        if not (isinstance(step, int) and 0 < step < _MOST_STEPS):
            continue
        if event.get("event") == "save":
            saves.add(step)
        elif event.get("event") == "step" and isinstance(told, Mapping):
            for name, values in losses.items():
                value = told.get(name)
                if isinstance(value, float) and math.isfinite(value):
                    values[step] = value
    return Course({name: sorted(values.items()) for name, values in losses.items() if values}, sorted(saves))


def svg(course: Course) -> str:
    """The losses over the steps, with a tick below for each save; colours are the page's, by the names of the lines."""
    thin = {name: _thinned(points) for name, points in course.losses.items()}
    top = max((loss for points in thin.values() for _, loss in points), default=0.0) or 1.0
    last = max(course.steps, 1)
    lines = [
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{_said(course)}">',
        f'<path class="axis" d="M{_LEFT} {_TOP}V{_HEIGHT - _BOTTOM}H{_WIDTH - _RIGHT}"/>',
    ]
    for name, points in thin.items():
        places = [_place(step / last, max(loss, 0.0) / top) for step, loss in points]
        if len(places) == 1:
            lines.append(f'<circle class="{name}" cx="{places[0][0]}" cy="{places[0][1]}" r="2"/>')
        else:
            lines.append(f'<polyline class="{name}" points="{" ".join(f"{x},{y}" for x, y in places)}"/>')
    for step in course.saves:
        x = _place(min(step / last, 1.0), 0.0)[0]
        lines.append(f'<path class="save" d="M{x} {_HEIGHT - _BOTTOM}v4"/>')
    lines += [
        f'<text x="{_LEFT - 4}" y="{_TOP + 11}" text-anchor="end">{top:.3g}</text>',
        f'<text x="{_LEFT - 4}" y="{_HEIGHT - _BOTTOM}" text-anchor="end">0</text>',
        f'<text x="{_LEFT}" y="{_HEIGHT - 6}">step 1</text>',
        f'<text x="{_WIDTH - _RIGHT}" y="{_HEIGHT - 6}" text-anchor="end">{last}</text>',
        "</svg>",
    ]
    return "\n".join(lines)


def _said(course: Course) -> str:
    ends = [f"{name} {points[0][1]:.3f} to {points[-1][1]:.3f}" for name, points in course.losses.items()]
    return f"loss over {course.steps} steps: {', '.join(ends)}"


def _place(along: float, up: float) -> Point:
    x = _LEFT + along * (_WIDTH - _LEFT - _RIGHT)
    y = _HEIGHT - _BOTTOM - up * (_HEIGHT - _TOP - _BOTTOM)
    return round(x, 1), round(y, 1)


def _thinned(points: Sequence[Point]) -> list[Point]:
    size = max(1, -(-len(points) // POINTS))
    parts = (points[at : at + size] for at in range(0, len(points), size))
    return [(sum(x for x, _ in part) / len(part), sum(y for _, y in part) / len(part)) for part in parts]
