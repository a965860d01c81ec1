"""The UNet3D family: one frame passes an image model, a clip passes diffusers' own, and blocks can be recomputed."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from diffusers import AutoencoderKL, UNet3DConditionModel
from diffusers.models.attention_processor import AttnProcessor
from diffusers.models.resnet import TemporalConvLayer
from diffusers.models.transformers.transformer_temporal import TransformerTemporalModel
from tiny import tiny_clip
from torch import Tensor, nn

from mdctl.motion import families
from mdctl.motion.backbone import Backbone
from mdctl.motion.dataset import to_pixels
from mdctl.motion.families import unet3d
from mdctl.motion.lora import TEMPORAL, Adapters

Inputs = tuple[Tensor, Tensor, Tensor]


def temporal_parts(network: nn.Module) -> list[nn.Module]:
    """Every module that looks along the frames."""
    return [part for part in network.modules() if isinstance(part, TemporalConvLayer | TransformerTemporalModel)]


def randomise(parts: list[nn.Module]) -> None:
    """Give these modules other weights."""
    chance = torch.Generator().manual_seed(5)
    for part in parts:
        for weight in part.parameters():
            weight.data.copy_(torch.randn(weight.shape, generator=chance))


@torch.no_grad()
def predict(backbone: Backbone, latents: Tensor, timesteps: Tensor, embeds: Tensor) -> Tensor:
    """What the model answers."""
    return backbone.predict(latents, timesteps, embeds)


# --- One frame leaves the temporal layers out.


def test_one_frame_does_not_know_the_temporal_layers(backbone: Backbone, inputs: Inputs) -> None:
    """Other weights in all temporal layers change nothing for one frame, and much for a clip."""
    latents, *rest = inputs
    single, clip = predict(backbone, latents[:, :, [1]], *rest), predict(backbone, latents, *rest)
    randomise(temporal_parts(backbone.network))
    assert torch.equal(predict(backbone, latents[:, :, [1]], *rest), single)
    assert not torch.equal(predict(backbone, latents, *rest), clip)


def test_frames_of_a_batch_do_not_see_each_other(backbone: Backbone, inputs: Inputs) -> None:
    """F frames as a batch of F single frames are F separate calls."""
    latents, timesteps, embeds = inputs
    frames = latents.transpose(1, 2).transpose(0, 1)[:, 0].unsqueeze(2)  # f c 1 h w
    together = predict(backbone, frames, timesteps.expand(4), embeds.expand(4, -1, -1))
    apart = torch.cat([predict(backbone, frame[None], timesteps, embeds) for frame in frames])
    torch.testing.assert_close(together, apart, rtol=1e-5, atol=1e-6)


def test_one_frame_has_no_neighbours(backbone: Backbone, inputs: Inputs) -> None:
    """In a clip the frames see each other, so that the prediction of one alone is another one."""
    latents, *rest = inputs
    clip = predict(backbone, latents, *rest)
    assert not torch.allclose(clip[:, :, [0]], predict(backbone, latents[:, :, [0]], *rest), atol=1e-3)


def test_all_39_temporal_modules_are_left_out() -> None:
    """ZeroScope has 17 temporal transformers and 22 temporal convolutions; each returns its input for one frame."""
    with torch.device("meta"):
        unet = UNet3DConditionModel()
    unet3d.UNet3D.leave_out_for_one_frame(unet)
    parts = temporal_parts(unet)
    assert len([part for part in parts if isinstance(part, TransformerTemporalModel)]) == 17
    assert len(parts) == 39
    hidden = torch.zeros(1, 3, 2, 2)  # of a width that none of them has
    for part in parts:
        found = part(hidden, num_frames=1, **({"return_dict": False} if hasattr(part, "proj_in") else {}))
        assert (found[0] if isinstance(found, tuple) else found) is hidden


def test_a_clip_passes_stock_diffusers(tiny_model: Path, backbone: Backbone, inputs: Inputs) -> None:
    """For a clip the prediction is that of diffusers, bit for bit with the same attention, else up to rounding."""
    stock = UNet3DConditionModel.from_pretrained(tiny_model / "unet").eval()
    stock.requires_grad_(False)  # frozen layers round otherwise than those that could learn
    found = predict(backbone, *inputs)
    with torch.no_grad():
        torch.testing.assert_close(found, stock(*inputs).sample, rtol=1e-4, atol=1e-5)
        stock.set_attn_processor(AttnProcessor())
        assert torch.equal(found, stock(*inputs).sample)


# --- Recomputing.


def gradients(
    backbone: Backbone, frames: int, learning: str, speaking: dict[str, float], inputs: Inputs
) -> list[Tensor]:
    """Prediction and gradients of one adapter, dropout at work."""
    adapters = Adapters(backbone.network, backbone.layers, dict.fromkeys([TEMPORAL, "spatial_000"], 2), dropout=0.3)
    adapters.draw(seed=0)
    for name in adapters.names:
        for weight in adapters.parameters(name)[1::2]:
            torch.nn.init.normal_(weight, std=0.1, generator=torch.Generator().manual_seed(weight.numel()))
    latents, *rest = inputs
    backbone.network.train()
    with torch.random.fork_rng(), adapters.speaking(speaking, learning={learning}):
        torch.manual_seed(3)
        prediction = backbone.predict(latents[:, :, :frames], *rest)
        torch.manual_seed(4)  # chance goes on between forward and backward
        prediction.square().mean().backward()
    backbone.network.eval()
    found = [weight.grad for weight in adapters.parameters(learning)]
    assert all(gradient is not None and gradient.isfinite().all() for gradient in found)
    return [prediction.detach(), *(gradient for gradient in found if gradient is not None)]


@pytest.mark.parametrize(
    ("frames", "learning", "speaking"),
    [(1, "spatial_000", {"spatial_000": 1.0}), (4, TEMPORAL, {TEMPORAL: 1.0, "spatial_000": 1.0})],
    ids=["look", "motion"],
)
def test_recomputing_changes_no_gradient(
    tiny_model: Path, inputs: Inputs, frames: int, learning: str, speaking: dict[str, float]
) -> None:
    """With and without, prediction and gradients are equal bit for bit, on both paths and with dropout."""
    kept, again = (families.load(tiny_model, torch.device("cpu"), torch.float32) for _ in range(2))
    again.recompute()
    wanted = gradients(kept, frames, learning, speaking, inputs)
    found = gradients(again, frames, learning, speaking, inputs)
    assert all(torch.equal(a, b) for a, b in zip(found, wanted, strict=True))
    assert any(gradient.any() for gradient in wanted[1:])


def test_recomputing_runs_every_layer_again(backbone: Backbone, inputs: Inputs) -> None:
    """Backward runs what is inside each layer once more; without gradients each runs once."""
    backbone.recompute()
    runs: list[nn.Module] = []
    resnets = [part.conv1 for part in backbone.network.modules() if type(part).__name__ == "ResnetBlock2D"]
    for resnet in resnets:
        resnet.register_forward_hook(lambda module, *_: runs.append(module))
    predict(backbone, *inputs)
    assert [runs.count(resnet) for resnet in resnets] == [1] * len(resnets)
    runs.clear()
    latents, *rest = inputs
    backbone.predict(latents.clone().requires_grad_(), *rest).mean().backward()
    assert [runs.count(resnet) for resnet in resnets] == [2] * len(resnets)


# --- Pixels and words.


def test_a_clip_is_encoded_frame_by_frame(tiny_model: Path, backbone: Backbone) -> None:
    """Latents are the image VAE's, scaled, in the order of the frames; height and width keep their places."""
    pixels = to_pixels(tiny_clip(edge=32)[:, :16])  # 4 frames of 32x16
    posterior = backbone.encode(pixels)
    assert posterior.mean.shape == posterior.std.shape == (1, 4, 4, 2, 4) == backbone.latent_shape(4, 32, 16)
    vae = AutoencoderKL.from_pretrained(tiny_model / "vae").eval()
    for frame in range(4):
        with torch.no_grad():
            wanted = vae.encode(pixels[:, frame]).latent_dist
        torch.testing.assert_close(posterior.mean[:, :, frame], wanted.mean * vae.config.scaling_factor)
        torch.testing.assert_close(posterior.std[:, :, frame], wanted.std * vae.config.scaling_factor)
    assert not posterior.mean.requires_grad


