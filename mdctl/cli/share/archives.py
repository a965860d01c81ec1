"""`export` and `import`: what was learned, passed on and taken in; `import` trusts nothing that it is given."""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import fields
from hashlib import sha256
from pathlib import Path
from typing import Annotated, Any

import typer

from mdctl.catalog import CARDS
from mdctl.cli import options
from mdctl.cli.create.voices import COUPLED, TEMPORAL
from mdctl.cli.face import EPILOG, face
from mdctl.cli.share import foreign
from mdctl.cli.share.export import TRAINED, export
from mdctl.cli.view.look import size
from mdctl.errors import BadInput, NotFound, Refused, UsageFault
from mdctl.settings import ClipSettings, TrainSettings, from_table
from mdctl.text import safe, slug
from mdctl.workspace import archive, documents, records, weights
from mdctl.workspace.archive import Archive
from mdctl.workspace.project import Project
from mdctl.workspace.records import ClipRecord

_MOST_WORDS = 2000
_HEAD_BYTES = 512
"""In so many a zip that torch packed names its pickle, and a pickle of its own begins."""
_LEARNED = {"motion": TEMPORAL, "appearance": "spatial_000.safetensors", "coupled": COUPLED}
"""The file of a save without which it has learned nothing, by what it learns."""


def mount(app: typer.Typer) -> None:
    """Add the commands of this file."""
    app.command("export", epilog=EPILOG)(export)
    app.command("import", epilog=EPILOG)(import_)


def import_(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="An archive of mdctl export, or a LoRA file.", show_default=False)
    ],
    name: Annotated[
        str | None, typer.Option("--name", help="What to call the project.", show_default="its own")
    ] = None,
    model: options.Model = None,
    kind: Annotated[
        foreign.Kind | None,
        typer.Option("--as", help="Of a LoRA file that has both: which part.", show_default="what it has"),
    ] = None,
    convert: Annotated[
        bool, typer.Option("--convert", help="Read a run of the official implementation, apart and without network.")
    ] = False,
    caption: Annotated[
        str | None, typer.Option(help="Of what is no archive: what happened in the clips.", show_default=False)
    ] = None,
) -> int:
    """Take in what somebody else has learned, as a project.

    What looks odd is refused whole.

    \b
    mdctl import golf.mdz
    mdctl import golf.mdz --name golf-of-a-friend
    mdctl import zoom.safetensors --model FOLDER --caption "a person is playing golf"
    mdctl import outputs/train/golf/ --convert --model zeroscope --caption "a person is playing golf"
    """
    if convert and kind:
        raise UsageFault("--as is for a LoRA file; --convert takes in all parts of a run.", fix="leave --as out")
    if convert:
        return foreign.convert(file, name, model, caption or "")
    if not _is_archive(file):
        return foreign.take(file, name, model, caption or "", kind)
    if kind or caption:
        raise UsageFault("--as and --caption are for weights; an archive says both itself.", fix="leave them out")
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


def _is_archive(file: Path) -> bool:
    """Whether it begins as one, whatever it is called; `Refused` where it begins as a pickle."""
    if file.is_dir():
        return False
    if not file.is_file():
        raise NotFound(f"there is no archive '{safe(str(file), 200)}'.")
    with file.open("rb") as opened:
        head = opened.read(_HEAD_BYTES)
    # The length of a safetensors header may begin like a zip or a pickle too; behind it comes a brace.
    framed = head[8:9] == b"{"
    packed = head[:4] == b"PK\x03\x04" and not framed
    if (head[:1] == b"\x80" and not framed) or (packed and b"data.pkl" in head):
        raise Refused(
            f"'{safe(file.name, 120)}' is a pickle, which can run code; it is not opened.",
            fix=(
                f"mdctl import {safe(str(file), 200)} --convert reads weights of the official implementation apart",
                "or ask for an archive of mdctl export",
            ),
            code="MD-PICKLE",
        )
    return packed


