"""Arguments and options that commands share."""

from typing import Annotated, Literal

import typer

ProjectName = Annotated[str, typer.Argument(metavar="NAME", help="The project.", show_default=False)]
Device = Annotated[Literal["auto", "cuda", "mps", "cpu"], typer.Option("--device", help="Where to compute.")]
Precision = Annotated[
    Literal["auto", "bf16", "fp16", "fp32"] | None,
    typer.Option("--precision", help="Of the base model; adapters stay fp32.", show_default="auto"),
]
Template = Annotated[str | None, typer.Option("--template", help="A preset: mdctl templates list.", show_default=False)]
Model = Annotated[
    str | None,
    typer.Option("--model", help="Base model: a name, a folder or a hub id.", show_default="auto"),
]
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
DryRun = Annotated[bool, typer.Option("--dry-run", "-n", help="Check everything, write nothing.")]
