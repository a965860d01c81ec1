"""What a source holds is told before it is decoded; what is none is refused with a reason."""

import contextlib
import os
import random
import socket
import struct
import zlib
from pathlib import Path

import pytest
from films import Film
from PIL import Image

from mdctl.errors import MdctlError, NotFound
from mdctl.media import probe as probing
from mdctl.media.kinds import HiddenPlaylist, Unusable, sniff
from mdctl.media.probe import probe

TEST = "testsrc2=s=160x90:r=30:d=1"
X264 = ("-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p")
SOURCE = ("-f", "lavfi", "-i", TEST)
READERS = {
    "a.mp4": ("mov", *X264),
    "a.mov": ("mov", "-c:v", "prores_ks"),
    "a.mkv": ("matroska", *X264),
    "a.webm": ("matroska", "-c:v", "libvpx-vp9", "-deadline", "realtime", "-cpu-used", "8"),
    "a.avi": ("avi", "-c:v", "mpeg4"),
    "a.ts": ("mpegts", *X264),
    "a.mpg": ("mpeg", "-c:v", "mpeg2video"),
    "a.gif": ("gif",),
    "moving.webp": ("webp_anim", "-c:v", "libwebp_anim"),
    "moving.png": ("apng", "-f", "apng"),
}


@pytest.mark.parametrize("name", READERS)
def test_every_reader_tells_size_rate_and_length(film: Film, name: str) -> None:
    """Thirty frames in a second are told alike, whatever the container; and the name plays no part."""
    reader, *options = READERS[name]
    path = film(name, *SOURCE, *options)
    source = probe(path)
    assert source.reader == reader
    assert (source.width, source.height) == (160, 90)
    # Gif counts in hundredths of a second, so that thirty frames become a few less or more.
    assert source.fps == pytest.approx(30, rel=0.15 if name == "a.gif" else 0.04)
    assert source.duration_s == pytest.approx(1, abs=0.2 if name == "a.gif" else 0.05)
    assert not source.still
    assert source.damaged_after_s is None


@pytest.mark.parametrize("name", ["still.png", "still.jpg", "still.webp", "one.gif"])
def test_a_picture_is_a_still(film: Film, name: str) -> None:
    """One picture is no video, even in a format that could move."""
    source = probe(film(name, *SOURCE, "-frames:v", "1"))
    assert source.still
    assert (source.width, source.height, source.frames) == (160, 90, 1)


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


def test_pixels_that_are_not_square_are_counted_as_shown(film: Film) -> None:
    """With pixels twice as wide as high, a picture is twice as wide as stored."""
    source = probe(film("wide.mp4", *SOURCE, "-vf", "setsar=2", *X264))
    assert (source.width, source.height, source.stored_width, source.pixel_aspect) == (320, 90, 160, 2.0)


def test_a_variable_rate_is_noticed(film: Film, base: Path) -> None:
    """Frames at uneven distances are told; rounding to milliseconds is no unevenness."""
    uneven = ("-vf", "select='lt(mod(n,7),3)'", "-fps_mode", "vfr", *X264)
    assert probe(film("uneven.mp4", "-i", str(base), *uneven)).variable_rate
    assert not probe(film("even.mkv", "-i", str(base), "-c", "copy")).variable_rate


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
    assert (source.cover, source.videos, source.codec, source.width) == (True, 1, "h264", 160)


def test_of_two_videos_the_first_is_used_and_both_are_counted(film: Film, base: Path) -> None:
    """A second video is told, not shown."""
    source = probe(film("two.mp4", "-i", str(base), "-i", str(base), "-map", "0", "-map", "1", "-c", "copy"))
    assert (source.videos, source.stream) == (2, 0)


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


def test_a_film_without_its_index_is_unreadable(film: Film, tmp_path: Path) -> None:
    """An mp4 that was never finished has no moov, and cannot be read."""
    whole = film("late.mp4", *SOURCE, *X264).read_bytes()
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(Unusable) as caught:
        probe(broken)
    assert "damaged" in caught.value.why


PLAYLISTS = {
    "m3u8": b"#EXTM3U\n#EXT-X-MEDIA-SEQUENCE:0\n#EXTINF:10.0,\nfile:///etc/passwd\n",
    "ffconcat": b"ffconcat version 1.0\nfile /etc/passwd\n",
    "MPD": b'<?xml version="1.0"?>\n<MPD xmlns="urn:mpeg:dash:schema:mpd:2011"></MPD>',
    "SDP": b"v=0\no=- 0 0 IN IP4 127.0.0.1\nm=video 5004 RTP/AVP 96\n",
    "address": b"http://127.0.0.1:8080/clip.mp4\n",
    "bom": b"\xef\xbb\xbf#EXTM3U\nhttp://127.0.0.1/\n",
}


