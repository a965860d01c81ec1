"""A benchmark on the user's own clips: the same training and drawing as by hand, each item once, nothing hidden."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from campaigns import QUICK, rows, table
from stage import Mdctl
from tiny import tiny_clip_model

from mdctl.cli.bench import make
from mdctl.media import clips as media
from mdctl.media.preview import png
from mdctl.workspace import locations
from mdctl.workspace.project import Project

SUBJECTS = ("monkey", "circle")

Write = Callable[..., Path]


@pytest.fixture
def bench(tmp_path: Path, films: Path) -> Write:
    """`bench(monkey, units=1)` writes a manifest of two units, with two prompts and with one, and gives its path."""

    def write(monkey: str = "a monkey playing golf", units: int = 2, **changes: Any) -> Path:
        lines = []
        for unit, clips in (("walk", ["walk.mp4", "other.mp4"]), ("Other_1.a", ["other.mp4"]))[:units]:
            wishes = [
                {"id": "monkey", "type": "appearance", "prompt": monkey},
                {"id": "circle", "type": "style", "prompt": "a red circle, blue"},
            ]
            record = {"unit": unit, "references": [str(films / clip) for clip in clips],
                      "caption": "a red square playing golf", "eval": wishes[unit != "walk" :]} | changes  # fmt: skip
            lines.append(json.dumps(record))
        path = tmp_path / "bench.jsonl"
        path.write_text("\n".join(lines), encoding="utf-8")
        return path

    return write


def videos(out: Path, *methods: str) -> dict[str, tuple[int, bytes]]:
    """When each video was written, and what it holds."""
    return {
        path.relative_to(out).as_posix(): (path.stat().st_mtime_ns, path.read_bytes())
        for method in methods
        for path in sorted((out / method).rglob("*.mp4"))
    }


def test_from_a_manifest_to_the_table_on_starter(mdctl: Mdctl, bench: Write, tmp_path: Path) -> None:
    """Base and full on the model in the package; rows and table are whole and say where they are from."""
    out = tmp_path / "out"
    path = str(bench(units=1))
    said = mdctl("bench", "run", path, *QUICK, "--only", "full", "--only", "base", "-o", str(out), "--pairs")
    assert said.code == 0, said.err
    found = rows(out)
    assert {*found[0]} == {"unit", "id", "type", "method", "train_seed", "seed", "video", "sha256", "scores",
                           "skipped", "meta"}  # fmt: skip
    assert [(row["method"], row["unit"], row["id"], row["seed"]) for row in found if row["method"] != "reference"] == [
        (method, "walk", subject, 0) for method in ("base", "full") for subject in SUBJECTS
    ]  # fmt: skip
    for row in found:
        path = out / row["video"]
        assert media.digest(path) == row["sha256"]
        assert "CLIP" in row["skipped"]["consistency"]
        assert not {*row["scores"]} & {*row["skipped"]}
    oracle = [row["scores"]["motion_fidelity_dis"] for row in found if row["method"] == "reference"]
    assert oracle == pytest.approx([1, 1], abs=1e-6)
    assert all(row["scores"]["leak_colour"] == 0 for row in found if row["method"] == "base")
    result = table(out)
    assert result["methods"]["full"]["shape"] == "1 x 2 x 1 x 1"
    assert (result["methods"]["full"]["frames"], result["methods"]["full"]["size"]) == (16, "64x64")
    assert result["methods"]["full"]["columns"]["consistency"]["skipped"] == 2
    assert "mean" not in result["methods"]["full"]["columns"]["consistency"]
    assert result["settings"]["base"]["name"] == "starter"
    assert result["made_with"]["torch"]
    assert [line.split("\t")[0] for line in said.lines] == ["reference", "base", "full"]
    assert "no weights of CLIP" in said.err
    assert "captions and prompts: playing (near: panning, " in said.err
    assert "1 training seed" in said.err
    page = (out / "pairs.html").read_text(encoding="utf-8")
    assert page.count("<section ") == 2
    assert page.count("data:video/mp4;base64,") == 6
    key = json.loads((out / "pairs-key.json").read_text())
    assert all({pair["left"]["method"], pair["right"]["method"]} == {"base", "full"} for pair in key.values())


def test_it_is_what_train_and_gen_make(
    mdctl: Mdctl, bench: Write, line: tuple[str, ...], films: Path, model: Path, tmp_path: Path
) -> None:
    """The same weights to the byte and the same frames as the commands that a user types."""
    assert mdctl("bench", "run", str(bench(units=1, seeds=[3])), *line, "--only", "full").code == 0
    clips = [str(films / name) for name in ("walk.mp4", "other.mp4")]
    small = ("--size", "32x32", "--frames", "4")
    caption = ("--caption", "a red square playing golf")
    assert mdctl("new", "walk", *clips, *caption, *small, "--model", str(model)).code == 0
    assert mdctl("train", "walk", "--steps", "2", "--rank", "2", "--threads", "1").code == 0
    made = mdctl("gen", "walk", "a monkey playing golf", "--steps", "2", "--seed", "3", "--threads", "1", "-q")
    assert made.code == 0
    (theirs,) = [Project(path) for path in (tmp_path / "out" / "work" / "projects").glob("walk-*")]
    mine, other = (one.runs()[-1].saves()[-1] for one in (Project.open("walk"), theirs))
    assert mine.sha256 == other.sha256
    frames, again = (
        media.spread(path, 4)[0] for path in (Path(made.out.strip()), tmp_path / "out/full/walk/monkey/3.mp4")
    )
    assert np.array_equal(frames, again)


def test_methods_differ_in_what_they_train(mdctl: Mdctl, bench: Write, line: tuple[str, ...], tmp_path: Path) -> None:
    """Every method makes other videos; coupled has one adapter in all layers; two trainings have their own files."""
    out = tmp_path / "out"
    methods = ("base", "coupled", "full")
    asked = [word for method in methods for word in ("--only", method)]
    path = bench()
    path.write_text(path.read_text().splitlines()[1])
    assert mdctl("bench", "run", str(path), *line, *asked, "--train-seeds", "2").code == 0
    assert len({content for _, content in videos(out, *methods).values()}) == 5
    assert {path.name for path in (out / "full/Other_1.a/circle").glob("*.mp4")} == {"0.mp4", "0_t1.mp4"}
    assert {path.name for path in (out / "base/Other_1.a/circle").glob("*.mp4")} == {"0.mp4"}
    (project,) = [Project(path) for path in (out / "work" / "projects").glob("other*")]
    learned = {run.settings["method"]: run.saves()[-1].files for run in project.runs()}
    assert "coupled.safetensors" in learned["coupled"]
    assert "temporal.safetensors" in learned["full"]
    assert table(out)["methods"]["full"]["shape"] == "1 x 1 x 2 x 1"
    paired = [one for one in table(out)["differences"] if (one["to"], one["in"]) == ("base", "leak_colour")]
    assert paired[0]["n"] == 2  # the base model's one video stands beside both trainings


def test_stopped_between_two_videos_it_goes_on(
    mdctl: Mdctl, bench: Write, line: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was finished is not touched again, neither video nor training nor score; a change touches what it must."""
    out, keep, kept = tmp_path / "out", make._keep, list[str]()

    def until(*given: Any) -> None:
        if len(kept) == 4:
            raise KeyboardInterrupt
        keep(*given)
        kept.append(given[1].place)

    command = ("bench", "run", str(bench()), *line, "--only", "base", "--only", "full")
    monkeypatch.setattr(make, "_keep", until)
    said = mdctl(*command)
    assert said.code == 130
    assert "the same line goes on" in said.err
    before = videos(out, "base", "full")
    assert len(before) == 4
    monkeypatch.setattr(make, "_keep", keep)
    said = mdctl(*command)
    assert said.code == 0, said.err
    after = videos(out, "base", "full")
    assert len(after) == 6
    assert {name: after[name] for name in before} == before
    assert "training full · walk" not in said.err  # it was finished before the stop
    assert "training full · Other_1.a" in said.err
    scores = (out / "work" / "scores.jsonl").read_bytes()
    logs = {path: path.read_bytes() for path in out.rglob("events.jsonl")}
    assert mdctl(*command).code == 0
    assert videos(out, "base", "full") == after
    assert (out / "work" / "scores.jsonl").read_bytes() == scores
    assert {path: path.read_bytes() for path in out.rglob("events.jsonl")} == logs

    # Another prompt is another video, not another training, and the old one is in the trash; so is what was spoilt.
    bench("a red monkey")
    (out / "full/walk/circle/0.mp4").write_bytes(b"not what it was")
    said = mdctl(*command)
    assert said.code == 0
    assert {path: path.read_bytes() for path in out.rglob("events.jsonl")} == logs
    changed = videos(out, "base", "full")
    assert {name for name in after if changed[name][1] != after[name][1]} == {
        "base/walk/monkey/0.mp4",
        "full/walk/monkey/0.mp4",
    }
    assert changed["full/walk/circle/0.mp4"][0] != after["full/walk/circle/0.mp4"][0]
    assert len(list(locations.trash().glob("*.mp4"))) == 3


