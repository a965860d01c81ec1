"""Scenes and bars: what counts as a cut and what does not, and where the picture lies between bars."""

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest
from films import Film, moving
from numpy.typing import NDArray

from mdctl.errors import BadInput
from mdctl.media import clips, scenes
from mdctl.media.clips import Look, closer, cut, look, split
from mdctl.media.frames import Frames

X264 = ("-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p")
SHAPE = {"num_frames": 8, "fps": 8.0, "width": 64, "height": 64}


def grey(frames: Frames) -> NDArray[np.uint8]:
    """Frames as the search sees them."""
    return np.stack([cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in frames])


def take(seed: int, count: int = 24) -> NDArray[np.uint8]:
    """A shot of its own look, with a slow camera."""
    return np.stack([cv2.resize(frame, (64, 64), interpolation=cv2.INTER_AREA) for frame in wide(seed, count)])


def wide(seed: int, count: int) -> NDArray[np.uint8]:
    """The same, four times as large."""
    return grey(moving(256, 2, 0, count, seed=seed))


def cuts(frames: NDArray[np.uint8]) -> list[int]:
    """The numbers of the frames with which a new scene begins."""
    return [int(number) + 1 for number in np.flatnonzero(scenes.motion(frames)[1])]


# --- Cuts


def test_every_hard_cut_is_found() -> None:
    """Also between short scenes."""
    assert cuts(np.concatenate([take(1), take(2), take(3, 7), take(4)])) == [24, 48, 55]


def test_what_is_no_cut() -> None:
    """A dissolve, flashes of one to three frames, a lamp that is switched on, a fade, a camera that whips around."""
    one, two = take(1, 30), take(2, 30)
    rising = np.linspace(0, 1, 14)[1:-1, None, None]
    mixed = ((1 - rising) * one[-12:] + rising * two[:12]).astype(np.uint8)
    assert cuts(np.concatenate([one[:-12], mixed, two[12:]])) == []
    for length in (1, 2, 3):
        flash = one.copy()
        flash[14 : 14 + length] = 255
        assert cuts(flash) == [], length
    lamp = one.copy()
    lamp[14:] = np.minimum(lamp[14:] * 1.4 + 20, 255).astype(np.uint8)
    assert cuts(lamp) == []
    street = wide(1, 1)[0]
    steps = np.r_[np.zeros(15), np.arange(1, 7) * 25, np.full(15, 150)].astype(int)
    assert cuts(np.stack([street[:64, step : step + 64] for step in steps])) == []


def test_a_flash_on_a_cut_hides_nothing() -> None:
    """Where another scene follows the flash, there is a cut."""
    frames = np.concatenate([take(1), np.full((1, 64, 64), 255, np.uint8), take(2)])
    assert cuts(frames)


@pytest.fixture
def three(film: Film) -> Path:
    """Scenes of 1.5, 0.4 and 1.6 seconds in one file."""
    parts = ["mandelbrot=s=96x64:r=30", "smptehdbars=s=96x64:r=30", "testsrc2=s=96x64:r=30"]
    inputs = [word for part in parts for word in ("-f", "lavfi", "-i", part)]
    trims = ";".join(f"[{n}]trim=duration={s},format=yuv420p[t{n}]" for n, s in enumerate((1.5, 0.4, 1.6)))
    joint = "".join(f"[t{n}]" for n in range(3)) + "concat=n=3"
    return film("three.mp4", *inputs, "-filter_complex", f"{trims};{joint}", *X264)


def test_a_clip_is_split_at_its_cuts(three: Path) -> None:
    """Each scene is a look of its own, the short one with its reason; what is used holds no frame of another scene."""
    found = split(three, **SHAPE)
    assert [one.status for one in found] == ["ok", "left_out", "ok"]
    assert found[1].reasons == ("too short: 4 of 8 frames in 1.5-1.9 s",)
    assert found[1].hint
    assert {one.sha256 for one in found} == {look(three, **SHAPE).sha256}
    for one in (found[0], found[2]):
        assert one.scene is not None
        again = look(three, trim=one.scene, **SHAPE)
        assert (again.start_s, again.end_s, again.status) == (one.start_s, one.end_s, "ok")
        shown = cut(three, start_s=one.start_s, **SHAPE)
        assert cuts(grey(shown)) == []
    first, last = (one.scene for one in (found[0], found[2]))
    assert first is not None
    assert last is not None
    assert first[1] < 1.5 <= 1.9 <= last[0]


def test_a_part_is_split_too(three: Path) -> None:
    """Of a trimmed part only the scenes in it are looked at."""
    found = split(three, trim=(0.2, 1.8), **SHAPE)
    assert [one.status for one in found] == ["ok", "left_out"]
    assert found[0].scene is not None
    assert found[0].scene[0] >= 0.2


def test_what_has_no_cuts_is_not_split(base: Path, tmp_path: Path) -> None:
    """It is looked at as ever, as is what cannot be read."""
    assert split(base, **SHAPE) == [look(base, **SHAPE)]
    assert split(base, trim=(1, 2.5), **SHAPE)[0].start_s == 1
    (tmp_path / "text.mp4").write_text("no film")
    assert [one.status for one in split(tmp_path / "text.mp4", **SHAPE)] == ["left_out"]


