"""Readers that look at frames of the toy world and tell what is seen: subject, colour, background and motion.

Nothing is trained and nothing is copied: palette, sprites, tiles and motions are those of `media/world.py`, drawn and
looked at in the same way as the frames that are judged. Colours are told apart in CIE Lab; places and sizes are pixels.
"""

import functools
import math
from collections.abc import Iterable
from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy.typing import NDArray

from mdctl.errors import BadInput
from mdctl.measure import cameras
from mdctl.measure.statistics import wilson
from mdctl.media import world
from mdctl.media.frames import Frames
from mdctl.media.motions import MOTIONS, Camera, Track
from mdctl.media.paths import HIT, Values, motion_scores, moves, references
from mdctl.media.world import BACKGROUNDS, COLOURS, GLYPHS, SHAPES, SIZE, SPAN, SUBJECTS, Scene

VERSION = "2"
"""Of the readings: it belongs into every result and grows whenever a reading can change."""

FOUND = 0.75
"""The share of frames that must show a subject."""

MISSING = 2
"""Frames without a subject that a track may bridge."""

Image = NDArray[np.float32]

# Chosen on renderings that were blurred, bent, noisy and off in colour, as those of a model are; never on clean ones.
_CAST = 12.0  # levels (of 255) by which the whole clip may be off in each channel
_FOREIGN = 6.5  # mean Lab distance from which a background is none of the world's: truth stays below 4.1, noise above 7
_VISIBLE = 9.0  # Lab distance from which a pixel is not background
_OFF_PALETTE = 32.0  # Lab distance from which a colour is none of the palette's
_THING, _LIKENESS = 0.2, 0.45  # share that the best sprite must explain to be anything, and to be named
_LEAD = 0.05  # how far from the middle between the two best sprites, where 0.5 is the best one itself

_CROSS = cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3))
_NEAR = np.ones((5, 5), np.uint8)
_WINDOW, _REACH = 40, 1.3  # sprites are compared in a window of so many pixels, reaching so many object sizes far
_POSE = 30  # the size at which sprites are looked at beforehand, on a canvas that is larger by a third
_CANVAS = _POSE * world.SPRITE // SPAN


@dataclass(frozen=True)
class Reading:
    """What was seen in one clip; None stands for what could not be told."""

    background: str | None
    subject: str | None
    colour: str | None
    """Of shapes only: glyphs have colours of their own."""
    motion: str | None
    """The motion of the world that agrees best, provided that it reaches `HIT`."""
    track: Track | None
    """Where the subject was; None when more than `MISSING` frames do not show it."""
    found: float
    """Share of frames that show a subject; below `FOUND` there is none."""
    static: bool
    """Whether neither the subject nor the camera moves, and the size stays the same."""
    motions: dict[str, float] = field(default_factory=dict)
    """Agreement with every motion of the world; empty without a track."""


def read(frames: Frames) -> Reading:
    """Look at one clip of the world, (f, 64, 64, 3) with any number of frames, and tell what it shows."""
    if frames.ndim != 4 or frames.shape[1:] != (SIZE, SIZE, 3):
        raise BadInput(
            f"these frames have the shape {frames.shape}.",
            why=f"The readers know the world of starter only, which is {SIZE}x{SIZE} pixels of red, green and blue.",
            fix="judge clips that starter has made",
        )

    # The background as the camera sees it, without the cast that lies over the whole clip.
    smooth = _smooth(frames)
    nearest = _nearest_background(smooth)
    camera = cameras.camera(frames, nearest)
    camera = camera if camera and moves(camera) else None
    backdrop = _seen_backdrop(nearest, camera) if camera else _backdrop(nearest)
    smooth -= _cast(smooth, backdrop)
    lab = _lab(smooth)
    background = nearest if _misfit(lab[::2, ::2, ::2], backdrop) < _FOREIGN else None

    # What stands before it.
    blobs = _blobs(lab, backdrop)
    found = float(blobs.seen.mean())
    if found < FOUND:
        return Reading(background, None, None, None, None, found, static=False)
    rgb, colour = _colour(lab, blobs)
    guess, likeness, clear = _subject(smooth, nearest, backdrop, blobs, rgb, colour, camera)
    if likeness < _THING:
        return Reading(background, None, None, None, None, 0.0, static=False)
    if guess in GLYPHS:
        colour = None

    # Where it went.
    missing = len(frames) - int(blobs.seen.sum())
    track = _track(Scene(guess, nearest, colour), blobs, camera) if missing <= MISSING else None
    scores = motion_scores(track) if track else {}
    best = max(scores, key=scores.__getitem__, default="")
    return Reading(
        background,
        guess if clear else None,
        colour,
        best if scores.get(best, 0.0) >= HIT else None,
        track,
        found,
        static=scores.get("standing still", 0.0) >= HIT,
        motions=scores,
    )


