"""What a campaign is asked for: a manifest or a benchmark's folder, methods, seeds, and where its results go."""

import dataclasses
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from mdctl.cli.create.start import quoted
from mdctl.errors import NotFound, UsageFault, instead
from mdctl.text import slug
from mdctl.workspace import locations

if TYPE_CHECKING:
    from mdctl.measure.manifest import Unit

USUAL = ("base", "coupled", "no-ad", "full")
MANIFEST = "manifest.jsonl"
"""What mdctl writes when it has understood a folder."""

SEEDS = re.compile(r"\d{1,18}(-\d{1,18})?(,\d{1,18}(-\d{1,18})?)*")
MOST_SEEDS = 1000


def units_of(path: Path) -> "list[Unit]":
    """The units of a manifest, or of a benchmark's folder, recognised by its files."""
    from mdctl.measure import manifest as manifests

    path = path.expanduser().resolve()
    if not path.is_dir():
        return manifests.read(path)
    if (path / manifests.LOVEU_TABLE).is_file():
        return manifests.from_loveu(path)
    if any(path.glob("*/eval_prompts.txt")):
        return manifests.from_mtbench(path)
    raise NotFound(
        f"{path} is no benchmark that is known by its files.",
        why=f"LOVEU-TGVE has a {manifests.LOVEU_TABLE}, MTBench an eval_prompts.txt in each folder.",
        fix=f"mdctl bench folder {quoted(str(path))}     for a folder of your own",
    )


def folder_of(manifest: Path, output: Path | None) -> Path:
    """Where the videos and the table of a manifest lie."""
    if output:
        return output.expanduser().resolve()
    path = manifest.expanduser().resolve()
    if path.name == MANIFEST and path.is_file():  # the one that `bench folder` wrote lies beside its table
        return path.parent
    return locations.bench() / (slug(path.stem if path.is_file() else path.name) or "run")


def methods_of(given: Sequence[str] | None) -> tuple[str, ...]:
    """The methods of these names in the table's order; `UsageFault` for one that nobody knows."""
    from mdctl.measure import fidelity

    known = [name for name in fidelity.METHODS if name != "coupled-best"]  # its rate is that of `starter`
    for word in given or ():
        if word not in known:
            raise UsageFault(f"there is no method '{word}'.", fix=instead(word, known))
    return tuple(name for name in known if name in (given or USUAL))


def seeded(units: "Sequence[Unit]", seeds: str | None) -> "list[Unit]":
    """The units with other seeds than their manifest's, where some were given."""
    if seeds is None:
        return list(units)
    words = seeds.replace(" ", "")
    found: list[int] = []
    for part in words.split(",") if SEEDS.fullmatch(words) else ():
        first, dash, last = part.partition("-")
        found += range(int(first), min(int(last), int(first) + MOST_SEEDS) + 1) if dash else [int(first)]
    if not found or len(found) > MOST_SEEDS:
        raise UsageFault(f"'{seeds}' are no seeds.", fix="--seeds 0-3, or --seeds 0,7")
    return [dataclasses.replace(unit, seeds=tuple(dict.fromkeys(found))) for unit in units]
