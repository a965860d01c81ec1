"""What `train --dry-run` tells: every setting with where it comes from, and what the training will take."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mdctl.cli.choose import layers, origins
from mdctl.cli.create import fitting
from mdctl.cli.create.fork import Wish
from mdctl.cli.create.learning import example, long
from mdctl.cli.create.previews import EVERY, Previews
from mdctl.cli.face import face
from mdctl.cli.view.look import size
from mdctl.errors import NoSpace
from mdctl.settings import TrainSettings, from_table
from mdctl.workspace import atomic, locations, presets
from mdctl.workspace.project import Project
from mdctl.workspace.runs import Run, most_bytes

Table = Mapping[str, Any]

COUNTED = ("steps", "weight_decay")
"""What follows from the number of clips where nobody says it."""

UNTIMED = "not known: no training like this was done on this computer yet, and the first one tells"

NONE = "none: it is trained already"


@dataclass(frozen=True)
class Draft:
    """A run that is only thought of."""

    project: str
    """The name of the project."""

    settings: Table
    """What would be frozen."""

    stands: int = 0
    """The step that it would go on from."""


@dataclass(frozen=True)
class Outlook:
    """What a training will take; None where nobody can know yet."""

    settled: Table
    """Settings that only the device and the base model settle."""

    seconds: float | None
    memory_bytes: float | None
    budget_bytes: float | None
    """What may be used of a GPU; None where it is the computer's memory."""

    disk_bytes: int
    lacks_memory: NoSpace | None
    lacks_disk: NoSpace | None
    """Why it does not fit, with what would."""

    def facts(self) -> Iterator[tuple[str, str]]:
        """What it will take, in words."""
        if self.memory_bytes is not None:
            whose = (
                f"of {self.budget_bytes / 1e9:.1f} GB" if self.budget_bytes else "of the computer's, by the last time"
            )
            yield "memory", f"about {self.memory_bytes / 1e9:.1f} GB {whose}"
        else:
            yield "memory", self.lacks_memory.why if self.lacks_memory else UNTIMED
        if self.seconds is not None:
            yield (
                "time",
                f"about {long(self.seconds)} by the last time, previews not counted" * (self.seconds > 0) or NONE,
            )
        else:
            yield "time", UNTIMED
        yield "disk", f"about {size(self.disk_bytes)}, {size(atomic.free_bytes(locations.home()))} free"

    def record(self) -> dict[str, Any]:
        """The same for programs."""
        gpu = self.budget_bytes is not None
        figures = {
            "vram_gb" if gpu else "memory_gb": self.memory_bytes and round(self.memory_bytes / 1e9, 2),
            "seconds": None if self.seconds is None else round(self.seconds),
            "disk_mb": math.ceil(self.disk_bytes / 1e6),
        }
        return {**figures, "fits": not (self.lacks_memory or self.lacks_disk)}


def show(
    project: Project, last: Run | None, frozen: Table, wish: Wish, device: str, vram: str, previews: Previews | None
) -> int:
    """Tell all that can be known of a training before it; `NoSpace` tells in the end what would make it fit."""
    forked = frozen.get("forked", {})
    draft = Draft(project.name, frozen, last.step if last else forked.get("step", 0))
    found = _foreseen(draft, device, vram, _every(frozen, previews))
    came = _came(project, last, frozen, wish)
    begins = f"a new one, from step {forked['step']} of {forked['run']}" if forked else "a new one"
    facts = [("run", f"{last.id}, {last.status}" if last else begins), ("model", frozen["model"]["name"])]
    shown = {**frozen["clips"], **frozen["train"], **found.settled}
    words = {key: str(value).lower() if isinstance(value, bool) else str(value) for key, value in shown.items()}
    widest = max(map(len, words.values()))
    facts += [(key, f"{value:<{widest}}  {came[key]}") for key, value in words.items()]
    facts.append(("previews", _drawn(project, frozen, previews)))
    face().sheet(
        [*facts, *found.facts()],
        {
            **frozen,
            "train": {**frozen["train"], **found.settled},
            "origin": {key: came[key] for key in words},
            **found.record(),
            "resume_from": last.id if last else None,
        },
    )
    if fault := found.lacks_memory or found.lacks_disk:
        raise fault
    return 0


