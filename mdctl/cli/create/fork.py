"""`train --fork`: a new run that learns on from what another has learned, with other settings; the other one stays."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mdctl.cli.face import face
from mdctl.errors import BadInput, NotFound, Refused
from mdctl.settings import ClipSettings, TrainSettings, from_table
from mdctl.text import safe
from mdctl.workspace import documents, presets, weights
from mdctl.workspace.project import Project
from mdctl.workspace.runs import Run
from mdctl.workspace.saves import Save

if TYPE_CHECKING:
    from mdctl.motion.training import TrainState

Table = Mapping[str, Any]


@dataclass(frozen=True)
class Wish:
    """What a line of `train` asks for."""

    flags: Table
    """Settings; those that are None or `auto` are open."""

    template: str | None = None
    model: str | None = None

    @property
    def asked(self) -> dict[str, Any]:
        """The settings that are not open."""
        return {key: value for key, value in self.flags.items() if value not in (None, "auto")}


def find(project: Project, word: str) -> Run:
    """The run that a number, as `show` counts them, or an id means."""
    runs = project.runs()
    if word.isascii() and word.isdigit() and 1 <= int(word) <= len(runs):
        return runs[int(word) - 1]
    if known := [run for run in runs if run.id == word]:
        return known[0]
    raise NotFound(
        f"'{project.name}' has no run '{safe(word, 80)}'.", why=f"it has {len(runs)}.", fix=f"mdctl show {project.name}"
    )


def hindrances(run: Run, wish: Wish) -> list[str]:
    """What a wish differs in that no weights can be carried over: the base model, and the width of the adapters."""
    frozen = run.settings
    told = []
    if wish.model and weights.fingerprint(weights.find(wish.model)[1]) != frozen["model"]["fingerprint"]:
        told.append(f"model: {frozen['model']['name']} in the run, {wish.model} now")
    rank = _train(run, wish).get("rank")
    if rank != frozen["train"].get("rank"):
        told.append(f"rank: {frozen['train'].get('rank')} in the run, {rank} now")
    return told


def offered(project: Project, run: Run, wish: Wish) -> list[str]:
    """The line that makes a new run out of this one's last save, none where that cannot be."""
    if hindrances(run, wish):
        return []
    return [f"{_line(project, run, wish.asked.get('steps', run.steps))}     a new run from what it learned"]


def settings(project: Project, run: Run, wish: Wish) -> dict[str, Any]:
    """Every setting of a run that begins where another stands: that one's own, but for what is asked for now.

    `BadInput` lists what cannot be carried over, `NotFound` is for a run without a save.
    """
    if differing := hindrances(run, wish):
        raise BadInput(
            f"run {run.id} of '{project.name}' cannot be carried over into one of other weights.",
            why="; ".join(differing),
            saved="it is untouched.",
            fix=f"mdctl train {project.name} --fresh ...",
            code="MD-RUN-DIFFERS",
        )
    wanted, save = _wanted(project, run, wish), _newest(run)
    if (steps := wanted["train"].get("steps") or 0) <= save.step:
        raise BadInput(
            f"run {run.id} of '{project.name}' has taken {save.step} steps, and a run that goes on from it takes more.",
            why=f"{steps} are asked for.",
            saved="it is untouched.",
            fix=_line(project, run, save.step),
        )
    return {**wanted, "forked": {"run": run.id, "step": save.step}}


def unfinished(project: Project, run: Run, wish: Wish) -> Run | None:
    """The project's last run, where it is what this same wish made of another run, and was stopped on the way."""
    last = next(reversed(project.runs()), None)
    if last is None or last.finished or origin(last)[0] != run.id or hindrances(run, wish):
        return None
    wanted, frozen = documents.plain(_wanted(project, run, wish)), dict(last.settings)
    # What was left open has been settled by its first step.
    frozen["train"] = {key: value for key, value in frozen["train"].items() if key in wanted["train"]}
    return last if all(frozen.get(key) == value for key, value in wanted.items()) else None


def _wanted(project: Project, run: Run, wish: Wish) -> dict[str, Any]:
    frozen = run.settings
    clips = {**frozen["clips"], **(presets.read(wish.template).tables["clips"] if wish.template else {})}
    from_table(ClipSettings, clips, "clips")
    return {
        "learns": frozen.get("learns", "motion"),
        "template": wish.template or frozen.get("template"),
        "model": frozen["model"],
        "clips": clips,
        "train": _train(run, wish),
        "clip": [clip.frozen(project.record.caption) for clip in project.clips],
    }


