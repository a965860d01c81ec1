"""The course of a video: load the base model, lay a motion into it, and draw what a prompt names."""

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mdctl.cli.face import face
from mdctl.cli.learning import versions
from mdctl.errors import BadInput
from mdctl.settings import SampleSettings
from mdctl.workspace import weights
from mdctl.workspace.project import Project
from mdctl.workspace.runs import Run
from mdctl.workspace.saves import Save

if TYPE_CHECKING:
    from mdctl.media.frames import Frames
    from mdctl.motion.backbone import Backbone
    from mdctl.motion.lora import Adapters

Embeds = tuple[Any, Any]
"""Tensors (1 s d) of what is asked for and of what is not."""

TEMPORAL_FILE, COUPLED_FILE = "temporal.safetensors", "coupled.safetensors"


@dataclass(frozen=True)
class Studio:
    """A base model that is loaded, perhaps with a motion laid into it."""

    backbone: "Backbone"
    made_with: dict[str, Any]
    """What belongs into the record of its videos."""

    adapters: "Adapters | None" = None
    speaker: str = ""
    """The adapter that carries the motion."""

    def speaking(self, strength: float) -> AbstractContextManager[None]:
        """Let the motion speak at this strength, where there is one."""
        return self.adapters.speaking({self.speaker: strength}) if self.adapters else nullcontext()


def load_base(model: str, precision: str, device_name: str, threads: int | None) -> Studio:
    """The base model as it is."""
    from mdctl.motion import device as machine
    from mdctl.motion import families

    card, folder = weights.find(model)
    device = machine.choose(device_name)
    used = machine.settle(threads, deterministic=False)
    chosen = machine.choose_precision(precision, device)
    backbone = families.load(folder, device, machine.DTYPES[chosen])
    made_with = {
        "model": {"name": card.name, "fingerprint": weights.fingerprint(folder)},
        "device": machine.describe(device),
        "threads": used,
        "precision": chosen,
        **versions(),
    }
    return Studio(backbone, made_with)


def load(
    project: Project, run: Run, save: Save, settings: SampleSettings, device_name: str, threads: int | None
) -> Studio:
    """The base model with the motion laid into it, checked to belong together."""
    from mdctl.motion import lora

    name = motion_file(save)
    file, where = save.read(name), f"{save.folder / name}"
    said = lora.card_of(file, where)
    card, folder = weights.find(run.settings["model"]["name"])
    if said.base != weights.fingerprint(folder):
        raise BadInput(
            f"'{project.name}' was trained on another base model than '{card.name}' as it is now.",
            why="adapters do not move between base models.",
            fix=f"mdctl train {project.name} --fresh",
            code="MD-MODEL-CHANGED",
        )
    base = load_base(card.name, settings.precision, device_name, threads)
    speaker = lora.COUPLED if name == COUPLED_FILE else lora.TEMPORAL
    adapters = lora.Adapters(base.backbone.network, base.backbone.layers, [speaker], said.rank)
    adapters.load(speaker, file, where)
    return Studio(base.backbone, base.made_with, adapters, speaker)


def motion_file(save: Save) -> str:
    """The file of a save that makes its videos move."""
    return COUPLED_FILE if COUPLED_FILE in save.files else TEMPORAL_FILE


def readable(text: str) -> str:
    """What a text encoder can take of a prompt: a stray byte is no text."""
    return text.encode("utf-8", "replace").decode()


def embed(studio: Studio, prompt: str, negative: str) -> Embeds:
    """The embeddings of what is asked for and of what is not."""
    asked, unwanted = (studio.backbone.embed([readable(text)]) for text in (prompt, negative))
    return asked, unwanted


def require_effect(studio: Studio, embeds: Embeds, settings: SampleSettings, seed: int, where: str) -> None:
    """Refuse a motion that changes nothing, where one is to speak."""
    from mdctl.motion import sampling

    if studio.adapters and settings.strength:
        noise, scales = _noise(studio, settings, seed), {studio.speaker: settings.strength}
        sampling.require_effect(studio.backbone, studio.adapters, scales, noise, embeds[0], where)


def _noise(studio: Studio, settings: SampleSettings, seed: int) -> Any:
    from mdctl.motion import sampling

    shape = (settings.frames or 0, settings.width or 0, settings.height or 0)
    return sampling.first_noise(studio.backbone, seed, *shape)


def draw(studio: Studio, embeds: Embeds, settings: SampleSettings, seed: int, label: str) -> "Frames":
    """One video from the noise of this seed."""
    from mdctl.motion import dataset, sampling

    noise = _noise(studio, settings, seed)
    guidance = 1 if settings.guidance is None else settings.guidance
    with studio.speaking(settings.strength), face().progress(label, settings.steps) as show:
        for step in sampling.sample(studio.backbone, noise, *embeds, settings.steps, guidance):
            show(step.number, f"seed {seed}")
    return dataset.to_frames(studio.backbone.decode(step.latents))
