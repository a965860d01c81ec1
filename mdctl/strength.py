"""How loudly an adapter speaks while a video is made: the paper's gamma, the same throughout or by parts of the way."""

import itertools
import re
from dataclasses import dataclass
from typing import NamedTuple

from mdctl.errors import BadInput

LOUDEST = 10.0
"""No strength may be above it; beyond 1.5 pictures break."""

_PART = re.compile(r"([^@]+)@([^@]+?)(?<![eE])-([^@]+)")  # the minus of 1e-05 parts nothing


class Part(NamedTuple):
    """A strength between two shares of the way from noise (0) to picture (1)."""

    value: float
    begin: float
    end: float


@dataclass(frozen=True)
class Strength:
    """A strength over the denoising steps; where no part says anything, it is 0."""

    parts: tuple[Part, ...]

    @classmethod
    def parse(cls, given: "float | str | Strength") -> "Strength":
        """From a number, or from a schedule such as `1.0@0-0.5+0.3@0.5-1`, in which 0 is pure noise."""
        if isinstance(given, Strength):
            return given
        text = str(given).strip()
        pieces = [piece.strip() for piece in text.split("+")] if "@" in text else [f"{text}@0-1"]
        parts = sorted((_part(piece, text) for piece in pieces), key=lambda part: part.begin)
        for early, late in itertools.pairwise(parts):
            if early.end > late.begin:
                raise _unusable(text, f"two strengths hold from {late.begin:g} to {min(early.end, late.end):g}.")
        return cls(tuple(parts))

    def at(self, step: int, of: int) -> float:
        """The strength in one of the denoising steps 1, 2, …, `of`."""
        place = (step - 0.5) / of
        return next((part.value for part in self.parts if part.begin <= place < part.end), 0.0)

    @property
    def highest(self) -> float:
        """The largest strength; where it is 0, the adapter never speaks."""
        return max(part.value for part in self.parts)

    @property
    def constant(self) -> float | None:
        """The one strength, None where it changes on the way."""
        value, begin, end = self.parts[0]
        return value if (begin, end) == (0, 1) else None

    def until(self, share: float) -> "Strength":
        """The same where it changes on the way; one number holds only for this share of it."""
        value = self.constant
        return self if value is None or share == 1 else Strength((Part(value, 0.0, share),))

    def times(self, factor: float) -> "Strength":
        """The same course, weighed."""
        return Strength(tuple(part._replace(value=part.value * factor) for part in self.parts))

    def plain(self) -> float | str:
        """As a setting says it: `parse` reads it back."""
        return self.schedule() if self.constant is None else self.constant

    def schedule(self) -> str:
        """As a schedule, which one number becomes too: `1@0-1` holds all the way, whatever is said of numbers."""
        return "+".join(f"{_told(value)}@{_told(begin)}-{_told(end)}" for value, begin, end in self.parts)

    def __str__(self) -> str:
        return self.schedule() if self.constant is None else _told(self.constant)


def _told(number: float) -> str:
    """As few digits as give this very number again, so that a video comes out again from its recipe."""
    return repr(float(number)).removesuffix(".0")


def _part(piece: str, text: str) -> Part:
    found = _PART.fullmatch(piece)
    try:
        value, begin, end = (float(number) for number in found.groups()) if found else (0.0, 0.0, 0.0)
    except ValueError:
        found = None
    if not found:
        raise _unusable(text, "it is no number and no schedule.")
    if not 0 <= value <= LOUDEST:  # NaN is refused too: it compares with nothing
        raise _unusable(text, f"a strength is from 0 to {LOUDEST:g}.")
    if not 0 <= begin < end <= 1:
        raise _unusable(text, f"{begin:g}-{end:g} is no part of the way from 0 (noise) to 1 (picture).")
    return Part(value, begin, end)


def _unusable(text: str, why: str) -> BadInput:
    what = f"a strength of '{text[:80]}' cannot be used."
    return BadInput(what, why=why, fix="write a number such as 0.8, or a schedule such as 1.0@0-0.5+0.3@0.5-1")