def test_score_only_reads_what_is_there(
    mdctl: Mdctl, bench: Write, line: tuple[str, ...], films: Path, tmp_path: Path
) -> None:
    """Missing ones are listed and make it fail unless that is allowed, extra ones are listed; nothing is made."""
    out = tmp_path / "out"
    for unit, subject in (("walk", "circle"), ("Other_1.a", "circle")):
        (out / "base" / unit / subject).mkdir(parents=True)
        shutil.copy(films / "walk.mp4", out / "base" / unit / subject / "0.mp4")
    (out / "base" / "walk" / "panda").mkdir()
    shutil.copy(films / "other.mp4", out / "base" / "walk" / "panda" / "0.mp4")
    command = ("bench", "run", str(bench()), *line, "--only", "base", "--score-only")
    said = mdctl(*command)
    assert said.code == 11
    assert "base/walk/monkey/0 is not there" in said.err
    assert "panda/0.mp4 was not asked for" in said.err
    result = table(out)
    assert result["missing"] == ["base/walk/monkey/0"]
    cell = result["methods"]["base"]["columns"]["motion_fidelity_dis"]
    assert (cell["n"], cell["missing"]) == (2, 1)
    assert result["methods"]["base"]["columns"]["text"]["missing"] == 0  # the missing one is no `text` prompt
    assert mdctl(*command, "--allow-missing").code == 0
    assert len(videos(out, "base")) == 3


