"""`bench fidelity`: the paper's claim, measured in the world of `starter`, where the truth is known.

Every method learns a motion from clips of one appearance, with the same steps, data and chance, and has to put it on
other appearances; readers tell from the frames what came out. Nothing here writes or draws: the face keeps and shows.
"""

import dataclasses
import io
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from functools import cache
from hashlib import blake2b
from typing import Any

import numpy as np

from mdctl.catalog import STARTER
from mdctl.errors import UsageFault
from mdctl.measure import readers
from mdctl.media import motions, world
from mdctl.media.frames import Frames
from mdctl.media.paths import HIT, amplitude, references
from mdctl.media.world import Scene
from mdctl.motion import noise, training
from mdctl.motion.backbone import Backbone
from mdctl.motion.dataset import Sample, Samples, to_pixels
from mdctl.motion.drawing import draw
from mdctl.motion.lora import COUPLED, TEMPORAL
from mdctl.settings import TrainSettings
from mdctl.strength import Strength

VERSION = 3
"""Of the experiment: it grows whenever the same design would give other frames."""

CLIPS = {"multi": 4, "single": 1}
"""How many clips of the motion a method learns from."""

COUPLED_RATE = 4e-3
"""The coupled adapter's own best rate, from the sweep in the model card."""

DEVELOPMENT = ("orbiting", "bouncing", "spiralling in", "swinging", "looping in a figure eight")
"""The motions that settings were chosen on, with other clips, prompts and noise; the table tells them apart."""


@dataclass(frozen=True)
class Method:
    """One row of the table: what is trained, and how."""

    changes: Mapping[str, Any] = field(default_factory=dict)
    """Settings in which it differs from MotionDirector."""

    trained: bool = True
    coupled: bool = False


METHODS = {
    "base": Method(trained=False),
    "coupled": Method(coupled=True),
    "coupled-best": Method({"learning_rate": COUPLED_RATE}, coupled=True),
    "temporal-only": Method({"objective": "mse", "spatial_mask": 1.0, "spatial_first": 0.0}),
    "no-ad": Method({"objective": "mse"}),
    "full": Method(),
}
"""`base` has no adapters, `coupled` has one in all layers (at its own best rate in `coupled-best`), `temporal-only` has
no spatial ones beside it, `no-ad` no debiased loss, and `full` is MotionDirector."""


@dataclass(frozen=True)
class Design:
    """One experiment, whole: two equal ones give the same table."""

    train: TrainSettings
    """Of MotionDirector; the other methods share all of it that they have a use for."""

    methods: tuple[str, ...] = tuple(METHODS)
    motions: tuple[str, ...] = (*motions.NOVEL_MOTIONS, *motions.CAMERA_MOTIONS)
    cases: tuple[str, ...] = tuple(CLIPS)
    prompts: int = 16
    train_seeds: int = 3
    prompt_seed: int = 2026
    """Another one gives other prompts, clips and noise: sweeps must not see those of the table."""

    sample_steps: int = 20
    guidance: float = STARTER.guidance
    strength_until: float = 1.0
    """How far adapters speak on the way from noise, those of all methods alike; 1 is the paper's, all the way."""

    def __post_init__(self) -> None:
        fewest = min(self.motions, key=most_prompts)
        if self.prompts > most_prompts(fewest):
            raise UsageFault(
                f"there are no {self.prompts} different prompts for {fewest}.",
                why=f"it can be asked of {most_prompts(fewest)} scenes that have nothing of the clips.",
                fix=f"--prompts {most_prompts(fewest)}",
            )


@dataclass(frozen=True)
class Cell:
    """One training and the videos made with it."""

    method: str
    case: str
    motion: str
    train_seed: int


ATTRIBUTES = ("subject", "colour", "background")
"""What can leak from the clips."""


@dataclass(frozen=True)
class Row:
    """One video: what was asked, and what was seen."""

    method: str
    case: str
    motion: str
    train_seed: int
    number: int
    """Of the prompt: rows of different methods with the same number began with the same noise."""

    prompt: str
    asked_subject: str
    asked_colour: str | None
    asked_background: str
    subject: str | None
    colour: str | None
    background: str | None
    rho: float
    """Agreement with the motion."""

    hit: bool
    """Whether it reaches `HIT`, and no other motion agrees better."""

    amplitude: float
    """How far it reaches, as a share of the reference."""

    static: bool
    found: bool
    """Whether there is a subject at all."""

    leaked: tuple[str, ...]
    """Attributes that are wrong and equal those of the training clips."""

    @property
    def right(self) -> dict[str, bool]:
        """For every attribute that can be judged, whether it is what was asked; all wrong without a subject."""
        verdicts = {
            "subject": self.subject == self.asked_subject,
            "background": self.background == self.asked_background,
        }
        if self.asked_colour:
            verdicts["colour"] = self.colour == self.asked_colour
        return {name: verdict and self.found for name, verdict in verdicts.items()}

    @property
    def appearance(self) -> float:
        """Share of the attributes that are right."""
        return sum(self.right.values()) / len(self.right)

    @property
    def moved(self) -> bool:
        """Whether the agreement reaches `HIT`."""
        return self.rho >= HIT

    @property
    def joint(self) -> bool:
        """Whether everything is right at once: the look that was asked and the motion of the clips."""
        return all(self.right.values()) and self.hit


