"""`bench score`: all figures of one video, each computed or skipped with its reason."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from mdctl.measure import flow, looks, moving
from mdctl.measure.embedders import Embedder, ImageEmbedder
from mdctl.media.frames import Frames

VERSION = 2
"""Of the figures: it belongs to every result."""

NO_WEIGHTS = "no weights of {} on this computer"
NO_PROMPT = "no prompt given"
NO_CLIPS = "no reference clips given"
NO_BASE = "no video of the base model with the same prompt and noise given"
STATIC = "nothing moves, or nothing can be followed"


@dataclass(frozen=True)
class Seen:
    """A video as it is judged: some frames to look at, and more of them, smaller, to follow what moves."""

    frames: Frames
    dense: Frames
    fps: float
    """Of the dense frames."""


@dataclass(frozen=True)
class Video:
    """What is to be judged, with all that it is judged by."""

    seen: Seen
    prompt: str | None = None
    clips: Sequence[Seen] = ()
    """Clips of the motion, with as many frames of the same sizes."""

    base: Seen | None = None
    """What the base model makes of the same prompt and noise."""


@dataclass
class Scores:
    """Figures by name; what could not be computed is in `skipped`, never 0."""

    values: dict[str, float] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)
    static: bool = False
    """Whether nothing moves, or nothing can be followed, in the video or in a clip: motion fidelity is 0 there."""

    def add(self, name: str, value: float | None, otherwise: str) -> None:
        """Take a figure, or the reason why there is none."""
        if value is None:
            self.skipped[name] = otherwise
        else:
            self.values[name] = float(value)


def score(
    video: Video, clip: Embedder | None = None, pick: Embedder | None = None, dino: ImageEmbedder | None = None
) -> Scores:
    """Everything that can be said of a video with what is at hand."""
    found = Scores()
    _looks(found, video, clip, pick)
    subject = looks.subject_consistency(dino.images(video.seen.frames)) if dino else None
    found.add("subject_consistency", subject, NO_WEIGHTS.format("DINO"))
    _motion(found, video)
    _leakage(found, video, clip)
    return found


def _looks(found: Scores, video: Video, clip: Embedder | None, pick: Embedder | None) -> None:
    pictures = clip.images(video.seen.frames) if clip else None
    for name, model, seen in (("text", clip, pictures), ("pick", pick, None)):
        if model is None or not video.prompt:
            known = {"text": "CLIP", "pick": "PickScore"}[name]
            found.add(name, None, NO_PROMPT if model else NO_WEIGHTS.format(known))
            continue
        images = model.images(video.seen.frames) if seen is None else seen
        found.add(name, looks.text_score(images, model.texts([video.prompt])[0], model.logit_scale), "")
    consistency = None if pictures is None else 100 * looks.frame_consistency(pictures)
    found.add("consistency", consistency, NO_WEIGHTS.format("CLIP"))
    found.add("steadiness", looks.steadiness(video.seen.frames), "")
    found.add("smoothness_blend", looks.smoothness(video.seen.frames), "")


def _motion(found: Scores, video: Video) -> None:
    own = flow.flows(video.seen.dense)
    activity = moving.dynamic_degree(video.seen.dense, video.seen.fps)
    found.add("dynamic_degree_dis", activity["dynamic"], "")
    found.add("speed_dis", activity["speed"], "")
    names = ("motion_fidelity_dis", "directions_dis", "flow_cos_dis", "flow_epe_dis")
    if not video.clips:
        found.skipped |= dict.fromkeys(names, NO_CLIPS)
        return
    others, points, side = (
        [flow.flows(clip.dense) for clip in video.clips],
        flow.tracks(own),
        min(own.forward.shape[1:3]),
    )
    same_place = [moving.flow_similarity(own, other) for other in others]
    judged: tuple[Callable[[int], float | None], ...] = (
        lambda place: moving.motion_fidelity(points, flow.tracks(others[place]), side),
        lambda place: moving.direction_similarity(own, others[place]),
        lambda place: (same_place[place] or {}).get("cos"),
        lambda place: (same_place[place] or {}).get("epe"),
    )
    for name, judge in zip(names, judged, strict=True):
        judged_each = [judge(place) for place in range(len(others))]
        if name == "motion_fidelity_dis":  # a video that falls apart must not drop out of the mean
            found.static = None in judged_each
            judged_each = [value or 0.0 for value in judged_each]
        values = [value for value in judged_each if value is not None]
        found.add(name, float(np.mean(values)) if values else None, STATIC)


def _leakage(found: Scores, video: Video, clip: Embedder | None) -> None:
    names = ("leak_colour", "leak_layout", "leak_embed")
    if not video.clips or video.base is None:
        found.skipped |= dict.fromkeys(names, NO_BASE if video.clips else NO_CLIPS)
        return
    made, base = video.seen.frames, video.base.frames
    clips = np.concatenate([one.frames for one in video.clips])
    found.add("leak_colour", looks.leak_colour(made, base, clips), "")
    found.add("leak_layout", looks.leak_layout(made, base, clips), "")
    if clip is None:
        found.add("leak_embed", None, NO_WEIGHTS.format("CLIP"))
    else:
        found.add("leak_embed", looks.leak_embed(clip.images(made), clip.images(base), clip.images(clips)), "")
