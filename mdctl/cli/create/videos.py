"""Videos from prompt to disk, whoever speaks in them: read what is asked, make one for each seed, keep it whole."""

import json
import os
import secrets
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from hashlib import blake2b
from itertools import chain, count
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

from mdctl.cli.create import encoding, rendering
from mdctl.cli.create.voices import Voice
from mdctl.cli.face import face
from mdctl.errors import BadInput, MdctlError, Partly, UsageFault
from mdctl.settings import SampleSettings, parse_size, to_table
from mdctl.strength import Strength
from mdctl.text import safe, slug
from mdctl.workspace import atomic, locations, locks, weights

if TYPE_CHECKING:
    from mdctl.cli.create.recipes import Recipe
    from mdctl.media.frames import Frames

Format = Literal["mp4", "gif", "webp", "frames"]
"""What a video is written as; frames is a folder of PNGs."""

LONGEST_PROMPT = 100_000
MAX_SEED = 2**63 - 1
FOLLOW_ONE = 0.3
"""How far a video follows the clip of a motion that was learned from one alone, unless it is told."""


@dataclass(frozen=True)
class Video:
    """One video that was made."""

    path: Path
    frames: "Frames"


@dataclass(frozen=True)
class Cast:
    """Who speaks in videos, and where these belong."""

    name: str
    """Of the project, or of all that are mixed."""

    voices: tuple[Voice, ...]
    """The first decides on base model and shape, and it is its clip that is followed."""

    outputs: Path

    @property
    def lead(self) -> Voice:
        """The first of them."""
        return self.voices[0]


@dataclass(frozen=True)
class Target:
    """Where videos go and as what."""

    folder: Path | None
    """None is where the cast's videos belong."""

    file: Path | None
    format: Format
    force: bool = False
    """Whether a file of that name goes to the trash first."""


# --- What is asked.


def read_prompt(given: str) -> str:
    """The prompt, or what stdin says for `-`; `BadInput` when it is empty or endless."""
    try:
        words = sys.stdin.read() if given == "-" else given
    except UnicodeDecodeError as error:
        raise BadInput("what came on stdin is no text.", why=str(error), fix="give the prompt as UTF-8") from error
    if not words.strip():
        raise BadInput("the prompt is empty.", fix='mdctl gen golf "a monkey playing golf"', code="MD-PROMPT")
    if len(words) > LONGEST_PROMPT:
        raise BadInput(f"a prompt of {len(words)} characters is too long.", fix=f"say it in {LONGEST_PROMPT} or fewer")
    return words.strip()


def flags(size: str | None, **given: object) -> dict[str, Any]:
    """The settings that flags give, by their names; `size` is width and height in one."""
    width, height = parse_size(size) if size else (None, None)
    return {key: value for key, value in {**given, "width": width, "height": height}.items() if value is not None}


def read_seeds(seed: int | None, count: int) -> range:
    """The seeds of all videos; the first is drawn where none is given."""
    first = seed if seed is not None else secrets.randbelow(2**31)
    return range(first, first + count)


def read_target(wanted: str | None, container: Format | None, count: int, force: bool) -> Target:
    """Where the videos shall go; `UsageFault` where they cannot go there."""
    if wanted is None:
        return Target(None, None, container or "mp4")
    output = Path(wanted)
    if output.is_dir() or wanted.endswith(("/", os.sep)):
        return Target(output, None, container or "mp4")
    named = output.suffix.lower().removeprefix(".")
    suffix = "frames" if container == "frames" and named not in get_args(Format) else named
    if named == "frames" or suffix not in get_args(Format):
        raise UsageFault(
            f"'{safe(wanted, 200)}' says no format that can be written.", fix="-o video.mp4, .gif, .webp, or a FOLDER/"
        )
    if container not in (None, suffix):
        renamed = output.with_suffix("" if container == "frames" else f".{container}")
        raise UsageFault(
            f"'{safe(wanted, 200)}' says {suffix}, and --format says {container}.",
            fix=(f"-o {safe(str(renamed), 200)}", f"--format {suffix}"),
        )
    if count > 1:
        raise UsageFault(f"{count} videos do not fit into one file.", fix=f"-o {output.with_suffix('')}/")
    if (taken := _taken(output)) and not (force and suffix != "frames"):
        raise UsageFault(
            f"the file '{safe(str(taken[0]), 200)}' exists.",
            why="videos and their .json replace nothing.",
            fix="another name" + ", or --force" * (suffix != "frames"),
        )
    return Target(None, output.absolute(), suffix, force)  # type: ignore[arg-type]


