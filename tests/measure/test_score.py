"""All figures of a video: the right ones where they can be computed, a reason where not."""

import math
from pathlib import Path

import numpy as np
import pytest
from films import moving
from tiny import tiny_clip_model, tiny_dino

from mdctl.measure import embedders, score
from mdctl.measure.score import Seen, Video
from mdctl.media.frames import Frames


def seen(frames: Frames) -> Seen:
    """Frames as they are judged."""
    return Seen(frames[::2], frames, 8.0)


RIGHT, DOWN = seen(moving(96, 3, 0, 10)), seen(moving(96, 0, 3, 10, seed=1))
BACK = seen(RIGHT.dense[::-1])
STILL = seen(np.repeat(RIGHT.dense[:1], 10, 0))


def test_a_video_is_its_own_best_reference_and_its_reverse_the_worst() -> None:
    """Fidelity 1 with itself, -1 backwards, about 0 across."""
    scores = [score.score(Video(RIGHT, clips=[clip])).values["motion_fidelity_dis"] for clip in (RIGHT, BACK, DOWN)]
    assert scores == pytest.approx([1, -1, 0], abs=0.03)


def test_several_clips_are_averaged() -> None:
    """The figure is the mean over all of them."""
    both = score.score(Video(RIGHT, clips=[RIGHT, BACK])).values["motion_fidelity_dis"]
    assert both == pytest.approx(0, abs=0.03)


def test_what_stands_still_has_no_motion_and_says_so() -> None:
    """No figure is NaN; fidelity is 0 and says why, what compares directions has nothing to say."""
    found = score.score(Video(STILL, clips=[STILL]))
    assert found.values["motion_fidelity_dis"] == 0
    assert found.static
    assert found.skipped["directions_dis"] == score.STATIC
    assert found.values["dynamic_degree_dis"] == 0
    assert found.values["steadiness"] == 1
    assert all(math.isfinite(value) for value in found.values.values())


def test_what_is_missing_is_named() -> None:
    """Without prompt, clips and weights, what remains is computed and the rest says why."""
    found = score.score(Video(RIGHT))
    assert {"text", "pick", "consistency", "motion_fidelity_dis", "leak_colour"} <= {*found.skipped}
    assert not {*found.skipped} & {*found.values}
    assert {"steadiness", "dynamic_degree_dis"} <= {*found.values}


def test_with_weights_prompt_clips_and_base_nothing_is_skipped(tmp_path: Path) -> None:
    """Every figure is there; the base model's own video leaks nothing."""
    model = embedders.load(str(tiny_clip_model(tmp_path / "clip")))
    dino = embedders.dino(str(tiny_dino(tmp_path / "dino")))
    found = score.score(Video(RIGHT, "a red square", [DOWN], RIGHT), model, model, dino)
    assert found.skipped == {}
    assert 0 < found.values["subject_consistency"] < 1
    assert [found.values[name] for name in ("leak_colour", "leak_layout", "leak_embed")] == [0, 0, 0]
    assert found.values["text"] == pytest.approx(found.values["pick"])
    assert 0 < found.values["consistency"] <= 100
