"""C: ordinary odd clips. Each is used or left out, with a reason in plain words."""

import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from films import X264, Film
from rows import fault

from mdctl.media import clips
from mdctl.media.clips import Look, cut, look
from mdctl.media.kinds import Unusable, sniff
from mdctl.media.probe import probe

TEST = "testsrc2=s=160x90:r=30:d=1"
SOURCE = ("-f", "lavfi", "-i", TEST)

NO_COVERS = """
import os, sys
sys.path[:] = sys.argv.pop(1).split(os.pathsep)
import av
av.stream.Disposition = type("Disposition", (), {"attached_pic": 0})
from mdctl.media.probe import answer
answer()
"""
"""A reader for which a cover is a video like others."""


def _one_by_one(times: Any, wanted: Any, until_s: float) -> list[int]:
    return list(range(len(wanted)))


def _calm(frames: Any) -> Any:
    return np.ones(len(frames) - 1), np.zeros(len(frames) - 1, bool)


def seen(path: Path, *, num_frames: int = 16, fps: float = 8, trim: tuple[float, float] | None = None) -> Look:
    """Look with the settings that `new` has by default, at a small size."""
    return look(path, num_frames=num_frames, fps=fps, width=64, height=64, trim=trim)


def picture(motion: str, seconds: float, rate: int = 30) -> str:
    """A bright square on noise-free grey whose left edge is at `motion`, an expression in T."""
    square = f"if(between(X-({motion})\\,0\\,16)*between(Y\\,20\\,36)\\,220\\,90)"
    return f"color=gray:s=96x64:r={rate}:d={seconds},format=gray,geq=lum={square}"


# --- What cannot be read


@fault("C1", guard="mdctl.media.kinds._recognise", without=lambda _: ("mov", ""))
@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "empty"),
        (b"just some words\n", "text"),
        (b"%PDF-1.7\n", "PDF"),
        (b"PK\x03\x04rest", "zip"),
        (b"\x00\x00\x00\x18ftypheic\x00\x00\x00\x00", "HEIC"),
        (random.Random(0).randbytes(5000), "not a video"),
    ],
    ids=["empty", "text", "pdf", "zip", "heic", "noise"],
)
def test_other_files_are_refused_with_a_reason(tmp_path: Path, content: bytes, why: str) -> None:
    """The reason says what the file is, not what ffmpeg thinks of it."""
    path = tmp_path / "clip.mp4"
    path.write_bytes(content)
    with pytest.raises(Unusable) as caught:
        sniff(path)
    assert why in caught.value.why


@fault("C1", "C2")
def test_what_cannot_be_read_is_left_out(film: Film, base: Path, tmp_path: Path) -> None:
    """Each refusal carries its reason; nothing is raised and nothing hangs."""
    contents = {
        "empty": b"",
        "words": b"no film",
        "list": b"#EXTM3U\nfile:///etc/passwd",
        "half": base.read_bytes()[:900],
    }
    reasons = []
    for name, content in contents.items():
        path = tmp_path / f"{name}.mp4"
        path.write_bytes(content)
        found = seen(path)
        assert found.status == "left_out"
        reasons += found.reasons
    reasons += seen(film("sound.m4a", "-f", "lavfi", "-i", "sine=d=1")).reasons
    expected = ["an empty file", "a text file, not a video", "a playlist (m3u8), not a video"]
    assert reasons[:3] == expected
    assert reasons[-1] == "only sound"
    assert len(reasons) == 5


@fault("C2")
@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".ts", ".gif"])
def test_half_a_file_counts_only_what_is_there(film: Film, base: Path, tmp_path: Path, suffix: str) -> None:
    """Of a file cut in half the readable half is counted; where the format promises a length, the damage is told."""
    options = ("-movflags", "+faststart") if suffix == ".mp4" else ()
    whole = film(f"whole{suffix}", "-i", str(base), *(() if suffix == ".gif" else ("-c", "copy")), *options)
    half = tmp_path / f"half{suffix}"
    half.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    source = probe(half)
    assert 0.8 < source.duration_s < 2.2
    if suffix in (".mp4", ".mkv"):
        assert source.damaged_after_s == pytest.approx(source.duration_s, abs=0.01)


