"""Figures as other papers' code computes them, each under a name of its own: for comparing with what they print.

The formulas are theirs, down to what is odd in them. The points are not: they follow optical flow (`_dis`), where the
originals use CoTracker, whose weights are not free to share.
"""

import numpy as np
from numpy.typing import NDArray

from mdctl.measure import flow
from mdctl.measure.embedders import Embedder, ImageEmbedder, without
from mdctl.measure.flow import Flows, Values
from mdctl.measure.score import NO_PROMPT, Scores, Seen, Video, followable
from mdctl.media import folders

KINDS = ("yatim", "mtbench")
YATIM_GRID, MTBENCH_GRID = 55, 50
COLUMNS = {"yatim": ("yatim_motion_dis",), "mtbench": ("mtbench_text", "mtbench_temporal", "mtbench_motion_dis")}
NOT_A_NUMBER = "a point stands still in a step, and this formula divides by its length"
CHUNK = 2_000_000

Box = tuple[float, float, float, float]
"""Left, top, right and bottom."""


def score(
    found: Scores, kind: str, video: Video, clip: Embedder | None = None, dino: ImageEmbedder | None = None
) -> None:
    """Add the figures of one kind; `clip` and `dino` are those that MTBench uses."""
    if kind == "mtbench":
        text = None
        if clip and video.prompt:
            text = found.likeness("mtbench_text", clip, clip.images(video.seen.frames), video.prompt)
        found.add("mtbench_text", text, without("CLIP ViT-B/32") if clip is None else NO_PROMPT)
        temporal = mtbench_temporal(dino.images(video.seen.frames)) if dino else None
        found.add("mtbench_temporal", temporal, without("DINO"))
    name = f"{kind}_motion_dis"
    clips, otherwise = followable(video)
    if not clips:
        found.add(name, None, otherwise)
        return
    own, values = flow.flows(video.seen.dense), list[float | None]()
    for one in clips:
        other = flow.flows(one.dense)
        if kind == "yatim":
            values.append(yatim(followed(own, YATIM_GRID), followed(other, YATIM_GRID)))
        else:
            size, box = (one.dense.shape[2], one.dense.shape[1]), _box(one)
            found.meta.setdefault("mtbench_boxes", []).append(box or "the whole frame")
            ours, theirs = (followed(flows, MTBENCH_GRID, box) for flows in (own, other))
            values.append(mtbench_motion(ours, theirs, size))
    numbers = [value for value in values if value is not None]
    found.add(name, float(np.mean(numbers)) if numbers else None, NOT_A_NUMBER)


def _box(clip: Seen) -> Box | None:
    """Where the points begin that MTBench follows in a clip and in what is compared with it; None is everywhere."""
    size = clip.dense.shape[2], clip.dense.shape[1]
    box = folders.box(clip.mask, size) if clip.mask else None
    return box if box and _inside(_grid(MTBENCH_GRID, *size), box).any() else None


def _grid(grid: int, width: int, height: int) -> Values:
    y, x = np.meshgrid((np.arange(grid) + 0.5) * height / grid, (np.arange(grid) + 0.5) * width / grid, indexing="ij")
    return np.stack([x.ravel(), y.ravel()], 1)


def _inside(points: Values, box: Box) -> NDArray[np.bool_]:
    return np.asarray(((points >= box[:2]) & (points < box[2:])).all(1))


def followed(found: Flows, grid: int, box: Box | None = None) -> Values:
    """Points of an even grid followed through a whole video, (n, f, 2), also where they are no longer in sight.

    The grid covers the frame; of its points those in `box` are followed.
    """
    steps, height, width = found.forward.shape[:3]
    points = _grid(grid, width, height)
    path = [points[_inside(points, box)] if box else points]
    for step in range(steps):
        path.append(path[-1] + flow.at(found.forward[step], path[-1]))
    tracks: Values = np.stack(path, 1)
    return tracks


def yatim(own: Values, other: Values) -> float | None:
    """Motion fidelity as published with Diffusion Motion Transfer (Yatim et al. 2024), of tracks (n, f, 2).

    One direction, from the generated video to the reference, and without the diagonal: 1 is taken off where point n
    meets point n. So a video is less than 1 like itself. None where a point stands still: the original gives NaN.
    """
    first, second = (_unit(np.diff(tracks, axis=1)) for tracks in _same_length(own, other))
    best = _best(first, second, diagonal=True)
    return None if np.isnan(best).any() else float(best.mean())


def mtbench_motion(own: Values, other: Values, size: tuple[int, int]) -> float | None:
    """Motion fidelity as published with MTBench (DeT), of tracks (n, f, 2) in pixels of videos of this size.

    One direction; positions as shares of width and height, and where a point begins counts as its first step. None
    where a point stands still.
    """
    first, second = (_unit(_begun(tracks / size)) for tracks in _same_length(own, other))
    best = _best(first, second, diagonal=False)
    return None if np.isnan(best).any() else float(best.mean())


def mtbench_temporal(images: Values) -> float:
    """Temporal consistency as published with MTBench, of unit embeddings (f, d).

    Half the cosine with the first frame and half that with the one before; the first frame counts, with itself.
    """
    before = np.concatenate([images[:1], images[:-1]])
    return float(((images @ images[0]).mean() + (images * before).sum(1).mean()) / 2)


def _same_length(own: Values, other: Values) -> tuple[Values, Values]:
    """The longer one with frames left out, evenly."""
    length = min(own.shape[1], other.shape[1])
    first, second = (tracks[:, np.linspace(0, tracks.shape[1] - 1, length).astype(int)] for tracks in (own, other))
    return first, second


def _begun(tracks: Values) -> Values:
    return np.concatenate([tracks[:, :1], np.diff(tracks, axis=1)], axis=1)


def _unit(steps: Values) -> Values:
    with np.errstate(invalid="ignore"):
        found: Values = steps / np.linalg.norm(steps, axis=-1, keepdims=True)
    return found


def _best(first: Values, second: Values, *, diagonal: bool) -> NDArray[np.float64]:
    """For each track its greatest mean cosine with one of the other's, in chunks that fit the memory."""
    flat, other = first.reshape(len(first), -1), second.reshape(len(second), -1)
    rows = max(1, CHUNK // len(second))
    best = np.empty(len(first))
    for start in range(0, len(first), rows):
        likeness = flat[start : start + rows] @ other.T / first.shape[1]
        if diagonal:
            likeness -= np.eye(len(likeness), len(second), start)
        best[start : start + rows] = likeness.max(1)
    return best
