"""`bench run` and `bench folder`: benchmarks on the user's own data, and rows of other systems beside them."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mdctl.cli import options
from mdctl.cli.bench import make, table
from mdctl.cli.bench import pairs as page
from mdctl.cli.bench.asked import MANIFEST, folder_of, methods_of, seeded, units_of
from mdctl.cli.bench.court import Court
from mdctl.cli.bench.judges import (
    AllowMissing,
    Clip,
    ClipB32,
    Compat,
    Dino,
    Judges,
    Pick,
    assembled,
    known_kinds,
)
from mdctl.cli.bench.make import Plan
from mdctl.cli.choose import layers, resolve
from mdctl.cli.create import start
from mdctl.cli.face import face
from mdctl.cli.signals import Stopped
from mdctl.errors import NotFound, UsageFault
from mdctl.settings import ClipSettings, parse_size, to_table
from mdctl.workspace import atomic, locks, weights

if TYPE_CHECKING:
    from mdctl.measure.campaign import Item

JUDGED = 16


Only = Annotated[
    list[str] | None,
    typer.Option(help="A method; may be given more than once.", show_default="base, coupled, no-ad, full"),
]
Steps = Annotated[int | None, typer.Option(min=1, help="Of each training.", show_default=options.STEPS)]
TrainSeeds = Annotated[int, typer.Option(min=1, help="Trainings of each unit; three or more for a claim.")]
Seeds = Annotated[str | None, typer.Option(help="Such as 0-3 or 0,7.", show_default="as the manifest")]
SampleSteps = Annotated[int | None, typer.Option(help="Denoising steps.", show_default="30")]
Guidance = Annotated[float | None, typer.Option(help="How closely to keep to the prompt.", show_default="as the model")]
Judged = Annotated[int, typer.Option("--judged-frames", min=2, help="Frames that are looked at, of every video.")]
Output = Annotated[Path | None, typer.Option("-o", "--output", help="Folder of videos and results.")]
ScoreOnly = Annotated[bool, typer.Option("--score-only", help="Read what is there; make nothing.")]
Pairs = Annotated[bool, typer.Option("--pairs", help="Also a page on which people compare videos.")]


def bench_run(
    manifest: Annotated[
        Path | None,
        typer.Argument(metavar="MANIFEST", help="JSONL, or a folder of LOVEU-TGVE or MTBench.", show_default=False),
    ] = None,
    only: Only = None,
    model: options.Model = None,
    template: options.Template = None,
    steps: Steps = None,
    rank: options.Rank = None,
    lr: options.Rate = None,
    train_seeds: TrainSeeds = 1,
    seeds: Seeds = None,
    sample_steps: SampleSteps = None,
    guidance: Guidance = None,
    frames: options.NumFrames = None,
    fps: options.Fps = None,
    size: options.Size = None,
    device: options.Device = "auto",
    precision: options.Precision = None,
    threads: options.Threads = None,
    clip: Clip = None,
    pick: Pick = None,
    dino: Dino = None,
    clip_b32: ClipB32 = None,
    judged_frames: Judged = JUDGED,
    compat: Compat = None,
    score_only: ScoreOnly = False,
    allow_missing: AllowMissing = False,
    pairs: Pairs = False,
    output: Output = None,
    print_template: Annotated[
        str | None, typer.Option(help="Print a manifest to fill in, such as ucf-like, and stop.", show_default=False)
    ] = None,
    dry_run: options.DryRun = False,
) -> int:
    """Train, generate and score every unit of a manifest with every method, in the columns of the paper's tables.

    Stopped, the same line goes on where it was; changed, it makes again only what the change touches.

    \b
    mdctl bench run --print-template ucf-like > bench.jsonl
    mdctl bench run bench.jsonl --only base --only full
    """
    from mdctl.measure import manifest as manifests

    if print_template is not None:
        face().result(manifests.template(print_template).splitlines(), {"template": print_template})
        return 0
    if manifest is None:
        raise UsageFault("which manifest?", fix=("mdctl bench run bench.jsonl", "mdctl bench folder DIR"))
    units, folder = units_of(manifest), folder_of(manifest, output)
    width, height = parse_size(size) if size else (None, None)
    plan = Plan(
        folder=folder,
        units=seeded(units, seeds),
        methods=methods_of(only),
        train_seeds=train_seeds,
        seeds=seeds,
        model=model or "auto",
        template=template,
        train={"steps": steps, "rank": rank, "learning_rate": lr, "precision": precision, "threads": threads},
        clips={"frames": frames, "fps": fps, "width": width, "height": height},
        gen={"steps": sample_steps, "guidance": guidance, "precision": precision},
        device=device,
        threads=threads,
    )
    kinds = known_kinds(compat)
    if dry_run:
        _preview(plan)
        return 0
    judges = assembled(clip, pick, dino, clip_b32)
    with locks.writer(folder / "work", "bench"):
        if manifest.is_dir():
            atomic.write(folder / MANIFEST, manifests.write(units, folder))
            face().say(f"{len(units)} units: {folder / MANIFEST}")
        _go(plan, judges, kinds, judged_frames, score_only, allow_missing, pairs)
    return 0


def bench_folder(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A folder with a folder for each motion.")],
    only: Only = None,
    model: options.Model = None,
    template: options.Template = None,
    steps: Steps = None,
    seeds: Seeds = None,
    sample_steps: SampleSteps = None,
    frames: options.NumFrames = None,
    fps: options.Fps = None,
    size: options.Size = None,
    device: options.Device = "auto",
    threads: options.Threads = None,
    pairs: Pairs = False,
    output: Output = None,
    dry_run: options.DryRun = False,
) -> int:
    """Benchmark folders of clips: each holds videos of one motion, caption.txt, and prompts.txt with one a line.

    Writes the manifest that it understood before anything else, and goes on as `bench run` with it, which has more
    options.

    \b
    mdctl bench folder motions/ --only base --only full
    """
    from mdctl.measure import manifest as manifests

    if not folder.expanduser().is_dir():
        raise NotFound(f"there is no folder {folder}.", fix="mdctl bench folder DIR")
    source = folder.expanduser().resolve()
    units, out = manifests.from_folder(source), folder_of(source, output)
    if dry_run:
        _preview(Plan(out, seeded(units, seeds), methods_of(only)))
        return 0
    path = out / MANIFEST
    atomic.write(path, manifests.write(units, out))
    face().say(f"{len(units)} units understood: {path}")
    return bench_run(
        path, only, model, template, steps, seeds=seeds, sample_steps=sample_steps, frames=frames, fps=fps, size=size,
        device=device, threads=threads, pairs=pairs, output=out,
    )  # fmt: skip


# --- What would be done, and what came of it.


def _preview(plan: Plan) -> None:
    from mdctl.measure import campaign, fidelity

    videos = list(campaign.items(plan.units, {m: fidelity.METHODS[m].trained for m in plan.methods}, plan.train_seeds))
    trained = [m for m in plan.methods if fidelity.METHODS[m].trained]
    facts: dict[str, Any] = {
        "units": len(plan.units),
        "prompts": sum(len(unit.eval) for unit in plan.units),
        "methods": ", ".join(plan.methods),
        "trainings": len(trained) * len(plan.units) * plan.train_seeds,
        "videos": len(videos),
        "folder": str(plan.folder),
    }
    face().sheet([(name, str(value)) for name, value in facts.items()], facts)


def _go(
    plan: Plan,
    judges: Judges,
    kinds: Sequence[str],
    frames: int,
    score_only: bool,
    allow_missing: bool,
    pairs: bool,
) -> None:
    try:
        if not score_only:
            make.make(plan, make.cells(plan, make.prepared(plan)))
        _judge(plan, judges, kinds, frames, allow_missing, pairs)
    except (KeyboardInterrupt, Stopped):
        face().say("Stopped; what is finished is kept, and the same line goes on.")
        raise


def _judge(plan: Plan, judges: Judges, kinds: Sequence[str], frames: int, allow_missing: bool, pairs: bool) -> None:
    from mdctl.measure import campaign, fidelity, score

    card, place = weights.find(plan.model)
    own = resolve(ClipSettings, "clips", layers("clips", None, plan.template, plan.clips))
    shape = start.shaped(own, card)
    methods = {name: fidelity.METHODS[name].trained for name in plan.methods}
    expected = list(campaign.items(plan.units, methods, plan.train_seeds))
    found = {item: path for item in expected if (path := campaign.made(plan.folder, item))}
    court = Court(plan.folder, frames, judges, kinds, shape, plan.folder / "base")
    rows = [*court.rows([*_references(plan), *found.items()])]
    systems = table.earlier(plan.folder, plan.units, [campaign.REFERENCE, *fidelity.METHODS])
    absent = table.absent(systems, plan.units, {row["method"]: False for row in systems})
    extra = [path for name in methods for path in _extras(plan.folder / name, list(found.values()))]
    about = {
        "base": {"name": card.name, "fingerprint": weights.fingerprint(place)},
        "clips": to_table(shape),
        "train": {name: value for name, value in plan.train.items() if value is not None},
        "gen": {name: value for name, value in plan.gen.items() if value is not None},
        "template": plan.template,
        "methods": list(plan.methods),
        "train_seeds": plan.train_seeds,
        "seeds": plan.seeds,
        "judged": {"version": score.VERSION, "frames": frames, **judges.ids},
    }
    missing = {item: table.ABSENT for item in expected if item not in found} | court.unread
    if pairs:
        page.write(plan.folder, {item: path for item, path in found.items() if item not in court.unread})
    table.conclude(plan.folder, [*rows, *systems], missing, extra, kinds, about, allow_missing, absent)


def _references(plan: Plan) -> "list[tuple[Item, Path]]":
    """Every clip, to be judged by itself."""
    from mdctl.measure.campaign import REFERENCE, Item
    from mdctl.measure.manifest import Wish

    return [
        (Item(REFERENCE, unit, Wish(f"clip{n}", REFERENCE, ""), 0, 0), make.clip_file(plan.folder, path))
        for unit in plan.units
        for n, path in enumerate(unit.references, 1)
    ]


def _extras(folder: Path, known: Sequence[Path]) -> list[Path]:
    from mdctl.measure import campaign

    return campaign.extras(folder, known) if folder.is_dir() else []
