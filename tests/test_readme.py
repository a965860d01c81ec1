"""The README, held to the program: what is typed in it can be typed, and what it says of figures and codes is so."""

import re
from pathlib import Path

import pytest
import typed

import mdctl
from mdctl.catalog import CARDS
from mdctl.cli.create import fitting, previews
from mdctl.cli.system import topics
from mdctl.cli.system.codes import CODES
from mdctl.errors import MdctlError
from mdctl.settings import TrainSettings
from mdctl.workspace import config, presets

README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
TESTS_OWN = {"--faults"}
"""A flag of the test suite."""

LINES = [line for line in typed.blocks(README) if re.search(r"\bmdctl ", line)]


@pytest.mark.parametrize("line", LINES)
def test_every_line_can_be_typed(line: str) -> None:
    """Command, arguments, flags and their values are those of the program."""
    assert [typed.complaint(words) for words in typed.calls(line) if words and typed.complaint(words)] == []


def test_what_is_named_in_sentences_is_there() -> None:
    """A command named among words may lack its arguments, but nothing in it is unknown."""
    for span in typed.spans(README):
        if span.startswith("mdctl ") or "$(mdctl " in span:
            for words in typed.calls(span):
                assert typed.complaint(words) in ("", "MissingParameter"), span


def test_every_flag_is_there() -> None:
    """Those that stand alone among words are flags of some command."""
    alone = [span for span in typed.spans(README) if span.startswith("-")]
    named = {word for span in alone for word in re.findall(r"(?<![\w-])--?[a-z][a-z-]*", span)}
    assert len(named) > 20
    assert named <= typed.flags() | TESTS_OWN


def test_every_command_is_named() -> None:
    """All commands of the program stand in it somewhere, those of two words at least by one of their kind."""
    spoken = [*LINES, *typed.spans(README)]
    named = {typed_name(words) for line in spoken if "mdctl " in line for words in typed.calls(line)}
    groups = {name.split()[0] for name in typed.commands() if " " in name}
    missing = {name for name in typed.commands() if name not in named and name.split()[0] not in groups}
    assert not missing
    assert groups <= {name.split()[0] for name in named if name}


def typed_name(words: list[str]) -> str:
    """The command that these words begin with."""
    return max((name for name in typed.commands() if words[: len(name.split())] == name.split()), default="", key=len)


def test_every_setting_is_there() -> None:
    """A setting, a variable, a template or a base model that is named exists."""
    spans = "\n".join([*typed.spans(README), *typed.blocks(README)])
    settings = set(re.findall(r"\b(?:train|gen|clips)\.[a-z_]+\b", spans)) - {"clips.toml"}
    assert settings
    assert settings <= set(config.keys())
    assert set(re.findall(r"\bMDCTL_[A-Z_]+\b", spans)) <= {*config.OTHERS, *config.variables()}
    assert set(re.findall(r"--template ([a-z-]+)", spans)) <= set(presets.paths())
    assert set(re.findall(r"mdctl models \w+ ([a-z]+)$", spans, re.MULTILINE)) <= set(CARDS)


def test_figures_are_those_of_the_program() -> None:
    """What is said of settings, saves, previews and base models is what they are."""
    assert "It is 0, as in the paper" in README
    assert TrainSettings().spatial_first == presets.read("starter").tables["train"].get("spatial_first", 0) == 0
    assert f"Every {previews.EVERY} steps it draws a preview" in README
    assert f"kill -9 at most {TrainSettings().save_every} steps" in README
    for name, card in CARDS.items():
        row = next(line for line in README.splitlines() if line.startswith("| `") and f"`{name}`" in line)
        assert f"{card.width}x{card.height}" in row
        assert f"{card.frames} frames" in row
        assert card.licence in row or not card.repository
    assert f"version = {{{mdctl.__version__}}}" in README


def test_what_cards_do_follows_from_what_is_counted() -> None:
    """What cards do follows from the table; tests/motion/test_plan.py counts a row of it."""
    counted = dict(re.findall(r"^\| (\d+ frames of \w+) \| ([\d. |]+) \|$", README, re.MULTILINE))
    table = {clips: [float(cell) for cell in cells.split(" | ")] for clips, cells in counted.items()}
    usual = "16 frames of 384x384"
    words = ["nothing twice", "norms again", "temporal layers again", "all layers again", "does not fit"]
    cards = re.findall(r"^\| \d+ GB \| `mdctl train golf --vram (\d+)` \| (.+) \| (.+) \|$", README, re.MULTILINE)
    assert len(cards) == 5
    for card, largest, told in cards:
        budget = (int(card) - 1) * fitting.GIB / 1e9
        assert told == words[sum(peak > budget for peak in table[usual])]
        assert largest == [clips for clips, peaks in table.items() if peaks[-1] <= budget][-1]


def test_every_exit_code_is_told() -> None:
    """The table of exit codes is that of `mdctl help exit-codes`."""
    meant = {kind.exit_code: kind.__doc__ or "" for kind in MdctlError.__subclasses__() if kind.exit_code > 1}
    told = {code: text.splitlines()[0] for code, text in (meant | topics.ENDINGS).items()}
    rows = re.findall(r"^\| (\d+) \| (.*) \|$", README, re.MULTILINE)
    assert [f"{code} {text}" for code, text in rows] == [f"{code} {text}" for code, text in sorted(told.items())]


def test_every_error_is_told() -> None:
    """The table of errors is what `mdctl help CODE` says: what it means, then what helps."""
    rows = re.findall(r"^\| `(MD-[A-Z-]+)` \| (.*) \|$", README, re.MULTILINE)
    found = [f"| `{code}` | {text} |" for code, text in rows]
    wanted = [f"| `{code}` | {meaning_and_cure(text)} |" for code, text in CODES.items()]
    assert found == wanted, "\n".join(line for line in wanted if line not in found)


def meaning_and_cure(text: str) -> str:
    """What a code means, and in a cell of its own what helps."""
    meaning, _, cure = text.partition(". ")
    return f"{meaning.rstrip('.')}. | {cure}"