# --- Seeing: what is background, and what is not.


def _smooth(frames: Frames | Image) -> Image:  # f h w c → same, 0..255
    # Backgrounds are looked at through this too, so that a texture drawn softly is still that texture.
    return np.stack([cv2.GaussianBlur(frame, (0, 0), 1.0) for frame in frames.astype(np.float32)])


def _lab(images: Image) -> Image:  # ... h w c, 0..255 → same, Lab
    flat = images.reshape(-1, images.shape[-2], 3) / np.float32(255)
    return np.asarray(cv2.cvtColor(flat, cv2.COLOR_RGB2Lab), np.float32).reshape(images.shape)


@dataclass(frozen=True)
class _Backdrop:
    """A background as readers see it, f h w c, where one frame stands for all when the camera does not move."""

    smooth: Image
    lab: Image


@functools.cache
def _backdrop(name: str) -> _Backdrop:
    smooth = _smooth(BACKGROUNDS[name][None])
    return _Backdrop(smooth, _lab(smooth))


def _seen_backdrop(name: str, camera: Camera) -> _Backdrop:
    seen = [world.backdrop(name, camera, frame) * np.float32(255) for frame in range(len(camera.x))]
    smooth = _smooth(np.stack(seen))
    return _Backdrop(smooth, _lab(smooth))


def _misfit(sample: Image, backdrop: _Backdrop) -> float:
    """Mean distance of a sample, every second pixel, to a background, without the farthest: they may be the subject."""
    distances = np.square(sample - backdrop.lab[::2, ::2, ::2]).sum(-1).ravel()
    keep = int(0.7 * distances.size)
    return float(np.sqrt(np.partition(distances, keep)[:keep]).mean())


def _nearest_background(smooth: Image) -> str:
    sample = _lab(smooth[::2, ::2, ::2])
    return min(BACKGROUNDS, key=lambda name: _misfit(sample, _backdrop(name)))


def _cast(smooth: Image, backdrop: _Backdrop) -> Image:  # f h w c → c
    """By how much all colours of a clip are off, within what is forgiven."""
    difference = smooth[::2, ::2, ::2] - backdrop.smooth[::2, ::2, ::2]
    return np.asarray(np.median(difference.reshape(-1, 3), 0).clip(-_CAST, _CAST), np.float32)


@dataclass(frozen=True)
class _Blobs:
    """What is not background: centre and root of the area per frame, NaN where there is nothing; and its mask."""

    x: Values
    y: Values
    size: Values
    masks: NDArray[np.uint8]

    @property
    def seen(self) -> NDArray[np.bool_]:
        return ~np.isnan(self.size)


def _blobs(lab: Image, backdrop: _Backdrop) -> _Blobs:
    """The largest thing in each frame that is not background, with the parts that lie near to each other."""
    visible = (np.square(lab - backdrop.lab).sum(-1) > _VISIBLE**2).astype(np.uint8)
    smallest, largest = _areas()
    masks, places = np.zeros_like(visible), np.full((3, len(lab)), np.nan)
    for index, image in enumerate(visible):
        parts = cv2.morphologyEx(image, cv2.MORPH_OPEN, _CROSS)
        _, labels = cv2.connectedComponents(cv2.dilate(parts, _NEAR))
        areas = np.bincount((labels * parts).ravel())
        areas[0] = 0
        if smallest <= areas.max() <= largest:
            masks[index] = parts & (labels == areas.argmax())
            area, x, y = _moments(masks[index])
            places[:, index] = x, y, math.sqrt(area)
    return _Blobs(places[0], places[1], places[2], masks)


def _moments(image: cv2.typing.MatLike) -> tuple[float, float, float]:
    """Area and centre of what is in an image, where the first pixel reaches from 0 to 1."""
    found = cv2.moments(image)
    area = found["m00"] + 1e-6
    return area, found["m10"] / area + 0.5, found["m01"] / area + 0.5


