"""`bench trajectories`: the paper's Figure 5, drawn and measured on `starter`."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from mdctl.cli.face import face
from mdctl.workspace import atomic, locations, weights


def bench_trajectories(
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="Folder of the picture and its figures.")
    ] = None,
) -> int:
    """The paper's Figure 5 on `starter`: where appearance and motion lie in the latents, and what debiasing removes.

    \b
    mdctl bench trajectories
    """
    from mdctl.measure import trajectories
    from mdctl.media import plot
    from mdctl.motion import device as machine
    from mdctl.motion import families

    folder = output.expanduser().resolve() if output else locations.bench() / "trajectories"
    machine.settle(None, deterministic=False)
    backbone = families.load(weights.find("starter")[1], machine.choose("auto"), machine.DTYPES["fp32"])
    with face().progress("inverting", trajectories.STEPS + 1) as show:
        ways = []
        for way in trajectories.invert(backbone):
            ways.append(way)
            show(way.step + 1, "")
    clean = ways[0]
    found: dict[str, Any] = {
        "latents": trajectories.figures(clean.latents),
        "debiased": trajectories.figures(clean.debiased),
        "steps": [trajectories.figures(way.latents) for way in ways],
    }
    colours = plot.COLOURS
    along = trajectories.flat([way.latents for way in ways])
    panels = [
        plot.Panel(
            "on the way to noise", [plot.Line(p, c, False) for one in along for p, c in zip(one, colours, strict=True)]
        ),
        *(
            plot.Panel(title, [plot.Line(p, c) for p, c in zip(trajectories.flat([points])[0], colours, strict=True)])
            for title, points in (("the clips, frame by frame", clean.latents), ("after debiasing", clean.debiased))
        ),
    ]
    names = [f"{trajectories.SCENES[look].noun} {trajectories.MOTIONS[motion]}" for look, motion in trajectories.CLIPS]
    picture, record = folder / "trajectories.png", folder / "trajectories.json"
    atomic.write(picture, plot.png(panels, list(zip(names, colours, strict=True))))
    atomic.write(record, json.dumps(found, indent=1))
    for title in ("latents", "debiased"):
        one = found[title]
        face().say(
            f"{title}: two looks lie {one['apart_look']:.2f} apart and two motions {one['apart_motion']:.2f}, in units"
            f" of a clip's own spread; connections agree by {one['alike_motion']:.2f} in one motion,"
            f" {one['alike_look']:.2f} in one look"
        )  # fmt: skip
    face().result([str(picture), str(record)], {"figures": {k: found[k] for k in ("latents", "debiased")}})
    return 0
