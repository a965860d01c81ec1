"""The first commands: `new` makes a project of clips."""

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mdctl.catalog import CARDS, STARTER, ModelCard
from mdctl.cli import options
from mdctl.cli.choose import layers, resolve
from mdctl.cli.face import EPILOG, face
from mdctl.errors import BadInput, UsageFault
from mdctl.settings import ClipSettings, Shape, parse_size, to_table
from mdctl.text import safe
from mdctl.workspace import weights
from mdctl.workspace.project import Project, check_name
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

MANY = 200
"""From so many clips on, `new` wants to be told that this is meant."""


def mount(app: typer.Typer) -> None:
    """Add the commands of this file."""
    app.command(epilog=EPILOG)(new)


def greet() -> None:
    """What `mdctl` alone says."""
    projects = Project.all()
    models = ", ".join(name for name, card in CARDS.items() if weights.installed(card)) or "none"
    face().say("mdctl teaches a video model a motion from your clips.")
    face().say("  mdctl demo                              see it work, no download")
    face().say('  mdctl new golf ./clips/*.mp4            then: mdctl train golf · mdctl gen golf "..."')
    count = f"{len(projects)} project{'s' * (len(projects) != 1)}"
    face().say(f"{count} · base models: {models}                             mdctl --help")


def card_for(model: str) -> ModelCard:
    """What is known of a base model, installed or not."""
    if model == "auto":
        return STARTER
    return CARDS[model] if model in CARDS else weights.find(model)[0]


def new(
    name: options.ProjectName,
    clips: Annotated[
        list[str], typer.Argument(metavar="CLIPS...", help="Videos of the motion, or pictures.", show_default=False)
    ],
    appearance: Annotated[
        bool, typer.Option("--appearance", help="Teach a look, from pictures or clips, and not a motion.")
    ] = False,
    caption: Annotated[
        str | None, typer.Option(help="What happens in the clips, one plain sentence.", show_default="from NAME")
    ] = None,
    trim: Annotated[str | None, typer.Option(help="The part to use, such as 0:01-0:03; one clip only.")] = None,
    frames: options.NumFrames = None,
    fps: options.Fps = None,
    size: options.Size = None,
    model: options.Model = None,
    template: options.Template = None,
    strict: Annotated[bool, typer.Option("--strict", help="Stop at the first clip that cannot be used.")] = False,
    dry_run: options.DryRun = False,
) -> int:
    """Make a project out of a few clips of one motion, or out of pictures of one look.

    \b
    mdctl new golf ./clips/*.mp4
    mdctl new golf swing.mov --caption "a person is playing golf" --trim 0:01-0:03
    mdctl new terracotta ./photos/*.jpg --appearance --caption "a terracotta warrior"
    """
    check_name(name)
    width, height = parse_size(size) if size else (None, None)
    flags = {"frames": frames, "fps": fps, "width": width, "height": height}
    own = resolve(ClipSettings, "clips", layers("clips", None, template, flags))
    made = make_project(
        name,
        clips,
        own,
        kind="appearance" if appearance else None,
        caption=caption,
        trim=trim,
        model=model,
        template=template,
        strict=strict,
        dry_run=dry_run,
    )
    paths = [str(made.project.folder)] if made.project and (face().manners.quiet or face().manners.json) else []
    face().result(paths, {"status": made.status, "failed": [found.name for found in made.left_out]})
    return 11 if made.left_out else 0


@dataclass(frozen=True)
class Made:
    """How a `new` ended."""

    status: str
    """`done`, `partial` or `nothing_to_do`."""

    project: Project | None
    """None where nothing was to be written."""

    left_out: "Sequence[Look]" = ()


def make_project(
    name: str,
    patterns: Sequence[str],
    own: ClipSettings,
    *,
    kind: str | None = None,
    caption: str | None = None,
    trim: str | None = None,
    model: str | None = None,
    template: str | None = None,
    strict: bool = False,
    dry_run: bool = False,
    inside: Path | None = None,
) -> Made:
    """Look at the clips, tell of each what will be used, and make a project of those that can be.

    A `kind` of None is a motion, or where only pictures are given an appearance.
    """
    card = card_for(model or "auto")
    shape = shaped(own, card)
    paths, window = _chosen(patterns, trim)
    kind = kind or _kind(paths)
    looks = _look(paths, shape, window, strict, kind)
    kept = _told(looks, shape)
    left_out = [found for found in looks if found.status == "left_out"]
    if not kept:
        raise BadInput(
            "none of the clips can be used; no project was made.",
            why="; ".join(dict.fromkeys(f"{safe(f.name, 60)}: {', '.join(f.reasons)}" for f in left_out))[:400],
            fix=next((found.hint for found in left_out if found.hint), f"mdctl new {name} OTHER_CLIPS"),
        )
    if _already(name, kept):
        face().done(f"All of these clips are in '{name}' already; nothing was changed.", [f"mdctl train {name}"])
        return Made("nothing_to_do", Project.find(name))
    sentence = _caption(name, caption, kind)
    pictures = all(found.source and found.source.still for found in kept)
    number = f"{len(kept)} {'picture' if pictures else 'clip'}{'s' * (len(kept) != 1)}"
    if dry_run:
        face().done(f"{kind.capitalize()} '{name}' would be made of {number}: \"{sentence}\".")
        return Made("nothing_to_do", None, left_out)
    clips = [new_clip(found, window) for found in kept]
    table = {"clips": to_table(own)} if to_table(own) else {}
    base = "auto" if model in (None, "auto") else card.name
    project = Project.create(
        name, kind=kind, caption=sentence, clips=clips, table=table, model=base, template=template, inside=inside
    )
    if left_out:
        why = "; ".join(f"{found.name}: {', '.join(found.reasons)}" for found in left_out)
        face().warn(f"{len(left_out)} clip{'s' * (len(left_out) != 1)} left out: {why}.")
    megabytes = sum(clip.size_bytes for clip in clips) / 1e6
    face().done(
        f"Created {kind} '{name}': {number}, {megabytes:.1f} MB copied, originals untouched. Caption: \"{sentence}\".",
        [f"mdctl train {name}"],
    )
    return Made("partial" if left_out else "done", project, left_out)


