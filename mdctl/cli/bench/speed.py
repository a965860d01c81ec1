"""`bench speed`: how fast and how small a training step is on this computer, beside the official pattern."""

import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mdctl.cli import options
from mdctl.cli.create.learning import versions
from mdctl.cli.face import face
from mdctl.errors import MdctlError, NoSpace, NotReady, UsageFault
from mdctl.workspace import atomic, locations

if TYPE_CHECKING:
    from mdctl.motion.speed.measure import Arena, Timing

ROUNDS = {"tiny": 5, "quick": 8, "full": 20}
USUAL_ROUNDS = f"{ROUNDS['full']}, with --quick {ROUNDS['quick']}, with --tiny {ROUNDS['tiny']}"
CLIPS = {"tiny": (1, 4), "quick": (1,), "full": (1, 4, 8)}
CAPS = {"8 GB card": 7.0, "12 GB card": 11.0}
"""GiB that a training may take on such a card, of which the system has the rest."""

MEMORY_PRESET = "low-vram"
"""Whose memory stands at the top; the speed there is that of the fastest preset that fits."""


def bench_speed(
    tiny: Annotated[bool, typer.Option("--tiny", help="A tiny network, for computers without a GPU.")] = False,
    quick: Annotated[bool, typer.Option("--quick", help="One clip, one size, fewer rounds.")] = False,
    official: Annotated[
        Path | None,
        typer.Option("--official", metavar="DIR", help="A checkout of the official code, instead of its twin."),
    ] = None,
    rounds: Annotated[
        int | None,
        typer.Option(min=2, max=1000, help="How often everybody takes a turn.", show_default=USUAL_ROUNDS),
    ] = None,
    output: Annotated[Path | None, typer.Option("-o", "--output", help="Folder of the results.")] = None,
    device: options.Device = "auto",
    threads: options.Threads = None,
) -> int:
    """How fast and how small a training step is here, beside the official pattern and a naive port of today.

    First it must be equal: unless every preset gives the gradients of the readable form, no speed is told. Networks
    have random weights; nothing is downloaded. All take turns, and ratios are medians over the rounds.

    \b
    mdctl bench speed --tiny
    mdctl bench speed --quick --official ~/MotionDirector
    """
    from mdctl.motion import device as machine
    from mdctl.motion.speed import measure, models
    from mdctl.motion.speed import official as code

    if tiny and quick:
        raise UsageFault("--tiny and --quick do not go together.", fix="mdctl bench speed --tiny")
    place = machine.choose("cpu" if tiny and device == "auto" else device)
    if not tiny and place.type != "cuda":
        raise NotReady(
            "the full benchmark needs a GPU.",
            why=f"a step of 16 frames at 384x384 takes minutes on the {place.type}.",
            fix="mdctl bench speed --tiny",
        )
    folder = official.expanduser().resolve() if official else None
    if folder:
        code.require(folder)
    used = machine.settle(threads, deterministic=False)
    kind = "tiny" if tiny else "quick" if quick else "full"
    began = time.monotonic()
    apart = _gate(place)
    arenas = [
        measure.Arena(place, tiny, shape, clips, folder)
        for shape in models.SIZES["tiny" if tiny else "full"][: None if kind == "full" else 1]
        for clips in CLIPS[kind]
    ]
    found = _measured(arenas, rounds or ROUNDS[kind])
    result = {
        **found,
        "parity": apart,
        "official": str(folder) if folder else "twin",
        "device": machine.describe(place),
        "threads": used,
        "rounds": rounds or ROUNDS[kind],
        "versions": versions(),
        "seconds": round(time.monotonic() - began),
    }
    target = (output.expanduser().resolve() if output else locations.bench() / "speed") / f"speed-{kind}.json"
    atomic.write(target, json.dumps(result, indent=1))
    _tell(result, machine.told(place))
    face().done(f"Everything is in {target}")
    face().result([json.dumps(result)] if tiny and not face().manners.json else [str(target)], result)
    return 0


def _gate(device: Any) -> dict[str, float]:
    """How far each preset is from the readable form; an error, and no speed, where that is too far."""
    from mdctl.motion.speed import measure

    face().say("comparing gradients with those of the readable form")
    apart = measure.parity(device)
    if not measure.equal(apart):
        worst = max(apart, key=lambda name: apart[name] if apart[name] == apart[name] else float("inf"))
        raise MdctlError(
            "the fast step does not compute what the readable one does, so its speed means nothing.",
            why=f"gradients of the preset '{worst}' differ by {apart[worst]:.1e}, relative; {measure.TOLERANCE:g} is"
            " allowed.",
            fix="report it with this command and the versions of mdctl doctor",
        )
    return apart


