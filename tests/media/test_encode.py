"""Encoding gives a clean, honest file."""

from pathlib import Path

import numpy as np
import pytest
from films import read

from mdctl.errors import BadInput, NotReady
from mdctl.media import ffmpeg, motions, world
from mdctl.media.ffmpeg import decode, encode
from mdctl.media.frames import Frames
from mdctl.media.probe import probe


@pytest.fixture(scope="module")
def drawn() -> Frames:
    """Sixteen frames of the drawn world, 64x64."""
    dice = np.random.default_rng(0)
    return world.render(world.Scene("monkey", "sand"), motions.track("moving left", dice))[0]


@pytest.mark.parametrize(("form", "error"), [("mp4", 2.0), ("gif", 1.5), ("webp", 3.0)])
def test_what_is_encoded_comes_back(drawn: Frames, tmp_path: Path, form: ffmpeg.Format, error: float) -> None:
    """All frames return, in order, at their rate, with their colours; and the same frames give the same file."""
    content = encode(drawn, 8, format=form)
    assert content == encode(drawn, 8, format=form)
    path = tmp_path / f"video.{form}"
    path.write_bytes(content)
    source = probe(path)
    assert (source.width, source.height, source.frames) == (64, 64, 16)
    assert source.fps == pytest.approx(8, rel=0.01)
    back = decode(path, source, start_s=0, fps=8, num_frames=16, width=64, height=64).astype(int)
    assert np.abs(back - drawn).mean() < error
    assert np.abs((back - drawn).mean((0, 1, 2))).max() < 1.5


def test_an_mp4_says_what_it_is(drawn: Frames, tmp_path: Path) -> None:
    """Colours are tagged, the index comes first, the comment holds what was given and nothing else."""
    import av

    path = tmp_path / "video.mp4"
    path.write_bytes(encode(drawn, 8, format="mp4", comment='id-7 "quoted" 100% ü'))
    content = path.read_bytes()
    assert content.index(b"moov") < content.index(b"mdat")
    with av.open(path) as container:
        assert container.metadata["comment"] == 'id-7 "quoted" 100% ü'
        stream = container.streams.video[0]
        picture = next(container.decode(stream))
        assert (stream.codec_context.name, picture.format.name) == ("h264", "yuv420p")
        assert (int(picture.colorspace), int(picture.color_trc), int(picture.color_range)) == (1, 1, 1)


@pytest.mark.parametrize("encoder", ffmpeg.MP4_ENCODERS)
def test_every_encoder_in_the_row_writes_an_mp4(
    drawn: Frames, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, encoder: str
) -> None:
    """Where libx264 is missing, the next one does."""
    if encoder not in ffmpeg._encoders(ffmpeg.executable()):
        pytest.skip(f"this ffmpeg has no {encoder}")
    monkeypatch.setattr(ffmpeg, "_encoders", lambda _: {encoder})
    path = tmp_path / "video.mp4"
    path.write_bytes(encode(drawn, 8, format="mp4"))
    assert np.abs(read(path, fps=8, num_frames=16, size=(64, 64)).astype(int) - drawn).mean() < 6


def test_an_odd_size_is_no_mp4_but_a_gif(drawn: Frames) -> None:
    """H.264 needs even sides; gif and webp do not."""
    odd = drawn[:2, :63, :61]
    with pytest.raises(BadInput) as caught:
        encode(odd, 8, format="mp4")
    assert "even" in caught.value.why
    assert encode(odd, 8, format="gif").startswith(b"GIF89a")
    assert encode(odd, 8, format="webp").startswith(b"RIFF")


@pytest.mark.parametrize(
    "wrong",
    [
        np.zeros((0, 64, 64, 3), np.uint8),
        np.zeros((64, 64, 3), np.uint8),
        np.zeros((2, 64, 64, 4), np.uint8),
        np.zeros((2, 64, 64, 3)),
    ],
    ids=["none", "a-picture", "four-channels", "floats"],
)
def test_only_frames_are_encoded(wrong: Frames) -> None:
    """Anything but (f, h, w, 3) bytes is refused before ffmpeg starts."""
    with pytest.raises(BadInput):
        encode(wrong, 8, format="gif")


def test_no_encoder_at_all_is_a_fault_of_the_computer(drawn: Frames, monkeypatch: pytest.MonkeyPatch) -> None:
    """An ffmpeg without any encoder for mp4 is named as the reason."""
    monkeypatch.setattr(ffmpeg, "_encoders", lambda _: frozenset[str]())
    with pytest.raises(NotReady):
        encode(drawn, 8, format="mp4")