@pytest.mark.parametrize("suffix", [".mp4", ".gif", ".avi"])
@pytest.mark.parametrize("text", PLAYLISTS.values(), ids=PLAYLISTS)
def test_playlists_are_refused_before_any_reader_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: bytes, suffix: str
) -> None:
    """A text that names other files or addresses is refused by its first bytes, whatever it is called."""
    path = tmp_path / f"clip{suffix}"
    path.write_bytes(text)
    monkeypatch.setattr(probing.child, "run", lambda *_, **__: pytest.fail("a reader was started"))
    with pytest.raises(HiddenPlaylist) as caught:
        probe(path)
    assert caught.value.exit_code == 10
    assert "playlist" in caught.value.why


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


@pytest.mark.skipif(os.name != "posix", reason="special files of POSIX")
def test_only_regular_files_are_opened(tmp_path: Path, base: Path) -> None:
    """Pipes, devices, sockets and folders are refused at once; a link to a film is a film."""
    os.mkfifo(tmp_path / "pipe.mp4")
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(tmp_path / "s"))
    for path in (tmp_path / "pipe.mp4", Path("/dev/zero"), tmp_path / "s", tmp_path):
        with pytest.raises(Unusable) as caught:
            probe(path)
        assert "not a regular file" in caught.value.why
    listener.close()
    (tmp_path / "link.mp4").symlink_to(base)
    assert probe(tmp_path / "link.mp4") == probe(base)
    (tmp_path / "secret.mp4").symlink_to("/etc/passwd")
    with pytest.raises(Unusable):
        probe(tmp_path / "secret.mp4")
    (tmp_path / "lost.mp4").symlink_to(tmp_path / "nothing")
    with pytest.raises(NotFound):
        probe(tmp_path / "lost.mp4")


def test_files_beyond_the_limit_are_refused_unread(tmp_path: Path) -> None:
    """More than 4 GB is too much."""
    path = tmp_path / "huge.mp4"
    with path.open("wb") as file:
        file.truncate((4 << 30) + 1)
    with pytest.raises(Unusable) as caught:
        sniff(path)
    assert caught.value.why == "larger than 4 GB"


def bomb(width: int, height: int) -> bytes:
    """A PNG of a few hundred bytes that claims to be enormous."""

    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(999))) + chunk(b"IEND", b"")
    )


def test_enormous_pictures_are_refused_before_they_are_decoded(film: Film, tmp_path: Path) -> None:
    """A header that claims a billion pixels is believed, and that is why it is refused."""
    picture = tmp_path / "bomb.png"
    picture.write_bytes(bomb(30_000, 30_000))
    with pytest.raises(Unusable) as caught:
        probe(picture)
    assert caught.value.why == "too large: 30000x30000"
    small = film("plain.avi", *SOURCE, "-frames:v", "3", "-c:v", "rawvideo", "-pix_fmt", "yuv420p").read_bytes()
    movie = tmp_path / "bomb.avi"
    movie.write_bytes(small.replace(struct.pack("<II", 160, 90), struct.pack("<II", 65535, 65535)))
    with pytest.raises(Unusable) as caught:
        probe(movie)
    assert caught.value.why == "of no possible size"


def test_tiny_sources_hold_nothing(film: Film) -> None:
    """Two by two pixels are refused, with the size."""
    with pytest.raises(Unusable) as caught:
        probe(film("tiny.mkv", "-f", "lavfi", "-i", "testsrc2=s=2x2:d=1", "-c:v", "ffv1"))
    assert caught.value.why == "too small: 2x2"


def test_flipped_bits_end_in_an_answer_or_a_refusal(base: Path, tmp_path: Path) -> None:
    """A damaged file never ends in a traceback."""
    dice = random.Random(7)
    whole = base.read_bytes()
    for number in range(6):
        content = bytearray(whole)
        for _ in range(dice.choice([1, 10, 200])):
            content[dice.randrange(8, len(content))] ^= 1 << dice.randrange(8)
        path = tmp_path / f"{number}.mp4"
        path.write_bytes(content)
        with contextlib.suppress(MdctlError):
            assert probe(path).frames > 0


def test_a_broken_child_becomes_a_reason(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A reader that crashes without an answer is a reason too."""
    monkeypatch.setattr(probing, "_CHILD", "import os; os._exit(9)")
    with pytest.raises(Unusable) as caught:
        probe(base)
    assert "stop the reader" in caught.value.why


def test_the_prober_starts_light(base: Path) -> None:
    """The child that reads containers does without numpy and its like, so that a look is quick."""
    import subprocess
    import sys

    code = "import sys; import mdctl.media.probe; print([m for m in ('numpy', 'cv2', 'torch') if m in sys.modules])"
    root = str(Path(probing.__file__).parents[2])
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
