"""The claim itself, in small: the motion of the clips comes over, and their look stays behind."""

from dataclasses import replace
from importlib.resources import files
from pathlib import Path

import pytest
import torch

from mdctl.measure import fidelity, table
from mdctl.measure.fidelity import Design
from mdctl.motion import families
from mdctl.settings import TrainSettings, from_table
from mdctl.workspace import presets


@pytest.mark.parametrize("motion", ["orbiting", "looping in a figure eight"])
def test_the_motion_comes_over_and_the_look_stays_behind(motion: str) -> None:
    """MotionDirector moves like the clips, unlike the base model, and shows what was asked, unlike coupled training.

    All are trained here with the settings of `starter`, in fewer steps, and speak all the way as in the paper.
    """
    suits = from_table(TrainSettings, presets.read("starter").tables["train"], "train")
    design = Design(
        replace(suits, steps=90, weight_decay=1e-4),
        methods=("base", "coupled", "full"),
        motions=(motion,),
        cases=("multi",),
        prompts=4,
        train_seeds=1,
        sample_steps=8,
    )
    starter = Path(str(files("mdctl.motion.starter").joinpath("model")))
    rows = []
    for cell in fidelity.cells(design):
        backbone, state = families.load(starter, torch.device("cpu"), torch.float32), None
        if fidelity.METHODS[cell.method].trained:
            *_, state = fidelity.learn(backbone, cell, design)
        rows += fidelity.read(cell, design, list(fidelity.videos(backbone, cell, design, state)))
    methods = table.document(rows)["methods"]
    assert methods["full"]["motion_rho"] > methods["base"]["motion_rho"] + 0.2
    assert methods["full"]["appearance"] > methods["coupled"]["appearance"]
