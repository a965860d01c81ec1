"""Is it the same motion? Figures that compare how two videos move, and how much one moves at all."""

import numpy as np
from numpy.typing import NDArray

from mdctl.measure.flow import Flows, Values, flows
from mdctl.media.frames import Frames

STILL = 1e-3
"""A point moves in a step that takes it further than this share of the shorter side."""

BINS = 36
SHIFT = 2
"""Steps by which one video may run ahead of the other, where motions are compared and not places."""

CHUNK = 2_000_000


def motion_fidelity(own: Values, other: Values, short_side: float) -> float | None:
    """How alike the points of two videos run, in [-1, 1]; None when nothing moves in one of them.

    `own` and `other` are tracks (n, f, 2). Every point is matched with the one of the other video whose steps point the
    same way most, and the mean is taken over the points of both: after Yatim et al. (2024), made symmetric, and with
    steps that do not move left out.
    """
    length = min(own.shape[1], other.shape[1])
    first, first_moves = _directions(_resampled(own, length), short_side)
    second, second_moves = _directions(_resampled(other, length), short_side)
    if not len(first) or not len(second):
        return None
    best_first = np.full(len(first), -np.inf)
    best_second = np.full(len(second), -np.inf)
    rows = max(1, CHUNK // (len(second) * length))
    for start in range(0, len(first), rows):
        part = slice(start, start + rows)
        both = np.einsum("nt,mt->nm", first_moves[part].astype(float), second_moves.astype(float))
        cosines = np.einsum("ntd,mtd->nm", first[part], second)
        likeness = np.where(both > 0, cosines / np.maximum(both, 1), -np.inf)
        best_first[part] = likeness.max(1)
        best_second = np.maximum(best_second, likeness.max(0))
    means = [best[np.isfinite(best)].mean() for best in (best_first, best_second) if np.isfinite(best).any()]
    return float(np.mean(means)) if len(means) == 2 else None


def _resampled(tracks: Values, length: int) -> Values:
    picks = np.linspace(0, tracks.shape[1] - 1, length).round().astype(int)
    return tracks[:, picks]


def _directions(tracks: Values, short_side: float) -> tuple[Values, NDArray[np.bool_]]:
    """Unit steps (n, f - 1, 2), zero where a point does not move; and where it moves. Points at rest are left out."""
    steps = np.diff(tracks, axis=1)
    lengths = np.linalg.norm(steps, axis=-1)
    moves = lengths >= STILL * short_side
    units = np.where(moves[..., None], steps / (lengths[..., None] + 1e-6 * (lengths[..., None] == 0)), 0.0)
    some = moves.any(1)
    return units[some], moves[some]


def flow_similarity(own: Flows, reference: Flows) -> dict[str, float] | None:
    """How alike two videos flow at the same places and times; None when the reference is static, or there is no flow.

    `cos` is the mean cosine weighted by the reference's speed (clipped at its 95th percentile), `epe` the mean distance
    of the flows as a share of the reference's mean speed. Both have the same size; the longer one counts as far as the
    other goes.
    """
    steps = min(len(reference.forward), len(own.forward))
    given, seen = reference.forward[:steps], own.forward[:steps]
    speed, found = np.linalg.norm(given, axis=-1), np.linalg.norm(seen, axis=-1)
    if not speed.size or speed.mean() < 1e-3:
        return None
    weight = np.minimum(speed, np.percentile(speed, 95))
    cosine = (given * seen).sum(-1) / (speed * found + 1e-6)
    distance = np.linalg.norm(given - seen, axis=-1)
    return {"cos": float((weight * cosine).sum() / weight.sum()), "epe": float(distance.mean() / speed.mean())}


def direction_similarity(own: Flows, reference: Flows) -> float | None:
    """How alike the directions of two videos are from step to step, wherever things are; in [0, 1], 1 is the same.

    Directions are counted in `BINS` bins by speed; 1 minus the mean Jensen-Shannon distance, at the best shift by up to
    `SHIFT` steps. A video in which nothing moves is 0 like any other; None when the reference is static, or there is
    no flow.
    """
    first, second = _histograms(own), _histograms(reference)
    if second is None or not len(own.forward):
        return None
    if first is None:
        return 0.0
    length, best = min(len(first), len(second)), 0.0
    for shift in range(-SHIFT, SHIFT + 1):
        one = first[max(0, -shift) : length - max(0, shift)]
        two = second[max(0, shift) : length - max(0, -shift)]
        if len(one):
            best = max(best, 1 - float(np.mean(_distances(one, two))))
    return best


def _histograms(found: Flows) -> Values | None:
    speed = np.linalg.norm(found.forward, axis=-1)
    if not speed.size or speed.mean() < 1e-3:
        return None
    angle = np.arctan2(found.forward[..., 1], found.forward[..., 0])
    bins = ((angle + np.pi) / (2 * np.pi) * BINS).astype(int) % BINS
    counts = np.stack([np.bincount(b.ravel(), s.ravel(), BINS) for b, s in zip(bins, speed, strict=True)])
    return np.asarray(counts / np.maximum(counts.sum(1, keepdims=True), 1e-12))


def _distances(one: Values, two: Values) -> Values:
    """Jensen-Shannon distances, base 2, row by row."""
    middle = (one + two) / 2

    def divergence(p: Values) -> Values:
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.asarray(np.where(p > 0, p * np.log2(p / middle), 0.0).sum(1))

    return np.asarray(np.sqrt(np.clip((divergence(one) + divergence(two)) / 2, 0, 1)))


def dynamic_degree(frames: Frames, fps: float) -> dict[str, float] | None:
    """Whether a video moves, after VBench's rule but with another flow: `dynamic` is 0 or 1, `speed` in pixels.

    Of every pair of frames (about 8 of them a second) the fastest 5 % of the pixels count, on average; the pair moves
    beyond 6 pixels at a shorter side of 256, and the video if a quarter of its pairs does. None without such a pair.
    """
    taken = frames[:: max(1, round(fps / 8))]
    speed = np.linalg.norm(flows(taken).forward, axis=-1)
    if not len(speed):
        return None
    flat = np.sort(speed.reshape(len(speed), -1), axis=1)
    tops = flat[:, -max(1, flat.shape[1] // 20) :].mean(1)
    limit, needed = 6 * min(frames.shape[1:3]) / 256, max(1, round(4 * len(taken) / 16))
    return {"dynamic": float((tops > limit).sum() >= needed), "speed": float(tops.mean())}
