"""Training keeps what method.md, section 3, demands of each step, and resumes to the bit."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from tiny import tiny_samples, tiny_settings
from torch import Tensor, nn

from mdctl.errors import Refused
from mdctl.motion import families, noise, passes
from mdctl.motion.backbone import Backbone
from mdctl.motion.dataset import Sample, Samples
from mdctl.motion.lora import TEMPORAL
from mdctl.motion.objective import spatial_loss, temporal_loss
from mdctl.motion.schedule import as_timesteps
from mdctl.motion.training import TrainState, begin, train
from mdctl.settings import TrainSettings

Files = dict[str, bytes]


@pytest.fixture
def fresh(tiny_model: Path) -> Callable[[], Backbone]:
    """The tiny model, as often as it is needed."""
    return lambda: families.load(tiny_model, torch.device("cpu"), torch.float32)


def files(state: TrainState) -> Files:
    """What a save of this state holds."""
    return state.copied("base", "ad")()


def weights(backbone: Backbone) -> dict[str, Tensor]:
    """The base model's own weights, copied."""
    own = {name: weight for name, weight in backbone.network.state_dict().items() if ".lora_" not in name}
    return {name.replace(".base_layer.", "."): weight.clone() for name, weight in own.items()}


def followed(state: TrainState) -> list[tuple[str, str]]:
    """The order in which gradients arrive and optimizers step, filled in as training goes on."""
    events: list[tuple[str, str]] = []

    def note(kind: str, name: str) -> Callable[..., None]:
        return lambda *_: events.append((kind, name))

    for name in state.adapters.names:
        with state.adapters.speaking({}, learning={name}):
            state.adapters.parameters(name)[-1].register_post_accumulate_grad_hook(note("gradient", name))
        state.optimizers[name].register_step_pre_hook(note("step", name))
    return events


# --- What a step does.


def test_the_base_model_stays_as_it_was(backbone: Backbone) -> None:
    """Frozen weights are bit-identical after training, while every adapter that was drawn has changed."""
    samples, settings = tiny_samples(backbone), tiny_settings(spatial_mask=0.0, steps=2)
    before = weights(backbone)
    state = begin(backbone, len(samples), settings)
    first = files(state)
    list(train(backbone, state, samples, settings))
    after = weights(backbone)
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)
    changed = {name for name, file in files(state).items() if file != first[name]}
    assert changed == {
        "temporal.safetensors",
        "spatial_000.safetensors",
        "spatial_001.safetensors",
        "optim.safetensors",
    }
    assert not any(weight.requires_grad or weight.grad is not None for weight in backbone.network.parameters())


def test_both_backward_passes_come_before_any_optimizer(backbone: Backbone) -> None:
    """First the look's gradient, then the motion's, then the optimizers; a masked step has no look at all.

    So each spatial gradient arrives once a step: the temporal backward pass does not touch it. And only the optimizers
    of the temporal and of the drawn clip's adapter step.
    """
    samples, settings = tiny_samples(backbone), tiny_settings(steps=8, spatial_mask=0.4)
    state = begin(backbone, len(samples), settings)
    events = followed(state)
    kinds = set()
    for step in train(backbone, state, samples, settings):
        spatial = f"spatial_{samples.at(step.number)[0]:03d}"
        wanted = [("gradient", TEMPORAL), ("step", TEMPORAL)]
        masked = noise.uniform(settings.seed, "mask", step.number) < 0.4
        if not masked:
            wanted = [("gradient", spatial), ("gradient", TEMPORAL), ("step", TEMPORAL), ("step", spatial)]
        assert events == wanted
        assert (step.spatial_loss is None) == masked
        events.clear()
        kinds.add((spatial, masked))
    assert len(kinds) == 4


