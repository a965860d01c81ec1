"""What the families share: frames through an image VAE, words through CLIP's text encoder, and a U-Net over latents."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from difflib import get_close_matches
from itertools import accumulate
from pathlib import Path
from typing import Any, ClassVar

import torch
from diffusers import AutoencoderKL, ModelMixin
from diffusers.models.attention_processor import AttnProcessor
from diffusers.utils import logging as diffusers_logging
from torch import Tensor, nn
from transformers import AutoTokenizer, CLIPTextModel, PreTrainedTokenizerBase
from transformers.utils.logging import disable_progress_bar

from mdctl.motion.backbone import Layers, Posterior
from mdctl.motion.eightbit import narrow
from mdctl.motion.families.bypass import Appended, keep_out
from mdctl.motion.families.placing import place, stored
from mdctl.motion.recompute import Level, lay
from mdctl.motion.schedule import Schedule

GIVEN: dict[str, Any] = {"use_safetensors": True, "local_files_only": True}
"""How weights are opened: only safetensors, only from this computer."""


def layers_with(temporal: str) -> Layers:
    """The layers of a U-Net that are adapted: an image model's, and those of transformers named `temporal` in time.

    Spatial blocks' `attn2` looks at the text and is never adapted; temporal blocks' is a second self-attention.
    """
    projections, forward = r"\.(to_q|to_k|to_v|to_out\.0)", r"ff\.net\.(0\.proj|2)"
    return Layers(
        spatial=rf".*\.attentions\.\d+\.transformer_blocks\.\d+\.(attn1{projections}|{forward})",
        temporal=rf"{temporal}\.transformer_blocks\.\d+\.((attn1|attn2){projections}|{forward})",
    )


class LatentVideo(ABC):
    """A base model in the diffusers folder layout, frozen; a family says what its network is."""

    layers: Layers
    parts: ClassVar[tuple[str, ...]] = ("unet", "vae", "text_encoder", "tokenizer", "scheduler")
    """The folders of a model of this family."""

    def __init__(
        self,
        network: Any,
        vae: AutoencoderKL,
        text_encoder: CLIPTextModel,
        tokenizer: PreTrainedTokenizerBase,
        schedule: Schedule,
    ) -> None:
        for part in (network, vae, text_encoder):
            part.requires_grad_(False).eval()
        _tell_format_at_once(network)
        self.network = network
        self.vae, self.text_encoder, self.tokenizer, self.schedule = vae, text_encoder, tokenizer, schedule
        self.device = network.device
        self.appended = Appended()
        self.leave_out_for_one_frame(network, self.appended)
        if self.device.type == "cpu":
            # On a CPU the fused attention is slower than the plain one for short sequences, backwards 4 times.
            network.set_attn_processor(AttnProcessor())

    @classmethod
    def load(cls, folder: Path, device: torch.device, dtype: torch.dtype, eight_bit: bool = False) -> "LatentVideo":
        """The model in this folder, all parts in `dtype`; only safetensors weights are opened, no code of it runs.

        With `eight_bit` the network's weights are rounded before they go to the device.
        """
        disable_progress_bar()  # the screen belongs to the caller
        diffusers_logging.disable_progress_bar()
        diffusers_logging.set_verbosity_error()
        network = cls.load_network(folder, stored(*cls._weights_of_network(folder)) or dtype)
        vae = AutoencoderKL.from_pretrained(folder / "vae", torch_dtype=stored(folder / "vae") or dtype, **GIVEN)
        words = folder / "text_encoder"
        text_encoder = CLIPTextModel.from_pretrained(words, dtype=stored(words) or dtype, **GIVEN)
        if eight_bit:
            place(network, network.device, dtype)
            narrow(network)
        for part in (network, vae, text_encoder):
            place(part, device, dtype)
        tokenizer = AutoTokenizer.from_pretrained(folder / "tokenizer", local_files_only=True, trust_remote_code=False)
        return cls(network, vae, text_encoder, tokenizer, cls.load_schedule(folder))

    @staticmethod
    def _weights_of_network(folder: Path) -> tuple[Path, ...]:
        return (folder / "unet",)

    @classmethod
    @abstractmethod
    def load_network(cls, folder: Path, dtype: torch.dtype) -> Any:
        """The U-Net of the model in this folder."""

    @classmethod
    @abstractmethod
    def blueprint(cls, folder: Path | None) -> nn.Module:
        """The U-Net on the meta device, names and shapes without weights; without a folder the family's usual one."""

    @classmethod
    def load_schedule(cls, folder: Path) -> Schedule:
        """The noise schedule of the model in this folder."""
        return Schedule.load(folder / "scheduler")

    @staticmethod
    @abstractmethod
    def temporal_parts(network: nn.Module) -> Iterable[nn.Module]:
        """The layers of the network that look along the frames."""

    @classmethod
    def leave_out_for_one_frame(cls, network: nn.Module, appended: Appended | None = None) -> None:
        """Make every temporal layer return its input when there is one frame: the spatial path is an image model."""
        for part in cls.temporal_parts(network):
            keep_out(part, appended or Appended())

    def latent_shape(self, num_frames: int, width: int, height: int) -> tuple[int, ...]:
        """Shape b c f h w of the latents of one clip."""
        shrink = 2 ** (len(self.vae.config.block_out_channels) - 1)
        return 1, self.network.config.in_channels, num_frames, height // shrink, width // shrink

    @torch.no_grad()
    def encode(self, pixels: Tensor) -> Posterior:  # b f c h w in [-1, 1] → mean, std: b c f h w
        """Pixels to scaled latent statistics, each frame through the image VAE on its own."""
        frames = pixels.flatten(0, 1).to(self.vae.device, self.vae.dtype)
        found = [self.vae.encode(frame).latent_dist for frame in frames.split(1)]
        scale = self.vae.config.scaling_factor
        mean, std = (torch.cat([getattr(f, name) for f in found]).float() * scale for name in ("mean", "std"))
        return Posterior(*(x.unflatten(0, pixels.shape[:2]).transpose(1, 2) for x in (mean, std)))

    @torch.no_grad()
    def decode(self, latents: Tensor) -> Tensor:  # b c f h w → b f c h w in [-1, 1]
        """Latents to pixels, frame by frame, which keeps memory low."""
        frames = (latents / self.vae.config.scaling_factor).transpose(1, 2).flatten(0, 1)
        drawn = [self.vae.decode(frame.to(self.vae.device, self.vae.dtype)).sample.float() for frame in frames.split(1)]
        pixels: Tensor = torch.cat(drawn).unflatten(0, (latents.shape[0], latents.shape[2]))
        return pixels.clamp(-1, 1)

    @torch.no_grad()
    def embed(self, prompts: Sequence[str]) -> Tensor:  # → b s d
        """Prompts to prompt embeddings, padded or cut to the text encoder's length."""
        tokens = self.tokenizer(
            list(prompts), padding="max_length", truncation=True, max_length=self._limit, return_tensors="pt"
        )
        embeds: Tensor = self.text_encoder(tokens.input_ids.to(self.text_encoder.device))[0]
        return embeds.to(self.device)

    def release_encoders(self) -> None:
        """Move VAE and text encoder off the device: once clips and prompts are encoded, training needs neither."""
        if self.device.type != "cpu":
            self.vae.to("cpu")
            self.text_encoder.to("cpu")
            torch.cuda.empty_cache()

    @contextmanager
    def decoding(self) -> Iterator[None]:
        """Bring the VAE back to the device for a while, from where `release_encoders` has put it."""
        before = self.vae.device
        self.vae.to(self.device)
        try:
            yield
        finally:
            self.vae.to(before)

    def recompute(self, level: Level = "full") -> None:
        """Keep less for backward and compute it again there; before adapters are laid in or after."""
        lay(self.network, level)

    def appending(self) -> AbstractContextManager[None]:
        """Keep the last frame out of every temporal layer; `backward()` has to stay inside."""
        return self.appended.here()

    def unread(self, prompt: str) -> dict[str, list[str]]:
        """The words that the text encoder cannot take, unknown or beyond its limit, each with the nearest it knows."""
        words = prompt.split()
        tokens = [self._tokens(word) for word in words]
        unknown = None if _spells(self.tokenizer) else self.tokenizer.unk_token_id
        known = [] if unknown is None else [word for word in self.tokenizer.get_vocab() if word.isalpha()]
        room = self._limit - 2  # one for the start and one for the end
        used = accumulate(len(found) for found in tokens)
        return {
            word: get_close_matches(word.lower(), known, n=3, cutoff=0.55) if unknown in found else []
            for word, found, place in zip(words, tokens, used, strict=True)
            if unknown in found or place > room
        }

    def predict(self, noisy_latents: Tensor, timesteps: Tensor, prompt_embeds: Tensor) -> Tensor:
        """What the U-Net answers, b c f h w in float32; a single frame leaves the temporal layers out."""
        dtype = self.network.dtype
        answer: Tensor = self.network(
            noisy_latents.to(dtype), timesteps, encoder_hidden_states=prompt_embeds.to(dtype), return_dict=False
        )[0]
        return answer.to(noisy_latents.dtype)

    @property
    def _limit(self) -> int:
        return int(self.text_encoder.config.max_position_embeddings)

    def _tokens(self, word: str) -> list[int]:
        found: list[int] = self.tokenizer(word, add_special_tokens=False).input_ids
        return found


def _tell_format_at_once(network: Any) -> None:
    """Let a network name its number format by its first weight.

    In every forward pass diffusers asks all modules for it, and adapters are modules too.
    """
    kind = type(network)
    if isinstance(network, ModelMixin) and "_first" not in vars(kind):
        told = {"dtype": property(lambda self: next(self.parameters()).dtype), "_first": True}
        network.__class__ = type(kind.__name__, (kind,), told | {"__module__": kind.__module__})


def _spells(tokenizer: PreTrainedTokenizerBase) -> bool:
    # Byte pairs spell every word; there the unknown token is only another name of the end token.
    return bool(tokenizer.unk_token_id == tokenizer.eos_token_id)
