"""`rename`, `copy`, `rm`, `restore`, `trash`: projects kept in order, and nothing lost by it."""

import re
from contextlib import nullcontext, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Annotated, Any

import typer

from mdctl.cli import groups, options
from mdctl.cli.face import EPILOG, face
from mdctl.cli.turns import turn
from mdctl.cli.view import look
from mdctl.cli.view.look import size
from mdctl.errors import MdctlError, NotFound, UsageFault
from mdctl.text import safe
from mdctl.workspace import names, trash
from mdctl.workspace.project import Project, check_name
from mdctl.workspace.runs import FULL_SAVES

NewName = Annotated[str, typer.Argument(metavar="NEW", help="A name that is free.", show_default=False)]


def mount(app: typer.Typer) -> None:
    """Add the commands of this file, and the short names of three commands."""
    app.command(epilog=EPILOG)(rename)
    app.command(epilog=EPILOG)(copy)
    app.command(epilog=EPILOG)(rm)
    app.command(epilog=EPILOG)(restore)
    commands = {"list": list_trash, "empty": empty_trash}
    groups.mount(
        app, "trash", "Look into the trash, and empty it.", ("mdctl trash list", "mdctl trash empty"), commands
    )
    for short, long, command in (("mv", "rename", rename), ("cp", "copy", copy), ("ls", "list", look.list_projects)):
        told = (command.__doc__ or "").replace(f"mdctl {long}", f"mdctl {short}")
        app.command(short, help=told, epilog=EPILOG, hidden=True)(command)


def rename(
    name: Annotated[str, typer.Argument(metavar="OLD", help="The project.", show_default=False)],
    new_name: NewName,
    wait: options.Wait = None,
) -> int:
    """Give a project another name; its videos go with it.

    What stands beside a video keeps the old name, as history.

    \b
    mdctl rename golf golf-swing
    mdctl rename golf golf-swing --json
    """
    with turn(Project.find(name), "rename", wait) as project:
        renamed = project.renamed(new_name)
    face().done(f"'{name}' is called '{new_name}' now.", [f"mdctl show {new_name}"])
    return _placed(renamed.folder, {"project": new_name, "was": name})


def copy(
    name: options.ProjectName,
    new_name: NewName,
    with_runs: Annotated[bool, typer.Option("--with-runs", help="Copy its runs and videos too.")] = False,
    wait: options.Wait = None,
) -> int:
    """Make another project of the same clips and settings.

    \b
    mdctl copy golf golf-r16
    mdctl copy golf golf-2 --with-runs
    """
    with turn(Project.open(name), "copy", wait) as project:
        twin = project.copy(new_name, with_runs=with_runs)
    all_of_it = " with its runs and videos" if with_runs else ", its clips and settings"
    face().done(
        f"Copied '{name}'{all_of_it} to '{new_name}': {size(twin.disk_bytes())}.",
        [f"mdctl show {new_name}" if with_runs else f"mdctl train {new_name}"],
    )
    return _placed(twin.folder, {"project": new_name, "from": name})


@dataclass(frozen=True)
class _Choice:
    """What `rm` is to take away."""

    what: str
    """In words; '' when there is nothing of the kind."""

    parts: tuple[Path, ...] = ()
    """None are the whole project."""