@pytest.mark.parametrize(("share", "alone"), [(0.0, 0), (0.5, 4), (0.9, 7)])
def test_looks_may_be_learned_first(backbone: Backbone, share: float, alone: int) -> None:
    """In the first share of the steps only the look's adapter learns, unmasked; then both do, on the same draws."""
    samples, settings = tiny_samples(backbone), tiny_settings(steps=8, spatial_mask=0.4, spatial_first=share)
    state = begin(backbone, len(samples), settings)
    events = followed(state)
    for step in train(backbone, state, samples, settings):
        spatial = f"spatial_{samples.at(step.number)[0]:03d}"
        if step.number <= alone:
            assert events == [("gradient", spatial), ("step", spatial)]
            assert step.temporal_loss is None
            assert step.spatial_loss is not None
        else:
            assert ("step", TEMPORAL) in events
            assert step.temporal_loss is not None
        events.clear()


@pytest.mark.parametrize(("stopped", "alone"), [(2, 8), (4, 8), (5, 0)])
def test_motion_that_has_begun_goes_on(backbone: Backbone, stopped: int, alone: int) -> None:
    """With more steps a quarter is more; who is past the old quarter (four) does not go back to looks."""
    settings = tiny_settings(steps=16, spatial_first=0.25)
    samples = tiny_samples(backbone)
    state = begin(backbone, len(samples), settings)
    for step in train(backbone, state, samples, settings):
        if step.number == stopped:
            break
    more = [step.temporal_loss is None for step in train(backbone, state, samples, replace(settings, steps=32))]
    assert more == [number <= alone for number in range(stopped + 1, 33)]


def test_an_idle_adapter_rests(backbone: Backbone) -> None:
    """Decay does not shrink the adapter of a clip that was not drawn."""
    samples, settings = tiny_samples(backbone), tiny_settings(steps=1, spatial_mask=0.0, weight_decay=0.9)
    state = begin(backbone, len(samples), settings)
    before = files(state)
    list(train(backbone, state, samples, settings))
    drawn = samples.at(1)[0]
    after = files(state)
    for clip in range(2):
        name = f"spatial_{clip:03d}.safetensors"
        assert (after[name] != before[name]) == (clip == drawn)


def test_a_fifth_of_the_steps_leaves_the_look_out() -> None:
    """The mask is drawn from its own stream, and takes a share of about 0.2."""
    masked = [noise.uniform(0, "mask", step) < TrainSettings().spatial_mask for step in range(1, 5001)]
    assert sum(masked) / 5000 == pytest.approx(0.2, abs=0.02)


@pytest.mark.parametrize("masked", [False, True], ids=["whole", "masked"])
def test_a_step_is_the_papers_formula(backbone: Backbone, masked: bool) -> None:
    """Losses are equations 4 and 7 on the draws of the step's streams, written out here once more.

    The temporal path hears the look of the clip that was drawn, and nothing but the base model in a masked step.
    """
    settings = tiny_settings(steps=1, dropout=0.0, spatial_mask=float(masked), beta=2.0)
    samples = tiny_samples(backbone, 1)
    state = begin(backbone, 1, settings)
    for weight in state.adapters.parameters("spatial_000"):
        torch.nn.init.normal_(weight, std=0.3, generator=torch.Generator().manual_seed(1))
    for module in backbone.network.modules():
        if isinstance(module, torch.nn.Dropout):  # diffusers' temporal convolutions have their own
            module.p = 0.0

    example, schedule = samples.at(1)[1], backbone.schedule
    shape = tuple(example.posterior.mean.shape)
    latents = example.posterior.mean + example.posterior.std * noise.normal(0, "vae", 1, shape)
    drawn = noise.normal(0, "noise", 1, shape)
    timesteps = as_timesteps(passes.timestep(noise.uniform(0, "timestep", 1), 1000, 1.0), 1, torch.device("cpu"))
    frame, anchor = noise.uniform_int(0, "frame", 1, shape[2]), noise.uniform_int(0, "anchor", 1, shape[2])
    noisy = schedule.add_noise(latents, drawn, timesteps)
    with torch.no_grad(), state.adapters.speaking({} if masked else {"spatial_000": 1.0}):
        single = backbone.predict(noisy[:, :, [frame]], timesteps, example.prompt_embeds)
        clip = backbone.predict(noisy, timesteps, example.prompt_embeds)

    (step,) = train(backbone, state, samples, settings)
    assert (step.number, step.of) == (1, 1)
    look = None if masked else pytest.approx(spatial_loss(single - drawn[:, :, [frame]]).item(), rel=1e-5)
    assert step.spatial_loss == look
    assert step.temporal_loss == pytest.approx(temporal_loss(clip - drawn, anchor, 2.0).item(), rel=1e-5)