def test_a_clip_is_decoded_frame_by_frame(tiny_model: Path, backbone: Backbone) -> None:
    """Pixels are the VAE's of the unscaled latents, cut to [-1, 1]."""
    latents = 0.18215 * 3 * torch.randn(1, 4, 3, 2, 4, generator=torch.Generator().manual_seed(0))
    pixels = backbone.decode(latents)
    assert pixels.shape == (1, 3, 3, 16, 32)
    vae = AutoencoderKL.from_pretrained(tiny_model / "vae").eval()
    for frame in range(3):
        with torch.no_grad():
            wanted = vae.decode(latents[:, :, frame] / vae.config.scaling_factor).sample.clamp(-1, 1)
        torch.testing.assert_close(pixels[:, frame], wanted)


def test_prompts_are_embedded_one_by_one(backbone: Backbone) -> None:
    """A batch of prompts gives what each gives alone; different prompts differ; long ones are cut."""
    prompts = ["a red square orbiting", "", "a monkey playing golf " * 9]
    embeds = backbone.embed(prompts)
    assert embeds.shape == (3, 16, 16)
    for place, prompt in enumerate(prompts):
        torch.testing.assert_close(embeds[[place]], backbone.embed([prompt]))
    assert not torch.allclose(embeds[0], embeds[1])
    assert not embeds.requires_grad