def origin(run: Run) -> tuple[str, int]:
    """From which run, and which step of it, a run has set out; ('', 0) where it began from nothing."""
    known = run.settings.get("forked", {})
    return str(known.get("run", "")), int(known.get("step", 0))


def carry_over(project: Project, run: Run, state: "TrainState") -> None:
    """Let a run that has no save of its own yet go on from the one that it set out from; what begins anew is told."""
    from mdctl.motion.carry import carry

    old, step = origin(run)
    source = find(project, old)
    save = next((save for save in source.saves() if save.step == step), None)
    if save is None:
        raise NotFound(
            f"the save of step {step} that this run was to go on from is gone.",
            why=str(source.folder),
            fix=f"mdctl train {project.name} --fresh",
            code="MD-SAVE-LOST",
        )
    files = {name: save.read(name) for name in save.files}
    names = {name: theirs for name in state.adapters.names if (theirs := _theirs(name, source, run))}
    fresh, restless = carry(state, files, names, step, str(save.folder))
    face().event(
        run.note("changed", **{"what": "run", "from": old, "to": run.id, "why": f"it goes on from step {step}"})
    )
    face().say(f"going on from step {step} of run {old}, which stays as it is")
    for anew, of, why in ((fresh, "", "it was not in that run"), (restless, " (its optimizer)", "that save has none")):
        for name in anew:
            face().event(run.note("changed", **{"what": f"{name}{of}", "from": step, "to": 0, "why": why}))
        if anew:
            face().say(f"{', '.join(anew)}{of} begins anew: {why}")


def _line(project: Project, run: Run, steps: int) -> str:
    """The line that takes up a run, with more steps where these would be none."""
    number = [one.id for one in project.runs()].index(run.id) + 1
    more = f" --steps {run.step * 2}" if steps <= run.step else ""
    return f"mdctl train {project.name} --fork {number}{more} ..."


def _train(run: Run, wish: Wish) -> dict[str, Any]:
    """Its table of settings, with what is asked for now."""
    chosen = presets.read(wish.template).tables["train"] if wish.template else {}
    left_open = {key for key, value in wish.flags.items() if value == "auto"}
    table = {**run.settings["train"], **chosen, **wish.asked}
    from_table(TrainSettings, table, "train")
    return {key: value for key, value in table.items() if key not in left_open and value != "auto"}


def _newest(run: Run) -> Save:
    """Its newest save whose content is right; nothing is set aside."""
    for save in reversed(run.saves()):
        try:
            save.verify()
        except Refused as fault:
            face().warn(f"{fault.what} An earlier one is looked for.")
        else:
            return save
    raise NotFound(
        f"run {run.id} of '{run.project}' has no save to go on from.",
        why=str(run.folder / "ckpt"),
        fix=f"mdctl train {run.project} --fresh",
        code="MD-SAVE-LOST",
    )


def _theirs(name: str, old: Run, new: Run) -> str:
    """What an adapter of a new run is called in the old one; '' where it has none.

    A look belongs to its clip, wherever that stands in the list; one look for all of them is another than one of each.
    """
    from mdctl.motion.lora import SPATIAL, spatial_name

    if not name.startswith(SPATIAL):
        return name
    shared = [run.settings["train"].get("shared_spatial", False) for run in (old, new)]
    if all(shared):
        return name
    place = {spatial_name(now): then for now, then in _same(old.settings["clip"], new.settings["clip"]).items()}
    return spatial_name(place[name]) if name in place and not any(shared) else ""


def _same(then: Sequence[Table], now: Sequence[Table]) -> dict[int, int]:
    """Which clip of then each of now is; the same part of a file goes first, another part of it is the same look."""
    by_part: Callable[[Table], Any] = lambda clip: (clip["sha256"], clip.get("trim"))  # noqa: E731
    found: dict[int, int] = {}
    for kind in (by_part, lambda clip: clip["sha256"]):
        for place, clip in enumerate(now):
            rest = (number for number in range(len(then)) if number not in found.values())
            match = next((number for number in rest if kind(then[number]) == kind(clip)), None)
            if match is not None:
                found.setdefault(place, match)
    return found
