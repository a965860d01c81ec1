"""Clips as training sees them: latents and prompt embeddings, made once."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from hashlib import blake2b

import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from torch import Tensor

from mdctl.media.frames import Frames
from mdctl.motion.backbone import Backbone, Posterior
from mdctl.motion.noise import permutation


@dataclass(frozen=True)
class Sample:
    """One clip, encoded."""

    posterior: Posterior
    prompt_embeds: Tensor
    """1 s d"""

    mirrored: Posterior | None = None
    """The same seen in a mirror, where training asks for it."""


class Samples:
    """Encoded clips in a seeded order without end: every clip once an epoch."""

    def __init__(self, samples: Sequence[Sample], seed: int) -> None:
        self._samples = tuple(samples)
        self._seed = seed

    def __len__(self) -> int:
        return len(self._samples)

    def at(self, step: int) -> tuple[int, Sample]:
        """The clip of this step (1, 2, …) and its index; a function of the seed and the step alone."""
        epoch, place = divmod(step - 1, len(self._samples))
        index = permutation(self._seed, "order", epoch, len(self._samples))[place]
        return index, self._samples[index]


def to_pixels(frames: Frames) -> Tensor:  # f h w c, uint8 → 1 f c h w in [-1, 1]
    """Decoded frames as the VAE takes them."""
    return torch.from_numpy(frames.copy()).permute(0, 3, 1, 2)[None].float() / 127.5 - 1


def to_frames(pixels: Tensor) -> Frames:  # 1 f c h w in [-1, 1] → f h w c, uint8
    """What the VAE drew as frames."""
    drawn: Frames = ((pixels[0].clamp(-1, 1) + 1) * 127.5).round().byte().permute(0, 2, 3, 1).cpu().numpy()
    return drawn


def cache_key(*parts: object) -> str:
    """A file name for what these parts determine."""
    return blake2b("\0".join(str(part) for part in parts).encode(), digest_size=16).hexdigest() + ".safetensors"


def pack(posterior: Posterior) -> bytes:
    """Encoded latents as a file."""
    return save_tensors({"mean": posterior.mean.cpu().contiguous(), "std": posterior.std.cpu().contiguous()})


def unpack(file: bytes) -> Posterior:
    """What `pack` made."""
    tensors = load_tensors(file)
    return Posterior(tensors["mean"], tensors["std"])


def pack_noise(noise: Tensor) -> bytes:
    """The noise of an inverted clip as a file."""
    return save_tensors({"noise": noise.float().cpu().contiguous()})


def unpack_noise(file: bytes) -> Tensor | None:
    """What `pack_noise` made, None where the file is damaged."""
    try:
        return load_tensors(file)["noise"]
    except (SafetensorError, KeyError):
        return None


def encode(backbone: Backbone, decode: Callable[[], Frames], cached: bytes | None) -> tuple[Posterior, bytes]:
    """One clip's latents, from the cached file when it is whole, and the file to cache."""
    if cached is not None:
        with suppress(SafetensorError, KeyError):  # a damaged cache is no loss: the clip itself is at hand
            return unpack(cached), cached
    file = pack(backbone.encode(to_pixels(decode())))
    return unpack(file), file
