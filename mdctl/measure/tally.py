"""What the rows of `bench run` say together: the columns of the paper's tables, with intervals and what is missing."""

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from mdctl.measure import compat, statistics
from mdctl.measure.campaign import REFERENCE
from mdctl.measure.statistics import Interval

Row = Mapping[str, Any]
Place = tuple[str, int, str, int]
"""Unit, training seed, prompt, seed: from the outermost group in."""

TEXT, APPEARANCE = "text", "appearance"
SHOWN = {
    TEXT: "TEXT",
    APPEARANCE: "APPEARANCE",
    "consistency": "CONSISTENCY",
    "pick": "PICKSCORE",
    "motion_fidelity_dis": "MOTION",
    "directions_dis": "FLOW",
    "dynamic_degree_dis": "DYNAMIC",
    "leak_colour": "LEAKAGE",
}
"""The columns of the paper's tables, and after them what moves and what leaks."""

COMPARED = (TEXT, APPEARANCE, "consistency", "pick", "motion_fidelity_dis", "directions_dis", "leak_colour")
SHARES, FEW = ("dynamic_degree_dis",), 50
"""Columns of yes and no, and the number of them below which the bootstrap's interval is not to be trusted alone."""

LEVELS = ("units", "training seeds", "prompts", "seeds")


def columns(rows: Iterable[Row], kinds: Sequence[str] = ()) -> dict[str, str]:
    """The table's columns with their headings: text alignment only where prompts of its types are asked for."""
    rows = [row for row in rows if row["method"] != REFERENCE]
    types = {row["type"] for row in rows}
    left_out = {TEXT} if types <= {APPEARANCE} else set()
    left_out |= {APPEARANCE} if APPEARANCE not in types else set()
    asked = {name: name.upper() for kind in kinds for name in compat.COLUMNS[kind]}
    return {name: title for name, title in SHOWN.items() if name not in left_out} | asked


def value(row: Row, column: str) -> tuple[bool, float | None]:
    """Whether a column is about this row at all, and its figure there if it could be computed."""
    if column in (TEXT, APPEARANCE):
        about = row["method"] != REFERENCE and (row["type"] == APPEARANCE) == (column == APPEARANCE)
        return about, row["scores"].get("text") if about else None
    return True, row["scores"].get(column)


def document(rows: Sequence[Row], missing: Sequence[Row], kinds: Sequence[str] = ()) -> dict[str, Any]:
    """Every method with its cells, and the differences between `full` and the others, video by video."""
    names = list(dict.fromkeys(row["method"] for row in (*rows, *missing)))
    every = list(dict.fromkeys(name for row in rows for name in (*row["scores"], *row["skipped"])))
    asked = dict.fromkeys((*columns((*rows, *missing), kinds), *(name for name in every if name != "text")))
    return {
        "methods": {
            name: _method(
                [row for row in rows if row["method"] == name],
                [row for row in missing if row["method"] == name],
                list(asked),
            )
            for name in names
        },
        "differences": _differences(rows, missing, names),
    }


def _method(rows: list[Row], missing: list[Row], asked: Sequence[str]) -> dict[str, Any]:
    return {
        "n": len(rows),
        "shape": _shape(rows),
        "missing": len(missing),
        "frames": _span(row["meta"].get("frames") for row in rows),
        "size": _span(row["meta"].get("size") for row in rows),
        "fps": _span(row["meta"].get("fps") for row in rows),
        "columns": {name: _cell(rows, missing, name) for name in asked},
    }


def _cell(rows: list[Row], missing: list[Row], column: str) -> dict[str, Any]:
    about = [row for row in rows if value(row, column)[0]]
    found = {_place(row): float(number) for row in about if (number := value(row, column)[1]) is not None}
    reasons = [row["skipped"].get("text" if column in (TEXT, APPEARANCE) else column) for row in about]
    cell: dict[str, Any] = {
        "n": len(found),
        "missing": sum(value({**row, "scores": {}}, column)[0] for row in missing),
        "skipped": len(about) - len(found),
        "why": list(dict.fromkeys(reason for reason in reasons if reason)),
    }
    if found:
        interval = _interval(found)
        cell |= {"mean": round(interval.mean, 4), **_ends(interval)}
        if column in SHARES and (len(found) < FEW or interval.mean in (0, 1)):
            low, high = statistics.wilson(round(sum(found.values())), len(found))
            cell["wilson"] = [round(low, 4), round(high, 4)]
    return cell


