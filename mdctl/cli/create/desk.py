"""The clip desk: what `new` and `clips add` do with the files they are given, and what they say of each."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mdctl.cli.face import face
from mdctl.cli.view.look import size
from mdctl.errors import BadInput
from mdctl.settings import Shape
from mdctl.text import safe
from mdctl.workspace.records import NewClip

if TYPE_CHECKING:
    from mdctl.media.clips import Look

SUFFIX = {
    "mov": ".mp4",
    "matroska": ".mkv",
    "avi": ".avi",
    "mpegts": ".ts",
    "mpeg": ".mpg",
    "gif": ".gif",
    "png_pipe": ".png",
    "apng": ".png",
    "jpeg_pipe": ".jpg",
    "webp_pipe": ".webp",
    "webp_anim": ".webp",
}
"""What a copied clip is called, by the reader that its first bytes ask for."""

Split = Annotated[bool, typer.Option("--split", help="Make a clip of each scene, where a clip has cuts.")]
CropBars = Annotated[bool, typer.Option("--crop-bars", help="Cut black bars off.")]
Link = Annotated[bool, typer.Option("--link", help="Do not copy the clips; they have to stay where they are.")]


@dataclass(frozen=True)
class Wishes:
    """How files are to become clips."""

    trim: tuple[float, float] | None = None
    """The part of the one clip that is to be used."""

    strict: bool = False
    """Whether the first that cannot be used ends it."""

    split: bool = False
    crop_bars: bool = False
    link: bool = False


def examined(paths: Sequence[Path], shape: Shape, wishes: Wishes, kind: str) -> "list[Look]":
    """What each file holds, or each of its scenes, and whether it can be used; `strict` refuses the first that cannot.

    `kind` is that of the project: an appearance takes pictures too.
    """
    from mdctl.media import clips as media

    looks: list[Look] = []
    with face().progress("checking clips", len(paths)) as show:
        for done, path in enumerate(paths, 1):
            found = _looked(path, shape, wishes, kind)
            show(done, "")
            if wishes.strict and (bad := unused(found)):
                raise BadInput(
                    f"the clip '{safe(bad[0].name, 80)}' cannot be used.",
                    why=", ".join(bad[0].reasons),
                    fix="leave it out, or leave --strict out",
                )
            looks += [media.closer(one, wishes.crop_bars) for one in found]
    return looks


def _looked(path: Path, shape: Shape, wishes: Wishes, kind: str) -> "list[Look]":
    from mdctl.media import clips as media

    if kind == "appearance" and media.is_picture(path):
        return [media.look_at_picture(path)]
    wanted = {"num_frames": shape.frames, "width": shape.width, "height": shape.height}
    if wishes.split:
        return media.split(path, fps=shape.fps, trim=wishes.trim, **wanted)
    return [media.look(path, fps=shape.fps, trim=wishes.trim, **wanted)]


def reported(looks: "Sequence[Look]", shape: Shape) -> "list[Look]":
    """Give every clip a line and a reason, and return those that will be used, each content once."""
    first_of: dict[tuple[str, object], int] = {}
    rows, kept = [], []
    for number, found in enumerate(looks, 1):
        same = first_of.setdefault((found.sha256, found.scene), number) if found.sha256 else number
        rows.append(_row(number, found, same, shape.frames))
        status = "duplicate" if same != number else found.status
        face().event({"event": "clip", "name": found.name, "sha256": found.sha256, "status": status, **_used(found)})
        if status in ("ok", "adjusted"):
            kept.append(found)
    files = len({found.path for found in looks})
    scenes = f", {len(looks)} scenes" if len(looks) > files else ""
    title = f"Checked {files} clip{'s' * (files != 1)}{scenes}"
    face().table(title, ["#", "CLIP", "LENGTH", "SOURCE", "WILL USE", ""], rows)
    _advise(kept)
    return kept


def _advise(kept: "Sequence[Look]") -> None:
    """Name the flag that would mend what is doubtful about clips that are used all the same."""
    cut = [found.name for found in kept if found.cuts]
    if cut:
        face().warn(f"{_names(cut)}: cuts inside the window. --split makes a clip of each scene that is long enough.")
    barred = [found.name for found in kept if found.barred and not found.crop]
    if barred:
        face().warn(f"{_names(barred)}: black bars, which would be learned too. --crop-bars cuts them off.")


def _names(names: Sequence[str]) -> str:
    told = [safe(name, 60) for name in dict.fromkeys(names)]
    return ", ".join(told[:3]) + (f" and {len(told) - 3} more" if len(told) > 3 else "")


def unused(looks: "Sequence[Look]") -> "list[Look]":
    """The files of which nothing can be used, each with the scene that comes nearest to it."""
    used = {found.path for found in looks if found.status != "left_out"}
    nearest: dict[Path, Look] = {}
    for found in looks:
        if found.path not in used:
            other = nearest.setdefault(found.path, found)
            nearest[found.path] = max(other, found, key=lambda one: one.available_frames)
    return list(nearest.values())


def new_clip(found: "Look", window: tuple[float, float] | None, caption: str = "", link: bool = False) -> NewClip:
    """A clip that was looked at, as a project takes it; `window` is the part to use where it is no scene."""
    source = found.source
    assert source is not None
    return NewClip(
        path=found.path,
        sha256=found.sha256,
        suffix=SUFFIX[source.reader],
        name=found.name,
        caption=caption,
        trim=found.scene or window,
        size_bytes=found.path.stat().st_size,
        width=source.width,
        height=source.height,
        fps=round(source.fps, 4),
        duration_s=0.0 if source.still else round(source.duration_s, 3),
        crop=found.crop,
        linked=link,
    )


def stored(clips: Sequence[NewClip]) -> str:
    """What became of their files, in words."""
    if clips and clips[0].linked:
        return "linked and not copied; leave the originals where and as they are"
    copied = sum({clip.sha256: clip.size_bytes for clip in clips}.values())
    return f"{size(copied)} copied, originals untouched"


def _used(found: "Look") -> dict[str, object]:
    told: dict[str, object] = {
        "reasons": list(found.reasons),
        "frames": found.available_frames,
        "window": [found.start_s, found.end_s],
    }
    return told | ({"crop": list(found.crop)} if found.crop else {})


def _row(number: int, found: "Look", same: int, num_frames: int) -> list[str]:
    source = found.source
    moving = source if source and not source.still else None
    length = f"{int(moving.duration_s // 60)}:{moving.duration_s % 60:04.1f}" if moving else ""
    rate = "variable" if moving and moving.variable_rate else f"{moving.fps:.5g} fps" if moving else ""
    what = f"{source.width}x{source.height}  {rate}" if source else ""
    if same != number:
        return [str(number), found.name, length, what, f"same content as {same}", "skipped"]
    if found.status == "left_out":
        return [str(number), found.name, length, what, ", ".join(found.reasons), "left out"]
    still = source is not None and source.still
    used = "the picture" if still else f"{num_frames} frames, {found.start_s:.1f}-{found.end_s:.1f} s"
    if found.reasons:
        used += f"; {', '.join(found.reasons)}"
    return [str(number), found.name, length, what, used, "ok, adjusted" if found.status == "adjusted" else "ok"]
