"""How well `starter` draws what it was never shown: `python -m mdctl.measure.held_out --out FOLDER`.

Half of the prompts name a subject on a background, half a subject with a motion, that were kept out of training
whole; the readers of this wing tell what came out. Writes the shares with their intervals and a contact sheet.
"""

import argparse
import json
import sys
import time
from importlib.resources import files
from pathlib import Path

import numpy as np
import torch

from mdctl.catalog import STARTER
from mdctl.measure import readers
from mdctl.media import motions, preview, world
from mdctl.motion import families
from mdctl.motion.drawing import draw
from mdctl.settings import SAMPLERS


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


def main() -> None:
    """Generate, read, and write what was found."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    model = Path(str(files("mdctl.motion.starter").joinpath("model")))
    parser.add_argument("--model", type=Path, default=model, help="model folder, default the one in the package")
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--first", type=int, default=0, help="begin at this prompt, to share the work")
    parser.add_argument("--steps", type=int, default=30)
    parser.add_argument("--sampler", choices=SAMPLERS, default="ddim")
    parser.add_argument("--guidance", type=float, default=STARTER.guidance)
    parser.add_argument("--frames", type=int, default=motions.NUM_FRAMES, help="1 looks at single frames only")
    parser.add_argument("--out", type=Path, required=True, help="folder for accuracy.json and sheet.png")
    args = parser.parse_args()

    backbone = families.load(args.model, torch.device("cpu"), torch.float32)
    wanted = asked(args.first + args.count)[args.first :]
    shape = backbone.latent_shape(args.frames, world.SIZE, world.SIZE)
    prompts = [world.prompt(*one) for one in wanted]
    noises = [(args.first + place, "sample", 0) for place in range(args.count)]
    began, videos = time.monotonic(), []
    found: list[tuple[readers.Reading, world.Scene, str]] = []
    for (scene, motion), frames in zip(
        wanted, draw(backbone, prompts, noises, shape, args.steps, args.guidance, args.sampler), strict=True
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
        "sampler": args.sampler,
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
