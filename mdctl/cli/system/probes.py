"""What `doctor` looks at: each probe really does what mdctl will do, and says how it went and what would mend it."""

import platform
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal
from uuid import uuid4

from mdctl import __version__, computer
from mdctl.catalog import CARDS, STARTER
from mdctl.cli.view.look import size
from mdctl.errors import Busy, MdctlError, NotReady
from mdctl.settings import TrainSettings
from mdctl.text import safe
from mdctl.workspace import atomic, cache, config, locations, locks, presets, weights
from mdctl.workspace.project import Project
from mdctl.workspace.pulled import Pulled, header_fault
from mdctl.workspace.runs import most_bytes

Status = Literal["ok", "warning", "problem"]

STEPS, CLIPS = 500, 4
"""Of the training that the disk is measured for."""

LITTLE_BYTES = 10**9
"""Less free disk than this is worth a warning, whatever the base model."""

CODECS = {
    "h264": ("h264",),
    "hevc": ("hevc",),
    "vp8": ("vp8", "libvpx"),
    "vp9": ("vp9", "libvpx-vp9"),
    "av1": ("av1", "libdav1d"),
    "mpeg4": ("mpeg4",),
    "prores": ("prores",),
    "mjpeg": ("mjpeg",),
    "gif": ("gif",),
    "png": ("png",),
    "webp": ("webp",),
}
"""What people bring, and the decoders of which one is needed for it."""


@dataclass(frozen=True)
class Finding:
    """What one probe found."""

    part: str
    status: Status
    text: str
    fix: tuple[str, ...] = ()
    facts: Mapping[str, Any] = field(default_factory=dict)
    """The same for programs."""

    def record(self) -> dict[str, Any]:
        """It as JSON has it."""
        return {"part": self.part, "status": self.status, "text": self.text, "fix": list(self.fix), **self.facts}


def examine(told: Callable[[int, str], None]) -> Iterator[Finding]:
    """Every finding in order; a probe that breaks is a finding too. `told` hears which probe is next."""
    for number, (name, probe) in enumerate(PROBES.items()):
        told(number, name)
        try:
            yield from probe()
        except MdctlError as fault:
            text = f"{fault.what.rstrip('.')}: {fault.why}" if fault.why else fault.what
            yield Finding(name, "problem", text, fault.fix, {"code": fault.code})
        except Exception as fault:  # noqa: BLE001 - whatever is wrong with this computer, the others are to be heard
            why = next(iter(str(fault).splitlines()), "")
            yield Finding(name, "problem", safe(f"{type(fault).__name__}: {why}", 300), _MENDS.get(name, ()))


# --- The computer


def program() -> Iterator[Finding]:
    """mdctl, Python and the system."""
    system = f"{platform.system()} {platform.release()} {platform.machine()}"
    text = f"{__version__} · Python {platform.python_version()} · {system}"
    yield Finding("mdctl", "ok", text, facts={"version": __version__, "python": platform.python_version()})


def device() -> Iterator[Finding]:
    """What computes, and one training step of `starter` on it."""
    from mdctl.motion import trial

    found = trial.place()
    facts: dict[str, Any] = {"device": found.kind, "memory_bytes": found.memory_bytes, "free_bytes": found.free_bytes}
    if found.memory_bytes is None:
        facts["memory_bytes"], facts["free_bytes"] = computer.memory()
    held = [f"{size(facts['memory_bytes'])} of memory"] if facts["memory_bytes"] else []
    held += [f"{size(facts['free_bytes'])} free"] if facts["free_bytes"] else []
    text = " · ".join([found.name, *([", ".join(held)] if held else []), found.precision])
    if found.kind == "cpu" and Path("/proc/driver/nvidia/version").exists():
        fix = "install a torch built for CUDA, and a driver that is new enough for it"
        yield Finding("device", "warning", f"{text}; there is an NVIDIA driver, but torch sees no GPU.", (fix,), facts)
    else:
        yield Finding("device", "ok", text, facts=facts)
    seconds = trial.step(weights.find(STARTER.name)[1], STARTER.frames, STARTER.width, STARTER.height)
    took = {"torch": found.torch, "step_seconds": round(seconds, 2)}
    yield Finding("torch", "ok", f"{found.torch}; one training step of starter took {seconds:.1f} s", facts=took)


