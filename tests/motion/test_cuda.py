"""What only a GPU can show: recordings, repeatability, 16 bits, and memory that runs out.

`CUBLAS_WORKSPACE_CONFIG=:4096:8 pytest tests/motion/test_cuda.py`
"""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny import tiny_samples, tiny_settings
from torch import Tensor

from mdctl.motion import chance, families, training
from mdctl.motion import device as machine
from mdctl.motion.backbone import Backbone
from mdctl.motion.lora import TEMPORAL
from mdctl.motion.noise import normal
from mdctl.motion.recompute import LEVELS, Level
from mdctl.motion.sampling import sample
from mdctl.motion.speed import measure
from mdctl.motion.training import Effort, Learns, TrainState, begin, effort, train
from mdctl.workspace import weights

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU that torch knows as CUDA")
CUDA = torch.device("cuda", 0)


@pytest.fixture(autouse=True)
def repeatable() -> Iterator[None]:
    """The same kernels in the same order every time."""
    machine.settle(None, deterministic=True)
    yield
    torch.use_deterministic_algorithms(False)


def begun(
    folder: Path, precision: str = "fp32", learns: Learns = "motion", level: Level = "none", **changes: Any
) -> tuple[Backbone, TrainState, Any]:
    """A tiny model on the GPU, and a training of two clips that stands at its start."""
    backbone = families.in_precision(folder, CUDA, precision)
    backbone.recompute(level)
    settings = tiny_settings(**changes)
    return backbone, begin(backbone, 2, settings, learns), settings


def ended(
    folder: Path, how: Effort, precision: str = "fp32", learns: Learns = "motion", **changes: Any
) -> tuple[dict[str, bytes], list[tuple[float | None, float | None]]]:
    """The files and losses of a whole training."""
    backbone, state, settings = begun(folder, precision, learns, **changes)
    steps = [*train(backbone, state, tiny_samples(backbone), settings, replace(how, look_every=1))]
    return state.copied("base", "ad")(), [(step.temporal_loss, step.spatial_loss) for step in steps]


@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
@pytest.mark.parametrize(
    ("learns", "changes"),
    [
        ("motion", {"spatial_mask": 0.4, "spatial_first": 0.25, "dropout": 0.1}),
        ("motion", {"batch": 2, "dropout": 0.0}),
        ("appearance", {"dropout": 0.1}),
        ("coupled", {"dropout": 0.1}),
    ],
)
def test_a_recording_trains_the_same(
    tiny_model: Path, precision: str, learns: Learns, changes: dict[str, float]
) -> None:
    """To the last bit, dropout and the loss scale of fp16 included."""
    how = effort(CUDA)
    assert how.recorded
    found = ended(tiny_model, how, precision, learns, steps=12, **changes)
    assert how.recorded.failed is None
    wanted = ended(tiny_model, replace(how, recorded=None), precision, learns, steps=12, **changes)
    assert found == wanted


@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
def test_going_on_is_bit_identical(tiny_model: Path, precision: str) -> None:
    """A training that stops and goes on in another process state ends with the bytes of one that does not."""
    whole, _ = ended(tiny_model, effort(CUDA), precision, steps=8, dropout=0.1)
    backbone, state, settings = begun(tiny_model, precision, steps=8, dropout=0.1)
    steps = train(backbone, state, tiny_samples(backbone), settings, effort(CUDA))
    for _ in range(5):
        next(steps)
    files, record = state.copied("base", "ad")(), state.record()
    backbone, state, settings = begun(tiny_model, precision, steps=8, dropout=0.1)
    state.restore(files, record, "the save")
    assert len([*train(backbone, state, tiny_samples(backbone), settings, effort(CUDA))]) == 3
    assert state.copied("base", "ad")() == whole


@pytest.mark.parametrize("level", LEVELS[1:])
def test_every_level_trains_the_same(tiny_model: Path, level: Level) -> None:
    """What is computed again comes to the same weights, up to rounding."""
    ends = []
    for one in ("none", level):
        backbone, state, settings = begun(tiny_model, level=one, steps=4, dropout=0.1, spatial_mask=0.0)
        assert len([*train(backbone, state, tiny_samples(backbone), settings, effort(CUDA, one))]) == 4
        ends.append(flat(state))
    assert (ends[0] - ends[1]).norm() <= 1e-4 * ends[0].norm()


def flat(state: TrainState) -> Tensor:
    """All weights of the motion."""
    return torch.cat([weight.detach().flatten() for weight in state.adapters.parameters(TEMPORAL)])


def test_the_gate() -> None:
    """Presets, recorded where they are when they are timed, give the gradients of the readable form."""
    apart = measure.parity(CUDA)
    assert measure.equal(apart), apart