@fault("C2")
def test_a_film_without_its_index_is_unreadable(film: Film, tmp_path: Path) -> None:
    """An mp4 that was never finished has no moov, and cannot be read."""
    whole = film("late.mp4", *SOURCE, *X264).read_bytes()
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(Unusable) as caught:
        probe(broken)
    assert "damaged" in caught.value.why


@fault("C2")
def test_damage_is_said_and_avoided(film: Film, base: Path, tmp_path: Path) -> None:
    """A cut-off film is used as far as it goes; a film with a flaw inside, before the flaw."""
    half = tmp_path / "half.mp4"
    half.write_bytes(base.read_bytes()[: base.stat().st_size // 2])
    found = seen(half, num_frames=8)
    assert found.status == "adjusted"
    assert found.reasons[0].startswith("damaged after 1.")
    assert found.end_s <= 1.6
    assert seen(half).reasons[0].startswith("too short")

    content = bytearray(base.read_bytes())
    for place in range(len(content) * 7 // 10, len(content) * 8 // 10, 97):
        content[place] ^= 0xFF
    flawed = tmp_path / "flawed.mp4"
    flawed.write_bytes(content)
    found = seen(flawed, num_frames=8)
    assert found.reasons[0].startswith("damaged after")
    assert found.end_s <= float(found.reasons[0].split()[2]) + 0.1


# --- How many frames there are


@fault("C3", guard="mdctl.media.clips._available", without=lambda *_: 16)
@pytest.mark.parametrize(("frames", "status"), [(16, "ok"), (15, "left_out"), (1, "left_out")])
@pytest.mark.parametrize("suffix", ["mp4", "mkv"])
def test_the_count_is_exact(film: Film, frames: int, status: str, suffix: str) -> None:
    """Exactly sixteen frames are enough for sixteen, one fewer is not."""
    path = film(f"{frames}.{suffix}", "-f", "lavfi", "-i", "testsrc2=s=64x64:r=8", "-frames:v", str(frames), *X264)
    found = seen(path)
    assert found.status == status
    assert found.available_frames == frames
    if status == "ok":
        assert len(cut(path, start_s=found.start_s, fps=8, num_frames=16, width=32, height=32)) == 16
    else:
        assert found.reasons == (f"too short: {frames} of 16 frames",)


@fault("C3")
@pytest.mark.parametrize(
    ("rate", "frames", "hint"), [(30, 30, "--frames 8 or --fps 16"), (8, 12, "--frames 12"), (8, 1, "")]
)
def test_a_short_clip_hears_what_would_help(film: Film, rate: int, frames: int, hint: str) -> None:
    """The hint names settings that work with this very clip."""
    source = ("-f", "lavfi", "-i", f"testsrc2=s=64x64:r={rate}")
    path = film(f"short{rate}_{frames}.mkv", *source, "-frames:v", str(frames), "-c:v", "ffv1")
    assert seen(path).hint == hint
    for setting in hint.split(" or ") if hint else []:
        option, value = setting.split()
        wish = {"num_frames": int(value)} if option == "--frames" else {"fps": float(value)}
        assert seen(path, **wish).status == "ok"  # type: ignore[arg-type]


@fault("C11")
def test_few_pictures_are_no_film(film: Film) -> None:
    """A time lapse at one picture a second is left out, with the rate at which it would move."""
    path = film("lapse.mp4", "-f", "lavfi", "-i", "testsrc2=s=64x64:r=1:d=20", *X264)
    found = seen(path)
    assert found.status == "left_out"
    assert found.reasons == ("too few pictures: 3 in 2.0 s",)
    assert found.hint == "--fps 1"
    assert seen(path, fps=1).status == "ok"


@fault("C11", guard="mdctl.media.ffmpeg.choose", without=_one_by_one)
def test_a_fast_camera_is_sampled(film: Film) -> None:
    """Of 240 frames a second every thirtieth is taken."""
    path = film("fast.mkv", "-f", "lavfi", "-i", "color=black:s=32x32:r=240:d=1,format=gray,geq=lum=N", "-c:v", "ffv1")
    found = seen(path, num_frames=8)
    assert found.available_frames == 8
    frames = cut(path, start_s=0, fps=8, num_frames=8, width=16, height=16)
    assert frames.mean((1, 2, 3)).round().tolist() == [30 * number for number in range(8)]


@fault("C13", guard="mdctl.media.clips._search_s", without=lambda source, _: source.duration_s)
def test_only_the_first_minute_is_searched(film: Film, monkeypatch: pytest.MonkeyPatch) -> None:
    """A long clip is searched as far as patience goes, and that is said."""
    monkeypatch.setattr(clips, "SEARCH_S", 3.0)
    path = film("long.mkv", "-f", "lavfi", "-i", picture("10*T", 6), "-c:v", "ffv1")
    found = seen(path)
    assert found.reasons == ("only the first 3 s searched",)
    assert found.end_s <= 3.01
    assert seen(path, trim=(4, 6)).reasons == ()


# --- What else is in a file


@fault("C4", "C5", "C6", "C7", "C8", "C9", guard="mdctl.media.clips._adjustments", without=lambda _: [])
@fault("C12", guard="mdctl.media.clips._warnings", without=lambda *_: [])
@pytest.mark.parametrize(
    ("name", "options", "reason"),
    [
        ("turned.mp4", ["-display_rotation", "90", "-i", "BASE", "-c", "copy"], "upright"),
        ("mirrored.mp4", ["-display_hflip", "-i", "BASE", "-c", "copy"], "upright"),
        ("wide.mp4", ["-i", "BASE", "-vf", "setsar=2", *X264], "square pixels"),
        ("uneven.mp4", ["-i", "BASE", "-vf", "select='gt(mod(n,7),1)'", "-fps_mode", "vfr", *X264], "variable rate"),
        ("two.mp4", ["-i", "BASE", "-i", "BASE", "-map", "0", "-map", "1", "-c", "copy"], "first of 2 videos"),
        ("slow.mp4", ["-i", "BASE", "-vf", "fps=5", *X264], "frames repeat: 5 fps"),
        (
            "still.mp4",
            ["-f", "lavfi", "-i", "mandelbrot=s=64x64:r=30,loop=-1:1:0,trim=duration=2.5", *X264],
            "no motion found",
        ),
        ("black.mp4", ["-f", "lavfi", "-i", "color=black:s=64x64:r=30:d=2.5", *X264], "no motion found"),
        ("barred.mp4", ["-i", "BASE", "-vf", "pad=160:120:0:15:black", *X264], "black bars"),
        (
            "clear.mkv",
            ["-i", "BASE", "-vf", "format=yuva420p,geq=lum=lum(X\\,Y):a=X", "-c:v", "ffv1"],
            "transparency on grey",
        ),
        (
            "hdr.mkv",
            ["-i", "BASE", "-vf", "format=yuv420p10,setparams=color_trc=smpte2084", "-c:v", "ffv1"],
            "HDR to SDR",
        ),
    ],
)
def test_what_is_adjusted_or_doubtful_is_said(
    film: Film, base: Path, name: str, options: list[str], reason: str
) -> None:
    """Such clips are used, with one reason in plain words."""
    path = film(name, *[str(base) if option == "BASE" else option for option in options])
    found = seen(path)
    assert (found.status, found.reasons) == ("adjusted", (reason,))


@fault("C11", guard="mdctl.media.clips._adjustments", without=lambda _: [])
def test_fields_are_said(film: Film) -> None:
    """An interlaced clip is used, de-interlaced."""
    woven = ("-f", "lavfi", "-i", "testsrc2=s=160x96:r=50:d=3,interlace", "-flags", "+ildct+ilme", "-c:v", "mpeg2video")
    assert seen(film("woven.mpg", *woven)).reasons == ("de-interlaced",)


@fault("C12", guard="mdctl.media.clips.motion", without=_calm)
def test_cuts_are_avoided_where_possible(film: Film) -> None:
    """The window keeps to one side of a cut; a clip full of cuts is used, and they are counted."""
    parts = ["mandelbrot=s=96x64:r=30", "testsrc2=s=96x64:r=30", "smptehdbars=s=96x64:r=30"]
    inputs = [word for part in parts for word in ("-f", "lavfi", "-i", part)]

    def joined(name: str, *seconds: float) -> Path:
        trims = ";".join(f"[{n}]trim=duration={s},format=yuv420p[t{n}]" for n, s in enumerate(seconds))
        joint = "".join(f"[t{n}]" for n in range(3)) + "concat=n=3"
        return film(name, *inputs, "-filter_complex", f"{trims};{joint}", *X264)

    found = seen(joined("apart.mp4", 1, 2.5, 1))
    assert found.reasons == ()
    assert found.start_s >= 0.99
    assert found.end_s <= 3.51
    assert seen(joined("close.mp4", 0.7, 0.7, 0.8)).reasons == ("2 cuts inside the window",)


@fault("C10")
@pytest.mark.parametrize("name", ["photo.jpg", "photo.png", "photo.webp", "one.gif"])
def test_a_picture_is_left_out_with_a_hint(film: Film, name: str) -> None:
    """Pictures belong to appearances; as one frame they can still be cut."""
    path = film(name, "-f", "lavfi", "-i", "testsrc2=s=160x90", "-frames:v", "1")
    found = seen(path)
    assert (found.status, found.reasons) == ("left_out", ("a picture, not a video",))
    assert "video" in found.hint
    assert cut(path, start_s=0, fps=8, num_frames=1, width=64, height=64).shape == (1, 64, 64, 3)


@fault("C9", guard="mdctl.media.probe._CHILD", without=NO_COVERS)
def test_sound_and_covers_are_no_video(film: Film, base: Path) -> None:
    """Sound alone is refused, with or without a cover; a cover beside a video is passed over."""
    sine = ("-f", "lavfi", "-i", "sine=d=1")
    cover = ("-f", "lavfi", "-i", "testsrc2=s=300x300:d=0.04")
    with pytest.raises(Unusable) as caught:
        probe(film("sound.m4a", *sine))
    assert caught.value.why == "only sound"
    art = ("-map", "0", "-map", "1", "-c:v", "mjpeg", "-disposition:v:0", "attached_pic")
    with pytest.raises(Unusable) as caught:
        probe(film("song.m4a", *sine, *cover, *art))
    assert caught.value.why == "only sound and a cover picture"
    both = ("-map", "1", "-map", "0", "-c:v:0", "mjpeg", "-c:v:1", "copy", "-disposition:v:0", "attached_pic")
    source = probe(film("covered.mp4", "-i", str(base), *cover, *both))
    assert (source.videos, source.codec, source.width) == (1, "h264", 160)


@fault("C9")
def test_of_two_videos_the_first_is_used_and_both_are_counted(film: Film, base: Path) -> None:
    """A second video is told, not shown."""
    source = probe(film("two.mp4", "-i", str(base), "-i", str(base), "-map", "0", "-map", "1", "-c", "copy"))
    assert (source.videos, source.stream) == (2, 0)


@fault("C6", "C7", "C11")
def test_special_pictures_are_recognised(film: Film) -> None:
    """High dynamic range, fields and transparency are each told."""
    for name, transfer in {"pq": "smpte2084", "hlg": "arib-std-b67"}.items():
        grey = f"color=gray:s=64x64:d=0.2,format=yuv420p10,setparams=color_trc={transfer}:colorspace=bt2020nc"
        assert probe(film(f"{name}.mkv", "-f", "lavfi", "-i", grey, "-c:v", "ffv1")).hdr == name
    woven = ("-f", "lavfi", "-i", "testsrc2=s=160x96:r=50:d=1,interlace", "-flags", "+ildct+ilme", "-c:v", "mpeg2video")
    assert probe(film("woven.mpg", *woven)).interlaced
    clear = ("-f", "lavfi", "-i", f"{TEST},format=yuva444p,geq=lum=lum(X\\,Y):a=0")
    source = probe(film("clear.mov", *clear, "-c:v", "prores_ks", "-profile:v", "4444"))
    assert source.alpha
    assert source.transparent
    assert not probe(film("opaque.gif", *SOURCE)).transparent


@fault("C8")
def test_tiny_sources_hold_nothing(film: Film) -> None:
    """Two by two pixels are refused, with the size."""
    with pytest.raises(Unusable) as caught:
        probe(film("tiny.mkv", "-f", "lavfi", "-i", "testsrc2=s=2x2:d=1", "-c:v", "ffv1"))
    assert caught.value.why == "too small: 2x2"
