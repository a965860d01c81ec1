"""`export` and `import`: what is passed on is the same there, and nothing odd comes in."""

import io
import json
import shutil
import stat
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from films import moving
from peft import PeftModel
from stage import Mdctl, tree

from mdctl.media import ffmpeg
from mdctl.motion import families
from mdctl.motion.lora import TEMPORAL, Adapters
from mdctl.motion.schedule import as_timesteps
from mdctl.workspace import archive, locations
from mdctl.workspace.project import Project
from mdctl.workspace.runs import Run

FAST = ("--steps", "1", "--threads", "1", "-q")


@pytest.fixture
def packed(mdctl: Mdctl, golf: Project, tmp_path: Path) -> Path:
    """`golf` as an archive."""
    path = tmp_path / "golf.mdz"
    said = mdctl("export", "golf", "-o", str(path))
    assert said.code == 0, said.err
    return path


@pytest.fixture
def take(mdctl: Mdctl, model: Path) -> Callable[..., Any]:
    """`take(path)` imports an archive onto the tiny model."""
    return lambda path, *flags: mdctl("import", str(path), "--model", str(model), *flags)


# --- There and back


def test_it_makes_the_same_videos_elsewhere(
    mdctl: Mdctl, golf: Project, packed: Path, take: Callable[..., Any]
) -> None:
    """On another computer the project has the same weights, caption and settings, and makes the same frames."""
    video = ("gen", "golf", "a monkey", "--seed", "1", *FAST)
    first = Path(mdctl(*video).lines[0]).read_bytes()
    weights = golf.runs()[-1].saves()[-1].sha256
    shutil.rmtree(locations.home())
    said = take(packed)
    assert said.code == 0, said.err
    new = Project.open("golf")
    assert (new.record.kind, new.record.caption, new.status) == ("motion", "a red square is walking", "trained · 6")
    assert new.runs()[-1].saves()[-1].sha256 == weights
    again = Path(mdctl(*video).lines[0]).read_bytes()
    assert len(again) == len(first)
    assert mdctl("list", "-q").lines == ["golf"]
    assert mdctl("show", "golf").code == 0


def test_again_and_again_it_is_the_same_archive(
    mdctl: Mdctl, packed: Path, take: Callable[..., Any], tmp_path: Path
) -> None:
    """Export, import, export: the same bytes (F6); and an export is the same every time."""
    shutil.rmtree(locations.home())
    assert take(packed).code == 0
    again = tmp_path / "again.mdz"
    assert mdctl("export", "golf", "-o", str(again)).code == 0
    assert again.read_bytes() == packed.read_bytes()


def test_nothing_private_goes_along(golf: Project, packed: Path, films: Path) -> None:
    """No path, no file name of a clip, no clip, no computer (F6)."""
    with zipfile.ZipFile(packed) as opened:
        names = opened.namelist()
        card = opened.read("mdz.json").decode()
        readme = opened.read("README.md").decode()
    assert names == [
        "mdz.json",
        "README.md",
        "adapters/spatial_000.safetensors",
        "adapters/spatial_001.safetensors",
        "adapters/temporal.safetensors",
    ]
    for secret in (str(films), str(golf.folder), "walk.mp4", "tiny", "threads", "torch", str(Path.home())):
        assert secret not in card
        assert secret not in readme
    assert "a red square is walking" in readme


def test_clips_on_demand(mdctl: Mdctl, golf: Project, tmp_path: Path, take: Callable[..., Any]) -> None:
    """With them a motion can be followed and trained on elsewhere."""
    path = tmp_path / "golf.mdz"
    assert mdctl("export", "golf", "-o", str(path), "--with-clips").code == 0
    clips = tree(golf.folder / "clips")
    shutil.rmtree(locations.home())
    assert take(path).code == 0
    new = Project.open("golf")
    assert tree(new.folder / "clips") == clips
    assert new.fault is None
    said = mdctl("gen", "golf", "a monkey", "--follow", "0.5", *FAST)
    assert said.code == 0, said.err


@pytest.mark.parametrize("how", ["gone", "edited"])
@pytest.mark.parametrize("linked", [True, False])
def test_a_clip_that_is_not_what_it_was_is_not_passed_on(
    mdctl: Mdctl, golf: Project, films: Path, tmp_path: Path, linked: bool, how: str
) -> None:
    """It is named, as before a training; without the clips the rest is passed on."""
    mine = tmp_path / "mine.mp4"
    mine.write_bytes(ffmpeg.encode(moving(64, 2, 0, 16), 8, format="mp4"))
    assert mdctl("clips", "add", "golf", str(mine), *["--link"] * linked).code == 0
    project, path = Project.open("golf"), tmp_path / "golf.mdz"
    clip = project.path_of(project.clips[-1])
    clip.unlink()
    if how == "edited":
        clip.write_bytes((films / "walk.mp4").read_bytes())
    said = mdctl("export", "golf", "-o", str(path), "--with-clips")
    assert (said.code, "the clip 'mine.mp4' of 'golf' is" in said.err) == (4 if linked or how == "edited" else 3, True)
    assert not path.exists()
    assert mdctl("export", "golf", "-o", str(path)).code == 0