def _measured(arenas: "list[Arena]", rounds: int) -> dict[str, Any]:
    from mdctl.motion.speed import measure

    first = arenas[0]
    names = first.names
    races = []
    for arena in arenas:
        label = _said(arena.shape.frames, (arena.shape.width, arena.shape.height), arena.clips)
        with face().progress(label, len(names) * (rounds + measure.warm_ups(arena.device))) as show:
            timings = measure.race(arena, names, rounds, show)
        races.append({"frames": arena.shape.frames, "size": [arena.shape.width, arena.shape.height],
                      "clips": arena.clips, **_ratios(timings)})  # fmt: skip
    ran = _that_fit(races[0]["steps"], names)
    with face().progress("memory", len(ran)) as show:
        memory = {}
        for number, name in enumerate(ran, 1):
            memory[name] = measure.activations(first, name)
            show(number, name)
    theirs = memory.get(measure.OFFICIAL)
    rows = {name: {**races[0]["steps"][name], "activations_mb": round(memory[name] / 1e6, 1),
                   "memory_ratio": round(memory[name] / theirs, 3) if theirs else None} for name in ran}  # fmt: skip
    ceilings = measure.ceilings(first.device, first.tiny)
    work = measure.useful_work(first)
    fastest = next(name for name in measure.PRESETS if name in rows)
    share = work / (rows[fastest]["ms"] / 1000) / ceilings["matmul_tflops"]
    videos = measure.generation(first, 3 * rounds)
    found = {
        "step_speedup": rows[fastest]["step_speedup"],
        "memory_ratio": rows[MEMORY_PRESET]["memory_ratio"],
        "preset": {"step_speedup": fastest, "memory_ratio": MEMORY_PRESET},
        "presets": {name: rows[name] for name in measure.PRESETS if name in rows},
        "others": {name: row for name, row in rows.items() if name not in measure.PRESETS},
        "races": races,
        "generation": _generation(videos) if videos else None,
        "ceilings": {name: round(value, 3) for name, value in ceilings.items()},
        "useful_tf": round(work, 4),
        "share_of_matmul_rate": round(share, 3),
    }
    return found | (_on_gpu(first) if first.device.type == "cuda" else {})


def _that_fit(steps: Mapping[str, Any], names: Sequence[str]) -> list[str]:
    """Who had memory enough for a step; who had not is told."""
    if missing := [name for name in names if name not in steps]:
        face().say(f"no memory on this card for: {', '.join(missing)}")
    if MEMORY_PRESET not in steps:
        raise NoSpace(
            f"this card has no memory for a step, not even for '{MEMORY_PRESET}'.",
            fix="mdctl bench speed --tiny",
            code="MD-VRAM",
        )
    return [name for name in names if name in steps]


def _generation(videos: "Mapping[str, Timing]") -> dict[str, float]:
    """One guided denoising step as `gen` takes it, beside that of the base model alone, in pairs."""
    from mdctl.motion.speed import measure

    ms = {name: round(timing.median * 1000, 2) for name, timing in videos.items()}
    ratios = {name: round(measure.faster(videos["base"], timing), 3) for name, timing in videos.items()}
    return {
        "base_ms": ms["base"],
        "adapters_ms": ms["merged"],
        "ratio": ratios["merged"],
        "unmerged_ms": ms["beside"],
        "unmerged_ratio": ratios["beside"],
        "official_ms": ms[measure.OFFICIAL],
        "official_ratio": ratios[measure.OFFICIAL],
        "speedup": round(measure.faster(videos["merged"], videos[measure.OFFICIAL]), 3),
    }


def _ratios(timings: "Mapping[str, Timing]") -> dict[str, Any]:
    from mdctl.motion.speed import measure

    def against(timing: "Timing", name: str) -> float | None:
        return round(measure.faster(timing, timings[name]), 3) if name in timings else None

    return {
        "steps": {
            name: {
                "ms": round(timing.median * 1000, 2),
                "quartiles_ms": [round(edge * 1000, 2) for edge in timing.quartiles],
                "step_speedup": against(timing, measure.OFFICIAL),
                "against_naive": against(timing, measure.NAIVE),
            }
            for name, timing in timings.items()
        }
    }


def _on_gpu(arena: "Arena") -> dict[str, Any]:
    """Rounding in 16 bits, and whether smaller cards would do."""
    from mdctl.motion.speed import measure

    caps = {card: measure.trains_within(arena, cap * 2**30) for card, cap in CAPS.items()}
    return {
        "rounding": measure.rounding(arena),
        "trains_within": {card: round(peak / 1e9, 2) if peak else None for card, peak in caps.items()},
    }


def _tell(result: Mapping[str, Any], device: str) -> None:
    columns = ["", "MS", "x OFFICIAL", "x NAIVE", "ACTIVATIONS", "OF OFFICIAL'S"]
    rows = [
        [name, f"{row['ms']:.1f}", _ratio(row["step_speedup"]), _ratio(row["against_naive"]),
         f"{row['activations_mb']:.0f} MB", _ratio(row["memory_ratio"])]
        for name, row in {**result["others"], **result["presets"]}.items()
    ]  # fmt: skip
    face().table(f"One training step on {device}", columns, rows)
    for race in result["races"][1:]:
        size = _said(race["frames"], race["size"], race["clips"])
        best = race["steps"].get(result["preset"]["step_speedup"])
        told = (
            f"{_ratio(best['step_speedup'])} times the official pattern, {best['ms']:.1f} ms" if best else "no memory"
        )
        face().say(f"{size}: {told}")
    if videos := result["generation"]:
        rows = [["base model alone", f"{videos['base_ms']:.1f}", "1"]]
        whose = (("with adapters", ""), ("with adapters, --no-merged", "unmerged_"), ("official", "official_"))
        for name, what in whose:
            rows.append([name, f"{videos[(what or 'adapters_') + 'ms']:.1f}", f"{videos[what + 'ratio']:.2f}"])
        face().table("One denoising step of a video", ["", "MS", "OF THE BASE MODEL'S"], rows)
    for card, peak in result.get("trains_within", {}).items():
        face().say(f"{card}: {f'trains, in {peak} GB' if peak else 'does not train'}")
    apart = max(result["parity"].values())
    face().say(
        f"every preset gives the gradients of the readable form: in double precision they differ by {apart:.0e}."
    )


def _ratio(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def _said(frames: int, size: Sequence[int], clips: int) -> str:
    return f"{frames} frames of {size[0]}x{size[1]}, {clips} clip{'s' * (clips != 1)}"
