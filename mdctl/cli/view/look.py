"""`list`, `show` and `path`: what there is, without loading anything heavy."""

import sys
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

import typer

from mdctl.cli import options
from mdctl.cli.face import EPILOG, draws, face
from mdctl.workspace import locations
from mdctl.workspace.project import Project

USED = "%Y-%m-%d %H:%M"
"""How it is told when a project was last used: to programs by UTC, to people by their own clock."""

AGO = ((24 * 3600, "d"), (3600, "h"), (60, "m"))
"""Units of what is told as so long ago, with their seconds."""

LONG_AGO_D = 30
"""After so many days it is told by its date."""


def mount(app: typer.Typer) -> None:
    """Add the commands of this file."""
    app.command("list", epilog=EPILOG)(list_projects)
    app.command(epilog=EPILOG)(show)
    app.command(epilog=EPILOG)(path)


def size(count: int) -> str:
    """Bytes as a person reads them."""
    for power, unit in ((9, "GB"), (6, "MB"), (3, "kB")):
        if count >= 10**power:
            return f"{count / 10**power:{'.1f' if count < 10 ** (power + 1) else '.0f'}} {unit}"
    return f"{count} B"


def list_projects(
    status: Annotated[
        Literal["new", "paused", "trained", "attention"] | None, typer.Option(help="Only these.", show_default=False)
    ] = None,
) -> int:
    """List all projects: how far each is, and its size on disk.

    \b
    mdctl list
    mdctl list --status paused -q
    """
    records = [_record(project) for project in Project.all()]
    if status:
        records = [record for record in records if status in record["status"]]
    on_screen = draws(sys.stdout)
    columns = ["NAME", "KIND", "CLIPS", "STATUS", "MODEL", "VIDEOS", "SIZE", "LAST USED"]
    rows = [
        [
            record["name"],
            record["kind"],
            str(record["clips"]),
            record["status"],
            record["model"],
            str(record["videos"]),
            size(record["bytes"]),
            when(datetime.strptime(record["used"], USED).replace(tzinfo=UTC), on_screen),
        ]
        for record in records
    ]
    if not records and not status:
        face().say("There are no projects yet.  mdctl new golf ./clips/*.mp4")
    face().answer(columns, rows, records, [record["name"] for record in records])
    for record in records:
        if record["status"] == "needs attention":
            face().say(f"What is wrong with '{record['name']}':  mdctl show {record['name']}")
    return 0


def when(then: datetime, on_screen: bool) -> str:
    """A time by the clock of those who read it, or, on a screen, how long ago it was."""
    passed = (datetime.now(UTC) - then).total_seconds()
    if not on_screen:
        return f"{then.astimezone():{USED}}"
    if not 0 <= passed < LONG_AGO_D * AGO[0][0]:
        return f"{then.astimezone():%Y-%m-%d}"
    return next((f"{passed // size:.0f} {unit} ago" for size, unit in AGO if passed >= size), "just now")


def _record(project: Project) -> dict[str, Any]:
    fault = project.fault
    return {
        "name": project.name,
        "kind": project.record.kind if not fault else "?",
        "clips": len(project.clips) if not fault else 0,
        "status": project.status,
        "model": project.record.model if not fault else "?",
        "videos": len(project.videos()),
        "bytes": project.disk_bytes(),
        "used": project.last_used.strftime(USED),
        "path": str(project.folder),
    }


def show(name: options.ProjectName) -> int:
    """Show one project: caption, clips, runs, saves, disk.

    \b
    mdctl show golf
    mdctl show golf --json
    """
    from mdctl.cli.create import previews

    project = Project.find(name)
    if fault := project.fault:
        raise fault
    record = project.record
    facts = [
        (project.name, f'"{record.caption}"   {record.kind} · {record.model}'),
        ("clips", ", ".join(clip.name for clip in project.clips)),
    ]
    runs = []
    for number, run in enumerate(project.runs(), 1):
        saves = [save.step for save in run.saves()]
        runs.append({"id": run.id, "status": run.status, "steps": run.steps, "saves": saves, "settings": run.settings})
        facts.append((f"run {number}", f"{run.status}   saves {', '.join(map(str, saves)) or 'none'}   {run.id}"))
        if run.settings.get("train", {}).get("precision") == "int8":
            facts.append(("", "learned on the base model in 8 bits; inexact on it as it is"))
        base, seen = previews.course(run)
        if seen:
            step, last = previews.suggested(run), seen[-1]
            told = f"motion learned {base:.2f} to {last.learned:.2f}, appearance leaked {last.leaked:.2f}"
            facts.append(("", f"previews: {told}{f'; they speak for step {step}' if step else ''}"))
            runs[-1] |= {"learned": last.learned, "leaked": last.leaked, "suggested": step}
    if record.pin:
        facts.append(("pinned", "  ".join(f"--{key} {value}" for key, value in record.pin.items())))
    facts.append(("videos", str(len(project.videos()))))
    sizes = {part: project.disk_bytes(part) for part in ("runs", "outputs", "clips")}
    facts.append(("disk", ", ".join(f"{part} {size(count)}" for part, count in sizes.items())))
    facts.append(("folder", str(project.folder)))
    face().sheet(
        facts,
        {
            **_record(project),
            "caption": record.caption,
            "subject": record.subject,
            "clip_names": [clip.name for clip in project.clips],
            "runs": runs,
            "disk": sizes,
        },
    )
    return 0


def path(
    name: Annotated[str | None, typer.Argument(metavar="NAME", help="The project.", show_default=False)] = None,
) -> int:
    """Print the folder of a project, or of all data.

    \b
    mdctl path
    mdctl path golf
    """
    folder = Project.find(name).folder if name else locations.home()
    face().result([str(folder)], {})
    return 0