def test_a_file_in_the_way_goes_to_the_trash(mdctl: Mdctl, golf: Project, packed: Path) -> None:
    """With --force; nothing is lost."""
    packed.write_bytes(b"mine")
    said = mdctl("export", "golf", "-o", str(packed), "--force")
    assert said.code == 0, said.err
    assert packed.read_bytes() != b"mine"
    assert [path.read_bytes() for path in locations.trash().glob("*_golf.mdz")] == [b"mine"]


def test_another_fine_tune_is_told_and_used(mdctl: Mdctl, packed: Path, model: Path, tmp_path: Path) -> None:
    """What came without its clips cannot be trained again, so other weights of the same shape are a warning (E8)."""
    other = shutil.copytree(model, tmp_path / "tuned")
    config = other / "scheduler" / "scheduler_config.json"
    config.write_text(config.read_text() + "\n")
    assert mdctl("import", str(packed), "--model", str(other), "--name", "guest").code == 0
    said = mdctl("gen", "guest", "a monkey", *FAST[:-1])
    assert said.code == 0, said.err
    assert "it is used all the same" in said.err


def test_a_taken_name_gets_a_number(golf: Project, packed: Path, take: Callable[..., Any]) -> None:
    """The project that is there is not touched (F4); a name can be given."""
    before = tree(golf.folder)
    for name in ("golf-2", "golf-3"):
        said = take(packed)
        assert (said.code, f"It becomes '{name}'" in said.err) == (0, True), said.err
    assert take(packed, "--name", "tennis", "-q").lines == [str(locations.projects() / "tennis")]
    assert tree(golf.folder) == before
    assert take(packed, "--name", "No Name!").code == 2


def test_an_import_is_not_trained_again_from_nothing(
    mdctl: Mdctl, golf: Project, tmp_path: Path, take: Callable[..., Any]
) -> None:
    """Without clips it cannot be; with them it is trained already, and has no optimizer to go on with."""
    for name, flags in (("bare", ()), ("whole", ("--with-clips",))):
        assert mdctl("export", "golf", "-o", str(tmp_path / f"{name}.mdz"), *flags).code == 0
    shutil.rmtree(locations.home())
    for name, status, told in (("bare", 4, "came without its clips"), ("whole", 0, "is trained already: 6 steps")):
        assert take(tmp_path / f"{name}.mdz", "--name", name).code == 0
        said = mdctl("train", name)
        assert (said.code, told in said.err) == (status, True), said.err
    said = mdctl("train", "whole", "--steps", "9")
    assert (said.code, "mdctl train whole --fresh" in said.err) == (3, True), said.err
    assert Project.open("whole").status == "trained · 6"


@pytest.mark.parametrize(
    ("flags", "code", "told"),
    [
        (("export", "tennis"), 3, "there is no project"),
        (("export", "golf", "--checkpoint", "5"), 3, "has no save '5'"),
        (("export", "golf", "-o", "there.mdz"), 2, "exists"),
        (("import", "none.mdz"), 3, "there is no archive"),
    ],
)
def test_refusals(
    mdctl: Mdctl,
    golf: Project,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    flags: tuple[str, ...],
    code: int,
    told: str,
) -> None:
    """Each with its reason."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "there.mdz").write_text("mine")
    said = mdctl(*flags)
    assert (said.code, told in said.err) == (code, True), said.err
    assert (tmp_path / "there.mdz").read_text() == "mine"


def test_untrained_projects_have_nothing_to_pass_on(mdctl: Mdctl, fresh: Project, tmp_path: Path) -> None:
    """The line that trains is shown."""
    said = mdctl("export", "golf", "-o", str(tmp_path / "golf.mdz"))
    assert (said.code, "mdctl train golf" in said.err) == (3, True)


# --- Hostile archives


def _members(path: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(path) as opened:
        return {name: opened.read(name) for name in opened.namelist()}


def _written(path: Path, members: list[tuple[str | zipfile.ZipInfo, bytes]], how: int = zipfile.ZIP_STORED) -> Path:
    with zipfile.ZipFile(path, "w", how) as opened:
        for name, content in members:
            opened.writestr(name, content)
    return path


def _why(said: Any, before: dict[str, bytes | None]) -> str:
    """The reason of a refusal that left everything as it was."""
    assert said.code == 10, said.err
    assert tree(locations.home()) == before
    reason: str = said.err
    return reason


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
    _written(packed, [*_members(packed).items(), (name, b"x")])
    assert "has no place in an archive" in _why(take(packed), before)


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
        (_card(step="x"), "a project of another kind"),
        (_card(step=-1), "numbers that cannot be"),
        (_card(train={}), "numbers that cannot be"),
        (_card(train={"steps": "x"}), "steps"),
        (_card(clip=[{"sha256": "../x", "caption": ""}]), "a clip without a hash"),
        (_card(files={}), "its list and its members differ"),
        (_card(files={"adapters/temporal.safetensors": {"size": "x", "sha256": "x"}}), "mdz.json cannot be read"),
        (_card(clips=[]), ""),
        (_card(clip=3), ""),
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
    _written(packed, hostile(_members(packed)))
    told = _why(take(packed), before)
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
    assert f"clips/{name} is another clip than it says" in _why(take(packed), before)


def test_a_hash_that_goes_on_in_another_way(
    mdctl: Mdctl, golf: Project, packed: Path, take: Callable[..., Any]
) -> None:
    """A clip's name is only the beginning of its hash: all of it has to fit."""
    assert mdctl("export", "golf", "-o", str(packed), "--with-clips", "--force").code == 0
    found = archive.read(packed)
    clips = [{**clip, "sha256": f"{clip['sha256'][:12]:0<64}"} for clip in found.card["clip"]]
    packed.write_bytes(archive.Archive({**found.card, "clip": clips}, found.files).pack())
    assert "is another clip than it says" in _why(take(packed), tree(locations.home()))


