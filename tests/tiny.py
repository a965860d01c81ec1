"""A true model of the UNet3D family, tiny: the folder layout of ZeroScope, with widths of 8 and 16.

Built from its configuration, so nothing is downloaded, and every part is of the class that the large models use.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import (
    AutoencoderKL,
    DDIMScheduler,
    MotionAdapter,
    UNet2DConditionModel,
    UNet3DConditionModel,
    UNetMotionModel,
)
from tokenizers.pre_tokenizers import ByteLevel
from transformers import (
    CLIPConfig,
    CLIPImageProcessor,
    CLIPModel,
    CLIPProcessor,
    CLIPTextConfig,
    CLIPTextModel,
    CLIPTokenizer,
    ViTConfig,
    ViTImageProcessor,
    ViTModel,
)

from mdctl.media.frames import Frames
from mdctl.motion.backbone import Backbone
from mdctl.motion.dataset import Sample, Samples, to_pixels
from mdctl.settings import TrainSettings

TEXT_WIDTH = 16
MAX_TOKENS = 16
WORDS = (
    "a",
    "an",
    "on",
    "of",
    "red",
    "blue",
    "square",
    "circle",
    "orbiting",
    "background",
    "monkey",
    "playing",
    "golf",
)
START, END = "<|startoftext|>", "<|endoftext|>"


def tiny_unet() -> UNet3DConditionModel:
    """The U-Net of ZeroScope with narrow widths and one layer a block; its temporal convolutions are no identity."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        unet = UNet3DConditionModel(
            block_out_channels=(8, 8, 16, 16),
            layers_per_block=1,
            norm_num_groups=4,
            cross_attention_dim=TEXT_WIDTH,
            attention_head_dim=4,
            sample_size=8,
        )
        for name, weight in unet.named_parameters():
            if ".conv4." in name:  # diffusers starts them at zero
                torch.nn.init.normal_(weight, std=0.1)
    return unet


def tiny_vae() -> AutoencoderKL:
    """A VAE that shrinks by 8, as the large ones do."""
    with torch.random.fork_rng():
        torch.manual_seed(1)
        return AutoencoderKL(
            down_block_types=("DownEncoderBlock2D",) * 4,
            up_block_types=("UpDecoderBlock2D",) * 4,
            block_out_channels=(4, 4, 8, 8),
            layers_per_block=1,
            norm_num_groups=4,
            sample_size=64,
        )


def tiny_tokenizer(folder: Path) -> CLIPTokenizer:
    """Byte pairs in CLIP's two files, with a merge for every step towards the words of `WORDS`."""
    letters = sorted(ByteLevel.alphabet())
    merges: dict[tuple[str, str], str] = {}
    for word in WORDS:
        pieces = [*word[:-1], f"{word[-1]}</w>"]
        while len(pieces) > 1:
            first, second, *rest = pieces
            merges[first, second] = first + second
            pieces = [first + second, *rest]
    tokens = [*letters, *(f"{letter}</w>" for letter in letters), *dict.fromkeys(merges.values()), START, END]
    folder.mkdir(parents=True, exist_ok=True)
    vocabulary = {token: number for number, token in enumerate(tokens)}
    (folder / "vocab.json").write_text(json.dumps(vocabulary), encoding="utf-8")
    lines = ["#version: 0.2", *(f"{first} {second}" for first, second in merges)]
    (folder / "merges.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return CLIPTokenizer.from_pretrained(folder, model_max_length=MAX_TOKENS)


def tiny_text_encoder(tokenizer: CLIPTokenizer) -> CLIPTextModel:
    """One layer of CLIP's text model."""
    with torch.random.fork_rng():
        torch.manual_seed(2)
        return CLIPTextModel(
            CLIPTextConfig(
                vocab_size=len(tokenizer),
                hidden_size=TEXT_WIDTH,
                intermediate_size=2 * TEXT_WIDTH,
                num_hidden_layers=1,
                num_attention_heads=2,
                max_position_embeddings=MAX_TOKENS,
                projection_dim=TEXT_WIDTH,
                bos_token_id=tokenizer.bos_token_id,
                eos_token_id=tokenizer.eos_token_id,
                pad_token_id=tokenizer.pad_token_id,
            )
        )


def tiny_scheduler(**changes: Any) -> DDIMScheduler:
    """ZeroScope's schedule."""
    return DDIMScheduler.from_config(
        {
            "num_train_timesteps": 1000,
            "beta_start": 0.00085,
            "beta_end": 0.012,
            "beta_schedule": "scaled_linear",
            "clip_sample": False,
            "set_alpha_to_one": False,
            "steps_offset": 1,
            "prediction_type": "epsilon",
            **changes,
        }
    )


def tiny_clip_model(folder: Path) -> Path:
    """A whole CLIP with random weights and its processor, as its repository holds them."""
    tokenizer = tiny_tokenizer(folder)
    with torch.random.fork_rng():
        torch.manual_seed(4)
        text = tiny_text_encoder(tokenizer).config.to_dict()
        vision = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2,
                  "image_size": 32, "patch_size": 8, "projection_dim": TEXT_WIDTH}  # fmt: skip
        model = CLIPModel(CLIPConfig(text_config=text, vision_config=vision, projection_dim=TEXT_WIDTH))
    model.save_pretrained(folder)
    images = CLIPImageProcessor(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32})
    CLIPProcessor(images, tokenizer).save_pretrained(folder)
    return folder


