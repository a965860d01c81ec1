"""Contact sheets show every video in a labelled row."""

import io

import numpy as np
import pytest
from PIL import Image

from mdctl.media.frames import Frames
from mdctl.media.preview import contact_sheet, png, strip, wall


def ramp(number: int, height: int = 32, width: int = 48) -> Frames:
    """Frames that grow from black to white."""
    levels = np.linspace(0, 250, number).astype(np.uint8)
    return np.broadcast_to(levels[:, None, None, None], (number, height, width, 3))


def opened(content: bytes) -> Image.Image:
    """The picture that these bytes are."""
    image = Image.open(io.BytesIO(content))
    assert image.format == "PNG"
    return image


def test_a_frame_is_kept_exactly() -> None:
    """A PNG loses nothing."""
    frame = np.random.default_rng(0).integers(0, 256, (31, 17, 3), np.uint8)
    assert (np.asarray(opened(png(frame))) == frame).all()


def test_a_row_shows_frames_from_first_to_last() -> None:
    """Eight of twenty frames are shown, the first and the last among them."""
    sheet = np.asarray(opened(contact_sheet([("", ramp(20))], columns=8, height=64)))
    assert sheet.shape[1] >= 8 * 96
    line = sheet[-40, :, 0]
    shown = [level for level in dict.fromkeys(line.tolist()) if (line == level).sum() >= 90]
    assert shown[0] == 0
    assert shown[-1] == 250
    assert len(shown) == 8


def test_rows_differ_in_shape_and_length() -> None:
    """Short, tall and single videos share a sheet."""
    rows = [("one", ramp(1)), ("tall", ramp(3, 64, 16)), ("wide", ramp(9, 16, 64)), ("long " * 50, ramp(2))]
    sheet = opened(contact_sheet(rows, columns=4, height=48))
    assert sheet.height > 4 * 48
    assert sheet.width > 4 * 192


@pytest.mark.parametrize(
    "label", ["[red] :smile: \\", "clip\udcff.mp4", "🐒 猴子 ü é", "\x1b[2J\u202e\n", "", "x" * 10_000]
)
def test_any_label_can_be_drawn(label: str) -> None:
    """Letters that the font lacks, bytes that are no text and endless names all leave a sheet."""
    assert opened(contact_sheet([(label, ramp(2))], sections={0: label})).width < 3000


def test_known_letters_are_drawn_and_unknown_replaced() -> None:
    """A label differs from another by its letters, not by letters that the font lacks."""
    draw = [contact_sheet([(label, ramp(2))]) for label in ("golf", "gulf", "猴", "子", "?")]
    assert draw[0] != draw[1]
    assert draw[2] == draw[3] == draw[4]


def test_sections_make_room_for_headings() -> None:
    """A heading stands above its row."""
    rows = [("a", ramp(2)), ("b", ramp(2))]
    plain, headed = opened(contact_sheet(rows)), opened(contact_sheet(rows, sections={1: "results"}))
    assert headed.height > plain.height


def test_an_empty_sheet_is_a_picture_too() -> None:
    """No rows make a small white sheet."""
    assert opened(contact_sheet([])).width > 0


def test_a_strip_is_one_row() -> None:
    """Frames from first to last beside one another, and nothing else."""
    shown = np.asarray(opened(strip(ramp(20), columns=4, height=64)))
    assert shown.shape == (64, 4 * 96 + 3 * 2, 3)
    assert [int(shown[32, 48 + place * 98, 0]) for place in range(4)][::3] == [0, 250]


def test_a_wall_moves_where_its_videos_do() -> None:
    """Videos stand enlarged in rows of their own, frame by frame; edges are even, and labels of any length fit."""
    films = [("one two three " * 9, ramp(5)), ("\x1b[2J", ramp(5)[::-1])]
    moving = wall([("above", films), ("below", films[:1])], least=64)
    assert moving.shape[0] == 5
    assert moving.shape[1] % 2 == moving.shape[2] % 2 == 0
    changed = (moving[0] != moving[2]).any(-1)  # in the middle both show the same
    assert changed.sum() == 3 * 64 * 96
