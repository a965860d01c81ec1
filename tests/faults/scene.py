"""A scene without torch: a project of two clips is made and trained with four saves, and survivors look at it."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path

from mdctl.workspace import atomic, locations
from mdctl.workspace.project import Project
from mdctl.workspace.records import NewClip
from mdctl.workspace.runs import Run
from mdctl.workspace.saves import OPTIMIZER

STEPS = (30, 50, 60, 70)
REAL_WRITE, REAL_OPEN = os.write, os.open


def weights(step: int) -> bytes:
    """What was learned by a step."""
    return b"learned %d " % step * 20


class Scene:
    """A project of two clips, trained with four saves, in a home of its own."""

    def __init__(self, folder: Path) -> None:
        self.originals = {folder / f"{name}.mp4": name.encode() * 50 for name in "ab"}
        self.kept = folder / "kept"  # what the trainer was told is safe
        for path, content in self.originals.items():
            path.write_bytes(content)

    def reset(self) -> None:
        """Begin anew."""
        shutil.rmtree(locations.home(), ignore_errors=True)
        self.kept.write_text("0")

    def new(self) -> None:
        """`mdctl new`."""
        clips = [NewClip(path, sha256(data).hexdigest(), ".mp4", path.name) for path, data in self.originals.items()]
        Project.create("golf", caption="a person is playing golf", clips=clips)

    def train(self) -> None:
        """`mdctl train`: the unfinished run goes on, else one begins."""
        with Project.open("golf").locked("train") as project:
            project.set("model", "starter")
            unfinished = [run for run in project.runs() if not run.finished]
            run = unfinished[-1] if unfinished else Run.create(project, {"train": {"steps": STEPS[-1]}})
            latest = run.latest(resumable=True)
            for step in STEPS:
                if step > (latest.step if latest else 0):
                    run.keep(step, {"temporal.safetensors": weights(step), OPTIMIZER: b"m" * 99}, {"step": step})
                    self.tell(step)
                    run.note("save", step=step)

    def tell(self, step: int) -> None:
        """Tell the trainer that a step is safe."""
        told = REAL_OPEN(self.kept, os.O_WRONLY)
        REAL_WRITE(told, b"%d" % step)
        os.close(told)

    def whole(self) -> None:
        """All of it, from nothing or from where it stands."""
        if not Project.all():
            self.new()
        if not any(run.finished for run in Project.open("golf").runs()):
            self.train()

    def losses(self, kept: int | None = None) -> Iterator[str]:
        """What is wrong with what a survivor finds, where the trainer was told that so many steps are safe."""
        for path, content in self.originals.items():
            if path.read_bytes() != content:
                yield f"{path.name} was changed"
        died = kept is None
        kept = int(self.kept.read_text()) if kept is None else kept
        for project in Project.all():
            if project.fault:
                yield f"{project.fault}"
                continue
            for clip in project.clips:
                if sha256(project.path_of(clip).read_bytes()).hexdigest() != clip.sha256:
                    yield f"{clip.file} is not whole"
            with project.locked("train"):
                pass
            runs = project.runs()
            told: list[object] = []
            latest = runs[-1].latest(resumable=True, report=told.append) if runs else None
            if told:
                yield f"damaged: {told}"
            if (latest.step if latest else 0) < kept:
                yield f"{kept} was kept, {latest} is found"
            if latest and latest.read("temporal.safetensors") != weights(latest.step):
                yield f"{latest} is not what was learned"
            for save in runs[-1].saves() if runs else ():
                if save.read("temporal.safetensors") != weights(save.step):
                    yield f"{save} is not what was learned"
        if kept and not Project.all():
            yield "the project is gone"
        atomic.sweep(locations.projects())
        drafts = [path for path in locations.home().rglob(".tmp-*") if ".locks" not in path.parts]
        if drafts and died and Project.all():  # while its process lives, a draft stays
            yield f"left behind: {drafts}"


# --- A writer without care.


@contextmanager
def plain_folder(path: Path) -> Iterator[Path]:
    """Fill the final folder itself."""
    path.mkdir(parents=True)
    yield path


def plain_write(path: Path, data: bytes | str) -> None:
    """Write into the final file itself."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    os.write(descriptor, data.encode() if isinstance(data, str) else data)
    os.close(descriptor)


CAREFUL = ("mdctl.workspace.atomic.folder", "mdctl.workspace.atomic.write")
CARELESS = (plain_folder, plain_write)
