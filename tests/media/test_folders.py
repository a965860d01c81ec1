"""A folder of pictures is a video: in the order of its numbers, in any size, and never anything else than pictures."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mdctl.errors import BadInput
from mdctl.media import clips, folders


@pytest.fixture
def video(tmp_path: Path) -> Path:
    """Twelve pictures of 40x20, each lighter than the one before, named without leading zeros."""
    for number in range(12):
        Image.new("RGB", (40, 20), (20 * number,) * 3).save(tmp_path / f"frame{number}.png")
    (tmp_path / "notes.txt").write_text("no picture")
    (tmp_path / ".hidden.png").write_text("no picture")
    return tmp_path


def test_pictures_come_in_the_order_of_their_numbers(video: Path) -> None:
    """2 before 10; evenly where fewer are asked for, all where more are; the rate is that of a whole folder."""
    frames, fps = clips.spread(video, 99)
    assert frames.shape == (12, 20, 40, 3)
    assert frames[:, 0, 0, 0].tolist() == [20 * number for number in range(12)]
    assert fps == folders.FPS
    frames, fps = clips.spread(video, 4)
    assert frames[:, 0, 0, 0].tolist() == [0, 60, 120, 180]
    assert fps == folders.FPS / 3
    assert clips.length(video) == 12


def test_another_shape_is_filled_from_the_middle(video: Path) -> None:
    """Nothing is stretched: a square takes the middle of a wide picture."""
    picture = np.zeros((20, 40, 3), np.uint8)
    picture[:, 10:30] = 200
    Image.fromarray(picture).save(video / "frame0.png")
    frames, _ = folders.spread(video, 1, (20, 20))
    assert frames.shape == (1, 20, 20, 3)
    assert frames.min() > 190


def test_its_hash_is_that_of_all_pictures(video: Path) -> None:
    """Another pixel or another order is another video; other files do not count."""
    before = clips.digest(video)
    (video / "notes.txt").write_text("other")
    assert clips.digest(video) == before
    (video / "frame3.png").rename(video / "frame99.png")
    assert clips.digest(video) != before


def test_videos_in_a_folder(video: Path, tmp_path: Path) -> None:
    """Files and folders of pictures; pictures beside them are no video, and alone they are one."""
    assert folders.videos(video) == [video]
    inner, hidden = video / "other", video / ".hidden.mp4"
    inner.mkdir()
    hidden.touch()
    assert [folders.videos(inner), folders.videos(tmp_path / "nowhere")] == [[], []]
    (inner / "1.jpg").touch()
    assert folders.videos(video) == [inner]
    assert folders.is_video(video)
    (video / "b.MP4").touch()
    assert folders.videos(video) == [video / "b.MP4", inner]
    assert not folders.is_video(video)


def test_a_box_is_drawn_around_what_is_not_black(tmp_path: Path) -> None:
    """In pixels of the size that is asked for, which takes the middle of a wider mask; None where all is black."""
    mask = np.zeros((20, 60), np.uint8)
    Image.fromarray(mask).save(tmp_path / "mask.png")
    assert folders.box(tmp_path / "mask.png", (40, 40)) is None
    mask[[4, 9], [25, 29]] = 255
    Image.fromarray(mask).save(tmp_path / "mask.png")
    assert folders.box(tmp_path / "mask.png", (40, 40)) == (10, 8, 20, 20)
    assert folders.box(tmp_path / "mask.png", (10, 10)) == (2.5, 2, 5, 5)


def test_what_is_no_picture_is_named(video: Path, tmp_path: Path) -> None:
    """A file that only ends like one, another format under that name, and a folder without any."""
    (video / "frame0.png").write_bytes(b"GIF89a nonsense")
    with pytest.raises(BadInput, match=r"frame0\.png"):
        clips.spread(video, 4)
    Image.new("RGB", (8, 8)).save(video / "frame0.png", "BMP")
    with pytest.raises(BadInput, match=r"frame0\.png"):
        clips.spread(video, 4)
    (tmp_path / "empty").mkdir()
    with pytest.raises(BadInput, match="no picture"):
        clips.spread(tmp_path / "empty", 4)
    assert folders.pictures(tmp_path / "nowhere") == []
