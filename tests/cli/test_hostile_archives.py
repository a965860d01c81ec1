"""`import`: an archive in which anything is odd is refused whole."""

import io
import json
import math
import shutil
import stat
import struct
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from stage import Mdctl, tree
from zips import members, refused, written

from mdctl.motion import lora
from mdctl.workspace import archive, locations
from mdctl.workspace.project import Project
from mdctl.workspace.runs import Run

CLIP = {"sha256": "0" * 64, "caption": ""}
SHAPE = {"frames": 4, "fps": 8.0, "width": 32, "height": 32}


@pytest.mark.parametrize(
    "name",
    [
        "../x", "/x", "C:\\x", "\\\\host\\x", "adapters/../../x", "adapters/con.txt", "con.txt", "x\x1b[31m",
        "adapters/temporal.safetensors/x", "clips/", "clips/walk.mp4", "run.toml", "a" * 5000,
        "ADAPTERS/TEMPORAL.SAFETENSORS",
    ],
)  # fmt: skip
def test_no_member_but_those_that_belong(golf: Project, packed: Path, take: Callable[..., Any], name: str) -> None:
    """One name that has no place refuses the whole archive, and nothing is left (F1)."""
    before = tree(locations.home())
    written(packed, [*members(packed).items(), (name, b"x")])
    assert "has no place in an archive" in refused(take(packed), before)


def _link(members: dict[str, bytes]) -> list[tuple[str | zipfile.ZipInfo, bytes]]:
    about = zipfile.ZipInfo("clips/0123456789ab.mp4")
    about.create_system, about.external_attr = 3, (stat.S_IFLNK | 0o777) << 16
    return [*members.items(), (about, b"/etc/passwd")]


def _twice(members: dict[str, bytes]) -> list[tuple[str | zipfile.ZipInfo, bytes]]:
    return [*members.items(), ("README.md", b"again")]


def _unlisted(members: dict[str, bytes]) -> list[tuple[str | zipfile.ZipInfo, bytes]]:
    return [*members.items(), ("clips/0123456789ab.mp4", b"x")]


def _changed(members: dict[str, bytes]) -> list[tuple[str | zipfile.ZipInfo, bytes]]:
    content = bytearray(members["adapters/temporal.safetensors"])
    content[-1] ^= 1
    return [*(members | {"adapters/temporal.safetensors": bytes(content)}).items()]


def _cardless(members: dict[str, bytes]) -> list[tuple[str | zipfile.ZipInfo, bytes]]:
    return [(name, content) for name, content in members.items() if name != "mdz.json"]


def _card(**changes: Any) -> Callable[[dict[str, bytes]], list[tuple[str | zipfile.ZipInfo, bytes]]]:
    def change(members: dict[str, bytes]) -> list[tuple[str | zipfile.ZipInfo, bytes]]:
        card = json.loads(members["mdz.json"]) | changes
        return [*(members | {"mdz.json": json.dumps(card).encode()}).items()]

    return change


def _clip(**changes: Any) -> Callable[[dict[str, bytes]], list[tuple[str | zipfile.ZipInfo, bytes]]]:
    return _card(clip=[CLIP | changes])


