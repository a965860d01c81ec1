"""`bench run`, its making: prepare, train, generate. What is finished under its key is never done again."""

import gc
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mdctl.cli.choose import layers, resolve
from mdctl.cli.create import learning, rendering, start, train, voices
from mdctl.cli.create.videos import discard, settled
from mdctl.cli.face import face
from mdctl.cli.signals import Stopped
from mdctl.errors import BadInput, Diverged, MdctlError
from mdctl.settings import ClipSettings, SampleSettings, to_table
from mdctl.text import safe, slug
from mdctl.workspace import atomic
from mdctl.workspace.project import Project
from mdctl.workspace.runs import Run

if TYPE_CHECKING:
    from mdctl.measure.campaign import Item
    from mdctl.measure.manifest import Unit
    from mdctl.media.frames import Frames

HOW_NOT_WHAT = ("threads", "save_every", "deterministic", "recompute")
"""Settings of a training that say how it is computed: another value makes no other training."""

MOST_FAULTS = 5


@dataclass(frozen=True)
class Plan:
    """What is to be made, with which settings, and where."""

    folder: Path
    units: "Sequence[Unit]"
    methods: Sequence[str]
    train_seeds: int = 1
    seeds: str | None = None
    """As they were given, where they are not those of the manifest."""

    model: str = "auto"
    template: str | None = None
    train: Mapping[str, Any] = field(default_factory=dict)
    """Settings that were given; None leaves one open."""

    clips: Mapping[str, Any] = field(default_factory=dict)
    gen: Mapping[str, Any] = field(default_factory=dict)
    device: str = "auto"
    threads: int | None = None

    @property
    def work(self) -> Path:
        """The home of its projects: `mdctl --home` with this folder shows and uses what was trained."""
        return self.folder / "work"


@dataclass(frozen=True)
class Cell:
    """One training, or none for the base model, and the videos that come of it."""

    method: str
    project: Project
    trained: Mapping[str, Any]
    """All settings of the training, resolved."""

    gen: SampleSettings
    train_key: str | None
    keys: "Mapping[Item, str]"
    """The key of each video."""

    label: str


def video_of(folder: Path, item: "Item") -> Path:
    """Where a video that mdctl makes lies."""
    return folder / f"{item.place}.mp4"


# --- Prepare.


def prepared(plan: Plan) -> dict[str, Project]:
    """A project for each unit, in the campaign's own home; `BadInput` names all clips that cannot be used at once."""
    from mdctl.measure import campaign
    from mdctl.media import clips as media

    own = resolve(ClipSettings, "clips", layers("clips", None, plan.template, plan.clips))
    found, faults = dict[str, Project](), list[str]()
    with face().progress("preparing clips", len(plan.units)) as show:
        for number, unit in enumerate(plan.units, 1):
            if not unit.caption and not unit.captions:
                faults.append(f"{unit.unit} has no caption")
                continue
            paths = [clip_file(plan.folder, reference) for reference in unit.references]
            hashes = [media.digest(path) for path in paths]
            about = campaign.key(clips=hashes, caption=unit.caption, captions=unit.captions, own=to_table(own))
            name = f"{slug(unit.unit, 40) or 'unit'}-{about[:8]}"
            folder = plan.work / "projects" / name
            faults += [] if folder.is_dir() else _create(plan, unit, paths, name, own)
            found[unit.unit] = Project(folder)
            show(number, safe(unit.unit, 40))
    if faults:
        more = f"; and {len(faults) - MOST_FAULTS} more" if len(faults) > MOST_FAULTS else ""
        raise BadInput(
            f"{len(faults)} of the manifest's clips and captions cannot be used.",
            why="; ".join(faults[:MOST_FAULTS]) + more,
            fix="mend or leave out those units, or take fewer frames: --frames, --fps",
        )
    return found


