"""The table of a campaign: means over pairs, what is missing, and columns in the order of the paper's tables."""

import csv
import io
from typing import Any

import numpy as np
import pytest

from mdctl.errors import BadInput
from mdctl.measure import statistics, tally
from mdctl.measure.campaign import REFERENCE


def row(
    method: str = "full", unit: str = "u0", prompt: str = "p0", train_seed: int = 0, seed: int = 0, **more: Any
) -> dict[str, Any]:
    """A row as `bench run` writes it."""
    record = {"method": method, "unit": unit, "id": prompt, "train_seed": train_seed, "seed": seed,
              "type": "appearance", "scores": {}, "skipped": {}, "meta": {}}  # fmt: skip
    return record | more


def grid(method: str, shift: float, units: int = 6, prompts: int = 3, train_seeds: int = 1) -> list[dict[str, Any]]:
    """Rows whose figure is the unit's number plus the prompt's tenth, and a shift."""
    return [
        row(method, f"u{u}", f"p{p}", t, scores={"text": u + p / 10 + shift, "motion_fidelity_dis": 0.5})
        for u in range(units)
        for p in range(prompts)
        for t in range(train_seeds)
    ]


def test_text_comes_first_where_it_is_asked_for() -> None:
    """New appearances give Table 1, edits Table 2, and other papers' figures columns of their own."""
    edit = row(type="style")
    assert list(tally.columns([row()]))[:3] == ["appearance", "consistency", "pick"]
    assert list(tally.columns([edit]))[:3] == ["text", "consistency", "pick"]
    assert list(tally.columns([edit, row()]))[:4] == ["text", "appearance", "consistency", "pick"]
    assert next(iter(tally.columns([row(), row(REFERENCE, type=REFERENCE)]))) == "appearance"
    assert list(tally.columns([row()], ["yatim"]))[-1] == "yatim_motion_dis"


def test_one_score_serves_both_columns_of_words() -> None:
    """By the type of the prompt; the clips themselves have neither."""
    rows = [row(scores={"text": 30.0}), row(prompt="p1", type="style", scores={"text": 20.0}),
            row(REFERENCE, type=REFERENCE, skipped={"text": "no prompt"})]  # fmt: skip
    found = tally.document(rows, [])["methods"]
    cells = found["full"]["columns"]
    assert (cells["appearance"]["mean"], cells["text"]["mean"]) == (30, 20)
    assert found[REFERENCE]["columns"]["text"] == {"n": 0, "missing": 0, "skipped": 0, "why": []}


def test_missing_and_skipped_are_counted_in_each_cell() -> None:
    """What is not there counts where it would have stood, what was skipped with its reason; neither is 0."""
    rows = [row(scores={"text": 30.0}), row(prompt="p1", skipped={"text": "no weights"})]
    missing = [row(prompt="p2", type="style"), row(prompt="p3")]
    cells = tally.document(rows, missing)["methods"]["full"]["columns"]
    assert cells["appearance"] | {"ci": None} == {"n": 1, "missing": 1, "skipped": 1, "why": ["no weights"],
                                                  "mean": 30.0, "ci": None, "resampled": []}  # fmt: skip
    assert (cells["text"]["n"], cells["text"]["missing"]) == (0, 1)
    assert "mean" not in cells["text"]


def test_shares_have_an_interval_of_their_own() -> None:
    """Eight of eight are no certainty (Wilson)."""
    rows = [row(prompt=f"p{p}", scores={"dynamic_degree_dis": 1.0, "steadiness": 1.0}) for p in range(8)]
    cells = tally.document(rows, [])["methods"]["full"]["columns"]
    assert cells["dynamic_degree_dis"]["wilson"] == [pytest.approx(0.6756, abs=1e-3), 1]
    assert "wilson" not in cells["steadiness"]


def test_differences_are_of_pairs() -> None:
    """A constant shift is known to the last digit, however much the units differ; the order of rows says nothing."""
    rows = grid("base", 0) + grid("full", 0.25, train_seeds=2)
    (found,) = [one for one in tally.document(rows, [])["differences"] if one["in"] == "appearance"]
    assert (found["to"], found["n"], found["mean"], found["ci"]) == ("base", 36, 0.25, [0.25, 0.25])
    assert found["resampled"] == ["units"]
    assert tally.document(rows[::-1], [])["differences"] == tally.document(rows, [])["differences"]
    shape = tally.document(rows, [])["methods"]["full"]["shape"]
    assert shape == "6 x 3 x 2 x 1"


