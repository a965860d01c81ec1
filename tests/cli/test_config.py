"""`config`: the user's own settings, variables above them, which of all sources wins, and what names a fault."""

import json
import os
import re
import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from stage import Mdctl

import mdctl as package
from mdctl.workspace import config, locations
from mdctl.workspace.project import Project

Template = Callable[[str, str], str]


@pytest.fixture(autouse=True)
def _silence(monkeypatch: pytest.MonkeyPatch) -> None:
    """No variable of whoever runs the tests speaks in them."""
    for name in [name for name in os.environ if name.startswith("MDCTL_") and name != "MDCTL_HOME"]:
        monkeypatch.delenv(name)


def written(text: str) -> Path:
    """The user's config.toml with this content."""
    file = locations.settings()
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(text.encode())
    return file


def shown(mdctl: Mdctl, *arguments: str) -> dict[str, tuple[Any, str]]:
    """Value and origin of every setting, as `config show` tells them."""
    said = mdctl("config", "show", *arguments, "--json")
    assert said.code == 0, said.err
    return {record["key"]: (record["value"], record["origin"]) for record in json.loads(said.out)}


# --- The file


def test_a_setting_is_set_and_read(mdctl: Mdctl) -> None:
    """What `set` writes `get` prints, and comments, order and strange texts stay as they are."""
    file = written("# mine\n[gen]\nsteps = 20 # quick\n")
    assert mdctl("config", "path").lines == [str(file)]
    for key, value in (("train.rank", "16"), ("gen.negative", "a 'b' \"c\" # [d]"), ("train.shared_spatial", "1")):
        assert mdctl("config", "set", key, value).code == 0
    assert mdctl("config", "set", "train.learning_rate", "1e-4").code == 0
    assert mdctl("config", "get", "gen.negative").lines == ["a 'b' \"c\" # [d]"]
    assert mdctl("config", "get", "train.shared_spatial").lines == ["true"]
    assert json.loads(mdctl("config", "get", "train.learning_rate", "--json").out)["value"] == 1e-4
    assert file.read_text().startswith("# mine\n[gen]\nsteps = 20 # quick\n")
    assert mdctl("config", "set", "gen.steps", "25").code == 0
    assert "steps = 25 # quick" in file.read_text()


def test_what_is_not_set(mdctl: Mdctl, home: Path) -> None:
    """A setting that the file does not have is not found; to ask makes nothing."""
    said = mdctl("config", "get", "gen.steps")
    assert (said.code, said.out) == (3, "")
    assert "mdctl config set gen.steps" in said.err
    assert mdctl("config", "show").code == 0
    assert not home.exists()


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (("get", "train.lerning_rate"), "did you mean train.learning_rate?"),
        (("set", "rank", "8"), "did you mean train.rank?"),
        (("set", "steps", "8"), "one of train.steps, gen.steps"),
        (("set", "train.steps", "many"), "a whole number"),
        (("set", "train.steps", "0"), "from 1 to"),
        (("set", "train.learning_rate", "nan"), "train.learning_rate = nan"),
        (("set", "gen.strength", "loud"), "gen.strength"),
        (("set", "train.deterministic", "perhaps"), "true or false"),
    ],
)
def test_what_cannot_be_set(mdctl: Mdctl, line: tuple[str, ...], words: str) -> None:
    """An unknown setting is told with the nearest, a wrong value with what it may be; nothing is written."""
    said = mdctl("config", *line)
    assert (said.code, said.out) == (4, "")
    assert words in said.err
    assert not locations.settings().exists()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[train]\nlerning_rate = 1e-3", "config.toml [train], line 2, column 1: there is no key 'lerning_rate'"),
        ("[train]\n\n  rank = 0", "config.toml, line 3, column 3: train.rank = 0"),
        ('[gen]\nsteps = "x"', "config.toml, line 2, column 1: gen.steps = 'x'"),
        ("[trian]\n", "there is no key 'trian'"),
        ("train = 3", "'train' must be a table"),
        ("[train", "config.toml, line 1"),
        ("[train]\nrank = 1\nrank = 2", "config.toml, line 3"),
        ("[train]\nlearning_rate = nan", "config.toml, line 2"),
    ],
)
def test_a_faulty_file_is_named_with_its_line(mdctl: Mdctl, fresh: Project, text: str, words: str) -> None:
    """Whatever is wrong with it, place and fault are told, the file stays, and it can be left out (G2)."""
    file = written(text)
    for line in (("train", "golf", "-n"), ("config", "show")):
        said = mdctl(*line)
        assert (said.code, said.out) == (4, ""), line
        assert words in said.err
    assert file.read_text() == text
    assert mdctl("train", "golf", "-n", "--no-config").code == 0


