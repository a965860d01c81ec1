"""A recorded pass gives, replayed, what the pass itself gives, whichever clip, frame and anchor was drawn.

What records here is a stand-in: it does the same work again at each replay, from the same places in memory and with its
results in the same places, as a CUDA graph does. The graph itself is held by the tests that need a GPU.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import pytest
import torch
from tiny import tiny_samples, tiny_settings
from torch import Tensor, nn

from mdctl.motion import chance, families
from mdctl.motion.recompute import LEVELS, Level
from mdctl.motion.replay import Losses, Play, Replayed, suits
from mdctl.motion.training import Effort, Learns, begin, train
from mdctl.settings import TrainSettings


class Stage:
    """Records by doing the work, and replays by doing it again."""

    weights: Sequence[nn.Parameter] = ()
    recorded = played = 0
    full = False
    """Whether there is no memory for a recording."""

    def record(self, work: Callable[[], Losses]) -> tuple[Play, Losses]:
        """The work again, with results where the first ones stand."""
        if self.full:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        self.recorded += 1
        without = [weight for weight in self.weights if weight.grad is None]
        with torch.random.fork_rng():  # a recording draws nothing yet
            losses = work()
        learners = [weight for weight in without if weight.grad is not None]
        gradients = [weight.grad for weight in learners if weight.grad is not None]
        seats = [weight.data for weight in self.weights]

        def play() -> None:
            self.played += 1
            kept = [(weight.data, weight.grad) for weight in self.weights]
            for weight, seat in zip(self.weights, seats, strict=True):
                weight.data, weight.grad = seat, None
            with torch.enable_grad():
                for name, loss in work().items():
                    losses[name].copy_(loss)
            for weight, gradient in zip(learners, gradients, strict=True):
                assert weight.grad is not None
                gradient.copy_(weight.grad)
            for weight, (data, gradient) in zip(self.weights, kept, strict=True):
                weight.data, weight.grad = data, gradient

        return play, losses


class Ran(NamedTuple):
    """What a training ends with."""

    weights: dict[str, Tensor]
    losses: list[tuple[float | None, float | None]]


def run(folder: Path, settings: TrainSettings, recorded: Replayed | None, stage: Stage, learns: Learns) -> Ran:
    """A training on two clips, its passes recorded or not."""
    backbone = families.load(folder, torch.device("cpu"), torch.float32)
    state = begin(backbone, 2, settings, learns)
    stage.weights = [weight for name in state.adapters.names for weight in state.adapters.parameters(name)]
    how = Effort(joint=True, recorded=recorded)
    steps = [*train(backbone, state, tiny_samples(backbone), settings, how)]
    weights = {f"{name}/{key}": t for name in state.adapters.names for key, t in state.adapters.tensors(name).items()}
    return Ran(weights, [(step.temporal_loss, step.spatial_loss) for step in steps])


@pytest.mark.parametrize(
    ("learns", "settings", "recorded"),
    [
        ("motion", {"spatial_mask": 0.4, "spatial_first": 0.25, "dropout": 0.1}, 4),
        ("motion", {"batch": 2, "shared_spatial": True, "dropout": 0.0, "spatial_mask": 0.0}, 1),
        ("appearance", {}, 1),
        ("coupled", {"dropout": 0.1}, 1),
    ],
)
def test_replayed_is_run(tiny_model: Path, learns: Learns, settings: dict[str, float], recorded: int) -> None:
    """The same adapters and losses to the last bit, over masks, looks alone, clips and draws that share a pass.

    What came first is recorded again after a kind of pass that was new.
    """
    stage, of = Stage(), tiny_settings(steps=10, **settings)
    replayed = Replayed(stage.record)
    found = run(tiny_model, of, replayed, stage, learns)
    wanted = run(tiny_model, of, None, Stage(), learns)
    assert found.losses == wanted.losses
    assert found.weights.keys() == wanted.weights.keys()
    assert all(torch.equal(found.weights[key], weight) for key, weight in wanted.weights.items())
    assert (stage.recorded, replayed.failed) == (recorded, None)
    assert stage.played >= 5


def test_a_step_of_several_passes_is_not_recorded(tiny_model: Path) -> None:
    """Two clips, each with a look of its own, are two passes."""
    stage = Stage()
    found = run(tiny_model, tiny_settings(steps=4, batch=2), Replayed(stage.record), stage, "motion")
    assert (len(found.losses), stage.recorded, stage.played) == (4, 0, 0)


def test_what_is_forgotten_is_recorded_again(tiny_model: Path) -> None:
    """As after a preview, which needs the memory."""
    stage, of = Stage(), tiny_settings(steps=8, spatial_mask=0.0)

    def record(work: Callable[[], Losses]) -> tuple[Play, Losses]:
        play, losses = stage.record(work)

        def once() -> None:
            play()
            if stage.played == 3:
                replayed.forget()

        return once, losses

    replayed = Replayed(record)
    found = run(tiny_model, of, replayed, stage, "motion")
    assert (stage.recorded, stage.played) == (2, 7)
    assert found.losses == run(tiny_model, of, None, Stage(), "motion").losses


def test_no_memory_for_a_recording(tiny_model: Path) -> None:
    """Passes run as they are from then on, and it says why."""
    stage, of = Stage(), tiny_settings(steps=4)
    stage.full, replayed = True, Replayed(stage.record)
    found = run(tiny_model, of, replayed, stage, "motion")
    wanted = run(tiny_model, of, None, Stage(), "motion")
    assert found.losses == wanted.losses
    assert all(torch.equal(found.weights[key], weight) for key, weight in wanted.weights.items())
    assert (stage.played, replayed.failed) == (0, "CUDA out of memory.")


@pytest.mark.parametrize(("usable", "levels"), [(False, ["none", "light"]), (True, list(LEVELS))])
def test_what_is_recorded(usable: bool, levels: list[Level], monkeypatch: pytest.MonkeyPatch) -> None:
    """On a GPU, all where dropout keeps no mask; else not where layers are computed again, and ask what chance was."""
    monkeypatch.setattr(chance, "usable", lambda _: usable)
    cuda, cpu = torch.device("cuda"), torch.device("cpu")
    assert [level for level in LEVELS if suits(cuda, level)] == levels
    assert not any(suits(cpu, level) for level in LEVELS)
