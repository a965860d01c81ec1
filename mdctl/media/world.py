"""The world that `starter` draws: palette, sprites, backgrounds and a renderer that knows the truth.

With `motions` this is the single source of truth: the recipe trains on it and the readers of `measure` compare with it.
"""

import functools
import hashlib
import math
from dataclasses import dataclass
from importlib.resources import files

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from mdctl.media.frames import Frames
from mdctl.media.motions import BASE_MOTIONS, CAMERA_MOTIONS, Camera, Rng, Track

Rgb = tuple[int, int, int]

SIZE = 64
FPS = 8

SPRITE = 80
"""Edge of a sprite's canvas; a subject of size 1 spans about three quarters of it."""

SPAN = 60

GLYPHS = (
    "monkey",
    "panda",
    "horse",
    "person",
    "car",
    "statue",
    "dog",
    "cat",
    "frog",
    "robot",
    "rocket",
    "ball",
    "balloon",
    "pumpkin",
    "flower",
    "fish",
    "duck",
    "tree",
    "ghost",
    "penguin",
)
"""Subjects drawn as emoji, in the order of `sprites.png`."""

SHAPES = ("circle", "square", "triangle", "star")
SUBJECTS = (*GLYPHS, *SHAPES)

COLOURS: dict[str, Rgb] = {
    "red": (215, 35, 40),
    "orange": (245, 135, 20),
    "yellow": (250, 225, 50),
    "green": (30, 165, 70),
    "blue": (35, 85, 225),
    "purple": (135, 50, 185),
    "pink": (250, 130, 190),
    "white": (250, 250, 250),
}
"""What a shape can be painted in; glyphs have colours of their own."""


@dataclass(frozen=True)
class Scene:
    """Who is seen, and in front of what."""

    subject: str
    background: str
    colour: str | None = None
    """Set for shapes, None for glyphs."""

    @property
    def noun(self) -> str:
        """The subject as a prompt names it, such as `red circle` or `monkey`."""
        return f"{self.colour} {self.subject}" if self.colour else self.subject


# --- Backgrounds: plain ones and textures, each one tile that fills the frame.


def _plain(rgb: Rgb) -> Frames:
    return np.full((SIZE, SIZE, 3), rgb, np.uint8)


def _grass() -> Frames:
    tile = _plain((72, 104, 56))
    rng = np.random.default_rng(1)
    for x, y in rng.integers(0, SIZE, (110, 2)):
        tile[np.arange(y, y + 4) % SIZE, x] = (98, 134, 70)
    return tile


def _brick() -> Frames:
    image = Image.new("RGB", (SIZE, SIZE), (196, 178, 158))
    draw = ImageDraw.Draw(image)
    for row in range(8):
        for column in range(-1, 5):
            left = column * 16 + (row % 2) * 8
            draw.rectangle((left, row * 8, left + 13, row * 8 + 5), fill=(148, 84, 66))
    return np.asarray(image)


def _checkered() -> Frames:
    y, x = np.mgrid[:SIZE, :SIZE] // 8
    return np.where(((x + y) % 2)[..., None] == 0, (206, 206, 222), (164, 164, 192)).astype(np.uint8)


def _starry() -> Frames:
    tile = _plain((28, 34, 88))
    rng = np.random.default_rng(4)
    for x, y in rng.integers(0, SIZE - 1, (34, 2)):
        tile[y : y + 2, x : x + 2] = (225, 222, 170)
    return tile


BACKGROUNDS: dict[str, Frames] = {
    "gray": _plain((122, 122, 122)),
    "black": _plain((22, 22, 22)),
    "sand": _plain((226, 206, 166)),
    "sky": _plain((150, 202, 240)),
    "grass": _grass(),
    "brick": _brick(),
    "checkered": _checkered(),
    "starry": _starry(),
}
TEXTURED = ("grass", "brick", "checkered", "starry")


# --- Sprites: colour in 0..1 multiplied by alpha, so that blending and scaling stay exact.


def _shape(name: str, rgb: Rgb) -> Image.Image:
    scale, c = 4, SPRITE * 2
    image = Image.new("RGBA", (SPRITE * scale,) * 2, (*rgb, 0))
    draw = ImageDraw.Draw(image)
    half = SPAN * scale / 2
    if name == "circle":
        draw.ellipse((c - half, c - half, c + half, c + half), fill=rgb)
    elif name == "square":
        draw.rectangle((c - half * 0.87, c - half * 0.87, c + half * 0.87, c + half * 0.87), fill=rgb)
    else:
        corners, inner = (3, 1.0) if name == "triangle" else (10, 0.46)
        radius = half * 1.2
        turns = [
            (radius * (inner if i % 2 and corners == 10 else 1.0), -math.pi / 2 + i * 2 * math.pi / corners)
            for i in range(corners)
        ]
        shift = half * 0.22 if name == "triangle" else half * 0.08
        draw.polygon([(c + r * math.cos(a), c + shift + r * math.sin(a)) for r, a in turns], fill=rgb)
    return image.resize((SPRITE, SPRITE), Image.Resampling.BOX)


