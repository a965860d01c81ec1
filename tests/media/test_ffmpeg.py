"""No file name is a command to ffmpeg, and an ffmpeg that misbehaves costs a clip, not the run."""

import os
import sys
from pathlib import Path

import numpy as np
import pytest
from films import read
from PIL import Image

from mdctl.errors import NotReady
from mdctl.media import ffmpeg
from mdctl.media.ffmpeg import decode, encode
from mdctl.media.frames import Frames
from mdctl.media.kinds import Unusable
from mdctl.media.probe import probe

POSIX = pytest.mark.skipif(os.name != "posix", reason="needs a shell script or a POSIX file name")


NAMES = [
    b"-i.mp4",
    b"a:b.mp4",
    b"100%d.mp4",
    b"x[1]*.mp4",
    b"a|b",
    b"$(touch pwn).mp4",
    b";rm.mp4",
    b"'\".mp4",
    b"\xff.mp4",
]
NAMES += ["🐒".encode() * 62 + b".mp4", b"file:x.mp4", b"concat:a|b.mp4", b" .mp4", b"a\nb.mp4"]


@pytest.fixture(scope="module")
def first(base: Path) -> Frames:
    """The first frame of the ordinary clip."""
    return read(base)


@POSIX
@pytest.mark.parametrize("name", NAMES, ids=lambda name: ascii(name[:12]))
def test_no_name_is_an_option_a_pattern_or_an_address(
    base: Path, first: Frames, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: bytes
) -> None:
    """A film is read under any name that a file system takes, from a relative path too."""
    monkeypatch.chdir(tmp_path)
    path = Path(os.fsdecode(name))
    path.write_bytes(base.read_bytes())
    assert (read(path) == first).all()
    assert [os.fsencode(path) for path in Path().iterdir() if path.is_file()] == [name]


@POSIX
def test_pictures_are_no_sequences(tmp_path: Path) -> None:
    """A picture called like a pattern is that one picture."""
    Image.new("RGB", (32, 32), (200, 0, 0)).save(tmp_path / "frame1.png")
    Image.new("RGB", (32, 32), (0, 0, 200)).save(tmp_path / "frame%d.png")
    assert read(tmp_path / "frame%d.png")[0, 0, 0].tolist() == [0, 0, 200]


def impostor(folder: Path, script: str) -> str:
    """A program of another mind, in the place of ffmpeg."""
    path = folder / "ffmpeg"
    path.write_text(f"#!{sys.executable} -IS\n{script}\n")
    path.chmod(0o755)
    return str(path)


@POSIX
@pytest.mark.parametrize(
    "script",
    [
        "import time; time.sleep(60)",
        "import sys\nwhile True: sys.stdout.buffer.write(bytes(1 << 20))",
        "import sys; sys.stdout.buffer.write(bytes(10))",
        "import os, signal; os.kill(os.getpid(), signal.SIGSEGV)",
        "import sys; sys.stderr.write('x' * 10**7); sys.exit(1)",
    ],
    ids=["hangs", "floods", "too-few-bytes", "crashes", "complains"],
)
def test_an_ffmpeg_that_misbehaves_costs_the_clip_alone(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str
) -> None:
    """Hanging, flooding, crashing and lying about success all end in a refusal of the clip."""
    source = probe(base)
    monkeypatch.setenv("MDCTL_FFMPEG", impostor(tmp_path, script))
    monkeypatch.setattr(ffmpeg, "_DECODE_S", 1.0)
    with pytest.raises(Unusable) as caught:
        decode(base, source, start_s=0, fps=8, num_frames=8, width=32, height=32)
    assert caught.value.why


@POSIX
@pytest.mark.parametrize("script", ["import time; time.sleep(60)", "", "raise SystemExit('disk on fire')"])
def test_an_ffmpeg_that_cannot_write_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    """Whatever goes wrong in writing is a fault of the computer, not a traceback and not an empty video."""
    monkeypatch.setenv("MDCTL_FFMPEG", impostor(tmp_path, script))
    monkeypatch.setattr(ffmpeg, "_ENCODE_S", 1.0)
    with pytest.raises(NotReady) as caught:
        encode(np.zeros((2, 8, 8, 3), np.uint8), 8, format="gif")
    assert "gif" in caught.value.what


@POSIX
def test_a_lacking_filter_is_a_fault_of_the_computer(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An ffmpeg that cannot do what a clip needs is named, and the clip is not blamed."""
    source = probe(base)
    monkeypatch.setenv("MDCTL_FFMPEG", impostor(tmp_path, "import sys; sys.exit(\"No such filter: 'zscale'\")"))
    with pytest.raises(NotReady) as caught:
        decode(base, source, start_s=0, fps=8, num_frames=8, width=32, height=32)
    assert "zscale" in caught.value.what


def test_no_report_is_written(base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """FFREPORT would make ffmpeg write a file; it never hears of it."""
    report = tmp_path / "report.log"
    monkeypatch.setenv("FFREPORT", f"file={report}:level=32")
    read(base)
    assert not report.exists()


@POSIX
def test_ffmpeg_is_looked_for_in_safe_places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """First the program named by the user, then absolute folders of PATH, then the wheel; never the current folder."""
    planted = impostor(tmp_path, "")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MDCTL_FFMPEG", raising=False)
    monkeypatch.setenv("PATH", os.pathsep.join([".", "", str(tmp_path / "nothing")]))
    assert ffmpeg.executable() != planted
    assert Path(ffmpeg.executable()).is_absolute()
    monkeypatch.setenv("PATH", str(tmp_path))
    assert ffmpeg.executable() == planted
    for wrong in ("ffmpeg", str(tmp_path), str(tmp_path / "nothing")):
        monkeypatch.setenv("MDCTL_FFMPEG", wrong)
        with pytest.raises(NotReady):
            ffmpeg.executable()


def test_without_any_ffmpeg_the_cure_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """With neither program nor wheel, the line to install one is given."""
    monkeypatch.delenv("MDCTL_FFMPEG", raising=False)
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr(ffmpeg, "_wheel", list)
    with pytest.raises(NotReady) as caught:
        ffmpeg.executable()
    assert caught.value.fix == ("pip install imageio-ffmpeg",)
