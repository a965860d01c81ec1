"""UNet3D in the diffusers folder layout: starter, ZeroScope and ModelScope."""

from collections.abc import Callable, Sequence
from difflib import get_close_matches
from itertools import accumulate
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL, UNet3DConditionModel
from diffusers.models.attention_processor import AttnProcessor
from diffusers.models.resnet import TemporalConvLayer
from diffusers.models.transformers.transformer_temporal import TransformerTemporalModel
from torch import Tensor
from torch.utils.checkpoint import checkpoint
from transformers import AutoTokenizer, CLIPTextModel, PreTrainedTokenizerBase
from transformers.utils.logging import disable_progress_bar

from mdctl.motion.backbone import Layers, Posterior
from mdctl.motion.schedule import Schedule

LAYERS = Layers(
    spatial=r".*\.attentions\.\d+\.transformer_blocks\.\d+\.(attn1\.(to_q|to_k|to_v|to_out\.0)|ff\.net\.(0\.proj|2))",
    temporal=(
        r"(transformer_in|.*\.temp_attentions\.\d+)\.transformer_blocks\.\d+\."
        r"((attn1|attn2)\.(to_q|to_k|to_v|to_out\.0)|ff\.net\.(0\.proj|2))"
    ),
)
"""Spatial blocks' `attn2` looks at the text and is never adapted; temporal blocks' is a second self-attention."""

PARTS = ("unet", "vae", "text_encoder", "tokenizer", "scheduler")
"""The folders of a model of this family."""


class UNet3D:
    """A base model of this family, frozen."""

    layers = LAYERS

    def __init__(
        self,
        unet: UNet3DConditionModel,
        vae: AutoencoderKL,
        text_encoder: CLIPTextModel,
        tokenizer: PreTrainedTokenizerBase,
        schedule: Schedule,
    ) -> None:
        for part in (unet, vae, text_encoder):
            part.requires_grad_(False).eval()
        self.network = unet
        self.vae, self.text_encoder, self.tokenizer, self.schedule = vae, text_encoder, tokenizer, schedule
        self.device = unet.device
        leave_out_for_one_frame(unet)
        if self.device.type == "cpu":
            # On a CPU the fused attention is slower than the plain one for short sequences, backwards 4 times.
            unet.set_attn_processor(AttnProcessor())

    @classmethod
    def load(cls, folder: Path, device: torch.device, dtype: torch.dtype) -> "UNet3D":
        """The model in this folder, all parts in `dtype`; only safetensors weights are opened, no code of it runs."""
        disable_progress_bar()  # the screen belongs to the caller
        given: dict[str, Any] = {"use_safetensors": True, "local_files_only": True}
        return cls(
            UNet3DConditionModel.from_pretrained(folder / "unet", torch_dtype=dtype, **given).to(device),
            AutoencoderKL.from_pretrained(folder / "vae", torch_dtype=dtype, **given).to(device),
            CLIPTextModel.from_pretrained(folder / "text_encoder", dtype=dtype, **given).to(device),
            AutoTokenizer.from_pretrained(folder / "tokenizer", local_files_only=True, trust_remote_code=False),
            Schedule.load(folder / "scheduler"),
        )

    @staticmethod
    def blueprint(description: dict[str, Any]) -> UNet3DConditionModel:
        """The U-Net that a configuration describes, on the meta device: all names and shapes, and no weights."""
        with torch.device("meta"):
            unet: UNet3DConditionModel = UNet3DConditionModel.from_config(description)
        return unet

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

    def recompute(self) -> None:
        """Keep only the inputs of each block for backward; what learns later computes the rest again there."""
        recompute(self.network)

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
        return answer.float()

    @property
    def _limit(self) -> int:
        return int(self.text_encoder.config.max_position_embeddings)

    def _tokens(self, word: str) -> list[int]:
        found: list[int] = self.tokenizer(word, add_special_tokens=False).input_ids
        return found


def _spells(tokenizer: PreTrainedTokenizerBase) -> bool:
    # Byte pairs spell every word; there the unknown token is only another name of the end token.
    return bool(tokenizer.unk_token_id == tokenizer.eos_token_id)


def leave_out_for_one_frame(unet: UNet3DConditionModel) -> None:
    """Make every temporal layer return its input when there is one frame: the paper's spatial path is an image model.

    The choice hangs on the input alone, not on a state, so that a checkpointed forward makes it again in backward.
    """
    for module in unet.modules():
        if isinstance(module, TemporalConvLayer):
            module.forward = _skipping(module.forward, lambda hidden_states: hidden_states)
        elif isinstance(module, TransformerTemporalModel):
            module.forward = _skipping(module.forward, lambda hidden_states: (hidden_states,))


def _skipping(stock: Callable[..., Any], skipped: Callable[[Tensor], Any]) -> Callable[..., Any]:
    def forward(hidden_states: Tensor, *args: Any, num_frames: int = 1, **kwargs: Any) -> Any:
        if num_frames == 1:
            return skipped(hidden_states)
        return stock(hidden_states, *args, num_frames=num_frames, **kwargs)

    return forward


def recompute(unet: UNet3DConditionModel) -> None:
    """Keep only the inputs of each block for backward and compute the rest again: diffusers has none for this class."""
    for module in (unet.transformer_in, *unet.down_blocks, unet.mid_block, *unet.up_blocks):
        module.forward = _recomputed(module.forward)


def _recomputed(stock: Callable[..., Any]) -> Callable[..., Any]:
    def forward(*args: Any, **kwargs: Any) -> Any:
        if not torch.is_grad_enabled():
            return stock(*args, **kwargs)
        return checkpoint(stock, *args, use_reentrant=False, **kwargs)

    return forward
