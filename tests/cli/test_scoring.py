"""Figures of any videos: files and folders of frames alike, with what is at hand."""

import json
from pathlib import Path

import pytest
from stage import Mdctl
from tiny import tiny_dino

from mdctl.media import clips as media
from mdctl.media.preview import png


@pytest.fixture
def pictures(films: Path, tmp_path: Path) -> Path:
    """`walk.mp4` as a folder of frames."""
    folder = tmp_path / "walk"
    folder.mkdir()
    for number, frame in enumerate(media.spread(films / "walk.mp4", 16)[0]):
        (folder / f"{number}.png").write_bytes(png(frame))
    return folder


def test_frames_are_a_video_wherever_one_is_asked_for(mdctl: Mdctl, films: Path, pictures: Path) -> None:
    """As what is judged and as the reference, with the same figures as the file; other formulas beside them."""
    walk = str(films / "walk.mp4")
    said = mdctl("--json", "bench", "score", walk, str(pictures), "--reference", str(pictures), "--compat", "yatim")
    assert said.code == 0, said.err
    file, folder = (record["scores"] for record in json.loads(said.out)["videos"])
    assert {*file} == {*folder}
    assert file == pytest.approx(folder, abs=0.05)
    assert folder["motion_fidelity_dis"] == pytest.approx(1, abs=0.02)
    (skipped, *_) = (record["skipped"] for record in json.loads(said.out)["videos"])
    assert {"text", "pick", "consistency", "subject_consistency"} <= {*skipped}
    assert "yatim_motion_dis" in {*file, *skipped}


def test_weights_that_are_named_have_to_be_there(mdctl: Mdctl, films: Path, tmp_path: Path) -> None:
    """One that is there fills its column; one that is not is a fault, with the line that gets it."""
    dino = str(tiny_dino(tmp_path / "dino"))
    said = mdctl("--json", "bench", "score", str(films / "walk.mp4"), "--dino", dino)
    (record,) = json.loads(said.out)["videos"]
    assert 0 < record["scores"]["subject_consistency"] <= 1
    assert record["meta"]["dino"] == dino
    assert record["meta"]["clip"] is None
    assert mdctl("bench", "score", str(films / "walk.mp4"), "--clip", "nobody/none").code == 8
    assert mdctl("bench", "score", str(films / "walk.mp4"), "--compat", "yatime").code == 2
