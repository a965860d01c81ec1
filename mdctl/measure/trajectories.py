"""`bench trajectories`: the paper's Figure 5 on `starter`, with the figures behind it.

Four clips, two appearances in two motions, are inverted to noise by the base model; all along, every frame is a point.
How far the clips lie apart is said to follow their appearance, how the points of one clip are connected its motion, and
the debiasing of equation 5 to take away the first and keep the second.
"""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mdctl.measure.flow import Values
from mdctl.media import motions, world
from mdctl.media.frames import Frames
from mdctl.media.world import Scene
from mdctl.motion import sampling
from mdctl.motion.backbone import Backbone
from mdctl.motion.dataset import to_pixels
from mdctl.motion.objective import debias

SCENES = (Scene("monkey", "sky"), Scene("car", "brick"))
MOTIONS = ("moving right", "orbiting")
STEPS = 50
CLIPS = tuple(itertools.product(range(len(SCENES)), range(len(MOTIONS))))
"""Appearance and motion of each of the four clips."""


@dataclass(frozen=True)
class Trajectory:
    """The latents of all clips at one timestep, (clips, frames, dimensions)."""

    step: int
    """Of the inversion: 0 is the clip itself, the last one noise."""

    latents: Values
    debiased: Values
    """The same after equation 5, the first frame being the anchor."""


def clips() -> list[Frames]:
    """The four clips; those of one motion run in the same way."""
    rngs = [np.random.default_rng(seed) for _, seed in CLIPS]
    return [
        world.render(SCENES[look], motions.track(MOTIONS[motion], rng))[0]
        for (look, motion), rng in zip(CLIPS, rngs, strict=True)
    ]


def invert(backbone: Backbone) -> Iterator[Trajectory]:
    """The latents on their way to noise, step by step, starting with the clips as they are."""
    embeds = backbone.embed([""])
    ways = []
    for frames in clips():
        latents = backbone.encode(to_pixels(frames)).mean
        ways.append([latents, *(step.latents for step in sampling.invert(backbone, latents, embeds, STEPS))])
    for step, together in enumerate(zip(*ways, strict=True)):
        plain = [_points(latents) for latents in together]
        debiased = [_points(debias(latents, anchor=0)) for latents in together]
        yield Trajectory(step, np.stack(plain), np.stack(debiased))


def _points(latents: Any) -> Values:  # 1 c f h w → f d
    found: Values = latents[0].transpose(0, 1).flatten(1).double().cpu().numpy()
    return found


def figures(points: Values) -> dict[str, float]:
    """What the points of four clips (clips, frames, dimensions) say of the claim.

    `apart_look` and `apart_motion` are the mean distances of the clips' middles between two appearances in one motion,
    and between two motions in one appearance, both as shares of the mean distance between frames of one clip;
    `alike_motion` and `alike_look` how well the distances among frames of two clips correlate, for clips of one motion
    and for clips of one appearance.
    """
    middles = points.mean(1)
    spread = float(np.mean([_distances(clip)[np.triu_indices(len(clip), 1)].mean() for clip in points]))
    apart: dict[str, list[float]] = {"look": [], "motion": []}
    alike: dict[str, list[float]] = {"look": [], "motion": []}
    for one, two in itertools.combinations(range(len(points)), 2):
        same_look, same_motion = (CLIPS[one][kind] == CLIPS[two][kind] for kind in (0, 1))
        if same_look == same_motion:
            continue
        distance = float(np.linalg.norm(middles[one] - middles[two])) / spread
        corner = np.triu_indices(points.shape[1], 1)
        likeness = float(np.corrcoef(_distances(points[one])[corner], _distances(points[two])[corner])[0, 1])
        apart["look" if same_motion else "motion"].append(distance)
        alike["motion" if same_motion else "look"].append(likeness)
    return {
        "apart_look": float(np.mean(apart["look"])),
        "apart_motion": float(np.mean(apart["motion"])),
        "alike_motion": float(np.mean(alike["motion"])),
        "alike_look": float(np.mean(alike["look"])),
    }


def _distances(points: Values) -> Values:
    found: Values = np.linalg.norm(points[:, None] - points[None], axis=-1)
    return found


def flat(points: Sequence[Values]) -> list[Values]:
    """All points in the plane in which they differ most (PCA), each array (clips, frames, 2)."""
    rows = np.concatenate([one.reshape(-1, one.shape[-1]) for one in points])
    middle = rows.mean(0)
    _, _, axes = np.linalg.svd(rows - middle, full_matrices=False)
    return [(one - middle) @ axes[:2].T for one in points]
