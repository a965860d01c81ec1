"""The table itself: every fault has a test, and what is written of them is what the suite has found."""

import ast
import re
from pathlib import Path

import pytest
from rows import HERE, ROWS
from table import SUMMARY, read, summary

TABLE = HERE / "TABLE.md"
README = Path(__file__).parents[2] / "README.md"


def test_there_are_87_faults() -> None:
    """Eleven letters, 52 of the faults in the first set."""
    assert len(ROWS) == 87
    assert sorted({row[0] for row in ROWS}) == list("ABCDEFGHIJK")
    assert sum(row.set == "lean" for row in ROWS.values()) == 52


def test_every_fault_has_a_test() -> None:
    """Each is marked somewhere, and each of the first set on a test that runs every time."""
    every, quick = set[str](), set[str]()
    for file in HERE.glob("test_*.py"):
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            if isinstance(node, ast.FunctionDef):
                marks = [mark for mark in node.decorator_list if ast.unparse(mark).startswith("fault(")]
                named = {argument.value for mark in marks if isinstance(mark, ast.Call) for argument in mark.args
                         if isinstance(argument, ast.Constant)}  # fmt: skip
                every |= named
                quick |= named if not any("long=True" in ast.unparse(mark) for mark in marks) else set()
    assert every == ROWS.keys()
    assert {row.id for row in ROWS.values() if row.set == "lean"} <= quick


@pytest.mark.skipif(not TABLE.exists(), reason="needs TABLE.md, which a full run writes")
def test_the_table_has_all_of_them() -> None:
    """Its ids are the 87, its first line says what its rows say, and no row is left out."""
    text = TABLE.read_text("utf-8")
    assert re.findall(r"^\| ([A-K]\d+) \|", text, re.MULTILINE) == list(ROWS)
    outcomes = read(TABLE)
    assert summary(outcomes) in text
    assert not [row for row, outcome in outcomes.items() if outcome.said == "not run"]


@pytest.mark.skipif(not SUMMARY.search(README.read_text("utf-8")), reason="needs the README's line about the faults")
def test_the_readme_says_what_the_table_says() -> None:
    """The line is copied from the table."""
    found = SUMMARY.search(README.read_text("utf-8"))
    assert found
    assert found[0] == summary(read(TABLE))