def _taken_in(path: Path, found: Archive, name: str | None, model: str | None) -> Project:
    """The new project, complete or not at all."""
    card, where = found.card, path / archive.CARD
    adapters = {file.removeprefix("adapters/"): content for file, content in found.files.items() if "adapters/" in file}
    with _refusing(path):
        kind, learns = (documents.value(card, key, str, where) for key in ("kind", "learns"))
        caption, subject = (_words(card, key, where) for key in ("caption", "subject"))
        step, train = documents.value(card, "step", int, where), documents.value(card, "train", dict, where)
        clips = [_clip(clip, where) for clip in documents.value(card, "clip", list, where)]
        wanted = {key: value for key, value in train.items() if key in TRAINED}
        trained = from_table(TrainSettings, wanted, "train")
        cut = documents.value(card, "clips", dict, where)
        shape = {field.name: cut.get(field.name) for field in fields(ClipSettings)}
        from_table(ClipSettings, shape, "clips")
        said = documents.value(card, "model", dict, where)
        told, print_ = (documents.value(said, key, str, where) for key in ("name", "fingerprint"))
        called = name or slug(documents.value(card, "name", str, where), 60) or "imported"
        if kind not in records.KINDS or learns not in (kind, "coupled"):
            raise ValueError("a project of another kind")
        if not (1 <= step <= 1_000_000 and trained.steps):
            raise ValueError("numbers that cannot be")
        if not clips:
            raise ValueError("it was learned from nothing")
        if _LEARNED[learns] not in adapters:
            raise ValueError(f"it has no {_LEARNED[learns]}, which holds what it has learned")
        kept = _clip_records(found, clips)
    unknown = sorted(set(train) - TRAINED)
    if unknown:
        face().warn(f"settings that are not known here are left out: {safe(', '.join(unknown), 200)}.")
    base = _base(path, told, print_, model, adapters)
    settings = {
        "learns": learns,
        "model": base,
        "clips": shape,
        "train": wanted,
        "clip": clips,
        "imported": {"sha256": _hash(path)},
    }
    with _refusing(path):  # for what no document can hold
        return Project.adopt(
            called,
            kind=kind,
            caption=caption,
            subject=subject,
            model=base["name"],
            clips=kept,
            files={file: content for file, content in found.files.items() if file.startswith("clips/")},
            settings=settings,
            step=step,
            adapters=adapters,
        )


@contextmanager
def _refusing(path: Path) -> Iterator[None]:
    """Refuse the archive for whatever turns out odd meanwhile."""
    try:
        yield
    except (ValueError, OverflowError, BadInput) as error:
        why = safe(str(error).rstrip("."), 200)
        raise Refused(
            f"'{safe(path.name, 120)}' is not taken.",
            why=f"{why}; nothing of it was kept.",
            fix="ask for it again",
            code="MD-ARCHIVE",
        ) from error


def _words(table: Mapping[str, Any], key: str, where: Path) -> str:
    words: str = documents.plain(documents.value(table, key, str, where)[:_MOST_WORDS])
    return words


def _clip(clip: Mapping[str, Any], where: Path) -> dict[str, Any]:
    if not isinstance(clip, dict):
        raise ValueError("a clip that is no table")
    digest = documents.value(clip, "sha256", str, where)
    if not re.fullmatch(r"[0-9a-f]{64}", digest):
        raise ValueError("a clip without a hash")
    trim, crop = records.trim_of(clip.get("trim", [])), records.crop_of(clip.get("crop", []))
    return {
        "sha256": digest,
        "name": digest[:12],
        "caption": _words(clip, "caption", where),
        **({"trim": [*trim]} if trim else {}),
        **({"crop": [*crop]} if crop else {}),
        **({"picture": True} if documents.value(clip, "picture", bool, where, False) else {}),
    }


def _clip_records(found: Archive, clips: list[dict[str, Any]]) -> list[ClipRecord]:
    """Records of the clips that came along, as their hashes tell; a motion works without any."""
    files = {file: content for file, content in found.files.items() if file.startswith("clips/")}
    here = {Path(file).stem: Path(file).name for file in files}
    if len(here) < len(files):
        raise ValueError("a clip stands in it twice")
    hashes = {stem: sha256(files[f"clips/{file}"]).hexdigest() for stem, file in here.items()}
    for said in (*here, *(clip["sha256"] for clip in clips)):
        if not hashes.get(said[:12], said).startswith(said):
            raise ValueError(f"clips/{here[said[:12]]} is another clip than it says")
    return [
        ClipRecord(
            sha256=clip["sha256"],
            file=here[clip["sha256"][:12]],
            name=here[clip["sha256"][:12]],
            source="",
            caption=clip["caption"],
            trim=records.trim_of(clip.get("trim", [])),
            crop=records.crop_of(clip.get("crop", [])),
            size_bytes=len(files[f"clips/{here[clip['sha256'][:12]]}"]),
            width=0,
            height=0,
            fps=0.0,
            duration_s=0.0 if clip.get("picture") else 1.0,
        )
        for clip in clips
        if clip["sha256"][:12] in here
    ]


def _base(path: Path, said: str, print_: str, model: str | None, adapters: Mapping[str, bytes]) -> dict[str, str]:
    """The base model it speaks in: as it says, or as told; the adapters have to fit, as far as that can be seen now."""
    from mdctl.motion import families, lora

    wanted = model or said
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
        if misfits := lora.misfits(content, where, network, said_by.rank):
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
