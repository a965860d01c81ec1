"""What a run and a video are made with: frozen, small, checked once, explained where it stands."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, TypeVar, get_args

from mdctl.errors import BadInput, instead
from mdctl.strength import Strength

OBJECTIVES = ("ad", "ad-mean", "mse")
PRECISIONS = ("auto", "bf16", "fp16", "fp32", "int8")
SAMPLERS = ("ddim", "unipc", "dpm++")
MIN_EDGE, MAX_EDGE, EDGE_STEP = 16, 4096, 8
"""Widths and heights of a video in pixels; the VAEs of all families shrink by 8."""

Settings = TypeVar("Settings", "ClipSettings", "Shape", "TrainSettings", "SampleSettings")


def bad_setting(key: str, value: object, why: str) -> BadInput:
    """The error for a value that cannot be used."""
    what = f"{key} = {value!r} cannot be used."
    return BadInput(what, why=why, fix=f"give another value for {key}", code="MD-SETTING")


def _check(table: str, settings: object, **bounds: tuple[float, float]) -> None:
    for key, (low, high) in bounds.items():
        value = getattr(settings, key)
        if value is not None and not low <= value <= high:  # NaN is refused too: it compares with nothing
            raise bad_setting(f"{table}.{key}", value, f"it has to be from {low:g} to {high:g}.")


def _check_edges(table: str, settings: object) -> None:
    _check(table, settings, width=(MIN_EDGE, MAX_EDGE), height=(MIN_EDGE, MAX_EDGE))
    for key in ("width", "height"):
        value = getattr(settings, key)
        if value is not None and value % EDGE_STEP:
            raise bad_setting(f"{table}.{key}", value, f"it has to be a multiple of {EDGE_STEP}.")


def _check_precision(table: str, precision: str) -> None:
    if precision not in PRECISIONS:
        raise bad_setting(f"{table}.precision", precision, f"it is one of {', '.join(PRECISIONS)}.")


@dataclass(frozen=True)
class ClipSettings:
    """How clips are cut; None takes what the base model was made for."""

    frames: int | None = None
    """Frames of one clip."""

    fps: float | None = None
    width: int | None = None
    height: int | None = None

    def __post_init__(self) -> None:
        _check("clips", self, frames=(2, 256), fps=(0.1, 240))
        _check_edges("clips", self)


@dataclass(frozen=True)
class Shape:
    """The shape of every clip of a run: nothing is left open."""

    frames: int
    fps: float
    width: int
    height: int


@dataclass(frozen=True)
class TrainSettings:
    """How one run learns; the defaults are the paper's and its official configuration's."""

    steps: int | None = None
    """Optimizer steps; None takes 150 for one clip (300 of more than 16 frames), 500 for several."""

    rank: int | None = None
    """Width of every branch; None takes 32, or the narrowest adapted layer where that is less. Alpha is the same."""

    dropout: float = 0.1
    learning_rate: float = 5e-4

    weight_decay: float | None = None
    """None takes 1e-2 for one clip, 1e-4 for several."""

    objective: str = "ad"
    """Loss of the temporal path: `ad` (the paper), `ad-mean` (its closed form), `mse` (without debiasing)."""

    beta: float = 1.0
    """How strongly the debiased loss takes the anchor's look out (equation 5)."""

    timestep_shift: float = 1.0
    """How far the timesteps lean towards noise, s·u / (1 + (s-1)·u) for uniform u; 1 is the paper's uniform draw."""

    batch: int = 1
    """Draws of clip, noise and timestep whose gradients one step averages; 1 is the paper's."""

    flip: float = 0.0
    """Share of steps that see a picture mirrored; the official value is 0.5 for pictures, 0 for clips."""

    spatial_mask: float = 0.2
    """Share of steps in which the spatial adapter is left out."""

    spatial_first: float = 0.0
    """Share of the steps, at the beginning, in which only the looks are learned; 0 is the paper's. As long as a look is
    not given, the temporal adapter learns it too, and keeps it."""

    max_grad_norm: float = 1.0
    seed: int = 0
    precision: str = "auto"
    recompute: bool | None = None
    """Whether something is computed again in backward: less memory, up to 40 % more work, the same gradients. With CUDA
    it is as little as the memory allows, and with true not nothing; elsewhere it is all or nothing, and None takes all
    on a GPU and nothing on a CPU."""

    shared_spatial: bool = False
    """One spatial adapter for all clips instead of one each."""

    deterministic: bool = False
    threads: int | None = None
    """CPU threads; frozen with the run, because sums differ with their number."""

    save_every: int = 25

    def __post_init__(self) -> None:
        _check(
            "train",
            self,
            steps=(1, 1_000_000),
            rank=(1, 4096),
            dropout=(0, 0.99),
            learning_rate=(1e-8, 1),
            timestep_shift=(0.01, 100),
            weight_decay=(0, 1),
            beta=(0, 100),
            batch=(1, 256),
            flip=(0, 1),
            spatial_mask=(0, 1),
            spatial_first=(0, 0.9),
            max_grad_norm=(1e-6, 1e6),
            seed=(0, 2**63 - 1),
            threads=(1, 1024),
            save_every=(1, 1_000_000),
        )
        if self.objective not in OBJECTIVES:
            raise bad_setting("train.objective", self.objective, f"it is one of {', '.join(OBJECTIVES)}.")
        _check_precision("train", self.precision)


