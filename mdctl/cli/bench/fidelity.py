"""`bench fidelity`: the paper's claim, measured on the user's own computer."""

import csv
import dataclasses
import io
import json
import math
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mdctl import child, computer
from mdctl.catalog import STARTER
from mdctl.cli import options
from mdctl.cli.bench.make import HOW_NOT_WHAT
from mdctl.cli.bench.table import CLEAR, ONE_TRAINING, made_with
from mdctl.cli.choose import layers, pairs, resolve
from mdctl.cli.face import Manners, face, same_everywhere, wear
from mdctl.cli.lines import Lines
from mdctl.errors import BadInput, Busy, Diverged, NotFound, UsageFault, instead
from mdctl.settings import SampleSettings, TrainSettings
from mdctl.text import safe
from mdctl.workspace import atomic, locations, locks, weights

if TYPE_CHECKING:
    from mdctl.measure.fidelity import Cell, Design, Row
    from mdctl.media.frames import Frames

JOB_BYTES = 1_600_000_000
"""What one process takes on a CPU."""

QUICK = {"motions": ("orbiting", "looping in a figure eight"), "cases": ("multi",), "prompts": 8, "train_seeds": 1,
         "methods": ("base", "coupled", "temporal-only", "no-ad", "full")}  # fmt: skip
QUICK_STEPS = 90
IDLE = (*HOW_NOT_WHAT, "seed", "precision")
"""Settings of a training that the bench has its own way with."""

RANK, WEIGHT_DECAY = 32, 1e-4
"""As for several clips of a user's project."""


def bench_fidelity(
    quick: Annotated[
        bool, typer.Option("--quick", help="Two motions, 8 prompts, one training each, fewer steps.")
    ] = False,
    only: Annotated[list[str] | None, typer.Option(help="A method; may be given more than once.")] = None,
    motion: Annotated[
        list[str] | None, typer.Option("--motions", help="A motion of the world; may be given more than once.")
    ] = None,
    case: Annotated[list[str] | None, typer.Option(help="multi (4 clips) or single (1 clip).")] = None,
    prompts: Annotated[int | None, typer.Option(min=1, help="Prompts for each motion.")] = None,
    train_seeds: Annotated[int | None, typer.Option(min=1, help="Trainings of each motion.")] = None,
    prompt_seed: Annotated[int | None, typer.Option(help="Another one gives other clips, prompts and noise.")] = None,
    strength_until: Annotated[
        float | None, typer.Option(min=0.01, max=1, help="How far adapters speak, from noise (0) to picture (1).")
    ] = None,
    settings: options.Set = None,
    score_only: Annotated[bool, typer.Option("--score-only", help="Read what is there; make nothing.")] = False,
    known: Annotated[
        Path | None,
        typer.Option("--rows", metavar="FILE", help="A fidelity.jsonl: what is read there is not made again."),
    ] = None,
    output: Annotated[Path | None, typer.Option("-o", "--output", help="Folder of videos and results.")] = None,
    device: options.Device = "auto",
    jobs: Annotated[
        int | None,
        typer.Option(min=1, help="Processes that share the work.", show_default="one for each core, on a GPU one"),
    ] = None,
) -> int:
    """Does the motion come, and the look of the clips stay away? Measured on `starter`, whose world is known exactly.

    Trains every method on clips of one appearance, puts the motion on others, and lets readers tell what came out.
    Stopped, it goes on where it was; started twice, also on two computers with one disk, the two share the work; --rows
    takes over what was read elsewhere.

    \b
    mdctl bench fidelity --quick
    """
    from mdctl.measure import fidelity, table
    from mdctl.motion import device as machine

    same_everywhere()
    design = _design(quick, only, motion, case, prompts=prompts, train_seeds=train_seeds, prompt_seed=prompt_seed,
                     strength_until=strength_until, train=pairs(settings))  # fmt: skip
    folder = output.expanduser().resolve() if output else locations.bench() / "fidelity"
    began = time.monotonic()
    base = weights.fingerprint(weights.find("starter")[1])
    keys = {cell: fidelity.key(cell, design, base) for cell in fidelity.cells(design)}
    paths = {cell: folder / "videos" / f"{key}.npz" for cell, key in keys.items()}
    taken = _taken(known, keys, design) if known else {}
    wanted = {cell: path for cell, path in paths.items() if keys[cell] not in taken}
    if known:
        face().say(f"{len(taken)} of {len(keys)} sets of videos were read before: {known}")
    if not score_only:
        _share(design, wanted, device, jobs)
    if missing := [cell for cell, path in wanted.items() if not path.exists()]:
        raise NotFound(
            f"{len(missing)} of {len(wanted)} sets of videos are not there.",
            why=f"such as {missing[0].method} for {missing[0].motion}, seed {missing[0].train_seed}.",
            fix="mdctl bench fidelity without --score-only makes them",
        )

    read: dict[str, list[Row]] = {}
    with face().progress("reading", len(keys)) as show:
        for number, (cell, key) in enumerate(keys.items(), 1):
            read[key] = taken.get(key) or fidelity.read(cell, design, fidelity.unpack(paths[cell].read_bytes()))
            show(number, cell.method)
    result = table.document([row for found in read.values() for row in found]) | {
        "design": dataclasses.asdict(design),
        "experiment": fidelity.VERSION,
        "base": {"name": "starter", "fingerprint": base},
        "made_with": made_with() | {"device": machine.choose(device).type},
        "read_elsewhere": len(taken),
        "seconds": round(time.monotonic() - began),
    }
    atomic.write(folder / "fidelity.json", json.dumps(result, indent=1))
    atomic.write(folder / "fidelity.csv", _csv(read, design.prompt_seed))
    atomic.write(folder / "fidelity.jsonl", "".join(f"{fidelity.noted(*cell)}\n" for cell in read.items()))
    atomic.write(folder / "fidelity.png", _sheet(design, paths))
    _tell(result, folder)
    return 0


