"""The plan counts the very step on a device without memory: the numbers of performance.md, and the ladder."""

import copy
import re
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import UNetMotionModel
from tiny import tiny_image_unet, tiny_motion_adapter, tiny_settings, tiny_unet
from torch.utils.flop_counter import FlopCounterMode

from mdctl.motion import families, plan
from mdctl.motion.lora import TEMPORAL, Adapters, extent
from mdctl.motion.passes import learn
from mdctl.motion.plan import Footprint, Meter, footprint
from mdctl.motion.recompute import LEVELS, Level
from mdctl.motion.schedule import Schedule
from mdctl.motion.training import Learns
from mdctl.settings import Shape, TrainSettings

PAPER = Shape(16, 8, 384, 384)
PLAIN = TrainSettings(rank=32, dropout=0.0)


def test_the_meter_counts_what_lives() -> None:
    """The peak is that of the tensors alive at once; views and weights that were there before are not counted."""
    weight = torch.ones(100)
    with Meter() as meter:
        a = torch.zeros(1000)
        b = a.view(10, 100) + weight.view(1, 100)
        assert meter.now == 8000
        del a
        c = b * 2
        del b, c
    assert (meter.now, meter.peak) == (0, 8000)


def stepped(level: Level, counter: Any) -> Any:
    """One step of ZeroScope at 16 frames of 384x384 under a counter."""
    shadow = families.shadow(None)
    shadow.recompute(level)
    adapters = Adapters(shadow.network, shadow.layers, {TEMPORAL: 32, "spatial_000": 32}, 0.0)
    with plan.measured(shadow) as meter, counter as counted:
        learn(shadow, adapters, [plan.question(shadow, PAPER)], PLAIN, alone=False, joint=True)
    return counted or meter


def test_a_step_has_the_work_of_the_plan() -> None:
    """25.32 TF without recomputing and 35.53 with all of it."""
    for level, work in (("none", 25.32), ("full", 35.53)):
        assert stepped(level, FlopCounterMode(display=False)).get_total_flops() / 1e12 == pytest.approx(work, abs=0.02)


def test_a_step_has_the_launches_and_the_peak_of_the_plan() -> None:
    """At most 6,600 operations without recomputing; with all of it, activations and gradients stay below 2.4 GB.

    The whole of it is what the README says of 16 frames of 384x384.
    """
    assert stepped("none", nullcontext()).operations <= 6600
    found = footprint(families.shadow(None), PAPER, TrainSettings(rank=32), 1, "full")
    assert found.activations <= 2.4e9
    readme = (Path(__file__).parents[2] / "README.md").read_text("utf-8")
    (row,) = re.findall(r"^\| 16 frames of 384x384 .*\| ([\d.]+) \|$", readme, re.MULTILINE)
    assert float(row) == round((found.peak + plan.OVERHEAD) / 1e9, 1)


def blind(network: torch.nn.Module, family: str = "unet3d") -> Any:
    """A model that is nothing but a copy of this network."""
    nothing: Any = torch.nn.Module()
    return families.FAMILIES[family](copy.deepcopy(network), nothing, nothing, nothing, Schedule({}))


@pytest.mark.parametrize("family", ["unet3d", "animatediff"])
def test_each_level_takes_less_than_the_one_before(family: str) -> None:
    """Of both families; the base stays what it is, and a look more adds its weights and their moments."""
    network = (
        tiny_unet() if family == "unet3d" else UNetMotionModel.from_unet2d(tiny_image_unet(), tiny_motion_adapter())
    )
    network.to("meta")

    def found(level: Level, looks: int) -> Footprint:
        return footprint(blind(network, family), Shape(4, 8, 64, 64), replace(PLAIN, rank=2), looks, level)

    levels = [found(level, 2) for level in (LEVELS if family == "unet3d" else ("none", "full"))]
    peaks = [one.activations for one in levels]
    assert peaks == sorted(peaks, reverse=True)
    assert peaks[-1] < 0.6 * peaks[0]
    assert len({(one.weights, one.adapters) for one in levels}) == 1
    if family == "animatediff":
        return
    more = found("full", 3)
    spatial = extent(network, families.FAMILIES[family].layers.spatial, 2)[1]
    assert more.adapters - levels[-1].adapters == 3 * 4 * spatial
    assert more.activations == levels[-1].activations


def test_what_is_learned_is_what_is_counted() -> None:
    """A look takes its own adapter and one frame, be its clips as long as they will; the baseline has one adapter."""
    network = tiny_unet().to("meta")

    def found(learns: Learns, frames: int = 4) -> Footprint:
        return footprint(blind(network), Shape(frames, 8, 64, 64), replace(PLAIN, rank=2), 3, "none", learns)

    motion, look, coupled = found("motion"), found("appearance"), found("coupled")
    assert look == found("appearance", frames=1)
    layers = families.FAMILIES["unet3d"].layers
    spatial, temporal = (extent(network, pattern, 2)[1] for pattern in (layers.spatial, layers.temporal))
    wanted = [temporal + 3 * spatial, spatial, temporal + spatial]
    assert [one.adapters for one in (motion, look, coupled)] == [3 * 4 * numbers for numbers in wanted]
    assert look.activations < coupled.activations / 3 < motion.activations / 3


def test_the_fastest_level_that_fits_is_taken() -> None:
    """From the top of the ladder; none where even the last is too large."""
    peaks: dict[Level, float] = {"none": 20.0, "light": 15.0, "middle": 10.0, "full": 5.0}
    assert [plan.fitting(peaks.__getitem__, budget) for budget in (30, 20, 12, 5, 4)] == [
        "none",
        "none",
        "middle",
        "full",
        None,
    ]
    assert plan.fitting(peaks.__getitem__, 30, LEVELS[1:]) == "light"


def test_smaller_shapes_are_shapes() -> None:
    """Each is smaller than what was asked, and edges stay multiples of 64."""
    found = list(plan.smaller(Shape(24, 8, 576, 320)))
    assert found[0] == Shape(24, 8, 384, 192)
    assert all(one.width % 64 == one.height % 64 == 0 and one.width < 576 for one in found)
    assert [one.frames for one in plan.smaller(Shape(1, 8, 256, 256))] == [1, 1, 1, 1]


def test_no_step_asks_its_device() -> None:
    """On a device that can tell nothing a whole step goes through, dropout and losses included."""
    shadow = families.shadow(None)
    adapters = Adapters(shadow.network, shadow.layers, {TEMPORAL: 2, "spatial_000": 2}, 0.1)
    adapters.drop_out(0)
    draws = [plan.question(shadow, Shape(4, 8, 64, 64))] * 2
    losses = learn(shadow, adapters, draws, tiny_settings(batch=2), alone=False, joint=True)
    assert {name: [loss.device.type for loss in parts] for name, parts in losses.items()} == {
        "spatial_000": ["meta"],
        TEMPORAL: ["meta"],
    }
