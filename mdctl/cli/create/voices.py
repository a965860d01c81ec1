"""Who speaks in a video: adapters out of saves, each with a strength, and whether they belong together."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mdctl.cli.create.learning import damage
from mdctl.cli.face import face
from mdctl.errors import BadInput, NotFound
from mdctl.strength import Strength
from mdctl.text import safe
from mdctl.workspace import weights
from mdctl.workspace.project import Project
from mdctl.workspace.runs import Change, Run
from mdctl.workspace.saves import Save

TEMPORAL, COUPLED = "temporal.safetensors", "coupled.safetensors"
"""The files of a save that make its videos move; others hold looks."""


def moves(file: str) -> bool:
    """Whether a file of a save carries a motion."""
    return file in (TEMPORAL, COUPLED)


@dataclass(frozen=True)
class Voice:
    """One adapter of a save, and how loudly it speaks."""

    run: Run
    save: Save
    file: str
    strength: Strength

    @property
    def moves(self) -> bool:
        """Whether it carries a motion."""
        return moves(self.file)

    @property
    def where(self) -> Path:
        """The file on disk."""
        return self.save.folder / self.file

    def record(self) -> dict[str, Any]:
        """What finds it again."""
        return {
            "project": self.run.project,
            "run": self.run.id,
            "save": self.save.step,
            "file": self.file,
            "sha256": self.save.manifest[self.file].sha256,
            "strength": self.strength.plain(),
        }


def find_save(project: Project, checkpoint: str | None) -> tuple[Run, Save]:
    """The run and its save to use: of the newest run that has one, the one of this step, the pinned or the last one."""
    trained = [run for run in project.runs() if run.has_saves]
    untrained = NotFound(
        f"'{project.name}' is not trained yet.", fix=f"mdctl train {project.name}", code="MD-UNTRAINED"
    )
    if not trained:
        raise untrained
    run = trained[-1]
    steps = {str(save.step): save for save in run.saves()}
    pinned = project.record.pin.get("checkpoint")
    cure = f"--checkpoint {next(reversed(steps), 'last')}"
    if checkpoint in (None, "pinned") and pinned is not None:
        checkpoint, cure = str(pinned), f"mdctl pin {project.name} --clear"
    elif checkpoint == "pinned":
        raise NotFound(f"no save of '{project.name}' is pinned.", fix=f"mdctl pin {project.name} {cure}")
    if checkpoint in (None, "last") or not steps:
        save = run.latest(report=_damaged)
        if save is None:
            raise untrained
        if not run.finished:
            face().say(f"'{project.name}' is {run.status}; step {save.step} is used.")
        return run, save
    if checkpoint not in steps:
        raise NotFound(
            f"'{project.name}' has no save '{safe(checkpoint or '', 40)}'.",
            why=f"run {run.id} has the steps {', '.join(steps)}.",
            fix=cure,
        )
    save = steps[checkpoint]
    save.verify(optimizer=False)
    return run, save


def _damaged(change: Change) -> None:
    face().event({"event": "changed", **change})
    face().warn(damage(change))


def own(run: Run, save: Save, strength: Strength) -> Voice:
    """What a project teaches: its motion, or its look where it is an appearance."""
    file = next((name for name in (COUPLED, TEMPORAL) if name in save.files), None)
    return Voice(run, save, file, strength) if file else look_of(run, save, 1, strength)


def looks(save: Save) -> list[str]:
    """The files of a save that hold looks, in the order of the clips."""
    return sorted(name for name in save.files if name.startswith("spatial_"))


def look_of(run: Run, save: Save, clip: int, strength: Strength) -> Voice:
    """How one clip (1, 2, …) of a project looks; all have one look in common where they were learned so."""
    files = looks(save)
    if not files:
        raise BadInput(
            f"'{run.project}' holds no look that could be used.",
            why="it was trained by a method that does not keep one." if COUPLED in save.files else "",
            fix=f"mdctl train {run.project} --fresh",
        )
    number = len(run.settings["clip"])
    if clip > number:
        raise NotFound(
            f"'{run.project}' has no clip {clip}.",
            why=f"run {run.id} was trained on {number}.",
            fix=f"--clip {number}",
        )
    return Voice(run, save, files[(clip - 1) % len(files)], strength)


def base_of(voices: Sequence[Voice]) -> str:
    """The base model that all of them can speak in: that of the first; checked from descriptions, before any loading.

    `BadInput` where one was made for another architecture. Another fine-tune or revision of the same is told and used,
    but for a project's own: that can be trained again.
    """
    from mdctl.motion import families, lora

    first = voices[0]
    card, folder = weights.find(first.run.settings["model"]["name"])
    now = weights.fingerprint(folder)
    for voice in voices:
        said = lora.card_of(voice.save.read(voice.file), str(voice.where))
        if said.base == now:
            continue
        if voice.run.project == first.run.project and "imported" not in first.run.settings:
            raise BadInput(
                f"'{first.run.project}' was trained on another base model than '{card.name}' as it is now.",
                why="adapters do not move between base models.",
                fix=f"mdctl train {first.run.project} --fresh",
                code="MD-MODEL-CHANGED",
            )
        other = voice.run.settings["model"]["name"]
        other = f"another {other}" if other == card.name else other
        network = families.blueprint(folder)
        if misfits := lora.misfits(voice.save.read(voice.file), str(voice.where), network, said.rank):
            raise BadInput(
                f"'{voice.run.project}' and '{first.run.project}' do not go together.",
                why=f"the one was trained on {other}, the other on {card.name}, and these differ: {misfits[0]}.",
                fix=f"mdctl train {voice.run.project} --model {card.name} --fresh",
                code="MD-MIX-MODEL",
            )
        face().event(
            {"event": "changed", "what": "base", "from": other, "to": card.name, "why": "another of the same kind"}
        )
        face().warn(f"'{voice.run.project}' was trained on {other}, not on {card.name}; it is used all the same.")
    return card.name
