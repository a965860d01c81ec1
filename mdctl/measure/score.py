"""`bench score`: all figures of one video, each computed or skipped with its reason."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from mdctl.measure import flow, looks, moving
from mdctl.measure.embedders import Embedder, ImageEmbedder, without
from mdctl.measure.flow import Values
from mdctl.media.frames import Frames

VERSION = 3
"""Of the figures: it belongs to every result."""

NO_PROMPT = "no prompt given"
NO_CLIPS = "no reference clips given"
NO_CAPTION = "no caption of the reference clips is known"
NO_BASE = "no video of the base model with the same prompt and noise given"
STATIC = "nothing moves in the reference clips"
SHORT = "too few frames"
SHORT_CLIPS = "too few frames in the reference clips"


@dataclass(frozen=True)
class Seen:
    """A video as it is judged: some frames to look at, and more of them, smaller, to follow what moves."""

    frames: Frames
    dense: Frames
    """All of a video, unless it is long: what is said of neighbouring frames is said of these."""

    fps: float
    """Of the dense frames."""

    mask: Path | None = None
    """MTBench's mask of the first frame, where it has one."""


@dataclass(frozen=True)
class Video:
    """What is to be judged, with all that it is judged by."""

    seen: Seen
    prompt: str | None = None
    clips: Sequence[Seen] = ()
    """Clips of the motion, with as many frames of the same sizes."""

    base: Seen | None = None
    """What the base model makes of the same prompt and noise."""

    captions: Sequence[str] = ()
    """What training was told about the clips."""


@dataclass
class Scores:
    """Figures by name; what could not be computed is in `skipped`, never 0."""

    values: dict[str, float] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)
    meta: dict[str, Any] = field(default_factory=dict)
    """What the figures rest on.

    `static` says that nothing moves, or nothing can be followed, in the video or in a clip: motion fidelity is 0 there.
    `truncated` has the figures whose prompt was too long, and how many of its tokens were read.
    """

    def add(self, name: str, value: float | None, otherwise: str) -> None:
        """Take a figure, or the reason why there is none."""
        if value is None:
            self.skipped[name] = otherwise
        else:
            self.values[name] = float(value)

    def likeness(self, name: str, model: Embedder, images: Values, prompt: str) -> float:
        """The text score of embedded frames, for the figure of this name."""
        if model.cuts(prompt):
            self.meta.setdefault("truncated", {})[name] = model.limit
        return looks.text_score(images, model.texts([prompt])[0], model.logit_scale)


def score(
    video: Video,
    clip: Embedder | None = None,
    pick: Embedder | None = None,
    dino: ImageEmbedder | None = None,
    clip_b32: Embedder | None = None,
) -> Scores:
    """Everything that can be said of a video with what is at hand."""
    seen = video.seen
    followed = {"flow": flow.BACKEND, "judged_frames": len(seen.frames), "followed_frames": len(seen.dense)}
    found = Scores(meta={**followed, "static": False})
    _words(found, video, clip, pick)
    for name, model, called in (
        ("subject_consistency", dino, "DINO"),
        ("background_consistency", clip_b32, "CLIP ViT-B/32"),
    ):
        steady = looks.steady_looks(model.images(seen.frames)) if model else None
        found.add(name, steady, SHORT if model else without(called))
    found.add("steadiness", looks.steadiness(seen.dense), SHORT)
    found.add("smoothness_blend", looks.smoothness(seen.dense), SHORT)
    _motion(found, video)
    _leakage(found, video, clip)
    return found


def _words(found: Scores, video: Video, clip: Embedder | None, pick: Embedder | None) -> None:
    frames, prompt = video.seen.frames, video.prompt
    if clip is None:
        found.skipped |= dict.fromkeys(("text", "consistency", "leak_caption"), without("CLIP"))
    else:
        pictures = clip.images(frames)
        consistency = looks.frame_consistency(pictures)
        found.add("consistency", None if consistency is None else 100 * consistency, SHORT)
        text = found.likeness("text", clip, pictures, prompt) if prompt else None
        found.add("text", text, NO_PROMPT)
        trained = [found.likeness("leak_caption", clip, pictures, caption) for caption in video.captions]
        more = None if text is None or not trained else float(np.mean(trained)) - text
        found.add("leak_caption", more, NO_PROMPT if text is None else NO_CAPTION)
    picked = found.likeness("pick", pick, pick.images(frames), prompt) if pick and prompt else None
    found.add("pick", picked, NO_PROMPT if pick else without("PickScore"))


def followable(video: Video) -> tuple[list[Seen], str]:
    """The clips whose motion can be compared with that of a video; if there are none, why."""
    if not video.clips:
        return [], NO_CLIPS
    if len(video.seen.dense) < 2:
        return [], SHORT
    return [clip for clip in video.clips if len(clip.dense) > 1], SHORT_CLIPS


def _motion(found: Scores, video: Video) -> None:
    activity = moving.dynamic_degree(video.seen.dense, video.seen.fps) or {}
    found.add("dynamic_degree_dis", activity.get("dynamic"), SHORT)
    found.add("speed_dis", activity.get("speed"), SHORT)
    names = ("motion_fidelity_dis", "directions_dis", "flow_cos_dis", "flow_epe_dis")
    clips, otherwise = followable(video)
    if not clips:
        found.skipped |= dict.fromkeys(names, otherwise)
        return
    own, others = flow.flows(video.seen.dense), [flow.flows(clip.dense) for clip in clips]
    points, side = flow.tracks(own), min(own.forward.shape[1:3])
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
            found.meta["static"] = None in judged_each
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
        found.add("leak_embed", None, without("CLIP"))
    else:
        found.add("leak_embed", looks.leak_embed(clip.images(made), clip.images(base), clip.images(clips)), "")
