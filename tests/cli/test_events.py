"""Records of `--json`: what real commands write conforms to the schema that is shipped."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
from hubserver import messy, serving
from PIL import Image
from schema import EVENTS, SCHEMA, checked, faults, undescribed
from stage import QUICK, SMALL, Mdctl

from mdctl.cli.face import Manners
from mdctl.cli.lines import Json
from mdctl.workspace.project import Project
from mdctl.workspace.runs import Run

HEAD = {"schema": 1, "seq": 1, "t": "2026-11-22T07:19:44Z", "command": "train", "project": "golf", "run": "x"}
STEP = {**HEAD, "event": "step", "step": 187, "of": 300, "loss": {"motion": 0.094, "appearance": 0.121},
        "s_per_step": 1.79, "memory_gb": 9.8, "eta_s": 202}  # fmt: skip


def test_every_event_is_described() -> None:
    """Each has its own sentence and names its fields; all that are required are described."""
    assert set(EVENTS) < set(SCHEMA["$defs"])
    for name in EVENTS:
        about = SCHEMA["$defs"][name]
        assert about["description"].endswith(".")
        assert set(about["required"]) <= set(about["properties"]) | set(SCHEMA["properties"]), name
        assert about["properties"]["event"] == {"const": name}


def test_a_record_as_it_should_be() -> None:
    """A step conforms, also one whose numbers were not finite; fields that are added later do no harm."""
    assert not list(faults(STEP))
    assert not list(faults({**STEP, "loss": {"motion": None, "appearance": None}, "nan": True}))
    assert not list(faults({**STEP, "later": 1}))
    assert undescribed({**STEP, "later": 1}) == {"later"}


@pytest.mark.parametrize(
    "change",
    [
        {"schema": 2},
        {"seq": 0},
        {"seq": True},
        {"t": "today"},
        {"event": "stop"},
        {"step": "187"},
        {"loss": {"motion": 0.1}},
        {"loss": {"motion": "nan", "appearance": 0}},
        {"loss": {"motion": 1, "appearance": 1, "other": 1}},
        {"nan": False},
        {"eta_s": ...},
        {"run": ...},
        {"command": ...},
    ],
)
def test_a_record_as_it_should_not_be(change: dict[str, object]) -> None:
    """What is missing, of another kind or out of range is found."""
    record = {key: value for key, value in {**STEP, **change}.items() if value is not ...}
    assert list(faults(record))


def test_help_gives_the_schema(mdctl: Mdctl) -> None:
    """It is what is shipped, and stands in the reference."""
    said = mdctl("help", "events")
    assert json.loads(said.out) == SCHEMA
    assert said.err == ""
    reference = mdctl("help", "--all").out
    assert all(f"- `{name}`: {SCHEMA['$defs'][name]['description']}" in reference for name in EVENTS)


def test_numbers_are_finite(capsys: pytest.CaptureFixture[str]) -> None:
    """In records and in documents, whatever a command hands over."""
    speaks = Json(Manners(json=True), "bench")
    speaks.event({**STEP, "loss": {"motion": math.nan, "appearance": 1.0}})
    speaks.result([], {"scores": [math.inf, 1.0]})
    speaks.sheet([], {"score": -math.inf})
    speaks.answer([], [], [{"score": math.nan}], [])
    step, result, *documents = capsys.readouterr().out.splitlines()
    assert json.loads(step)["loss"] == {"motion": None, "appearance": 1.0}
    assert json.loads(step)["nan"] is True
    assert json.loads(result)["scores"] == [None, 1.0]
    checked([json.loads(step), json.loads(result)])
    assert "NaN" not in "".join(documents)
    assert "Infinity" not in "".join(documents)


# --- What commands write


def test_a_training_and_its_log(mdctl: Mdctl, fresh: Project) -> None:
    """Stopped and gone on with: both streams are numbered from 1, and the log conforms as stdout does."""
    seen = []
    for more in (("--steps", "2"), ("--steps", "4"), ()):
        said = mdctl("train", "golf", *more, *QUICK, "--json")
        assert said.code == 0
        seen += checked(said.records)
        assert said.records[-1]["event"] == "result"
    (run,) = fresh.runs()
    logged = checked(list(run.events()))
    assert {"plan", "prepare", "step", "save", "changed"} <= {record["event"] for record in logged}
    assert [one["step"] for one in seen if one["event"] == "step"] == [1, 2, 3, 4]
    assert [one["status"] for one in seen if one["event"] == "result"] == ["done", "done", "nothing_to_do"]


def test_a_stop_is_told(run: Run) -> None:
    """As a training writes it when a signal has ended it."""
    told = checked([*run.events(), run.note("interrupted", signal="SIGTERM", step=4, resumable=True)])
    assert (told[-1]["event"], told[-1]["signal"]) == ("interrupted", "SIGTERM")


def test_videos_and_what_becomes_of_them(mdctl: Mdctl, golf: Project, tmp_path: Path, model: Path) -> None:
    """`gen`, `mix`, `animate-image`, `export`, `import`, `pin`, `rename`, `rm`, `restore`, one after another."""
    picture = tmp_path / "pot.png"
    Image.fromarray(np.full((40, 56, 3), 120, np.uint8)).save(picture)
    fast = ("--steps", "1", "--threads", "1", "--seed", "1")
    packed = str(tmp_path / "golf.mdz")
    for line in (
        ("gen", "golf", "a monkey playing tuba", "--count", "2", *fast),
        ("gen", "--from", "last", "--check"),
        ("mix", "--appearance", "golf", "--motion", "golf", *fast),
        ("animate-image", str(picture), "--motion", "golf", *fast, "--image-steps", "2"),
        ("export", "golf", "-o", packed),
        ("import", packed, "--model", str(model), "--name", "taken"),
        ("pin", "golf", "--strength", "0.7"),
        ("rename", "taken", "other"),
        ("rm", "other"),
        ("restore", "other"),
        ("rm", "golf", "--outputs", "-n"),
        ("cache", "prune", "--all"),
    ):
        said = mdctl(*line, "--json")
        assert said.code == 0, (line, said.err)
        assert checked(said.records)[-1]["event"] == "result", line


def test_a_damaged_save_is_told(mdctl: Mdctl, golf: Project, run: Run) -> None:
    """As a change, with a warning beside it."""
    weights = run.saves()[-1].folder / "temporal.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"x")
    said = mdctl("gen", "golf", "a monkey", "--steps", "1", "--threads", "1", "--json")
    events = [record["event"] for record in checked(said.records)]
    assert events[-1] == "result"
    assert {"changed", "warning", "video"} <= set(events)


def test_a_model_is_pulled(mdctl: Mdctl) -> None:
    """What is about to come, each file, and the end."""
    with serving(messy()):
        said = mdctl("models", "pull", "modelscope", "-y", "--json")
        assert said.code == 0, said.err
        events = [record["event"] for record in checked(said.records)]
        assert events[0] == "plan"
        assert events.count("file") > 3
        assert events[-1] == "result"
        assert checked(mdctl("models", "verify", "modelscope", "--json").records)
        assert checked(mdctl("models", "rm", "modelscope", "-y", "--json").records)


@pytest.mark.parametrize(
    "line", ["show golf", "gen golf x", "new golf", "train --nothing", "bench speed --device cpu", "config get train.x"]
)
def test_an_error_is_the_last_line_of_stderr(mdctl: Mdctl, line: str) -> None:
    """It conforms, tells the exit code, and leaves stdout empty."""
    said = mdctl(*line.split(), "--json")
    (error,) = checked([json.loads(said.err.splitlines()[-1])])
    assert (error["event"], error["exit"], said.out) == ("error", said.code, "")


def test_clips_are_told(mdctl: Mdctl, films: Path, tmp_path: Path) -> None:
    """Used, adjusted, left out or there already; one that cannot be read has no hash."""
    (tmp_path / "none.mp4").write_bytes(b"no film")
    names = [str(films / "walk.mp4"), str(films / "short.mp4"), str(tmp_path / "none.mp4")]
    said = mdctl("new", "film", *names, *SMALL, "--json")
    told = {record["name"]: record for record in checked(said.records) if record["event"] == "clip"}
    assert {name: record["status"] for name, record in told.items()} == {
        "walk.mp4": "ok",
        "short.mp4": "left_out",
        "none.mp4": "left_out",
    }
    assert told["none.mp4"]["sha256"] == ""
