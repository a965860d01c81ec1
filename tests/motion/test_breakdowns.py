"""Gradients that are not finite: what is left out, what is told of it, and when a training has broken down."""

import itertools
from dataclasses import replace

import pytest
import torch
from tiny import tiny_samples, tiny_settings

from mdctl.errors import Diverged
from mdctl.motion import training
from mdctl.motion.backbone import Backbone, Posterior
from mdctl.motion.dataset import Samples
from mdctl.motion.lora import TEMPORAL
from mdctl.motion.training import PATIENCE, Effort, begin, train


def poisoned(samples: Samples, clip: int) -> Samples:
    """The same clips, one of them with latents that are not numbers."""
    found = dict(map(samples.at, range(1, len(samples) + 1)))
    bad = found[clip].posterior
    found[clip] = replace(found[clip], posterior=Posterior(bad.mean * float("nan"), bad.std))
    return Samples([found[index] for index in range(len(samples))], seed=0)


def test_a_save_between_two_looks_keeps_what_was_left_out(backbone: Backbone, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who reads the verdicts for a save does not take them from the next step that tells."""
    monkeypatch.setattr(training, "apply", lambda optimizer, *_: torch.tensor(False))
    samples, settings = tiny_samples(backbone), tiny_settings(steps=4)
    state, told = begin(backbone, len(samples), settings), []
    for step in train(backbone, state, samples, settings, Effort(joint=False, look_every=4)):
        told += step.skipped
        state.record()
    assert told.count(TEMPORAL) == 3  # the first step, what was saved after the second, and the last look
    assert state.skipped[TEMPORAL] == 4


def test_a_gradient_that_is_not_finite_is_left_out(backbone: Backbone) -> None:
    """Steps of a broken clip are skipped and counted; the other clip trains on, and no weight is spoilt.

    Five of them are no breakdown as long as whole ones come between.
    """
    samples, settings = poisoned(tiny_samples(backbone), clip=1), tiny_settings(steps=2 * PATIENCE, spatial_mask=0.0)
    state = begin(backbone, 2, settings)
    before = state.copied("base", "ad")()
    steps = list(train(backbone, state, samples, settings))
    for step in steps:
        broken = samples.at(step.number)[0] == 1
        assert step.skipped == ((TEMPORAL, "spatial_001") if broken else ())
    assert state.record() == {"step": 10, "skipped": {TEMPORAL: 5, "spatial_001": 5}}
    after = state.copied("base", "ad")()
    assert after["spatial_001.safetensors"] == before["spatial_001.safetensors"]
    assert after["spatial_000.safetensors"] != before["spatial_000.safetensors"]
    assert all(weight.isfinite().all() for name in state.adapters.names for weight in state.adapters.parameters(name))


def test_five_in_a_row_are_a_breakdown(backbone: Backbone) -> None:
    """When nothing but broken gradients comes, training ends with an error that offers a lower rate."""
    samples, settings = poisoned(tiny_samples(backbone, 1), clip=0), tiny_settings(steps=50)
    state = begin(backbone, 1, settings)
    before = state.adapters.tensors(TEMPORAL)
    steps = train(backbone, state, samples, settings)
    assert len(list(itertools.islice(steps, PATIENCE))) == PATIENCE == 5
    with pytest.raises(Diverged, match="step 5") as caught:
        next(steps)
    assert "--lr" in caught.value.fix[0]
    assert state.skipped[TEMPORAL] == PATIENCE
    assert all(torch.equal(before[key], weight) for key, weight in state.adapters.tensors(TEMPORAL).items())
