"""`cache`: what lies there, what goes for its age, what goes when all is to go, and what somebody still uses."""

import json
import os
import shutil
import time
from pathlib import Path

import pytest
from stage import Mdctl

from mdctl.workspace import cache, locations, locks
from mdctl.workspace.project import Project
from mdctl.workspace.runs import Run

OLD = time.time() - 40 * 24 * 3600


def aged(path: Path) -> Path:
    """The same path, with all in it not used for 40 days."""
    for one in (path, *path.rglob("*")):
        os.utime(one, (OLD, OLD))
    return path


def latents() -> list[Path]:
    """The encoded clips of the project `golf`."""
    return sorted(path for path in locations.latents().iterdir() if path.name[0] != ".")


@pytest.fixture
def base() -> Path:
    """A base model that was pulled, as far as the cache can tell."""
    file = locations.models() / "org--name@1234" / "unet" / "weights.safetensors"
    file.parent.mkdir(parents=True)
    file.write_bytes(bytes(5_000))
    return aged(file.parents[1])


@pytest.fixture
def look(golf: Project) -> Project:
    """A look of a picture, kept for next time."""
    return Project(Path(shutil.copytree(golf.folder, locations.images() / "car-5a0c1d")))


def test_nothing_yet(mdctl: Mdctl, home: Path) -> None:
    """An empty cache is listed and pruned, and nothing is made for it."""
    said = mdctl("cache", "list")
    assert said.code == 0
    assert [line.split("\t")[0::2] for line in said.lines] == [
        ["models", "0", "0 B"],
        ["latents", "0", "0 B"],
        ["images", "0", "0 B"],
    ]
    assert mdctl("cache", "prune", "--all").code == 0
    assert not home.exists()


def test_what_there_is(mdctl: Mdctl, look: Project, base: Path) -> None:
    """Every part has its size and what is unused of it; a base model never counts as unused."""
    aged(latents()[0])
    records = {record["part"]: record for record in json.loads(mdctl("cache", "list", "--json").out)}
    assert records["latents"]["entries"] == 2
    assert records["latents"]["bytes"] == sum(path.stat().st_size for path in latents())
    assert records["latents"]["unused_bytes"] == latents()[0].stat().st_size
    assert (records["images"]["entries"], records["images"]["unused_bytes"]) == (1, 0)
    assert (records["models"]["bytes"], records["models"]["unused_bytes"]) == (5_000, 0)
    assert "mdctl cache prune" in mdctl("cache", "list").err


def test_only_what_is_old_goes(mdctl: Mdctl, look: Project, base: Path) -> None:
    """After 30 days without use; what was used since stays, and base models stay however old they are."""
    old, young = latents()
    size = aged(old).stat().st_size
    dry = mdctl("cache", "prune", "-n", "--json").records[-1]
    assert (dry["bytes"], dry["removed"], old.exists()) == (size, [str(old)], True)
    assert mdctl("cache", "prune", "--json").records[-1]["removed"] == [str(old)]
    assert latents() == [young]
    assert look.folder.exists()
    assert base.exists()
    said = mdctl("cache", "prune")
    assert "nothing to prune" in said.err
    assert "--all" in said.err


def test_all_but_base_models(mdctl: Mdctl, look: Project, golf: Project, base: Path) -> None:
    """With --all everything else goes, and each model is named with the line that would delete it."""
    said = mdctl("cache", "prune", "--all")
    assert said.code == 0
    assert "2 of latents" in said.err
    assert "mdctl models rm org/name@1234" in said.err
    assert (latents(), look.folder.exists(), base.exists()) == ([], False, True)
    assert golf.fault is None


def test_a_training_keeps_its_latents(mdctl: Mdctl, golf: Project, run: Run) -> None:
    """While a project is being trained its clips stay encoded, and who trains it is named."""
    run.extend(9)
    before = latents()
    with golf.locked("train"):
        said = mdctl("cache", "prune", "--all")
        assert said.code == 0
        assert "golf is being trained by pid" in said.err
        assert latents() == before
    mdctl("cache", "prune", "--all")
    assert latents() == []


def test_a_look_that_is_used_stays(mdctl: Mdctl, look: Project) -> None:
    """A look that is being learned, or that makes a video just now, is left alone."""
    save = look.runs()[-1].saves()[-1]
    with locks.reader(save.folder):
        assert "used for a video" in mdctl("cache", "prune", "--all").err
    with look.locked("train"):
        assert "being trained" in mdctl("cache", "prune", "--all").err
    assert look.folder.exists()
    mdctl("cache", "prune", "--all")
    assert not look.folder.exists()


def test_what_is_just_laid_aside_stays(mdctl: Mdctl, home: Path) -> None:
    """A part that mdctl does not know, or where a video is being compared, is emptied only of what rests there."""
    for name in ("young.mp4", "old.mp4"):
        (locations.cache() / "check").mkdir(parents=True, exist_ok=True)
        (locations.cache() / "check" / name).write_bytes(b"1234")
    aged(locations.cache() / "check" / "old.mp4")
    assert mdctl("cache", "prune", "--all").code == 0
    assert [path.name for path in (locations.cache() / "check").iterdir()] == ["young.mp4"]


def test_to_look_for_damage_is_no_use(golf: Project) -> None:
    """A clip that is only looked at for damage does not become young by it; one cut short is found."""
    first, second = latents()
    first.write_bytes(first.read_bytes()[:-10])
    aged(first), aged(second)
    assert [entry.path for entry in cache.damaged()] == [first]
    assert [entry.path for entry in cache.unused()] == [first, second]