def test_other_systems_stand_in_the_same_table(
    mdctl: Mdctl, bench: Write, line: tuple[str, ...], films: Path, tmp_path: Path
) -> None:
    """Videos by seed, frames in folders, LOVEU's layout; a row of its own that later runs keep."""
    out, theirs, path = tmp_path / "out", tmp_path / "theirs", bench()
    assert mdctl("bench", "run", str(path), *line, "--only", "base").code == 0
    frames, _ = media.spread(films / "walk.mp4", 6)
    (theirs / "walk" / "monkey").mkdir(parents=True)
    shutil.copy(films / "walk.mp4", theirs / "walk" / "monkey" / "0.mp4")
    for folder in (theirs / "walk" / "circle" / "0", theirs / "DAVIS_480p" / "Other_1.a" / "circle"):
        folder.mkdir(parents=True)
        for number, frame in enumerate(frames):
            (folder / f"{number}.png").write_bytes(png(frame))
    command = ("bench", "score", str(theirs), "--manifest", str(path), "-o", str(out))
    said = mdctl(*command, "--system", "tune-a-video", "--compat", "mtbench", "--allow-missing")
    assert said.code == 0, said.err
    assert [line.split("\t")[0] for line in said.lines] == ["reference", "base", "tune-a-video"]
    assert "judged by" in said.err  # 4, 6 and 16 frames
    own = [row for row in rows(out) if row["method"] == "tune-a-video"]
    assert [(row["unit"], row["id"], row["meta"]["frames"]) for row in own] == [
        ("walk", "monkey", 16), ("walk", "circle", 6), ("Other_1.a", "circle", 6),
    ]  # fmt: skip
    assert all(row["skipped"].get("mtbench_text") for row in own)
    assert all("mtbench_motion_dis" in {*row["scores"], *row["skipped"]} for row in own)
    assert table(out)["methods"]["tune-a-video"]["columns"]["mtbench_temporal"]["skipped"] == 3
    assert mdctl("bench", "run", str(path), *line, "--only", "base").code == 0
    assert table(out)["methods"]["tune-a-video"]["n"] == 3
    for wrong in ("full", "reference", "///"):
        assert mdctl(*command, "--system", wrong).code == 2
    assert mdctl("bench", "score", str(theirs), "--system", "x").code == 2
    assert mdctl(*command, "--system", "x", "--reference", str(films / "walk.mp4")).code == 2
    assert mdctl(*command, "--system", "x", "--base", str(tmp_path / "no")).code == 3
    assert mdctl("bench", "score", str(tmp_path / "no"), "--system", "x", "--manifest", str(path)).code == 3


