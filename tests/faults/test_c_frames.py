"""C: the right frames of odd clips, upright, in their shape and in their colours."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from films import X264, Film, read
from PIL import Image
from rows import as_given, fault

from mdctl.media.frames import Frames
from mdctl.media.kinds import Unusable
from mdctl.media.probe import probe

SOURCE = ("-f", "lavfi", "-i", "testsrc2=s=160x90:r=30:d=1")


def _one_by_one(times: Any, wanted: Any, until_s: float) -> list[int]:
    return list(range(len(wanted)))


def _as_many_as_wanted(times: Any, wanted: Any, until_s: float) -> list[int]:
    return [min(number, len(times) - 1) for number in range(len(wanted))]


def _stretched(stream: Any, source: Any, width: int, height: int) -> Any:
    return stream.filter("scale", width, height)


HALF_CLEAR = "testsrc2=s=160x90:r=10:d=1,format=rgba,geq=r=r(X\\,Y):g=g(X\\,Y):b=b(X\\,Y):a=if(lt(X\\,80)\\,255\\,0)"


def numbers(frames: Frames) -> list[int]:
    """Which frames of `levels` these are: their brightness is twice their number."""
    return [round(float(level) / 2) for level in frames.mean((1, 2, 3))]


# --- The right frames


@fault("C4", guard="mdctl.media.ffmpeg.choose", without=_one_by_one)
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


@fault("C4", guard="mdctl.media.ffmpeg.choose", without=_one_by_one)
def test_a_variable_rate_is_sampled_by_time(film: Film, levels: Path) -> None:
    """Where frames are missing, the one last shown stays; the others keep their time."""
    drop = "select='lt(n,30)+eq(n,40)+gt(n,59)'"
    path = film("gaps.mkv", "-i", str(levels), "-vf", drop, "-fps_mode", "vfr", "-c:v", "ffv1")
    assert numbers(read(path, fps=5, num_frames=15)) == [0, 6, 12, 18, 24, 29, 29, 40, 40, 40, 60, 66, 72, 78, 84]


@fault("C4")
def test_a_variable_rate_is_noticed(film: Film, base: Path) -> None:
    """Frames at uneven distances are told; rounding to milliseconds is no unevenness."""
    uneven = ("-vf", "select='lt(mod(n,7),3)'", "-fps_mode", "vfr", *X264)
    assert probe(film("uneven.mp4", "-i", str(base), *uneven)).variable_rate
    assert not probe(film("even.mkv", "-i", str(base), "-c", "copy")).variable_rate


@fault("C4")
def test_a_frame_that_stays_long_is_shown_long(film: Film, levels: Path) -> None:
    """Inside a gap the last frame before it is shown, also where the window ends in the gap."""
    path = film("gap.mkv", "-i", str(levels), "-vf", "select='lt(n,30)+gt(n,74)'", "-fps_mode", "vfr", "-c:v", "ffv1")
    assert numbers(read(path, start_s=0.5, fps=8, num_frames=8)) == [15, 19, 22, 26, 29, 29, 29, 29]
    assert numbers(read(path, start_s=2.0, fps=8, num_frames=8))[4:] == [75, 79, 82, 86]


@fault("C4")
def test_double_timestamps_do_no_harm(film: Film, levels: Path) -> None:
    """Frames that claim the same moment are told apart, and the count stays exact."""
    double = ("-vf", "setpts='floor(N/2)*2/30/TB'", "-fps_mode", "passthrough", "-c:v", "ffv1")
    found = numbers(read(film("double.mkv", "-i", str(levels), *double), fps=5, num_frames=14))
    assert np.abs(np.array(found) - np.arange(14) * 6).max() <= 1


@fault("C4")
def test_edit_lists_are_obeyed(film: Film, levels: Path) -> None:
    """A film trimmed without encoding starts where its edit list says."""
    whole = film("long.mp4", "-i", str(levels), "-c:v", "libx264", "-qp", "4", "-bf", "2", "-pix_fmt", "yuv420p")
    edited = film("edited.mp4", "-ss", "1", "-i", str(whole), "-c", "copy")
    assert numbers(read(edited, fps=5, num_frames=4)) == pytest.approx([30, 36, 42, 48], abs=1)


@fault("C2", guard="mdctl.media.ffmpeg.choose", without=_as_many_as_wanted)
def test_half_a_film_gives_its_half(film: Film, base: Path, tmp_path: Path) -> None:
    """What lies before the cut is used; what lies behind is missed by count, though ffmpeg ends with success."""
    half = tmp_path / "half.mp4"
    half.write_bytes(base.read_bytes()[: base.stat().st_size // 2])
    assert len(read(half, fps=8, num_frames=8)) == 8
    with pytest.raises(Unusable):
        read(half, fps=8, num_frames=24)


# --- The right picture


@fault("C5")
@pytest.mark.parametrize(
    ("options", "turn"),
    [
        (["-display_rotation", "90"], (90, 160, 270, False)),
        (["-display_rotation", "180"], (160, 90, 180, False)),
        (["-display_rotation", "270"], (90, 160, 90, False)),
        (["-display_hflip"], (160, 90, 0, True)),
    ],
)
def test_rotation_is_told_with_the_upright_size(
    film: Film, base: Path, options: list[str], turn: tuple[int, int, int, bool]
) -> None:
    """Width and height are those of the upright picture."""
    source = probe(film("_".join(options) + ".mp4", *options, "-i", str(base), "-c", "copy"))
    assert (source.width, source.height, source.rotation, source.mirrored) == turn


@fault("C5", guard="mdctl.media.ffmpeg._turn", without=as_given)
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


@fault("C10")
@pytest.mark.parametrize("orientation", [1, 4, 6, 7])
def test_pictures_of_a_camera_are_told_upright(tmp_path: Path, orientation: int) -> None:
    """All eight EXIF orientations are known."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / "photo.jpg"
    Image.new("RGB", (64, 32)).save(path, exif=exif)
    source = probe(path)
    assert (source.width, source.height) == ((32, 64) if orientation > 4 else (64, 32))
    assert source.mirrored == (orientation in (2, 4, 5, 7))


@fault("C10", guard="mdctl.media.ffmpeg._turn", without=as_given)
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


@fault("C8", guard="mdctl.media.ffmpeg._shape", without=_stretched)
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


@fault("C8")
def test_pixels_that_are_not_square_are_counted_as_shown(film: Film) -> None:
    """With pixels twice as wide as high, a picture is twice as wide as stored."""
    source = probe(film("wide.mp4", *SOURCE, "-vf", "setsar=2", *X264))
    assert (source.width, source.height, source.stored_width, source.pixel_aspect) == (320, 90, 160, 2.0)


@fault("C7", guard="mdctl.media.ffmpeg._flatten", without=lambda frames: frames[..., :3])
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


@fault("C6", guard="mdctl.media.ffmpeg._tone_map", without=as_given)
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


@fault("C6")
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


@fault("C11")
def test_woven_fields_are_separated(film: Film) -> None:
    """An interlaced film of a moving bar shows no comb."""
    bar = "color=black:s=160x96:r=50:d=1,geq=lum=if(between(X-N*2\\,20\\,50)\\,235\\,16):cb=128:cr=128,interlace"
    path = film("bar.mpg", "-f", "lavfi", "-i", bar, "-flags", "+ildct+ilme", "-c:v", "mpeg2video", "-q:v", "2")
    frame = read(path, start_s=0.4, size=(160, 96))[0].astype(int).mean(-1)
    assert np.abs(frame[10:85] - frame[11:86]).max() < 60
