"""How `starter` is made, from nothing: `python -m mdctl.motion.starter.recipe all --work FOLDER`.

The stages follow one another: `vae`; `bank`, clips that are encoded once; `frames` (appearance, the temporal layers
left out); `clips` (motions and their words); `moves` (paths and cameras of any kind); `export`. What is shown in them
stands in `lessons.py`. Each stage is resumable: the same line goes on. For two processes that average their gradients,
put `torchrun --nproc_per_node 2 -m` before the module; beside a GPU many fill the bank, and one does all else. A run
that was stopped equals one that was not. The number of processes changes rounding only, except in `vae`, where each
process draws the noise on its latents for itself.
"""

import argparse
import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
import torch.distributed as dist
import torch.nn.functional as F
from diffusers import AutoencoderKL
from diffusers.models.attention_processor import Attention, AttnProcessor
from torch import Tensor, nn

from mdctl.media import ffmpeg, motions, plot, preview, world
from mdctl.media.frames import Frames
from mdctl.motion.families.unet3d import UNet3D
from mdctl.motion.schedule import Schedule
from mdctl.motion.starter import lessons, parts
from mdctl.motion.starter.loop import Batch, fit
from mdctl.motion.starter.muon import Muon
from mdctl.motion.starter.store import STATE, Store

STAGES = ("vae", "bank", "frames", "clips", "moves", "export")
STEPS = {"vae": 2000, "frames": 2400, "clips": 3000, "moves": 2000}
BATCH = {"vae": 16, "frames": 64, "clips": 16, "moves": 16}
BEFORE = {"clips": "frames", "moves": "clips"}
"""The stage whose weights another one begins with."""

STILLS = 4
"""Single frames that stand in for one clip, in the steps on clips that show frames only."""


def short(device: str) -> torch.autocast:
    """Compute in bfloat16 where that is fast; a CPU that has to emulate it takes twelve times as long as in float32."""
    fast = device != "cpu" or torch.backends.cpu.get_cpu_capability().startswith("AVX512")
    return torch.autocast(device, torch.bfloat16, enabled=fast)


# --- Stage 1: the VAE.


def _frames(stage: str, step: int, places: range) -> tuple[Tensor, Tensor, Tensor]:
    """Images, where their subjects are, and noise for their latents, drawn here so that a GPU is given the same."""
    images, masks, noise = [], [], []
    for place in places:
        chance = lessons.rng(stage, step, place)
        clip = lessons.clip(chance)
        image, mask = world.render(clip.scene, clip.track.at(int(chance.integers(motions.NUM_FRAMES))))
        images.append(image[0])
        masks.append(mask[0])
        noise.append(chance.standard_normal(parts.LATENT, np.float32))
    masked = torch.from_numpy(np.stack(masks))[:, None].float()
    return pixels(np.stack(images)), masked, torch.from_numpy(np.stack(noise))


def pixels(frames: Frames) -> Tensor:
    """Frames (f, h, w, c) as a tensor (f, c, h, w) in [-1, 1]."""
    return torch.from_numpy(frames).permute(0, 3, 1, 2).float() / 127.5 - 1


def train_vae(work: Path, steps: int, device: str) -> None:
    """Teach the VAE to draw the world; what moves weighs more, and noise on the latents makes it forgiving."""
    vae = parts.new_vae().to(device)

    def loss(images: Tensor, masks: Tensor, noise: Tensor) -> Tensor:
        weight = 1 + 4 * F.max_pool2d(masks, 5, 1, 2)
        with short(device):
            posterior = vae.encode(images).latent_dist
            latents = posterior.mean + posterior.std * noise
            drawn = vae.decode(latents).sample
        error: Tensor = drawn.float() - images
        mean, logvar = posterior.mean.float(), posterior.logvar.float()
        divergence = 0.5 * (mean**2 + logvar.exp() - 1 - logvar).mean()
        total: Tensor = ((2 * error**2 + 0.2 * error.abs()) * weight).mean() + 5e-4 * divergence
        return total

    fit("vae", vae, Muon(vae.parameters()), partial(_frames, "vae"), loss, steps, BATCH["vae"], work)


# --- Stage 2: a bank of encoded clips, which the two stages after it draw from.


@dataclass(frozen=True)
class Bank:
    """Encoded clips and what they show."""

    mean: Tensor
    """Latents in float16, n c f h w, of unit variance."""

    std: Tensor
    clips: list[lessons.Clip]
    """What each of them shows."""


BANKS: dict[str, Callable[[range], list[lessons.Clip]]] = {"bank": lessons.clips, "moves-bank": lessons.moves}
"""What there is at these places of each bank."""


