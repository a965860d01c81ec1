"""`export` and `import`: what was learned, passed on in one file, or as files that other programs read."""

import re
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from mdctl.catalog import CARDS
from mdctl.cli import options, voices
from mdctl.cli.face import EPILOG, face
from mdctl.cli.look import size
from mdctl.errors import BadInput, MdctlError, NotFound, Refused, UsageFault
from mdctl.settings import TrainSettings, from_table
from mdctl.text import safe, slug
from mdctl.workspace import archive, atomic, documents, records, weights
from mdctl.workspace.archive import Archive
from mdctl.workspace.project import Project
from mdctl.workspace.records import ClipRecord
from mdctl.workspace.runs import Run
from mdctl.workspace.saves import OPTIMIZER, Save

TRAINED = frozenset(field.name for field in fields(TrainSettings)) - {"threads", "deterministic", "save_every"}
"""Settings that say how something was learned; others say on which computer."""

_MOST_CLIPS = 10_000


def mount(app: typer.Typer) -> None:
    """Add the commands of this file."""
    app.command("export", epilog=EPILOG)(export)
    app.command("import", epilog=EPILOG)(import_)


def export(
    name: options.ProjectName,
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", metavar="FILE|DIR", help="Where to put it.", show_default="NAME.mdz"),
    ] = None,
    to: Annotated[
        Literal["peft"] | None, typer.Option("--to", help="As files that another library reads.", show_default=False)
    ] = None,
    with_clips: Annotated[bool, typer.Option("--with-clips", help="Pass the clips on too.")] = False,
    checkpoint: Annotated[str | None, typer.Option(help="Which save: last, or its step.", show_default="last")] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace a file of that name.")] = False,
) -> int:
    """Pass on what a project has learned: adapters, settings and a card; no clips, no paths, no names of people.

    \b
    mdctl export golf
    mdctl export golf -o golf-for-you.mdz --with-clips
    mdctl export golf --to peft -o golf-peft/
    """
    project = Project.open(name)
    run, save = voices.find_save(project, checkpoint)
    if to == "peft":
        return _peft(project, run, save, output or Path(f"{name}-peft"))
    path = output or Path(f"{name}{archive.SUFFIX}")
    if path.is_dir():
        path = path / f"{name}{archive.SUFFIX}"
    if path.exists() and not force:
        raise UsageFault(f"the file '{safe(str(path), 200)}' exists.", fix="another name with -o, or --force")
    content = packed(project, run, save, with_clips).pack()
    atomic.write(path.absolute(), content)
    face().done(f"{path.name}: {size(len(content))}, step {save.step} of '{name}'.", [f"mdctl import {path.name}"])
    face().result([str(path.absolute())], {"project": name, "bytes": len(content)})
    return 0


def packed(project: Project, run: Run, save: Save, with_clips: bool) -> Archive:
    """A project's save as an archive; what is private stays at home."""
    record, trained = project.record, run.settings
    model = str(trained["model"]["name"])
    public = model in CARDS or bool(re.fullmatch(r"[\w.-]+/[\w.-]+(@[0-9a-f]{40})?", model))
    card = {
        "name": project.name,
        "kind": record.kind,
        "learns": trained.get("learns", "motion"),
        "caption": record.caption,
        "subject": record.subject,
        "step": save.step,
        "model": {"name": model if public else "", "fingerprint": trained["model"]["fingerprint"]},
        "clips": trained["clips"],
        "train": {key: value for key, value in trained["train"].items() if key in TRAINED},
        "clip": [
            {key: clip[key] for key in ("sha256", "caption", "trim", "picture") if key in clip}
            for clip in trained["clip"]
        ],
    }
    files = {f"adapters/{file}": save.read(file) for file in save.files if file != OPTIMIZER}
    if with_clips:
        for clip in project.clips:
            files[f"clips/{clip.file}"] = project.path_of(clip).read_bytes()
    return Archive(card, files, _readme(card))


def _readme(card: Mapping[str, Any]) -> str:
    base = card["model"]["name"] or "a model of the maker's own"
    return (
        f'# {card["name"]}\n\n{card["kind"].capitalize()} learned with mdctl: "{card["caption"]}"\n\n'
        f"Base model: {base} ({card['model']['fingerprint']}). Its licence holds for what is made with it.\n\n"
        f"{card['step']} steps on {len(card['clip'])} clips.\n\n"
        f"    mdctl import {card['name']}.mdz\n"
    )


def _peft(project: Project, run: Run, save: Save, folder: Path) -> int:
    """One folder for each adapter, as peft's `PeftModel.from_pretrained` reads it."""
    from mdctl.motion import exchange

    if folder.exists():
        raise UsageFault(f"the folder '{safe(str(folder), 200)}' exists.", fix="another name with -o")
    adapters = [file for file in save.files if file != OPTIMIZER]
    with atomic.folder(folder.absolute()) as stage:
        for file in adapters:
            for name, content in exchange.to_peft(save.read(file), str(save.folder / file)).items():
                atomic.write(stage / file.removesuffix(".safetensors") / name, content)
    said = f"{len(adapters)} adapter{'s' * (len(adapters) != 1)} of '{project.name}' in {folder}, one folder each."
    face().done(f"{said} Base model: {run.settings['model']['name']}.")
    face().result([str(folder.absolute())], {"project": project.name, "adapters": adapters})
    return 0


