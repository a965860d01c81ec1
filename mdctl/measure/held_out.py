"""How well `starter` draws what it was never shown: `python -m mdctl.measure.held_out --out FOLDER`.

Half of the prompts name a subject on a background, half a subject with a motion, that were kept out of training
whole; the readers of this wing tell what came out. Writes the shares with their intervals and a contact sheet.
"""

import argparse
import json
import sys
import time
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path

import numpy as np
import torch

from mdctl.catalog import STARTER
from mdctl.measure import readers
from mdctl.media import motions, preview, world
from mdctl.media.frames import Frames
from mdctl.motion import dataset, families, noise, sampling
from mdctl.motion.backbone import Backbone

BATCH = 4


def asked(count: int) -> list[tuple[world.Scene, str]]:
    """So many scenes with motions, in each of which one pair was held out; the same ones every time."""
    rng = np.random.default_rng(2026)
    found: list[tuple[world.Scene, str]] = []
    while len(found) < count:
        pair = len(found) % 2 == 0
        scene = world.draw_scene(rng, unseen=pair)
        motion = world.draw_motion(rng, scene.subject, unseen=not pair)
        if pair or world.held_out(scene.subject, motion):
            found.append((scene, motion))
    return found


def generate(
    backbone: Backbone,
    wanted: list[tuple[world.Scene, str]],
    seed: int,
    steps: int,
    guidance: float,
    num_frames: int,
) -> Iterator[Frames]:
    """One video for each scene and motion, with the seeds from `seed` on."""
    shape = backbone.latent_shape(num_frames, world.SIZE, world.SIZE)
    for first in range(0, len(wanted), BATCH):
        part = wanted[first : first + BATCH]
        latents = torch.cat([noise.normal(seed + first + place, "sample", 0, shape) for place in range(len(part))])
        embeds = backbone.embed([world.prompt(*one) for one in part])
        for step in sampling.sample(backbone, latents, embeds, backbone.embed([""] * len(part)), steps, guidance):
            latents = step.latents
        for one in latents.split(1):
            yield dataset.to_frames(backbone.decode(one))


def main() -> None:
    """Generate, read, and write what was found."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    model = Path(str(files("mdctl.motion.starter").joinpath("model")))
    parser.add_argument("--model", type=Path, default=model, help="model folder, default the one in the package")
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--first", type=int, default=0, help="begin at this prompt, to share the work")
    parser.add_argument("--steps", type=int, default=30)
    parser.add_argument("--guidance", type=float, default=STARTER.guidance)
    parser.add_argument("--frames", type=int, default=motions.NUM_FRAMES, help="1 looks at single frames only")
    parser.add_argument("--out", type=Path, required=True, help="folder for accuracy.json and sheet.png")
    args = parser.parse_args()

    backbone = families.load(args.model, torch.device("cpu"), torch.float32)
    wanted = asked(args.first + args.count)[args.first :]
    began, videos = time.monotonic(), []
    found: list[tuple[readers.Reading, world.Scene, str]] = []
    for (scene, motion), frames in zip(
        wanted, generate(backbone, wanted, args.first, args.steps, args.guidance, args.frames), strict=True
    ):
        reading = readers.read(frames)
        found.append((reading, scene, motion))
        videos.append((world.prompt(scene, motion), frames))
    shares = {
        name: {"right": share.right, "of": share.n, "share": round(share.value, 3), "interval": share.interval}
        for name, share in readers.accuracy(found).items()
    }
    args.out.mkdir(parents=True, exist_ok=True)
    result = {
        "first": args.first,
        "count": args.count,
        "steps": args.steps,
        "guidance": args.guidance,
        "reader": readers.VERSION,
        **shares,
    }
    result["seconds"] = round(time.monotonic() - began)
    (args.out / "accuracy.json").write_text(json.dumps(result, indent=1))
    columns = 8 if args.frames > 1 else 1
    (args.out / "sheet.png").write_bytes(preview.contact_sheet(videos[:24], columns=columns, height=world.SIZE))
    sys.stdout.write(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