def test_a_long_clip_is_split_as_far_as_it_is_searched(three: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """That is said of the last scene, and a part that lies later can be split on its own."""
    monkeypatch.setattr(clips, "SEARCH_S", 2.0)
    assert split(three, **SHAPE)[-1].end_s <= 2.1
    assert "only the first 2 s searched" in split(three, **SHAPE | {"num_frames": 1})[-1].reasons
    assert split(three, trim=(0.1, 3.4), **SHAPE | {"num_frames": 1})[-1].reasons[0] == "only the first 2 s searched"
    assert split(three, trim=(1.6, 3.4), **SHAPE)[-1].status == "ok"


# --- Bars


def seen(film: Film, base: Path, name: str, graph: str) -> Look:
    """The ordinary clip behind some filters, looked at."""
    return look(film(name, "-i", str(base), "-vf", graph, *X264), **SHAPE)


@pytest.mark.parametrize(
    ("name", "graph", "box"),
    [
        ("letter.mp4", "pad=160:120:0:15:black", (0, 15, 160, 90)),
        ("pillar.mp4", "pad=240:90:40:0:black", (40, 0, 160, 90)),
        ("window.mp4", "pad=240:130:40:20:black", (40, 20, 160, 90)),
        ("faded.mp4", "fade=in:0:20,pad=160:120:0:15:black", (0, 15, 160, 90)),
    ],
)
def test_bars_are_found_and_measured(
    film: Film, base: Path, name: str, graph: str, box: tuple[int, int, int, int]
) -> None:
    """They are said; asked for, what lies between them is used, and nothing of them is left in it."""
    found = seen(film, base, name, graph)
    assert (found.reasons, found.barred, found.crop) == (("black bars",), True, None)
    assert closer(found, False) == found
    cropped = closer(found, True)
    assert cropped.reasons == ("black bars cut off",)
    assert cropped.crop == pytest.approx(box, abs=4)
    assert cropped.crop is not None
    assert cropped.crop[0] >= box[0]
    assert cropped.crop[1] >= box[1]
    size = {**SHAPE, "width": 96, "height": 48}
    inside = cut(found.path, start_s=1.0, crop=cropped.crop, **size)
    assert inside.shape == (8, 48, 96, 3)
    plain = cut(base, start_s=1.0, **size)
    assert np.abs(inside.astype(int) - plain).mean() < 25  # the same picture, a little larger
    for edge in (np.s_[:, 0], np.s_[:, -1], np.s_[:, :, 0], np.s_[:, :, -1]):
        assert inside[edge].mean() == pytest.approx(plain[edge].mean(), abs=30)


def dark(shade: float) -> str:
    """A filter that leaves so much of the light."""
    return f"lutyuv=y=16+(val-16)*{shade}"


@pytest.mark.parametrize(
    ("name", "graph"),
    [
        ("dim.mp4", dark(0.3)),
        ("night.mp4", dark(0.08)),
        ("low.mp4", "pad=160:120:0:30:black"),
        ("ball.mp4", "geq=lum='if(lt(hypot(X-20-40*T\\,Y-45)\\,15)\\,200\\,16)':cb=128:cr=128"),
        ("title.mp4", "geq=lum='if(between(Y\\,40\\,50)*lt(mod(X+9*T\\,40)\\,8)\\,230\\,16)':cb=128:cr=128"),
        ("dusk.mp4", "geq=lum='16+max(0\\,sin(PI*Y/90)-0.5)*120':cb=128:cr=128"),
    ],
)
def test_darkness_is_no_bar(film: Film, base: Path, name: str, graph: str) -> None:
    """A dark scene, one black edge, a thing or a title before black: none of these is framed by bars."""
    found = seen(film, base, name, graph)
    for crop in (True, False):
        again = closer(found, crop)
        assert (again.barred, again.crop) == (False, None)
        assert "black bars" not in again.reasons


def test_a_bar_that_goes_is_none(film: Film, base: Path) -> None:
    """Bars have to stay through the clip."""
    graph = "pad=160:120:0:15:black,drawbox=y=100:h=20:color=white:t=fill:enable='gt(t,2.5)'"
    assert not seen(film, base, "until.mp4", graph).barred


def test_a_part_of_a_picture_is_cut_exactly(levels: Path) -> None:
    """Large or small, the part has its size and holds what lies in it."""
    box = (8, 4, 16, 24)
    for width, height in ((16, 24), (8, 8), (48, 16)):
        size: dict[str, int] = {"num_frames": 2, "width": width, "height": height}
        frames = cut(levels, start_s=0.5, fps=8, crop=box, **size)
        assert frames.shape == (2, height, width, 3)
        assert frames.mean() == pytest.approx(cut(levels, start_s=0.5, fps=8, **size).mean(), abs=1)


@pytest.mark.parametrize("box", [(40, 0, 8, 8), (0, 40, 8, 8), (31, 31, 1, 1)])
def test_a_part_that_is_not_there(levels: Path, box: tuple[int, int, int, int]) -> None:
    """It is refused, not guessed; a single pixel is a part too."""
    size: dict[str, int] = {"num_frames": 2, "width": 16, "height": 16}
    if box[0] == 31:
        assert cut(levels, start_s=0.5, fps=8, crop=box, **size).shape == (2, 16, 16, 3)
        return
    with pytest.raises(BadInput):
        cut(levels, start_s=0.5, fps=8, crop=box, **size)


def spans(times: Sequence[float], at: Sequence[int], begin_s: float, end_s: float) -> list[tuple[float, float]]:
    """The scenes of frames that are shown at `times`, cut before those of these numbers."""
    found = np.isin(np.arange(1, len(times)), at)
    return scenes.spans(np.array(times), found, begin_s, end_s, 0.1)


def test_scenes_do_not_touch() -> None:
    """Between one and the next lies what would be shown as a frame of the next; edges are none."""
    times = [number / 10 for number in range(20)]
    found = spans(times, [5, 12], 0.0, 2.0)
    assert np.array(found) == pytest.approx(np.array([(0.0, 0.46), (0.5, 1.16), (1.2, 2.0)]), abs=2e-3)
    assert spans(times, [5, 12], 0.5, 1.2) == [(0.5, 1.2)]
    assert spans(times, [], 0.3, 1.2) == [(0.3, 1.2)]
