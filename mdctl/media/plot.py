"""Points and lines as a picture."""

import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

Rgb = tuple[int, int, int]

COLOURS: tuple[Rgb, ...] = ((31, 119, 180), (255, 127, 14), (44, 160, 44), (148, 103, 189))
"""Told apart by most eyes, on white."""

_EDGE = 440
_MARGIN = 28
_SCALE = 2  # drawn so many times larger, for soft edges
_INK, _FRAME = (25, 25, 25), (200, 200, 200)


@dataclass(frozen=True)
class Line:
    """Points in the order in which they are connected, (n, 2)."""

    points: NDArray[np.float64]
    colour: Rgb
    connected: bool = True


@dataclass(frozen=True)
class Panel:
    """One diagram: a title, and lines that share its scale."""

    title: str
    lines: Sequence[Line]


def png(panels: Sequence[Panel], legend: Sequence[tuple[str, Rgb]]) -> bytes:
    """Panels side by side above a legend, as the bytes of a PNG; both axes of a panel have one scale."""
    size = (_EDGE * len(panels) * _SCALE, (_EDGE + 34) * _SCALE)
    image = Image.new("RGB", size, (255, 255, 255))
    pen = ImageDraw.Draw(image)
    for number, panel in enumerate(panels):
        _draw(pen, panel, number * _EDGE)
    left = _MARGIN
    for name, colour in legend:
        _disc(pen, left, _EDGE + 12, 5, colour)
        pen.text(((left + 10) * _SCALE, (_EDGE + 2) * _SCALE), name, fill=_INK, font=_font(13))
        left += 30 + round(_font(13).getlength(name) / _SCALE)
    buffer = io.BytesIO()
    image.resize((size[0] // _SCALE, size[1] // _SCALE), Image.Resampling.LANCZOS).save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


def _draw(pen: ImageDraw.ImageDraw, panel: Panel, left: int) -> None:
    everything = np.concatenate([line.points for line in panel.lines])
    low, high = everything.min(0), everything.max(0)
    middle, reach = (low + high) / 2, max(float((high - low).max()), 1e-9)
    room = _EDGE - 2 * _MARGIN - 16
    box = [left + _MARGIN - 8, _MARGIN, left + _EDGE - _MARGIN + 8, _EDGE - 8]
    pen.rectangle([value * _SCALE for value in box], outline=_FRAME, width=_SCALE)
    pen.text(((left + _MARGIN - 8) * _SCALE, 6 * _SCALE), panel.title, fill=_INK, font=_font(14))
    centre = np.array([left + _EDGE / 2, (_EDGE - 8 + _MARGIN) / 2])
    for line in panel.lines:
        places = (line.points - middle) / reach * room + centre
        if line.connected:
            pen.line([tuple(place * _SCALE) for place in places], fill=line.colour, width=2 * _SCALE, joint="curve")
        for place in places:
            _disc(pen, place[0], place[1], 3 if line.connected else 1, line.colour)


def _disc(pen: ImageDraw.ImageDraw, x: float, y: float, radius: float, colour: Rgb) -> None:
    pen.ellipse([value * _SCALE for value in (x - radius, y - radius, x + radius, y + radius)], fill=colour)


def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size * _SCALE)
