"""Videos in other ways: another sampler, adapters within the weights; each is its own recipe."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from stage import Mdctl, sidecar

from mdctl.cli.create import generate
from mdctl.media import clips
from mdctl.workspace.project import Project

LINE = ("gen", "golf", "a blue square", "--steps", "3", "--seed", "5", "--threads", "1")


@pytest.mark.parametrize("how", [("--sampler", "unipc"), ("--sampler", "dpm++"), ("--no-merged",)])
@pytest.mark.usefixtures("golf")
def test_a_video_comes_out_again_the_way_it_was_made(mdctl: Mdctl, how: tuple[str, ...]) -> None:
    """The recipe knows the sampler, unless it is the usual one, and whether adapters were merged."""
    plain, other = mdctl(*LINE), mdctl(*LINE, *how)
    assert (plain.code, other.code) == (0, 0)
    first, second = (Path(said.out.strip()) for said in (plain, other))
    usual, asked = sidecar(first)["settings"], sidecar(second)["settings"]
    assert usual["merged"] is True
    assert "sampler" not in usual
    assert asked == (usual | {"sampler": how[1]} if "--sampler" in how else without(usual, "merged"))
    assert first.read_bytes() != second.read_bytes()
    for video in (first, second):
        assert mdctl("gen", "--from", str(video), "--check").code == 0


def without(table: dict[str, Any], key: str) -> dict[str, Any]:
    """A table without one of its keys."""
    return {name: value for name, value in table.items() if name != key}


@pytest.mark.usefixtures("golf")
def test_merging_changes_last_bits_and_no_picture(mdctl: Mdctl) -> None:
    """With one strength and with a schedule the frames are those of adapters beside the weights, but for rounding."""
    for strength in ("1.2", "1.5@0-0.4+0.5@0.4-0.8"):
        made = [mdctl(*LINE, "--strength", strength, *how).out.strip() for how in ((), ("--no-merged",))]
        within, beside = (clips.spread(Path(path), 4)[0].astype(int) for path in made)
        assert np.abs(within - beside).mean() < 0.1


@pytest.mark.usefixtures("golf")
def test_a_recipe_that_does_not_speak_of_merging_was_not_merged(mdctl: Mdctl) -> None:
    """Videos from before it was the usual way come out as they were; a flag changes that."""
    old = Path(mdctl(*LINE, "--no-merged").out.strip())
    assert "merged" not in sidecar(old)["settings"]
    again = Path(mdctl("gen", "--from", str(old)).out.strip())
    assert again.read_bytes() == old.read_bytes()
    merged = Path(mdctl("gen", "--from", str(old), "--merged").out.strip())
    assert merged.read_bytes() == Path(mdctl(*LINE).out.strip()).read_bytes()


def test_a_project_may_say_that_nothing_is_merged(mdctl: Mdctl, golf: Project) -> None:
    """Its settings hold for gen, grid and previews alike."""
    golf.set("gen.merged", False)
    assert "merged" not in sidecar(mdctl(*LINE).out.strip())["settings"]


@pytest.mark.usefixtures("golf")
def test_fast_is_an_approximation_that_the_recipe_holds_as_plain_settings(mdctl: Mdctl) -> None:
    """What it costs is said; its video is that of the same flags by hand, which it does not share the line with."""
    line = ("gen", "golf", "a blue square", "--seed", "5", "--threads", "1")
    said = mdctl(*line, "--fast")
    assert said.code == 0
    assert "an approximation" in said.err
    assert generate.FAST_SEEN in said.err.replace("\n", " ")
    plain = [f"--{key}={value}" for key, value in generate.FAST.items()]
    other = Path(mdctl(*line, *plain).out.strip())
    assert other.read_bytes() == Path(said.out.strip()).read_bytes()
    assert generate.FAST.items() <= sidecar(other)["settings"].items()
    assert mdctl(*line, "--fast", plain[1]).code == 2


def test_an_unknown_sampler_is_refused(mdctl: Mdctl, golf: Project) -> None:
    """In words, and nothing is made."""
    said = mdctl("gen", "golf", "a blue square", "--sampler", "euler")
    assert said.code == 2
    assert "euler" in said.err
    assert not list(golf.outputs.glob("*.mp4"))