@pytest.mark.skipif(os.name == "nt", reason="words of a shell")
def test_the_editor(mdctl: Mdctl, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It gets a file with all tables; what it leaves is looked over; one that is not there is told."""
    program = tmp_path / "editor with blanks.py"
    program.write_text("import sys, pathlib\npathlib.Path(sys.argv[2]).write_text(sys.argv[1])\n")
    command = f"{shlex.quote(sys.executable)} {shlex.quote(str(program))}"
    monkeypatch.setenv("VISUAL", "")
    monkeypatch.setenv("EDITOR", f"{command} '[gen]\nsteps = 7'")
    assert mdctl("config", "edit").code == 0
    assert mdctl("config", "get", "gen.steps").lines == ["7"]
    monkeypatch.setenv("VISUAL", f"{command} '[gen]\nstps = 7'")
    said = mdctl("config", "edit")
    assert (said.code, "'stps'" in said.err) == (4, True)
    for wrong in ("/nowhere/editor", '"'):
        monkeypatch.setenv("VISUAL", wrong)
        said = mdctl("config", "edit")
        assert (said.code, str(locations.settings()) in said.err) == (5, True)


# --- Who wins


def test_every_source_in_its_order(
    mdctl: Mdctl, fresh: Project, template: Template, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Flag, variable, project, template, config.toml, built-in: each wins over those that come after it."""
    taken: list[tuple[Any, str]] = []

    def look() -> None:
        taken.append(shown(mdctl, "golf")["train.max_grad_norm"])

    written("[train]\nmax_grad_norm = 2\n")
    look()
    fresh.set("template", template("mine", "[train]\nmax_grad_norm = 3\n"))
    look()
    fresh.set("train.max_grad_norm", 4)
    look()
    monkeypatch.setenv("MDCTL_MAX_GRAD_NORM", "5")
    look()
    origins = ["config.toml", "template mine", "golf/project.toml", "MDCTL_MAX_GRAD_NORM"]
    assert taken == list(zip([2, 3, 4, 5], origins, strict=True))
    flag = json.loads(mdctl("train", "golf", "-n", "--json", "--set", "max_grad_norm=6").out)
    assert flag["train"]["max_grad_norm"] == 6
    assert json.loads(mdctl("train", "golf", "-n", "--json").out)["train"]["max_grad_norm"] == 5
    assert shown(mdctl, "golf", "--no-config")["train.max_grad_norm"] == (4, "golf/project.toml")


def test_it_wins_over_what_suits_the_base_model(mdctl: Mdctl) -> None:
    """The template that lies beneath all for a base model is weaker than the user's own word."""
    assert shown(mdctl)["train.rank"] == (16, "template starter")
    written("[train]\nrank = 3\n")
    assert shown(mdctl)["train.rank"] == (3, "config.toml")


def test_without_any_word_nothing_changes(mdctl: Mdctl, fresh: Project) -> None:
    """Where there is neither file nor variable, a run is frozen as with --no-config; an empty variable is none."""
    before = mdctl("train", "golf", "-n", "--no-config", "--json")
    assert mdctl("train", "golf", "-n", "--json").out == before.out
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MDCTL_RANK", " ")
        assert mdctl("train", "golf", "-n", "--json").out == before.out


def test_variables_of_each_table(mdctl: Mdctl, golf: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """The short name is of [train]; [clips] and [gen] have theirs, and do not hear it."""
    for name, text in (("STEPS", "9"), ("GEN_STEPS", "3"), ("GEN_NEGATIVE", "5"), ("GEN_STRENGTH", "0.5@0-0.5")):
        monkeypatch.setenv(f"MDCTL_{name}", text)
    monkeypatch.setenv("MDCTL_DETERMINISTIC", "1")
    monkeypatch.setenv("MDCTL_CLIPS_FPS", "12")
    found = shown(mdctl, "golf")
    assert found["train.steps"] == (9, "MDCTL_STEPS")
    assert found["train.deterministic"] == (True, "MDCTL_DETERMINISTIC")
    assert found["clips.fps"] == (12, "MDCTL_CLIPS_FPS")
    made = json.loads(mdctl("gen", "golf", "a monkey", "-n", "--json").out)["settings"]
    assert (made["steps"], made["negative"]) == (3, "5")
    assert made["strength"] == "0.5@0-0.5"


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("MDCTL_STEPS", "abc", "MDCTL_STEPS: train.steps = 'abc'"),
        ("MDCTL_STEPS", "0", "MDCTL_STEPS: it has to be from 1"),
        ("MDCTL_DETERMINISTIC", "2", "true or false"),
        ("MDCTL_LEARNING_RATE", "inf", "MDCTL_LEARNING_RATE"),
        ("MDCTL_STPES", "3", "did you mean MDCTL_STEPS?"),
        ("MDCTL_LERNING_RATE", "1e-3", "did you mean MDCTL_LEARNING_RATE?"),
    ],
)
def test_a_faulty_variable_is_named(
    mdctl: Mdctl, fresh: Project, monkeypatch: pytest.MonkeyPatch, name: str, text: str, words: str
) -> None:
    """A wrong value and a slip in a name are wrong usage; --no-config hears none of them (G5)."""
    monkeypatch.setenv(name, text)
    said = mdctl("train", "golf", "-n")
    assert (said.code, said.out) == (2, "")
    assert words in said.err
    assert mdctl("--no-config", "train", "golf", "-n").code == 0


