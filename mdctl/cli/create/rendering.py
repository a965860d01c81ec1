"""The course of a video: load the base model, lay adapters into it, and draw what a prompt names."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from mdctl.cli.create import voices
from mdctl.cli.create.learning import versions
from mdctl.cli.create.voices import Voice
from mdctl.cli.face import face
from mdctl.settings import SampleSettings
from mdctl.strength import Strength
from mdctl.workspace import weights

if TYPE_CHECKING:
    from mdctl.media.frames import Frames
    from mdctl.motion.backbone import Backbone, Latents
    from mdctl.motion.lora import Adapters

Embeds = tuple[Any, Any]
"""Tensors (1 s d) of what is asked for and of what is not."""


@dataclass(frozen=True)
class Studio:
    """A base model that is loaded, perhaps with adapters laid into it."""

    backbone: "Backbone"
    made_with: dict[str, Any]
    """What belongs into the record of its videos."""

    adapters: "Adapters | None" = None
    strengths: Mapping[str, Strength] = field(default_factory=dict)
    """How loudly each adapter speaks."""

    def at(self, strengths: Sequence[Strength]) -> "Studio":
        """The same with other strengths, in the order of the adapters."""
        return replace(self, strengths=dict(zip(self.strengths, strengths, strict=True)))

    def speaking(self, step: int, of: int, merged: bool = False) -> AbstractContextManager[None]:
        """Let the adapters speak as loudly as they do in this denoising step, beside the weights or within them."""
        if self.adapters is None:
            return nullcontext()
        scales = {name: strength.at(step, of) for name, strength in self.strengths.items()}
        speak = self.adapters.merged if merged else self.adapters.speaking
        return speak({name: scale for name, scale in scales.items() if scale})


def load_base(model: str, precision: str, device_name: str, threads: int | None) -> Studio:
    """The base model as it is."""
    from mdctl.motion import device as machine
    from mdctl.motion import families

    card, folder = weights.find(model)
    device = machine.choose(device_name)
    used = machine.settle(threads, deterministic=False)
    chosen = machine.choose_precision(precision, device)
    backbone = families.in_precision(folder, device, chosen)
    known = {"name": card.name, "fingerprint": weights.fingerprint(folder)}
    return Studio(backbone, made_with(known, machine.describe(device), used, chosen))


def made_with(model: Mapping[str, str], place: str, threads: int, precision: str) -> dict[str, Any]:
    """What a video hangs on besides what was asked for."""
    return {"model": dict(model), "device": place, "threads": threads, "precision": precision, **versions()}


def load(cast: Sequence[Voice], precision: str, device_name: str, threads: int | None) -> Studio:
    """The base model with these adapters laid into it side by side, checked to belong together."""
    from mdctl.motion import lora

    base = load_base(voices.base_of(cast), precision, device_name, threads)
    named: dict[str, Voice] = {}
    for voice in cast:
        taken = sum(other.moves == voice.moves for other in named.values())
        name = lora.temporal_name(taken) if voice.moves else lora.spatial_name(taken)
        named[lora.COUPLED if voice.file == voices.COUPLED else name] = voice
    files = {name: voice.save.read(voice.file) for name, voice in named.items()}
    cards = {name: lora.card_of(file, str(named[name].where)) for name, file in files.items()}
    for name, card in cards.items():
        if card.base_precision and card.base_precision != precision:
            project = named[name].run.project
            face().say(f"'{project}' was learned on this base model in 8 bits, which --precision int8 takes.")
    adapters = lora.Adapters(base.backbone.network, base.backbone.layers, {n: card.rank for n, card in cards.items()})
    for name, file in files.items():
        adapters.load(name, file, str(named[name].where))
    return Studio(base.backbone, base.made_with, adapters, {name: voice.strength for name, voice in named.items()})


def readable(text: str) -> str:
    """What a text encoder can take of a prompt: a stray byte is no text."""
    return text.encode("utf-8", "replace").decode()


def named(unread: Mapping[str, list[str]]) -> list[str]:
    """Words that a base model does not read, each with the nearest that it does."""
    return [f"{word} (near: {', '.join(near)})" if near else word for word, near in unread.items()]


def embed(studio: Studio, prompt: str, negative: str) -> Embeds:
    """The embeddings of what is asked for and of what is not."""
    asked, unwanted = (studio.backbone.embed([readable(text)]) for text in (prompt, negative))
    return asked, unwanted


def require_effect(studio: Studio, embeds: Embeds, settings: SampleSettings, seed: int, where: str) -> None:
    """Refuse an adapter that is to speak and changes nothing."""
    from mdctl.motion import sampling

    for name, strength in studio.strengths.items():
        if studio.adapters and strength.highest:
            start, scales = noise(studio, settings, seed), {name: strength.highest}
            sampling.require_effect(studio.backbone, studio.adapters, scales, start, embeds[0], where)


def noise(studio: Studio, settings: SampleSettings, seed: int) -> "Latents":
    """What a video of this seed starts from, when it follows no clip."""
    from mdctl.motion import sampling

    shape = (settings.frames or 0, settings.width or 0, settings.height or 0)
    return sampling.first_noise(studio.backbone, seed, *shape)


def start(studio: Studio, settings: SampleSettings, seed: int, followed: "Latents | None" = None) -> "Latents":
    """What a video starts from: the noise of its seed, mixed with that of the clip that it follows."""
    from mdctl.motion import sampling

    own = noise(studio, settings, seed)
    if followed is None or not settings.follow:
        return own
    return sampling.follow(followed.to(own.device), own, settings.follow)


def draw(
    studio: Studio, embeds: Embeds, settings: SampleSettings, seed: int, label: str, start: "Latents | None" = None
) -> "Frames":
    """One video from the noise of this seed, or from another start, behind a bar."""
    from mdctl.motion import dataset

    latents = noise(studio, settings, seed) if start is None else start
    with face().progress(label, settings.steps) as show:
        for number, found in enumerate(denoised(studio, embeds, settings, latents), 1):
            latents = found
            show(number, f"seed {seed}")
    return dataset.to_frames(studio.backbone.decode(latents))


def denoised(studio: Studio, embeds: Embeds, settings: SampleSettings, start: "Latents") -> "Iterator[Latents]":
    """The latents after each denoising step, in which the adapters speak as loudly as they do there."""
    from mdctl.motion import sampling

    guidance = 1 if settings.guidance is None else settings.guidance
    sampler, halved = settings.sampler or "ddim", False
    steps = sampling.sample(studio.backbone, start, *embeds, settings.steps, guidance, sampler)
    for number in range(1, settings.steps + 1):
        with studio.speaking(number, settings.steps, bool(settings.merged)):
            step = next(steps)
        if step.halved and not halved:
            face().warn("memory ran out: what is asked and what is not go through one after the other from here on.")
        halved = step.halved
        yield step.latents