def tiny_dino(folder: Path) -> Path:
    """A whole model of DINO's class with random weights, and its processor."""
    with torch.random.fork_rng():
        torch.manual_seed(5)
        config = ViTConfig(hidden_size=16, intermediate_size=32, num_hidden_layers=1, num_attention_heads=2,
                           image_size=32, patch_size=8)  # fmt: skip
        ViTModel(config, add_pooling_layer=False).save_pretrained(folder)
    ViTImageProcessor(size={"height": 32, "width": 32}).save_pretrained(folder)
    return folder


MOST_FRAMES = 8
"""To which the motion modules of the tiny AnimateDiff count."""


def tiny_image_unet() -> UNet2DConditionModel:
    """The U-Net of Stable Diffusion 1.5 with narrow widths and one layer a block."""
    with torch.random.fork_rng():
        torch.manual_seed(6)
        return UNet2DConditionModel(
            block_out_channels=(8, 8, 16, 16),
            layers_per_block=1,
            norm_num_groups=4,
            cross_attention_dim=TEXT_WIDTH,
            attention_head_dim=2,
            sample_size=8,
        )


def tiny_motion_adapter(mid_block: bool = False) -> MotionAdapter:
    """A motion adapter for it, whose last layers are no zeros as diffusers starts them."""
    with torch.random.fork_rng():
        torch.manual_seed(7)
        adapter = MotionAdapter(
            block_out_channels=(8, 8, 16, 16),
            motion_layers_per_block=1,
            motion_num_attention_heads=2,
            motion_norm_num_groups=4,
            motion_max_seq_length=MOST_FRAMES,
            use_motion_mid_block=mid_block,
        )
        for name, weight in adapter.named_parameters():
            if ".proj_out." in name:
                torch.nn.init.normal_(weight, std=0.1)
    return adapter


def tiny_animatediff(folder: Path, *, in_one: bool = False, mid_block: bool = False) -> Path:
    """A whole AnimateDiff folder: an image model with a motion adapter beside it, or both in one U-Net."""
    tokenizer = tiny_tokenizer(folder / "tokenizer")
    tokenizer.save_pretrained(folder / "tokenizer")
    tiny_text_encoder(tokenizer).save_pretrained(folder / "text_encoder")
    tiny_vae().save_pretrained(folder / "vae")
    if in_one:
        tiny_scheduler(beta_schedule="linear").save_pretrained(folder / "scheduler")
        UNetMotionModel.from_unet2d(tiny_image_unet(), tiny_motion_adapter()).save_pretrained(folder / "unet")
    else:
        tiny_scheduler().save_pretrained(folder / "scheduler")
        tiny_image_unet().save_pretrained(folder / "unet")
        tiny_motion_adapter(mid_block).save_pretrained(folder / "motion_adapter")
    return folder


MODEL_INDEX = {
    "_class_name": "TextToVideoSDPipeline",
    "scheduler": ["diffusers", "DDIMScheduler"],
    "text_encoder": ["transformers", "CLIPTextModel"],
    "tokenizer": ["transformers", "CLIPTokenizer"],
    "unet": ["diffusers", "UNet3DConditionModel"],
    "vae": ["diffusers", "AutoencoderKL"],
}
"""The parts of a whole model folder, as its `model_index.json` names them."""


def tiny_folder(folder: Path) -> Path:
    """A whole model folder in the layout of diffusers, weights in safetensors; `mdctl --model` takes it."""
    tokenizer = tiny_tokenizer(folder / "tokenizer")
    tokenizer.save_pretrained(folder / "tokenizer")
    tiny_text_encoder(tokenizer).save_pretrained(folder / "text_encoder")
    tiny_unet().save_pretrained(folder / "unet")
    tiny_vae().save_pretrained(folder / "vae")
    tiny_scheduler().save_pretrained(folder / "scheduler")
    (folder / "model_index.json").write_text(json.dumps(MODEL_INDEX), encoding="utf-8")
    return folder


def tiny_clip(shade: int = 220, num_frames: int = 4, edge: int = 32) -> Frames:
    """A square that walks to the right, one pixel column at a time per frame."""
    frames = np.full((num_frames, edge, edge, 3), 40, np.uint8)
    for number, frame in enumerate(frames):
        frame[edge // 4 : edge // 2, 4 * number : 4 * number + edge // 4] = (shade, 255 - shade, 90)
    return frames


def tiny_samples(backbone: Backbone, num_clips: int = 2, seed: int = 0) -> Samples:
    """So many encoded clips of different looks."""
    posteriors = [backbone.encode(to_pixels(tiny_clip(shade=60 + 80 * clip))) for clip in range(num_clips)]
    return Samples([Sample(posterior, backbone.embed(["a red square orbiting"])) for posterior in posteriors], seed)


def tiny_settings(**changes: Any) -> TrainSettings:
    """Settings of a short run, resolved."""
    return TrainSettings(**{"steps": 3, "rank": 2, "weight_decay": 1e-2, **changes})
