"""Videos in other ways: another sampler, adapters within the weights; each is its own recipe."""

import json
from pathlib import Path

import pytest
from stage import Mdctl

from mdctl.workspace.project import Project


@pytest.mark.parametrize("how", [("--sampler", "unipc"), ("--sampler", "dpm++"), ("--merged",)])
@pytest.mark.usefixtures("golf")
def test_a_video_comes_out_again_the_way_it_was_made(mdctl: Mdctl, how: tuple[str, ...]) -> None:
    """The recipe knows the sampler and whether adapters were merged; without them it says nothing of either."""
    plain = mdctl("gen", "golf", "a blue square", "--steps", "3", "--seed", "5", "--threads", "1")
    other = mdctl("gen", "golf", "a blue square", "--steps", "3", "--seed", "5", "--threads", "1", *how)
    assert (plain.code, other.code) == (0, 0)
    first, second = (Path(said.out.strip()) for said in (plain, other))
    asked = json.loads(second.with_suffix(".json").read_text())["settings"]
    assert asked.get("sampler", asked.get("merged")) in ("unipc", "dpm++", True)
    assert not {"sampler", "merged"} & set(json.loads(first.with_suffix(".json").read_text())["settings"])
    if "--sampler" in how:
        assert first.read_bytes() != second.read_bytes()
    for video in (first, second):
        assert mdctl("gen", "--from", str(video), "--check").code == 0


def test_an_unknown_sampler_is_refused(mdctl: Mdctl, golf: Project) -> None:
    """In words, and nothing is made."""
    said = mdctl("gen", "golf", "a blue square", "--sampler", "euler")
    assert said.code == 2
    assert "euler" in said.err
    assert not list(golf.outputs.glob("*.mp4"))