def fill_bank(work: Path, name: str, size: int, device: str = "cpu") -> None:
    """Render and encode `size` clips, this process's share of them."""
    rank, processes = (dist.get_rank(), dist.get_world_size()) if dist.is_initialized() else (0, 1)
    store = Store(work, f"{name}-{rank}of{processes}")
    if store.state.exists():
        return
    vae = trained_vae(work).eval().to(device)
    means, stds = [], []
    for clip in BANKS[name](range(rank * size // processes, (rank + 1) * size // processes)):
        frames, _ = world.render(clip.scene, clip.track)
        with torch.no_grad(), short(device):
            posterior = vae.encode(pixels(frames).to(device)).latent_dist
        means.append(posterior.mean.float().transpose(0, 1).half().cpu())
        stds.append(posterior.std.float().transpose(0, 1).half().cpu())
    store.save(0, {"clips": {"mean": torch.stack(means), "std": torch.stack(stds)}})


def load_bank(work: Path, name: str) -> Bank:
    """A whole bank, scaled as all latents are."""
    mean, std = (_encoded(work, name, moment) for moment in ("mean", "std"))
    scale = scaling_factor(work)
    return Bank(mean * scale, std * scale, BANKS[name](range(len(mean))))


def _encoded(work: Path, name: str, moment: str) -> Tensor:
    return torch.cat([Store(work, part).load("clips")[moment] for part in _parts(work, name)])


def _parts(work: Path, name: str) -> list[str]:
    """The stages that hold a bank, in its order; where several numbers of processes filled it, one that is whole."""
    for processes in sorted({int(found.name.rpartition("of")[2]) for found in work.glob(f"{name}-*of*")}):
        parts = [f"{name}-{rank}of{processes}" for rank in range(processes)]
        if all((work / part / STATE).exists() for part in parts):
            return parts
    raise FileNotFoundError(f"no whole {name} in {work}: the same number of processes has to fill all of it")


def scaling_factor(work: Path) -> float:
    """What brings the latents of the first bank to unit variance."""
    return round(1 / _encoded(work, "bank", "mean")[::8].float().std().item(), 4)


def trained_vae(work: Path) -> AutoencoderKL:
    """The VAE of the last `vae` stage."""
    vae = parts.new_vae()
    vae.load_state_dict(Store(work, "vae").load("averaged"))
    return vae


# --- Stages 3 to 5: the denoiser and its text encoder, on single frames and then on clips.


class Denoiser(nn.Module):
    """The U-Net and the text encoder, which learn together."""

    def __init__(self) -> None:
        super().__init__()
        self.unet = parts.new_unet()
        self.text_encoder = parts.new_text_encoder()
        for module in self.unet.modules():
            if isinstance(module, nn.Dropout):
                module.p = 0.0
        UNet3D.leave_out_for_one_frame(self.unet)

    def suit_cpu(self) -> None:
        """Compute attention so that a CPU is fast at it.

        The fused one costs a third of a step there: its backward is slow for 16 frames. So is a softmax in bfloat16, an
        eighth of a step.
        """
        self.unet.set_attn_processor(AttnProcessor())
        for module in self.unet.modules():
            if isinstance(module, Attention):
                module.upcast_softmax = True

    def forward(self, noisy_latents: Tensor, timesteps: Tensor, tokens: Tensor) -> Tensor:
        """Predicted velocity, b c f h w."""
        embeds = self.text_encoder(tokens)[0]
        answer: Tensor = self.unet(noisy_latents, timesteps, encoder_hidden_states=embeds, return_dict=False)[0]
        return answer.float()


def train_denoiser(work: Path, stage: str, steps: int, batch: int, device: str, rate: float) -> None:
    """Teach appearance on single `frames`, or motion on whole clips from where the stage before ended."""
    moving = stage != "frames"
    model = Denoiser()
    if device == "cpu":
        model.suit_cpu()
    if moving:
        model.load_state_dict(Store(work, BEFORE[stage]).load("averaged"))
    if stage == "clips" and not Store(work, stage).step():
        lessons.name_motions(model.text_encoder)
    model.to(device)
    banks = [load_bank(work, name) for name in (BANKS if stage == "moves" else ["bank"])]
    tokenizer, schedule = parts.new_tokenizer(), Schedule(dict(parts.new_scheduler().config))
    by_motion = [
        [place for place, clip in enumerate(banks[0].clips) if clip.motion == motion] for motion in motions.BASE_MOTIONS
    ]

    def draws(step: int, places: range) -> Batch:
        clean, noise, moments, prompts = [], [], [], []
        still = lessons.still(stage, step)
        known = lessons.shown(by_motion, step) if stage == "clips" else None
        for place in range(places.start * STILLS, places.stop * STILLS) if moving and still else places:
            chance = lessons.rng(stage, step, place)
            bank = banks[int(chance.integers(len(banks)))] if len(banks) > 1 else banks[0]
            index = known[int(chance.integers(len(known)))] if known else int(chance.integers(len(bank.clips)))
            frames = [int(chance.integers(motions.NUM_FRAMES))] if still else slice(None)
            draw = torch.Generator().manual_seed(int(chance.integers(2**62)))
            mean, std = bank.mean[index][:, frames].float(), bank.std[index][:, frames].float()
            clean.append(mean + std * torch.randn(mean.shape, generator=draw))
            noise.append(torch.randn(mean.shape, generator=draw))
            moments.append(int(schedule.num_timesteps * lessons.level(chance, stage, step, not still)))
            prompts.append(lessons.caption(bank.clips[index], chance, moving))
        tokens = tokenizer(prompts, padding="max_length", truncation=True, return_tensors="pt").input_ids
        latents, eps, timesteps = torch.stack(clean), torch.stack(noise), torch.tensor(moments)
        return schedule.add_noise(latents, eps, timesteps), schedule.target(latents, eps, timesteps), timesteps, tokens

    def loss(noisy_latents: Tensor, target: Tensor, timesteps: Tensor, tokens: Tensor) -> Tensor:
        with short(device):
            prediction: Tensor = model(noisy_latents, timesteps, tokens)
        return (prediction - target).square().mean()

    trained = list(model.parameters())
    model.text_encoder.requires_grad_(not moving)
    fit(stage, model, Muon(trained, rate, rate / 10), draws, loss, steps, batch, work)


# --- Stage 6: the model folder.


def export(work: Path, folder: Path) -> None:
    """Write the trained parts as a model folder in float16 safetensors, with the log and its curves."""
    vae, model = trained_vae(work), Denoiser()
    stage = next(stage for stage in ("moves", "clips", "frames") if (work / stage / STATE).exists())
    model.load_state_dict(Store(work, stage).load("averaged"))
    vae.register_to_config(scaling_factor=scaling_factor(work))
    model.unet.half().save_pretrained(folder / "unet")
    model.text_encoder.half().save_pretrained(folder / "text_encoder")
    vae.half().save_pretrained(folder / "vae")
    parts.new_tokenizer().save_pretrained(folder / "tokenizer")
    parts.new_scheduler().save_pretrained(folder / "scheduler")
    _tell(work, folder)


def _tell(work: Path, folder: Path) -> None:
    """Write what the stages noted while they ran, and a picture of their losses."""
    lines, panels = [], []
    for stage in STEPS:
        log = work / stage / "log.jsonl"
        records = [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []
        if not records:
            continue
        lines += [json.dumps({"stage": stage, **record}) for record in records]
        steps, losses = (np.array([float(record[key]) for record in records]) for key in ("step", "loss"))
        title = f"{stage}: loss {losses[0]:.2f} to {losses[-1]:.3f} in {steps[-1]:.0f} steps"
        curve = np.stack([steps / steps[-1], -losses / losses.max()], 1)  # downwards is larger in a picture
        panels.append(plot.Panel(title, [plot.Line(curve, plot.COLOURS[0])]))
    if panels:
        (folder / "training.jsonl").write_text("\n".join(lines) + "\n")
        (folder / "training.png").write_bytes(plot.png(panels, []))


def draw_samples(folder: Path) -> None:
    """Write what `mdctl demo` and the README learn from: a motion that is never taught, and pictures of a look.

    The motion is there twice, in one look for the demo and in four: clips that differ teach it better.
    """
    folder.mkdir(parents=True, exist_ok=True)
    looks = (("sand", "red"), ("grass", "yellow"), ("sky", "blue"), ("brick", "green"))
    for place, look in enumerate(looks):
        track = motions.track("orbiting", lessons.rng("demo", 0, place))
        for name, (background, colour) in (("orbiting", ("gray", "red")), ("carousel", look)):
            frames, _ = world.render(world.Scene("square", background, colour), track)
            (folder / f"{name}_{place}.mp4").write_bytes(ffmpeg.encode(frames, world.FPS, format="mp4"))
    for place, background in enumerate(world.BACKGROUNDS):
        track = motions.track("standing still", lessons.rng("statue", 0, place))
        frames, _ = world.render(world.Scene("statue", background), track)
        (folder / f"statue_{place}.png").write_bytes(preview.png(frames[0]))


def main() -> None:
    """Run one stage."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("stage", choices=[*STAGES, "all", "samples"])
    parser.add_argument("--work", type=Path, default=Path("starter"), help="where the stages keep their state")
    parser.add_argument("--steps", type=int, help=f"of one stage; default {STEPS}")
    parser.add_argument("--size", type=int, default=10000, help="clips in the bank")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "model")
    args = parser.parse_args()
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        dist.init_process_group("gloo")
    torch.set_num_threads(1 if args.device == "cpu" else 4)
    torch.manual_seed(0)
    for stage in STAGES if args.stage == "all" else [args.stage]:
        match stage:
            case "vae":
                train_vae(args.work, args.steps or STEPS["vae"], args.device)
            case "bank":
                fill_bank(args.work, "bank", args.size, args.device)
                fill_bank(args.work, "moves-bank", args.size * 2 // 5, args.device)
            case "frames":
                train_denoiser(args.work, "frames", args.steps or STEPS["frames"], BATCH["frames"], args.device, 0.02)
            case "clips" | "moves":
                train_denoiser(args.work, stage, args.steps or STEPS[stage], BATCH[stage], args.device, 0.01)
            case "export" if not dist.is_initialized() or dist.get_rank() == 0:
                export(args.work, args.out)
            case "samples":
                draw_samples(Path(__file__).parent / "samples")
        if dist.is_initialized():
            dist.barrier()


if __name__ == "__main__":
    main()