@functools.cache
def _areas() -> tuple[float, float]:
    """The areas that a subject may have: from half the smallest to twice the largest that the world draws."""
    sizes = np.concatenate([reference.size for motion in MOTIONS for reference in references(motion)])
    shares = [float(world.sprite(subject)[..., 3].sum()) / SPAN**2 for subject in SUBJECTS]
    return min(shares) * float(sizes.min()) ** 2 / 2, max(shares) * float(sizes.max()) ** 2 * 2


# --- Naming: which colour, which sprite.


def _colour(lab: Image, blobs: _Blobs) -> tuple[Image, str | None]:
    """The colour deep inside the masks, where no border shines through, in levels of 255; its name in the palette."""
    depths = np.stack([cv2.distanceTransform(mask, cv2.DIST_L2, 3) for mask in blobs.masks])
    seen = np.median(lab[(depths > 0) & (depths >= 0.6 * depths.max((1, 2), keepdims=True))], 0).astype(np.float32)
    palette = _lab(np.array([[list(COLOURS.values())]], np.float32))[0, 0]
    distances = np.sqrt(np.square(palette - seen).sum(-1))
    name = list(COLOURS)[int(distances.argmin())] if distances.min() < _OFF_PALETTE else None
    rgb = np.asarray(cv2.cvtColor(seen[None, None], cv2.COLOR_Lab2RGB), np.float32)[0, 0] * np.float32(255)
    return rgb, name


def _subject(
    smooth: Image,
    background: str,
    backdrop: _Backdrop,
    blobs: _Blobs,
    rgb: Image,
    colour: str | None,
    camera: Camera | None,
) -> tuple[str, float, bool]:
    """The sprite that best explains what differs from the background, how much of it, and whether it leads clearly."""
    # Look at every blob through a window of its own size, upright; what lies beyond the frame counts for nothing.
    behind = np.broadcast_to(backdrop.smooth, smooth.shape)
    inside = np.ones((SIZE, SIZE), np.float32)
    windows = []
    for index in np.flatnonzero(blobs.seen):
        scale, angle = _WINDOW / (2 * _REACH * blobs.size[index]), camera.angle[index] if camera else 0.0
        matrix = _placing(scale, (blobs.x[index], blobs.y[index]), _WINDOW, angle)
        layers = [cv2.warpAffine(layer, matrix, (_WINDOW, _WINDOW)) for layer in (smooth[index], behind[index], inside)]
        windows.append(np.dstack(layers).reshape(-1, 7))
    seen, back, present = np.split(np.array(windows), [3, 6], -1)  # n p 3, n p 3, n p 1
    actual, present = seen - back, present.sum(0)

    # A sprite would differ by `paint - alpha * back`. Sums over the frames first, then one product for all sprites.
    paint, alpha = _templates(background, colour)
    if colour is None:  # no shape of the palette, so its silhouette is tried in the colour that is seen
        paint = np.concatenate([paint[: len(GLYPHS)], alpha[len(GLYPHS) :, :, None] * rgb])
    total, overlap = actual.sum(0), (actual * back).sum((0, 2))
    once, twice = back.sum(0), np.square(back).sum((0, 2))

    def energy(paint: Image, alpha: Image) -> Image:  # k p 3, k p → k
        terms: Image = ((present * paint - 2 * once * alpha[..., None]) * paint).sum((1, 2)) + alpha**2 @ twice
        return terms

    everything = float(np.square(actual).sum()) + 1e-6
    unexplained = everything - 2 * ((total * paint).sum((1, 2)) - alpha @ overlap) + energy(paint, alpha)

    # How clear it is, is measured against what separates the two best: noise and blur weigh on both alike.
    best, second = np.argsort(unexplained)[:2]
    between = energy(paint[[best]] - paint[[second]], alpha[[best]] - alpha[[second]])[0]
    lead = (unexplained[second] - unexplained[best]) / (2 * between + 1e-6)
    likeness = 1 - float(unexplained[best]) / everything
    return SUBJECTS[best], likeness, bool(likeness >= _LIKENESS and lead >= _LEAD)


def _placing(scale: float, centre: tuple[float, float], edge: int, angle: float = 0.0) -> Values:
    """The map that puts `centre` of an image into the middle of a square one, `scale` times as large, turned back."""
    cos, sin = scale * math.cos(angle), scale * math.sin(angle)
    turned = np.array([[cos, sin], [-sin, cos]])
    # OpenCV counts from the middle of a pixel, the world from its corner.
    return np.column_stack([turned, edge / 2 - 0.5 - turned @ (np.array(centre) - 0.5)])