@dataclass(frozen=True)
class SampleSettings:
    """How one video is made; None takes what the base model or the project says."""

    steps: int = 30
    """Denoising steps."""

    guidance: float | None = None
    strength: float | str = 1.0
    """The paper's gamma: how loudly the project's own adapter speaks; a number, or a schedule (`Strength.parse`)."""

    strength_until: float | None = None
    """How far a strength that is one number holds on the way from noise; None is all the way, as in the paper."""

    appearance_strength: float | str = 0.0
    """How loudly the look of a clip speaks beside its motion."""

    follow: float | None = None
    """The paper's noise prior: how much of a clip's own noise the start holds; None takes 0.3 with one clip, else 0."""

    clip: int = 1
    """Whose look and noise these are."""

    negative: str = ""
    frames: int | None = None
    fps: float | None = None
    width: int | None = None
    height: int | None = None
    precision: str = "auto"
    sampler: str | None = None
    """`ddim` (None, the paper's), or `unipc` and `dpm++`, which come as far in half the steps, to another video."""

    merged: bool | None = None
    """Whether adapters speak as part of the weights: as fast as the base model, with other last bits. None does so, but
    not on a base model in 8 bits; a recipe that says nothing of it was not merged."""

    def __post_init__(self) -> None:
        _check(
            "gen",
            self,
            steps=(1, 500),
            guidance=(0, 100),
            strength_until=(0.01, 1),
            follow=(0, 1),
            clip=(1, 10_000),
            frames=(2, 256),
            fps=(0.1, 240),
        )
        for key in ("strength", "appearance_strength"):
            try:
                Strength.parse(getattr(self, key))
            except BadInput as fault:
                raise bad_setting(f"gen.{key}", getattr(self, key), fault.why) from fault
        _check_edges("gen", self)
        _check_precision("gen", self.precision)
        if self.sampler not in (None, *SAMPLERS):
            raise bad_setting("gen.sampler", self.sampler, f"it is one of {', '.join(SAMPLERS)}.")

    @property
    def holds_until(self) -> float | None:
        """How far the strength holds, where it does not say so itself; None is all the way."""
        return None if "@" in str(self.strength) or self.strength_until == 1 else self.strength_until

    @property
    def gamma(self) -> Strength:
        """How loudly the project's own adapter speaks in every part of the way."""
        return Strength.parse(self.strength).until(self.holds_until or 1)


_KINDS: dict[Any, tuple[tuple[type, ...], str]] = {
    int: ((int,), "a whole number"),
    float: ((int, float), "a number"),
    str: ((str,), "text"),
    bool: ((bool,), "true or false"),
}


def kinds_of(kind: type[Settings]) -> dict[str, tuple[type, ...]]:
    """Every setting by name, with the types that a value of it may have; None is for what stands in no table."""
    types = {field.name: get_args(field.type) or (field.type,) for field in fields(kind)}
    return {name: tuple(one for one in found if one in _KINDS) for name, found in types.items()}


def from_table(kind: type[Settings], table: Mapping[str, Any], where: str) -> Settings:
    """Settings from a TOML table; an unknown key or a value of another kind is refused by name."""
    known = kinds_of(kind)
    for key, value in table.items():
        if key not in known:
            raise BadInput(f"{where} has no setting '{key}'.", fix=instead(key, known), code="MD-SETTING")
        kinds = [_KINDS[one] for one in known[key]]
        allowed = tuple(one for types, _ in kinds for one in types)
        if not isinstance(value, allowed) or (isinstance(value, bool) and bool not in allowed):
            words = " or ".join(word for _, word in kinds)
            raise bad_setting(f"{where}.{key}", value, f"it has to be {words}.")
    return kind(**{key: _one_way(value, known[key]) for key, value in table.items()})


def _one_way(value: Any, kinds: tuple[type, ...]) -> Any:
    """A number written in one way: 25 is 25.0 where fractions are meant, so that equal settings are equal text."""
    return float(value) if kinds == (float,) and type(value) is int and abs(value) < 2**53 else value


def to_table(settings: ClipSettings | Shape | TrainSettings | SampleSettings) -> dict[str, Any]:
    """The settings as a TOML table, without those that are None."""
    return {key: value for key, value in dataclasses.asdict(settings).items() if value is not None}


def parse_size(text: str) -> tuple[int, int]:
    """Width and height out of `384x288`, or of `64` for a square."""
    first, by, second = text.lower().replace("\N{MULTIPLICATION SIGN}", "x").partition("x")
    try:
        width, height = int(first), int(second if by else first)
    except ValueError:
        raise BadInput(f"'{text}' is no size.", fix="write it as WIDTHxHEIGHT, such as 384x288") from None
    near = [min(MAX_EDGE, max(MIN_EDGE, round(edge / EDGE_STEP) * EDGE_STEP)) for edge in (width, height)]
    if near != [width, height]:
        raise BadInput(
            f"a video of {width}x{height} cannot be made.",
            why=f"edges are multiples of {EDGE_STEP} from {MIN_EDGE} to {MAX_EDGE}.",
            fix=f"--size {near[0]}x{near[1]}",
        )
    return width, height
