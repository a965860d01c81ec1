"""What the rows of `bench fidelity` say together: shares, intervals, and the differences that the claim is about."""

import functools
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mdctl.measure import readers
from mdctl.measure.fidelity import DEVELOPMENT, Row
from mdctl.measure.statistics import Interval, interval
from mdctl.media.motions import MIDDLE, NUM_FRAMES, Camera, Track
from mdctl.media.paths import HIT, motion_scores

COLUMNS: dict[str, Callable[[Row], float]] = {
    "appearance": lambda row: row.appearance,
    "motion": lambda row: float(row.moved),
    "motion_hit": lambda row: float(row.hit),
    "motion_rho": lambda row: row.rho,
    "joint": lambda row: float(row.joint),
    "leakage": lambda row: float(bool(row.leaked)),
    "static": lambda row: float(row.static),
    "no_subject": lambda row: float(not row.found),
}
"""What is averaged over the videos of a method; all but `motion_rho` are shares."""

CLAIMS = (("full", "no-ad", "motion"), ("full", "base", "motion"), ("full", "coupled", "appearance"),
          ("full", "coupled", "leakage"), ("full", "base", "appearance"), ("no-ad", "base", "motion"))  # fmt: skip
"""Pairs of methods whose difference is asked for, video by video."""

WALKS = 400


def document(rows: Sequence[Row]) -> dict[str, Any]:
    """The whole result: every case with its methods, differences and motions; and what chance would reach.

    `untuned` are the means without the motions that settings were chosen on.
    """
    names = list(dict.fromkeys(row.case for row in rows if row.case != "any")) or ["any"]
    cases = {name: _case([row for row in rows if row.case in (name, "any")]) for name in names}
    return {
        "methods": cases[names[0]]["methods"],
        "cases": cases,
        "chance": {motion: chance(motion) for motion in sorted({row.motion for row in rows})},
        "reader": readers.VERSION,
    }


def _case(rows: list[Row]) -> dict[str, Any]:
    methods = list(dict.fromkeys(row.method for row in rows))
    return {
        "methods": {name: _method([row for row in rows if row.method == name]) for name in methods},
        "untuned": {
            name: _means(rest)
            for name in methods
            if (rest := [row for row in rows if row.method == name and row.motion not in DEVELOPMENT])
        },
        "differences": [
            {"of": first, "to": second, "in": column, **_difference(rows, first, second, column)}
            for first, second, column in CLAIMS
            if {first, second} <= {*methods}
        ],
        "motions": {
            motion: {
                name: _means([row for row in rows if (row.method, row.motion) == (name, motion)]) for name in methods
            }
            for motion in dict.fromkeys(row.motion for row in rows)
        },
    }


def _means(rows: list[Row]) -> dict[str, float]:
    return {column: round(float(np.mean([value(row) for row in rows])), 4) for column, value in COLUMNS.items()}


def _method(rows: list[Row]) -> dict[str, Any]:
    grids = {column: _grid(rows, value) for column, value in COLUMNS.items()}
    found = {column: interval(grid) for column, grid in grids.items()}
    leaks = {name: float(np.mean([name in row.leaked for row in rows])) for name in ("subject", "colour", "background")}
    return {
        **_means(rows),
        "leaked": {name: round(share, 4) for name, share in leaks.items()},
        "n": len(rows),
        "shape": dict(zip(("motions", "train_seeds", "prompts"), grids["motion"].shape, strict=True)),
        "ci": {column: _ends(one) for column, one in found.items()},
    }


def _difference(rows: list[Row], first: str, second: str, column: str) -> dict[str, Any]:
    own, other = (_grid([row for row in rows if row.method == name], COLUMNS[column]) for name in (first, second))
    found = interval(own - other)  # the base model has no training seeds: it stands beside each of them
    levels = ("motions", "training seeds", "prompts")
    return {
        "mean": round(found.mean, 4),
        "ci": _ends(found),
        "resampled": [levels[level] for level in found.resampled],
    }


def _ends(found: Interval) -> list[float] | None:
    """The interval, if there were enough groups to resample any."""
    return [round(found.low, 4), round(found.high, 4)] if found.resampled else None


def _grid(rows: Iterable[Row], value: Callable[[Row], float]) -> NDArray[np.float64]:
    """The values as an array: motions, training seeds, prompts."""
    cells = {(row.motion, row.train_seed, row.number): value(row) for row in rows}
    names, seeds, numbers = (list(dict.fromkeys(axis)) for axis in zip(*cells, strict=True))
    return np.array([[[cells.get((m, s, n), np.nan) for n in numbers] for s in seeds] for m in names])


@functools.cache
def chance(motion: str) -> dict[str, float]:
    """How well a random walk agrees with a motion: the line below which nothing has been learned."""
    rng = np.random.default_rng(0)
    scores = [motion_scores(_walk(rng))[motion] for _ in range(WALKS)]
    return {"rho": round(float(np.mean(scores)), 4), "motion": round(float(np.mean([s >= HIT for s in scores])), 4)}


def _walk(rng: np.random.Generator) -> Track:
    """A subject and a camera that wander about."""
    x, y, size, dx, dy, zoom, angle = rng.normal(size=(7, NUM_FRAMES)).cumsum(1)
    camera = Camera(3 * dx, 3 * dy, np.exp(zoom / 10), angle / 10) if rng.random() < 0.5 else None
    return Track(MIDDLE + 3 * x, MIDDLE + 3 * y, 22 * np.exp(size / 10), camera)
