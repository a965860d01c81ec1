"""`cache`: what can be made or fetched again, how much room it takes, and making room."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from mdctl.cli import groups, options
from mdctl.cli.face import face
from mdctl.cli.view.look import size
from mdctl.workspace import cache, locations
from mdctl.workspace.cache import Entry

PARTS = {
    "models": "base models that were pulled",
    "latents": "clips as the base model sees them",
    "images": "looks of single pictures, for animate-image",
    "references": "clips and folders of frames as the gallery shows them",
    "check": "videos that gen --check compares",
}
"""What the folders of the cache hold."""


def mount(app: typer.Typer) -> None:
    """Add the commands of this file."""
    about = "Look at what can be made again, and make room."
    commands = {"list": list_cache, "prune": prune}
    groups.mount(app, "cache", about, ("mdctl cache list", "mdctl cache prune"), commands)


def list_cache() -> int:
    """List the parts of the cache: what each holds, its size, and how much of it nobody used for 30 days.

    \b
    mdctl cache list
    """
    found, old = cache.entries(), {entry.path for entry in cache.unused()}
    rows: list[list[str]] = []
    records: list[dict[str, Any]] = []
    for part in dict.fromkeys([*list(PARTS)[:3], *(entry.part for entry in found)]):  # the usual ones though empty
        inside = [entry for entry in found if entry.part == part]
        unused, total = _bytes([entry for entry in inside if entry.path in old]), _bytes(inside)
        rows.append([part, PARTS.get(part, ""), str(len(inside)), size(total), size(unused)])
        records.append({"part": part, "path": str(locations.cache() / part), "entries": len(inside), "bytes": total,
                        "unused_bytes": unused})  # fmt: skip
    face().answer(["PART", "WHAT", "ENTRIES", "SIZE", "UNUSED"], rows, records, [row[0] for row in rows])
    if old:
        face().say(f"mdctl cache prune     frees {size(sum(record['unused_bytes'] for record in records))}")
    return 0


def prune(
    everything: Annotated[
        bool, typer.Option("--all", help="What was used lately too; base models stay.", show_default=False)
    ] = False,
    dry_run: options.DryRun = False,
) -> int:
    """Delete what can be made again and nobody used for 30 days; base models that were pulled always stay.

    \b
    mdctl cache prune
    mdctl cache prune --all --dry-run
    """
    found = [entry for entry in cache.entries() if not entry.kept] if everything else cache.unused()
    stays = _staying(found)
    going = [entry for entry in found if entry.path not in stays]
    removed = list(going) if dry_run else []
    for entry in [] if dry_run else going:
        if why := cache.remove(entry):
            stays[entry.path] = why
        else:
            removed.append(entry)
    for why in dict.fromkeys(stays.values()):
        face().warn(f"left alone: {why}", "MD-IN-USE")
    _tell(removed, everything, dry_run)
    face().result([], {"status": "nothing_to_do" if dry_run or not removed else "done", "bytes": _bytes(removed),
                       "removed": [str(entry.path) for entry in removed], "kept": list(map(str, stays))})  # fmt: skip
    return 0


def _staying(found: Sequence[Entry]) -> dict[Path, str]:
    """Latents that a training may want again, with the reason."""
    latents = [entry.path for entry in found if entry.part == locations.latents().name]
    why = cache.training() if latents else ""
    return dict.fromkeys(latents, f"the latents, as {why}") if why else {}


def _tell(removed: Sequence[Entry], everything: bool, dry_run: bool) -> None:
    """Say what has gone, what stays on purpose, and what more there would be."""
    counts = Counter(entry.part for entry in removed)
    told = ", ".join(f"{count} of {part}" for part, count in counts.items())
    verb = "Would free" if dry_run else "Freed"
    face().done(f"{verb} {size(_bytes(removed))}: {told}." if removed else "There is nothing to prune.")
    left = [entry for entry in cache.entries() if not entry.kept]
    if everything:
        models: dict[str, int] = {}
        for entry in cache.entries():
            if entry.kept:
                models[entry.name] = models.get(entry.name, 0) + entry.size_bytes
        for name, taken in models.items():
            face().say(f"kept: {name}, {size(taken)}     mdctl models rm {name} deletes it")
    elif left and not dry_run:
        face().say(f"What is left was used lately; mdctl cache prune --all frees {size(_bytes(left))} more.")


def _bytes(entries: Sequence[Entry]) -> int:
    return sum(entry.size_bytes for entry in entries)
