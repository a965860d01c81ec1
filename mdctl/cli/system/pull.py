"""`models pull`, `verify` and `rm`: base models, brought here from the hub, looked over, and deleted."""

import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, replace
from pathlib import Path
from typing import Annotated

import typer

from mdctl.catalog import CARDS, ModelCard
from mdctl.cli import options
from mdctl.cli.face import EPILOG, face
from mdctl.cli.signals import Stopped
from mdctl.cli.view.look import size
from mdctl.errors import MdctlError, NotInstalled, Refused, UsageFault
from mdctl.text import safe
from mdctl.workspace import atomic, download, locations, locks, weights
from mdctl.workspace.download import Plan
from mdctl.workspace.hub import Hub
from mdctl.workspace.project import Project
from mdctl.workspace.pulled import Pulled, header_fault

_MEGABYTE = 10**6


def mount(models: typer.Typer) -> None:
    """Add the commands of this file to the group `models`."""
    models.command("pull", epilog=EPILOG)(pull)
    models.command("verify", epilog=EPILOG)(verify)
    models.command("rm", epilog=EPILOG)(remove)


def pull(
    name: options.ModelName,
    revision: Annotated[
        str | None, typer.Option(metavar="COMMIT", help="A certain commit, in full.", show_default="the newest")
    ] = None,
    offline: Annotated[bool, typer.Option("--offline", help="Open no connection.")] = False,
    dry_run: options.DryRun = False,
) -> int:
    """Bring a base model here: what is needed of it as safetensors, each file checked. Stopped, the same line goes on.

    \b
    mdctl models pull zeroscope
    mdctl models pull zeroscope --dry-run
    mdctl models pull ORG/NAME@COMMIT --yes
    """
    name, card, folder = _asked(name, revision)
    if card.repository is None or (card.revision and _is_here(folder, card.revision)):
        return _nothing_to_do(name, folder)

    # Ask the hub what there is, and choose.
    hub = Hub(offline=offline)
    plan = download.plan(hub, name, folder, card.repository, card.revision)
    commit = plan.record.commit
    if card.name not in CARDS and not card.revision:
        raise UsageFault(
            f"'{name}' has to be pulled at a full commit, so that it stays what it is.",
            why=f"its newest one is {commit}.",
            fix=f"mdctl models pull {name}@{commit}",
        )
    if _is_here(folder, commit):
        return _nothing_to_do(name, folder)

    # Show what would come, and let its user decide.
    _show(plan, card)
    download.check_room(plan)
    if dry_run:
        return 0
    if not _agreed(plan, f"{download.line(name, revision)} --yes"):
        face().say("Nothing was downloaded.")
        return 130

    # Bring it.
    with locks.writer(folder, "pull"):
        if _is_here(folder, commit):  # by now: somebody else was faster
            return _nothing_to_do(name, folder)
        _gather(hub, plan)
        download.settle(plan)
    face().done(f"'{name}' is here: {size(plan.record.size_bytes)}, every file as the hub states it.",
                [f"mdctl train NAME --model {name}"])  # fmt: skip
    face().result([str(folder)], {"model": name, "repository": plan.record.repository, "commit": commit})
    return 0


def _asked(name: str, revision: str | None) -> tuple[str, ModelCard, Path]:
    """The name by which the model will be found, its card with the commit that is wanted, and its folder."""
    if revision and not re.fullmatch(r"[0-9a-f]{40}", revision):
        raise UsageFault(
            "a commit is named in full.", why="it has 40 digits of 0-9 and a-f.", fix="leave --revision out"
        )
    if revision and name not in CARDS:
        repository, _, said = name.partition("@")
        if said not in ("", revision):
            raise UsageFault(f"'{safe(name, 120)}' and --revision name two commits.", fix="leave one of them out")
        name = f"{repository}@{revision}"
    card, folder = weights.source(name) or weights.find(name)
    return name, replace(card, revision=revision or card.revision), folder


def _is_here(folder: Path, commit: str) -> bool:
    record = Pulled.read(folder)
    return bool(record and record.commit == commit and not any(fault for _, fault in record.faults(folder)))


def _nothing_to_do(name: str, folder: Path) -> int:
    face().done(f"'{name}' is here already: nothing to do.", [f"mdctl train NAME --model {name}"])
    face().result([str(folder)], {"model": name, "status": "nothing_to_do"})
    return 0


