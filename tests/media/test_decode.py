"""Decoding gives exactly the asked frames, upright, evenly spaced and in their colours."""

import contextlib
from pathlib import Path

import numpy as np
import pytest
from films import Film, read
from PIL import Image

from mdctl.errors import BadInput, MdctlError
from mdctl.media.frames import Frames
from mdctl.media.kinds import Unusable

TEST = ("-f", "lavfi", "-i", "testsrc2=s=160x90:r=30:d=1")
HALF_CLEAR = "testsrc2=s=160x90:r=10:d=1,format=rgba,geq=r=r(X\\,Y):g=g(X\\,Y):b=b(X\\,Y):a=if(lt(X\\,80)\\,255\\,0)"


def numbers(frames: Frames) -> list[int]:
    """Which frames of `levels` these are: their brightness is twice their number."""
    return [round(float(level) / 2) for level in frames.mean((1, 2, 3))]


# --- The right frames.


@pytest.mark.parametrize(
    ("start_s", "fps", "expected"),
    [
        (0.0, 30, [0, 1, 2, 3]),
        (0.0, 10, [0, 3, 6, 9]),
        (0.0, 8, [0, 4, 7, 11]),
        (1.5, 10, [45, 48, 51, 54]),
        (2.9, 30, [87, 88, 89]),
        (0.5, 60, [15, 15, 16, 16]),
    ],
)
def test_frames_are_even_in_time(levels: Path, start_s: float, fps: float, expected: list[int]) -> None:
    """At any rate and start, each frame is the one nearest to its moment."""
    frames = read(levels, start_s=start_s, fps=fps, num_frames=len(expected))
    assert frames.shape == (len(expected), 32, 32, 3)
    assert frames.dtype == np.uint8
    assert numbers(frames) == expected


@pytest.mark.parametrize("name", ["levels.mp4", "levels.avi", "levels.ts", "levels.mpg", "levels.gif"])
def test_every_container_is_cut_at_the_same_place(film: Film, levels: Path, name: str) -> None:
    """A seek lands on the same frames with and without an index."""
    options = {"levels.gif": [], "levels.mpg": ["-c:v", "mpeg2video", "-q:v", "2"], "levels.avi": ["-c:v", "ffv1"]}
    path = film(name, "-i", str(levels), *options.get(name, ["-c:v", "libx264", "-qp", "4", "-pix_fmt", "yuv420p"]))
    found = numbers(read(path, start_s=2.0, fps=5, num_frames=5))
    tolerance = 2 if name == "levels.gif" else 1  # gif counts in hundredths of a second
    assert np.abs(np.array(found) - [60, 66, 72, 78, 84]).max() <= tolerance


def test_a_variable_rate_is_sampled_by_time(film: Film, levels: Path) -> None:
    """Where frames are missing, the one last shown stays; the others keep their time."""
    drop = "select='lt(n,30)+eq(n,40)+gt(n,59)'"
    path = film("gaps.mkv", "-i", str(levels), "-vf", drop, "-fps_mode", "vfr", "-c:v", "ffv1")
    assert numbers(read(path, fps=5, num_frames=15)) == [0, 6, 12, 18, 24, 29, 29, 40, 40, 40, 60, 66, 72, 78, 84]


def test_a_frame_that_stays_long_is_shown_long(film: Film, levels: Path) -> None:
    """Inside a gap the last frame before it is shown, also where the window ends in the gap."""
    path = film("gap.mkv", "-i", str(levels), "-vf", "select='lt(n,30)+gt(n,74)'", "-fps_mode", "vfr", "-c:v", "ffv1")
    assert numbers(read(path, start_s=0.5, fps=8, num_frames=8)) == [15, 19, 22, 26, 29, 29, 29, 29]
    assert numbers(read(path, start_s=2.0, fps=8, num_frames=8))[4:] == [75, 79, 82, 86]


def test_double_timestamps_do_no_harm(film: Film, levels: Path) -> None:
    """Frames that claim the same moment are told apart, and the count stays exact."""
    double = ("-vf", "setpts='floor(N/2)*2/30/TB'", "-fps_mode", "passthrough", "-c:v", "ffv1")
    found = numbers(read(film("double.mkv", "-i", str(levels), *double), fps=5, num_frames=14))
    assert np.abs(np.array(found) - np.arange(14) * 6).max() <= 1


