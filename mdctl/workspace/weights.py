"""Base models on this computer: from a name, a folder or a hub id to a folder of weights, and what identifies it."""

import json
import re
from contextlib import suppress
from dataclasses import replace
from hashlib import blake2b
from importlib.resources import files
from pathlib import Path

from mdctl.catalog import CARDS, STARTER, ModelCard
from mdctl.errors import BadInput, NotFound, NotInstalled, nearest
from mdctl.text import safe
from mdctl.workspace import locations
from mdctl.workspace.pulled import Pulled

_HUB_ID = re.compile(r"([A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*)(?:@([0-9a-f]{40}))?")
_SAMPLE_BYTES = 1 << 20


def find(model: str) -> tuple[ModelCard, Path]:
    """The card and the folder of a base model: a name of the catalog, a local folder, or a hub id (org/name@commit).

    `auto` is `starter`. `NotInstalled` carries the exact line that gets a missing one, `NotFound` the nearest name.
    The card's name finds the same model again, from wherever it is asked.
    """
    name = STARTER.name if model == "auto" else model
    if name not in CARDS and (path := _folder(model)):
        return _card_of(path, str(path)), path
    if known := source(name):
        card, folder = known
        if not _complete(folder):
            raise _missing(card, folder)
        return card if card.name in CARDS else _card_of(folder, name, card.repository, card.revision), folder
    near = nearest(model, CARDS)
    raise NotFound(
        f"there is no base model '{safe(model, 200)}'.",
        why=f"did you mean '{near}'?" if near else "it is no name that mdctl knows, no folder, and no hub id org/name.",
        fix="mdctl models list",
        meant=(model, near) if near else None,
    )


def source(model: str) -> tuple[ModelCard, Path] | None:
    """What is known of a name of the catalog or a hub id, and where the model lies once it is here; else None."""
    if card := CARDS.get(model):
        return card, _place(card)
    if hub := _HUB_ID.fullmatch(model):
        repository, revision = hub.groups()
        return _plain_card(model, repository, revision), locations.models() / model.replace("/", "--")
    return None


def _folder(model: str) -> Path | None:
    with suppress(OSError, ValueError, RuntimeError):  # too long, a NUL, the home of nobody
        path = Path(model).expanduser().absolute()
        return path if path.is_dir() else None
    return None


def installed(card: ModelCard) -> bool:
    """Whether the weights of a catalog model are on this computer."""
    return _complete(_place(card))


def presence(card: ModelCard) -> str:
    """`in the package`, `no`, `pulled` where each file was checked as it came and kept its length, else `yes`."""
    if not card.repository:
        return "in the package"
    if not installed(card):
        return "no"
    folder = _place(card)
    record = Pulled.read(folder)
    return "pulled" if record and record.fits(folder) else "yes"


def _complete(folder: Path) -> bool:
    return (folder / "unet" / "config.json").is_file()


def _place(card: ModelCard) -> Path:
    if card.repository is None:
        return Path(str(files("mdctl.motion.starter").joinpath("model")))
    return locations.models() / card.name


def _missing(card: ModelCard, folder: Path) -> NotInstalled:
    if card.repository is None:
        fix = "install mdctl again: the model is part of the package"
        return NotInstalled(f"the base model '{card.name}' is not on this computer.", why=f"no {folder}", fix=fix)
    return NotInstalled(
        f"the base model '{safe(card.name)}' is not on this computer.",
        why=f"{folder} holds no model; mdctl downloads nothing by itself.",
        fix=(f"mdctl models pull {card.name}", "or use the one inside the package: --model starter"),
    )


def _plain_card(
    name: str, repository: str | None, revision: str | None = None, edge: int = 256, family: str = "unet3d"
) -> ModelCard:
    return ModelCard(
        name=name,
        family=family,
        repository=repository,
        licence="as its makers say",
        frames=16,
        fps=8,
        width=edge,
        height=edge,
        guidance=12 if family == "unet3d" else 7.5,
        summary="a model folder",
        revision=revision,
    )


def _card_of(folder: Path, name: str, repository: str | None = None, revision: str | None = None) -> ModelCard:
    """The card of a model folder, from its configuration; sizes are what its U-Net and VAE were made for."""
    try:
        unet = json.loads((folder / "unet" / "config.json").read_text("utf-8"))
        vae = json.loads((folder / "vae" / "config.json").read_text("utf-8"))
        edge = int(unet.get("sample_size") or 32) * 2 ** (len(vae["block_out_channels"]) - 1)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as fault:
        raise BadInput(
            f"{folder} is no text-to-video model that mdctl can load.",
            why=f"unet/config.json or vae/config.json: {fault}",
            fix="name a diffusers model folder with unet, vae, text_encoder, tokenizer and scheduler",
        ) from fault
    family = "unet3d" if unet.get("_class_name") == "UNet3DConditionModel" else "animatediff"
    card, record = _plain_card(name, repository, revision, edge, family), Pulled.read(folder)
    return replace(card, licence=record.licence) if record and record.licence else card


def fingerprint(folder: Path) -> str:
    """What identifies a model's weights: configurations, and of each weight file its size, header, begin and end."""
    digest = blake2b(digest_size=16)
    for path in sorted(folder.glob("*/*")):
        if path.suffix not in (".json", ".safetensors", ".txt"):
            continue
        size = path.stat().st_size
        digest.update(f"{path.parent.name}/{path.name} {size}\n".encode())
        with path.open("rb") as file:
            digest.update(file.read(_SAMPLE_BYTES))
            if size > 2 * _SAMPLE_BYTES:
                file.seek(-_SAMPLE_BYTES, 2)
            digest.update(file.read())
    return digest.hexdigest()
