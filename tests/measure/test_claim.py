"""The claim itself, in small: the motion of the clips comes over, and their look stays behind."""

from dataclasses import replace
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
import torch

from mdctl.measure import fidelity, table
from mdctl.measure.fidelity import Design
from mdctl.motion import families
from mdctl.settings import TrainSettings, from_table
from mdctl.workspace import presets


@pytest.fixture(scope="module")
def methods() -> dict[str, Any]:
    """What each method makes of a motion, trained here with the settings of `starter`, in fewer steps."""
    suits = from_table(TrainSettings, presets.read("starter").tables["train"], "train")
    design = Design(
        replace(suits, steps=110, batch=1, weight_decay=1e-4),
        methods=("base", "coupled", "full"),
        motions=("orbiting",),
        prompts=4,
        train_seeds=1,
        sample_steps=12,
    )
    starter = Path(str(files("mdctl.motion.starter").joinpath("model")))
    rows = []
    for cell in fidelity.cells(design):
        backbone, state = families.load(starter, torch.device("cpu"), torch.float32), None
        if fidelity.METHODS[cell.method].trained:
            *_, state = fidelity.learn(backbone, cell, design)
        rows += fidelity.read(cell, design, list(fidelity.videos(backbone, cell, design, state)))
    found: dict[str, Any] = table.document(rows)["methods"]
    return found


def test_the_motion_comes_over(methods: dict[str, Any]) -> None:
    """MotionDirector moves like the clips, the base model does not."""
    assert methods["full"]["motion_rho"] > methods["base"]["motion_rho"] + 0.2


def test_the_look_stays_behind(methods: dict[str, Any]) -> None:
    """MotionDirector shows what was asked more often than one adapter for everything does."""
    assert methods["full"]["appearance"] > methods["coupled"]["appearance"]