def test_edit_lists_are_obeyed(film: Film, levels: Path) -> None:
    """A film trimmed without encoding starts where its edit list says."""
    whole = film("long.mp4", "-i", str(levels), "-c:v", "libx264", "-qp", "4", "-bf", "2", "-pix_fmt", "yuv420p")
    edited = film("edited.mp4", "-ss", "1", "-i", str(whole), "-c", "copy")
    assert numbers(read(edited, fps=5, num_frames=4)) == pytest.approx([30, 36, 42, 48], abs=1)


def test_missing_frames_are_counted(levels: Path) -> None:
    """Three seconds hold thirty frames at 10 fps and not one more."""
    assert len(read(levels, fps=10, num_frames=30)) == 30
    with pytest.raises(Unusable) as caught:
        read(levels, fps=10, num_frames=31)
    assert caught.value.why == "only 30 of 31 frames can be read"


def test_half_a_film_gives_its_half(film: Film, base: Path, tmp_path: Path) -> None:
    """What lies before the cut is used; what lies behind is missed by count, though ffmpeg ends with success."""
    half = tmp_path / "half.mp4"
    half.write_bytes(base.read_bytes()[: base.stat().st_size // 2])
    assert len(read(half, fps=8, num_frames=8)) == 8
    with pytest.raises(Unusable):
        read(half, fps=8, num_frames=24)


def test_a_picture_is_one_frame_however_many_are_asked(film: Film) -> None:
    """A still needs no rate, and is the same at any moment."""
    for name in ("one.png", "one.jpg", "one.webp"):
        frames = read(film(name, *TEST, "-frames:v", "1"), num_frames=3, size=(160, 90))
        assert frames.shape == (3, 90, 160, 3)
        assert (frames[0] == frames[2]).all()


@pytest.mark.parametrize("wrong", [{"fps": 0}, {"num_frames": 0}, {"start_s": -1.0}, {"size": (0, 8)}])
def test_impossible_wishes_are_refused(levels: Path, wrong: dict[str, float]) -> None:
    """Nothing, backwards or no size cannot be cut."""
    with pytest.raises(BadInput):
        read(levels, **wrong)  # type: ignore[arg-type]


# --- The right picture.


@pytest.mark.parametrize(
    "options", [["-display_rotation", str(angle)] for angle in (90, 180, 270)] + [["-display_hflip"]]
)
def test_rotation_is_obeyed_exactly_once(film: Film, base: Path, options: list[str]) -> None:
    """A turned film looks like the plain one, turned by hand."""
    plain = read(base, start_s=0.5, size=(160, 90))[0]
    turned = film("turned_" + "".join(options) + ".mp4", *options, "-i", str(base), "-c", "copy")
    by_hand = plain[:, ::-1] if "-display_hflip" in options else np.rot90(plain, int(options[1]) // 90)
    found = read(turned, start_s=0.5, size=(by_hand.shape[1], by_hand.shape[0]))[0]
    assert np.abs(found.astype(int) - by_hand).mean() < 1


@pytest.mark.parametrize("orientation", range(1, 9))
def test_photos_stand_upright(tmp_path: Path, orientation: int) -> None:
    """All eight EXIF orientations come out as Pillow turns them."""
    image = Image.new("RGB", (64, 32), "gray")
    image.paste((255, 0, 0), (0, 0, 20, 10))
    exif = Image.Exif()
    exif[0x0112] = orientation
    image.save(tmp_path / "photo.png", exif=exif)
    from PIL import ImageOps

    with Image.open(tmp_path / "photo.png") as photo:
        upright = np.asarray(ImageOps.exif_transpose(photo).convert("RGB"))
    found = read(tmp_path / "photo.png", size=(upright.shape[1], upright.shape[0]))[0]
    assert (found == upright).all()


def quarters(graph_size: str, extra: str = "") -> tuple[str, ...]:
    """A disc of white on black that fills its height, to see whether circles stay round."""
    disc = "geq=lum=if(lt(hypot(X-W/2\\,Y-H/2)\\,H*0.4)\\,255\\,0):cb=128:cr=128"
    return ("-f", "lavfi", "-i", f"color=black:s={graph_size}:r=10:d=0.5,{disc}{extra}", "-c:v", "ffv1")


@pytest.mark.parametrize(
    ("size", "extra"),
    [
        ("320x180", ""),
        ("180x320", ""),
        ("321x181", ""),
        ("400x100", ""),
        ("160x180", ",setsar=2"),
        ("320x90", ",setsar=1/2"),
    ],
)
def test_the_centre_is_cropped_without_distortion(film: Film, size: str, extra: str) -> None:
    """Whatever the shape of picture and pixel, what is in the middle stays there and keeps its proportions."""
    squeezed = {"setsar=2": "scale=iw/2:ih", "setsar=1/2": "scale=iw:ih/2"}.get(extra[1:])
    drawn = {"160x180": "320x180", "320x90": "320x180"}.get(size, size)
    path = film(f"disc_{size}.mkv", *quarters(drawn, f",{squeezed}{extra}" if squeezed else ""))
    frame = read(path, size=(64, 64))[0].mean(-1)
    inside = np.argwhere(frame > 128)
    spans = np.ptp(inside, axis=0)
    assert abs(int(spans[0]) - int(spans[1])) <= 2
    assert np.abs(inside.mean(0) - 31.5).max() <= 1


def test_transparency_lies_on_mid_grey(film: Film) -> None:
    """Clear parts become grey, opaque parts keep their colours, in every format that knows transparency."""
    clear = ("-f", "lavfi", "-i", HALF_CLEAR)
    palette = ("-filter_complex", "split[a][b];[a]palettegen[p];[b][p]paletteuse")
    films = [
        film("clear.mov", *clear, "-c:v", "prores_ks", "-profile:v", "4444"),
        film("clear.webm", *clear, "-c:v", "libvpx-vp9", "-pix_fmt", "yuva420p", "-deadline", "realtime"),
        film("clear.png", *clear, "-frames:v", "1"),
        film("clear.gif", *clear, *palette),
    ]
    for path in films:
        frame = read(path, size=(160, 90))[0].astype(int)
        assert np.abs(frame[:, 84:] - 128).max() <= 2, path.name
        assert np.abs(frame[80, 5] - [255, 0, 0]).max() <= 12, path.name


@pytest.mark.parametrize(("transfer", "name"), [("smpte2084", "pq"), ("arib-std-b67", "hlg")])
def test_a_grey_card_stays_grey_in_ordinary_range(film: Film, transfer: str, name: str) -> None:
    """BT.2408 puts a grey card at 38 % in PQ and HLG alike; on an ordinary screen that is about 108 of 255."""
    card = "color=black:s=32x32:r=10:d=0.3,format=yuv420p10,geq=lum=64+0.38*876:cb=512:cr=512"
    card += f",setparams=color_trc={transfer}"
    path = film(
        f"card_{name}.mkv",
        "-f",
        "lavfi",
        "-i",
        f"{card}:color_primaries=bt2020:colorspace=bt2020nc:range=tv",
        "-c:v",
        "ffv1",
    )
    assert np.abs(read(path)[0].astype(int) - 108).max() <= 8


@pytest.mark.parametrize("form", ["yuv444p", "yuv411p", "yuv420p", "yuvj420p", "gbrp"])
def test_colours_survive_every_layout(film: Film, form: str) -> None:
    """Full range, 4:4:4, 4:1:1: an even colour comes out as it went in."""
    convert = (
        f"scale=out_color_matrix=bt709:out_range={'pc' if form == 'yuvj420p' else 'tv'},format={form.replace('j', '')}"
    )
    graph = f"color=0xC04020:s=32x32:r=10:d=0.3,format=gbrp,{convert}"
    tags = () if form == "gbrp" else ("-colorspace", "bt709", "-color_range", "pc" if form == "yuvj420p" else "tv")
    path = film(f"colour_{form}.mkv", "-f", "lavfi", "-i", graph, *tags, "-c:v", "ffv1")
    assert np.abs(read(path)[0].astype(int) - [0xC0, 0x40, 0x20]).max() <= 4


def test_woven_fields_are_separated(film: Film) -> None:
    """An interlaced film of a moving bar shows no comb."""
    bar = "color=black:s=160x96:r=50:d=1,geq=lum=if(between(X-N*2\\,20\\,50)\\,235\\,16):cb=128:cr=128,interlace"
    path = film("bar.mpg", "-f", "lavfi", "-i", bar, "-flags", "+ildct+ilme", "-c:v", "mpeg2video", "-q:v", "2")
    frame = read(path, start_s=0.4, size=(160, 96))[0].astype(int).mean(-1)
    assert np.abs(frame[10:85] - frame[11:86]).max() < 60


def test_flipped_bits_end_in_frames_or_a_refusal(film: Film, base: Path, tmp_path: Path) -> None:
    """Damage may cost quality or the clip, never a traceback or a wrong count."""
    dice = np.random.default_rng(3)
    for number in range(4):
        content = np.frombuffer(base.read_bytes(), np.uint8).copy()
        content[dice.integers(3000, len(content), 60)] ^= 0x55
        path = tmp_path / f"{number}.mp4"
        path.write_bytes(content.tobytes())
        with contextlib.suppress(MdctlError):
            assert len(read(path, fps=8, num_frames=8)) == 8
