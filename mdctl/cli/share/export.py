"""`export`: what was learned, passed on in one file, or as files that other programs read."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from mdctl import __version__
from mdctl.catalog import CARDS
from mdctl.cli import options
from mdctl.cli.create import encoding, videos, voices
from mdctl.cli.face import face
from mdctl.cli.view.look import size
from mdctl.errors import BadInput, UsageFault
from mdctl.settings import TrainSettings
from mdctl.text import safe
from mdctl.workspace import archive, atomic, weights
from mdctl.workspace.archive import Archive
from mdctl.workspace.project import Project
from mdctl.workspace.runs import Run
from mdctl.workspace.saves import OPTIMIZER, Save

TRAINED = frozenset(field.name for field in fields(TrainSettings)) - {"threads", "deterministic", "save_every"}
"""Settings that say how something was learned; others say on which computer."""


def export(
    name: options.ProjectName,
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", metavar="FILE|DIR", help="Where to put it.", show_default="NAME.mdz"),
    ] = None,
    to: Annotated[
        Literal["peft", "diffusers", "kohya", "comfyui"] | None,
        typer.Option("--to", help="As files that another program reads.", show_default=False),
    ] = None,
    with_clips: Annotated[bool, typer.Option("--with-clips", help="Pass the clips on too.")] = False,
    checkpoint: Annotated[str | None, typer.Option(help="Which save: last, or its step.", show_default="last")] = None,
    force: options.Force = False,
) -> int:
    """Pass on what a project has learned, in one small file.

    It holds adapters, settings and a card; no clips unless asked for, no paths, no names of people.

    \b
    mdctl export golf
    mdctl export golf -o golf-for-you.mdz --with-clips
    mdctl export golf --to peft -o golf-peft/
    mdctl export golf --to comfyui
    """
    if to and (with_clips or force):
        raise UsageFault("--with-clips and --force are for archives.", fix="leave them out, or leave out --to")
    project = Project.open(name)
    run, save = voices.find_save(project, checkpoint)
    if to:
        return _for_program(project, run, save, to, output or Path(f"{name}-{to}"))
    path = output or Path(f"{name}{archive.SUFFIX}")
    if path.is_dir():
        path = path / f"{name}{archive.SUFFIX}"
    if path.exists() and not force:
        raise UsageFault(f"the file '{safe(str(path), 200)}' exists.", fix="another name with -o, or --force")
    content = packed(project, run, save, with_clips).pack()
    if path.exists():
        videos.discard(path)
    atomic.write(path.absolute(), content)
    face().done(f"{path.name}: {size(len(content))}, step {save.step} of '{name}'.", [f"mdctl import {path.name}"])
    face().result([str(path.absolute())], {"project": name, "bytes": len(content)})
    return 0


def packed(project: Project, run: Run, save: Save, with_clips: bool) -> Archive:
    """A project's save as an archive; what is private stays at home, and a clip that has changed is refused."""
    record, trained = project.record, run.settings
    card = {
        "name": project.name,
        "kind": record.kind,
        "learns": trained.get("learns", "motion"),
        "caption": record.caption,
        "subject": record.subject,
        "step": save.step,
        "model": {"name": _public(trained["model"]["name"]), "fingerprint": trained["model"]["fingerprint"]},
        "clips": trained["clips"],
        "train": {key: value for key, value in trained["train"].items() if key in TRAINED},
        "clip": [
            {key: clip[key] for key in ("sha256", "caption", "trim", "crop", "picture") if key in clip}
            for clip in trained["clip"]
        ],
    }
    files = {f"adapters/{file}": save.read(file) for file in _adapters(save)}
    if with_clips:
        for clip in project.clips:
            files[f"clips/{clip.file}"] = encoding.intact(project, clip).read_bytes()
    return Archive(card, files, _readme(card))


def _public(model: str) -> str:
    """The name of a base model, empty where it is a folder of this computer."""
    return model if model in CARDS or re.fullmatch(r"[\w.-]+/[\w.-]+(@[0-9a-f]{40})?", model) else ""


def _adapters(save: Save) -> list[str]:
    return [file for file in save.files if file != OPTIMIZER]


def _readme(card: Mapping[str, Any]) -> str:
    base = card["model"]["name"] or "a model of the maker's own"
    return (
        f'# {card["name"]}\n\n{card["kind"].capitalize()} learned with mdctl: "{card["caption"]}"\n\n'
        f"Base model: {base} ({card['model']['fingerprint']}). Its licence holds for what is made with it.\n\n"
        f"{card['step']} steps on {len(card['clip'])} clips.\n\n"
        f"    mdctl import {card['name']}.mdz\n"
    )


def _for_program(project: Project, run: Run, save: Save, to: str, folder: Path) -> int:
    """A folder with what this program reads of every adapter; `BadInput` where it reads none."""
    if folder.exists():
        raise UsageFault(f"the folder '{safe(str(folder), 200)}' exists.", fix="another name with -o")
    model, made = run.settings["model"]["name"], set[str]()
    with atomic.folder(folder.absolute()) as stage:
        for file, content in _as_peft(save) if to == "peft" else _renamed(project, save, model, to):
            atomic.write(stage / file, content)
            made.add(file.partition("/")[0])
        if not made:
            raise BadInput(
                f"nothing of '{project.name}' has a place in files for {to}.",
                why=f"no program is known that reads such names for its layers of {model}.",
                fix=f"mdctl export {project.name} --to peft",
            )
    each = "adapter" if len(made) == 1 else "adapters"
    face().done(f"{len(made)} {each} of '{project.name}' in {folder}, for {to}. Base model: {model}.")
    face().result([str(folder.absolute())], {"project": project.name, "adapters": sorted(made)})
    return 0


def _as_peft(save: Save) -> Iterator[tuple[str, bytes]]:
    """One folder for each adapter, as peft's `PeftModel.from_pretrained` reads it."""
    from mdctl.motion import exchange

    for file in _adapters(save):
        for name, content in exchange.to_peft(save.read(file), str(save.folder / file)).items():
            yield f"{file.removesuffix('.safetensors')}/{name}", content


def _renamed(project: Project, save: Save, model: str, to: str) -> Iterator[tuple[str, bytes]]:
    """One file for each adapter that has a place there; what has none is told."""
    from mdctl.motion import exchange

    family = (CARDS.get(model) or weights.find(model)[0]).family
    style = exchange.STYLES.get(family, {}).get(to, {})
    about = {"mdctl_version": __version__, "base_model": _public(model), "steps": str(save.step)}
    for file in _adapters(save):
        content, left_out = exchange.to_file(save.read(file), str(save.folder / file), style, about)
        if style and left_out:
            face().warn(f"{file}: {to} has no place for {len(left_out)} of its layers, such as {left_out[0]}.")
        if content:
            yield f"{project.name}-{file}", content
