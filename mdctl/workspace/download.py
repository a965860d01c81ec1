"""Bringing a base model here: what is to come, the files one by one into a staging folder, and the model's own folder.

The staging folder `.pull-NAME` survives whatever ends a pull. A file in it counts when its hash is the one that the hub
states, and a shorter one is gone on from, so nothing has to be noted about either. Only what is whole becomes a model.
Weights can be pulled again and lie in the cache, so that what is replaced or removed is deleted.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mdctl.catalog import CARDS
from mdctl.errors import NoSpace, Refused
from mdctl.text import safe
from mdctl.workspace import atomic, layout
from mdctl.workspace.hub import Hub, Listing
from mdctl.workspace.pulled import Pulled, Stated, blocks, header_fault

Told = Callable[[int], None]
"""What is told about the bytes as they come: how many more there are."""


@dataclass(frozen=True)
class Plan:
    """What a pull will bring, and where to."""

    model: str
    """The name by which it was asked for."""
    folder: Path
    """Where the model will lie."""
    listing: Listing
    """What the hub told of the repository."""
    record: Pulled
    """What will be noted beside the files."""

    @property
    def stage(self) -> Path:
        """Where files are gathered."""
        return stage(self.folder)

    @property
    def arrived_bytes(self) -> int:
        """What an earlier try has left."""
        places = ((self.stage / name, stated.size_bytes) for name, stated in self.record.files.items())
        return sum(min(path.stat().st_size, size) for path, size in places if path.is_file())


def stage(folder: Path) -> Path:
    """Where the files of a model are gathered before they become its folder."""
    return folder.with_name(f".pull-{folder.name}")


def _replaced(folder: Path) -> Path:
    return folder.with_name(f".old-{folder.name}")


def places(folder: Path) -> list[Path]:
    """What there is of a model: its folder, and what was being pulled or replaced."""
    return [path for path in (folder, stage(folder), _replaced(folder)) if path.is_dir()]


def line(model: str, commit: str | None) -> str:
    """The line that brings a model at this commit; a hub id says it itself."""
    return f"mdctl models pull {model}" + (f" --revision {commit}" if commit and model in CARDS else "")


def plan(hub: Hub, model: str, folder: Path, repository: str, revision: str | None) -> Plan:
    """Look at a repository and choose what is needed of it; nothing is written."""
    found = hub.listing(repository, revision)
    files = layout.choose(model, found.files, lambda stated: hub.read(found, stated))
    return Plan(model, folder, found, Pulled(found.repository, found.commit, found.licence, files))


def check_room(plan: Plan) -> None:
    """`NoSpace` when the disk cannot take what is still to come."""
    needed, free = plan.record.size_bytes - plan.arrived_bytes, atomic.free_bytes(plan.folder)
    if needed > free:
        raise NoSpace(
            f"the disk is too full for '{plan.model}'.",
            why=f"{needed / 1e9:.1f} GB to come, {free / 1e9:.1f} GB free in {plan.folder.parent}.",
            saved="nothing was downloaded.",
            fix=("make room on it,", "or set MDCTL_HOME to a folder on a larger disk."),
        )


def gather(hub: Hub, plan: Plan, told: Told) -> Iterator[str]:
    """Bring the files into the staging folder, smallest first; each is told once it is what the hub states."""
    wanted = sorted(plan.record.files.items(), key=lambda item: item[1].size_bytes)
    for name, stated in wanted:
        _bring(hub, plan, stated, plan.stage / name, told)
        if name.endswith(".safetensors") and (fault := header_fault(plan.stage / name)):
            raise Refused(f"'{safe(stated.source, 120)}' of {plan.record.repository} is no safetensors.", why=fault)
        yield name


def settle(plan: Plan) -> None:
    """Make what was gathered the model's folder, with its record; an older copy is deleted once that is done."""
    wanted = {plan.stage / name for name in plan.record.files}
    for path in sorted(plan.stage.rglob("*"), reverse=True):  # what a try for another commit may have left
        if path not in wanted | {file.parent for file in wanted}:
            atomic.remove(path)
    plan.record.write(plan.stage)
    old = _replaced(plan.folder)
    atomic.remove(old)
    atomic.sweep(old.parent)  # what was being deleted by somebody who was killed
    if plan.folder.exists():
        atomic.move(plan.folder, old)
    atomic.settle(plan.stage, plan.folder)
    atomic.remove(old)


def remove(folder: Path) -> None:
    """Delete a model, and what pulls of it have left."""
    for path in places(folder):
        atomic.remove(path)
    atomic.sweep(folder.parent)


def _bring(hub: Hub, plan: Plan, stated: Stated, path: Path, told: Told) -> None:
    """Make `path` this file: what is there already is gone on from, and a wrong hash is tried twice from zero."""
    for _ in range(2 + path.is_file()):  # a leftover may be of another commit, which is no fault of the hub's
        digest = stated.hasher()
        have = 0
        for block in blocks(path) if path.is_file() else ():
            digest.update(block)
            have += len(block)
        told(have)
        if have < stated.size_bytes or not stated.size_bytes:
            atomic.extend(path, _noted(hub.stream(plan.listing, stated, have), digest, told))
        if digest.hexdigest() == stated.digest:
            return
        told(-path.stat().st_size)
        atomic.remove(path)
    raise Refused(
        f"'{safe(stated.source, 120)}' of {plan.record.repository} is not what the hub states.",
        why=f"{stated.algorithm} {stated.digest} expected, {digest.hexdigest()} got, twice.",
        saved="nothing was installed; what was there before is untouched.",
        fix=f"{line(plan.model, plan.record.commit)}     later, or from another network",
    )


def _noted(stream: Iterator[bytes], digest: Any, told: Told) -> Iterator[bytes]:
    for block in stream:
        digest.update(block)
        told(len(block))
        yield block
