"""Pictures of videos: contact sheets and moving walls with labels, strips and single frames as PNG."""

import functools
import io
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from mdctl.media.frames import Frames
from mdctl.text import safe

_MARGIN = 8
_GAP = 2
_TEXT = 14
_HEADING = 18
_PAPER = (255, 255, 255)
_INK = (25, 25, 25)
_GREY = (110, 110, 110)
_MISSING = "\U0010ffff"

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont


def png(frame: NDArray[np.uint8]) -> bytes:
    """One frame (h w c) as the bytes of a PNG."""
    return _bytes(Image.fromarray(np.ascontiguousarray(frame)))


def contact_sheet(
    rows: Sequence[tuple[str, Frames]],
    *,
    columns: int = 8,
    height: int = 96,
    sections: Mapping[int, str] | None = None,
) -> bytes:
    """A PNG with one labelled row per video: `columns` frames, evenly spread, each `height` pixels high.

    `sections` puts a heading above the row of that number.
    """
    drawn = [_row(frames, columns, height) for _, frames in rows]
    labels = [_fitting(label, _font(_TEXT)) for label, _ in rows]
    headings = {number: _fitting(text, _font(_HEADING)) for number, text in (sections or {}).items()}
    texts = [(label, _TEXT) for label in labels] + [(text, _HEADING) for text in headings.values()]
    width = max([row.width for row in drawn] + [round(_font(size).getlength(text)) for text, size in texts], default=0)
    tall = sum(row.height + _TEXT + 3 * _GAP + _MARGIN for row in drawn) + len(headings) * (_HEADING + _MARGIN)
    sheet = Image.new("RGB", (max(1, width) + 2 * _MARGIN, tall + _MARGIN), _PAPER)
    pen = ImageDraw.Draw(sheet)

    top = _MARGIN
    for number, (label, row) in enumerate(zip(labels, drawn, strict=True)):
        if number in headings:
            pen.text((_MARGIN, top), headings[number], fill=_INK, font=_font(_HEADING))
            top += _HEADING + _MARGIN
        pen.text((_MARGIN, top), label, fill=_GREY, font=_font(_TEXT))
        top += _TEXT + 3 * _GAP
        sheet.paste(row, (_MARGIN, top))
        top += row.height + _MARGIN
    return _bytes(sheet)


