"""`export --to`, and `import` of single files: adapters of other programs, and files that mean harm."""

import pickle
import struct
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load, save
from stage import Mdctl, Said, tree
from tiny import tiny_animatediff
from torch import Tensor

from mdctl.motion import exchange, families
from mdctl.motion.lora import TEMPORAL, AdapterCard, Adapters, card_of, pack
from mdctl.text import safe
from mdctl.workspace import locations, weights
from mdctl.workspace.project import Project

FAST = ("--steps", "1", "--threads", "1", "-q")
LOOK = "spatial_000"
FILE = "unet.down_blocks.0.motion_modules.0.transformer_blocks.0.attn1.to_q.lora_{}.weight"


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny AnimateDiff."""
    return tiny_animatediff(tmp_path_factory.mktemp("animatediff") / "base")


@pytest.fixture(scope="module")
def learned(base: Path) -> dict[str, bytes]:
    """A motion and a look that it has learned."""
    network, layers = families.AnimateDiff.load_network(base, torch.float32), families.layers(base)
    adapters, chance = Adapters(network, layers, {TEMPORAL: 2, LOOK: 2}), torch.Generator().manual_seed(0)
    for name in adapters.names:
        for weight in adapters.parameters(name):
            weight.data.copy_(torch.randn(weight.shape, generator=chance))
    return {
        name: pack(adapters.tensors(name), adapters.card(name, weights.fingerprint(base))) for name in adapters.names
    }


@pytest.fixture
def dance(base: Path, learned: dict[str, bytes], home: Path) -> Project:
    """A project of both."""
    return _project(base, learned)


def _project(base: Path, learned: dict[str, bytes]) -> Project:
    settings = {
        "learns": "motion",
        "model": {"name": str(base), "folder": str(base), "fingerprint": weights.fingerprint(base)},
        "clips": {"frames": 4, "fps": 8, "width": 32, "height": 32},
        "train": {"steps": 30, "rank": 2},
        "clip": [{"sha256": "0" * 64, "name": "clip 1", "caption": "a red square is dancing"}],
    }
    return Project.adopt(
        "dance",
        kind="motion",
        caption="a red square is dancing",
        subject="a red square",
        model=str(base),
        clips=[],
        files={},
        settings=settings,
        step=30,
        adapters={f"{name}.safetensors": content for name, content in learned.items()},
    )


@pytest.fixture
def take(mdctl: Mdctl, base: Path) -> Callable[..., Said]:
    """`take(path)` imports a file onto the tiny AnimateDiff."""
    return lambda path, *flags: mdctl("import", str(path), "--model", str(base), *flags)


# --- Out


@pytest.mark.parametrize(
    ("to", "files"),
    [
        ("diffusers", ["dance-spatial_000.safetensors", "dance-temporal.safetensors"]),
        ("comfyui", ["dance-spatial_000.safetensors", "dance-temporal.safetensors"]),
        ("kohya", ["dance-spatial_000.safetensors"]),
    ],
)
def test_out_and_in_again(
    mdctl: Mdctl,
    dance: Project,
    base: Path,
    learned: dict[str, bytes],
    take: Callable[..., Said],
    tmp_path: Path,
    to: str,
    files: list[str],
) -> None:
    """A file for each adapter that has a place, one line for what has none; taken in, they are the same bytes."""
    said = mdctl("export", "dance", "--to", to, "-o", str(tmp_path / "out"))
    assert said.code == 0, said.err
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == files
    assert ("temporal.safetensors: kohya has no place for 120 of its layers" in said.err) == (to == "kohya")
    assert mdctl("export", "dance", "--to", to, "-o", str(tmp_path / "out")).code == 2
    for flag in ("--with-clips", "--force"):
        said = mdctl("export", "dance", "--to", to, "-o", str(tmp_path / "more"), flag)
        assert (said.code, "for archives" in said.err) == (2, True), said.err
    for file in files:
        kept, kind = (LOOK, "appearance") if LOOK in file else (TEMPORAL, "motion")
        content = (tmp_path / "out" / file).read_bytes()
        for private in (dance.folder.parent, tmp_path, base):
            assert str(private).encode() not in content
        said = take(tmp_path / "out" / file, "--name", f"{kept}-again", "--caption", "a  red square\nis dancing")
        assert said.code == 0, said.err
        new = Project.open(f"{kept}-again")
        save = new.runs()[-1].saves()[-1]
        assert (new.record.kind, new.record.caption, save.step) == (kind, "a red square is dancing", 30)
        assert save.read(f"{kept}.safetensors") == learned[kept]


@pytest.mark.parametrize("to", ["diffusers", "kohya", "comfyui"])
def test_where_nobody_reads_it(mdctl: Mdctl, golf: Project, tmp_path: Path, to: str) -> None:
    """UNet3D has such names in no program: the way that there is is named, and no folder is made."""
    said = mdctl("export", "golf", "--to", to, "-o", str(tmp_path / "out"))
    assert (said.code, "mdctl export golf --to peft" in said.err) == (4, True), said.err
    assert not (tmp_path / "out").exists()


def test_a_motion_alone_has_no_place_with_kohya(
    mdctl: Mdctl, take: Callable[..., Said], learned: dict[str, bytes], tmp_path: Path
) -> None:
    """Nothing is left of it there, and that is said."""
    (tmp_path / "dance.safetensors").write_bytes(learned[TEMPORAL])
    assert take(tmp_path / "dance.safetensors").code == 0
    said = mdctl("export", "dance", "--to", "kohya", "-o", str(tmp_path / "out"))
    assert (said.code, "mdctl export dance --to peft" in said.err) == (4, True), said.err


# --- In


def test_what_came_in_makes_videos(
    mdctl: Mdctl, take: Callable[..., Said], learned: dict[str, bytes], tmp_path: Path
) -> None:
    """A motion and a look from two files, alone and side by side; the number of layers is told."""
    for name in learned:
        content, _ = exchange.to_file(learned[name], "here", exchange.STYLES["animatediff"]["comfyui"], {"steps": "9"})
        (tmp_path / f"{name}.safetensors").write_bytes(content or b"")
        said = take(tmp_path / f"{name}.safetensors")
        assert said.code == 0, said.err
        assert "of rank 2, step 9" in said.err
        assert f"It has {'120 of 120' if name == TEMPORAL else '60 of 60'}" in said.err
    small = ("--size", "32x32", "--frames", "4", *FAST)
    said = mdctl("gen", "temporal", "a red square", *small)
    assert said.code == 0, said.err
    assert mdctl("mix", "--appearance", "spatial_000", "--motion", "temporal", "a red square", *small).code == 0
    assert take(tmp_path / "temporal.safetensors", "-q").lines == [str(locations.projects() / "temporal-2")]


def test_peft_folders_come_in(
    mdctl: Mdctl, dance: Project, learned: dict[str, bytes], take: Callable[..., Said], tmp_path: Path
) -> None:
    """What `--to peft` wrote; another folder is not found, and the way for official runs is shown."""
    assert mdctl("export", "dance", "--to", "peft", "-o", str(tmp_path / "out")).code == 0
    assert take(tmp_path / "out" / "temporal", "--as", "motion").code == 0
    assert Project.open("temporal").runs()[-1].saves()[-1].read("temporal.safetensors") == learned[TEMPORAL]
    said = take(tmp_path / "out")
    assert (said.code, "--convert" in said.err) == (3, True), said.err
    (tmp_path / "out" / "temporal" / "adapter_model.safetensors").unlink()
    assert take(tmp_path / "out" / "temporal").code == 3


def test_the_base_model_is_known_or_asked_for(
    mdctl: Mdctl, learned: dict[str, bytes], take: Callable[..., Said], tmp_path: Path
) -> None:
    """By the fingerprint in a file of mdctl's own; else it has to be told. Another of the same kind is warned of."""
    _, folder = weights.find("starter")
    network, layers = families.blueprint(folder), families.layers(folder)
    tensors = {}
    for name, module in network.named_modules():
        if name == "transformer_in.transformer_blocks.0.attn1.to_q":
            tensors = {"A": torch.ones(2, module.in_features), "B": torch.ones(module.out_features, 2)}
    own = {f"transformer_in.transformer_blocks.0.attn1.to_q.lora_{half}.weight": t for half, t in tensors.items()}
    path = tmp_path / "12_walk_temporal.safetensors"
    path.write_bytes(pack(own, AdapterCard(TEMPORAL, 2, weights.fingerprint(folder), layers.temporal)))
    said = mdctl("import", str(path))
    assert (said.code, "for starter: 1 adapter of rank 2, step 12" in said.err) == (0, True), said.err
    path.write_bytes(save(own, {"ss_sd_model_name": "\x1b[31m<b>[red]" + "x" * 1_000_000}))
    said = mdctl("import", str(path))
    assert (said.code, "--model FOLDER" in said.err) == (4, True), said.err
    assert "it says: \\x1b[31m<b>[red]xxx" in said.err
    assert len(said.err) < 1000
    for base, objective, kept in (("\x1b" * 100, "mse", "mse"), ("x", "x" * 1000, "ad")):
        path.write_bytes(pack(load(learned[TEMPORAL]), AdapterCard(TEMPORAL, 2, base, "x", objective)))
        said = take(path, "--name", kept)
        assert (said.code, "another base model than" in said.err) == (0, True), said.err
        run = Project.open(kept).runs()[-1]
        assert card_of(run.saves()[-1].read("temporal.safetensors"), "here").objective == kept
        assert run.settings["imported"]["base"] == safe(base, 64)


