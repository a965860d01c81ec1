"""How far a motion came from preview to preview, and which save that suggests; nothing heavy is imported here."""

from collections.abc import Sequence
from dataclasses import dataclass

ENOUGH = 0.95
"""The share of all that was learned at which the motion counts as learned."""

LEARNS = 0.1
"""By so much a preview has to agree better than the base model before anything is suggested."""


@dataclass(frozen=True)
class Seen:
    """What was seen of one save."""

    step: int
    learned: float
    """Agreement of optical flow with the clips, mean over clips and prompts, in [-1, 1] (see `Watch.learned`)."""

    leaked: float
    """How much nearer to the clips' colours and layout than the base model's video, whichever is more; 0 is not."""


def knee(base: float, seen: Sequence[Seen]) -> int | None:
    """The first step at which the motion has nearly come as far as it came at all; None while it has not come.

    `base` is how far the base model's own video agrees. Looks leak more the longer a training lasts, so the first is
    the best of equals.
    """
    best = max((one.learned for one in seen), default=-1.0)
    if best < base + LEARNS:
        return None
    return next(one.step for one in seen if one.learned - base >= ENOUGH * (best - base))
