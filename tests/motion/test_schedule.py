"""The schedule agrees with diffusers, for noise and for velocity prediction."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import DDIMScheduler
from tiny import tiny_scheduler
from torch import Tensor

from mdctl.errors import BadInput
from mdctl.motion.schedule import Schedule, as_timesteps

ZEROSCOPE = {"prediction_type": "epsilon"}
STARTER = {"prediction_type": "v_prediction", "rescale_betas_zero_snr": True, "timestep_spacing": "trailing"}
both = pytest.mark.parametrize("changes", [ZEROSCOPE, {**ZEROSCOPE, "prediction_type": "v_prediction"}, STARTER])


def schedule_of(changes: dict[str, Any]) -> tuple[Schedule, DDIMScheduler]:
    """The schedule under test, and diffusers' own for the same configuration."""
    reference = tiny_scheduler(**changes)
    return Schedule(dict(reference.config)), reference


def drawn(seed: int) -> Tensor:
    """Two clips of latents."""
    return torch.randn(2, 4, 3, 4, 4, generator=torch.Generator().manual_seed(seed))


@both
@pytest.mark.parametrize("timestep", [0, 1, 500, 999])
def test_noise_is_added_as_in_diffusers(changes: dict[str, Any], timestep: int) -> None:
    """Noisy latents (equation 2) and targets are those of diffusers at every timestep."""
    schedule, reference = schedule_of(changes)
    latents, noise, timesteps = drawn(0), drawn(1), torch.tensor([timestep, 250])
    torch.testing.assert_close(
        schedule.add_noise(latents, noise, timesteps), reference.add_noise(latents, noise, timesteps)
    )
    wanted = noise
    if schedule.prediction_type == "v_prediction":
        wanted = reference.get_velocity(latents, noise, timesteps)
    torch.testing.assert_close(schedule.target(latents, noise, timesteps), wanted)


def test_each_clip_has_its_own_timestep() -> None:
    """A batch of two timesteps is two calls with one."""
    schedule, _ = schedule_of(STARTER)
    latents, noise, timesteps = drawn(0), drawn(1), torch.tensor([10, 900])
    together = schedule.add_noise(latents, noise, timesteps)
    for clip in range(2):
        alone = schedule.add_noise(latents[[clip]], noise[[clip]], timesteps[[clip]])
        assert torch.equal(together[[clip]], alone)


@both
@pytest.mark.parametrize("steps", [1, 7, 30])
def test_sampling_steps_are_diffusers_own(changes: dict[str, Any], steps: int) -> None:
    """Timesteps and every DDIM step are those of diffusers."""
    schedule, reference = schedule_of(changes)
    reference.set_timesteps(steps)
    timesteps = schedule.timesteps(steps)
    assert timesteps == reference.timesteps.tolist()
    assert len(timesteps) == steps
    assert timesteps == sorted(timesteps, reverse=True)
    found = wanted = drawn(0)
    for timestep in timesteps:
        prediction = found.tanh()
        found = schedule.step_back(prediction, timestep, found)
        wanted = reference.step(prediction, timestep, wanted).prev_sample
        assert torch.equal(found, wanted)


@both
def test_a_perfect_model_leads_back_to_the_clip(changes: dict[str, Any]) -> None:
    """Where every prediction is the true target, DDIM ends at the clean latents."""
    schedule, _ = schedule_of(changes)
    latents, noise = drawn(0), drawn(1)
    timesteps = schedule.timesteps(20)
    noisy = schedule.add_noise(latents, noise, as_timesteps(timesteps[0], 2, torch.device("cpu")))
    for timestep in timesteps:
        target = schedule.target(latents, noise, as_timesteps(timestep, 2, torch.device("cpu")))
        noisy = schedule.step_back(target, timestep, noisy)
    # The last step ends at the first timestep of training, where hardly any noise is left.
    assert (noisy - latents).abs().max() < 0.15


def test_pure_noise_at_the_end_of_a_zero_snr_schedule() -> None:
    """With rescaled betas the last timestep holds nothing of the clip."""
    schedule, _ = schedule_of(STARTER)
    last = torch.tensor([999, 999])
    assert torch.equal(schedule.add_noise(drawn(0), drawn(1), last), drawn(1))
    assert torch.equal(schedule.target(drawn(0), drawn(1), last), -drawn(0))


def test_other_samplers_names_are_taken(tmp_path: Path) -> None:
    """A folder that names another sampler still gives its noise schedule."""
    config = {
        "_class_name": "DPMSolverMultistepScheduler",
        "beta_schedule": "linear",
        "beta_start": 0.0001,
        "beta_end": 0.02,
        "prediction_type": "v_prediction",
        "solver_order": 2,
    }
    (tmp_path / "scheduler_config.json").write_text(json.dumps(config), encoding="utf-8")
    schedule = Schedule.load(tmp_path)
    torch.testing.assert_close(schedule.alphas_cumprod, (1 - torch.linspace(0.0001, 0.02, 1000)).cumprod(0))
    assert schedule.prediction_type == "v_prediction"


def test_samples_are_never_clipped() -> None:
    """Latents are no pictures: whatever a folder says, they are not clipped to [-1, 1]."""
    schedule, _ = schedule_of({**ZEROSCOPE, "clip_sample": True, "set_alpha_to_one": True})
    assert schedule.sampler.config.clip_sample is False
    assert schedule.sampler.config.set_alpha_to_one is False


def test_an_unknown_prediction_is_refused() -> None:
    """A model that predicts the clean latents is named, with what mdctl knows."""
    with pytest.raises(BadInput, match="'sample'") as caught:
        schedule_of({"prediction_type": "sample"})
    assert "epsilon or v_prediction" in caught.value.fix[0]


def test_timesteps_for_a_batch() -> None:
    """One timestep becomes one whole number for each of the batch."""
    found = as_timesteps(37, 3, torch.device("cpu"))
    assert found.tolist() == [37, 37, 37]
    assert found.dtype == torch.long