def test_dropout_works_in_training_alone(backbone: Backbone) -> None:
    """Adapters drop out in each step and not between steps, the frozen model never; global chance is untouched."""
    samples, settings = tiny_samples(backbone), tiny_settings(dropout=0.5)
    state = begin(backbone, len(samples), settings)
    modes: list[bool] = []
    own = [module for module in backbone.network.modules() if isinstance(module, nn.Dropout)]
    backbone.network.register_forward_hook(lambda *_: modes.append(any(module.training for module in own)))
    chance = torch.get_rng_state()
    for step in train(backbone, state, samples, settings):
        assert not any(module.training for module in backbone.network.modules())
        assert torch.equal(torch.get_rng_state(), chance)
        if step.number == 1:
            continue  # its B was zero, and nothing came out of an adapter
        first, second = (spoken(backbone, state, samples) for _ in range(2))
        assert torch.equal(first, second)
        state.adapters.drop_out(0)
        with torch.random.fork_rng():
            assert not torch.equal(spoken(backbone, state, samples), first)
        state.adapters.drop_out(None)
    assert set(modes) == {False}


@torch.no_grad()
def spoken(backbone: Backbone, state: TrainState, samples: Samples) -> Tensor:
    """What the model answers to a clip when the motion speaks."""
    example = samples.at(1)[1]
    with state.adapters.speaking({TEMPORAL: 1.0}):
        return backbone.predict(example.posterior.mean, torch.tensor([500]), example.prompt_embeds)


def test_clips_may_share_one_spatial_adapter(backbone: Backbone) -> None:
    """With `shared_spatial` there are two adapters, and every clip steps the one spatial adapter."""
    samples, settings = tiny_samples(backbone), tiny_settings(steps=2, shared_spatial=True, spatial_mask=0.0)
    state = begin(backbone, len(samples), settings)
    assert state.adapters.names == (TEMPORAL, "spatial_000")
    events = followed(state)
    list(train(backbone, state, samples, settings))
    assert events.count(("step", "spatial_000")) == 2


# --- What training achieves.


def test_losses_fall_on_one_clip(backbone: Backbone) -> None:
    """A few dozen steps on one clip lower the errors of look and motion on draws that training never saw."""
    samples, settings = tiny_samples(backbone, 1), tiny_settings(steps=24, rank=8, learning_rate=2e-2, spatial_mask=0.0)
    state = begin(backbone, 1, settings)
    before = errors(backbone, state, samples.at(1)[1])
    list(train(backbone, state, samples, settings))
    after = errors(backbone, state, samples.at(1)[1])
    assert after[0] < 0.97 * before[0]
    assert after[1] < 0.97 * before[1]


@torch.no_grad()
def errors(backbone: Backbone, state: TrainState, example: Sample) -> tuple[float, float]:
    """Mean errors of look and motion over fixed draws, as in a step without mask."""
    look, motion = [], []
    for draw in range(8):
        drawn = noise.normal(draw, "judge", 0, tuple(example.posterior.mean.shape))
        timesteps = as_timesteps(60 + 120 * draw, 1, backbone.device)
        noisy = backbone.schedule.add_noise(example.posterior.mean, drawn, timesteps)
        with state.adapters.speaking({"spatial_000": 1.0}):
            single = backbone.predict(noisy[:, :, [0]], timesteps, example.prompt_embeds)
        with state.adapters.speaking({"spatial_000": 1.0, TEMPORAL: 1.0}):
            clip = backbone.predict(noisy, timesteps, example.prompt_embeds)
        look.append(spatial_loss(single - drawn[:, :, [0]]).item())
        motion.append(temporal_loss(clip - drawn, 0).item())
    return sum(look) / 8, sum(motion) / 8


# --- Going on, and breaking down.


