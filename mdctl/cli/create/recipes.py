"""What stands beside a video, read again: everything that makes it a second time."""

from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from mdctl.cli.create.videos import Cast
from mdctl.cli.create.voices import Voice, look_of
from mdctl.errors import BadInput, NotFound
from mdctl.settings import SampleSettings, from_table
from mdctl.strength import Strength
from mdctl.text import safe
from mdctl.workspace import footage, locations
from mdctl.workspace.project import Project
from mdctl.workspace.runs import Run
from mdctl.workspace.saves import Save


@dataclass(frozen=True)
class Recipe:
    """One video, as its sidecar tells it."""

    path: Path
    """The sidecar."""

    video: Path
    prompt: str
    seed: int
    settings: SampleSettings
    voices: tuple[Voice, ...]
    name: str
    """Of the project or mix it belongs to."""

    record: Mapping[str, Any]

    @property
    def threads(self) -> int | None:
        """How many it was made with; sums differ with their number."""
        threads = self.record.get("threads")
        return threads if isinstance(threads, int) else None

    def cast(self, settings: SampleSettings) -> Cast:
        """Who speaks in it, with strengths that follow these settings; weights of several motions stay."""
        lead, speaks = self.voices[0], list(self.voices)
        old, new = self.settings.gamma, settings.gamma
        if old != new:
            speaks = [
                replace(voice, strength=new.times(voice.strength.highest / (old.highest or 1)))
                if voice.moves == lead.moves
                else voice
                for voice in speaks
            ]
        look = Strength.parse(settings.appearance_strength)
        changed = look != Strength.parse(self.settings.appearance_strength) or settings.clip != self.settings.clip
        if lead.moves and changed:
            others = [voice for voice in speaks if not voice.moves and voice.run.folder != lead.run.folder]
            speaks = [voice for voice in speaks if voice.moves]
            speaks += [replace(voice, strength=look) for voice in others]
            if look.highest and not others:
                speaks.append(look_of(lead.run, lead.save, settings.clip, look))
        return Cast(self.name, tuple(speaks), self.path.parent)

    def differences(self, made_with: Mapping[str, Any]) -> list[str]:
        """What is another now than when it was made, so that the same bits cannot be promised."""
        known = {key: self.record.get(key) for key in made_with}
        return [
            f"{key} {_short(known[key])} (now {_short(now)})" for key, now in made_with.items() if known[key] != now
        ]


def read(word: str, project: str | None = None) -> Recipe:
    """The recipe of a video, of a sidecar, or of the newest video (`last`), of this project where one is named."""
    path = _newest(project) if word == "last" else _sidecar(Path(word))
    record = _record(path)
    try:
        video = path.with_name(str(record["video"]))
        voices = tuple(_voice(entry, path) for entry in record["voices"])
        settings = from_table(SampleSettings, record["settings"], f"{path.name}: settings")
        prompt, seed, name = record["prompt"], record["seed"], record["project"]
        if not (voices and isinstance(prompt, str) and type(seed) is int and isinstance(name, str)):
            raise ValueError("a record of another kind")
    except (KeyError, TypeError, ValueError, AttributeError) as fault:
        raise _no_recipe(path, f"{type(fault).__name__}: {fault}") from fault
    return Recipe(path, video, prompt, seed, settings, voices, name, record)


def _short(value: object) -> str:
    return safe(str(value.get("name", value)) if isinstance(value, Mapping) else str(value), 60)


def _no_recipe(path: Path, why: str) -> BadInput:
    return BadInput(
        f"'{safe(path.name, 120)}' is no recipe of a video.", why=why, fix="give a video of mdctl gen, or its .json"
    )


def _record(path: Path) -> dict[str, Any]:
    try:
        return footage.sidecar(path)
    except (OSError, ValueError) as fault:
        raise _no_recipe(path, str(fault)) from fault


def _sidecar(path: Path) -> Path:
    try:
        there = path.is_file() or (path.is_dir() and path.with_suffix(".json").is_file())  # a folder of frames
    except (OSError, ValueError):
        there = False
    if not there:
        raise NotFound(f"there is no video '{safe(str(path), 200)}'.", fix="mdctl gen --from last")
    if path.suffix == ".json":
        return path
    if (beside := path.with_suffix(".json")).is_file():
        return beside
    number = _number(path)
    for known in _sidecars():
        with suppress(BadInput):
            if number and _record(known).get("id") == number:
                return known
    raise NotFound(
        f"the recipe of '{safe(path.name, 120)}' is gone.",
        why=f"no {beside.name} beside it" + (f", and no video with its number {number}." if number else "."),
        fix="give its .json",
    )


def _number(video: Path) -> str | None:
    """The number that a video carries in itself."""
    from mdctl.media import clips as media

    comment = media.probed(video).comment
    return comment.removeprefix("mdctl ") if comment.startswith("mdctl ") else None


def _sidecars() -> Iterator[Path]:
    for home in (locations.projects(), locations.mixes()):
        yield from home.glob("*/outputs/*.json")


def _newest(project: str | None) -> Path:
    mine = [path for path in _sidecars() if project is None or path.parents[1].name == project]
    if not mine:
        where = f" of '{project}'" if project else ""
        raise NotFound(f"there is no video{where} yet.", fix='mdctl gen NAME "PROMPT"')
    return max(mine, key=lambda path: path.stat().st_mtime_ns)


def _voice(entry: Mapping[str, Any], path: Path) -> Voice:
    name, wanted = str(entry["project"]), str(entry["sha256"])
    homes = [Project(home / name) for home in (locations.projects(), locations.images())]
    others = [project for project in Project.all() if project.name != name]  # it may be called otherwise by now
    runs = [run for project in (*homes, *others) for run in Run.all(project) if run.id == entry["run"]]
    for save in _likely(runs, entry["save"]):
        if entry["file"] in save.files and save.manifest[entry["file"]].sha256 == wanted:
            run = _run_of(save)
            run.project = name  # as it was called then, so that the same video is the same file
            return Voice(run, save, entry["file"], Strength.parse(entry["strength"]))
    raise NotFound(
        f"an adapter that '{safe(path.stem, 120)}' was made with is gone.",
        why=f"run {safe(str(entry['run']), 40)} of '{safe(name, 64)}' has no save with these weights.",
        fix=f"mdctl show {safe(name, 64)}",
    )


def _likely(runs: list[Run], step: object) -> list[Save]:
    """All saves of these runs, that of the step first."""
    return sorted((save for run in runs for save in run.saves()), key=lambda save: save.step != step)


def _run_of(save: Save) -> Run:
    return Run(save.folder.parents[1])
