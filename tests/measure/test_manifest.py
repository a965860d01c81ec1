"""A manifest is read as it stands, and the layouts of known benchmarks become one."""

import json
from pathlib import Path
from typing import Any

import pytest

from mdctl.errors import BadInput, MdctlError, NotFound
from mdctl.measure import manifest

UNIT: dict[str, Any] = {
    "unit": "golf_side",
    "references": ["clips/golf_01.mp4", "clips/golf_02.mp4"],
    "caption": "a person is playing golf, side view",
    "captions": None,
    "eval": [{"id": "monkey", "type": "appearance", "prompt": "a monkey is playing golf, side view"}],
    "seeds": [0, 1],
}


def written(folder: Path, *records: dict[str, Any] | str) -> Path:
    """A manifest beside its clips."""
    (folder / "clips").mkdir(exist_ok=True)
    for name in UNIT["references"]:
        (folder / name).touch()
    path = folder / "bench.jsonl"
    lines = [record if isinstance(record, str) else json.dumps(record) for record in records]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def test_a_manifest_says_what_to_learn_and_what_to_ask(tmp_path: Path) -> None:
    """Paths are relative to the file, what is left out has its usual value, and writing it gives it back."""
    short = {"unit": "b", "references": ["clips/golf_01.mp4"], "caption": "x", "eval": [{"id": "a", "prompt": "y"}]}
    path = written(tmp_path, UNIT, "", short)
    units = manifest.read(path)
    assert [unit.unit for unit in units] == ["golf_side", "b"]
    assert units[0].references[0] == tmp_path / "clips" / "golf_01.mp4"
    assert units[0].seeds == (0, 1)
    assert units[1].seeds == (0,)
    assert units[1].eval[0].type == "appearance"
    nulls = written(
        tmp_path, short | {"captions": None, "seeds": None, "eval": [{"id": "a", "type": None, "prompt": "y"}]}
    )
    assert manifest.read(nulls) == units[1:]
    path.write_text(manifest.write(units, tmp_path))
    assert "clips/golf_01.mp4" in path.read_text()
    assert manifest.read(path) == units


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"refrences": []}, "did you mean 'references'"),
        ({"eval": []}, "names no prompts"),
        ({"eval": [{"id": "a", "promt": "x"}]}, "did you mean 'prompt'"),
        ({"eval": [{"id": "a"}]}, "lacks 'prompt'"),
        ({"eval": [{"id": "a", "prompt": "x"}] * 2}, "twice"),
        ({"eval": ["a monkey"]}, "no object"),
        ({"unit": "golf side"}, "no name"),
        ({"references": []}, "names no clips"),
        ({"references": ["nowhere.mp4"]}, "there is no"),
        ({"captions": ["one"]}, "1 captions for 2"),
        ({"seeds": ["x"]}, "'seeds' has to be a list of whole numbers"),
        ({"seeds": 3}, "'seeds' has to be a list of whole numbers"),
        ({"captions": 5}, "'captions' has to be a list of texts"),
        ({"references": [5]}, "'references' has to be a list of texts"),
        ({"caption": 5}, "'caption' has to be text"),
        ({"eval": [{"id": 5, "prompt": "x"}]}, "'id' has to be text"),
        ({"eval": [{"id": "a", "prompt": 5}]}, "'prompt' has to be text"),
        ({"eval": [{"id": "a", "type": ["x"], "prompt": "x"}]}, "'type' has to be text"),
    ],
)
def test_a_wrong_line_is_named_with_its_cure(tmp_path: Path, change: dict[str, Any], said: str) -> None:
    """The number of the line and what is wrong in it."""
    with pytest.raises(MdctlError) as caught:
        manifest.read(written(tmp_path, UNIT | {"unit": "first"}, UNIT | change))
    text = " ".join([caught.value.what, *caught.value.fix])
    assert said in text
    assert "line 2" in text


def test_what_is_no_manifest_is_refused(tmp_path: Path) -> None:
    """No file, no JSON, nothing inside, a unit twice."""
    with pytest.raises(NotFound):
        manifest.read(tmp_path / "no.jsonl")
    for records in (["not json"], [""], [UNIT, UNIT], ["[1]"]):
        with pytest.raises(BadInput):
            manifest.read(written(tmp_path, *records))


