"""What the tests of the command line share."""

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
