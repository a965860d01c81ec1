"""The first commands: `new` makes a project of clips."""

import shlex
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mdctl.catalog import CARDS, STARTER, ModelCard
from mdctl.cli import options
from mdctl.cli.choose import layers, resolve
from mdctl.cli.create import desk
from mdctl.cli.create.desk import new_clip as new_clip  # whoever makes projects finds it here
from mdctl.cli.face import EPILOG, columns, face
from mdctl.errors import BadInput, UsageFault
from mdctl.settings import ClipSettings, Shape, parse_size, to_table
from mdctl.text import safe
from mdctl.workspace import weights
from mdctl.workspace.project import Project, check_name

if TYPE_CHECKING:
    from mdctl.media.clips import Look

MANY = 200
"""From so many clips on, `new` wants to be told that this is meant."""

FIRST = {
    "mdctl demo": "see it work, no download",
    "mdctl new golf ./clips/*.mp4": "make a project of your clips",
    "mdctl train golf": "learn their motion",
    'mdctl gen golf "..."': "put it on whatever you name",
}
"""What to type first, and what it does."""

WIDE = 64
"""On so many columns both have room side by side."""


def mount(app: typer.Typer) -> None:
    """Add the commands of this file."""
    app.command(epilog=EPILOG)(new)


def greet() -> None:
    """What `mdctl` alone says."""
    projects = Project.all()
    models = ", ".join(name for name, card in CARDS.items() if weights.installed(card)) or "none"
    face().say("Teach a text-to-video model a motion from your clips.")
    for command, about in FIRST.items():
        for line in (f"  {command:<30}  {about}",) if columns() >= WIDE else (f"  {command}", f"    {about}"):
            face().say(line)
    face().say(f"{len(projects)} project{'s' * (len(projects) != 1)} · base models: {models} · mdctl --help")


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
    split: desk.Split = False,
    crop_bars: desk.CropBars = False,
    link: desk.Link = False,
    strict: Annotated[bool, typer.Option("--strict", help="Stop at the first clip that cannot be used.")] = False,
    dry_run: options.DryRun = False,
) -> int:
    """Make a project of a few clips of one motion, or of pictures.

    \b
    mdctl new golf ./clips/*.mp4
    mdctl new golf swing.mov --caption "a person is playing golf" --trim 0:01-0:03
    mdctl new golf match.mp4 --split --crop-bars
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
        wishes=desk.Wishes(strict=strict, split=split, crop_bars=crop_bars, link=link),
        model=model,
        template=template,
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
    wishes: desk.Wishes | None = None,
    model: str | None = None,
    template: str | None = None,
    dry_run: bool = False,
    inside: Path | None = None,
) -> Made:
    """Look at the clips, tell of each what will be used, and make a project of those that can be.

    A `kind` of None is a motion, or where only pictures are given an appearance.
    """
    card = card_for(model or "auto")
    shape = shaped(own, card)
    paths, window = chosen(patterns, trim)
    kind = kind or _kind(paths)
    wishes = replace(wishes or desk.Wishes(), trim=window)
    looks = desk.examined(paths, shape, wishes, kind)
    kept = desk.reported(looks, shape)
    left_out = desk.unused(looks)
    if not kept:
        raise BadInput(
            "none of the clips can be used; no project was made.",
            why="; ".join(dict.fromkeys(f"{safe(f.name, 60)}: {', '.join(f.reasons)}" for f in left_out))[:400],
            fix=next((_advice(name, found.hint) for found in left_out if found.hint), f"mdctl new {name} OTHER_CLIPS"),
        )
    if _already(name, kept, window):
        face().done(f"All of these clips are in '{name}' already; nothing was changed.", [f"mdctl train {name}"])
        return Made("nothing_to_do", Project.find(name))
    sentence = _caption(name, caption, kind)
    pictures = all(found.source and found.source.still for found in kept)
    number = f"{len(kept)} {'picture' if pictures else 'clip'}{'s' * (len(kept) != 1)}"
    if dry_run:
        face().done(f"{kind.capitalize()} '{name}' would be made of {number}.")
        return Made("nothing_to_do", None, left_out)
    clips = [new_clip(found, window, link=wishes.link) for found in kept]
    table = {"clips": to_table(own)} if to_table(own) else {}
    base = "auto" if model in (None, "auto") else card.name
    project = Project.create(
        name, kind=kind, caption=sentence, clips=clips, table=table, model=base, template=template, inside=inside
    )
    if left_out:
        why = "; ".join(f"{found.name}: {', '.join(found.reasons)}" for found in left_out)
        face().warn(f"{len(left_out)} clip{'s' * (len(left_out) != 1)} left out: {why}.")
    face().done(
        f"Created {kind} '{name}': {number}, {desk.stored(clips)}.",
        [f"mdctl train {name}"],
    )
    return Made("partial" if left_out else "done", project, left_out)


def _advice(name: str, hint: str) -> str:
    return f"mdctl new {name} CLIPS... {hint}" if hint.startswith("--") else hint


def _kind(paths: Sequence[Path]) -> str:
    from mdctl.media import clips as media

    if not all(media.is_picture(path) for path in paths):
        return "motion"
    face().say("Only pictures: this teaches an appearance, not a motion.")
    return "appearance"


def chosen(patterns: Sequence[str], trim: str | None) -> tuple[list[Path], tuple[float, float] | None]:
    """The files that some patterns name, and the part of them that is to be used."""
    from mdctl.media import clips as media

    paths = media.expand(patterns)
    if trim and len(paths) > 1:
        raise UsageFault(
            f"--trim is for one clip, and these are {len(paths)}.", fix="give one clip, or leave --trim out"
        )
    if len(paths) > MANY and not face().manners.yes:
        raise UsageFault(f"{len(paths)} clips are more than a motion needs.", fix="add --yes when this is meant")
    return paths, media.parse_trim(trim) if trim else None


def shaped(own: ClipSettings, card: ModelCard) -> Shape:
    """Clip settings with every gap filled from the base model."""
    return Shape(
        frames=own.frames or card.frames,
        fps=own.fps or card.fps,
        width=own.width or card.width,
        height=own.height or card.height,
    )


def _already(name: str, kept: "Sequence[Look]", window: tuple[float, float] | None) -> bool:
    taken = next((project for project in Project.all() if project.name == name), None)
    if taken is None:
        return False
    if not taken.fault and taken.same_clips(found.sha256 for found in kept):
        parts = {found.scene or window for found in kept} - {None}
        if parts <= {clip.trim for clip in taken.clips}:
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
    sentence = " ".join((guess if given is None else given).split())
    if not sentence:
        raise BadInput("the caption is empty.", fix='--caption "a person is playing golf"')
    hint = " (guessed from the name; --caption says it better)" * (given is None)
    face().say(f'Caption: "{sentence}"{hint}')
    return sentence


def quoted(text: str) -> str:
    """Text as a shell takes it as one word."""
    return shlex.quote(text) if set(text) & set("'\"$`\\!") else f'"{text}"'
