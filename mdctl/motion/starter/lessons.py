"""What `starter` is shown, in which order and with which words; every draw is keyed by (stage, step, place)."""

import copy
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor
from transformers import CLIPTextModel

from mdctl.media import motions, paths, world
from mdctl.media.motions import Track
from mdctl.motion.starter import parts

CURRICULUM = ((130, 1), (300, 2), (420, 4))
"""Until which step on clips how many of the motions are shown.

One direction first: where a subject is then follows from the frame's number alone, and the network learns to count
frames within 60 steps. Then its opposite: only the word tells them apart. All seven at once taught neither in 500.
"""

BOOTCAMP = 650
"""Steps on clips in which almost all noise levels are those where motion is decided."""

POLISH = 1500
"""Step on clips after which all noise levels count the same: by then motion is known, and looks are still rough."""

VIEWS = 0.25
"""Share of the clips before a texture in which the camera stands elsewhere: so that it can learn to move there."""

CAMERAS = 0.4
"""Share of the clips in `moves` in which the camera moves instead of the subject."""

NOVEL = 0.7
"""Agreement with a motion that is kept for MotionDirector from which a path is not shown."""

MOTION_LENGTH = 6.0
"""How far a motion moves the embedding of a token, which is about 9 long."""


def rng(stage: str, step: int, place: int) -> np.random.Generator:
    """The source of chance for one example."""
    return np.random.default_rng([sum(stage.encode()), step, place])


@dataclass(frozen=True)
class Clip:
    """What one clip of the bank shows."""

    scene: world.Scene
    motion: str
    track: Track
    view: str = ""
    """What the camera does, if it does anything."""

    @property
    def prompt(self) -> str:
        """The full sentence."""
        return ", ".join(filter(None, [world.prompt(self.scene, self.motion), self.view]))


def clips(places: range) -> list[Clip]:
    """The clips at these places of the bank; no pair that is held out is among them."""
    return [clip(rng("bank", 0, place)) for place in places]


def clip(chance: np.random.Generator) -> Clip:
    """One clip; textures are now and then seen by a camera that stands elsewhere."""
    scene = world.draw_scene(chance)
    motion = world.draw_motion(chance, scene.subject)
    track = motions.track(motion, chance)
    if scene.background in world.TEXTURED and chance.random() < VIEWS:
        return Clip(scene, motion, replace(track, camera=motions.another_view(chance)), "another view")
    return Clip(scene, motion, track)


def moves(places: range) -> list[Clip]:
    """The clips at these places of the second bank: subjects and cameras that move in ways which have no word."""
    return [move(rng("moves", 0, place)) for place in places]


def move(chance: np.random.Generator) -> Clip:
    """One clip of any path, or before a texture of a moving camera; never a motion that is to stay novel."""
    seen_by_camera = chance.random() < CAMERAS
    scene = world.draw_scene(chance)
    while seen_by_camera and scene.background not in world.TEXTURED:
        scene = world.draw_scene(chance)
    while True:
        t = np.linspace(0, 1, motions.NUM_FRAMES)
        track = motions.drifting(t, chance) if seen_by_camera else motions.wandering(t, chance)
        if not _novel(track):
            return Clip(scene, *(("", track, "moving view") if seen_by_camera else ("moving", track)))


def _novel(track: Track) -> bool:
    scores = paths.motion_scores(track)
    return max(scores[motion] for motion in (*motions.NOVEL_MOTIONS, *motions.CAMERA_MOTIONS)) >= NOVEL


def shown(by_motion: list[list[int]], step: int) -> list[int]:
    """The places of the clips that are shown at this step, out of those of each motion."""
    motions = next((motions for until, motions in CURRICULUM if step <= until), len(by_motion))
    return [place for places in by_motion[:motions] for place in places]


