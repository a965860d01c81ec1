"""A look says what will be used, or why not; a cut gives just that."""

import hashlib
import os
from pathlib import Path

import numpy as np
import pytest
from films import Film

from mdctl.errors import BadInput, NotFound, NotReady, UsageFault
from mdctl.media import clips
from mdctl.media.clips import Look, cut, expand, look, parse_trim

X264 = ("-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p")


def seen(path: Path, *, num_frames: int = 16, fps: float = 8, trim: tuple[float, float] | None = None) -> Look:
    """Look with the settings that `new` has by default, at a small size."""
    return look(path, num_frames=num_frames, fps=fps, width=64, height=64, trim=trim)


def taken(path: Path, found: Look, num_frames: int = 16, fps: float = 8) -> list[int]:
    """Which frames of `levels` the window of a look holds."""
    frames = cut(path, start_s=found.start_s, fps=fps, num_frames=num_frames, width=16, height=16)
    return [round(float(level) / 2) for level in frames.mean((1, 2, 3))]


def picture(motion: str, seconds: float, rate: int = 30) -> str:
    """A bright square on noise-free grey whose left edge is at `motion`, an expression in T."""
    square = f"if(between(X-({motion})\\,0\\,16)*between(Y\\,20\\,36)\\,220\\,90)"
    return f"color=gray:s=96x64:r={rate}:d={seconds},format=gray,geq=lum={square}"


def test_an_ordinary_clip_is_ok(base: Path) -> None:
    """Sixteen frames at 8 fps of three seconds: two seconds are used, nothing is to be said."""
    found = seen(base)
    assert (found.status, found.reasons, found.hint) == ("ok", (), "")
    assert (found.name, found.path, found.available_frames) == ("base.mp4", base, 24)
    assert found.end_s - found.start_s == pytest.approx(2)
    assert found.sha256 == hashlib.sha256(base.read_bytes()).hexdigest()
    assert found.source is not None
    assert found.source.width == 160
    assert seen(base) == found


