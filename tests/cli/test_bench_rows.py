"""`bench fidelity --rows`: what was read elsewhere is not made again."""

import dataclasses
import json
import time
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from stage import Mdctl

from mdctl.cli.bench.fidelity import _design, _jobs
from mdctl.cli.face import Manners, wear
from mdctl.cli.lines import Lines
from mdctl.measure import fidelity
from mdctl.media import preview
from mdctl.workspace import weights

METHODS = ("base", "coupled", "temporal-only", "no-ad", "full")
RIVALS = ("base", "coupled", "no-ad", "full")
ONE = ("--train-seeds", "1", "--case", "multi")
SUBJECTS = ("orbiting", "zigzagging", "bouncing", "spiralling in", "swinging", "looping in a figure eight")
FORMER = ("--set", "learning_rate=1e-3", "--set", "timestep_shift=25", "--set", "spatial_first=0.25")
"""Of the settings that `starter` had before; its adapters spoke up to the half of the way."""

SHORT = ("--set", "steps=180", "--set", "batch=4", *FORMER)
LONG = ("--set", "steps=400", "--set", "batch=2", *FORMER)
TABLES = {
    "whole": ((), (), ()),
    "whole, all the way": ((), (), ("--strength-until", "1")),
    "subjects": ((), SUBJECTS, ("--case", "multi")),
    "subjects, all the way": ((), SUBJECTS, ("--case", "multi", "--strength-until", "1")),
    "looks first": (RIVALS, SUBJECTS, (*ONE, "--strength-until", "0.5", *LONG)),
    "looks first, shorter": (METHODS, (), (*ONE, "--strength-until", "0.5", *SHORT)),
    "looks first, all the way": (METHODS, SUBJECTS[:5], (*ONE, "--strength-until", "1", *SHORT)),
}
"""Of README and model card: methods and motions, all where none is named, and the rest of the line."""
LINE = ("bench", "fidelity", "--motions", "orbiting", "--only", "base", "--prompts", "2")


@pytest.fixture
def noted(tmp_path: Path) -> Path:
    """The rows of the one cell that `LINE` asks for."""
    wear(Lines(Manners()))
    design = _design(False, ["base"], ["orbiting"], None, {}, prompts=2)
    (cell,) = fidelity.cells(design)
    look = ("monkey", None, "grass")
    rows = [
        fidelity.Row(
            **dataclasses.asdict(cell),
            number=number,
            prompt="a monkey orbiting on a grass background",
            asked_subject=look[0],
            asked_colour=look[1],
            asked_background=look[2],
            subject=look[0],
            colour=look[1],
            background=look[2],
            rho=0.5,
            hit=False,
            amplitude=1.0,
            static=False,
            found=True,
            leaked=(),
        )
        for number in range(2)
    ]
    key = fidelity.key(cell, design, weights.fingerprint(weights.find("starter")[1]))
    file = tmp_path / "fidelity.jsonl"
    file.write_text(fidelity.noted(key, rows) + "\n")
    return file


def test_a_table_of_what_was_read_elsewhere(mdctl: Mdctl, noted: Path, tmp_path: Path) -> None:
    """Nothing is trained and no video made; the rows are written again, the same."""
    out = tmp_path / "out"
    said = mdctl(*LINE, "--rows", str(noted), "-o", str(out), "--json")
    assert said.code == 0, said.err
    base = json.loads(said.out)["methods"]["base"]
    assert (base["appearance"], base["motion"], base["n"]) == (1.0, 0.0, 2)
    assert (out / "fidelity.jsonl").read_text() == noted.read_text()
    assert not (out / "videos").exists()


def test_a_decay_that_is_asked_for_is_taken() -> None:
    """Without one, it is that of several clips, whatever is built in for one."""
    wear(Lines(Manners()))
    assert _design(False, None, None, None, {}).train.weight_decay == 1e-4
    assert _design(False, None, None, None, {"weight_decay": 0.02}).train.weight_decay == 0.02


@pytest.mark.parametrize("idle", ["seed=3", "threads=1", "precision=fp16"])
def test_a_setting_that_changes_nothing_is_a_slip(mdctl: Mdctl, idle: str) -> None:
    """It would only give other names to the same videos."""
    said = mdctl(*LINE, "--set", idle)
    assert (said.code, "--train-seeds" in said.err) == (2, True), said.err