def test_variables_of_somebody_else(mdctl: Mdctl, fresh: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """What only begins like a variable of mdctl stops nothing."""
    monkeypatch.setenv("MDCTL_VERSION", "3")
    assert mdctl("train", "golf", "-n").code == 0
    assert config.unknown() == ["MDCTL_VERSION"]


def test_every_variable_in_the_source_is_known() -> None:
    """Whatever the program reads from the environment under its own name, `help env` tells."""
    files = Path(package.__file__).parent.rglob("*.py")
    named = {name for file in files for name in re.findall(r"\bMDCTL_[A-Z_]*[A-Z]\b", file.read_text("utf-8"))}
    examples = {"MDCTL_KEY", "MDCTL_CLIPS_KEY", "MDCTL_GEN_KEY"}
    assert named - examples <= {*config.OTHERS, *config.variables()}


# --- Templates


def test_templates_are_looked_over(mdctl: Mdctl, template: Template) -> None:
    """The shipped ones are sound; of one's own each fault is told with its line, and the others beside it."""
    said = mdctl("templates", "check")
    assert said.code == 0
    assert {line.split("\t")[1] for line in said.lines} == {"ok"}
    template("bad", "about = 'x'\n[train]\nrank = 0\n")
    template("worse", "[gen\n")
    template("good", "[gen]\nsteps = 3\n")
    assert mdctl("templates", "check", "good").lines == ["good\tok"]
    said = mdctl("templates", "check")
    assert said.code == 4
    assert "bad\tbad.toml, line 3, column 1: train.rank = 0 cannot be used." in said.lines
    assert "good\tok" in said.lines
    assert mdctl("templates", "check", "-q").lines == ["bad", "worse"]
    assert (mdctl("templates", "check", "gud").code, mdctl("templates", "check", "worse").code) == (4, 4)
