"""`gallery`: one page of all videos, beside the clips that they were learned from; to look at, and to mail."""

import os
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from importlib.resources import files
from itertools import chain, islice
from pathlib import Path
from typing import Annotated
from urllib.parse import quote

import typer

from mdctl import __version__
from mdctl.cli.create import videos
from mdctl.cli.create.start import quoted
from mdctl.cli.face import EPILOG, face
from mdctl.cli.options import Force
from mdctl.cli.view import curves, opening, pages, shelves
from mdctl.cli.view.look import size
from mdctl.cli.view.shelves import Film, Reference, Shelf
from mdctl.errors import MdctlError, NotFound, UsageFault
from mdctl.text import safe
from mdctl.workspace import atomic, locations
from mdctl.workspace.project import Project
from mdctl.workspace.runs import Run

LIMIT_BYTES = 64_000_000
"""A page that would be larger links to its videos instead of holding them."""

TINY = 128
"""Videos up to this edge are shown pixel by pixel."""

MOST_CLIPS, MOST_CURVES = 8, 3
"""So many clips and runs of a project are shown; what is left out is told in the page."""


def mount(app: typer.Typer) -> None:
    """Add the command of this file."""
    app.command(epilog=EPILOG)(gallery)


def gallery(
    name: Annotated[str | None, typer.Argument(metavar="NAME", help="A project or a mix.", show_default="all")] = None,
    output: Annotated[
        str | None, typer.Option("-o", "--output", metavar="FILE.html", help="Where to put it.", show_default=False)
    ] = None,
    force: Force = False,
    link: Annotated[
        bool, typer.Option("--link", help="Link to the videos instead of laying them into the page.")
    ] = False,
    show: Annotated[bool, typer.Option("--open", help="Open the page once it is written.")] = False,
) -> int:
    """Write a page of all videos, clips and losses beside them.

    \b
    mdctl gallery --open
    mdctl gallery golf -o golf.html
    """
    found = sorted(shelves.gather(name), key=lambda shelf: not shelf.films)  # videos are what is looked for
    if not found:
        raise NotFound("there are no projects and no videos yet.", fix="mdctl new golf ./clips/*.mp4")
    page = _target(name, output, force)
    films = [film for shelf in found for film in shelf.films]
    clips = _clips(found)
    heavy = (sum(map(_bytes, films)) + sum(len(one.content) for shown in clips.values() for one in shown)) * 4 // 3
    if heavy > LIMIT_BYTES and not link:
        link = True
        face().warn(
            f"with its videos the page would take {size(heavy)}, so it links to them instead: it shows them only from "
            "where it is now. The gallery of one project may be small enough to be mailed.",
            "MD-LINKED",
        )
    text = "\n".join(_page(name, found, clips, page.parent if link else None)) + "\n"
    if output and os.path.lexists(page):
        videos.discard(page)
    atomic.write(page, text)
    record = {"videos": len(films), "linked": link, "bytes": page.stat().st_size}
    then = [] if show else [f"mdctl open {quoted(str(page))}"]
    face().done(f"{_count(len(films), 'video')} on one page of {size(record['bytes'])}.", then)
    face().result([str(page)], record)
    if show:
        opening.show(page)
    return 0


def _target(name: str | None, output: str | None, force: bool) -> Path:
    """Where the page goes; the usual place is mdctl's own, and a page that is there is made anew."""
    if output is None:
        homes = [home / name for home in (locations.mixes(), locations.projects()) if name and (home / name).is_dir()]
        return (homes[0] if homes else locations.home()) / "gallery.html"
    page = Path(output).absolute()
    if page.suffix.lower() not in (".html", ".htm") or page.is_dir():
        raise UsageFault(f"'{safe(output, 200)}' is no name for a page.", fix="-o gallery.html")
    if os.path.lexists(page) and not force:
        raise UsageFault(f"the file '{safe(output, 200)}' exists.", fix="another name, or --force")
    return page


