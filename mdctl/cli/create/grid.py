"""`grid`: one prompt under several strengths, saves and starts, side by side; and `pin`, which keeps the choice."""

import itertools
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mdctl.cli import options
from mdctl.cli.choose import layers, resolve
from mdctl.cli.create import videos, voices
from mdctl.cli.create.generate import cast_of
from mdctl.cli.create.start import quoted
from mdctl.cli.face import EPILOG, face
from mdctl.cli.turns import turn
from mdctl.cli.view import pages
from mdctl.errors import BadInput, UsageFault
from mdctl.settings import SampleSettings, from_table, to_table
from mdctl.strength import Strength
from mdctl.text import safe, slug
from mdctl.workspace import atomic
from mdctl.workspace.project import Project
from mdctl.workspace.runs import Run
from mdctl.workspace.saves import Save

if TYPE_CHECKING:
    from mdctl.media.frames import Frames

MANY = 100
"""Cells from which on it wants to be told that this is meant."""

AXES = 2
"""How many things may vary, apart from the seed."""


def mount(app: typer.Typer) -> None:
    """Add the commands of this file."""
    app.command(epilog=EPILOG)(grid)
    app.command(epilog=EPILOG)(pin)


@dataclass(frozen=True)
class Axis:
    """What varies along one side of the grid."""

    key: str
    """`checkpoint`, `strength` or `follow`."""

    values: tuple[str, ...]


@dataclass(frozen=True)
class Cell:
    """One video of the grid."""

    row: str
    column: str
    seed: int
    save: Save
    asked: Mapping[str, str]
    """What varies, and the strength, as they were asked for: a whole schedule is more than its number."""

    settings: SampleSettings
    path: Path


def grid(
    name: options.ProjectName,
    prompt: Annotated[
        str, typer.Argument(metavar="PROMPT", help="What is to be seen; - reads it.", show_default=False)
    ],
    strength: Annotated[
        str | None, typer.Option(metavar="S,S,...", help=f"Strengths, or schedules: {options.HOLDS}.", show_default="1")
    ] = None,
    checkpoint: Annotated[
        str | None, typer.Option(metavar="N,N,...", help="Saves, by their steps.", show_default="last")
    ] = None,
    follow: Annotated[
        str | None, typer.Option(metavar="P,P,...", help="How much of a clip's own noise to start from.")
    ] = None,
    seed: Annotated[str, typer.Option(metavar="N,N,...", help="One video of each cell for each of these.")] = "0",
    steps: options.SampleSteps = None,
    guidance: options.Guidance = None,
    negative: options.Negative = None,
    frames: options.NumFrames = None,
    size: options.Size = None,
    template: options.Template = None,
    device: options.Device = "auto",
    precision: options.Precision = None,
    threads: options.Threads = None,
    dry_run: options.DryRun = False,
) -> int:
    """Compare strengths, saves and starts side by side.

    It writes one labelled video of all, a sheet, a page, and the figures behind them.

    \b
    mdctl grid golf "a monkey playing golf" --strength 0.4,0.7,1.0 --checkpoint 100,200,300
    mdctl grid golf "a monkey playing golf" --follow 0,0.3,0.6 --seed 1,2
    """
    words = videos.read_prompt(prompt)
    project = Project.open(name)
    flags = videos.flags(size, steps=steps, guidance=guidance, negative=negative, frames=frames, precision=precision)
    run, last = voices.find_save(project, None)
    asked = resolve(SampleSettings, "gen", layers("gen", project, template, flags, run.base))
    axes = _axes({"checkpoint": checkpoint, "strength": strength, "follow": follow})
    seeds = list(dict.fromkeys(_whole(text) for text in _listed("seed", seed)))
    cells = _cells(project, run, last, words, asked, axes, seeds)
    axes = [replace(axis, values=tuple(dict.fromkeys(cell.asked[axis.key] for cell in cells))) for axis in axes]
    missing = [cell for cell in cells if not cell.path.is_file()]
    face().say(f"{len(cells)} videos{f', {len(cells) - len(missing)} of them there' * (len(missing) < len(cells))}.")
    if len(missing) > MANY and not face().manners.yes:
        raise UsageFault(f"{len(missing)} videos are a lot to wait for.", fix="add --yes when this is meant")
    folder = cells[0].path.parents[1]
    if dry_run:
        face().sheet(
            [(axis.key, ", ".join(axis.values)) for axis in axes], {"cells": len(cells), "missing": len(missing)}
        )
        return 0
    _fill(project, words, missing, device, threads)
    paths = _shown(folder, words, axes, cells)
    strongest = cells[-1].asked["strength"]
    spoken = quoted(strongest) if " " in strongest else strongest
    best = f"mdctl pin {name} --checkpoint {cells[-1].save.step} --strength {spoken}"
    face().done(f"{len(cells)} videos of '{name}' side by side.", [f"{best}     keeps a choice for gen"])
    face().result([str(path) for path in paths], {"project": name, "cells": len(cells), "made": len(missing)})
    return 0