def test_byte_pairs_read_every_word_up_to_the_limit(backbone: Backbone) -> None:
    """CLIP's tokenizer spells what it does not know; only words beyond its limit are lost."""
    assert backbone.unread("a red square orbiting on a blue background") == {}
    assert backbone.unread("a flubbing \N{SNOWMAN}") == {}
    assert backbone.unread("a " * 14) == {}
    assert backbone.unread("a " * 14 + "monkey playing golf") == {"monkey": [], "playing": [], "golf": []}
    assert backbone.unread("a " * 13 + "zxq golf") == {"zxq": [], "golf": []}


def test_whole_words_are_unread_when_unknown(backbone: Backbone) -> None:
    """A tokenizer of whole words loses what is not in its vocabulary, in the order of the prompt."""
    from mdctl.motion.starter.parts import new_tokenizer

    assert isinstance(backbone, unet3d.UNet3D)
    backbone.tokenizer = new_tokenizer()
    assert backbone.unread("a red square orbiting") == {}
    assert list(backbone.unread("a flubbing red [/] zxq")) == ["flubbing", "zxq"]
    assert list(backbone.unread("zxq " + "a " * 13 + "red flub")) == ["zxq", "red", "flub"]
    near = backbone.unread("a redd sqare zxq")
    assert (near["redd"][0], near["sqare"][0], near["zxq"]) == ("red", "square", [])


def test_a_loaded_model_is_frozen(backbone: Backbone) -> None:
    """No weight learns by itself, and dropout rests."""
    assert isinstance(backbone, unet3d.UNet3D)
    for part in (backbone.network, backbone.vae, backbone.text_encoder):
        assert not any(weight.requires_grad for weight in part.parameters())
        assert not part.training


@pytest.mark.parametrize("kind", [torch.float32, torch.bfloat16])
def test_every_answer_is_float32(tiny_model: Path, kind: torch.dtype) -> None:
    """Whatever the model computes in, predictions, latents and pixels leave it in float32."""
    backbone = families.load(tiny_model, torch.device("cpu"), kind)
    latents = torch.randn(1, 4, 2, 4, 4, generator=torch.Generator().manual_seed(0))
    found: list[Callable[[], Tensor]] = [
        lambda: predict(backbone, latents, torch.tensor([3]), backbone.embed(["a"])),
        lambda: backbone.encode(to_pixels(tiny_clip())).mean,
        lambda: backbone.decode(latents),
    ]
    assert backbone.network.dtype == kind
    assert [answer().dtype for answer in found] == [torch.float32] * 3