def _clips(found: Sequence[Shelf]) -> dict[str, list[Reference]]:
    """The clips of all projects that stand on shelves, by name."""
    sources = {project.name: project for shelf in found for project in shelf.sources}
    shown = {}
    with face().progress("clips of projects", len(sources)) as tell:
        for number, (name, project) in enumerate(sources.items(), 1):
            shown[name] = shelves.references(project, MOST_CLIPS)
            tell(number, name)
    return shown


def _bytes(film: Film) -> int:
    try:
        return len(shelves.content(film)) if film.path.is_dir() else film.path.stat().st_size
    except (OSError, MdctlError):
        return 0


def _count(number: int, word: str) -> str:
    return f"{number} {word}{'s' * (number != 1)}"


# --- The page.


def _page(
    name: str | None, found: Sequence[Shelf], clips: dict[str, list[Reference]], beside: Path | None
) -> Iterator[str]:
    """Its lines; `beside` is the folder from which it links to the videos, None when they lie in it."""
    style, script = (files("mdctl.cli.view").joinpath(f"gallery.{kind}").read_text("utf-8") for kind in ("css", "js"))
    title = f"{name or 'mdctl'}: videos"
    number = sum(len(shelf.films) for shelf in found)
    yield pages.head(title, style, script, beside=beside is not None)
    yield f"<body>\n<header><h1>{pages.words(title)}</h1>"
    if len(found) > 1:
        links = (f'<a href="#s{place}">{pages.words(shelf.name, 120)}</a>' for place, shelf in enumerate(found))
        yield f"<nav>{' '.join(links)}</nav>"
    yield "</header>"
    yield (
        '<div class="bar"><input id="filter" type="search" placeholder="Filter by prompt or project" '
        'aria-label="Filter by prompt or project" autocomplete="off" spellcheck="false"> '
        f'<span id="count" class="soft" role="status">{_count(number, "video")}</span></div>'
    )
    yield "<main>"
    for place, shelf in enumerate(found):
        yield from _section(place, shelf, clips, beside)
    yield "</main>\n<footer>"
    yield (
        '<p class="soft keys"><kbd>←</kbd> <kbd>↑</kbd> <kbd>↓</kbd> <kbd>→</kbd> or <kbd>j</kbd> <kbd>k</kbd> move, '
        "<kbd>space</kbd> plays and pauses, <kbd>/</kbd> goes to the filter, <kbd>Esc</kbd> clears it.</p>"
    )
    where = (
        "Its videos lie where mdctl keeps them, and it shows them only from where it was written: it cannot be mailed."
        if beside
        else "Its videos lie in it, and it loads nothing from anywhere: it can be mailed as it is."
    )
    yield f'<p class="soft">Written by mdctl {__version__}, {datetime.now(UTC):%Y-%m-%d %H:%M} UTC. {where}</p>'
    yield f"</footer>\n<script>{script}</script>\n</body>\n</html>"


def _section(place: int, shelf: Shelf, clips: dict[str, list[Reference]], beside: Path | None) -> Iterator[str]:
    named = pages.words(f"{shelf.name} {shelf.caption}")
    yield f'<section id="s{place}" data-words="{named}"><h2>{pages.words(shelf.name, 120)}</h2>'
    yield f'<p class="soft">{pages.words(" · ".join(part for part in shelf.about if part))}</p>'
    if shelf.caption:
        yield f'<p class="caption">{pages.words(shelf.caption)}</p>'
    if shelf.note:
        yield f'<p class="note">needs attention: {pages.words(shelf.note)}</p>'
    yield "<div><div>"
    for project in shelf.sources:
        yield from _learned(project, clips[project.name])
    yield from chain.from_iterable(islice(_curves(shelf.runs), MOST_CURVES))
    yield '</div><div class="films">'
    for film in shelf.films:
        yield from _card(film, shelf, beside)
    if not shelf.films:
        yield '<p class="soft">No videos yet.</p>'
    yield "</div></div></section>"