def test_names_of_strangers_are_shown_harmlessly(take: Callable[..., Said], tmp_path: Path) -> None:
    """Markup, escapes, HTML and a megabyte, in names and in metadata: spelt out, cut, and the file is used (E4)."""
    evil = "\x1b]0;owned\x07[bold red]<script>" + "x" * 1_000_000
    tensors = {**_one_layer(), evil: torch.ones(1), "lora_te_x.lora_up.weight": torch.ones(1)}
    path = tmp_path / "a.safetensors"
    path.write_bytes(save(tensors, {"steps": evil, "ss_steps": evil, "description": evil}))
    said = take(path)
    assert said.code == 0, said.err
    assert "2 of 4 tensors have no place and are left out" in said.err
    assert "\x1b" not in said.err
    assert len(said.err) < 1000
    assert Project.open("a").runs()[-1].saves()[-1].step == 1


def test_a_length_that_looks_like_a_pickle(take: Callable[..., Said], tmp_path: Path) -> None:
    """One header in 32 has a length whose first byte is that of a pickle; such a file is used like any other."""
    path = tmp_path / "a.safetensors"
    lengths = (save(_one_layer(), {"x": "y" * 8 * more}) for more in range(32))
    path.write_bytes(next(content for content in lengths if content[0] == 0x80))
    assert take(path).code == 0
    content = save(_one_layer())
    size = int.from_bytes(content[:8], "little")
    for length in (b"PK\0\0\0\0\0\0", b"PK\1\0\0\0\0\0"):  # a zip begins so, too
        more = int.from_bytes(length, "little") - size
        path.write_bytes(length + content[8 : 8 + size] + b" " * more + content[8 + size :])
        said = take(path)
        assert said.code == 0, said.err


