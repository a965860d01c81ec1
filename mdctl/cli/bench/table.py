"""`bench run`, its end: rows and table on disk and on screen, with what is missing and where it all comes from."""

import json
import platform
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mdctl.cli.bench.judges import cut_short
from mdctl.cli.create.learning import versions
from mdctl.cli.face import face
from mdctl.errors import Partly
from mdctl.text import safe
from mdctl.workspace import atomic

if TYPE_CHECKING:
    from mdctl.measure.campaign import Item
    from mdctl.measure.manifest import Unit

Row = dict[str, Any]
ROWS, TABLE, TABLE_CSV = "results.jsonl", "table.json", "table.csv"
ABSENT = "is not there"
MOST_LISTED = 20
TWO_DECIMALS = ("text", "appearance", "consistency", "pick")
"""Columns on the scale of the paper's tables."""

CLEAR = 0.05
"""Below this a difference is no chance, corrected for the number of differences."""

TOLD = ("text", "appearance", "motion_fidelity_dis", "leak_colour")
"""Differences that are said in words; all of them are in the JSON."""

JUDGED_BY = {"version": "versions of the figures", "flow": "optical flow", "shape": "parts of the clips",
             "clip": "CLIP", "pick": "PickScore", "dino": "DINO", "clip_b32": "CLIP ViT-B/32"}  # fmt: skip
"""What figures of one column have to have in common."""

ONE_TRAINING = "1 training seed: the intervals do not cover training, so no method is shown to be better by them."


