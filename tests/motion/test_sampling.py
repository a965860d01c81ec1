"""Sampling is a function of noise and words, and an adapter without effect is refused."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from tiny import tiny_scheduler
from torch import Tensor

from mdctl.errors import Refused
from mdctl.motion import families
from mdctl.motion.backbone import Backbone
from mdctl.motion.dataset import to_frames
from mdctl.motion.lora import TEMPORAL, Adapters
from mdctl.motion.plan import Meter
from mdctl.motion.sampling import SampleStep, first_noise, invert, require_effect, sample


@pytest.fixture(scope="module")
def laid(tiny_model: Path) -> tuple[Backbone, Adapters]:
    """A tiny model with a temporal adapter in it."""
    backbone = families.load(tiny_model, torch.device("cpu"), torch.float32)
    return backbone, Adapters(backbone.network, backbone.layers, dict.fromkeys([TEMPORAL, "spatial_000"], 2))


@pytest.fixture
def model(laid: tuple[Backbone, Adapters]) -> Backbone:
    """The tiny model."""
    return laid[0]


@pytest.fixture
def adapters(laid: tuple[Backbone, Adapters]) -> Adapters:
    """Its adapters, untrained."""
    laid[1].draw(seed=0)
    return laid[1]


def taught(adapters: Adapters, name: str = TEMPORAL) -> Adapters:
    """The same adapters, one of them with something to say."""
    chance = torch.Generator().manual_seed(1)
    for weight in adapters.parameters(name)[1::2]:
        weight.data.copy_(torch.randn(weight.shape, generator=chance) * 0.1)
    return adapters


def video(model: Backbone, seed: int = 0, steps: int = 3, guidance: float = 6.0, negative: str = "") -> Tensor:
    """The latents at the end."""
    noise = first_noise(model, seed, num_frames=3, width=32, height=32)
    asked, plain = model.embed(["a red square orbiting"]), model.embed([negative])
    return list(sample(model, noise, asked, plain, steps, guidance))[-1].latents


def test_the_same_seed_is_the_same_video(model: Backbone) -> None:
    """Seed and words decide every bit; another seed is another video."""
    assert torch.equal(video(model), video(model))
    assert not torch.equal(video(model), video(model, seed=1))
    frames = to_frames(model.decode(video(model)))
    assert frames.shape == (3, 32, 32, 3)


def test_first_noise_has_the_latents_shape(model: Backbone) -> None:
    """It is drawn by seed alone, in the shape that the backbone asks for."""
    assert first_noise(model, 0, 5, 64, 32).shape == (1, 4, 5, 4, 8)
    assert not torch.equal(first_noise(model, 0, 5, 64, 32), first_noise(model, 1, 5, 64, 32))


def test_every_step_is_told(model: Backbone) -> None:
    """One record a step, with its number, and no gradient anywhere."""
    noise = first_noise(model, 0, 3, 32, 32)
    steps = list(sample(model, noise, model.embed(["a"]), model.embed([""]), 4, 6.0))
    assert [(step.number, step.of) for step in steps] == [(number, 4) for number in range(1, 5)]
    assert not any(step.latents.requires_grad for step in steps)
    assert len({step.latents.sum().item() for step in steps}) == 4


def test_gradients_are_left_on_between_steps(model: Backbone) -> None:
    """Sampling computes without gradients, and whoever takes its steps one by one does not notice."""
    steps = sample(model, first_noise(model, 0, 3, 32, 32), model.embed(["a"]), model.embed([""]), 2, 6.0)
    next(steps)
    assert torch.is_grad_enabled()


def test_the_loop_is_ddim_with_guidance(model: Backbone) -> None:
    """The result is that of diffusers' scheduler and two separate predictions, mixed by the guidance."""
    latents = first_noise(model, 0, 3, 32, 32)
    asked, plain = model.embed(["a red square orbiting"]), model.embed(["blue"])
    scheduler = tiny_scheduler()
    scheduler.set_timesteps(3)
    for timestep in scheduler.timesteps:
        with torch.no_grad():
            with_words, without = (model.predict(latents, timestep[None], words) for words in (asked, plain))
        latents = scheduler.step(without + 6 * (with_words - without), timestep, latents).prev_sample
    torch.testing.assert_close(video(model, negative="blue"), latents, rtol=1e-4, atol=1e-4)


def test_guidance_of_one_does_not_ask_for_the_negative(model: Backbone) -> None:
    """Without guidance the negative is not predicted at all, whatever it is; with it, it counts."""
    noise, asked = first_noise(model, 0, 3, 32, 32), model.embed(["a red square"])
    broken = torch.full_like(asked, float("nan"))
    batches: list[int] = []
    hook = model.network.register_forward_pre_hook(lambda _, given: batches.append(len(given[0])))
    unguided = list(sample(model, noise, asked, broken, 2, 1.0))[-1].latents
    guided = list(sample(model, noise, asked, broken, 2, 2.0))[-1].latents
    hook.remove()
    assert unguided.isfinite().all()
    assert guided.isnan().any()
    assert batches == [1, 1, 2, 2]


