"""What the rows of `bench fidelity` say together: shares, intervals, and the differences that the claim is about."""

import functools
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mdctl.measure import readers
from mdctl.measure.fidelity import ATTRIBUTES, DEVELOPMENT, Row
from mdctl.measure.statistics import Interval, holm, interval, wilson
from mdctl.media.motions import CAMERA_MOTIONS, MIDDLE, NUM_FRAMES, Camera, Track
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

WALKS = 1000

FEW = 50
"""Videos below which a share also gets the interval that does not ask for many."""


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
        "differences": _differences(rows, methods),
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
    leaks = {name: float(np.mean([name in row.leaked for row in rows])) for name in ATTRIBUTES}
    shares = {column: grid for column, grid in grids.items() if {*np.unique(grid)} <= {0.0, 1.0}}
    counted = {
        column: [round(end, 4) for end in wilson(int(grid.sum()), grid.size)]
        for column, grid in shares.items()
        if grid.size < FEW or grid.mean() in (0, 1)
    }
    # Where all videos agree, resampling them tells nothing.
    alike = {column: ends for column, ends in counted.items() if shares[column].mean() in (0, 1)}
    return {
        **_means(rows),
        "right": _right(rows),
        "leaked": {name: round(share, 4) for name, share in leaks.items()},
        "n": len(rows),
        "shape": dict(zip(("motions", "train_seeds", "prompts"), grids["motion"].shape, strict=True)),
        "ci": {column: _ends(one) for column, one in found.items()} | alike,
        "wilson": counted,
    }


def _right(rows: list[Row]) -> dict[str, float | None]:
    """How often each attribute was right, where it was asked for, and all of them; None where none was."""
    found: dict[str, float | None] = {}
    for name in ATTRIBUTES:
        right = [row.right[name] for row in rows if name in row.right]
        found[name] = round(float(np.mean(right)), 4) if right else None
    return found | {"all": round(float(np.mean([all(row.right.values()) for row in rows])), 4)}


def _differences(rows: list[Row], methods: Sequence[str]) -> list[dict[str, Any]]:
    """The claims, each with its interval; `p_holm` is below 0.05 where it stands among all of them."""
    claims = [claim for claim in CLAIMS if {*claim[:2]} <= {*methods}]
    found = [_difference(rows, *claim) for claim in claims]
    corrected = holm([one.p for one in found])
    levels = ("motions", "training seeds", "prompts")
    return [
        {
            "of": first,
            "to": second,
            "in": column,
            "mean": round(one.mean, 4),
            "ci": _ends(one),
            "p_holm": round(p, 4),
            "resampled": [levels[level] for level in one.resampled],
        }
        for (first, second, column), one, p in zip(claims, found, corrected, strict=True)
    ]


def _difference(rows: list[Row], first: str, second: str, column: str) -> Interval:
    own, other = (_grid([row for row in rows if row.method == name], COLUMNS[column]) for name in (first, second))
    return interval(own - other)  # the base model has no training seeds: it stands beside each of them


def _ends(found: Interval) -> list[float] | None:
    """The interval, if there were enough groups to resample any."""
    return [round(found.low, 4), round(found.high, 4)] if found.resampled else None


def _grid(rows: Iterable[Row], value: Callable[[Row], float]) -> NDArray[np.float64]:
    """The values as an array: motions, training seeds, prompts; the order of the rows changes nothing."""
    cells = {(row.motion, row.train_seed, row.number): value(row) for row in rows}
    names, seeds, numbers = (sorted({*axis}) for axis in zip(*cells, strict=True))
    return np.array([[[cells.get((m, s, n), np.nan) for n in numbers] for s in seeds] for m in names])


@functools.cache
def chance(motion: str) -> dict[str, float]:
    """How well a random walk agrees with a motion, on average and in one of 20: below it nothing has been learned."""
    rng = np.random.default_rng(0)
    scores = [motion_scores(_walk(rng, motion in CAMERA_MOTIONS))[motion] for _ in range(WALKS)]
    return {
        "rho": round(float(np.mean(scores)), 4),
        "rho_95": round(float(np.percentile(scores, 95)), 4),
        "motion": round(float(np.mean([score >= HIT for score in scores])), 4),
    }


def _walk(rng: np.random.Generator, camera: bool) -> Track:
    """A subject that wanders about, or stands before a camera that does."""
    x, y, zoom, angle = rng.normal(size=(4, NUM_FRAMES)).cumsum(1)
    if not camera:
        return Track(MIDDLE + 3 * x, MIDDLE + 3 * y, np.full(NUM_FRAMES, 22.0))
    wandering = Camera(3 * x, 3 * y, np.exp(zoom / 10), angle / 10)
    places = np.stack([wandering.matrix(frame) @ (MIDDLE, MIDDLE, 1) for frame in range(NUM_FRAMES)])
    return Track(places[:, 0], places[:, 1], 22 * wandering.zoom, wandering)
