"""`bench trajectories`: the figure itself."""

import json
from pathlib import Path

import pytest
from PIL import Image
from stage import Mdctl

from mdctl.measure import trajectories


def test_the_figure_on_starter(mdctl: Mdctl, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before the way to noise looks lie apart and motions do not; debiased, the looks come close."""
    monkeypatch.setattr(trajectories, "STEPS", 2)
    said = mdctl("bench", "trajectories", "-o", str(tmp_path), "--json")
    assert said.code == 0, said.err
    found = json.loads((tmp_path / "trajectories.json").read_text())
    assert found["latents"]["apart_look"] > 2 * found["latents"]["apart_motion"]
    assert found["latents"]["alike_motion"] > found["latents"]["alike_look"]
    assert found["debiased"]["apart_look"] < 0.7 * found["latents"]["apart_look"]
    assert len(found["steps"]) == 3
    with Image.open(tmp_path / "trajectories.png") as picture:
        assert len(picture.convert("RGB").getcolors(1 << 20) or ()) > 4