@pytest.mark.parametrize("sampler", ["unipc", "dpm++"])
def test_other_samplers_come_to_the_same_picture(model: Backbone, sampler: str) -> None:
    """In many steps all samplers end where DDIM does; a seed decides every bit, also of videos made side by side."""
    noise = first_noise(model, 3, num_frames=3, width=32, height=32)
    words = model.embed(["a red square orbiting"]), model.embed([""])

    def way(name: str, steps: int) -> Iterator[SampleStep]:
        return sample(model, noise, *words, steps, 2.0, name)

    first, second = way(sampler, 4), way(sampler, 4)
    pairs = list(zip(first, second, strict=True))
    assert all(torch.equal(one.latents, other.latents) for one, other in pairs)
    fine = [step.latents for step in way("ddim", 60)][-1]
    coarse = [step.latents for step in way("ddim", 10)][-1]
    other = [step.latents for step in way(sampler, 10)][-1]
    assert (other - fine).norm() < (coarse - fine).norm()


def test_guidance_in_halves_is_the_same_video(model: Backbone, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where memory is too small for both sides at once they go through one after the other, and that is told."""
    wanted, stock = video(model), type(model).predict

    def small(self: Backbone, noisy: Tensor, *rest: Tensor) -> Tensor:
        if len(noisy) > 1:
            raise torch.OutOfMemoryError("no memory left")
        return stock(self, noisy, *rest)

    monkeypatch.setattr(type(model), "predict", small)
    noise = first_noise(model, 0, num_frames=3, width=32, height=32)
    steps = list(sample(model, noise, model.embed(["a red square orbiting"]), model.embed([""]), 3, 6.0))
    assert all(step.halved for step in steps)
    torch.testing.assert_close(steps[-1].latents, wanted, rtol=1e-4, atol=1e-4)

    def none(*_: object) -> Tensor:
        raise torch.OutOfMemoryError("no memory left")

    monkeypatch.setattr(type(model), "predict", none)
    with pytest.raises(torch.OutOfMemoryError):
        next(sample(model, noise, model.embed(["a"]), model.embed([""]), 3, 1.0))


@torch.no_grad()
def test_merged_adapters_say_the_same_and_leave_no_trace(model: Backbone, adapters: Adapters) -> None:
    """As part of the weights they change a prediction as beside them; afterwards every weight is what it was."""
    taught(adapters)
    question = torch.randn(1, 4, 3, 4, 4, generator=torch.Generator().manual_seed(0)), torch.tensor([500])
    embeds = model.embed(["a red square"])
    plain = model.predict(*question, embeds)
    weights = {name: weight.clone() for name, weight in model.network.state_dict().items()}
    for scale in (1.0, 0.4, 1.0, 1.0):
        with adapters.speaking({TEMPORAL: scale}):
            beside = model.predict(*question, embeds)
        with adapters.merged({TEMPORAL: scale}):
            within = model.predict(*question, embeds)
        torch.testing.assert_close(within, beside, rtol=1e-4, atol=1e-5)
        assert not torch.equal(within, plain)
    assert torch.equal(model.predict(*question, embeds), plain)
    assert all(torch.equal(weight, weights[name]) for name, weight in model.network.state_dict().items())
    with pytest.raises(ZeroDivisionError), adapters.merged({TEMPORAL: 1.0}):
        raise ZeroDivisionError
    assert torch.equal(model.predict(*question, embeds), plain)


@torch.no_grad()
def test_merged_adapters_cost_nothing_but_their_own_layers(model: Backbone, adapters: Adapters) -> None:
    """A prediction starts as many kernels as the base model's; what they change is there twice, until they learn."""
    taught(adapters)
    question = torch.randn(1, 4, 3, 4, 4), torch.tensor([500]), model.embed(["a red square"])
    with Meter() as plain:
        model.predict(*question)
    own = re.compile(rf"(?:{model.layers.temporal})\.base_layer\.weight")
    touched = sum(weight.nbytes for name, weight in model.network.named_parameters() if own.fullmatch(name))
    assert 0 < touched < sum(weight.nbytes for weight in model.network.parameters()) / 2
    with Meter() as meter:
        for scale in (1.0, 0.3):
            with adapters.merged({TEMPORAL: scale}):
                assert meter.now == touched
        assert meter.now == touched
        with adapters.speaking({}, learning={TEMPORAL}):
            pass
        assert meter.now == 0
    with adapters.merged({TEMPORAL: 1.0}), Meter() as meter:
        model.predict(*question)
    assert meter.operations == plain.operations


@torch.no_grad()
def test_silence_keeps_the_sums(model: Backbone, adapters: Adapters) -> None:
    """With a strength that holds for half of the way nobody speaks in the rest: the next video takes the same sums."""
    taught(adapters)
    own = re.compile(rf"(?:{model.layers.temporal})\.base_layer\.weight")

    def weights() -> list[int]:
        return [id(weight) for name, weight in model.network.named_parameters() if own.fullmatch(name)]

    plain = weights()
    with adapters.merged({TEMPORAL: 1.0}):
        spoken = weights()
    with adapters.merged({}):
        assert weights() == plain
    with Meter() as meter, adapters.merged({TEMPORAL: 1.0}):
        assert weights() == spoken
    assert (meter.operations, spoken == plain) == (0, False)


@torch.no_grad()
def test_learning_meanwhile_leaves_the_weights_whole(model: Backbone, adapters: Adapters) -> None:
    """Whatever happens to the adapters while they are merged, the base model comes back."""
    taught(adapters)
    weights = {name: weight.clone() for name, weight in model.network.state_dict().items() if "lora" not in name}
    with adapters.merged({TEMPORAL: 1.0}):
        adapters.draw(3)
    now = model.network.state_dict()
    assert all(torch.equal(weight, now[name]) for name, weight in weights.items())


@pytest.mark.parametrize("kind", [torch.bfloat16, torch.float16])
@torch.no_grad()
def test_merging_in_16_bits_is_no_further_from_the_truth(tiny_model: Path, kind: torch.dtype) -> None:
    """Against float32 a prediction with merged adapters errs no more than one with adapters beside the weights.

    So it is for adapters as small as a hundredth of the weights too, each of which loses much of its digits in them.
    """
    answers: dict[tuple[torch.dtype, str], list[Tensor]] = {}
    for dtype in (torch.float32, kind):
        backbone = families.load(tiny_model, torch.device("cpu"), dtype)
        adapters = Adapters(backbone.network, backbone.layers, {TEMPORAL: 2})
        adapters.draw(0)
        taught(adapters)
        embeds = backbone.embed(["a red square"]).float()
        for number in range(6):
            noisy = torch.randn(1, 4, 3, 4, 4, generator=torch.Generator().manual_seed(number))
            for name, speak in (("beside", adapters.speaking), ("within", adapters.merged)):
                with speak({TEMPORAL: 0.05}):
                    answer = backbone.predict(noisy, torch.tensor([150 * number]), embeds)
                answers.setdefault((dtype, name), []).append(answer)
    truth = torch.cat(answers[torch.float32, "beside"])
    beside, within = (torch.cat(answers[kind, name]) for name in ("beside", "within"))
    assert not torch.equal(beside, within)
    assert (within - truth).norm() < 1.25 * (beside - truth).norm()


def test_strength_zero_is_the_base_models_video(model: Backbone, adapters: Adapters) -> None:
    """With gamma = 0 every bit is the base model's; the louder the adapter, the further the video goes from it."""
    base = video(model)
    distances = []
    for strength in (0.0, 0.1, 1.0):
        with taught(adapters).speaking({TEMPORAL: strength}):
            distances.append((video(model) - base).norm().item())
    assert distances[0] == 0
    assert 0 < distances[1] < distances[2]


def test_an_adapter_without_effect_is_refused(model: Backbone, adapters: Adapters) -> None:
    """Untrained adapters, and a strength of zero, change nothing: that is an error, not a video."""
    noise, words = first_noise(model, 0, 3, 32, 32), model.embed(["a red square"])
    with pytest.raises(Refused, match="the save has no effect") as caught:
        require_effect(model, adapters, {TEMPORAL: 1.0, "spatial_000": 1.0}, noise, words, "the save")
    assert caught.value.code == "MD-LORA-NOEFFECT"
    with pytest.raises(Refused):
        require_effect(model, taught(adapters), {TEMPORAL: 0.0}, noise, words, "the save")


@pytest.mark.parametrize("name", [TEMPORAL, "spatial_000"])
def test_an_adapter_with_effect_passes(model: Backbone, adapters: Adapters, name: str) -> None:
    """One prediction differs, so the adapter is heard; afterwards none speaks."""
    noise, words = first_noise(model, 0, 3, 32, 32), model.embed(["a red square"])
    before = video(model)
    require_effect(model, taught(adapters, name), {name: 1.0}, noise, words, "the save")
    assert torch.equal(video(model), before)


def test_inversion_leads_back_to_the_clip(backbone: Backbone) -> None:
    """What inversion makes of latents, sampling without guidance turns back into them."""
    torch.manual_seed(0)
    shape = backbone.latent_shape(4, 32, 32)
    latents, embeds = torch.randn(shape), backbone.embed([""])
    *_, last = invert(backbone, latents, embeds, 100)
    assert (last.number, last.of) == (100, 100)
    for step in sample(backbone, last.latents, embeds, embeds, 100, 1.0):
        back = step.latents
    assert (back - latents).norm() / latents.norm() < 0.15
    assert (last.latents - latents).norm() / latents.norm() > 0.5