def table(films: Sequence[Sequence[Frames]], rows: Sequence[str], columns: Sequence[str], *, least: int = 96) -> Frames:
    """Videos of equal shape beside and below one another as one video, with labels; small ones are enlarged.

    The edges of what comes back are even, as video codecs want them.
    """
    number, height, width = films[0][0].shape[:3]
    times = max(1, -(-least // height))
    tall, wide = height * times, width * times
    font = _font(_TEXT)
    names = [[_fitting(label, font) for label in labels] for labels in (rows, columns)]
    left = max((round(font.getlength(name)) for name in names[0]), default=0) + 2 * _MARGIN
    across = max([wide, *(round(font.getlength(name)) for name in names[1])]) + _GAP
    top = _TEXT + 2 * _MARGIN
    size = left + len(columns) * across + _MARGIN, top + len(rows) * (tall + _GAP) + _MARGIN
    paper = Image.new("RGB", (size[0] + size[0] % 2, size[1] + size[1] % 2), _PAPER)
    pen = ImageDraw.Draw(paper)
    for place, name in enumerate(names[1]):
        pen.text((left + place * across, _MARGIN), name, fill=_INK, font=font)
    for place, name in enumerate(names[0]):
        pen.text((_MARGIN, top + place * (tall + _GAP) + tall // 2), name, fill=_INK, font=font)

    drawn = np.repeat(np.asarray(paper)[None], number, 0)
    for down, line in enumerate(films):
        for along, film in enumerate(line):
            y, x = top + down * (tall + _GAP), left + along * across
            drawn[:, y : y + tall, x : x + wide] = film.repeat(times, 1).repeat(times, 2)
    return drawn


def wall(rows: Sequence[tuple[str, Sequence[tuple[str, Frames]]]], *, least: int = 192) -> Frames:
    """Videos of equal shape in rows as one video: a heading above each row, a label below each video.

    Small ones are enlarged to `least` pixels or more. The edges of what comes back are even.
    """
    first = rows[0][1][0][1]
    number, height, width = first.shape[:3]
    times = max(1, -(-least // height))
    tall, wide = height * times, width * times
    heading, small = _font(_HEADING), _font(_TEXT)
    labels = [[_broken(label, small, wide) for label, _ in films] for _, films in rows]
    below = [(_TEXT + _GAP) * max(len(lines) for lines in line) + _MARGIN for line in labels]
    across = max(len(films) for _, films in rows) * (wide + _MARGIN) + _MARGIN
    down = _MARGIN + sum(_HEADING + _MARGIN + tall + more for more in below)
    paper = Image.new("RGB", (across + across % 2, down + down % 2), _PAPER)
    pen, top, corners = ImageDraw.Draw(paper), _MARGIN, []
    for (title, films), line, more in zip(rows, labels, below, strict=True):
        pen.text((_MARGIN, top), _fitting(title, heading), fill=_INK, font=heading)
        top += _HEADING + _MARGIN
        for place, lines in enumerate(line):
            left = _MARGIN + place * (wide + _MARGIN)
            corners.append((top, left, films[place][1]))
            for deep, text in enumerate(lines):
                pen.text((left, top + tall + _GAP + deep * (_TEXT + _GAP)), text, fill=_GREY, font=small)
        top += tall + more

    drawn = np.repeat(np.asarray(paper)[None], number, 0)
    for y, x, film in corners:
        drawn[:, y : y + tall, x : x + wide] = film.repeat(times, 1).repeat(times, 2)
    return drawn


def strip(frames: Frames, *, columns: int = 8, height: int = 96) -> bytes:
    """A PNG of some frames of one video beside one another, evenly spread, each `height` pixels high."""
    return _bytes(_row(frames, columns, height))


def _row(frames: Frames, columns: int, height: int) -> Image.Image:
    number = min(columns, len(frames))
    picks = np.linspace(0, len(frames) - 1, number).round().astype(int)
    width = max(1, round(frames.shape[2] * height / max(1, frames.shape[1])))
    row = Image.new("RGB", (max(1, number * (width + _GAP) - _GAP), height), _PAPER)
    for place, pick in enumerate(picks):
        image = Image.fromarray(np.ascontiguousarray(frames[pick]))
        # A small picture that is enlarged should show its pixels.
        how = Image.Resampling.NEAREST if image.height < height else Image.Resampling.LANCZOS
        row.paste(image.resize((width, height), how), (place * (width + _GAP), 0))
    return row


@functools.cache
def _font(size: int) -> Font:
    return ImageFont.load_default(size)


def _fitting(text: str, font: Font) -> str:
    """Text that this font can draw: harmless, and with `?` for what it has no letter for."""
    return "".join(char if _has(font, char) else "?" for char in safe(text, 120))


def _broken(text: str, font: Font, width: int) -> list[str]:
    """Text that this font can draw, in lines of this width as far as words allow."""
    lines = [""]
    for word in _fitting(text, font).split():
        longer = f"{lines[-1]} {word}".strip()
        if lines[-1] and font.getlength(longer) > width:
            lines.append(word)
        else:
            lines[-1] = longer
    return lines


@functools.cache
def _has(font: Font, char: str) -> bool:
    if isinstance(font, ImageFont.ImageFont):  # the small built-in one, where Pillow lacks FreeType
        return char.isascii()
    return char == " " or bytes(font.getmask(char)) != bytes(font.getmask(_MISSING))


def _bytes(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "PNG", optimize=True)
    return buffer.getvalue()