_KINDS: Mapping[Any, tuple[type, ...]] = {
    float: (float, int),
    str | None: (str, type(None)),
    tuple[str, ...]: (tuple,),
}
"""What a field of a row may hold, where that is not exactly the type that it names."""


# --- The design, unfolded.


def cells(design: Design) -> list[Cell]:
    """All trainings of a design, in the order that makes a whole table soonest; the base model has one for a motion."""
    found = []
    for case in design.cases:
        for seed in range(design.train_seeds):
            for motion in design.motions:
                for method in design.methods:
                    if METHODS[method].trained:
                        found.append(Cell(method, case, motion, seed))
                    elif (untrained := Cell(method, "any", motion, 0)) not in found:
                        found.append(untrained)
    return found


def key(cell: Cell, design: Design, base: str) -> str:
    """A name for the videos of a cell: what it depends on and nothing else, so that a longer bench goes on from it."""
    about = {
        "version": VERSION,
        "base": base,
        "cell": dataclasses.asdict(cell),
        "train": dataclasses.asdict(_settings(cell, design)) if METHODS[cell.method].trained else None,
        "prompt_seed": design.prompt_seed,
        "prompts": design.prompts,
        "sample": [design.sample_steps, design.guidance],
    }
    if METHODS[cell.method].trained and design.strength_until != 1:
        about["strength_until"] = design.strength_until
    return blake2b(json.dumps(about, sort_keys=True).encode(), digest_size=10).hexdigest()


def _settings(cell: Cell, design: Design) -> TrainSettings:
    return dataclasses.replace(design.train, seed=cell.train_seed, **METHODS[cell.method].changes)


def taught(motion: str) -> Scene:
    """The one appearance of all training clips of a motion; a camera is only seen before a texture."""
    return Scene("square", "brick" if motion in motions.CAMERA_MOTIONS else "gray", "red")


def caption(motion: str) -> str:
    """What the training clips are called: who does what, as people name theirs, and not what it looks like."""
    subject = taught(motion).subject
    return f"a {subject}, camera {motion}" if motion in motions.CAMERA_MOTIONS else f"a {subject} {motion}"


def clips(motion: str, case: str, design: Design) -> list[Frames]:
    """The training clips of a motion, which differ in place, reach and size."""
    rng = _rng(design, "clips", motion)
    return [world.render(taught(motion), motions.track(motion, rng))[0] for _ in range(CLIPS[case])]


def asked(motion: str, design: Design) -> list[Scene]:
    """What is asked for: subject, colour and background all differ from those of the clips."""
    rng, found = _rng(design, "prompts", motion), list[Scene]()
    while len(found) < design.prompts:
        scene = world.draw_scene(rng, unseen=bool(rng.random() < 0.25))
        if scene not in found and _can_be_asked(scene, motion):
            found.append(scene)
    return found


@cache
def most_prompts(motion: str) -> int:
    """For how many different scenes a motion can be asked."""
    looks = [(name, None) for name in world.GLYPHS] + [
        (name, colour) for name in world.SHAPES for colour in world.COLOURS
    ]
    scenes = (Scene(name, place, colour) for name, colour in looks for place in world.BACKGROUNDS)
    return sum(_can_be_asked(scene, motion) for scene in scenes)


def _can_be_asked(scene: Scene, motion: str) -> bool:
    train, textured = taught(motion), motion in motions.CAMERA_MOTIONS
    other = scene.subject != train.subject and scene.colour != train.colour and scene.background != train.background
    return other and (scene.background in world.TEXTURED or not textured)


def _rng(design: Design, what: str, motion: str) -> np.random.Generator:
    return np.random.default_rng(noise.draw_seed(design.prompt_seed, f"{what}/{motion}"))


# --- Doing it.


def encode(backbone: Backbone, motion: str, case: str, design: Design) -> Samples:
    """The training clips as training takes them; one sentence describes them all."""
    embeds = backbone.embed([caption(motion)])
    found = [Sample(backbone.encode(to_pixels(frames)), embeds) for frames in clips(motion, case, design)]
    return Samples(found, seed=design.prompt_seed)