def test_a_training_is_compared_with_its_own_seed_alone() -> None:
    """Where that video is missing there is no pair; what is not trained stands beside every training."""
    rows = grid("base", 0) + grid("no-ad", 0.1, train_seeds=2) + grid("full", 0.25, train_seeds=2)
    gone = [one for one in rows if (one["method"], one["train_seed"], one["id"]) == ("no-ad", 1, "p0")]
    told = tally.document([one for one in rows if one not in gone], gone)["differences"]
    assert {one["to"]: one["n"] for one in told} == {"base": 36, "no-ad": 30}
    only_first = [one for one in rows if (one["method"], one["train_seed"]) != ("no-ad", 1)]
    missing = [one for one in rows if one not in only_first]
    assert {one["to"]: one["n"] for one in tally.document(only_first, missing)["differences"]}["no-ad"] == 18
    assert all(one["p_holm"] < 0.05 for one in told if one["in"] == "appearance")
    assert {one["p_holm"] for one in told if one["in"] == "motion_fidelity_dis"} == {1}


def test_what_there_is_is_counted() -> None:
    """Where groups differ it says from what to what, and the sum: no product is printed that nobody has."""
    rows = [row(seed=0), row(seed=1), row(prompt="p1"), row(unit="u1")]
    shapes = [tally.document(rows[:count], [])["methods"]["full"]["shape"] for count in (1, 2, 3, 4)]
    assert shapes == ["1 x 1 x 1 x 1", "1 x 1 x 1 x 2", "1 x 2 x 1 x 1-2 = 3", "2 x 1-2 x 1 x 1-2 = 4"]


def test_units_of_different_sizes_count_by_their_prompts() -> None:
    """Each (unit, prompt) once, however many seeds it has; whole units are drawn."""
    rows = [row(unit=f"u{u}", prompt=f"p{p}", seed=s, scores={"text": float(u)})
            for u in range(5) for p in range(u + 1) for s in range(1 + (u == 4))]  # fmt: skip
    cell = tally.document(rows, [])["methods"]["full"]["columns"]["appearance"]
    assert cell["mean"] == pytest.approx(sum(u * (u + 1) for u in range(5)) / 15, abs=1e-4)
    assert cell["resampled"] == ["units"]
    assert cell["ci"][0] < cell["mean"] < cell["ci"][1]


def test_prompts_are_drawn_where_units_are_few() -> None:
    """One unit whose prompts have one or two seeds."""
    rows = [row(prompt=f"p{p}", seed=s, scores={"text": float(p)}) for p in range(6) for s in range(1 + p % 2)]
    cell = tally.document(rows, [])["methods"]["full"]["columns"]["appearance"]
    assert (cell["mean"], cell["resampled"]) == (2.5, ["prompts"])
    assert cell["ci"][0] < 2.5 < cell["ci"][1]


def test_whole_groups_are_drawn() -> None:
    """With equal groups it is the interval of their means; few groups have none; NaN is refused."""
    chance = np.random.default_rng(0)
    groups = chance.normal(size=(200, 1)).repeat(4, 1)
    found = statistics.grouped(groups.tolist())
    half = 1.96 * groups[:, 0].std() / np.sqrt(200)
    assert (found.high - found.low) / 2 == pytest.approx(half, rel=0.05)
    assert statistics.grouped([[1.0, 2.0], [6.0]]).mean == 3
    assert statistics.grouped([[1.0, 2.0], [6.0]]).resampled == ()
    for wrong in ([[float("nan")]], [[]]):
        with pytest.raises(BadInput):
            statistics.grouped(wrong)


def test_csv_says_where_it_is_from() -> None:
    """A line for each cell; what could not be computed is empty, not 0."""
    found = tally.document([*grid("full", 0), row("base", skipped={"text": "x"})], [])
    lines = list(csv.DictReader(io.StringIO(tally.as_csv(found, {"mdctl": "1", "base": "a, b"}))))
    by = {(line["method"], line["column"]): line for line in lines}
    assert by["base", "appearance"]["mean"] == ""
    assert by["base", "appearance"]["skipped"] == "1"
    assert float(by["full", "appearance"]["mean"]) == pytest.approx(2.6)
    assert {line["base"] for line in lines} == {"a, b"}
