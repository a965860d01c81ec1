"""Every draw is a function of seed, stream and step, and of nothing else."""

import statistics

import torch

from mdctl.motion import noise


def test_a_draw_repeats() -> None:
    """The same seed, stream and step give the same numbers."""
    assert torch.equal(noise.normal(7, "noise", 3, (2, 3)), noise.normal(7, "noise", 3, (2, 3)))
    assert noise.uniform(7, "mask", 3) == noise.uniform(7, "mask", 3)
    assert noise.uniform_int(7, "frame", 3, 16) == noise.uniform_int(7, "frame", 3, 16)


def test_seed_stream_and_step_all_count() -> None:
    """Another seed, another stream or another step gives other numbers."""
    keys = [(seed, stream, step) for seed in (0, 1, 10) for stream in ("vae", "noise") for step in (0, 1, 11)]
    assert len({noise.draw_seed(*key) for key in keys}) == len(keys)
    assert len({tuple(noise.normal(*key, (4,)).tolist()) for key in keys}) == len(keys)


def test_seeds_mean_the_same_for_ever() -> None:
    """A seed that somebody wrote down makes the same run with every version."""
    assert noise.draw_seed(0, "noise", 1) == 6545564728581758268
    assert noise.permutation(0, "order", 0, 6) == [2, 5, 0, 3, 1, 4]
    assert [noise.uniform_int(0, "timestep", step, 1000) for step in range(1, 6)] == [976, 400, 621, 305, 882]


def test_the_global_chance_is_left_alone() -> None:
    """Drawing neither reads nor moves torch's global generator."""
    before = torch.get_rng_state()
    first = noise.normal(0, "noise", 1, (8,))
    torch.manual_seed(99)
    assert torch.equal(noise.normal(0, "noise", 1, (8,)), first)
    torch.set_rng_state(before)
    noise.uniform(0, "mask", 1)
    noise.permutation(0, "order", 0, 5)
    assert torch.equal(torch.get_rng_state(), before)


def test_uniform_numbers_lie_in_their_range() -> None:
    """Numbers are spread over [0, 1), whole numbers over 0 to below - 1."""
    numbers = [noise.uniform(0, "mask", step) for step in range(2000)]
    assert min(numbers) >= 0
    assert max(numbers) < 1
    assert abs(statistics.mean(numbers) - 0.5) < 0.03
    assert {noise.uniform_int(0, "frame", step, 5) for step in range(200)} == set(range(5))


def test_normal_noise_is_normal() -> None:
    """Mean 0 and variance 1, in float32 on the CPU."""
    drawn = noise.normal(0, "noise", 1, (100_000,))
    assert drawn.dtype == torch.float32
    assert drawn.device.type == "cpu"
    assert abs(drawn.mean().item()) < 0.02
    assert abs(drawn.var().item() - 1) < 0.02


def test_a_permutation_holds_every_number_once() -> None:
    """All numbers come, in an order that changes from epoch to epoch."""
    orders = [noise.permutation(0, "order", epoch, 6) for epoch in range(8)]
    assert all(sorted(order) == list(range(6)) for order in orders)
    assert len({tuple(order) for order in orders}) > 1