def import_(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="An archive of mdctl export.", show_default=False)],
    name: Annotated[
        str | None, typer.Option("--name", help="What to call the project.", show_default="its own")
    ] = None,
    model: options.Model = None,
    convert: Annotated[
        bool, typer.Option("--convert", help="Read a run of the official implementation, apart and without network.")
    ] = False,
    caption: Annotated[
        str | None, typer.Option(help="With --convert: what happened in the clips.", show_default=False)
    ] = None,
) -> int:
    """Take in what somebody else has learned, as a project of your own; what looks odd is refused whole.

    \b
    mdctl import golf.mdz
    mdctl import golf.mdz --name golf-of-a-friend
    mdctl import outputs/train/golf/ --convert --model zeroscope --caption "a person is playing golf"
    """
    if convert:
        return _converted(file, name, model, caption or "")
    _require_archive(file)
    found = archive.read(file)
    project = _taken_in(file, found, name, model)
    save = project.runs()[-1].saves()[-1]
    base = project.runs()[-1].settings["model"]["name"]
    count = len(save.files)
    if project.name != found.card.get("name"):
        face().say(f"It becomes '{project.name}'.")
    face().done(
        f"Imported {project.record.kind} '{project.name}' for {base}: {count} weight file{'s' * (count != 1)}, "
        f"{size(save.size_bytes)}, checksums right.",
        [f'mdctl gen {project.name} "..."'],
    )
    face().result([str(project.folder)], {"project": project.name})
    return 0


def _require_archive(file: Path) -> None:
    try:
        with file.open("rb") as opened:
            head = opened.read(4)
    except OSError as error:
        raise NotFound(f"there is no archive '{safe(str(file), 200)}'.", why=str(error.strerror)) from error
    if head[:1] == b"\x80" or (head == b"PK\x03\x04" and file.suffix in (".pt", ".bin", ".ckpt", ".pth")):
        raise Refused(
            f"'{safe(file.name, 120)}' is a pickle, which can run code; it is not opened.",
            fix=(
                f"mdctl import {safe(str(file), 200)} --convert reads weights of the official implementation apart",
                "or ask for an archive of mdctl export",
            ),
            code="MD-PICKLE",
        )


def _converted(path: Path, name: str | None, model: str | None, caption: str) -> int:
    """A project of the weights that the official implementation left behind."""
    from mdctl.motion import families, lora, official

    card, folder = weights.find(model or "zeroscope")
    network, layers, print_ = families.blueprint(folder), families.layers(folder), weights.fingerprint(folder)
    files, ranks = dict[str, bytes](), set[int]()
    sources = official.find(path)
    for kind, source in sources.items():
        for adapter, tensors in official.adapters(official.read(source), kind, network, layers, source).items():
            rank = next(iter(tensors.values())).shape[0]
            pattern = layers.temporal if kind == lora.TEMPORAL else layers.spatial
            files[f"{adapter}.safetensors"] = lora.pack(tensors, lora.AdapterCard(kind, rank, print_, pattern))
            ranks.add(rank)
            if official.untrained(tensors):
                face().warn(f"{source.name}: {adapter} was never trained, it says nothing.")
    step = max(official.step_of(source) for source in sources.values())
    moves = f"{lora.TEMPORAL}.safetensors" in files
    looks = max(1, sum(file.startswith(lora.SPATIAL) for file in files))
    project = Project.adopt(
        name or slug(path.stem if path.is_file() else path.name, 60) or "imported",
        kind="motion" if moves else "appearance",
        caption=documents.plain(" ".join(caption.split())),
        subject=documents.plain(records.subject_of(" ".join(caption.split()))),
        model=card.name,
        clips=[],
        files={},
        settings={
            "learns": "motion" if moves else "appearance",
            "model": {"name": card.name, "folder": str(folder), "fingerprint": print_},
            "clips": {"frames": card.frames, "fps": card.fps, "width": card.width, "height": card.height},
            "train": {"steps": step, "rank": max(ranks)},
            "clip": [{"sha256": "0" * 64, "name": f"clip {number + 1}", "caption": caption} for number in range(looks)],
            "imported": {"from": "the official implementation"},
        },
        step=step,
        adapters=files,
    )
    count = f"{len(files)} adapter{'s' * (len(files) != 1)} of rank {', '.join(map(str, sorted(ranks)))}"
    face().done(f"Imported {project.record.kind} '{project.name}' for {card.name}: {count}, step {step}.")
    face().result([str(project.folder)], {"project": project.name, "adapters": sorted(files)})
    return 0


