"""Does it look as it was asked to, and not as the clips do? Figures on frames, and on their embeddings.

What compares frames is None where there are too few of them.
"""

import cv2
import numpy as np

from mdctl.measure.flow import Values
from mdctl.media.frames import Frames

BINS = 8
THUMB = 32


def text_score(images: Values, text: Values, logit_scale: float) -> float:
    """Mean likeness of frames and prompt (LOVEU-TGVE's CLIP score and PickScore); unit embeddings (f, d) and (d,)."""
    return float(logit_scale * (images @ text).mean())


def frame_consistency(images: Values) -> float | None:
    """Mean cosine of all pairs of different frames (LOVEU-TGVE), in [-1, 1]."""
    count = len(images)
    if count < 2:
        return None
    total = np.square(images.sum(0)).sum()
    return float((total - count) / (count * (count - 1)))


def steady_looks(images: Values) -> float | None:
    """Mean of how far each frame agrees with the one before and with the first, in [0, 1].

    VBench's subject consistency on embeddings of DINO, and its background consistency on those of CLIP ViT-B/32; there
    of all frames, here of those that are given.
    """
    if len(images) < 2:
        return None
    before = np.maximum(0, (images[1:] * images[:-1]).sum(1))
    first = np.maximum(0, images[1:] @ images[0])
    return float(((before + first) / 2).mean())


def steadiness(frames: Frames) -> float | None:
    """1 minus the mean change from frame to frame as a share of the full range.

    VBench's temporal flickering where the frames are all of a video.
    """
    if len(frames) < 2:
        return None
    return float(1 - np.abs(np.diff(frames.astype(np.int16), axis=0)).mean() / 255)


def smoothness(frames: Frames) -> float | None:
    """How well every second frame is the mean of its neighbours, in [0, 1]: a proxy for motion smoothness."""
    if len(frames) < 3:
        return None
    middle, around = frames[1:-1:2].astype(float), (frames[:-2:2].astype(float) + frames[2::2]) / 2
    return float(1 - np.abs(middle - around[: len(middle)]).mean() / 255)


# --- Leakage: how much more like the clips it looks than what the base model makes of the same prompt and noise.


def leak_colour(made: Frames, base: Frames, clips: Frames) -> float:
    """By how much the colours are nearer to those of the clips; 0 is no leakage. Bhattacharyya, 8x8x8 bins of Lab."""
    reference = _colours(clips)
    return _overlap(_colours(made), reference) - _overlap(_colours(base), reference)


def leak_layout(made: Frames, base: Frames, clips: Frames) -> float:
    """By how much the mean picture is more like that of the clips; 0 is no leakage. Correlation of small grey ones."""
    reference = _thumb(clips)
    return _correlation(_thumb(made), reference) - _correlation(_thumb(base), reference)


def leak_embed(made: Values, base: Values, clips: Values) -> float:
    """By how much the embeddings (f, d) are nearer to those of the clips' frames; 0 is no leakage."""
    return float((made @ clips.T).mean() - (base @ clips.T).mean())


def _colours(frames: Frames) -> Values:
    flat = np.ascontiguousarray(frames).reshape(-1, 1, 3)
    lab = cv2.cvtColor(flat, cv2.COLOR_RGB2Lab).reshape(-1, 3) // (256 // BINS)
    counts = np.bincount(lab @ np.array([BINS * BINS, BINS, 1]), minlength=BINS**3)
    return np.asarray(counts / counts.sum())


def _overlap(one: Values, two: Values) -> float:
    return float(np.sqrt(one * two).sum())


def _thumb(frames: Frames) -> Values:
    mean = np.asarray(frames.mean(0), np.float32)
    grey = cv2.cvtColor(mean, cv2.COLOR_RGB2GRAY)
    return np.asarray(cv2.resize(grey, (THUMB, THUMB), interpolation=cv2.INTER_AREA), np.float64)


def _correlation(one: Values, two: Values) -> float:
    a, b = one - one.mean(), two - two.mean()
    norm = np.sqrt(np.square(a).sum() * np.square(b).sum())
    return float((a * b).sum() / norm) if norm > 1e-9 else 0.0