def test_a_file_that_was_never_trained(take: Callable[..., Said], tmp_path: Path) -> None:
    """With every way up zero it is taken, as with --convert, and that it says nothing is said."""
    path = tmp_path / "a.safetensors"
    path.write_bytes(save({key: value * ("lora_A" in key) for key, value in _one_layer().items()}))
    said = take(path)
    assert (said.code, "was never trained" in said.err) == (0, True), said.err


def test_both_kinds_have_to_be_told_apart(
    mdctl: Mdctl, learned: dict[str, bytes], packed: Path, take: Callable[..., Said], tmp_path: Path
) -> None:
    """A file of both asks for --as; an archive says it itself."""
    path = tmp_path / "both.safetensors"
    path.write_bytes(save({**load(learned[TEMPORAL]), **load(learned[LOOK])}))
    said = take(path)
    assert (said.code, "--as appearance" in said.err) == (4, True), said.err
    said = take(path, "--as", "appearance")
    assert (said.code, "240 of 360 tensors have no place" in said.err) == (0, True), said.err
    assert Project.open("both").record.kind == "appearance"
    assert mdctl("import", str(packed), "--as", "motion").code == 2


@pytest.fixture
def packed(mdctl: Mdctl, dance: Project, tmp_path: Path) -> Path:
    """`dance` as an archive."""
    assert mdctl("export", "dance", "-o", str(tmp_path / "dance.mdz")).code == 0
    return tmp_path / "dance.mdz"


# --- Hostile files


def _one_layer(rank: int = 2) -> dict[str, Tensor]:
    return {FILE.format("A"): torch.ones(rank, 8), FILE.format("B"): torch.ones(8, rank)}