# --- Video


def ffmpeg() -> Iterator[Finding]:
    """Which ffmpeg, and three frames through it and back; which codecs it reads and writes."""
    from mdctl.media import trial

    found, mend = trial.program(), ("pip install imageio-ffmpeg, and set MDCTL_FFMPEG to its program",)
    written = trial.written()
    video = written["mp4"]
    if isinstance(video, MdctlError):
        raise video
    with atomic.draft(locations.cache() / "doctor.mp4") as loose:
        atomic.write(loose, video)
        trial.read(loose)
    place = "from imageio-ffmpeg" if "imageio_ffmpeg" in Path(found.path).parts else found.path
    facts = {"path": found.path, "version": found.version}
    yield Finding("ffmpeg", "ok", f"{found.version}; wrote and read 3 frames; {place}", facts=facts)
    reads = [name for name, any_of in CODECS.items() if set(any_of) & set(found.reads)]
    missing = [name for name in CODECS if name not in reads] + ([] if found.tone_maps else ["HDR (zscale)"])
    writes = [f"mp4 ({found.writes[0]})", *(kind for kind, file in written.items() if isinstance(file, bytes))]
    writes.remove("mp4")
    lost = [kind for kind, file in written.items() if not isinstance(file, bytes)]
    text = f"reads {' '.join(reads)} · writes {' '.join(writes)}"
    if missing or lost:
        text += "".join(f"; cannot {verb} {', '.join(names)}" for verb, names in (("read", missing), ("write", lost))
                        if names)  # fmt: skip
    status: Status = "warning" if missing or lost else "ok"
    yield Finding("codecs", status, text, mend if missing or lost else (), {"reads": reads, "writes": writes})


# --- Places


def disk() -> Iterator[Finding]:
    """Free room where projects and caches lie, against what a training takes."""
    needed, model = _needed()
    free = {_device(path): (path, atomic.free_bytes(path)) for path in (locations.cache(), locations.home())}
    least = min(room for _, room in free.values())
    rooms = [f"{size(room)} free" + (f" in {path}" if len(free) > 1 else "") for path, room in free.values()]
    text = f"{', '.join(rooms)}; a training on {model} takes about {size(needed)}"
    status: Status = "problem" if least < needed else "warning" if least < max(LITTLE_BYTES, 2 * needed) else "ok"
    fix = () if status == "ok" else ("mdctl cache prune --all", "or set MDCTL_HOME to a folder on a larger disk")
    yield Finding("disk", status, text, fix, {"free_bytes": least, "needed_bytes": needed})


def _needed() -> tuple[int, str]:
    """What a training of several clips takes on disk, on the installed base model that takes most, and its name."""
    from mdctl.motion import trial

    sizes = []
    for card in CARDS.values():
        with suppress(MdctlError):
            light = trial.save_bytes(weights.find(card.name)[1], CLIPS)
            sizes.append((most_bytes(light, STEPS, TrainSettings().save_every), card.name))
    return max(sizes)


def _device(path: Path) -> int:
    """Which disk a path lies on, or would lie on."""
    for place in (path, *path.parents):
        with suppress(OSError):
            return place.stat().st_dev
    return 0


def data() -> Iterator[Finding]:
    """Writing, syncing, renaming and locking in the data folder, each of them done."""
    place = locations.home() / f".doctor-{uuid4().hex[:12]}"
    try:
        with atomic.folder(place) as stage:
            atomic.write(stage / "one", "written")
        atomic.write(place / "one", "written again")
        moved = atomic.move(place / "one", place / "two")
        if moved.read_text("utf-8") != "written again":
            raise NotReady("the data folder gives back something else than was written.", why=str(locations.home()))
        _hold(place / "two")
        native = locks.native(place / "two")
    finally:
        with suppress(MdctlError, OSError):
            atomic.remove(place)
    if native:
        yield Finding("data", "ok", f"{locations.home()}: writing, fsync, rename and locks work")
    else:
        told = f"{locations.home()}: writing, fsync and rename work; this disk has no locks, so files stand in for them"
        fix = "where other computers write here too, set MDCTL_HOME to a folder on a disk of this computer"
        yield Finding("data", "warning", told, (fix,))