def test_more_prompts_than_there_are(mdctl: Mdctl) -> None:
    """The camera motions have the fewest; it is told before anything is trained."""
    said = mdctl("bench", "fidelity", "--quick", "--motions", "zooming in", "--prompts", "124")
    assert (said.code, "--prompts 123" in said.err) == (2, True), said.err


def test_a_device_that_nobody_knows_is_a_slip(mdctl: Mdctl, tmp_path: Path) -> None:
    """It is told before anything is begun, with those that there are."""
    said = mdctl(*LINE, "--device", "gpu", "-o", str(tmp_path / "out"))
    assert (said.code, "cuda" in said.err) == (2, True), said.err
    assert not (tmp_path / "out").exists()


def test_other_settings_have_other_rows(mdctl: Mdctl, noted: Path, tmp_path: Path) -> None:
    """Rows of another design are no help: what is missing is told."""
    said = mdctl(*LINE[:-1], "3", "--rows", str(noted), "-o", str(tmp_path / "out"), "--score-only")
    assert said.code == 3
    assert "0 of 1 sets of videos were read before" in said.err


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda rows: [], "are not the rows of base for orbiting"),
        (lambda rows: rows[:1], "are not the rows"),
        (lambda rows: rows[::-1], "are not the rows"),
        *((lambda rows, odd=odd: [rows[0], rows[1] | odd], "are not the rows")
          for odd in ({"motion": "zooming in"}, {"method": "full"}, {"case": "multi"}, {"train_seed": 1},
                      {"number": 2})),
        *((lambda rows, odd=odd: [rows[0] | odd, rows[1]], "a row ")
          for odd in ({"rho": None}, {"number": [1]}, {"number": False}, {"motion": ["x"]}, {"hit": 1},
                      {"rho": float("nan")}, {"amplitude": 10**400}, {"subject": 3}, {"leaked": "subject"})),
    ],
)  # fmt: skip
def test_rows_that_are_not_those_of_the_cell(
    mdctl: Mdctl, noted: Path, tmp_path: Path, change: Callable[[list[Any]], list[Any]], why: str
) -> None:
    """Under the right key stand rows of another cell, too few, or odd ones: the file is named, nothing is taken."""
    told = json.loads(noted.read_text())
    noted.write_text(json.dumps(told | {"rows": change(told["rows"])}))
    said = mdctl(*LINE, "--rows", str(noted), "--score-only", "-o", str(tmp_path / "out"))
    assert (said.code, "fidelity.jsonl" in said.err) == (4, True), said.err
    assert why in said.err or "too large" in said.err


