"""No file name is a command to ffmpeg, and an ffmpeg that misbehaves costs a clip, not the run."""

import os
import sys
from pathlib import Path

import pytest

from mdctl.errors import NotReady
from mdctl.media import ffmpeg
from mdctl.media.ffmpeg import decode
from mdctl.media.probe import probe

POSIX = pytest.mark.skipif(os.name != "posix", reason="needs a shell script or a POSIX file name")


def impostor(folder: Path, script: str) -> str:
    """A program of another mind, in the place of ffmpeg."""
    path = folder / "ffmpeg"
    path.write_text(f"#!{sys.executable} -IS\n{script}\n")
    path.chmod(0o755)
    return str(path)


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


def test_without_any_ffmpeg_the_cure_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """With neither program nor wheel, the line to install one is given."""
    monkeypatch.delenv("MDCTL_FFMPEG", raising=False)
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr(ffmpeg, "_wheel", list)
    with pytest.raises(NotReady) as caught:
        ffmpeg.executable()
    assert caught.value.fix == ("pip install imageio-ffmpeg",)