def _bare(members: dict[str, bytes]) -> list[tuple[str | zipfile.ZipInfo, bytes]]:
    return _card(files={})({name: content for name, content in members.items() if "adapters/" not in name})


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize(
    ("hostile", "why"),
    [
        (_link, "is no plain file"),
        (_twice, "stands in it twice"),
        (_unlisted, "its list and its members differ"),
        (_changed, "is damaged"),
        (_cardless, "has no mdz.json"),
        (_card(schema=2), "made by a newer mdctl"),
        (_card(schema="x"), "mdz.json cannot be read"),
        (_card(kind="virus"), "a project of another kind"),
        (_card(kind="appearance"), "a project of another kind"),
        (_card(kind=["motion"]), "'kind' must be text"),
        (_card(step="x"), "'step' must be a whole number"),
        (_card(step=-1), "numbers that cannot be"),
        (_card(train={}), "numbers that cannot be"),
        (_card(train=[]), "'train' must be a table"),
        (_card(train={"steps": "x"}), "steps"),
        (_card(clip=[{"sha256": "../x", "caption": ""}]), "a clip without a hash"),
        (_card(files={}), "its list and its members differ"),
        (_card(files={"adapters/temporal.safetensors": {"size": "x", "sha256": "x"}}), "mdz.json cannot be read"),
        (_card(clips=[]), "'clips' must be a table"),
        (_card(clips=SHAPE | {"frames": 1e300}), "clips.frames"),
        (_card(clips=SHAPE | {"fps": -1}), "clips.fps"),
        (_card(clips=SHAPE | {"width": None}), "clips.width"),
        (_card(model="starter"), "'model' must be a table"),
        (_card(model={"name": "starter"}), "'fingerprint' is missing"),
        (_card(name=3), "'name' must be text"),
        (_card(caption="a\0b"), "holds a NUL character"),
        (_card(subject=None), "'subject' must be text"),
        (_card(clip=3), "'clip' must be a list"),
        (_card(clip=[]), "it was learned from nothing"),
        (_card(clip=["x"]), "a clip that is no table"),
        (_card(clip=[CLIP | {"caption": "x" * 2000, "trim": [0, 1 / 3]}] * 500), "'run.toml' is too long"),
        (_clip(trim=[1.0]), "the earlier first"),
        (_clip(trim=[3.0, 1.0]), "the earlier first"),
        (_clip(trim=[0.0, math.inf]), "the earlier first"),
        (_clip(trim=[math.nan, 1.0]), "the earlier first"),
        (_clip(trim={"0": 1.0}), "the earlier first"),
        (_clip(trim=[0, 10**400]), "too large"),
        (_clip(crop=[math.inf, 0, 4, 4]), "a crop is left, top, width and height"),
        (_clip(crop=[0, 0, 4]), "a crop is left, top, width and height"),
        (_clip(crop=[0, 0, 10**30, 4]), "is too large a number"),
        (_clip(picture=1), "'picture' must be true or false"),
        (_bare, "it has no temporal.safetensors"),
    ],
)
def test_what_does_not_hold_together(
    golf: Project,
    packed: Path,
    take: Callable[..., Any],
    hostile: Callable[[dict[str, bytes]], list[tuple[str | zipfile.ZipInfo, bytes]]],
    why: str,
) -> None:
    """Links, doubles, wrong hashes, false sizes, odd records: refused whole (F1, F2)."""
    before = tree(locations.home())
    written(packed, hostile(members(packed)))
    told = refused(take(packed), before)
    assert "nothing of it was kept" in told
    assert why in told


@pytest.mark.parametrize("listed", [True, False])
def test_a_clip_that_is_another_than_it_says(
    mdctl: Mdctl, golf: Project, packed: Path, take: Callable[..., Any], listed: bool
) -> None:
    """Its content is held against the hash that it was learned by, or else against its name (F2)."""
    assert mdctl("export", "golf", "-o", str(packed), "--with-clips", "--force").code == 0
    found, name = archive.read(packed), golf.clips[0].file
    card = found.card if listed else {**found.card, "clip": found.card["clip"][1:]}
    packed.write_bytes(archive.Archive(card, {**found.files, f"clips/{name}": b"another"}).pack())
    before = tree(locations.home())
    assert f"clips/{name} is another clip than it says" in refused(take(packed), before)


def test_a_hash_that_goes_on_in_another_way(
    mdctl: Mdctl, golf: Project, packed: Path, take: Callable[..., Any]
) -> None:
    """A clip's name is only the beginning of its hash: all of it has to fit."""
    assert mdctl("export", "golf", "-o", str(packed), "--with-clips", "--force").code == 0
    found = archive.read(packed)
    clips = [{**clip, "sha256": f"{clip['sha256'][:12]:0<64}"} for clip in found.card["clip"]]
    packed.write_bytes(archive.Archive({**found.card, "clip": clips}, found.files).pack())
    assert "is another clip than it says" in refused(take(packed), tree(locations.home()))


def test_a_clip_of_two_names(mdctl: Mdctl, golf: Project, packed: Path, take: Callable[..., Any]) -> None:
    """Only one of both could be held against its hash."""
    assert mdctl("export", "golf", "-o", str(packed), "--with-clips", "--force").code == 0
    found, name = archive.read(packed), golf.clips[0].file
    packed.write_bytes(archive.Archive(found.card, {f"clips/{name[:12]}.aaa": b"x", **found.files}).pack())
    assert "a clip stands in it twice" in refused(take(packed), tree(locations.home()))