def _show(plan: Plan, card: ModelCard) -> None:
    record = plan.record
    rows = [[stated.source, size(stated.size_bytes), f"{stated.algorithm} {stated.digest}"]
            for stated in record.files.values()]  # fmt: skip
    face().table(f"{record.repository}, commit {record.commit}", ["FILE", "SIZE", "HASH"], rows)
    face().say(f"licence  {record.licence or card.licence}")
    face().say(f"size     {size(record.size_bytes)}, {size(plan.arrived_bytes)} of it are here already")
    face().say(f"folder   {plan.folder}, {size(atomic.free_bytes(plan.folder))} free")
    face().event({"event": "plan", "model": plan.model, "bytes": record.size_bytes, "folder": str(plan.folder),
                  "free_bytes": atomic.free_bytes(plan.folder), **asdict(record)})  # fmt: skip
    if card.name in CARDS and record.licence and record.licence.lower() != card.licence.lower():
        face().warn(f"the hub says {record.licence}, mdctl knew {card.licence}: read the licence.", "MD-LICENCE")
    if record.repository != card.repository:
        face().warn(f"{card.repository} is called {record.repository} by now.", "MD-MOVED")
    if plan.folder.exists():
        face().warn("this takes the place of the copy that is here, which is deleted then.", "MD-REPLACED")
        _warn_users(plan.model)


def _agreed(plan: Plan, line: str) -> bool:
    if face().manners.yes:
        return True
    if not face().interactive:
        raise UsageFault("a download waits for your yes.", saved="nothing was downloaded.", fix=line)
    return face().ask(f"Download {size(plan.record.size_bytes)}? y or n", "n").lower() in ("y", "yes")


def _gather(hub: Hub, plan: Plan) -> None:
    total, done = -(-plan.record.size_bytes // _MEGABYTE), 0
    with face().progress("downloading", total) as show:

        def told(more: int) -> None:
            nonlocal done
            done += more
            show(done // _MEGABYTE, "MB")

        try:
            for file in download.gather(hub, plan, told):
                face().event({"event": "file", "file": file, **asdict(plan.record.files[file])})
        except (KeyboardInterrupt, Stopped):
            face().say("Stopped; what has arrived is kept, and the same line goes on.")
            raise
        show(total, "MB")


def verify(name: options.ModelName) -> int:
    """Read a base model whole, and tell whether every file is what the hub stated when it was pulled.

    \b
    mdctl models verify zeroscope
    """
    _, folder = weights.find(name)
    record = Pulled.read(folder)
    if record is None:
        face().say(f"There is no record of '{name}', so that only the headers of its weights can be looked at.")
    checks = list(record.faults(folder) if record else _headers(folder))
    wrong = [(file, fault) for file, fault in checks if fault]
    for file, fault in wrong:
        face().warn(f"{file}: {fault}", "MD-DAMAGED")
    if wrong or not checks:
        raise Refused(
            f"{len(wrong)} of {len(checks)} files of '{name}' are damaged or missing.",
            why=str(folder),
            fix=_again(name, folder, record) or "get the model again",
        )
    face().done(f"'{name}' is whole: {len(checks)} files {'as the hub states them' if record else 'with fit headers'}.")
    face().result([str(folder)], {"model": name, "files": len(checks), "record": record is not None})
    return 0


def _headers(folder: Path) -> Iterator[tuple[str, str]]:
    for path in sorted(folder.glob("*/*.safetensors")):
        yield f"{path.parent.name}/{path.name}", header_fault(path)


def _again(name: str, folder: Path, record: Pulled | None) -> str:
    """The line that brings this very copy again; '' where there is none."""
    known = weights.source(name)
    return download.line(name, record.commit) if record and known and known[1] == folder else ""


def remove(name: options.ModelName) -> int:
    """Delete a base model that was pulled, with what an unfinished pull of it has left.

    \b
    mdctl models rm zeroscope
    """
    _, folder = weights.source(name) or weights.find(name)
    if folder.parent != locations.models():
        raise Refused(f"'{name}' is not mdctl's to remove.", why=f"it lies in {folder}.", fix="mdctl models list")
    left = download.places(folder)
    if not left:
        raise NotInstalled(f"there is nothing of '{safe(name, 200)}' to remove.", why=f"no {folder}",
                           fix="mdctl models list")  # fmt: skip
    _warn_users(name)
    taken = sum(path.stat().st_size for place in left for path in place.rglob("*") if path.is_file())
    back = _again(name, folder, Pulled.read(folder))
    with locks.writer(folder, "rm"):
        download.remove(folder)
    face().done(f"'{name}' is gone: {size(taken)} are free again.", [f"{back}     brings it back"] if back else [])
    face().result([], {"model": name, "bytes": taken})
    return 0


def _warn_users(name: str) -> None:
    users = [project.name for project in Project.all() if _uses(project, name)]
    if users:
        face().warn(f"taught on this model, and bound to these very weights: {', '.join(users)}.", "MD-IN-USE")


def _uses(project: Project, model: str) -> bool:
    with suppress(MdctlError):  # one that needs attention must not be in the way
        return project.record.model == model
    return False