def test_a_system_is_asked_for_what_the_run_was_asked_for(
    mdctl: Mdctl, bench: Write, line: tuple[str, ...], films: Path, tmp_path: Path
) -> None:
    """Seeds that were given to the run; what it misses stays missing, and other judges or prompts are told."""
    out, theirs, path = tmp_path / "out", tmp_path / "theirs", bench(units=1)
    for seed in (3, 4):
        for folder in (out / "base" / "walk" / "circle", theirs / "walk" / "circle"):
            folder.mkdir(parents=True, exist_ok=True)
            shutil.copy(films / "walk.mp4", folder / f"{seed}.mp4")
    run = ("bench", "run", str(path), *line, "--only", "base", "--only", "full", "--score-only", "--allow-missing")
    assert mdctl(*run, "--seeds", "3,4").code == 0
    command = ("bench", "score", str(theirs), "--manifest", str(path), "-o", str(out), "--system", "x")
    said = mdctl(*command, "--allow-missing")
    assert said.code == 0, said.err
    found = table(out)
    counts = {name: (one["n"], one["missing"]) for name, one in found["methods"].items()}
    assert counts == {"reference": (2, 0), "base": (2, 2), "x": (2, 2), "full": (0, 4)}
    assert {"base/walk/monkey/3", "full/walk/circle/4", "x/walk/monkey/4"} <= {*found["missing"]}
    assert "so not to be compared" not in said.err
    clip = str(tiny_clip_model(tmp_path / "clip"))
    assert mdctl(*command, "--allow-missing", "--clip", clip).code == 0
    other = str(tiny_clip_model(tmp_path / "other"))
    said = mdctl(*run, "--seeds", "3,4", "--clip", other)
    assert "Judged by different CLIP, so not to be compared until scored again: reference, base / x" in said.err
    path.write_text(path.read_text("utf-8").replace("a red circle", "a blue circle"), encoding="utf-8")
    assert mdctl(*run, "--seeds", "3,4").code == 0
    assert "x" not in table(out)["methods"]


def test_what_cannot_be_read_leaves_the_others(
    mdctl: Mdctl, bench: Write, line: tuple[str, ...], films: Path, tmp_path: Path
) -> None:
    """A broken video is missing in its row, with the reason; one of a single frame is judged without motion."""
    theirs, path = tmp_path / "theirs", bench(units=1)
    for subject, content in (("monkey", b"no video"), ("circle", (films / "walk.mp4").read_bytes())):
        (theirs / "walk" / subject).mkdir(parents=True)
        (theirs / "walk" / subject / "0.mp4").write_bytes(content)
    command = ("bench", "score", str(theirs), "--manifest", str(path), "--system", "x", "-o", str(tmp_path / "out"))
    said = mdctl(*command)
    assert said.code == 11
    assert "x/walk/monkey/0 cannot be judged: " in said.err
    assert "1 of 2 videos are not there or cannot be judged" in said.err
    result = table(tmp_path / "out")
    assert (result["methods"]["x"]["n"], [*result["unread"]]) == (1, ["x/walk/monkey/0"])
    single = theirs / "walk" / "monkey" / "0"
    single.mkdir()
    (single / "0.png").write_bytes(png(media.spread(films / "walk.mp4", 1)[0][0]))
    said = mdctl(*command)
    assert said.code == 0, said.err
    assert [row["skipped"].get("motion_fidelity_dis") for row in rows(tmp_path / "out")] == ["too few frames", None]


