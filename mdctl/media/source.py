"""What is known of a source before it is decoded, and the limits that foreign video must keep."""

from dataclasses import dataclass

MAX_PIXELS = 8192 * 4320
MAX_STREAMS = 32
MIN_SIDE = 16
"""Smaller sources hold nothing to learn from."""

DECODERS = (
    "h264,hevc,vp8,libvpx,vp9,libvpx-vp9,av1,libdav1d,mpeg4,mpeg2video,mpeg1video,mjpeg,prores,gif,png,apng,webp,"
    "webp_anim,dvvideo,dnxhd,ffv1,rawvideo"
)
"""The decoders that foreign video may reach; names that a build does not know do no harm."""


@dataclass(frozen=True)
class Source:
    """What one file holds, seen from its first real video stream."""

    reader: str
    """The ffmpeg demuxer that opens it, decided by the first bytes."""

    codec: str
    """Short name of the codec, such as `h264`."""

    width: int
    """Width as shown: upright, with square pixels."""

    height: int
    """Height as shown: upright, with square pixels."""

    stored_width: int
    """Width as coded, before any turn."""

    stored_height: int
    """Height as coded, before any turn."""

    pixel_aspect: float = 1.0
    """Width over height of one stored pixel."""

    rotation: int = 0
    """Degrees clockwise by which the stored picture is turned to stand upright, after `mirrored`."""

    mirrored: bool = False
    """Whether the stored picture is flipped left to right, before it is turned."""

    stream: int = 0
    """Index of the video stream among all streams."""

    fps: float = 0.0
    """Frames per second, on average; 0 for a still."""

    variable_rate: bool = False
    """Whether the distances between frames differ noticeably."""

    frames: int = 1
    """Frames counted in the container; estimated where it is too long to be read to its end."""

    duration_s: float = 0.0
    """Usable length in seconds, from the container's start to the end of the last readable frame."""

    last_frame_s: float = 0.0
    """How long the last frame stays."""

    damaged_after_s: float | None = None
    """Where the data ends before its announced length, None when it does not."""

    still: bool = False
    """Whether it is one picture rather than a video."""

    videos: int = 1
    """Real video streams in the file; the first one is used."""

    interlaced: bool = False
    """Whether its frames are woven from two fields."""

    hdr: str | None = None
    """`pq` or `hlg` for high dynamic range, else None."""

    tagged: bool = True
    """Whether the file says how its colours are to be turned into RGB."""

    alpha: bool = False
    """Whether its pictures carry transparency at all."""

    transparent: bool = False
    """Whether the first picture makes use of it."""

    comment: str = ""
    """What the container says of itself; text of a stranger."""