def test_bombs_end_early(golf: Project, packed: Path, take: Callable[..., Any]) -> None:
    """A member that unpacks to more than it says, and a list without end (F2)."""
    before = tree(locations.home())
    members = _members(packed)
    card = json.loads(members["mdz.json"])
    zeros = b"\0" * 5_000_000
    name = "adapters/temporal.safetensors"
    _written(packed, [*(members | {name: zeros}).items()], zipfile.ZIP_DEFLATED)
    assert "another size than it says" in _why(take(packed), before)
    raw = bytearray(packed.read_bytes())
    size = struct.pack("<I", card["files"][name]["size"])
    raw = raw.replace(struct.pack("<I", len(zeros)), size)
    packed.write_bytes(raw)
    assert "nothing of it was kept" in _why(take(packed), before)
    _written(packed, [*members.items(), *((f"clips/{number:012x}.mp4", b"") for number in range(3000))])
    assert "it has 3005 members" in _why(take(packed), before)


def test_damage_anywhere_is_found(golf: Project, packed: Path, take: Callable[..., Any]) -> None:
    """A cut archive, an empty one, and one byte turned at many places."""
    before, whole = tree(locations.home()), packed.read_bytes()
    for content in (b"", b"PK", whole[: len(whole) // 2], whole[:-1]):
        packed.write_bytes(content)
        assert "nothing of it was kept" in _why(take(packed), before)
    for place in range(100, len(whole) - 400, len(whole) // 12):
        raw = bytearray(whole)
        raw[place] ^= 0xFF
        packed.write_bytes(raw)
        assert "nothing of it was kept" in _why(take(packed), before)


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
    card = json.loads(_members(packed)["mdz.json"])
    train = card["train"] | {"model": "/etc", "evil": 1}
    _written(packed, _card(train=train)(_members(packed)))
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


# --- For other libraries


def test_peft_reads_it(mdctl: Mdctl, golf: Project, run: Run, model: Path, tmp_path: Path) -> None:
    """`PeftModel.from_pretrained` on the bare network gives the predictions that mdctl's own loading gives."""
    said = mdctl("export", "golf", "--to", "peft", "-o", str(tmp_path / "out"))
    assert said.code == 0, said.err
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["spatial_000", "spatial_001", "temporal"]
    backbone = families.load(model, torch.device("cpu"), torch.float32)
    shape, embeds = backbone.latent_shape(4, 32, 32), backbone.embed(["a monkey"])
    noise, at = torch.randn(shape, generator=torch.Generator().manual_seed(0)), as_timesteps(700, 1, backbone.device)
    plain = backbone.predict(noise, at, embeds)
    adapters = Adapters(backbone.network, backbone.layers, {TEMPORAL: 2})
    adapters.load(TEMPORAL, run.saves()[-1].read("temporal.safetensors"), "here")
    with torch.no_grad(), adapters.speaking({TEMPORAL: 1.0}):
        own = backbone.predict(noise, at, embeds)
    bare = families.load(model, torch.device("cpu"), torch.float32)
    PeftModel.from_pretrained(bare.network, tmp_path / "out" / "temporal")
    with torch.no_grad():
        theirs = bare.predict(noise, at, embeds)
    assert torch.equal(own, theirs)
    assert not torch.equal(own, plain)


def test_an_archive_is_only_made_of_what_belongs() -> None:
    """The writer refuses what the reader would."""
    with pytest.raises(ValueError, match="no member"):
        archive.Archive({}, {"../x": b""}).pack()