class _Evil:
    def __init__(self, canary: Path) -> None:
        self.canary = canary

    def __reduce__(self) -> tuple[object, tuple[Path]]:
        return Path.touch, (self.canary,)


@pytest.mark.parametrize("suffix", [".pt", ".safetensors", ".bin", ".mdz", ""])
@pytest.mark.parametrize("protocol", [0, 2, 5, None])
def test_pickles_under_any_name(take: Callable[..., Said], tmp_path: Path, suffix: str, protocol: int | None) -> None:
    """Known by their first bytes, refused, and what they would do is not done (E1)."""
    canary, path = tmp_path / "canary", tmp_path / f"lora{suffix}"
    if protocol is None:
        torch.save({"x": _Evil(canary)}, path)
    else:
        path.write_bytes(pickle.dumps(_Evil(canary), protocol))
    said = take(path)
    assert said.code == 10, said.err
    assert ("MD-PICKLE" in said.err) == (protocol != 0)
    assert not canary.exists()
    assert not locations.projects().exists()


def _file(header: bytes, data: bytes = b"", size: int | None = None) -> bytes:
    return struct.pack("<Q", len(header) if size is None else size) + header + data


def _with(**changes: Tensor) -> bytes:
    return save({**_one_layer(), **{FILE.format(half): value for half, value in changes.items()}})


_CLAIM = b'{"a":{"dtype":"F32","shape":[10000000000],"data_offsets":[0,40000000000]}}'
HOSTILE = {
    "empty": b"",
    "header 0": _file(b""),
    "header beyond the file": _file(b"{}", size=1 << 40),
    "header not UTF-8": _file(b'{"\xff":1}'),
    "deep JSON": _file(b"[" * 500_000),
    "empty and endless": _file(b'{"a":{"dtype":"F32","shape":[0,4611686018427387904,4],"data_offsets":[0,0]}}'),
    "40 GB": _file(_CLAIM, bytes(64)),
    "a tail": _with() + b"x",
    "many tensors": _file(
        b"{%s}" % b",".join(b'"%d":{"dtype":"F32","shape":[0],"data_offsets":[0,0]}' % n for n in range(100_000))
    ),
    "another rank in one layer": save({**_one_layer(), FILE.replace("to_q", "to_k").format("A"): torch.ones(3, 8),
                                       FILE.replace("to_q", "to_k").format("B"): torch.ones(8, 3)}),
    "other widths": _with(A=torch.ones(2, 320)),
    "other names": save({"model.layers.0.weight": torch.ones(2, 2)}),
    "doubles": _with(A=torch.ones(2, 8, dtype=torch.float64)),
    "whole numbers": _with(A=torch.ones(2, 8, dtype=torch.int8)),
    "NaN": _with(B=torch.full((8, 2), float("nan"))),
    "infinite": _with(B=torch.full((8, 2), float("inf")).half()),
    "no tensors": save({}),
    "a card that is none": save(_one_layer(), {"mdctl": '{"kind": 3}'}),
    "a card of numbers": save(_one_layer(), {"mdctl": '{"kind":"temporal","rank":2,"base":[1],"targets":2,"x":0}'}),
    "a card without an end": save(_one_layer(), {"mdctl": "[" * 100_000}),
    "settings that are none": save(_one_layer(), {"lora_adapter_metadata": "[" * 100_000}),
}  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_files_are_refused_whole(take: Callable[..., Said], tmp_path: Path, name: str) -> None:
    """One error of a few lines, exit code 10, no traceback, and nothing of it is kept (E2, E3)."""
    path = tmp_path / "a.safetensors"
    path.write_bytes(HOSTILE[name])
    said = take(path)
    assert said.code == 10, said.err
    assert said.err.count("error:") == 1
    assert len(said.err) < 1200
    assert "Traceback" not in said.err
    assert not tree(locations.home())


def test_a_file_of_another_family(
    mdctl: Mdctl, learned: dict[str, bytes], model: Path, home: Path, tmp_path: Path
) -> None:
    """AnimateDiff's motion has no layer in UNet3D (E3, E8)."""
    (tmp_path / "a.safetensors").write_bytes(learned[TEMPORAL])
    said = mdctl("import", str(tmp_path / "a.safetensors"), "--model", str(model))
    assert (said.code, "nothing in it is a layer of this base model" in said.err) == (10, True), said.err
    assert not home.exists() or not locations.projects().exists()