def format_of(video: Path) -> Format:
    """What kind of file a video is: a folder is frames, whatever it is called, and its name tells of all others."""
    if video.is_dir():
        return "frames"
    known: dict[str, Format] = {".gif": "gif", ".webp": "webp"}
    return known.get(video.suffix.lower(), "mp4")


def settled(asked: SampleSettings, trained: Mapping[str, Any]) -> SampleSettings:
    """Every gap filled: the shape from the settings of the run that was trained, guidance from its base model."""
    shape, clips = trained["clips"], trained["clip"]
    card, _ = weights.find(trained["model"]["name"])
    frames = asked.frames or (shape["frames"] if trained.get("learns") != "appearance" else card.frames)
    followed = trained.get("learns", "motion") == "motion" and len(clips) == 1 and frames == shape["frames"]
    return SampleSettings(
        steps=asked.steps,
        guidance=float(card.guidance if asked.guidance is None else asked.guidance),
        strength=Strength.parse(asked.strength).plain(),
        strength_until=asked.holds_until,
        appearance_strength=Strength.parse(asked.appearance_strength).plain(),
        follow=float((FOLLOW_ONE if followed else 0.0) if asked.follow is None else asked.follow),
        clip=asked.clip,
        negative=asked.negative,
        frames=frames,
        fps=float(asked.fps or shape["fps"]),
        width=asked.width or shape["width"],
        height=asked.height or shape["height"],
        precision=asked.precision,
        sampler=asked.sampler,
        merged=_merges(asked) or None,
    )


def _merges(asked: SampleSettings) -> bool:
    if asked.merged and asked.precision == "int8":
        why = "it would round most of what they add away."
        raise BadInput("adapters cannot be merged into a base model in 8 bits.", why=why, fix="--no-merged")
    return asked.precision != "int8" if asked.merged is None else asked.merged


# --- What is made.


@dataclass(frozen=True)
class Take:
    """One video that is to be made."""

    cast: Cast
    settings: SampleSettings
    seed: int
    target: Target


def make(
    cast: Cast,
    prompt: str,
    settings: SampleSettings,
    seeds: Sequence[int],
    target: Target,
    device_name: str,
    threads: int | None = None,
    again: "Recipe | None" = None,
) -> Iterator[Video]:
    """Load the model and all adapters once, then make and keep one video for each seed.

    With `again` it is told what is another now than when that video was made.
    """
    yield from takes([Take(cast, settings, seed, target) for seed in seeds], prompt, device_name, threads, again)


def takes(
    wanted: Sequence[Take],
    prompt: str,
    device_name: str,
    threads: int | None = None,
    again: "Recipe | None" = None,
) -> Iterator[Video]:
    """Videos of one prompt by the same adapters, which are loaded once; strengths, starts and seeds may differ."""
    first = wanted[0]
    with ExitStack() as held:
        for folder in dict.fromkeys(voice.save.folder for voice in first.cast.voices):
            held.enter_context(locks.reader(folder))
        studio = rendering.load(first.cast.voices, first.settings.precision, device_name, threads)
        if again and (differing := again.differences(studio.made_with)):
            face().warn(f"the same bits cannot be promised: it was made with {', '.join(differing)}.")
        tell_unread(studio, prompt, first.settings.negative)
        embeds = rendering.embed(studio, prompt, first.settings.negative)
        where = f"save {first.cast.lead.save.step} of '{first.cast.name}'"
        rendering.require_effect(studio, embeds, first.settings, first.seed, where)
        for number, take in enumerate(wanted, 1):
            began = time.monotonic()
            cast, settings = take.cast, take.settings
            spoken = studio.at([voice.strength for voice in cast.voices])
            followed = None
            if settings.follow:
                followed = encoding.followed(cast.lead.run, settings, studio.backbone, studio.made_with["precision"])
            start = rendering.start(studio, settings, take.seed, followed)
            drawn = rendering.draw(spoken, embeds, settings, take.seed, f"{number}/{len(wanted)}", start)
            path = keep(take, prompt, drawn, studio.made_with)
            face().event(
                {
                    "event": "video",
                    "project": cast.name,
                    "run": cast.lead.run.id,
                    "path": str(path),
                    "sidecar": str(path.with_suffix(".json")),
                    "prompt": prompt,
                    "seed": take.seed,
                    "seconds": round(time.monotonic() - began, 2),
                }
            )
            yield Video(path, drawn)


