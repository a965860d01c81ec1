"""Arguments and options that commands share."""

from typing import Annotated, Literal

import typer

from mdctl.cli.turns import patience

ProjectName = Annotated[str, typer.Argument(metavar="NAME", help="The project.", show_default=False)]
Device = Annotated[Literal["auto", "cuda", "mps", "cpu"], typer.Option("--device", help="Where to compute.")]
Vram = Annotated[
    Literal["auto", "6", "8", "10", "12", "16", "24"],
    typer.Option("--vram", metavar="auto|6|8|10|12|16|24", help="Keep to a card of so many GB."),
]
Precision = Annotated[
    Literal["auto", "bf16", "fp16", "fp32", "int8"] | None,
    typer.Option("--precision", help="Of the base model, int8 inexact; adapters stay fp32.", show_default="auto"),
]
Template = Annotated[str | None, typer.Option("--template", help="A preset: mdctl templates list.", show_default=False)]
Model = Annotated[
    str | None,
    typer.Option("--model", help="Base model: a name, a folder or a hub id.", show_default="auto"),
]
ModelName = Annotated[str, typer.Argument(metavar="MODEL", help="A name, a folder or a hub id.", show_default=False)]
Size = Annotated[
    str | None, typer.Option("--size", metavar="WxH", help="Width and height.", show_default="as the model")
]
NumFrames = Annotated[int | None, typer.Option("--frames", help="Frames of one clip.", show_default="as the model")]
Fps = Annotated[float | None, typer.Option("--fps", help="Frames per second.", show_default="as the model")]
Threads = Annotated[int | None, typer.Option("--threads", min=1, help="CPU threads.", show_default="all cores")]
Set = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Any setting of [train]; may be given more than once."),
]
STEPS = "as the model; large ones 150 for one clip, 500 for several"
"""What help says of the steps of a training that nobody has set."""

Rank = Annotated[
    int | None, typer.Option("--rank", help="Width of the adapters.", show_default="as the model; large ones 32")
]
Rate = Annotated[
    float | None, typer.Option("--lr", help="Learning rate.", show_default="as the model; large ones 5e-4")
]
DryRun = Annotated[bool, typer.Option("--dry-run", "-n", help="Check everything, write nothing.")]
Fork = Annotated[
    str | None,
    typer.Option(
        "--fork", metavar="RUN", help="Begin a new run from what this one has learned; it stays.", show_default=False
    ),
]
Wait = Annotated[
    float | None,
    typer.Option(
        "--wait",
        metavar="10m",
        parser=patience,
        help="Wait so long for another process that changes the project.",
        show_default=False,
    ),
]

# --- What gen and its sisters share.

HOLDS = "a number holds as far as gen.strength_until says (a third of the way on starter), 1@0-1 all the way"
"""What help says of a strength."""

Count = Annotated[int, typer.Option(min=1, max=10_000, help="How many videos.")]
Seed = Annotated[int | None, typer.Option(min=0, max=2**63 - 1, help="Of the first video.", show_default="drawn")]
Clip = Annotated[int | None, typer.Option(help="The clip whose look or noise is used: 1, 2, ...", show_default="1")]
Follow = Annotated[
    float | None,
    typer.Option(help="How much of the clip's own noise to start from, 0-1.", show_default="0.3 with one clip, else 0"),
]
SampleSteps = Annotated[int | None, typer.Option("--steps", help="Denoising steps.", show_default="30")]
Guidance = Annotated[
    float | None, typer.Option("--guidance", help="How closely to keep to the prompt.", show_default="as the model")
]
Sampler = Annotated[
    Literal["ddim", "unipc", "dpm++"] | None,
    typer.Option("--sampler", help="unipc and dpm++ need half the --steps, for another video.", show_default="ddim"),
]
Merged = Annotated[
    bool | None,
    typer.Option(
        "--merged/--no-merged", help="Adapters inside the weights: as fast as without any.", show_default="--merged"
    ),
]
Fast = Annotated[
    bool, typer.Option("--fast", help="An approximation in half of the time: another sampler, fewer steps.")
]
Negative = Annotated[str | None, typer.Option("--negative", help="What is not to be seen.")]
Output = Annotated[str | None, typer.Option("-o", "--output", metavar="FILE|DIR/", help="Where to put it.")]
Force = Annotated[bool, typer.Option("--force", help="Move a file of that name to the trash first.")]
Container = Annotated[
    Literal["mp4", "gif", "webp", "frames"] | None,
    typer.Option("--format", help="File format; frames is a folder of PNGs.", show_default="mp4"),
]