def rm(
    name: options.ProjectName,
    run: Annotated[
        int | None, typer.Option("--run", metavar="N", help="Only this run, as show counts them.", show_default=False)
    ] = None,
    outputs: Annotated[bool, typer.Option("--outputs", help="Only its videos and grids.")] = False,
    checkpoints: Annotated[bool, typer.Option("--checkpoints", help="Only older saves of its runs.")] = False,
    keep: Annotated[
        int | None, typer.Option("--keep", metavar="K", min=1, help="Saves of each run that stay.", show_default="2")
    ] = None,
    wait: options.Wait = None,
    dry_run: options.DryRun = False,
) -> int:
    """Move a project, or a part of it, to the trash.

    `mdctl restore` brings it back to where it was.

    \b
    mdctl rm golf
    mdctl rm golf --run 1
    mdctl rm golf --checkpoints --keep 2
    """
    if (run is not None) + outputs + checkpoints > 1:
        raise UsageFault("--run, --outputs and --checkpoints are removed one at a time.", fix=f"mdctl rm {name} -n")
    if keep is not None and not checkpoints:
        raise UsageFault("--keep says how many saves stay.", fix=f"mdctl rm {name} --checkpoints --keep {keep}")
    project = Project.find(name)
    with nullcontext() if dry_run else turn(project, "rm", wait):
        pinned = _pinned(project)
        chosen = _chosen(project, run, outputs, keep or FULL_SAVES if checkpoints else None, pinned)
        whose = f"{chosen.what} of '{name}'" if chosen.parts else f"'{name}'"
        taken = sum(map(trash.size_bytes, chosen.parts)) if chosen.parts else project.disk_bytes()
        record = {"project": name, "what": chosen.what, "bytes": taken}
        if dry_run or not chosen.what:
            none = f"'{name}' has {'no videos' if outputs else 'no saves to spare'}"
            told = f"{whose}, {size(taken)}, would go to the trash" if chosen.what else none
            face().done(f"{told}; nothing was changed.")
            face().result([], {**record, "status": "nothing_to_do"})
            return 0
        place = project.discard(*chosen.parts, what=chosen.what)
    if run is not None and pinned and not _has_save(project, pinned):
        face().warn(f"the pinned save went with it; mdctl pin {name} --clear forgets it.")
    kept = f"It is kept for {trash.KEPT_DAYS} days and longer, unless you empty the trash."
    undo, room = f"mdctl restore {name}     undoes it", "mdctl trash empty     makes room on the disk"
    face().done(f"Moved {whose}, {size(taken)}, to the trash. {kept}", [undo, room])
    return _placed(place, record)


def restore(
    name: options.ProjectName,
    new_name: Annotated[
        str | None,
        typer.Option("--as", metavar="NEW", help="Another name, for a whole project.", show_default=False),
    ] = None,
) -> int:
    """Bring back what `rm` removed last under a name.

    \b
    mdctl restore golf
    mdctl restore golf --as golf-old
    """
    thing = trash.last(check_name(name), whole=new_name is not None)
    try:
        project = Project.restore(name, under=new_name)
    except UsageFault as fault:
        if thing.whole and fault.code == "MD-EXISTS":
            free = next(near for number in count(2) if not names.taken(near := f"{name}-{number}"))
            fault.fix = (f"mdctl restore {name} --as {free}",)
        raise
    what = f"project '{project.name}'" if thing.whole else f"{thing.what} of '{name}'"
    face().done(f"Restored {what}.", [f"mdctl show {project.name}"])
    return _placed(project.folder, {"project": project.name, "what": thing.what})


# --- The trash


def list_trash() -> int:
    """List what is in the trash: how large it is, and in how many days it is due; nothing leaves by itself.

    \b
    mdctl trash list
    mdctl trash list --json
    """
    things = trash.things()[::-1]
    face().answer(*_told(things), [thing.name for thing in things])
    if not things:
        face().say("The trash is empty.")
    elif any(thing.what == "file" for thing in things):
        face().say(f"Single files are brought back by hand, from {things[0].path.parent}")
    return 0


