"""What `import` makes of weights that come without an archive: LoRA files, runs of the official implementation."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from mdctl.catalog import CARDS
from mdctl.cli.face import face
from mdctl.errors import BadInput
from mdctl.settings import OBJECTIVES
from mdctl.text import safe, slug
from mdctl.workspace import documents, records, weights
from mdctl.workspace.project import Project

Kind = Literal["motion", "appearance"]


def convert(path: Path, name: str | None, model: str | None, caption: str) -> int:
    """Make a project of the weights that the official implementation left behind."""
    from mdctl.motion import families, official

    model = model or "zeroscope"
    _, folder = weights.find(model)
    network, layers = families.blueprint(folder), families.layers(folder)
    sources = official.find(path)
    adapters = dict[str, Mapping[str, Any]]()
    for kind, source in sources.items():
        adapters |= official.adapters(official.read(source), kind, network, layers, source)
    step = max(official.step_of(source) for source in sources.values())
    return _keep(path, adapters, name, model, caption, step, {"from": "the official implementation"})


def take(path: Path, name: str | None, model: str | None, caption: str, kind: Kind | None) -> int:
    """Make a project of one LoRA file in any layout that is known, or of a folder that peft wrote."""
    from mdctl.media import clips
    from mdctl.motion import families, foreign, lora

    found = foreign.read(path)
    base = str(found.card.base) if found.card else ""
    model = model or _told(base) or _asked(path, found.metadata)
    card, folder = weights.find(model)
    wanted = {"motion": lora.TEMPORAL, "appearance": lora.SPATIAL}.get(kind or "")
    adapter = foreign.adapter(found, families.blueprint(folder), families.layers(folder), wanted)
    if base not in ("", weights.fingerprint(folder)):
        face().warn(f"it was learned on another base model than {card.name}, and is used all the same.")
    if adapter.left_out:
        count = f"{len(adapter.left_out)} of {len(found.tensors)} tensors"
        face().warn(f"{count} have no place and are left out: {foreign.few(adapter.left_out)}.")
    face().say(f"It has {adapter.layers[0]} of {adapter.layers[1]} {adapter.kind} layers.")
    called = lora.TEMPORAL if adapter.kind == lora.TEMPORAL else lora.spatial_name(0)
    origin = {"sha256": clips.digest(found.file), "base": safe(base, 64)}
    step = _step(path, found.metadata)
    objective = found.card.objective if found.card and found.card.objective in OBJECTIVES else "ad"
    return _keep(path, {called: adapter.tensors}, name, model, caption, step, origin, objective)


def _told(base: str) -> str | None:
    """The model of the catalog that has this fingerprint and is on this computer."""
    here = [card.name for card in CARDS.values() if base and weights.installed(card)]
    return next((model for model in here if weights.fingerprint(weights.find(model)[1]) == base), None)


def _asked(path: Path, metadata: Mapping[str, str]) -> str:
    said = next((metadata[key] for key in ("base_model", "ss_sd_model_name") if metadata.get(key)), "")
    raise BadInput(
        f"'{safe(path.name, 120)}' does not tell which base model of this computer it is for.",
        why=f"it says: {safe(said, 80)}." if said else "",
        fix=f"mdctl import {safe(str(path), 200)} --model FOLDER",
    )


def _step(path: Path, metadata: Mapping[str, str]) -> int:
    """After how many steps it was saved, as it says or its name; 1 where neither does."""
    said = (metadata.get("steps", ""), metadata.get("ss_steps", ""), path.name.partition("_")[0])
    return next((int(told) for told in said if re.fullmatch(r"[1-9]\d{0,5}", told, re.ASCII)), 1)


def _keep(
    path: Path,
    adapters: Mapping[str, Mapping[str, Any]],
    name: str | None,
    model: str,
    caption: str,
    step: int,
    origin: Mapping[str, str],
    objective: str = "ad",
) -> int:
    """Keep adapters, given by their names and the names of their layers, as a project, and tell what it is."""
    from mdctl.motion import families, lora, official

    card, folder = weights.find(model)
    layers, print_ = families.layers(folder), weights.fingerprint(folder)
    files, ranks = dict[str, bytes](), set[int]()
    for adapter, tensors in adapters.items():
        kind, rank = lora.kind_of(adapter), next(iter(tensors.values())).shape[0]
        pattern = layers.temporal if kind == lora.TEMPORAL else layers.spatial
        files[f"{adapter}.safetensors"] = lora.pack(tensors, lora.AdapterCard(kind, rank, print_, pattern, objective))
        ranks.add(rank)
        if official.untrained(tensors):
            face().warn(f"{safe(path.name, 120)}: {adapter} was never trained, it says nothing.")
    kind = "motion" if lora.TEMPORAL in adapters else "appearance"
    looks = max(1, sum(lora.kind_of(adapter) == lora.SPATIAL for adapter in adapters))
    caption = documents.plain(" ".join(caption.split()))
    project = Project.adopt(
        name or slug(path.name if path.is_dir() else path.stem, 60) or "imported",
        kind=kind,
        caption=caption,
        subject=records.subject_of(caption),
        model=card.name,
        clips=[],
        files={},
        settings={
            "learns": kind,
            "model": {"name": card.name, "folder": str(folder), "fingerprint": print_},
            "clips": {"frames": card.frames, "fps": card.fps, "width": card.width, "height": card.height},
            "train": {"steps": step, "rank": max(ranks)},
            "clip": [{"sha256": "0" * 64, "name": f"clip {number + 1}", "caption": caption} for number in range(looks)],
            "imported": documents.plain(origin),
        },
        step=step,
        adapters=files,
    )
    count = f"{len(files)} adapter{'s' * (len(files) != 1)} of rank {', '.join(map(str, sorted(ranks)))}"
    face().done(
        f"Imported {kind} '{project.name}' for {card.name}: {count}, step {step}.", [f'mdctl gen {project.name} "..."']
    )
    face().result([str(project.folder)], {"project": project.name, "adapters": sorted(files)})
    return 0