def learn(backbone: Backbone, cell: Cell, design: Design) -> Iterator[training.TrainState]:
    """Train the adapters of a cell in this backbone; gives the state after every step."""
    settings = _settings(cell, design)
    learns: training.Learns = "coupled" if METHODS[cell.method].coupled else "motion"
    state = training.begin(backbone, CLIPS[cell.case], settings, learns)
    samples = encode(backbone, cell.motion, cell.case, design)
    for _ in training.train(backbone, state, samples, settings):
        yield state


def videos(backbone: Backbone, cell: Cell, design: Design, state: training.TrainState | None) -> Iterator[Frames]:
    """One video for each prompt, from noise that is the same for all methods."""
    prompts = [world.prompt(scene, cell.motion) for scene in asked(cell.motion, design)]
    noises = [(design.prompt_seed, f"sample/{cell.motion}", number) for number in range(len(prompts))]
    shape = backbone.latent_shape(motions.NUM_FRAMES, world.SIZE, world.SIZE)
    speaker = COUPLED if METHODS[cell.method].coupled else TEMPORAL
    strength = Strength.parse(1.0).until(design.strength_until)

    def speaking(step: int, of: int) -> AbstractContextManager[None]:
        scale = strength.at(step, of)
        return state.adapters.speaking({speaker: scale}) if state and scale else nullcontext()

    yield from draw(backbone, prompts, noises, shape, design.sample_steps, design.guidance, speaking=speaking)


def pack(drawn: Sequence[Frames]) -> bytes:
    """The videos of a cell as one file, without loss."""
    buffer = io.BytesIO()
    np.savez_compressed(buffer, frames=np.stack(drawn))
    return buffer.getvalue()


def unpack(file: bytes) -> list[Frames]:
    """What `pack` made."""
    with np.load(io.BytesIO(file), allow_pickle=False) as content:
        return list(content["frames"])


def noted(name: str, rows: Sequence[Row]) -> str:
    """What was read of a cell with this key, as one line, so that another computer need not make its videos again."""
    found = [dataclasses.asdict(row) for row in rows]
    return json.dumps({"key": name, "reader": readers.VERSION, "rows": found}, separators=(",", ":"))


def recalled(line: str) -> tuple[str, list[Row]] | None:
    """What `noted` wrote: the key and the rows; None where other readers have read. `ValueError` for another line."""
    try:
        told = json.loads(line)
        rows = [_row(row) for row in told["rows"]]
        return (str(told["key"]), rows) if told["reader"] == readers.VERSION else None
    except (KeyError, TypeError, AttributeError, OverflowError, RecursionError) as fault:
        raise ValueError(str(fault)) from fault


def _row(told: Mapping[str, Any]) -> Row:
    row = Row(**{**told, "leaked": tuple(told["leaked"])})
    for about in dataclasses.fields(Row):
        if type(getattr(row, about.name)) not in _KINDS.get(about.type, (about.type,)):
            raise ValueError(f"a row with an odd {about.name}")
    if not (math.isfinite(row.rho) and math.isfinite(row.amplitude) and {*row.leaked} <= {*ATTRIBUTES}):
        raise ValueError("a row that cannot be")
    return row


def belong(rows: Sequence[Row], cell: Cell, design: Design) -> bool:
    """Whether rows are those of a cell, one for each prompt."""
    found = [(row.method, row.case, row.motion, row.train_seed, row.number) for row in rows]
    return found == [(*dataclasses.astuple(cell), number) for number in range(design.prompts)]


def read(cell: Cell, design: Design, drawn: Sequence[Frames]) -> list[Row]:
    """What the readers see in the videos of a cell."""
    train = taught(cell.motion)
    rows = []
    for number, (scene, frames) in enumerate(zip(asked(cell.motion, design), drawn, strict=True)):
        seen = readers.read(frames)
        reach = [amplitude(seen.track, reference) for reference in references(cell.motion)] if seen.track else [0.0]
        leaked = [
            name
            for name in ATTRIBUTES
            if getattr(seen, name) is not None
            and getattr(seen, name) == getattr(train, name)
            and getattr(seen, name) != getattr(scene, name)
        ]
        rows.append(
            Row(
                **dataclasses.asdict(cell),
                number=number,
                prompt=world.prompt(scene, cell.motion),
                asked_subject=scene.subject,
                asked_colour=scene.colour,
                asked_background=scene.background,
                subject=seen.subject,
                colour=seen.colour,
                background=seen.background,
                rho=seen.motions.get(cell.motion, 0.0),
                hit=seen.motion == cell.motion,
                amplitude=float(np.median(reach)),
                static=seen.static,
                found=seen.found >= readers.FOUND,
                leaked=tuple(leaked),
            )
        )
    return rows