def empty_trash(
    older_than: Annotated[
        str | None, typer.Option("--older-than", metavar="DAYS", help="Only what is as old, such as 30d.")
    ] = None,
    dry_run: options.DryRun = False,
) -> int:
    """Remove what is in the trash for good, after showing it and asking; nothing leaves it otherwise.

    \b
    mdctl trash empty
    mdctl trash empty --older-than 30d --yes
    """
    before = datetime.now(UTC) - timedelta(days=_days(older_than) if older_than else 0)
    gone = [thing for thing in trash.things() if thing.removed <= before]
    total = sum(thing.size_bytes for thing in gone)
    record = {"removed": len(gone), "bytes": total}
    columns, rows, _ = _told(gone)
    if gone:
        face().table("To be removed for good", columns, rows)
    if dry_run or not gone:
        face().done(f"{_things(gone)}, {size(total)}; nothing was changed.")
        face().result([], {**record, "removed": 0, "status": "nothing_to_do"})
        return 0
    if not face().manners.yes:
        again = f"mdctl trash empty{f' --older-than {older_than}' if older_than else ''}"
        if not face().interactive:
            raise UsageFault(f"{_things(gone)}, {size(total)}, would be gone for good.", fix=f"{again} --yes")
        if face().ask(f"Remove {_things(gone)}, {size(total)}, for good?", "no").lower() not in ("y", "yes"):
            face().done("Nothing was removed.")
            return 0
    trash.empty(gone)
    face().done(f"Removed {_things(gone)}, {size(total)}, for good.")
    face().result([], record)
    return 0


def _told(things: list[trash.Trashed]) -> tuple[list[str], list[list[str]], list[dict[str, Any]]]:
    """Columns, rows and records of what is in the trash."""
    rows, records = [], []
    for thing in things:
        taken, left = thing.size_bytes, thing.days_left
        when = thing.removed.strftime("%Y-%m-%d %H:%M")
        rows.append([thing.name, thing.what, size(taken), when, f"{left} day{'s' * (left != 1)}" if left else "now"])
        record = {"name": thing.name, "what": thing.what, "bytes": taken, "removed": when, "days_left": left}
        records.append({**record, "path": str(thing.path)})
    return ["NAME", "WHAT", "SIZE", "REMOVED", "DUE IN"], rows, records


def _things(things: list[trash.Trashed]) -> str:
    return f"{len(things)} thing{'s' * (len(things) != 1)}"


def _days(text: str) -> int:
    if known := re.fullmatch(r"(\d{1,5})d?", text.strip(), re.ASCII):
        return int(known[1])
    raise UsageFault(f"'{safe(text, 40)}' is no number of days.", fix="--older-than 30d")


# --- What is chosen.


def _chosen(project: Project, run: int | None, outputs: bool, keep: int | None, pinned: str) -> _Choice:
    if run is not None:
        runs = project.runs()
        if not 1 <= run <= len(runs):
            raise NotFound(
                f"'{project.name}' has no run {run}.", why=f"it has {len(runs)}.", fix=f"mdctl show {project.name}"
            )
        return _Choice(f"run {runs[run - 1].id}", (runs[run - 1].folder,))
    if outputs:
        videos, grids = len(project.videos()), len(list(project.folder.glob("grids/*/grid.json")))
        counts = {"video": videos, "grid": grids}
        what = ", ".join(f"{number} {word}{'s' * (number != 1)}" for word, number in counts.items() if number)
        folders = [folder for folder in (project.outputs, project.folder / "grids") if trash.size_bytes(folder)]
        return _Choice(what or "outputs" * bool(folders), tuple(folders))
    if keep is not None:
        saves = [folder for one in project.runs() for folder in one.spare(keep, pinned)]
        return _Choice(f"{len(saves)} save{'s' * (len(saves) != 1)}" if saves else "", tuple(saves))
    return _Choice("project")


def _pinned(project: Project) -> str:
    with suppress(MdctlError):  # what cannot be read can be removed all the same
        return str(project.record.pin.get("checkpoint", ""))
    return ""


def _has_save(project: Project, step: str) -> bool:
    trained = [run for run in project.runs() if run.has_saves]
    return any(str(save.step) == step for run in trained[-1:] for save in run.saves())


def _placed(place: Path, record: dict[str, Any]) -> int:
    """Give where something lies now to those who asked for nothing else."""
    face().result([str(place)] if face().manners.quiet or face().manners.json else [], record)
    return 0