def test_videos_that_are_here_are_shown_all_the_same(
    mdctl: Mdctl, noted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The sheet has every video on this disk, whether it was read here or elsewhere."""
    shown: list[str] = []
    sheet = preview.contact_sheet
    monkeypatch.setattr(
        preview, "contact_sheet", lambda rows, **how: shown.extend(r[0] for r in rows) or sheet(rows, **how)
    )
    key = json.loads(noted.read_text())["key"]
    video = tmp_path / "out" / "videos" / f"{key}.npz"
    video.parent.mkdir(parents=True)
    video.write_bytes(fidelity.pack([np.zeros((16, 64, 64, 3), np.uint8)] * 2))
    assert mdctl(*LINE, "--rows", str(noted), "-o", str(tmp_path / "out")).code == 0
    assert [label.partition(":")[0] for label in shown] == ["clip", "base"]


def test_a_file_without_rows(mdctl: Mdctl, tmp_path: Path) -> None:
    """It is named, whether it is gone or something else."""
    odd = tmp_path / "odd.jsonl"
    for content, code in ((None, 3), ("{}\n", 4), ("\x00", 4)):
        if content is not None:
            odd.write_text(content)
        said = mdctl(*LINE, "--rows", str(odd), "--score-only")
        assert (said.code, "odd.jsonl" in said.err) == (code, True), said.err


@pytest.mark.parametrize("table", TABLES)
def test_the_printed_tables_are_those_of_the_rows_beside_the_model(
    mdctl: Mdctl, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, table: str
) -> None:
    """The rows were made by this model under today's settings, and say what is printed, whatever a user has set."""
    monkeypatch.setenv("MDCTL_RANK", "2")
    rows = weights.find("starter")[1] / "fidelity.jsonl"
    columns, moves, rest = TABLES[table]
    methods = [word for name in columns for word in ("--only", name)]
    motions = [word for name in moves for word in ("--motions", name)]
    line = ["bench", "fidelity", *rest, *methods, *motions, "--rows", str(rows), "--score-only"]
    said = mdctl(*line, "-o", str(tmp_path), "--json")
    assert said.code == 0, said.err
    printed = " ".join(
        word
        for path in (Path(__file__).parents[2] / "README.md", rows.with_name("README.md"))
        for word in path.read_text("utf-8").replace("\N{MINUS SIGN}", "-").split()
    )
    cases = json.loads(said.out)["cases"]
    for name, found in (pair for case in cases.values() for pair in case["methods"].items()):
        shown = {"base": "base model", "full": "**full**"}.get(name, name)
        kinds = ("appearance", "motion", "joint", "leakage")
        cells = (f"{found[key]:.2f} [{', '.join(f'{end:.2f}' for end in found['ci'][key])}]" for key in kinds)
        assert f"| {shown} | {' | '.join(cells)} |" in printed
    if not table.startswith(("whole", "subjects")):
        return
    sign = "+" if table.startswith("whole") else ""
    for one in (one for case in cases.values() for one in case["differences"] if one["of"] == "full"):
        assert f"{one['mean']:+.2f} [{', '.join(f'{end:{sign}.2f}' for end in one['ci'])}]" in printed, one
    if table.startswith("whole"):
        for name, multi in cases["multi"]["motions"].items():
            four = [multi[method] for method in ("coupled", "temporal-only", "no-ad", "full")]
            shares = [f"{one['motion']:.2f}" for one in (*four, cases["single"]["motions"][name]["full"])]
            assert f"| {name} | {' | '.join(shares)} |" in printed


def test_helpers_make_the_same(mdctl: Mdctl, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a helper makes while the first process sits by is what that one makes alone."""
    line = ["bench", "fidelity", "--motions", "orbiting", "--only", "base", "--only", "full", "--train-seeds", "1"]
    line += ["--case", "multi", "--prompts", "1", "--set", "steps=2", "--set", "batch=1"]
    assert mdctl(*line, "--jobs", "1", "-o", str(tmp_path / "1")).code == 0

    def sits_by(design: fidelity.Design, paths: dict[fidelity.Cell, Path], *_: object) -> None:
        deadline = time.monotonic() + 120
        while not all(path.exists() for path in paths.values()) and time.monotonic() < deadline:
            time.sleep(0.05)

    monkeypatch.setattr("mdctl.cli.bench.fidelity._make", sits_by)
    said = mdctl(*line, "--jobs", "2", "-o", str(tmp_path / "2"))
    assert (said.code, "broke off" in said.err) == (0, False), said.err
    found = [(tmp_path / jobs / "fidelity.jsonl").read_text() for jobs in "12"]
    assert found[0] == found[1]
    assert len(found[0].splitlines()) == 2


def test_helpers_that_break_off_are_told(mdctl: Mdctl, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Their part is done here, and the user learns of it."""
    monkeypatch.setattr("mdctl.child.helped", lambda number, *_: nullcontext(lambda: number))
    said = mdctl(*LINE[:-1], "1", "--motions", "bouncing", "--jobs", "4", "-o", str(tmp_path))
    assert said.code == 0
    assert "1 of 1 helping processes broke off" in said.err


@pytest.mark.parametrize(
    ("kind", "threads", "free", "jobs"), [("cpu", None, 9e9, 4), ("cpu", None, 4e9, 2), ("cpu", None, 1e9, 1),
                                          ("cpu", None, None, 2), ("cpu", "1", 9e9, 1), ("cuda", None, 9e9, 1)]
)  # fmt: skip
def test_who_shares_the_work(
    monkeypatch: pytest.MonkeyPatch, kind: str, threads: str | None, free: float | None, jobs: int
) -> None:
    """A process for each core that there is memory for; alone on a GPU, and where the user has set the threads."""
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    if threads:
        monkeypatch.setenv("OMP_NUM_THREADS", threads)
    monkeypatch.setattr("mdctl.computer.cores", lambda: 4)
    monkeypatch.setattr("mdctl.computer.memory", lambda: (None, int(free) if free else None))
    assert _jobs(kind) == jobs