def _design(
    quick: bool,
    methods: Sequence[str] | None,
    motions: Sequence[str] | None,
    cases: Sequence[str] | None,
    train: dict[str, Any],
    **numbers: float | None,
) -> "Design":
    from mdctl.measure import fidelity

    if idle := [name for name in IDLE if name in train]:
        fix = "leave it out; there are --jobs, --train-seeds and --device"
        raise UsageFault(f"{idle[0]} changes nothing that this bench measures.", fix=fix)
    train = ({"steps": QUICK_STEPS} if quick else {}) | train
    settings = resolve(TrainSettings, "train", layers("train", None, None, train, STARTER.name))
    decay = settings.weight_decay if "weight_decay" in train else WEIGHT_DECAY
    taught = dataclasses.replace(settings, rank=settings.rank or RANK, weight_decay=decay)
    drawn = resolve(SampleSettings, "gen", layers("gen", None, None, {}, STARTER.name))
    plain = fidelity.Design(taught, strength_until=drawn.strength_until or 1)
    changes: dict[str, Any] = dict(QUICK) if quick else {}
    for name, known, given in (
        ("methods", tuple(fidelity.METHODS), methods),
        ("motions", plain.motions, motions),
        ("cases", tuple(fidelity.CLIPS), cases),
    ):
        for word in given or ():
            if word not in known:
                raise UsageFault(f"there is no '{word}' among the {name}.", fix=instead(word, known))
        if given:
            changes[name] = tuple(dict.fromkeys(given))
    changes |= {name: number for name, number in numbers.items() if number is not None}
    return dataclasses.replace(plain, **changes)


def _taken(file: Path, keys: "Mapping[Cell, str]", design: "Design") -> "dict[str, list[Row]]":
    """What was read elsewhere, by the keys of these cells; `BadInput` where a key has rows of another cell."""
    from mdctl.measure import fidelity

    cells, found = {key: cell for cell, key in keys.items()}, {}
    try:
        for key, rows in filter(None, map(fidelity.recalled, file.read_text("utf-8").splitlines())):
            if cell := cells.get(key):
                if not fidelity.belong(rows, cell, design):
                    raise ValueError(f"under {key} are not the rows of {cell.method} for {cell.motion}")
                found[key] = rows
    except FileNotFoundError as fault:
        raise NotFound(f"there is no file '{safe(str(file), 200)}'.") from fault
    except (OSError, ValueError) as fault:
        fix = "give the fidelity.jsonl of an earlier mdctl bench fidelity"
        what = f"'{safe(str(file), 200)}' holds no rows that can be used."
        raise BadInput(what, why=safe(str(fault), 200), fix=fix) from fault
    return found


# --- Making the videos, cell by cell.


