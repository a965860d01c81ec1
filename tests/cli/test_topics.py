"""`help`: topics, codes and the reference, held to what the program has."""

import json
import re
from pathlib import Path

import pytest
from stage import Mdctl

import mdctl as package
from mdctl import errors
from mdctl.cli import app
from mdctl.cli.system.codes import CODES
from mdctl.workspace import config


def commands() -> list[str]:
    """Every command by the words that name it."""
    found = []
    for name, command in app.commands().items():
        inner = getattr(command, "commands", None)
        found += [f"{name} {word}" for word in inner] if inner else [name]
    return found


def test_every_code_is_explained() -> None:
    """Each code in the source has its entry, each entry its source, and each is a sentence or two."""
    files = [file for file in Path(package.__file__).parent.rglob("*.py") if file.name != "codes.py"]
    raised = {code for file in files for code in re.findall(r'"(MD-[A-Z-]+[A-Z])"', file.read_text("utf-8"))}
    assert raised == set(CODES)
    assert [*CODES] == sorted(CODES)
    for code, text in CODES.items():
        assert text[0].isupper(), code
        assert text.endswith("."), code


@pytest.mark.parametrize("asked", ["MD-VRAM", "md-vram", "vRaM"])
def test_a_code(mdctl: Mdctl, asked: str) -> None:
    """It is found however it is written, and told within 80 columns."""
    said = mdctl("help", asked)
    assert (said.code, said.err, said.lines[0]) == (0, "", "MD-VRAM")
    assert max(map(len, said.lines)) <= 80


def test_exit_codes(mdctl: Mdctl) -> None:
    """Every class of errors is there with its code, and the signals."""
    lines = mdctl("help", "exit-codes").lines
    listed = {int(line.split()[0]) for line in lines if re.match(r" +\d+ ", line)}
    classes = [kind for kind in vars(errors).values() if isinstance(kind, type)]
    assert listed == {0, 129, 130, 141, 143, *(kind.exit_code for kind in classes if hasattr(kind, "exit_code"))}


@pytest.mark.parametrize("topic", ["exit-codes", "env", "vram"])
def test_topics_fit_the_screen(mdctl: Mdctl, monkeypatch: pytest.MonkeyPatch, topic: str) -> None:
    """A topic is told on stdout within 80 columns, or fewer where there are no more, and as JSON."""
    monkeypatch.setenv("COLUMNS", "40")
    whole = ("  mdctl ", "  MDCTL_")  # to be copied
    assert max(len(line) for line in mdctl("help", topic).lines if not line.startswith(whole)) <= 40
    monkeypatch.setenv("COLUMNS", "200")
    said = mdctl("help", topic)
    assert (said.code, said.err) == (0, "")
    assert max(map(len, said.lines)) <= 80
    assert json.loads(mdctl("help", topic, "--json").out) == {"topic": topic, "text": said.out.rstrip("\n")}


def test_variables(mdctl: Mdctl) -> None:
    """Every variable of mdctl is named, with the setting it speaks of."""
    text = mdctl("help", "env").out
    for name, (table, key) in config.variables().items():
        assert re.search(rf"{name} +{table}\.{key}\b", text)
    assert all(name in text for name in config.OTHERS)


def test_commands(mdctl: Mdctl) -> None:
    """The help of a command or of a group is the one that its own flag gives."""
    for words in ("train", "models pull", "models"):
        assert mdctl("help", *words.split()).out == mdctl(*words.split(), "--help").out
    assert mdctl("help").out == mdctl("--help").out


def test_an_unknown_topic(mdctl: Mdctl) -> None:
    """It is told with the nearest that there is."""
    for asked, near in (
        ("exitcodes", "exit-codes"),
        ("MD-VRM", "MD-VRAM"),
        ("trian", "train"),
        ("models pul", "models pull"),
    ):
        said = mdctl("help", *asked.split())
        assert (said.code, said.out) == (3, "")
        assert f"did you mean:  mdctl help {near}" in said.err, said.err
    assert mdctl("help", "\x1b[2J").code == 3


def test_the_reference(mdctl: Mdctl) -> None:
    """It has every command with its examples and options, every topic and every code, as Markdown."""
    text = mdctl("help", "--all").out
    assert [line[9:] for line in text.splitlines() if line.startswith("## mdctl ")] == commands()
    assert text.count("```") % 2 == 0
    assert "| `--rank N` |" in text
    assert "mdctl gen --from last --seed 8" in text
    assert all(f"- `{code}`: " in text for code in CODES)
    assert "MDCTL_LEARNING_RATE" in text
    for line in text.splitlines():
        if line.startswith("|"):  # two columns, whatever is in them
            assert len(re.split(r"(?<!\\)\|", line)) == 4, line
