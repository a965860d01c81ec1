"""Previews while a training runs: the very videos that `gen` makes of its saves, and what they tell of it."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mdctl.cli.choose import layers, resolve
from mdctl.cli.create import encoding, generate, rendering, videos
from mdctl.cli.create.learning import example
from mdctl.cli.face import TrainView, face
from mdctl.cli.signals import Request
from mdctl.errors import BadInput
from mdctl.settings import SampleSettings
from mdctl.text import slug
from mdctl.workspace import atomic
from mdctl.workspace.project import Project
from mdctl.workspace.runs import Run
from mdctl.workspace.saves import Save

if TYPE_CHECKING:
    from mdctl.measure.watch import Watch
    from mdctl.media.frames import Frames
    from mdctl.motion.backbone import Backbone, Latents
    from mdctl.motion.lora import Adapters

EVERY = 50
"""Steps from preview to preview; those are the saves that stay."""

PATIENCE = 2
"""So many previews may fail before there are no more."""

SHEET, CURVES = "previews.png", "curves.png"


class _Stopped(Exception):
    """A signal came while a preview was drawn."""


@dataclass
class _Scene:
    """One prompt, ready to be drawn again and again from the same noise."""

    prompt: str
    embeds: rendering.Embeds
    start: "Latents"
    base: "Frames | None" = None
    """What the base model makes of it."""


def _label(prompt: str) -> str:
    """A part of a file name that no other prompt has; one that leaves something out gets a number for it."""
    label = slug(prompt, 60)
    same = label.replace("-", " ") == prompt
    return label if same else f"{label or 'video'}-{videos.identity({'prompt': prompt})[:6]}"


@dataclass
class Previews:
    """What is drawn every so many steps of a training, and how that is judged."""

    project: Project
    prompts: Sequence[str] = ()
    """None are those that the run began with, or the project's example."""

    every: int = 0
    """0 is what the run began with, or the usual."""

    _run: Run = field(init=False)
    _settings: SampleSettings = field(init=False)
    _studio: rendering.Studio = field(init=False)
    _scenes: list[_Scene] = field(init=False, default_factory=list)
    _clips: "list[Frames]" = field(init=False, default_factory=list)
    _watch: "Watch | None" = field(init=False, default=None)
    _failed: int = field(init=False, default=0)

    def prepare(self, run: Run, backbone: "Backbone", place: str, threads: int, precision: str) -> None:
        """Read the prompts and lay out the starts, while the encoders are still on the device."""
        from mdctl.motion import device as machine

        asked = resolve(SampleSettings, "gen", layers("gen", self.project, None, {}, run.base))
        if machine.choose_precision(asked.precision, backbone.device) != precision:
            asked = replace(asked, precision=precision, merged=None if precision == "int8" else asked.merged)
        self._run, self._settings = run, videos.settled(asked, run.settings)
        made_with = rendering.made_with(
            {key: run.settings["model"][key] for key in ("name", "fingerprint")}, place, threads, precision
        )
        self._studio = rendering.Studio(backbone, made_with)
        followed = self._followed() if self._settings.follow else None
        begun = run.settings.get("previews", {})
        self.prompts = self.prompts or begun.get("prompts") or (example(self.project, made_with["model"]["name"]),)
        self.every = self.every or begun.get("every") or EVERY
        run.settle("previews", {"prompts": [*self.prompts], "every": self.every})
        for prompt in self.prompts:
            videos.tell_unread(self._studio, prompt, self._settings.negative)
            embeds = rendering.embed(self._studio, prompt, self._settings.negative)
            start = rendering.start(self._studio, self._settings, self._seed, followed)
            self._scenes.append(_Scene(prompt, embeds, start))

    def _followed(self) -> "Latents | None":
        """The noise of the clip that previews follow; where they can follow none, that is told, and they go without."""
        try:
            return encoding.followed(
                self._run, self._settings, self._studio.backbone, self._studio.made_with["precision"]
            )
        except BadInput as fault:
            self._settings = replace(self._settings, follow=0.0)
            face().warn(f"previews follow no clip: {fault.what} {fault.why}".rstrip())
        return None

    def due(self, step: int) -> bool:
        """Whether there is one at this step."""
        return step % self.every == 0 and self._failed < PATIENCE

    def show(self, save: Save, adapters: "Adapters", view: TrainView, request: Request) -> None:
        """Draw what this save makes of every prompt, keep and judge it; whatever goes wrong, training goes on."""
        from mdctl.motion import device as machine

        try:
            for scene in self._scenes:
                self._show(scene, save, adapters, view, request)
        except _Stopped:
            return
        except Exception as fault:  # noqa: BLE001 - no preview is worth a training
            self._failed += 1
            machine.empty(self._studio.backbone.device)  # of what a drawing that broke off has left there
            why = getattr(fault, "what", "") or f"{type(fault).__name__}: {next(iter(str(fault).splitlines()), '')}"
            off = "; there will be no more of them" if self._failed >= PATIENCE else ""
            face().event(self._run.note("warning", code="MD-PREVIEW", text=why))
            view.remark(f"the preview of step {save.step} failed ({why}){off}")

    @property
    def _seed(self) -> int:
        return int(self._run.settings["train"]["seed"])

    def _show(self, scene: _Scene, save: Save, adapters: "Adapters", view: TrainView, request: Request) -> None:
        cast = generate.cast_of(self.project, self._run, save, self._settings)
        name = f"{save.step:06d}_{_label(scene.prompt)}_s{self._seed}.mp4"
        target = videos.Target(None, self._run.samples / name, "mp4")
        if target.file and target.file.exists():
            return  # this step was taken before, and then the computer stopped
        speaks = {voice.where.stem: voice.strength for voice in cast.voices}
        spoken = replace(self._studio, adapters=adapters, strengths=speaks)
        if scene.base is None:
            scene.base = self._drawn(self._studio, scene, "base model", view, request)
        frames = self._drawn(spoken, scene, f"step {save.step}", view, request)
        take = videos.Take(cast, self._settings, self._seed, target)
        path = videos.keep(take, scene.prompt, frames, self._studio.made_with)
        record = self._run.note(
            "preview",
            step=save.step,
            path=str(path),
            sidecar=str(path.with_suffix(".json")),
            prompt=scene.prompt,
            seed=self._seed,
            measures=self._measures(scene.base, frames),
        )
        face().event(record)
        view.preview(record)
        videos.show(frames)
        self._draw_sheets(scene)

    def _drawn(
        self, studio: rendering.Studio, scene: _Scene, label: str, view: TrainView, request: Request
    ) -> "Frames":
        from mdctl.motion import dataset

        latents = scene.start
        for number, found in enumerate(rendering.denoised(studio, scene.embeds, self._settings, scene.start), 1):
            if request:
                raise _Stopped
            latents = found
            view.drawing(f"{label} {number}/{self._settings.steps}")
        with studio.backbone.decoding():
            return dataset.to_frames(studio.backbone.decode(latents))

    def _measures(self, base: "Frames", frames: "Frames") -> dict[str, float]:
        """How far the motion has come and the look come along; nothing for a look, which is to come along."""
        if self._run.settings.get("learns") != "motion":
            return {}
        watch = self._watched()
        told = {"learned": watch.learned(frames), "leaked": watch.leaked(frames, base), "base": watch.learned(base)}
        return {name: round(value, 4) for name, value in told.items()}

    def _watched(self) -> "Watch":
        from mdctl.measure.watch import Watch

        if self._watch is None:
            self._clips = [encoding.frames(self._run, number) for number in range(len(self._run.settings["clip"]))]
            self._watch = Watch(self._clips)
        return self._watch

    def _draw_sheets(self, scene: _Scene) -> None:
        """One picture of the clips above all previews of a prompt, and the curves of all."""
        from mdctl.media import clips as media
        from mdctl.media import preview

        mine = [event for event in told(self._run) if event["prompt"] == scene.prompt]
        rows = [(f"clip {number}", frames) for number, frames in enumerate(self._clips[:4], 1)]
        rows += [(f"base model: {scene.prompt}", scene.base)] if scene.base is not None else []
        for event in mine:
            file = self._run.samples / Path(event["path"]).name
            if file.is_file():
                rows.append((f"step {event['step']}", media.spread(file, self._settings.frames or 16)[0]))
        number = [one.prompt for one in self._scenes].index(scene.prompt)
        name = SHEET if not number else f"{Path(SHEET).stem}_{number + 1}.png"
        atomic.write(self._run.samples / name, preview.contact_sheet(rows))
        base, seen = course(self._run)
        if seen:
            from mdctl.measure import watch

            atomic.write(self._run.samples / CURVES, watch.chart(base, seen))


def told(run: Run) -> list[dict[str, Any]]:
    """The previews that a run has noted, in order."""
    return [event for event in run.events() if event["event"] == "preview" and isinstance(event.get("measures"), dict)]


def course(run: Run) -> "tuple[float, list[Any]]":
    """How far the base model agrees with the clips, and what was seen of each save (`Seen`), means over prompts."""
    from statistics import mean

    from mdctl.measure.course import Seen

    found: dict[int, list[dict[str, float]]] = {}
    for event in told(run):
        if {"learned", "leaked", "base"} <= set(event["measures"]):
            found.setdefault(event["step"], []).append(event["measures"])
    seen = [Seen(step, *(mean(one[key] for one in many) for key in ("learned", "leaked")))
            for step, many in sorted(found.items())]  # fmt: skip
    return mean([one["base"] for many in found.values() for one in many] or [0.0]), seen


def suggested(run: Run) -> int | None:
    """The save that the previews of a run speak for; None where they speak for none, or there are none."""
    from mdctl.measure.course import knee

    return knee(*course(run))
