"""What is said of a source: what will be used of it, or why nothing will be."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from mdctl.media.scenes import Box, Span
from mdctl.media.source import Source

Status = Literal["ok", "adjusted", "left_out"]


@dataclass(frozen=True)
class Look:
    """What will be used of one source, or why nothing will be."""

    path: Path
    """The original, as it was named."""

    name: str
    """Its file name."""

    status: Status
    """`ok`, `adjusted` (used, with `reasons` to know about) or `left_out`."""

    reasons: tuple[str, ...]
    """What was adjusted, what to be wary of, or why it is left out; a few plain words each."""

    hint: str = ""
    """What would make a clip usable that is left out."""

    source: Source | None = None
    """What the file holds, None when it could not be read."""

    start_s: float = 0.0
    """Where the used window starts, in seconds from the clip's own start."""

    end_s: float = 0.0
    """Where the used window ends."""

    available_frames: int = 0
    """How many frames there are at the asked rate, in the trimmed part or the whole clip as far as it was searched."""

    sha256: str = ""
    """Digest of the original file, empty when it could not be read."""

    scene: Span | None = None
    """The part of the clip that this is about, where it was split at its cuts; it begins where the window does."""

    cuts: int = 0
    """How many hard cuts lie inside the window."""

    barred: bool = False
    """Whether black bars frame the picture."""

    crop: Box | None = None
    """The part of the picture that is used, None for all of it."""