def tell_unread(studio: rendering.Studio, prompt: str, negative: str) -> None:
    """Warn of the words that the base model does not read, each with the nearest that it does."""
    for text, verb in ((prompt, "prompt"), (negative, "negative prompt")):
        if unread := studio.backbone.unread(rendering.readable(text)):
            told = ", ".join(rendering.named(unread))
            face().warn(f"the base model does not read these words of the {verb}: {told}.")


def finished(videos: Iterator[Video], seeds: Sequence[int], cast: Cast) -> list[str]:
    """The paths of all videos; where it breaks off, the result is the finished ones, and the rest is told."""
    paths: list[str] = []
    try:
        for video in videos:
            paths.append(str(video.path))
            show(video.frames)
    except BaseException as stop:
        if not paths:
            raise
        rest = list(seeds[len(paths) :])
        status = "partial" if rest else "done"  # all are whole, and only what comes after them went wrong
        record = {"project": cast.name, "run": cast.lead.run.id, "status": status, "failed": rest}
        face().result(paths, record)
        if not (rest and isinstance(stop, MdctlError)):
            raise
        raise Partly(
            f"{len(paths)} of {len(seeds)} videos of '{cast.name}' are made, the others are not.",
            why=f"{stop.what} {stop.why}".rstrip(),
            saved="every video that is named on stdout is whole.",
            fix=(*stop.fix, f"the same line with --seed {rest[0]} --count {len(rest)} makes the rest"),
        ) from stop
    return paths


def show(frames: "Frames") -> None:
    """Show a strip of a video, where the terminal can."""
    from mdctl.media import preview

    face().picture(partial(preview.strip, frames))


# --- What is kept.


def discard(path: Path) -> None:
    """Move a file to the trash, which may lie on another disk."""
    atomic.copy(path, locations.trash() / f"{_stamp()}_{secrets.token_hex(4)}_{path.name}")
    atomic.remove(path)


def _taken(video: Path) -> list[Path]:
    return [path for path in (video, video.with_suffix(".json")) if os.path.lexists(path)]


def content(video: Path) -> bytes | list[bytes]:
    """What a video's file holds, or the files of its frames."""
    from mdctl.media import folders

    return [path.read_bytes() for path in folders.pictures(video)] if video.is_dir() else video.read_bytes()


def _create_folder(wanted: Path, frames: "Frames") -> Path:
    """Write a folder of PNGs, whole or not at all; tell which name was free, for it and for the file beside it."""
    from mdctl.media import preview

    names = (wanted.with_stem(f"{wanted.stem}_{number}") for number in count(2))  # the stem also names the `.json`
    for path in chain([wanted], names):
        if not _taken(path):
            with suppress(FileExistsError), atomic.folder(path) as stage:
                for number, frame in enumerate(frames):
                    atomic.write(stage / f"{number:03d}.png", preview.png(frame))
                return path
    raise AssertionError  # the names never end


def _stamp() -> str:
    return datetime.now(UTC).strftime("%Y%m%d-%H%M")


def identity(record: Mapping[str, Any]) -> str:
    """A number for all that a video is made with, so that the same video made again is the same file."""
    return blake2b(json.dumps(record, sort_keys=True).encode(), digest_size=8).hexdigest()


def keep(take: Take, prompt: str, frames: "Frames", made_with: Mapping[str, Any]) -> Path:
    """Write a video and its sidecar under a name that was free; both are whole or absent."""
    from mdctl.media import ffmpeg

    cast, target = take.cast, take.target
    record = {
        "prompt": prompt,
        "seed": take.seed,
        "settings": to_table(take.settings),
        "project": cast.name,
        "voices": [voice.record() for voice in cast.voices],
        **made_with,
    }
    number = identity(record)
    name = f"{_stamp()}_{slug(prompt, 60) or 'video'}_s{take.seed}"
    folder = target.folder.absolute() if target.folder else cast.outputs
    if target.format == "frames":
        path = _create_folder(target.file or folder / name, frames)
    else:
        video = ffmpeg.encode(frames, take.settings.fps or 8, format=target.format, comment=f"mdctl {number}")
        for old in _taken(target.file) if target.file and target.force else ():
            discard(old)
        path = atomic.create(target.file or folder / f"{name}.{target.format}", video, beside=".json")
    created = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    sidecar = {"schema": 1, "id": number, "video": path.name, "created": created, **record}
    try:
        atomic.write(path.with_suffix(".json"), json.dumps(sidecar, indent=1) + "\n")
    except MdctlError:
        atomic.remove(path)
        raise
    return path
