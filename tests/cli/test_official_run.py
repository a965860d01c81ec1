"""`import --convert`: a run of the official implementation becomes a project."""

import re
from pathlib import Path

import torch
from stage import Mdctl

from mdctl.motion import families
from mdctl.workspace.project import Project

FAST = ("--steps", "1", "--threads", "1", "-q")


def test_an_official_run_comes_in(mdctl: Mdctl, home: Path, model: Path, tmp_path: Path) -> None:
    """Its pickled lists are read apart and become a project that gen and mix use; without --convert it is named."""
    network = families.blueprint(model)
    layers = families.layers(model)
    folder = tmp_path / "golf-run"
    for kind, pattern, clips in (("temporal", layers.temporal, 1), ("spatial", layers.spatial, 2)):
        listed = []
        for name, host in network.named_modules():
            if re.fullmatch(pattern, name):
                listed += [torch.randn(host.out_features, 2), torch.randn(2, host.in_features)] * clips
        path = folder / "checkpoint-300" / kind / "lora" / "300_unet.pt"
        path.parent.mkdir(parents=True)
        torch.save(listed, path)
    said = mdctl("import", str(path), "--model", str(model))
    assert (said.code, "--convert" in said.err) == (10, True), said.err
    said = mdctl("import", str(folder), "--convert", "--as", "motion", "--model", str(model))
    assert (said.code, "leave --as out" in said.err) == (2, True), said.err
    said = mdctl("import", str(folder), "--convert", "--model", str(model), "--caption", "a person is playing golf")
    assert said.code == 0, said.err
    project = Project.open("golf-run")
    assert (project.record.kind, project.record.subject, project.status) == ("motion", "a person", "trained · 300")
    save = project.runs()[-1].saves()[-1]
    assert save.files == ("temporal.safetensors", "spatial_000.safetensors", "spatial_001.safetensors")
    assert mdctl("gen", "golf-run", "a monkey", "--appearance-strength", "0.5", "--clip", "2", *FAST).code == 0
    assert mdctl("mix", "--appearance", "golf-run", "--motion", "golf-run", *FAST).code == 0
    out = tmp_path / "golf.mdz"
    assert mdctl("export", "golf-run", "-o", str(out)).code == 0
    said = mdctl("import", str(out), "--convert", "--model", str(model))
    assert said.code == 10, said.err