def still(stage: str, step: int) -> bool:
    """Whether a step shows single frames: all do before the clips, and later every fifth, lest it forgets them.

    The spatial adapters of MotionDirector learn from single frames, so the model has to stay at home there.
    """
    return stage == "frames" or ((stage == "moves" or step > BOOTCAMP) and step % 5 == 0)


def caption(clip: Clip, chance: np.random.Generator, moving: bool) -> str:
    """A prompt for a clip; now and then parts of it are left out, or unknown words stand in for the motion.

    A tenth of the prompts for clips names the motion alone: nothing else in them could be attended to.
    """
    if moving and chance.random() < 0.1:
        return clip.motion or clip.view
    if chance.random() < 0.1:
        return ""
    full = clip.prompt
    if clip.motion and (not moving or chance.random() < 0.1):
        unknown = " ".join(["zzz"] * int(chance.integers(0, 4)))
        instead = " ".join(filter(None, ["is" if unknown and chance.random() < 0.3 else "", unknown]))
        full = full.replace(f" {clip.motion}", f" {instead}" if instead else "")
    return full.split(" on a ")[0] if chance.random() < 0.08 else full


def level(chance: np.random.Generator, stage: str, step: int, moving: bool) -> float:
    """A noise level in [0, 1).

    Where a subject is shows through the noise of 16 frames below a level of about 0.95: its path is decided above it,
    in the first two of thirty sampling steps. Clips are mostly seen there, at first nearly always.
    """
    if not moving:
        return float(chance.random())
    step += BOOTCAMP if stage == "moves" else 0  # it goes on where a clip is known to be a clip
    if chance.random() < (0.8 if step <= BOOTCAMP else 0.3 if step <= POLISH else 0.12):
        return float(chance.uniform(0.9, 1))
    return float(chance.random()) if step > POLISH else float(1 - chance.random() ** 2) % 1


def name_motions(text_encoder: CLIPTextModel, steps: int = 600) -> float:
    """Teach the text encoder to say the motion in every token after its words; gives the last error.

    The frames never needed the words of motions, and on clips the encoder would rather silence them as a nuisance than
    wait until the U-Net has learned their use: in 500 steps `left` and `right` had come to mean the same. So each
    word of direction or change gets an arrow of its own (a diagonal is the sum of two), all else stays as it was, and
    the encoder is frozen from here on.
    """
    tokenizer, old = parts.new_tokenizer(), copy.deepcopy(text_encoder)
    taught = list(motions.BASE_MOTIONS)
    words = list(dict.fromkeys(motion.split()[-1] for motion in taught))
    directions = torch.randn(len(words), parts.WIDTH, generator=torch.Generator().manual_seed(7))
    directions = MOTION_LENGTH * directions / directions.norm(dim=1, keepdim=True)
    numbers = tokenizer.convert_tokens_to_ids(words)
    optimizer = torch.optim.AdamW(text_encoder.parameters(), lr=1e-3, weight_decay=0.0)
    error = torch.zeros(())
    for step in range(steps):
        optimizer.param_groups[0]["lr"] = 1e-3 * min(1.0, 2 - 2 * step / steps)
        chance = rng("words", step, 0)
        prompts = []
        for _ in range(64):
            scene, motion = world.draw_scene(chance), str(chance.choice(taught))
            phrase = str(chance.choice([motion, motion, motion, str(chance.choice(parts.UNTAUGHT)), ""]))
            prompts.append(phrase if chance.random() < 0.15 else world.prompt(scene, phrase))
        tokens = tokenizer(prompts, padding="max_length", truncation=True, return_tensors="pt").input_ids
        with torch.no_grad():
            target: Tensor = old(tokens)[0].clone()
            for word, direction in zip(numbers, directions, strict=True):
                target += direction * (tokens == word).cumsum(1).clamp(max=1)[..., None]
        error = (text_encoder(tokens)[0] - target).square().mean()
        error.backward()
        optimizer.step()
        optimizer.zero_grad()
    return float(error.detach())