def pin(
    name: options.ProjectName,
    checkpoint: Annotated[str | None, typer.Option(help="The save that gen takes.", show_default=False)] = None,
    strength: Annotated[str | None, typer.Option(help="The strength that gen takes.", show_default=False)] = None,
    follow: Annotated[float | None, typer.Option(help="How far gen follows a clip.", show_default=False)] = None,
    clear: Annotated[bool, typer.Option("--clear", help="Forget the choice.")] = False,
    wait: options.Wait = None,
) -> int:
    """Keep a save and strengths as what gen takes for a project.

    \b
    mdctl pin golf --checkpoint 200 --strength 0.7
    mdctl pin golf --clear
    """
    project = Project.open(name)
    given = {"checkpoint": checkpoint, "strength": strength, "follow": follow}
    chosen = {key: value for key, value in given.items() if value is not None}
    if clear == bool(chosen):
        raise UsageFault("nothing is said to be kept.", fix=f"mdctl pin {name} --checkpoint 200 --strength 0.7")
    if strength is not None:
        spoken = Strength.parse(strength)
        chosen["strength"] = spoken.schedule() if "@" in strength else spoken.plain()
    from_table(SampleSettings, {key: chosen[key] for key in chosen if key != "checkpoint"}, "pin")
    with turn(project, "pin", wait):
        if checkpoint is not None:
            _, save = voices.find_save(project, checkpoint)
            chosen["checkpoint"] = str(save.step)
        for key in project.record.pin if clear else chosen:
            project.set(f"pin.{key}", None if clear else chosen[key])
    kept = ", ".join(f"{key} {value}" for key, value in Project.open(name).record.pin.items())
    face().done(f"gen takes {kept} for '{name}'." if kept else f"gen takes for '{name}' what it takes by itself.")
    face().result([], {"project": name, "pin": dict(Project.open(name).record.pin)})
    return 0


# --- What is compared.


def _listed(key: str, text: str) -> list[str]:
    values = list(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))
    if not values:
        raise UsageFault(f"--{key} lists nothing.", fix=f"--{key} 1,2")
    return values


def _whole(text: str) -> int:
    if not (text.isascii() and text.isdigit() and int(text) <= videos.MAX_SEED):
        raise BadInput(f"'{safe(text, 40)}' is no seed.", fix="--seed 1,2,3")
    return int(text)


def _axes(given: Mapping[str, str | None]) -> list[Axis]:
    axes = [Axis(key, tuple(_listed(key, text))) for key, text in given.items() if text is not None]
    varying = [axis for axis in axes if len(axis.values) > 1]
    if len(varying) > AXES:
        names = ", ".join(axis.key for axis in varying)
        raise UsageFault(f"a grid has two sides, and {names} vary.", fix="give one value to all but two of them")
    return sorted(axes, key=lambda axis: len(axis.values) > 1)


def _cells(
    project: Project,
    run: Run,
    last: Save,
    prompt: str,
    asked: SampleSettings,
    axes: Sequence[Axis],
    seeds: Sequence[int],
) -> list[Cell]:
    """All cells, rows first; each has a name of its own below a folder that the prompt and the settings name.

    Of those that say the same in other words, such as strengths 1 and 1.0, there is the first.
    """
    settled = videos.settled(asked, run.settings)
    about = {"prompt": prompt, "run": run.id, **to_table(replace(settled, strength=1.0, follow=0.0))}
    folder = project.folder / "grids" / f"{slug(prompt, 40) or 'grid'}-{videos.identity(about)[:6]}"
    found: dict[Path, Cell] = {}
    for values in itertools.product(*(axis.values for axis in axes)):
        chosen = {"strength": str(asked.strength), **dict(zip((axis.key for axis in axes), values, strict=True))}
        save = voices.find_save(project, chosen["checkpoint"])[1] if "checkpoint" in chosen else last
        follow = _share(chosen["follow"]) if "follow" in chosen else asked.follow
        settings = videos.settled(replace(asked, strength=chosen["strength"], follow=follow), run.settings)
        labels = [f"{axis.key} {chosen[axis.key]}" for axis in axes[-AXES:]]
        row, column = ["", "", *labels][-AXES:]
        for seed in seeds:
            key = videos.identity({"save": save.sha256, "seed": seed, **to_table(settings)})
            path = folder / "cells" / f"{save.step:06d}_{key}_s{seed}.mp4"
            many = f"{row}, seed {seed}".strip(", ") if len(seeds) > 1 else row
            found.setdefault(path, Cell(many, column, seed, save, chosen, settings, path))
    return list(found.values())