def test_a_resumed_run_ends_as_an_uninterrupted_one(fresh: Callable[[], Backbone]) -> None:
    """Stopped after any step and restored into a new process's model, the final files are equal byte for byte."""
    whole, settings = fresh(), tiny_settings(steps=4)
    state = begin(whole, 2, settings)
    saves = {0: (files(state), state.record())}
    for step in train(whole, state, tiny_samples(whole), settings):
        saves[step.number] = files(state), state.record()
    wanted = saves[4][0]

    other = fresh()
    resumed = begin(other, 2, replace(settings, seed=5))
    for stop in (2, 3, 0):
        resumed.restore(*saves[stop], "there")
        assert resumed.number == stop
        assert files(resumed) == saves[stop][0]
        steps = list(train(other, resumed, tiny_samples(other), settings))
        assert [step.number for step in steps] == list(range(stop + 1, 5))
        assert files(resumed) == wanted


def test_a_step_that_broke_off_is_done_again(fresh: Callable[[], Backbone]) -> None:
    """Out of memory between look and motion: the same step, asked for again, counts its gradients once."""
    ends = []
    for broken in (False, True):
        backbone, settings = fresh(), tiny_settings(steps=1, spatial_mask=0.0)
        state = begin(backbone, 2, settings)
        if broken:
            hook = backbone.network.register_forward_pre_hook(out_of_memory_for_clips)
            with pytest.raises(torch.OutOfMemoryError):
                next(train(backbone, state, tiny_samples(backbone), settings))
            hook.remove()
            assert state.number == 0
            assert not backbone.network.training
        list(train(backbone, state, tiny_samples(backbone), settings))
        ends.append(files(state))
    assert ends[0] == ends[1]


def out_of_memory_for_clips(_: object, given: tuple[Tensor, ...]) -> None:
    """What torch raises when a clip is too large, though one frame was not."""
    if given[0].shape[2] > 1:
        raise torch.OutOfMemoryError("no memory left")


def test_recomputing_trains_the_same_weights(fresh: Callable[[], Backbone]) -> None:
    """A run that computes blocks again in backward ends with the very same files."""
    ends = []
    for again in (False, True):
        backbone, settings = fresh(), tiny_settings(steps=2, spatial_mask=0.0)
        if again:
            backbone.recompute()
        state = begin(backbone, 2, settings)
        list(train(backbone, state, tiny_samples(backbone), settings))
        ends.append(files(state))
    assert ends[0] == ends[1]


def test_a_finished_run_takes_no_step(backbone: Backbone) -> None:
    """At its last step there is nothing left to do; more steps go on from there."""
    samples, settings = tiny_samples(backbone), tiny_settings(steps=1)
    state = begin(backbone, 2, settings)
    assert [step.number for step in train(backbone, state, samples, settings)] == [1]
    assert list(train(backbone, state, samples, settings)) == []
    assert [step.number for step in train(backbone, state, samples, replace(settings, steps=2))] == [2]


def test_a_damaged_save_is_refused_before_anything_changes(backbone: Backbone) -> None:
    """A missing file, an unreadable one or a state without step ends in a sentence, and the state stays."""
    samples, settings = tiny_samples(backbone), tiny_settings(steps=1)
    state = begin(backbone, 2, settings)
    list(train(backbone, state, samples, settings))
    whole, record = files(state), state.record()
    for name in whole:
        with pytest.raises(Refused, match="there is damaged") as caught:
            state.restore({key: file for key, file in whole.items() if key != name}, record, "there")
        assert name in caught.value.why
    for bad in ({}, {"step": "1"}, {"step": 1, "skipped": 3}):
        with pytest.raises(Refused, match="there is damaged"):
            state.restore(whole, bad, "there")
    with pytest.raises(Refused, match=r"there/optim\.safetensors"):
        state.restore(whole | {"optim.safetensors": b"garbage"}, record, "there")
    assert files(state) == whole
    assert state.number == 1


def test_a_shift_leans_towards_noise():
    """Without a shift timesteps are uniform; a shift of 8 puts the middle of the draws at eight ninths of the way."""
    assert [passes.timestep(drawn, 1000, 1.0) for drawn in (0.0, 0.25, 0.999)] == [0, 250, 999]
    assert passes.timestep(0.5, 1000, 8.0) == 888
    assert passes.timestep(0.9999999, 1000, 8.0) == 999