def _hold(path: Path) -> None:
    with locks.writer(path, "doctor"):
        try:
            with locks.writer(path, "doctor"):
                pass
        except Busy:
            return
    raise NotReady(
        "locks keep nobody out here, so that two commands may write to one project.",
        why=str(locations.home()),
        fix="set MDCTL_HOME to a folder on a disk of this computer",
    )


def models() -> Iterator[Finding]:
    """Every base model that is here, by sizes and headers; contents are for `models verify`."""
    told, faults, fixes = [], [], []
    for name, folder in _installed():
        record = Pulled.read(folder)
        whole = record.fits(folder) if record else not any(map(header_fault, folder.glob("*/*.safetensors")))
        told.append(f"{name} {'verified by size' if record else 'with sound headers'}" if whole else f"{name} damaged")
        if not whole:
            faults.append(name)
            fixes.append("install mdctl again" if name == STARTER.name else f"mdctl models pull {name}")
    unfinished = [entry.name for entry in cache.entries() if entry.kept and entry.path.name.startswith(".pull-")]
    told += [f"{name} not pulled to its end" for name in unfinished]
    fixes += [f"mdctl models pull {name}     goes on" for name in unfinished]
    status: Status = "problem" if faults else "warning" if unfinished else "ok"
    yield Finding("models", status, ", ".join(told), tuple(fixes), {"damaged": faults, "unfinished": unfinished})


def _installed() -> Iterator[tuple[str, Path]]:
    yield STARTER.name, weights.find(STARTER.name)[1]
    for entry in cache.entries():
        if entry.kept and entry.path.is_dir() and not entry.path.name.startswith("."):
            yield entry.name, entry.path


def stores() -> Iterator[Finding]:
    """The cache, with what in it is damaged, and what dead processes have left half-written anywhere."""
    found, damaged, left = cache.entries(), cache.damaged(), cache.leftovers()
    facts = {"bytes": sum(entry.size_bytes for entry in found), "damaged": len(damaged), "leftovers": left}
    text = f"{size(facts['bytes'])} in {locations.cache()}"
    wrong = [f"{count} {what}{'s' * (count != 1)}" for count, what in
             ((len(damaged), "damaged clip"), (left, "half-written leftover")) if count]  # fmt: skip
    text += f"; {', '.join(wrong)}" if wrong else ""
    yield Finding("cache", "warning" if wrong else "ok", text, ("mdctl doctor --fix",) if wrong else (), facts)


def settings() -> Iterator[Finding]:
    """The user's config.toml and templates, and variables that look like mdctl's."""
    config.read()
    own = [name for name, path in presets.paths().items() if path.parent == locations.templates()]
    for name in own:
        presets.check(presets.read(name).tables, presets.paths()[name])
    count = f"{len(own)} template{'s' * (len(own) != 1)} of your own"
    text = f"config.toml {'can be used' if locations.settings().exists() else 'is not there, nor needed'}; {count}"
    if strange := config.unknown():
        text = f"mdctl knows no variable {safe(', '.join(strange), 200)}"
        yield Finding("settings", "warning", text, ("mdctl help env",), {"unknown": strange})
    else:
        yield Finding("settings", "ok", text, facts={"templates": len(own)})


def projects() -> Iterator[Finding]:
    """How many projects there are, and how many need attention; no names, because a report may be passed on."""
    found = Project.all()
    faults = sum(project.fault is not None for project in found)
    text = f"{len(found)} project{'s' * (len(found) != 1)}"
    if faults:
        text += f", {faults} of them need{'s' * (faults == 1)} attention"
    facts = {"projects": len(found), "attention": faults}
    yield Finding("projects", "warning" if faults else "ok", text, ("mdctl list --status attention",) * (faults > 0),
                  facts)  # fmt: skip


PROBES: dict[str, Callable[[], Iterator[Finding]]] = {
    "mdctl": program,
    "device": device,
    "ffmpeg": ffmpeg,
    "disk": disk,
    "data": data,
    "models": models,
    "cache": stores,
    "settings": settings,
    "projects": projects,
}
"""Every probe by the name of its first finding."""

_MENDS = {
    "device": ("install torch again: pip install --force-reinstall torch",),
    "ffmpeg": ("pip install --force-reinstall av imageio-ffmpeg",),
    "disk": ("mdctl cache prune --all",),
}
"""What helps where a probe broke without a word of mdctl's own."""
