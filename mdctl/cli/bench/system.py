"""`bench score --system`: another system's videos of the same manifest, as a row of the same table."""

from collections.abc import Sequence
from pathlib import Path

from mdctl.cli.bench import table
from mdctl.cli.bench.asked import folder_of, seeded, units_of
from mdctl.cli.bench.court import Court
from mdctl.cli.bench.judges import Judges
from mdctl.errors import NotFound, UsageFault
from mdctl.settings import Shape
from mdctl.text import slug
from mdctl.workspace import locks


def add_system(
    results: Path,
    name: str,
    manifest: Path,
    output: Path | None,
    judges: Judges,
    kinds: Sequence[str],
    frames: int,
    base: Path | None,
    allow_missing: bool,
) -> int:
    """Score the videos of another system for the same manifest, and add its row to the table."""
    from mdctl.measure import campaign, fidelity

    if not slug(name) or name in (*fidelity.METHODS, campaign.REFERENCE):
        raise UsageFault(f"a system cannot be called '{name}'.", fix="give a name that no method of mdctl has")
    if not results.is_dir():
        raise NotFound(f"there is no folder {results}.", fix="give the folder of the system's videos")
    folder, results = folder_of(manifest, output), results.resolve()
    with locks.writer(folder / "work", "bench"):
        about = table.known_settings(folder)
        units = seeded(units_of(manifest), about.get("seeds"))
        shape = Shape(**about["clips"]) if about.get("clips") else None
        expected = list(campaign.items(units, {name: False}, 1))
        found = {item: path for item in expected if (path := campaign.find(results, item))}
        court = Court(folder, frames, judges, kinds, shape, base)
        own = list(court.rows(list(found.items())))
        others = table.earlier(folder, units, [name])
        methods = {row["method"]: False for row in others if row["method"] != campaign.REFERENCE}
        methods |= {
            known: fidelity.METHODS[known].trained for known in about.get("methods", ()) if known in fidelity.METHODS
        }
        absent = table.absent(others, units, methods, about.get("train_seeds", 1))
        missing = {item: table.ABSENT for item in expected if item not in found} | court.unread
        extra = campaign.extras(results, [*found.values()])
        table.conclude(folder, [*others, *own], missing, extra, kinds, about, allow_missing, absent)
    return 0
