"""Figures of any videos: files and folders of frames alike, with what is at hand."""

import json
import shutil
from pathlib import Path

import pytest
from stage import Mdctl
from tiny import tiny_clip_model, tiny_dino

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


def test_pictures_beside_videos_are_passed_over(mdctl: Mdctl, films: Path, pictures: Path, tmp_path: Path) -> None:
    """Files and folders of frames are judged, the sheet beside them is not, and that is said."""
    shutil.copy(films / "other.mp4", tmp_path / "outputs.mp4")
    (tmp_path / "contact-sheet.png").write_bytes((pictures / "0.png").read_bytes())
    said = mdctl("--json", "bench", "score", str(tmp_path))
    assert [Path(record["video"]).name for record in json.loads(said.out)["videos"]] == ["outputs.mp4", "walk"]
    assert "passed over: contact-sheet.png" in mdctl("bench", "score", str(tmp_path)).err
    (tmp_path / "empty").mkdir()
    assert mdctl("bench", "score", str(tmp_path / "empty")).code == 3


def test_one_that_cannot_be_judged_leaves_the_others(mdctl: Mdctl, films: Path, pictures: Path, tmp_path: Path) -> None:
    """A single frame has no motion, one that cannot be read no figures: the rest is told, with exit 11."""
    (tmp_path / "a.mp4").write_bytes(b"no video")
    single = tmp_path / "single"
    single.mkdir()
    (pictures / "0.png").rename(single / "0.png")
    line = ("bench", "score", str(tmp_path / "a.mp4"), str(single), str(pictures))
    said = mdctl("--json", *line, "--reference", str(films / "walk.mp4"))
    assert said.code == 11, said.err
    found = json.loads(said.out)
    lone, whole = found["videos"]
    assert lone["skipped"]["motion_fidelity_dis"] == "too few frames"
    assert whole["scores"]["motion_fidelity_dis"] > 0.9
    assert [*found["unread"]] == [str(tmp_path / "a.mp4")]
    assert "steadiness, smoothness_blend, dynamic_degree_dis, speed_dis: too few frames (1 of 2" in mdctl(*line).err
    said = mdctl(*line[:2], str(pictures), "--reference", str(single))
    assert (said.code, "compared with a single frame: single" in said.err) == (0, True), said.err
    assert mdctl(*line[:3]).code == 4


def test_words_are_judged_by_what_is_known(mdctl: Mdctl, films: Path, pictures: Path, tmp_path: Path) -> None:
    """The caption beside the reference, a prompt that is too long, and the smaller CLIP from a folder."""
    clip, prompts = str(tiny_clip_model(tmp_path / "clip")), tmp_path / "prompts.txt"
    prompts.write_text("red " * 200)
    (pictures.parent / "caption.txt").write_text("a red square\n")
    line = ("bench", "score", str(films / "walk.mp4"), "--reference", str(pictures), "--prompts", str(prompts))
    line += ("--clip", clip, "--clip-b32", clip, "--compat", "mtbench")
    said = mdctl(*line)
    assert said.code == 0, said.err
    assert "tokens count in text, mtbench_text." in said.err
    (record,) = json.loads(mdctl("--json", *line).out)["videos"]
    assert {"leak_caption", "background_consistency", "mtbench_text"} <= {*record["scores"]}
    assert record["meta"]["mtbench_boxes"] == ["the whole frame"]
    assert "OpenCV" in record["meta"]["flow"]


def test_weights_that_are_named_have_to_be_there(mdctl: Mdctl, films: Path, tmp_path: Path) -> None:
    """One that is there fills its column; one that is not is a fault, with the line that gets it."""
    dino = str(tiny_dino(tmp_path / "dino"))
    said = mdctl("--json", "bench", "score", str(films / "walk.mp4"), "--dino", dino)
    (record,) = json.loads(said.out)["videos"]
    assert 0 < record["scores"]["subject_consistency"] <= 1
    assert record["meta"]["dino"].startswith(f"{dino}@")
    assert record["meta"]["clip"] is None
    assert mdctl("bench", "score", str(films / "walk.mp4"), "--clip", "nobody/none").code == 8
    assert mdctl("bench", "score", str(films / "walk.mp4"), "--compat", "yatime").code == 2


def test_what_would_say_nothing_is_a_slip(mdctl: Mdctl, films: Path, tmp_path: Path) -> None:
    """An output without a manifest, videos of the base model that are nowhere."""
    for words, code in ((("-o", str(tmp_path)), 2), (("--allow-missing",), 2), (("--base", str(tmp_path / "no")), 3)):
        assert mdctl("bench", "score", str(films / "walk.mp4"), *words).code == code