def _create(plan: Plan, unit: "Unit", paths: Sequence[Path], name: str, own: ClipSettings) -> list[str]:
    """Make the project of a unit, or tell what is wrong with its clips."""
    from mdctl.media import clips as media

    shape = start.shaped(own, start.card_for(plan.model))
    looks = [
        media.look(path, num_frames=shape.frames, fps=shape.fps, width=shape.width, height=shape.height)
        for path in paths
    ]
    if bad := [one for one in looks if one.status == "left_out"]:
        return [f"{unit.unit}, {safe(one.name, 60)}: {', '.join(one.reasons)}" for one in bad]
    captions = unit.captions or ("",) * len(paths)
    clips = [start.new_clip(one, None, caption) for one, caption in zip(looks, captions, strict=True)]
    Project.create(
        name,
        caption=" ".join((unit.caption or captions[0]).split()),
        clips=clips,
        table={"clips": to_table(own)} if to_table(own) else {},
        inside=plan.work / "projects",
    )
    return []


def clip_file(folder: Path, reference: Path) -> Path:
    """The clip itself; of a folder of frames a video, which is made once."""
    from mdctl.media import clips as media
    from mdctl.media import ffmpeg

    if not reference.is_dir():
        return reference
    path = folder / "work" / "clips" / f"{media.digest(reference)[:24]}.mp4"
    if not path.is_file():
        frames, fps = media.spread(reference, 10_000)
        height, width = (edge - edge % 2 for edge in frames.shape[1:3])  # what mp4 can hold
        atomic.write(path, ffmpeg.encode(frames[:, :height, :width], fps, format="mp4"))
    return path


# --- What there is to do.


def cells(plan: Plan, projects: Mapping[str, Project]) -> list[Cell]:
    """Every training with its videos, method by method, each with its keys."""
    from mdctl.measure import campaign, fidelity

    found = list[Cell]()
    for name in plan.methods:
        method = fidelity.METHODS[name]
        every = list(campaign.items(plan.units, {name: method.trained}, plan.train_seeds))
        for unit, train_seed in dict.fromkeys((item.unit, item.train_seed) for item in every):
            project = projects[unit.unit]
            flags = {**plan.train, **method.changes, "seed": train_seed}
            trained = train.resolved(project, flags, plan.template, plan.model)
            sources = layers("gen", project, plan.template, plan.gen, trained["model"]["name"])
            asked = resolve(SampleSettings, "gen", sources)
            gen = settled(replace(asked, follow=0.0), trained)  # all methods start from the same free noise
            train_key = _train_key(trained, method.coupled) if method.trained else None
            about = {"version": campaign.VERSION, "train": train_key, "base": trained["model"]["fingerprint"],
                     "gen": to_table(gen)}  # fmt: skip
            keys = {
                item: campaign.key(stage="video", **about, prompt=item.wish.prompt, seed=item.seed)
                for item in every
                if (item.unit, item.train_seed) == (unit, train_seed)
            }
            again = f" · training {train_seed}" if plan.train_seeds > 1 and method.trained else ""
            found.append(Cell(name, project, trained, gen, train_key, keys, f"{name} · {unit.unit}{again}"))
    return found


def _train_key(trained: Mapping[str, Any], coupled: bool) -> str:
    from mdctl.measure import campaign

    settings = {name: value for name, value in trained["train"].items() if name not in HOW_NOT_WHAT}
    clips = [{name: clip.get(name) for name in ("sha256", "caption", "trim")} for clip in trained["clip"]]
    about = {"train": settings, "shape": trained["clips"], "clips": clips, "base": trained["model"]["fingerprint"]}
    return campaign.key(stage="train", version=campaign.VERSION, coupled=coupled, **about)


def finished(folder: Path, item: "Item", key: str) -> bool:
    """Whether a video is there, whole, and made of these very inputs."""
    from mdctl.media import clips as media

    path = video_of(folder, item)
    with suppress(OSError, ValueError, AttributeError):
        record = json.loads(path.with_suffix(".json").read_text("utf-8"))
        return bool(record.get("key") == key and record.get("sha256") == media.digest(path))
    return False


# --- Train and generate.