def _share(design: "Design", paths: "dict[Cell, Path]", device: str, jobs: int | None) -> None:
    """Make what is missing, with helpers: two trainings on a core each are done sooner than one after the other on two.

    What helpers leave undone is made here in the end.
    """
    from mdctl.measure import fidelity
    from mdctl.motion import device as machine

    # What takes longest comes first, so that nobody waits long for the last of it.
    in_turn = sorted(paths, key=lambda cell: not fidelity.METHODS[cell.method].trained)
    missing = {cell: paths[cell] for cell in in_turn if not paths[cell].exists()}
    jobs = jobs or _jobs(machine.choose(device).type)
    jobs = max(1, min(jobs, len(missing)))
    threads = max(1, computer.cores() // jobs) if jobs > 1 else None
    with child.helped(jobs - 1, _help, design, missing, device, threads) as broken_off:
        _make(design, missing, device, threads)
        if number := broken_off():
            face().warn(f"{number} of {jobs - 1} helping processes broke off; --jobs 1 does without, and says why.")


def _help(*given: Any) -> None:
    wear(Lines(Manners(quiet=True)))
    _make(*given)


def _jobs(kind: str) -> int:
    """One for each core of a CPU that there is memory for; one where the user shares the cores out already."""
    if kind != "cpu" or "OMP_NUM_THREADS" in os.environ:
        return 1
    _, free = computer.memory()
    return max(1, min(computer.cores(), (free or 2 * JOB_BYTES) // JOB_BYTES))


def _make(design: "Design", paths: "dict[Cell, Path]", device: str, threads: int | None) -> None:
    from mdctl.measure import fidelity

    # What another process is making is left to it; what it has left undone in the end is waited for.
    for wait_s in (0.0, math.inf):
        for number, (cell, path) in enumerate(paths.items(), 1):
            if child.orphaned():
                return
            if path.exists():
                continue
            label = f"{number}/{len(paths)} {cell.motion} · {cell.method} · {cell.case} · seed {cell.train_seed}"
            with suppress(Busy), locks.writer(path, "bench", wait_s):
                if not path.exists():
                    made = _videos(design, cell, device, threads, label)
                    atomic.write(path, fidelity.pack(list(made)))


def _videos(design: "Design", cell: "Cell", device: str, threads: int | None, label: str) -> "Iterator[Frames]":
    from mdctl.measure import fidelity
    from mdctl.motion import device as machine
    from mdctl.motion import families

    machine.settle(threads, deterministic=False)
    backbone = families.load(weights.find("starter")[1], machine.choose(device), machine.DTYPES["fp32"])
    trained, state = fidelity.METHODS[cell.method].trained, None
    steps = design.train.steps or 0 if trained else 0
    with face().progress(label, steps + design.prompts) as show:
        try:
            for state in fidelity.learn(backbone, cell, design) if trained else ():
                show(state.number, "learning")
        except Diverged as fault:
            fault.fix = ("--set learning_rate=1e-4",)
            raise
        for number, frames in enumerate(fidelity.videos(backbone, cell, design, state), 1):
            show(steps + number, "making videos")
            yield frames


# --- Showing what came out.

SHOWN = {"appearance": "APPEARANCE", "motion": "MOTION", "motion_hit": "HIT", "joint": "JOINT", "leakage": "LEAKAGE",
         "static": "STATIC"}  # fmt: skip


def _tell(result: dict[str, Any], folder: Path) -> None:
    from mdctl.measure.fidelity import DEVELOPMENT

    if face().manners.json:
        face().sheet([], result)
        return
    rows, several = [], result["design"]["train_seeds"] > 1
    for case, found in result["cases"].items():
        for name, method in found["methods"].items():
            cells = [f"{method[key]:.2f}{_within(method['ci'][key], '.2f')}" for key in SHOWN]
            rows.append([case, name, *cells, "x".join(map(str, method["shape"].values()))])
    names = [str(folder / f"fidelity.{kind}") for kind in ("json", "csv", "jsonl", "png")]
    face().answer(["CASE", "METHOD", *SHOWN.values(), "N"], rows, [], names)
    for case, found in result["cases"].items():
        for motion, methods in found["motions"].items():
            shares = ", ".join(f"{name} {one['motion']:.2f}" for name, one in methods.items())
            face().say(f"{case}, {motion}: {shares}{' (settings were chosen on it)' * (motion in DEVELOPMENT)}")
        for one in found["differences"]:
            where = _within(one["ci"], "+.3f")
            clear = ", clear among all of these" * (several and one["p_holm"] < CLEAR)
            face().say(f"{case}: {one['of']} - {one['to']} in {one['in']}: {one['mean']:+.3f}{where}{clear}")
    walks = result["chance"].values()
    share = sum(one["motion"] for one in walks) / len(walks)
    face().say(f"A random walk has the motion in {share:.3f} of all cases. N is motions x trainings x prompts. Brackets"
               " are 95 % intervals over those of them of which there are five.")  # fmt: skip
    if not several:
        face().say(ONE_TRAINING)
    face().done(f"Table, rows and a sheet of videos: {folder}")


def _within(interval: Sequence[float] | None, how: str) -> str:
    return f" [{interval[0]:{how}}, {interval[1]:{how}}]" if interval else ""


def _csv(read: "Mapping[str, Sequence[Row]]", prompt_seed: int) -> str:
    buffer = io.StringIO()
    records = [
        {"key": key, "prompt_seed": prompt_seed}
        | dataclasses.asdict(row)
        | {
            "leaked": " ".join(row.leaked),
            "appearance": round(row.appearance, 4),
            "moved": row.moved,
            "joint": row.joint,
        }
        for key, rows in read.items()
        for row in rows
    ]
    writer = csv.DictWriter(buffer, list(records[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(records)
    return buffer.getvalue()


def _sheet(design: "Design", paths: "dict[Cell, Path]") -> bytes:
    """The clips of every motion above one video of each method, all from the same prompt and noise.

    Of what was read elsewhere there may be no video here.
    """
    from mdctl.measure import fidelity
    from mdctl.media import preview, world

    rows: list[tuple[str, Frames]] = []
    sections = {}
    for motion in design.motions:
        sections[len(rows)] = motion
        clips = fidelity.clips(motion, design.cases[0], design)
        rows.append((f"clip: {fidelity.caption(motion)}", clips[0]))
        prompt = world.prompt(fidelity.asked(motion, design)[0], motion)
        for cell, path in paths.items():
            first = cell.case in (design.cases[0], "any") and cell.train_seed == 0
            if cell.motion == motion and first and path.exists():
                rows.append((f"{cell.method}: {prompt}", fidelity.unpack(path.read_bytes())[0]))
    return preview.contact_sheet(rows, height=64, sections=sections)
