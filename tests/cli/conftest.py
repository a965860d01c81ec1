"""What the tests of the command line share."""

from campaigns import line
from props import (
    films,
    fresh,
    golf,
    mdctl,
    model,
    packed,
    photos,
    play,
    run,
    studio,
    take,
    template,
    unchanged,
)

__all__ = [
    "films",
    "fresh",
    "golf",
    "line",
    "mdctl",
    "model",
    "packed",
    "photos",
    "play",
    "run",
    "studio",
    "take",
    "template",
    "unchanged",
]