def _taken_in(path: Path, found: Archive, name: str | None, model: str | None) -> Project:
    """The new project, complete or not at all."""
    card = found.card
    try:
        kind, learns, step = card["kind"], card["learns"], card["step"]
        caption, subject = documents.plain(str(card["caption"])[:2000]), documents.plain(str(card["subject"])[:2000])
        clips = [_clip(clip) for clip in list(card["clip"])[:_MOST_CLIPS]]
        wanted = {key: value for key, value in card["train"].items() if key in TRAINED}
        trained = from_table(TrainSettings, wanted, "the archive's settings")
        shape = {key: card["clips"][key] for key in ("frames", "fps", "width", "height")}
        if kind not in records.KINDS or learns not in ("motion", "appearance", "coupled") or type(step) is not int:
            raise ValueError("a project of another kind")
        if not (1 <= step <= 1_000_000 and trained.steps and all(isinstance(v, int | float) for v in shape.values())):
            raise ValueError("numbers that cannot be")
        called = name or slug(str(card["name"]), 60) or "imported"
    except (KeyError, TypeError, ValueError, MdctlError) as error:
        raise _odd(path, str(error)) from error
    unknown = sorted(set(card["train"]) - TRAINED)
    if unknown:
        face().warn(f"settings that are not known here are left out: {safe(', '.join(unknown), 200)}.")
    adapters = {file.removeprefix("adapters/"): content for file, content in found.files.items() if "adapters/" in file}
    base = _base(path, card, model, adapters)
    settings = {
        "learns": learns,
        "model": base,
        "clips": shape,
        "train": wanted,
        "clip": clips,
        "imported": {"sha256": _hash(path)},
    }
    return Project.adopt(
        called,
        kind=kind,
        caption=caption,
        subject=subject,
        model=base["name"],
        clips=_clip_records(found, clips),
        files={file: content for file, content in found.files.items() if file.startswith("clips/")},
        settings=settings,
        step=step,
        adapters=adapters,
    )


def _odd(path: Path, why: str) -> Refused:
    what = f"'{safe(path.name, 120)}' is not taken."
    return Refused(what, why=f"{safe(why, 200)}; nothing of it was kept.", fix="ask for it again", code="MD-ARCHIVE")


def _clip(clip: Mapping[str, Any]) -> dict[str, Any]:
    digest = str(clip["sha256"])
    if not re.fullmatch(r"[0-9a-f]{64}", digest):
        raise ValueError("a clip without a hash")
    kept: dict[str, Any] = {
        "sha256": digest,
        "name": f"{digest[:12]}",
        "caption": documents.plain(str(clip["caption"])[:2000]),
    }
    if "trim" in clip:
        kept["trim"] = [float(second) for second in clip["trim"]][:2]
    if clip.get("picture") is True:
        kept["picture"] = True
    return kept


def _clip_records(found: Archive, clips: list[dict[str, Any]]) -> list[ClipRecord]:
    """Records of the clips that came along; a motion works without any."""
    here = {Path(file).stem: Path(file).name for file in found.files if file.startswith("clips/")}
    return [
        ClipRecord(
            sha256=clip["sha256"],
            file=here[clip["sha256"][:12]],
            name=here[clip["sha256"][:12]],
            source="",
            caption=clip["caption"],
            trim=(clip["trim"][0], clip["trim"][1]) if "trim" in clip else None,
            size_bytes=len(found.files[f"clips/{here[clip['sha256'][:12]]}"]),
            width=0,
            height=0,
            fps=0.0,
            duration_s=0.0 if clip.get("picture") else 1.0,
        )
        for clip in clips
        if clip["sha256"][:12] in here
    ]


def _base(path: Path, card: Mapping[str, Any], model: str | None, adapters: Mapping[str, bytes]) -> dict[str, str]:
    """The base model it speaks in: as it says, or as told; the adapters have to fit, as far as that can be seen now."""
    from mdctl.motion import families, lora

    said = card.get("model")
    told, print_ = (str(said.get("name", "")), str(said.get("fingerprint", ""))) if isinstance(said, dict) else ("", "")
    wanted = model or told
    if not wanted:
        raise BadInput(
            f"'{safe(path.name, 120)}' was made on a model of its maker's own.",
            why=f"it says only what identifies it: {safe(print_, 40)}.",
            fix=f"mdctl import {safe(path.name, 120)} --model FOLDER",
        )
    known = CARDS.get(wanted)
    if known and not weights.installed(known):
        name, folder = known.name, None
        face().warn(f"the base model '{name}' is not on this computer yet: mdctl models show {name}")
    else:
        found, folder = weights.find(wanted)
        name = found.name
    network = families.blueprint(folder)
    for file, content in adapters.items():
        where = f"{path.name}: {file}"
        said_by = lora.card_of(content, where)
        if misfits := lora.misfits(content, where, network):
            raise Refused(
                f"{safe(where, 120)} does not fit {name}.",
                why="; ".join(misfits[:3]),
                fix=f"mdctl import {safe(path.name, 120)} --model FOLDER",
                code="MD-LORA-MISFIT",
            )
        print_ = said_by.base
    return {"name": name, "folder": str(folder or ""), "fingerprint": print_}


def _hash(path: Path) -> str:
    from mdctl.media import clips as media

    return media.digest(path)