# --- Where settings come from.


def _came(project: Project, last: Run | None, frozen: Table, wish: Wish) -> dict[str, str]:
    """Of every setting of a training: what it was taken from."""
    found = {"rank": "base model", "threads": "computer", "recompute": "device", "precision": "device"}
    if then := last.id if last else frozen.get("forked", {}).get("run"):
        found |= dict.fromkeys([*frozen["clips"], *frozen["train"]], f"run {then}")
        tables = presets.read(wish.template).tables if wish.template and not last else {}
        for table in ("clips", "train"):
            found |= dict.fromkeys(tables.get(table, {}), f"template {wish.template}")
        changed = [key for key in wish.asked if not last or last.settings["train"].get(key) != frozen["train"].get(key)]
        return found | dict.fromkeys(changed, "flag")
    base = frozen["model"]["name"]
    train = origins(layers("train", project, wish.template, wish.asked, base))
    found |= dict.fromkeys(frozen["clips"], "base model") | origins(layers("clips", project, wish.template, {}))
    found |= {key: "built-in" for key in frozen["train"] if key not in COUNTED} | dict.fromkeys(COUNTED, "clips")
    if frozen["learns"] == "appearance":
        found["shared_spatial"] = "built-in"
    left_open = found.keys() - frozen["train"].keys() - frozen["clips"].keys()
    return found | {key: source for key, source in train.items() if key not in left_open}


def _every(frozen: Table, previews: Previews | None) -> int:
    if previews is None:
        return 0
    return int(previews.every or frozen.get("previews", {}).get("every") or EVERY)


def _drawn(project: Project, frozen: Table, previews: Previews | None) -> str:
    if previews is None:
        return "none"
    every, steps = _every(frozen, previews), frozen["train"]["steps"]
    if every > steps:
        return f"none in {steps} steps; the first would come after {every}"
    begun = frozen.get("previews", {}).get("prompts")
    prompts = previews.prompts or begun or [example(project, frozen["model"]["name"])]
    return f"every {every} steps: {'; '.join(prompts)}"


# --- What it takes.


def _foreseen(draft: Draft, device_name: str, vram: str, every: int) -> Outlook:
    from mdctl.motion import device as machine
    from mdctl.motion import families

    folder = Path(draft.settings["model"]["folder"])
    settings = from_table(TrainSettings, draft.settings["train"], "train")
    device = machine.choose(device_name)
    threads = machine.settle(settings.threads, deterministic=False)
    precision = machine.choose_precision(settings.precision, device)
    looks = 1 if settings.shared_spatial else len(draft.settings["clip"])
    found = families.anatomy(folder, rank=settings.rank)
    moves = draft.settings["learns"] != "appearance"
    light = 4 * (moves * found.temporal_parameters + looks * found.spatial_parameters)
    disk = most_bytes(light, settings.steps or 0, settings.save_every, every)
    settled: dict[str, Any] = {"rank": found.rank, "threads": threads, "precision": precision}
    seconds = memory = budget = too_small = None
    try:
        fit = fitting.fit(draft, settings, folder, device, precision, vram)
    except NoSpace as fault:
        too_small = fault
    else:
        seconds = fit.seconds(draft.settings, draft.stands)
        memory, budget = fit.needed, fit.budget
        settled["recompute"] = fit.level != "none"
    settled = {key: value for key, value in settled.items() if key not in draft.settings["train"]}
    return Outlook(settled, seconds, memory, budget, disk, too_small, _too_large(draft, disk))


def _too_large(draft: Draft, disk: int) -> NoSpace | None:
    free = atomic.free_bytes(locations.home())
    if disk <= free:
        return None
    return NoSpace(
        f"not enough room on the disk to train '{draft.project}'.",
        why=f"its saves take about {size(disk)}, and {size(free)} are free.",
        saved="nothing was begun.",
        fix=(
            "mdctl cache prune --all",
            "mdctl trash empty",
            f"mdctl train {draft.project} --shared-spatial --no-preview    takes less",
        ),
    )
