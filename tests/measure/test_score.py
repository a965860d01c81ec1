"""All figures of a video: the right ones where they can be computed, a reason where not."""

import dataclasses
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from films import moving
from tiny import tiny_clip_model, tiny_dino

from mdctl.measure import embedders, score
from mdctl.measure.flow import Values
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
    assert found.meta["static"]
    assert found.skipped["directions_dis"] == score.STATIC
    assert found.values["dynamic_degree_dis"] == 0
    assert found.values["steadiness"] == 1
    assert all(math.isfinite(value) for value in found.values.values())


def test_who_stands_still_is_no_better_off_than_who_moves_wrongly() -> None:
    """Beside a clip that moves, a still video is 0 in motion and in directions alike: it is not left out."""
    found = score.score(Video(STILL, clips=[RIGHT]))
    assert (found.values["motion_fidelity_dis"], found.values["directions_dis"]) == (0, 0)
    assert found.values["flow_cos_dis"] == pytest.approx(0, abs=0.01)


def test_a_single_frame_moves_in_no_way() -> None:
    """As the video or as a clip it has no figure of motion, and the others stand; beside a longer clip it is nobody."""
    one = Seen(RIGHT.dense[:1], RIGHT.dense[:1], 8.0)
    motion = ("motion_fidelity_dis", "directions_dis", "flow_cos_dis", "flow_epe_dis")
    found = score.score(Video(one, clips=[RIGHT], base=one))
    lone = (*motion, "dynamic_degree_dis", "speed_dis", "steadiness", "smoothness_blend")
    assert {found.skipped[name] for name in lone} == {score.SHORT}
    assert {*found.values} == {"leak_colour", "leak_layout"}
    assert {score.score(Video(RIGHT, clips=[one])).skipped[name] for name in motion} == {score.SHORT_CLIPS}
    assert score.score(Video(RIGHT, clips=[one, RIGHT])).values["motion_fidelity_dis"] == pytest.approx(1, abs=0.03)


def test_neighbours_are_neighbours() -> None:
    """Black and white in turn flicker, though of every second frame all are black."""
    turns = np.stack([np.full((32, 32, 3), 255 * (number % 2), np.uint8) for number in range(8)])
    found = score.score(Video(seen(turns)))
    assert (found.values["steadiness"], found.values["smoothness_blend"]) == (0, 0)
    assert (found.meta["judged_frames"], found.meta["followed_frames"]) == (4, 8)


class Colours:
    """An embedder that sees and reads red, green and blue, and of words the first three."""

    id, logit_scale, limit = "colours", 100.0, 3

    def images(self, frames: Frames) -> Values:
        """The mean colour."""
        means = frames.mean((1, 2))
        return np.asarray(means / np.linalg.norm(means, axis=1, keepdims=True))

    def texts(self, prompts: list[str]) -> Values:
        """The last colour that is named."""
        names = [[word for word in prompt.split() if word in ("red", "green", "blue")][-1] for prompt in prompts]
        return np.eye(3)[[("red", "green", "blue").index(name) for name in names]]

    def cuts(self, prompt: str) -> bool:
        """Whether it is of more than three words."""
        return len(prompt.split()) > self.limit


def test_figures_of_words_are_exact() -> None:
    """Red, red, green: two thirds of the prompt, the caption by as much more, half a steady background."""
    red, green = (np.broadcast_to(np.uint8(255 * np.eye(3)[place]), (16, 16, 3)) for place in (0, 1))
    frames = np.stack([red, red, green])
    video = Video(Seen(frames, frames, 8.0), "green", captions=["red", "a man in blue"])
    eyes: Any = Colours()
    found = score.score(video, eyes, clip_b32=eyes)
    assert found.values["text"] == pytest.approx(100 / 3)
    assert found.values["leak_caption"] == pytest.approx((200 / 3 + 0) / 2 - 100 / 3)
    assert found.values["background_consistency"] == pytest.approx(0.5)
    assert found.meta["truncated"] == {"leak_caption": 3}
    assert score.score(dataclasses.replace(video, captions=()), eyes).skipped["leak_caption"] == score.NO_CAPTION
    assert score.score(dataclasses.replace(video, prompt=None), eyes).skipped["leak_caption"] == score.NO_PROMPT


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
    video = Video(RIGHT, "a red square", [DOWN], RIGHT, ["a blue circle"])
    found = score.score(video, model, model, dino, embedders.clip_b32(str(tmp_path / "clip")))
    assert found.skipped == {}
    assert 0 < found.values["background_consistency"] <= 1
    assert 0 < found.values["subject_consistency"] < 1
    assert [found.values[name] for name in ("leak_colour", "leak_layout", "leak_embed")] == [0, 0, 0]
    assert found.values["text"] == pytest.approx(found.values["pick"])
    assert 0 < found.values["consistency"] <= 100