def _learned(project: Project, clips: Sequence[Reference]) -> Iterator[str]:
    if not clips:
        return
    more = len(project.clips) - len(clips)
    yield f"<h3>{pages.words(project.name, 80)} learned from{f' these and {more} more' * (more > 0)}</h3>"
    yield '<div class="clips">'
    for clip in clips:
        label, address = pages.words(clip.name, 120), pages.embedded(clip.content, clip.kind)
        if not clip.content:
            shown = '<div class="gone">cannot be shown</div>'
        elif clip.kind.startswith("image/"):
            shown = f'<img alt="{label}" src="{address}">'
        else:
            shown = f'<video controls loop muted playsinline aria-label="{label}" src="{address}"></video>'
        told = f"{label}: {pages.words(clip.caption, 300)}" if clip.caption else label
        yield f"<figure>{shown}<figcaption>{told}</figcaption></figure>"
    yield "</div>"


def _curves(runs: Sequence[Run]) -> Iterator[list[str]]:
    """A drawing for each run that noted losses, newest first."""
    for place, run in enumerate(runs):
        course = curves.read(run.events())
        if course.losses:
            ends = (f'<i class="{name}"></i> {name} {points[-1][1]:.3f}' for name, points in course.losses.items())
            told = f"loss of run {len(runs) - place}, {course.steps} steps: {', '.join(ends)}"
            yield [f'<figure class="curve">{curves.svg(course)}', f"<figcaption>{told}</figcaption></figure>"]


def _card(film: Film, shelf: Shelf, beside: Path | None) -> Iterator[str]:
    named = " ".join([film.prompt, shelf.name, *(voice.project for voice in film.voices)])
    yield f'<article tabindex="0" data-words="{pages.words(named)}">{_moving(film, beside)}'
    yield f'<p class="prompt">{pages.words(film.prompt or film.path.name)}</p><dl>'
    for key, told in _facts(film, shelf.name):
        yield f"<dt>{key}</dt><dd>{pages.words(told, 300)}</dd>"
    yield "</dl></article>"


def _facts(film: Film, shelf: str) -> Iterator[tuple[str, str]]:
    if not film.record:
        yield "note", "there is no .json beside it that tells how it was made"
        return
    yield "seed", shelves.plain(film.record.get("seed")) or "?"
    for voice in film.voices:
        whose = f"{voice.project}, " if voice.project != shelf else ""
        yield voice.kind, f"{whose}strength {voice.strength or '?'}, save {voice.save or '?'}"
    yield "base", film.model or "?"
    if film.size:
        yield "size", f"{film.size[0]}x{film.size[1]}"
    yield "made", film.created[:16].replace("T", " ")


def _moving(film: Film, beside: Path | None) -> str:
    linked = beside if film.path.is_file() else None  # no browser plays a folder of pictures
    try:
        address = _relative(film.path, linked) if linked else pages.embedded(shelves.content(film), film.kind)
    except UsageFault:
        raise
    except (OSError, MdctlError) as error:
        why = (error.strerror or "") if isinstance(error, OSError) else (error.why or error.what).rstrip(".")
        face().warn(f"'{film.path.name}' is not shown: {why}.", "MD-LEFT-OUT")
        return '<div class="gone">cannot be read</div>'
    label = pages.words(film.prompt or film.path.name, 300)
    about = f' width="{film.size[0]}" height="{film.size[1]}"' if film.size else ""
    about += ' class="tiny"' * (film.size is not None and max(film.size) <= TINY)
    if film.kind.startswith("image/"):
        return f'<img alt="{label}"{about} src="{address}">'
    about += f' aria-label="{label}" src="{address}"'
    return f'<video controls loop muted playsinline preload="metadata"{about}></video>'


def _relative(video: Path, folder: Path) -> str:
    """The address of a video from where the page lies."""
    try:
        way = os.path.relpath(video, folder)
    except ValueError as error:  # two drives of Windows
        raise UsageFault(
            "a page cannot link to videos on another drive.", why=str(error), fix="mdctl gallery --link, without -o"
        ) from error
    return quote(Path(way).as_posix())
