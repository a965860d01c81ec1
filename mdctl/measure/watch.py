"""What previews tell while a training runs: how far the motion has come, and whether the look of the clips came along.

Both need no weights. They compare with the clips, and with what the base model makes of the same prompt and noise.
"""

from collections.abc import Sequence

import numpy as np

from mdctl.measure import flow, looks, moving
from mdctl.measure.course import Seen
from mdctl.measure.flow import Values
from mdctl.media import plot
from mdctl.media.frames import Frames


class Watch:
    """The clips of a training, ready for videos to be compared with them."""

    def __init__(self, clips: Sequence[Frames]) -> None:
        self._tracks = [flow.tracks(flow.flows(clip)) for clip in clips]
        self._frames = np.concatenate(list(clips))

    def learned(self, frames: Frames) -> float:
        """How alike this video moves, mean over the clips; 0 where nothing moves or can be followed."""
        own, side = flow.tracks(flow.flows(frames)), min(frames.shape[1:3])
        return float(np.mean([moving.motion_fidelity(own, other, side) or 0.0 for other in self._tracks]))

    def leaked(self, frames: Frames, base: Frames) -> float:
        """How much more this video looks like the clips than `base`, made of the same prompt and noise, does."""
        colour = looks.leak_colour(frames, base, self._frames)
        return max(colour, looks.leak_layout(frames, base, self._frames))


def chart(base: float, seen: Sequence[Seen]) -> bytes:
    """Both curves over the steps as a PNG; they begin with the base model at step 0."""
    steps = np.array([0.0, *(one.step for one in seen)]) / max(1, *(one.step for one in seen))
    curves: dict[str, Values] = {
        "motion learned": np.array([base, *(one.learned for one in seen)]),
        "appearance leaked": np.array([0.0, *(one.leaked for one in seen)]),
    }
    lines = [
        plot.Line(np.stack([steps, -values], 1), colour)  # downwards is larger in a picture
        for values, colour in zip(curves.values(), plot.COLOURS, strict=False)
    ]
    legend = [
        (f"{name} {values[0]:.2f} to {values[-1]:.2f}", colour)
        for (name, values), colour in zip(curves.items(), plot.COLOURS, strict=False)
    ]
    return plot.png([plot.Panel(f"previews up to step {seen[-1].step if seen else 0}", lines)], legend)
