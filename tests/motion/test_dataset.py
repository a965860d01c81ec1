"""Clips become latents once, and come in a seeded order without end."""

import numpy as np
import pytest
import torch
from safetensors.torch import save as save_tensors
from tiny import tiny_clip

from mdctl.media.frames import Frames
from mdctl.motion import dataset
from mdctl.motion.backbone import Backbone, Posterior
from mdctl.motion.dataset import Sample, Samples


def samples_of(count: int, seed: int = 0) -> Samples:
    """So many samples that can be told apart."""
    blank = torch.zeros(1, 4, 2, 4, 4)
    return Samples([Sample(Posterior(blank + number, blank), torch.zeros(1, 2, 3)) for number in range(count)], seed)


OTHER = save_tensors({"latents": torch.zeros(2)})
"""A whole file of something else."""


def undecodable() -> Frames:
    """A decoder that must not be called."""
    raise AssertionError("the clip was decoded although its latents lie in the cache")


def test_every_clip_comes_once_an_epoch() -> None:
    """Each run of as many steps as there are clips holds every clip exactly once."""
    samples = samples_of(5)
    drawn = [samples.at(step)[0] for step in range(1, 41)]
    for epoch in range(8):
        assert sorted(drawn[5 * epoch : 5 * epoch + 5]) == list(range(5))
    assert len({tuple(drawn[5 * epoch : 5 * epoch + 5]) for epoch in range(8)}) > 1
    assert len(samples) == 5


def test_a_step_draws_the_same_clip_whenever_it_is_asked() -> None:
    """The clip of a step depends on seed and step alone, not on the steps before."""
    whole = [samples_of(4).at(step)[0] for step in range(1, 30)]
    assert [samples_of(4).at(step)[0] for step in reversed(range(1, 30))] == whole[::-1]
    assert [samples_of(4, seed=1).at(step)[0] for step in range(1, 30)] != whole


def test_the_index_names_the_sample() -> None:
    """The index that comes with a sample is its place among the clips."""
    samples = samples_of(3)
    for step in range(1, 10):
        index, sample = samples.at(step)
        assert sample.posterior.mean.unique().tolist() == [index]


def test_frames_survive_the_way_to_pixels_and_back() -> None:
    """All 256 values of a byte come back as they were, from frames that may be read-only."""
    frames = np.arange(256, dtype=np.uint8).reshape(2, 8, 16, 1).repeat(3, axis=3)
    frames.flags.writeable = False
    pixels = dataset.to_pixels(frames)
    assert pixels.shape == (1, 2, 3, 8, 16)
    assert pixels.min() == -1
    assert pixels.max() == 1
    assert np.array_equal(dataset.to_frames(pixels), frames)


def test_pixels_out_of_range_are_cut() -> None:
    """What a decoder draws brighter than white is white."""
    assert dataset.to_frames(torch.tensor([-3.0, 3.0]).view(1, 2, 1, 1, 1)).ravel().tolist() == [0, 255]


def test_latents_survive_their_file() -> None:
    """Mean and deviation come back bit for bit, also from a transposed view."""
    posterior = Posterior(torch.randn(1, 3, 4, 2, 2).transpose(1, 2), torch.rand(1, 4, 3, 2, 2))
    found = dataset.unpack(dataset.pack(posterior))
    assert torch.equal(found.mean, posterior.mean)
    assert torch.equal(found.std, posterior.std)


def test_a_posterior_is_drawn_from_noise() -> None:
    """A draw is the mean plus the deviation times the noise that is handed in."""
    posterior = Posterior(torch.full((1, 1, 1, 2, 2), 3.0), torch.full((1, 1, 1, 2, 2), 0.5))
    assert posterior.draw(torch.ones(1, 1, 1, 2, 2)).unique().tolist() == [3.5]


def test_a_cached_clip_is_not_decoded(backbone: Backbone) -> None:
    """The second time a clip is encoded, its file is enough, and gives the same latents bit for bit."""
    first, file = dataset.encode(backbone, tiny_clip, None)
    second, again = dataset.encode(backbone, undecodable, file)
    assert again == file
    assert torch.equal(first.mean, second.mean)
    assert torch.equal(first.std, second.std)
    assert first.mean.shape == backbone.latent_shape(4, 32, 32)


@pytest.mark.parametrize("damage", [b"", b"\0" * 8, b"not a safetensors file", slice(0, 100), slice(0, -1), "other"])
def test_a_damaged_cache_is_made_again(backbone: Backbone, damage: bytes | slice | str) -> None:
    """A cache that cannot be read is no loss: the clip is encoded again."""
    _, file = dataset.encode(backbone, tiny_clip, None)
    cached = damage if isinstance(damage, bytes) else file[damage] if isinstance(damage, slice) else OTHER
    posterior, again = dataset.encode(backbone, tiny_clip, cached)
    assert again == file
    assert posterior.mean.isfinite().all()


def test_a_cache_key_tells_its_parts_apart() -> None:
    """Each part counts, and where one ends and the next begins counts too."""
    keys = [
        dataset.cache_key(*parts)
        for parts in [("ab", 16, 8.0), ("ab", 16, 8.5), ("ab", 17, 8.0), ("b", 16, 8.0), ("ab", 168.0), ("ab1", 6, 8.0)]
    ]
    assert len(set(keys)) == len(keys)
    assert dataset.cache_key("ab", 16, 8.0) == keys[0]
    assert all(key.endswith(".safetensors") and "/" not in key for key in keys)
