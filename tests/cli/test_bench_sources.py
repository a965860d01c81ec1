"""Where a campaign comes from: a template, folders, and the benchmarks of others."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from campaigns import rows, table
from stage import Mdctl

from mdctl.measure import manifest
from mdctl.media import clips as media
from mdctl.media.preview import png
from mdctl.workspace import locations


def test_masks_of_mtbench_are_read(mdctl: Mdctl, films: Path, tmp_path: Path) -> None:
    """Its folder, with the mask of the first frame and without: another box, and another score."""
    bear, theirs, out = tmp_path / "mt" / "bear", tmp_path / "theirs" / "a_dog_runs", tmp_path / "out"
    for folder in (bear / "videos", bear / "masks" / "bear", theirs):
        folder.mkdir(parents=True)
    for video in (bear / "videos" / "bear.mp4", theirs / "0.mp4"):
        shutil.copy(films / "walk.mp4", video)
    (bear / "eval_prompts.txt").write_text("a dog runs.\n")
    command = ("bench", "score", str(theirs.parent), "--manifest", str(tmp_path / "mt"), "--system", "x")
    boxes = []
    for mask in (None, np.full((48, 64, 3), 255, np.uint8)):
        if mask is not None:
            mask[:, :32] = 0
            (bear / "masks" / "bear" / "00000.png").write_bytes(png(mask))
        assert mdctl(*command, "--compat", "mtbench", "-o", str(out)).code == 0
        (row,) = rows(out)
        boxes.append(row["meta"]["mtbench_boxes"])
    assert boxes == [["the whole frame"], [[32, 0, 64, 48]]]


def test_a_folder_becomes_a_manifest_first(mdctl: Mdctl, films: Path, line: tuple[str, ...], tmp_path: Path) -> None:
    """It is written even where nothing can be made, can be run by itself, and frames in a folder are a clip."""
    inner = tmp_path / "motions" / "a walk"
    inner.mkdir(parents=True)
    shutil.copy(films / "short.mp4", inner)
    (inner / "caption.txt").write_text("a red square\n")
    (inner / "prompts.txt").write_text("a monkey\nstyle: a circle\n")
    said = mdctl("bench", "folder", str(inner.parent), "--steps", "1", *line[:2], *line[-2:], "--size", "32x32")
    assert said.code == 4
    assert "a-walk, short.mp4: too short" in said.err
    written = tmp_path / "out" / "manifest.jsonl"
    assert [unit.unit for unit in manifest.read(written)] == ["a-walk"]
    frames, _ = media.spread(films / "walk.mp4", 16)
    pictures = tmp_path / "out" / "pictures"
    pictures.mkdir()
    for number, frame in enumerate(frames):
        (pictures / f"{number}.png").write_bytes(png(frame))
    record = json.loads(written.read_text()) | {"references": ["pictures"]}
    written.write_text(json.dumps(record))
    assert mdctl("bench", "run", str(written), *line[:-2], "--only", "full").code == 0
    assert table(tmp_path / "out")["methods"]["full"]["n"] == 2
    elsewhere = tmp_path / "elsewhere"
    assert mdctl("bench", "folder", str(inner.parent), "-n", "-o", str(elsewhere)).lines[:2] == [
        "units\t1",
        "prompts\t2",
    ]
    assert not elsewhere.exists()
    assert mdctl("bench", "folder", str(tmp_path / "no")).code == 3
    assert mdctl("bench", "run", str(tmp_path / "motions")).code == 3


def test_the_template_is_a_manifest_once_its_folders_are_there(mdctl: Mdctl, films: Path, tmp_path: Path) -> None:
    """12 motions, 72 prompts that differ from the caption by who does it; a folder stands for the videos in it."""
    said = mdctl("bench", "run", "--print-template", "ucf-like")
    assert said.code == 0
    for record in map(json.loads, said.lines):
        folder = tmp_path / record["references"][0]
        folder.mkdir(parents=True)
        for name in ("walk.mp4", "other.mp4"):
            shutil.copy(films / name, folder)
    path = tmp_path / "mine.jsonl"
    path.write_text(said.out, encoding="utf-8")
    units = manifest.read(path)
    assert (len(units), sum(len(unit.eval) for unit in units)) == (12, 72)
    assert all(len(unit.references) == 2 for unit in units)
    for unit in units:
        action = unit.caption.removeprefix("a person")
        assert all(wish.prompt.endswith(action) and wish.prompt != unit.caption for wish in unit.eval)
    shown = mdctl("--json", "bench", "run", str(path), "--only", "base", "--only", "full", "--seeds", "0-1", "-n")
    facts = json.loads(shown.out)
    assert (facts["units"], facts["trainings"], facts["videos"]) == (12, 12, 288)
    assert not (locations.bench()).exists()
    assert mdctl("bench", "run", "--print-template", "ucf").code == 2


def test_loveu_is_recognised(mdctl: Mdctl, films: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The benchmark's own folder, cut down to a video a section, judged in its own layout of results."""
    monkeypatch.setattr(manifest, "LOVEU_SECTIONS", {"davis": ("DAVIS_480p", 1), "youtube": ("youtube_480p", 1)})
    root, results = tmp_path / "loveu", tmp_path / "results"
    lines = ["Video name,Our GT caption,Style Change Caption,Object Change Caption"]
    frames, _ = media.spread(films / "walk.mp4", 8)
    for section, name in (("DAVIS", "DAVIS_480p"), ("Youtube", "youtube_480p")):
        lines += [f"{section} Videos:,,,", f"{section} man ,a red square,a circle,a monkey"]
        for folder in (root / name / "480p_frames" / f"{section} man", results / name / f"{section} man" / "style"):
            folder.mkdir(parents=True)
            for number, frame in enumerate(frames):
                (folder / f"{number:05d}.png").write_bytes(png(frame))
    (root / manifest.LOVEU_TABLE).write_text("\n".join(lines), encoding="utf-8")
    said = mdctl(
        "bench", "score", str(results), "--system", "video-crafter", "--manifest", str(root), "--allow-missing"
    )
    assert said.code == 0, said.err
    out = locations.bench() / "loveu"
    assert [row["id"] for row in rows(out)] == ["style", "style"]
    assert rows(out)[0]["scores"]["motion_fidelity_dis"] == pytest.approx(1, abs=0.02)
    assert table(out)["methods"]["video-crafter"]["columns"]["text"]["missing"] == 2