def make(plan: Plan, todo: Sequence[Cell]) -> None:
    """Make every video that is not finished, each kept before the next is begun."""
    total, done = sum(len(cell.keys) for cell in todo), 0
    base: rendering.Studio | None = None
    warned = False
    for cell in todo:
        items = [(item, key) for item, key in cell.keys.items() if not finished(plan.folder, item, key)]
        done += len(cell.keys) - len(items)
        if not items:
            continue
        if cell.train_key:
            base = None
            gc.collect()  # a network with adapters is full of circles, and the next one needs its room
            studio, where = _trained(plan, cell)
        else:
            precision = cell.gen.precision
            base = base or rendering.load_base(cell.trained["model"]["name"], precision, plan.device, plan.threads)
            studio, where = base, ""
        if not warned:
            _warn_unread(studio, plan.units)
            warned = True
        for item, key in items:
            done += 1
            embeds = rendering.embed(studio, item.wish.prompt, cell.gen.negative)
            rendering.require_effect(studio, embeds, cell.gen, item.seed, where)
            label = f"{done}/{total} {cell.label} · {item.wish.id}"
            frames = rendering.draw(studio, embeds, cell.gen, item.seed, label)
            _keep(plan.folder, item, key, frames, cell, studio.made_with)


def _trained(plan: Plan, cell: Cell) -> tuple[rendering.Studio, str]:
    """The base model with the motion of this cell, trained as far as it was not yet."""
    from mdctl.measure import fidelity

    project = cell.project
    try:
        with project.locked("train"):
            last = next((run for run in reversed(project.runs()) if run.settings.get("key") == cell.train_key), None)
            learns = "coupled" if fidelity.METHODS[cell.method].coupled else "motion"
            about = {"key": cell.train_key, "method": cell.method, "learns": learns}
            usable = last if last and learning.usable(last) else None
            run = usable or Run.create(project, {**cell.trained, **about})
            if not run.finished:
                face().say(f"training {cell.label}")
                end = learning.follow(project, run, plan.device)
                if end.exit_code:
                    raise Stopped(end.exit_code - 128)
            save = run.latest()
            assert save is not None, "a run that is finished has a save"
        voice = voices.own(run, save, cell.gen.gamma)
        studio = rendering.load([voice], cell.gen.precision, plan.device, plan.threads)
    except MdctlError as fault:
        # The project lies in the campaign's home, and its commands are true there.
        home = f"mdctl --home {start.quoted(str(plan.work))} "
        fault.fix = tuple(line.replace("mdctl ", home, 1) if line.startswith("mdctl ") else line for line in fault.fix)
        if isinstance(fault, Diverged):  # a campaign takes its rate from the template and the configuration
            fault.fix = ("mdctl config set train.learning_rate 1e-4     then this line again",)
        raise
    return studio, f"save {save.step} of '{project.name}'"


def _warn_unread(studio: rendering.Studio, units: "Sequence[Unit]") -> None:
    """Tell once which words of all prompts the base model does not read."""
    unread: dict[str, list[str]] = {}
    for unit in units:
        for text in (unit.caption, *(wish.prompt for wish in unit.eval)):
            unread |= studio.backbone.unread(rendering.readable(text))
    if unread:
        shown = ", ".join(rendering.named(unread)[:12]) + ("…" if len(unread) > 12 else "")
        face().warn(f"the base model does not read these words of captions and prompts: {shown}.")


def _keep(folder: Path, item: "Item", key: str, frames: "Frames", cell: Cell, made_with: Mapping[str, Any]) -> None:
    """Write a video and its record; what lay there and was made of other inputs goes to the trash."""
    from mdctl.media import clips as media
    from mdctl.media import ffmpeg

    path = video_of(folder, item)
    content = ffmpeg.encode(frames, cell.gen.fps or 8, format="mp4", comment=f"mdctl {key[:16]}")
    for old in _there(path):
        discard(old)
    atomic.write(path, content)
    record = {
        "schema": 1,
        "key": key,
        "sha256": media.digest(path),
        "unit": item.unit.unit,
        "id": item.wish.id,
        "method": item.method,
        "train_seed": item.train_seed,
        "seed": item.seed,
        "prompt": item.wish.prompt,
        "settings": to_table(cell.gen),
        "train": dict(cell.trained["train"]) if cell.train_key else None,
        **made_with,
    }
    atomic.write(path.with_suffix(".json"), json.dumps(record, indent=1) + "\n")
    face().event({"event": "video", "path": str(path), "prompt": item.wish.prompt, "seed": item.seed})


def _there(path: Path) -> Iterator[Path]:
    yield from (old for old in (path, path.with_suffix(".json")) if old.is_file())