@functools.cache
def _stance(subject: str, colour: str | None, background: str) -> tuple[Image, Values, float]:
    """How a subject shows: map of what is visible at size `_POSE`; its centre and root of the area, per size.

    Parts may be lost in the background, thin ones always are, and few sprites are balanced around their centre.
    """
    places = [(24, 24), (37, 27), (27, 38), (40, 41)]  # at different phases of every texture
    x, y = np.array(places, np.float64).T
    frames, _ = world.render(Scene(subject, background, colour), Track(x, y, np.full(len(places), float(_POSE))))
    masks = _blobs(_lab(_smooth(frames)), _backdrop(background)).masks
    half = _CANVAS // 2
    crops = [mask[y - half : y + half, x - half : x + half] for mask, (x, y) in zip(masks, places, strict=True)]
    visible = np.stack(crops).mean(0, dtype=np.float32)
    area, *centre = _moments(visible)
    return visible, (np.array(centre) - half) / _POSE, math.sqrt(area) / _POSE


@functools.cache
def _templates(background: str, colour: str | None) -> tuple[Image, Image]:
    """Every subject in the window around what is visible of it: paint times alpha (k, p, 3), alpha (k, p)."""
    patches = []
    for subject in SUBJECTS:
        tint = colour if subject in SHAPES else None
        _, offset, size = _stance(subject, tint, background)
        canvas = cv2.resize(world.sprite(subject, tint), (_CANVAS, _CANVAS), interpolation=cv2.INTER_AREA)
        # Softer than any frame should be, so that details which a model drew weakly still speak for the sprite.
        canvas = cv2.GaussianBlur(canvas, (0, 0), 2.2)
        x, y = _CANVAS / 2 + offset * _POSE
        matrix = _placing(_WINDOW / (2 * _REACH * size * _POSE), (x, y), _WINDOW)
        patches.append(cv2.warpAffine(canvas, matrix, (_WINDOW, _WINDOW)))
    flat = np.array(patches, np.float32).reshape(len(patches), -1, 4)
    return flat[..., :3] * np.float32(255), flat[..., 3]


# --- Following: where it is in every frame.


def _track(scene: Scene, blobs: _Blobs, camera: Camera | None) -> Track:
    """The track whose blobs would be those that were seen, though parts are hidden or beyond the frame."""
    visible, offset, ratio = _stance(scene.subject, scene.colour, scene.background)
    there = np.flatnonzero(blobs.seen)
    rows = []
    for blob in zip(blobs.x[there], blobs.y[there], blobs.size[there], strict=True):
        size = blob[2] / ratio
        x, y = blob[:2] - offset * size
        for _ in range(3):
            middle = (_CANVAS / 2 - (x - SIZE / 2) * _POSE / size, _CANVAS / 2 - (y - SIZE / 2) * _POSE / size)
            area, *centre = _moments(cv2.warpAffine(visible, _placing(size / _POSE, middle, SIZE), (SIZE, SIZE)))
            x, y = x + blob[0] - centre[0], y + blob[1] - centre[1]
            size *= min(max(blob[2] / math.sqrt(area), 0.8), 1.25)
        rows.append((x, y, size))
    frames = np.arange(len(blobs.size))
    x, y, size = (np.interp(frames, there, values) for values in zip(*rows, strict=True))
    return Track(x, y, size, camera)


# --- Counting.


@dataclass(frozen=True)
class Share:
    """How many of how many were right."""

    right: int
    n: int

    @property
    def value(self) -> float:
        """The share itself; not a number when nothing was asked."""
        return self.right / self.n if self.n else math.nan

    @property
    def interval(self) -> tuple[float, float]:
        """Where the true share lies, with 95 % confidence."""
        return wilson(self.right, self.n)


def accuracy(readings: Iterable[tuple[Reading, Scene, str]]) -> dict[str, Share]:
    """How often subject, colour, background and motion are those that were asked for, and `all` of them at once.

    A clip without a subject is wrong in everything. Colour is asked of shapes only.
    """
    verdicts: dict[str, list[bool]] = {key: [] for key in ("subject", "colour", "background", "motion", "all")}
    for reading, scene, motion in readings:
        right = {
            "subject": reading.subject == scene.subject,
            "background": reading.background == scene.background,
            "motion": reading.motion == motion,
        }
        if scene.colour:
            right["colour"] = reading.colour == scene.colour
        shown = reading.found >= FOUND
        for key, value in (right | {"all": all(right.values())}).items():
            verdicts[key].append(value and shown)
    return {key: Share(sum(values), len(values)) for key, values in verdicts.items()}