def test_sixteen_bits_teach_nearly_the_same(tiny_model: Path) -> None:
    """In bf16 and in fp16 the adapters learn nearly what they learn from a base in fp32, and nothing is skipped."""
    learned = {}
    for precision in ("fp32", "bf16", "fp16"):
        backbone, state, settings = begun(
            tiny_model, precision, steps=4, dropout=0.0, spatial_mask=0.0, learning_rate=1e-2
        )
        first = flat(state)
        steps = [*train(backbone, state, tiny_samples(backbone), settings, effort(CUDA))]
        assert not any(step.skipped for step in steps)
        learned[precision] = flat(state) - first
    for precision in ("bf16", "fp16"):
        assert torch.cosine_similarity(learned[precision], learned["fp32"], dim=0) > 0.8


def test_eight_bits_learn(tiny_model: Path) -> None:
    """A base in 8 bits is learned on, at the smallest level."""
    backbone, state, settings = begun(tiny_model, "int8", level="full", steps=3, dropout=0.1)
    before = flat(state)
    steps = [*train(backbone, state, tiny_samples(backbone), settings, effort(CUDA, "full"))]
    assert not any(step.skipped for step in steps)
    assert not torch.equal(flat(state), before)


def test_where_memory_runs_out_the_same_step_is_done_again(tiny_model: Path) -> None:
    """Nothing was learned by halves: the run ends with the bytes of one that had memory enough."""
    whole, _ = ended(tiny_model, effort(CUDA, graph=False), steps=5, dropout=0.1)
    backbone, state, settings = begun(tiny_model, steps=5, dropout=0.1)
    samples = tiny_samples(backbone)
    steps = train(backbone, state, samples, settings, effort(CUDA, graph=False))
    next(steps)
    real, calls = training.apply, []

    def full(*given: Any) -> Any:
        calls.append(1)
        if len(calls) == 1:
            torch.empty(2**48, device=CUDA)
        return real(*given)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training, "apply", full)
        with pytest.raises(machine.OutOfMemory):
            next(steps)
    machine.empty(CUDA)
    assert len([*train(backbone, state, samples, settings, effort(CUDA, graph=False))]) == 4
    assert state.copied("base", "ad")() == whole


def test_dropout_is_a_function_of_seed_and_place() -> None:
    """Of the 32-bit arithmetic that it is said to be, also where only the last of every n entries is looked at."""
    if not chance.usable(CUDA):
        pytest.skip("needs Triton")
    seed, x = torch.tensor([0x1234567890ABCDE], device=CUDA), torch.rand(3 * 5, 7, 40, device=CUDA) + 1
    place = torch.arange(x.numel(), dtype=torch.int64, device=CUDA)
    for stream in (0, 1, 266):
        low, high = int(seed) & 0xFFFFFFFF, int(seed) >> 32
        drawn = mixed(mixed(place ^ low) ^ high ^ (stream * 0x9E3779B1) % 2**31)
        kept = (drawn >= int(0.1 * 2**32)).view(x.shape)
        found = chance.drop(x, 0.1, chance.Chance(seed, stream))
        torch.testing.assert_close(found, x * kept / 0.9)
        last = chance.drop(x.unflatten(0, (-1, 5))[:, -1].contiguous(), 0.1, chance.Chance(seed, stream), 5)
        assert torch.equal(last, found.unflatten(0, (-1, 5))[:, -1])
        assert 0.85 < float(kept.float().mean()) < 0.95


def mixed(h: Tensor) -> Tensor:
    """As the kernel mixes 32 bits, in 64."""
    h = h ^ h >> 16
    h = h * 0x7FEB352D & 0xFFFFFFFF
    h = h ^ h >> 15
    h = h * 0x846CA68B & 0xFFFFFFFF
    return h ^ h >> 16


@pytest.mark.parametrize("sampler", ["ddim", "unipc", "dpm++"])
def test_starter_draws_here_what_it_draws_on_a_cpu(sampler: str) -> None:
    """The same prompt and noise give nearly the same video on both."""
    torch.use_deterministic_algorithms(False)
    drawn = []
    for place in (torch.device("cpu"), CUDA):
        backbone = families.load(weights.find("starter")[1], place, torch.float32)
        noise = normal(7, "noise", 0, backbone.latent_shape(16, 64, 64)).to(place)
        prompt, negative = backbone.embed(["a monkey is moving right on grass"]), backbone.embed([""])
        *_, last = sample(backbone, noise, prompt, negative, 10, 6.0, sampler)
        drawn.append(backbone.decode(last.latents).cpu())
    assert (drawn[0] - drawn[1]).abs().mean() < 0.01