def test_a_plain_folder_is_a_benchmark(tmp_path: Path) -> None:
    """Each subfolder is a unit; prompts may begin with their type."""
    inner = tmp_path / f"_dolly zoom_{'m' * 120}"
    inner.mkdir()
    (inner / "b.mp4").touch()
    (inner / "a.MP4").touch()
    (inner / "caption.txt").write_text("a person\n")
    (inner / "prompts.txt").write_text("a castle\nstyle: a castle, oil painting\n\n")
    (unit,) = manifest.from_folder(tmp_path)
    assert unit.unit.startswith("dolly-zoom_m")
    assert manifest.SLUG.fullmatch(unit.unit)
    assert [path.name for path in unit.references] == ["a.MP4", "b.mp4"]
    assert [(wish.type, wish.prompt) for wish in unit.eval] == [
        ("appearance", "a castle"),
        ("style", "a castle, oil painting"),
    ]
    (inner / "frames").mkdir()
    for name in ("grid.png", "frames/1.png"):
        (inner / name).touch()
    assert [path.name for path in manifest.from_folder(tmp_path)[0].references] == ["a.MP4", "b.mp4", "frames"]
    (inner / "prompts.txt").unlink()
    with pytest.raises(NotFound, match=r"prompts\.txt"):
        manifest.from_folder(tmp_path)


HEADER = "Video name,Our GT caption," + ",".join(f"{kind} Caption" for kind in (
    "Style Change", "Object Change", "Background Change", "Multiple Changes"))  # fmt: skip


def loveu(root: Path, sizes: dict[str, int]) -> Path:
    """A table as the benchmark's, with its section rows, blank rows, a stray row, quotes and trailing blanks."""
    lines = [HEADER]
    for section, (name, size) in {"DAVIS": ("DAVIS_480p", 16), "Youtube": ("youtube_480p", 23),
                                  "Videvo": ("videvo_480p", 37)}.items():  # fmt: skip
        lines += [f"{section} Videos: ,,,,,", ",,,,,"]
        for number in range(sizes.get(section, size)):
            video = f"{section.lower()}-{number}"
            (root / name / "480p_frames" / video).mkdir(parents=True, exist_ok=True)
            lines.append(f'{video} ,"a man, walking","a man, in oil ",a bear,a man on mars,a bear on mars')
        lines.append("a stray remark,,,,,")
    (root / manifest.LOVEU_TABLE).write_text("\n".join(lines), encoding="utf-8")
    return root


def test_loveu_is_read_by_its_sections(tmp_path: Path) -> None:
    """76 videos, four prompts each, trimmed; types from the columns."""
    units = manifest.from_loveu(loveu(tmp_path, {}))
    assert len(units) == 76
    assert units[0].caption == "a man, walking"
    assert [wish.type for wish in units[0].eval] == ["style", "object", "background", "multiple"]
    assert units[0].eval[0].prompt == "a man, in oil"
    assert sum(len(unit.eval) for unit in units) == 304


def test_a_loveu_that_is_not_whole_is_refused(tmp_path: Path) -> None:
    """A section that lacks videos, a folder that is not there, no table."""
    with pytest.raises(BadInput, match="15 videos of DAVIS_480p, not 16"):
        manifest.from_loveu(loveu(tmp_path, {"DAVIS": 15}))
    root = loveu(tmp_path, {})
    (root / "videvo_480p" / "480p_frames" / "videvo-3").rmdir()
    with pytest.raises(NotFound) as caught:
        manifest.from_loveu(root)
    assert "videvo_480p" in caught.value.fix[0]
    for spoilt in (b"a man\x92s walk", b'"a man'):
        (root / manifest.LOVEU_TABLE).write_bytes(spoilt)
        with pytest.raises((NotFound, BadInput)):
            manifest.from_loveu(root)
    with pytest.raises(NotFound):
        manifest.from_loveu(tmp_path / "nowhere")


def test_mtbench_is_read(tmp_path: Path) -> None:
    """One folder a video; trailing blanks of prompts do not count."""
    inner = tmp_path / "bear"
    (inner / "videos").mkdir(parents=True)
    (inner / "videos" / "bear.mp4").touch()
    (inner / "eval_prompts.txt").write_text("a dog runs.  \na cat runs.\n")
    (unit,) = manifest.from_mtbench(tmp_path)
    assert [wish.prompt for wish in unit.eval] == ["a dog runs.", "a cat runs."]
    (inner / "masks" / "bear").mkdir(parents=True)
    mask = inner / "masks" / "bear" / "00007.png"
    mask.touch()
    assert [manifest.mtbench_mask(unit.references[0], frame) for frame in (0, 7)] == [None, mask]
    assert manifest.mtbench_mask(inner / "bear.mp4", 7) is None
    (inner / "videos" / "bear.mp4").unlink()
    with pytest.raises(NotFound):
        manifest.from_mtbench(tmp_path)