def test_a_missing_file_and_a_missing_ffmpeg_are_no_reasons(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is wrong with the computer or the command line is raised."""
    with pytest.raises(NotFound):
        seen(base.with_name("nothing.mp4"))
    monkeypatch.setenv("MDCTL_FFMPEG", "/nowhere/ffmpeg")
    with pytest.raises(NotReady):
        seen(base)
    with pytest.raises(BadInput):
        seen(base, num_frames=0)


# --- Damage.


# --- The window.


def test_the_liveliest_part_is_found(film: Film) -> None:
    """Of six seconds the two in which something happens are taken, and their beginning is the clip's."""
    path = film("lively.mkv", "-f", "lavfi", "-i", picture("20+20*clip(T-3\\,0\\,2)", 6), "-c:v", "ffv1")
    found = seen(path)
    assert found.start_s == pytest.approx(3, abs=0.2)
    assert found.reasons == ()


def test_fast_motion_is_no_cut() -> None:
    """A thing that races through the picture changes much, but leaves the scene as it was."""
    rows, columns = np.mgrid[:36, :64]
    scene = (60 + 80 * ((rows // 6 + columns // 8) % 2)).astype(np.uint8)
    frames = np.repeat(scene[None], 30, 0)
    for number in range(10, 20):
        frames[number, 8:28, (number - 10) * 5 : (number - 10) * 5 + 20] = 240
    changes, cuts = clips.motion(frames)
    assert len(changes) == len(cuts) == 29
    assert not cuts.any()
    frames[15:] = 255 - frames[15:]
    assert np.flatnonzero(clips.motion(frames)[1]).tolist() == [14]


def test_a_trim_is_taken_as_it_is(levels: Path) -> None:
    """The window begins where the trim does; too little of it is too short."""
    found = seen(levels, trim=(0.5, 2.6))
    assert (found.start_s, found.end_s, found.available_frames) == (0.5, 2.5, 17)
    assert taken(levels, found)[:3] == [15, 19, 22]
    assert seen(levels, trim=(0.5, 2.5)).available_frames == 16
    short = seen(levels, trim=(1.0, 2.0))
    assert (short.status, short.reasons) == ("left_out", ("too short: 8 of 16 frames",))
    assert short.hint == "--frames 8 or --fps 16"
    assert seen(levels, trim=(2.0, 9.0)).reasons == ("too short: 8 of 16 frames",)
    assert seen(levels, trim=(5.0, 9.0)).reasons == ("shorter than its trim: it ends after 3.0 s",)


def test_a_late_trim_of_what_cannot_be_sought_in(film: Film) -> None:
    """An animation is read from its beginning, however late the wanted part lies."""
    path = film("late.gif", "-f", "lavfi", "-i", "testsrc2=s=32x32:r=25:d=56")
    found = seen(path, trim=(52, 54))
    assert (found.status, found.reasons, found.start_s) == ("ok", (), 52)
    assert len(cut(path, start_s=found.start_s, fps=8, num_frames=16, width=32, height=32)) == 16


def test_sound_that_starts_first_moves_nothing(film: Film) -> None:
    """Where the picture starts late, the window starts with it."""
    late = ("-itsoffset", "0.7", "-f", "lavfi", "-i", "color=black:s=32x32:r=30:d=2,format=gray,geq=lum=2*N")
    path = film("late.mkv", *late, "-f", "lavfi", "-i", "sine=d=3", "-map", "0", "-map", "1", "-c:v", "ffv1")
    found = seen(path)
    assert found.start_s == pytest.approx(0.7, abs=0.02)
    assert found.available_frames == 16
    assert taken(path, found)[:3] == [0, 4, 7]


# --- What was named.


@pytest.fixture
def shelf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of files to name, and the current one."""
    for name in ("b.mp4", "a.mp4", "x[1]*.mp4", "c.MOV", "deep/d.mp4"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("patterns", "names"),
    [
        (["a.mp4"], ["a.mp4"]),
        (["*.mp4"], ["a.mp4", "b.mp4", "x[1]*.mp4"]),
        (["b.mp4", "*.mp4"], ["b.mp4", "a.mp4", "x[1]*.mp4"]),
        (["./a.mp4", "a.mp4"], ["a.mp4"]),
        (["x[1]*.mp4"], ["x[1]*.mp4"]),
        (["[ab].mp4"], ["a.mp4", "b.mp4"]),
        (["**/*.mp4"], ["a.mp4", "b.mp4", "deep/d.mp4", "x[1]*.mp4"]),
        ([], []),
    ],
)
def test_patterns_become_files(shelf: Path, patterns: list[str], names: list[str]) -> None:
    """A literal file goes before a pattern, each file is named once, the order is settled."""
    assert [path.as_posix() for path in expand(patterns)] == names
    assert [path.relative_to(shelf).as_posix() for path in expand([str(shelf / p) for p in patterns])] == names


@pytest.mark.parametrize("pattern", ["z.mp4", "*.avi", "", "a\0b", "x" * 5000, "*/nothing"])
def test_what_matches_nothing_is_not_found(shelf: Path, pattern: str) -> None:
    """A name or pattern without a file ends with the exit code for it."""
    with pytest.raises(NotFound) as caught:
        expand(["a.mp4", pattern])
    assert caught.value.exit_code == 3


def test_a_folder_is_answered_with_the_pattern_to_type(shelf: Path) -> None:
    """A folder is no clip, but its files are."""
    with pytest.raises(BadInput) as caught:
        expand([str(shelf)])
    assert caught.value.fix == (str(shelf / "*.mp4"),)
    assert set(expand(["*"])) == set(expand(["*.mp4", "c.MOV"]))


@pytest.mark.skipif(os.name != "posix", reason="file names of POSIX")
def test_names_of_any_bytes_are_found(shelf: Path) -> None:
    """Bytes that are no UTF-8, leading dashes and long emoji survive a pattern."""
    names = [b"-i.mkv", b"\xff.mkv", "🐒".encode() * 62 + b".mkv"]
    for name in names:
        (shelf / os.fsdecode(name)).write_bytes(b"")
    assert sorted(os.fsencode(path) for path in expand(["*.mkv"])) == sorted(names)


@pytest.mark.parametrize(
    ("text", "times"),
    [
        ("0:01-0:03", (1.0, 3.0)),
        ("1.5-3", (1.5, 3.0)),
        (" 0 - .5 ", (0.0, 0.5)),
        ("1:02:03.25-1:02:05", (3723.25, 3725.0)),
        ("59-1:01", (59.0, 61.0)),
    ],
)
def test_a_trim_is_two_times(text: str, times: tuple[float, float]) -> None:
    """Minutes, hours and plain seconds are understood."""
    assert parse_trim(text) == times


@pytest.mark.parametrize(
    "text", ["", "3", "3-1", "1-1", "a-b", "1-2-3", "-1-2", "1:2:3:4-5", "nan-inf", "1-1e9", "٣-٤", "--"]
)
def test_other_trims_are_refused_with_an_example(text: str) -> None:
    """Nonsense ends with the form to type."""
    with pytest.raises(UsageFault) as caught:
        parse_trim(text)
    assert caught.value.fix == ("--trim 0:01-0:03",)
