"""AnimateDiff, the second family: its layers, one frame without motion modules, and the main job on a tiny one."""

from pathlib import Path

import pytest
import torch
from diffusers import UNetMotionModel
from tiny import MOST_FRAMES, tiny_animatediff, tiny_image_unet

from mdctl.errors import BadInput
from mdctl.motion import families
from mdctl.motion.backbone import Backbone
from mdctl.motion.families.animatediff import LAYERS, AnimateDiff
from mdctl.motion.lora import TEMPORAL, Adapters, extent
from mdctl.motion.schedule import as_timesteps


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An image model with a motion adapter beside it."""
    return tiny_animatediff(tmp_path_factory.mktemp("animatediff") / "two")


@pytest.fixture
def model(folder: Path) -> Backbone:
    """The same, loaded."""
    return families.load(folder, torch.device("cpu"), torch.float32)


def noisy(model: Backbone, frames: int) -> torch.Tensor:
    """Latents of a clip."""
    return torch.randn(model.latent_shape(frames, 32, 32), generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize(("mid_block", "layers", "parameters"), [(False, 200, 16_896_000), (True, 210, 18_124_800)])
def test_the_large_ones_have_the_papers_numbers(mid_block: bool, layers: int, parameters: int) -> None:
    """Motion adapters of version 3, without a motion module in the mid block, and of version 2, with one."""
    with torch.device("meta"):
        unet = UNetMotionModel(cross_attention_dim=768, use_motion_mid_block=mid_block)
    assert extent(unet, LAYERS.temporal, 32) == (layers, parameters)
    assert extent(unet, LAYERS.spatial, 32) == (96, 8_785_920)


def test_the_usual_one_is_counted_without_weights() -> None:
    """Without a folder the counts are those of Stable Diffusion 1.5 with version 3."""
    anatomy = families.anatomy(None, "animatediff")
    assert (anatomy.spatial_layers, anatomy.temporal_layers) == (96, 200)


def test_a_motion_module_in_the_mid_block_is_heard(tmp_path: Path) -> None:
    """The mid block hands over its frames without naming them; for a clip its motion module is not left out."""
    folder = tiny_animatediff(tmp_path / "model", mid_block=True)
    backbone = families.load(folder, torch.device("cpu"), torch.float32)
    module = backbone.network.mid_block.motion_modules[0]
    heard: list[int] = []
    module.proj_in.register_forward_hook(lambda *_: heard.append(1))
    latents, timesteps = torch.randn(backbone.latent_shape(3, 32, 32)), torch.tensor([500])
    with torch.no_grad():
        backbone.predict(latents, timesteps, backbone.embed(["a red square"]))
        assert heard == [1]
        backbone.predict(latents[:, :, :1], timesteps, backbone.embed(["a red square"]))
        assert heard == [1]


def test_both_layouts_are_the_same_model(folder: Path, model: Backbone, tmp_path: Path) -> None:
    """The adapter beside the image model, or laid into it: the same answers, and the same linear schedule."""
    one = families.load(tiny_animatediff(tmp_path / "one", in_one=True), torch.device("cpu"), torch.float32)
    latents, at, embeds = noisy(model, 4), as_timesteps(500, 1, model.device), model.embed(["a red square"])
    assert torch.equal(model.predict(latents, at, embeds), one.predict(latents, at, embeds))
    assert torch.equal(model.schedule.alphas_cumprod, one.schedule.alphas_cumprod)
    beta = 1 - model.schedule.alphas_cumprod[0].item()
    assert beta == pytest.approx(0.00085, rel=1e-3)
    steps = 1 - model.schedule.alphas_cumprod[1:] / model.schedule.alphas_cumprod[:-1]
    assert torch.diff(steps).std() < 1e-6
    for known in (folder, tmp_path / "one"):
        names = {name for name, _ in families.blueprint(known).named_parameters()}
        assert names == {name for name, _ in model.network.named_parameters()}


def test_one_frame_is_the_image_model(model: Backbone) -> None:
    """It is the answer of Stable Diffusion's own U-Net, whatever the motion modules say; a clip is something else."""
    latents, at, embeds = noisy(model, 3), as_timesteps(500, 1, model.device), model.embed(["a red square"])
    frames = [model.predict(latents[:, :, [place]], at, embeds) for place in range(3)]
    with torch.no_grad():
        plain = tiny_image_unet().eval()(latents[:, :, 0], at, embeds).sample
    torch.testing.assert_close(frames[0][:, :, 0], plain, rtol=1e-4, atol=1e-5)
    clip = model.predict(latents, at, embeds)
    assert not torch.allclose(clip, torch.cat(frames, 2), atol=1e-3)
    with torch.no_grad():
        for name, weight in model.network.named_parameters():
            if ".motion_modules." in name:
                weight.normal_()
    assert torch.equal(model.predict(latents[:, :, [0]], at, embeds), frames[0])


def test_adapters_keep_apart(model: Backbone) -> None:
    """The look's layers lie outside of motion modules, the motion's inside; no layer has both."""
    adapters = Adapters(model.network, model.layers, {TEMPORAL: 2, "spatial_000": 2})
    motion, look = (set(adapters.tensors(name)) for name in adapters.names)
    assert motion
    assert look
    assert all(".motion_modules." in key for key in motion)
    assert not any(".motion_modules." in key for key in look)


def test_recomputing_changes_no_gradient(folder: Path) -> None:
    """Blocks that are computed again in backward give the same gradients."""
    gradients = []
    for again in (False, True):
        model = families.load(folder, torch.device("cpu"), torch.float32)
        adapters = Adapters(model.network, model.layers, {TEMPORAL: 2})
        adapters.draw(0)
        if again:
            model.recompute()
        with adapters.speaking({TEMPORAL: 1.0}, learning={TEMPORAL}):
            answer = model.predict(noisy(model, 4), as_timesteps(500, 1, model.device), model.embed(["a"]))
            answer.square().mean().backward()
        gradients.append([weight.grad.clone() for weight in adapters.parameters(TEMPORAL) if weight.grad is not None])
    assert len(gradients[0]) > 0
    for first, second in zip(*gradients, strict=True):
        torch.testing.assert_close(first, second)


def test_more_frames_than_it_counts_to(model: Backbone) -> None:
    """The limit is named, instead of an index error out of its depths."""
    with pytest.raises(BadInput, match="cannot make 9 frames") as caught:
        model.predict(noisy(model, MOST_FRAMES + 1), as_timesteps(500, 1, model.device), model.embed(["a"]))
    assert caught.value.fix == (f"--frames {MOST_FRAMES}",)


def test_an_image_model_alone_is_no_video_model(tmp_path: Path) -> None:
    """What is missing is named."""
    folder = tiny_animatediff(tmp_path / "sd")
    for path in (folder / "motion_adapter").iterdir():
        path.unlink()
    (folder / "motion_adapter").rmdir()
    with pytest.raises(BadInput, match="without a motion adapter"):
        families.load(folder, torch.device("cpu"), torch.float32)


def test_it_is_known_by_its_folder(model: Backbone) -> None:
    """The folder's own description says which family it is."""
    assert isinstance(model, AnimateDiff)