def _share(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise BadInput(f"'{safe(text, 40)}' is no share.", fix="--follow 0,0.3") from None


def _fill(project: Project, prompt: str, cells: Sequence[Cell], device: str, threads: int | None) -> None:
    """Make the cells that are missing; what is there when it breaks off stays, and is not made again."""
    for save, group in itertools.groupby(sorted(cells, key=lambda cell: cell.save.step), key=lambda cell: cell.save):
        wanted = list(group)
        run = Run(save.folder.parents[1])
        casts = [cast_of(project, run, save, cell.settings) for cell in wanted]
        takes = [
            videos.Take(cast, cell.settings, cell.seed, videos.Target(None, cell.path, "mp4"))
            for cast, cell in zip(casts, wanted, strict=True)
        ]
        for _ in videos.takes(takes, prompt, device, threads):
            pass


# --- How it is shown.


def _shown(folder: Path, prompt: str, axes: Sequence[Axis], cells: Sequence[Cell]) -> list[Path]:
    """Write the labelled video, the sheet, the page and the figures."""
    from mdctl.media import clips as media
    from mdctl.media import ffmpeg, preview

    rows = list(dict.fromkeys(cell.row for cell in cells))
    columns = list(dict.fromkeys(cell.column for cell in cells))
    films: dict[tuple[str, str], Frames] = {}
    for cell in cells:
        frames, _ = media.spread(cell.path, cell.settings.frames or 16)
        films[cell.row, cell.column] = frames
    table = [[films[row, column] for column in columns] for row in rows]
    moving = preview.table(table, rows, columns)
    written = {
        "grid.mp4": ffmpeg.encode(moving, cells[0].settings.fps or 8, format="mp4"),
        "grid.png": preview.png(moving[len(moving) // 2]),
        "grid.html": _page(prompt, rows, columns, cells).encode(),
        "grid.json": (json.dumps(_record(prompt, axes, cells), indent=1) + "\n").encode(),
    }
    for name, content in written.items():
        atomic.write(folder / name, content)
    return [folder / name for name in written]


def _record(prompt: str, axes: Sequence[Axis], cells: Sequence[Cell]) -> dict[str, Any]:
    return {
        "schema": 1,
        "prompt": prompt,
        "axes": {axis.key: list(axis.values) for axis in axes},
        "cells": [
            {
                "row": cell.row,
                "column": cell.column,
                "seed": cell.seed,
                "save": cell.save.step,
                "strength": cell.settings.strength,
                "follow": cell.settings.follow,
                "video": f"cells/{cell.path.name}",
            }
            for cell in cells
        ],
    }


STYLE = """
:root { color-scheme: light dark; }
body { font: 15px system-ui; margin: 2em; }
th { font-weight: 500; padding: .4em .8em; }
td { padding: .2em; }
video { display: block; min-width: 128px; image-rendering: pixelated; }
"""


def _page(prompt: str, rows: Sequence[str], columns: Sequence[str], cells: Sequence[Cell]) -> str:
    """One page without scripts and without anything from elsewhere; the videos stand in it."""
    by_place = {(cell.row, cell.column): cell for cell in cells}
    return "\n".join(_lines(prompt, rows, columns, by_place))


def _lines(
    prompt: str, rows: Sequence[str], columns: Sequence[str], cells: Mapping[tuple[str, str], Cell]
) -> Iterator[str]:
    yield pages.head(prompt, STYLE)
    yield f"<body><h1>{pages.words(prompt)}</h1><table><tr><th></th>"
    yield from (f"<th>{pages.words(column)}</th>" for column in columns)
    yield "</tr>"
    for row in rows:
        yield f"<tr><th>{pages.words(row)}</th>"
        for column in columns:
            film = pages.embedded(cells[row, column].path.read_bytes(), "video/mp4")
            label = pages.words(f"{row} {column}".strip())
            yield f'<td><video autoplay loop muted playsinline aria-label="{label}" src="{film}"></video></td>'
        yield "</tr>"
    yield "</table></body></html>"