def _differences(rows: Sequence[Row], missing: Sequence[Row], names: Sequence[str]) -> list[dict[str, Any]]:
    """`full` minus each other method, from pairs alone; what is trained once at most stands beside every training seed.

    `p_holm` is below 0.05 where a difference stands among all of them.
    """
    found, ps = list[dict[str, Any]](), list[float]()
    for name in names if "full" in names else ():
        once = {row["train_seed"] for row in (*rows, *missing) if row["method"] == name} == {0}
        for column in COMPARED if name not in ("full", REFERENCE) else ():
            own, other = (_values(rows, method, column) for method in ("full", name))
            pairs = {
                (unit, train_seed, prompt, seed): number - beside
                for (unit, train_seed, prompt, seed), number in own.items()
                if (beside := other.get((unit, 0 if once else train_seed, prompt, seed))) is not None
            }
            if pairs:
                interval = _interval(pairs)
                record = {"of": "full", "to": name, "in": column, "n": len(pairs), "mean": round(interval.mean, 4)}
                found.append(record | _ends(interval))
                ps.append(interval.p)
    return [record | {"p_holm": round(p, 4)} for record, p in zip(found, statistics.holm(ps), strict=True)]


def _values(rows: Iterable[Row], method: str, column: str) -> dict[Place, float]:
    own = ((row, value(row, column)[1]) for row in rows if row["method"] == method)
    return {_place(row): float(number) for row, number in own if number is not None}


def _place(row: Row) -> Place:
    return row["unit"], row["train_seed"], row["id"], row["seed"]


def _interval(values: Mapping[Place, float]) -> Interval:
    """The mean over (unit, prompt), and its interval: over all levels where every group has the same size.

    Else each prompt counts once, and whole units are drawn, or prompts where there are too few units.
    """
    tree: dict[str, dict[int, dict[str, list[float]]]] = {}
    for unit, train_seed, prompt, seed in sorted(values):
        deeper = tree.setdefault(unit, {}).setdefault(train_seed, {})
        deeper.setdefault(prompt, []).append(values[unit, train_seed, prompt, seed])
    nested = [[list(prompts.values()) for prompts in seeds.values()] for seeds in tree.values()]
    try:
        return statistics.interval(np.array(nested, np.float64))
    except ValueError:  # groups of different sizes
        means = list[list[float]]()
        for seeds in tree.values():
            prompts = dict.fromkeys(prompt for inner in seeds.values() for prompt in inner)
            means.append([_mean(seeds, prompt) for prompt in prompts])
        if len(means) >= statistics.FEWEST:
            return statistics.grouped(means)
        found = statistics.grouped([[mean] for inner in means for mean in inner])
        return replace(found, resampled=(LEVELS.index("prompts"),) if found.resampled else ())


def _mean(seeds: Mapping[int, Mapping[str, Sequence[float]]], prompt: str) -> float:
    return float(np.mean([number for inner in seeds.values() for number in inner.get(prompt, ())]))


def _ends(interval: Interval) -> dict[str, Any]:
    """The interval, if there were enough groups to draw any, and which levels were drawn."""
    ends = [round(interval.low, 4), round(interval.high, 4)] if interval.resampled else None
    return {"ci": ends, "resampled": [LEVELS[level] for level in interval.resampled]}


def _shape(rows: Sequence[Row]) -> str:
    """How many of each there are, as `units x prompts x training seeds x seeds`.

    What differs inside of the groups is told from the fewest to the most, with the sum: `1 x 2 x 1 x 1-2 = 3`.
    """
    levels, counts = ("unit", "id", "train_seed", "seed"), list[str]()
    for depth in range(len(levels)):
        inside: dict[tuple[Any, ...], set[Any]] = {}
        for row in rows:
            inside.setdefault(tuple(row[name] for name in levels[:depth]), set()).add(row[levels[depth]])
        sizes = {len(names) for names in inside.values()} or {0}
        counts.append(f"{min(sizes)}-{max(sizes)}" if len(sizes) > 1 else str(*sizes))
    found = " x ".join(counts)
    return f"{found} = {len(rows)}" if "-" in found else found


def _span(values: Iterable[Any]) -> Any:
    """The one value that all have, or all of them."""
    found = sorted({str(value): value for value in values if value is not None}.values(), key=str)
    return found[0] if len(found) == 1 else found


def as_csv(found: Mapping[str, Any], provenance: Mapping[str, Any]) -> str:
    """The table as CSV, one line a cell, with what made it on every line."""
    buffer = io.StringIO()
    names = ("method", "column", "mean", "low", "high", "n", "missing", "skipped", "shape", *provenance)
    writer = csv.DictWriter(buffer, names, lineterminator="\n")
    writer.writeheader()
    for method, record in found["methods"].items():
        for column, cell in record["columns"].items():
            low, high = cell.get("ci") or ("", "")
            counts = {name: cell[name] for name in ("n", "missing", "skipped")}
            line = {"method": method, "column": column, "mean": cell.get("mean", ""), "low": low, "high": high}
            writer.writerow(line | counts | {"shape": record["shape"]} | dict(provenance))
    return buffer.getvalue()