def test_hostile_words_do_no_harm(
    mdctl: Mdctl, bench: Write, line: tuple[str, ...], films: Path, tmp_path: Path
) -> None:
    """Markup, escapes and marks of the page in a prompt: the page shows them, the terminal does not obey them."""
    prompt = '</section><script>alert("{{NAME}}")</script> [bold] \x1b[31m & "a" / ../..'
    for method in ("base", "full"):
        (tmp_path / "out" / method / "walk" / "monkey").mkdir(parents=True)
        shutil.copy(films / "walk.mp4", tmp_path / "out" / method / "walk" / "monkey" / "0.mp4")
    only = ("--only", "base", "--only", "full", "--score-only", "--allow-missing", "--pairs")
    said = mdctl("bench", "run", str(bench(prompt, units=1)), *line, *only)
    assert said.code == 0, said.err
    assert "\x1b" not in said.err + said.out
    page = (tmp_path / "out" / "pairs.html").read_text(encoding="utf-8")
    assert page.count("<script>") == 1
    assert "&lt;script&gt;alert(&quot;{{NAME}}&quot;)" in page
    for bad in ("../x", "a/b", "..", "con\n"):
        assert mdctl("bench", "run", str(bench(unit=bad)), *line).code == 4


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--only", "ful"), "did you mean 'full'"),
        (("--only", "coupled-best"), "coupled"),
        (("--seeds", "1-"), "are no seeds"),
        (("--seeds", "3-1"), "are no seeds"),
        (("--compat", "nobody"), "known are: yatim, mtbench"),
        ((), "which manifest?"),
    ],
)
def test_what_cannot_be_meant_is_told(mdctl: Mdctl, bench: Write, words: tuple[str, ...], said: str) -> None:
    """Exit 2 with what could be meant, before anything is made."""
    told = mdctl("bench", "run", *([str(bench())] if words else []), *words)
    assert told.code == 2
    assert said in told.err


def test_a_clip_without_motion_to_train_on_is_named_early(
    mdctl: Mdctl, bench: Write, line: tuple[str, ...], films: Path, tmp_path: Path
) -> None:
    """All faults at once, before the first training; and a rank that no layer takes, with a line that is true."""
    said = mdctl("bench", "run", str(bench(references=[str(films / "short.mp4")])), *line)
    assert said.code == 4
    assert "2 of the manifest's clips" in said.err
    wide = [word if word != "2" or line[place - 1] != "--rank" else "400" for place, word in enumerate(line)]
    said = mdctl("bench", "run", str(bench()), *wide, "--only", "full")
    assert said.code == 4
    assert f'mdctl --home "{tmp_path / "out" / "work"}" train walk-' in said.err


def test_a_training_whose_saves_are_lost_is_done_again(
    mdctl: Mdctl, bench: Write, line: tuple[str, ...], tmp_path: Path
) -> None:
    """The same line mends the campaign, and the videos are the same."""
    words = ("bench", "run", str(bench(units=1)), *line, "--only", "full")
    assert mdctl(*words).code == 0
    out = tmp_path / "out"
    before = [content for _, content in videos(out, "full").values()]
    (project,) = [Project(path) for path in (out / "work" / "projects").glob("walk-*")]
    for save in project.runs()[-1].saves():
        (save.folder / "temporal.safetensors").write_bytes(b"damaged")
    shutil.rmtree(out / "full")
    said = mdctl(*words)
    assert said.code == 0, said.err
    assert "is damaged" in said.err
    assert [content for _, content in videos(out, "full").values()] == before