def test_weights_of_a_rank_that_they_do_not_have(golf: Project, packed: Path, take: Callable[..., Any]) -> None:
    """Room for a rank is made before the weights are laid into it."""
    found, name = archive.read(packed), "adapters/temporal.safetensors"
    card = replace(lora.card_of(found.files[name], name), rank=10**12)
    file = lora.pack(lora.read_tensors(found.files[name], name), card)
    packed.write_bytes(archive.Archive(found.card, {**found.files, name: file}).pack())
    assert "which is not of rank 1000000000000" in refused(take(packed), tree(locations.home()))


def test_a_project_without_weights_is_told(mdctl: Mdctl, golf: Project, run: Run) -> None:
    """As an earlier mdctl would take it in."""
    about = {"kind": "motion", "caption": "x", "subject": "x", "model": run.base, "clips": [], "files": {}}
    Project.adopt("empty", **about, settings=run.settings, step=6, adapters={})
    said = mdctl("gen", "empty", "a monkey")
    assert (said.code, "holds no look that could be used" in said.err) == (4, True), said.err


def test_bombs_end_early(golf: Project, packed: Path, take: Callable[..., Any]) -> None:
    """A member that unpacks to more than it says, and a list without end (F2)."""
    before = tree(locations.home())
    inside = members(packed)
    card = json.loads(inside["mdz.json"])
    zeros = b"\0" * 5_000_000
    name = "adapters/temporal.safetensors"
    written(packed, [*(inside | {name: zeros}).items()], zipfile.ZIP_DEFLATED)
    assert "another size than it says" in refused(take(packed), before)
    raw = bytearray(packed.read_bytes())
    size = struct.pack("<I", card["files"][name]["size"])
    raw = raw.replace(struct.pack("<I", len(zeros)), size)
    packed.write_bytes(raw)
    assert "nothing of it was kept" in refused(take(packed), before)
    written(packed, [*inside.items(), *((f"clips/{number:012x}.mp4", b"") for number in range(3000))])
    assert "it has 3005 members" in refused(take(packed), before)


def test_damage_anywhere_is_found(golf: Project, packed: Path, take: Callable[..., Any]) -> None:
    """A cut archive, an empty one, and one byte turned at many places."""
    before, whole = tree(locations.home()), packed.read_bytes()
    for content in (b"", b"PK", whole[: len(whole) // 2], whole[:-1]):
        packed.write_bytes(content)
        assert "nothing of it was kept" in refused(take(packed), before)
    for place in range(100, len(whole) - 400, len(whole) // 12):
        raw = bytearray(whole)
        raw[place] ^= 0xFF
        packed.write_bytes(raw)
        assert "nothing of it was kept" in refused(take(packed), before)


def test_pickles_are_not_opened(golf: Project, take: Callable[..., Any], tmp_path: Path) -> None:
    """By their first bytes, or as torch packs them; what they would do is not done (E1)."""
    canary = tmp_path / "canary"
    content = b"\x80\x04cposix\nsystem\n(V" + f"touch {canary}".encode() + b"\ntR."
    buffer = io.BytesIO()
    torch.save({"x": torch.zeros(2)}, buffer)
    for name, bad in (("lora.mdz", content), ("lora.pt", buffer.getvalue()), ("lora.mdz", buffer.getvalue())):
        path = tmp_path / name
        path.write_bytes(bad)
        said = take(path)
        assert said.code == 10, said.err
    assert not canary.exists()


def test_unknown_settings_are_left_out(packed: Path, take: Callable[..., Any]) -> None:
    """Only what says how it was learned is taken; the rest is listed (F5)."""
    shutil.rmtree(locations.home())
    card = json.loads(members(packed)["mdz.json"])
    train = card["train"] | {"model": "/etc", "evil": 1}
    written(packed, _card(train=train)(members(packed)))
    said = take(packed)
    assert said.code == 0, said.err
    assert "evil, model" in said.err
    assert not {"model", "evil"} & set(Project.open("golf").runs()[-1].settings["train"])


def test_the_base_model_has_to_be_told_where_it_has_no_name(mdctl: Mdctl, packed: Path) -> None:
    """A folder's path stays at home; it is asked for, and a model of another build is refused."""
    said = mdctl("import", str(packed))
    assert (said.code, "--model FOLDER" in said.err) == (4, True), said.err
    said = mdctl("import", str(packed), "--model", "starter")
    assert (said.code, "MD-LORA-MISFIT" in said.err) == (10, True), said.err
