"""What previews tell while a training runs: how far the motion has come, and whether the look of the clips came along.

Both need no weights. They compare with the clips, and with what the base model makes of the same prompt and noise.
"""

from collections.abc import Sequence

import cv2
import numpy as np

from mdctl.measure import flow, looks, moving
from mdctl.measure.course import Seen
from mdctl.measure.flow import Values
from mdctl.media import plot
from mdctl.media.frames import Frames


class Watch:
    """The clips of a training, ready for videos to be compared with them."""

    def __init__(self, clips: Sequence[Frames]) -> None:
        self._flows = [flow.flows(clip) for clip in clips]
        self._frames = np.concatenate(list(clips))

    def learned(self, frames: Frames) -> float:
        """How alike this video flows at the same places and times, mean over the clips; 0 for those that are static.

        Points that follow the flow would tell more, but are lost in the videos of a training that has just begun.
        """
        own = flow.flows(_shaped(frames, self._flows[0].forward.shape[0] + 1, self._frames.shape[1:3]))
        found = [moving.flow_similarity(own, other) for other in self._flows]
        return float(np.mean([one["cos"] if one else 0.0 for one in found]))

    def leaked(self, frames: Frames, base: Frames) -> float:
        """How much more this video looks like the clips than `base`, made of the same prompt and noise, does."""
        colour = looks.leak_colour(frames, base, self._frames)
        return max(colour, looks.leak_layout(frames, base, self._frames))


def _shaped(frames: Frames, num_frames: int, size: tuple[int, ...]) -> Frames:
    """A video with as many frames as the clips have, of their height and width."""
    picks = np.linspace(0, len(frames) - 1, num_frames).round().astype(int)
    if frames.shape[1:3] == size:
        return np.asarray(frames[picks], np.uint8)
    resized = [cv2.resize(frame, size[::-1], interpolation=cv2.INTER_AREA) for frame in frames[picks]]
    return np.asarray(np.stack(resized), np.uint8)


def chart(base: float, seen: Sequence[Seen]) -> bytes:
    """Both curves over the steps of one preview or more as a PNG; they begin with the base model at step 0."""
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
    return plot.png([plot.Panel(f"previews up to step {seen[-1].step}", lines)], legend)