@functools.cache
def sprite(subject: str, colour: str | None = None) -> NDArray[np.float32]:
    """One subject on its canvas, (SPRITE, SPRITE, 4): colour times alpha, alpha; all in [0, 1]."""
    if subject in SHAPES:
        image = _shape(subject, COLOURS[colour or "red"])
    else:
        with Image.open(str(files("mdctl.media") / "sprites.png")) as sheet:
            left = GLYPHS.index(subject) * SPRITE
            image = sheet.convert("RGBA").crop((left, 0, left + SPRITE, SPRITE))
    rgba = np.asarray(image, np.float32) / 255
    return np.concatenate([rgba[..., :3] * rgba[..., 3:], rgba[..., 3:]], 2)


def render(scene: Scene, track: Track) -> tuple[Frames, NDArray[np.bool_]]:
    """Frames (f, 64, 64, 3) of a scene in motion, and the true mask of the subject (f, 64, 64)."""
    source = sprite(scene.subject, scene.colour)
    frames, masks = [], []
    for frame, (x, y, size) in enumerate(zip(track.x, track.y, track.size, strict=True)):
        # Draw at twice the size and average down, so that sub-pixel positions are smooth.
        scale, angle = 2 * size / SPAN, track.camera.angle[frame] if track.camera else 0.0
        cos, sin = scale * math.cos(angle), scale * math.sin(angle)
        shift = (cos - sin) * SPRITE / 2, (cos + sin) * SPRITE / 2
        matrix = np.array([[cos, -sin, 2 * x - shift[0]], [sin, cos, 2 * y - shift[1]]])
        layer = cv2.warpAffine(source, matrix, (2 * SIZE, 2 * SIZE), flags=cv2.INTER_LINEAR)
        layer = layer.reshape(SIZE, 2, SIZE, 2, 4).mean((1, 3))
        frames.append(layer[..., :3] + backdrop(scene.background, track.camera, frame) * (1 - layer[..., 3:]))
        masks.append(layer[..., 3] > 0.5)
    return (np.clip(np.stack(frames), 0, 1) * 255 + 0.5).astype(np.uint8), np.stack(masks)


def backdrop(background: str, camera: Camera | None, frame: int) -> NDArray[np.float32]:
    """The background as the camera sees it in one frame, (64, 64, 3) in [0, 1]; its tile goes on and on."""
    tile = np.asarray(BACKGROUNDS[background] / 255, np.float32)
    if camera is None:
        return tile
    # The same in a frame of twice the size, where pixels are counted from their middle and not from their corner.
    matrix = camera.matrix(frame)
    double = np.repeat(np.repeat(tile, 2, 0), 2, 1)
    matrix[:, 2] = 2 * matrix[:, 2] + 0.5 * matrix[:, :2].sum(1) - 0.5
    seen = cv2.warpAffine(double, matrix, (2 * SIZE, 2 * SIZE), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP)
    return np.asarray(seen.reshape(SIZE, 2, SIZE, 2, 3).mean((1, 3)), np.float32)


# --- Words and chance.


def prompt(scene: Scene, motion: str | None = None) -> str:
    """The full sentence for a scene, such as `a monkey moving left on a grass background`."""
    article = "an" if scene.noun[0] in "aeiou" else "a"
    place = f"on a {scene.background} background"
    if motion in CAMERA_MOTIONS:
        return f"{article} {scene.noun} {place}, camera {motion}"
    return " ".join(filter(None, [article, scene.noun, motion, place]))


def held_out(first: str, second: str) -> bool:
    """Whether this pair, of subject and background or of subject and motion, is kept out of training whole."""
    return hashlib.blake2b(f"{first}|{second}".encode(), digest_size=2).digest()[0] % 8 == 0


def draw_scene(rng: Rng, unseen: bool = False) -> Scene:
    """A scene from the taught combinations, or with `unseen` from those held out."""
    while True:
        subject, background = str(rng.choice(SUBJECTS)), str(rng.choice(list(BACKGROUNDS)))
        colour = str(rng.choice(list(COLOURS))) if subject in SHAPES else None
        if held_out(subject, background) == unseen:
            return Scene(subject, background, colour)


def draw_motion(rng: Rng, subject: str, unseen: bool = False) -> str:
    """A base motion from those taught with this subject, or with `unseen` from those held out (if there are any)."""
    names = [name for name in BASE_MOTIONS if held_out(subject, name) == unseen] or list(BASE_MOTIONS)
    return str(rng.choice(names))
