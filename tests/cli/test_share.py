"""`export` and `import`: what is passed on is the same there, and nothing odd comes in."""

import shutil
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