def made_with() -> dict[str, str]:
    """What every table says of its origin: date, kind of computer, and versions."""
    return {"date": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"), "computer": platform.machine(), **versions()}


def earlier(folder: Path, units: "Sequence[Unit]", others_than: Sequence[str]) -> list[Row]:
    """Rows of other methods and systems that an earlier command found, as far as the manifest still asks for them."""
    from mdctl.measure.campaign import REFERENCE

    asked = {(unit.unit, wish.id, seed): wish.prompt for unit in units for wish in unit.eval for seed in unit.seeds}
    names = {unit.unit for unit in units}
    found = []
    with suppress(OSError):
        for line in (folder / ROWS).read_text("utf-8").splitlines():
            with suppress(ValueError, KeyError, TypeError):
                row = json.loads(line)
                clip = row["method"] == REFERENCE and row["unit"] in names
                wish = asked.get((row["unit"], row["id"], row["seed"]))
                if row["method"] not in others_than and (clip or (wish and wish == row["meta"]["prompt"])):
                    found.append(row)
    return found


def absent(
    rows: Sequence[Row], units: "Sequence[Unit]", methods: Mapping[str, bool], train_seeds: int = 1
) -> "list[Item]":
    """The videos of these methods that have no row; `methods` says of each whether it is trained."""
    from mdctl.measure import campaign

    there = {campaign.place(row["method"], row["unit"], row["id"], row["train_seed"], row["seed"]) for row in rows}
    return [item for item in campaign.items(units, methods, train_seeds) if item.place not in there]


def known_settings(folder: Path) -> dict[str, Any]:
    """The settings of the campaign whose table lies in a folder; none where there is no table yet."""
    with suppress(OSError, ValueError, KeyError, TypeError):
        return dict(json.loads((folder / TABLE).read_text("utf-8"))["settings"])
    return {}


def blank(item: "Item") -> Row:
    """The row of a video that is not there."""
    return {
        "unit": item.unit.unit,
        "id": item.wish.id,
        "type": item.wish.type,
        "method": item.method,
        "train_seed": item.train_seed,
        "seed": item.seed,
    }


def conclude(
    folder: Path,
    rows: Sequence[Row],
    missing: "Mapping[Item, str]",
    extra: Sequence[Path],
    kinds: Sequence[str],
    about: Mapping[str, Any],
    allow_missing: bool,
    absent: "Sequence[Item]" = (),
) -> None:
    """Write rows and table, show them, and raise `Partly` where videos are missing that should not be.

    `missing` says of each what is wrong with it. `absent` are too, beside the rows that were judged another time.
    """
    from mdctl.measure import tally

    blanks = [blank(item) for item in (*absent, *missing)]
    found = tally.document(rows, blanks, kinds)
    provenance = made_with()
    unread = {item.place: why for item, why in missing.items() if why != ABSENT}
    result = {**found, "missing": [item.place for item in (*absent, *missing)], "unread": unread}
    result |= {"extra": [str(path) for path in extra], "settings": dict(about), "made_with": provenance}
    atomic.write(folder / ROWS, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
    atomic.write(folder / TABLE, json.dumps(result, indent=1))
    base = about.get("base") or {}
    origin = {"date": provenance["date"], "mdctl": provenance["mdctl"], "base": base.get("name", "")}
    atomic.write(folder / TABLE_CSV, tally.as_csv(found, origin))
    _show(result, rows, blanks, kinds, folder)
    _list([f"{item.place} {why}" for item, why in missing.items()])
    _list([f"{path} was not asked for, and is not scored" for path in extra])
    if missing and not allow_missing:
        there = sum(row["method"] in {item.method for item in missing} for row in rows)
        place, why = next(iter(unread.items()), (next(iter(missing)).place, ""))
        raise Partly(
            f"{len(missing)} of {len(missing) + there} videos are not there{' or cannot be judged' if unread else ''}.",
            why=f"such as {place} {why}".rstrip(" .") + ".",
            saved=f"the table of the others is in {folder / TABLE}.",
            fix="bring them, or add --allow-missing",
        )


def _list(lines: Sequence[str]) -> None:
    for line in lines[:MOST_LISTED]:
        face().say(line)
    if len(lines) > MOST_LISTED:
        face().say(f"and {len(lines) - MOST_LISTED} more; all are in {TABLE}")


def _show(result: Row, rows: Sequence[Row], blanks: Sequence[Row], kinds: Sequence[str], folder: Path) -> None:
    from mdctl.measure import tally

    if face().manners.json:
        face().sheet([], result)
        return
    columns = tally.columns([*rows, *blanks], kinds)
    lines = []
    for name, method in result["methods"].items():
        cells = [_cell(method["columns"][column], column) for column in columns]
        facts = (f"{_few(method[fact])}{unit}" for fact, unit in (("frames", " f"), ("size", ""), ("fps", " fps")))
        video = ", ".join(facts) if method["n"] else "-"
        lines.append([name, *cells, method["shape"], str(method["missing"]), video])
    titles = ["METHOD", *columns.values(), "N", "MISSING", "VIDEOS"]
    face().answer(titles, lines, [], [str(folder / name) for name in (TABLE, ROWS, TABLE_CSV)])
    for line in _remarks(result, rows, columns):
        face().say(line)
    face().done(f"Table, rows and CSV: {folder}")


def _cell(cell: Mapping[str, Any], column: str) -> str:
    if "mean" not in cell:
        return "-"
    shown = f"{cell['mean']:.2f}" if column in TWO_DECIMALS else f"{cell['mean']:.3f}"
    return f"{shown} ({cell['skipped']} skipped)" if cell["skipped"] else shown


def _few(values: Any) -> str:
    return "/".join(map(str, values[:3])) if isinstance(values, list) else str(values)


def _remarks(result: Row, rows: Sequence[Row], columns: Mapping[str, str]) -> list[str]:
    """What has to stand beside the table so that it is not misread."""
    from mdctl.measure.campaign import REFERENCE

    said = ["N is units x prompts x training seeds x seeds."]
    reasons: dict[str, list[str]] = {}
    for name, method in result["methods"].items():
        for column, title in columns.items() if name != REFERENCE else ():
            for why in method["columns"][column]["why"]:
                if title not in reasons.setdefault(why, []):
                    reasons[why].append(title)
    said += [f"- in {', '.join(titles)}: {safe(why)}." for why, titles in reasons.items()]
    said += cut_short(row["meta"] for row in rows)
    looked_at = sorted({row["meta"]["judged_frames"] for row in rows})
    if len(looked_at) > 1:
        numbers = ", ".join(map(str, looked_at))
        said.append(f"Videos were judged by {numbers} frames: consistency falls with their number, so compare like with"
                    f" like (--judged-frames {looked_at[0]}, in bench score --frames).")  # fmt: skip
    said += _unlike(rows)
    several = len({row["train_seed"] for row in rows}) > 1
    for one in result["differences"]:
        if one["in"] in TOLD:
            clear = ", clear among all of these" * (several and one["p_holm"] < CLEAR)
            ends = f" [{one['ci'][0]:+.3f}, {one['ci'][1]:+.3f}]" if one["ci"] else ""
            said.append(
                f"{one['of']} - {one['to']} in {columns.get(one['in'], one['in'])}: {one['mean']:+.3f}{ends}{clear}"
            )
    drawn = sorted({level for one in result["differences"] for level in one["resampled"]})
    if result["differences"]:
        told = f"Brackets are 95 % intervals over {', '.join(drawn)}; what is fewer than five is taken as it is."
        said.append(told if drawn else "No intervals: there are fewer than five units, prompts and seeds.")
    if not several and result["differences"]:
        said.append(ONE_TRAINING)
    return said


def _unlike(rows: Sequence[Row]) -> list[str]:
    """A line for all that some rows were judged by and others not: they were not judged by the same command."""
    said = []
    for name, called in JUDGED_BY.items():
        methods: dict[str, list[str]] = {}
        for row in rows:
            told = row["meta"].get(name)
            if told is not None or name == "shape":  # without a shape clips count as a whole; without weights nothing
                methods.setdefault(json.dumps(told, sort_keys=True), []).append(row["method"])
        if len(methods) > 1:
            sides = " / ".join(", ".join(dict.fromkeys(side)) for side in methods.values())
            said.append(f"Judged by different {called}, so not to be compared until scored again: {sides}")
    return said