def _kind(paths: Sequence[Path]) -> str:
    from mdctl.media import clips as media

    if not all(media.is_picture(path) for path in paths):
        return "motion"
    face().say("Only pictures: this teaches an appearance, not a motion.")
    return "appearance"


def _chosen(patterns: Sequence[str], trim: str | None) -> tuple[list[Path], tuple[float, float] | None]:
    from mdctl.media import clips as media

    paths = media.expand(patterns)
    if trim and len(paths) > 1:
        raise UsageFault(
            f"--trim is for one clip, and these are {len(paths)}.", fix="give one clip, or leave --trim out"
        )
    if len(paths) > MANY and not face().manners.yes:
        raise UsageFault(f"{len(paths)} clips are more than a motion needs.", fix="add --yes when this is meant")
    return paths, media.parse_trim(trim) if trim else None


def _told(looks: "Sequence[Look]", shape: Shape) -> "list[Look]":
    """Give every clip a line and a reason, and return those that will be used, each content once."""
    first_of: dict[str, int] = {}
    rows, kept = [], []
    for number, found in enumerate(looks, 1):
        same = first_of.setdefault(found.sha256, number) if found.sha256 else number
        rows.append(_row(number, found, same, shape.frames))
        status = "duplicate" if same != number else found.status
        face().event({"event": "clip", "name": found.name, "sha256": found.sha256, "status": status, **_used(found)})
        if status in ("ok", "adjusted"):
            kept.append(found)
    title = f"Checked {len(looks)} clip{'s' * (len(looks) != 1)}"
    face().table(title, ["#", "CLIP", "LENGTH", "SOURCE", "WILL USE", ""], rows)
    return kept


def shaped(own: ClipSettings, card: ModelCard) -> Shape:
    """Clip settings with every gap filled from the base model."""
    return Shape(
        frames=own.frames or card.frames,
        fps=own.fps or card.fps,
        width=own.width or card.width,
        height=own.height or card.height,
    )


def _look(
    paths: Sequence[Path], shape: Shape, window: tuple[float, float] | None, strict: bool, kind: str
) -> "list[Look]":
    from mdctl.media import clips as media

    looks = []
    with face().progress("checking clips", len(paths)) as show:
        for done, path in enumerate(paths, 1):
            if kind == "appearance" and media.is_picture(path):
                found = media.look_at_picture(path)
            else:
                found = media.look(
                    path, num_frames=shape.frames, fps=shape.fps, width=shape.width, height=shape.height, trim=window
                )
            show(done, "")
            if strict and found.status == "left_out":
                raise BadInput(
                    f"the clip '{safe(found.name, 80)}' cannot be used.",
                    why=", ".join(found.reasons),
                    fix="leave it out, or leave --strict out",
                )
            looks.append(found)
    return looks


def _used(found: "Look") -> dict[str, object]:
    return {"reasons": list(found.reasons), "frames": found.available_frames, "window": [found.start_s, found.end_s]}


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


def _already(name: str, kept: "Sequence[Look]") -> bool:
    taken = next((project for project in Project.all() if project.name == name), None)
    if taken is None:
        return False
    if not taken.fault and taken.same_clips(found.sha256 for found in kept):
        return True
    why = "it holds other clips, and is never changed by this."
    raise UsageFault(
        f"a project '{name}' exists already.", why=why, fix=f"mdctl new {name}-2 CLIPS...", code="MD-EXISTS"
    )


def _caption(name: str, given: str | None, kind: str) -> str:
    words = name.replace("_", " ").replace("-", " ")
    guess = f"a person is {words}" if words.split()[0].endswith("ing") else f"a person is doing {words}"
    if kind == "appearance":
        guess = f"{'an' if words[0] in 'aeiou' else 'a'} {words}"
    if given is None and face().interactive:
        given = face().ask("What do they show?" if kind == "appearance" else "What happens in the clips?", guess)
    elif given is None:
        face().say(f'Caption: "{guess}" (guessed from the name; --caption says it better)')
        given = guess
    sentence = " ".join(given.split())
    if not sentence:
        raise BadInput("the caption is empty.", fix='--caption "a person is playing golf"')
    return sentence


def new_clip(found: "Look", window: tuple[float, float] | None, caption: str = "") -> NewClip:
    """A clip that was looked at, as a project takes it."""
    source = found.source
    assert source is not None
    return NewClip(
        path=found.path,
        sha256=found.sha256,
        suffix=SUFFIX[source.reader],
        name=found.name,
        caption=caption,
        trim=window,
        size_bytes=found.path.stat().st_size,
        width=source.width,
        height=source.height,
        fps=round(source.fps, 4),
        duration_s=0.0 if source.still else round(source.duration_s, 3),
    )


def quoted(text: str) -> str:
    """Text as a shell takes it as one word."""
    return shlex.quote(text) if set(text) & set("'\"$`\\!") else f'"{text}"'
