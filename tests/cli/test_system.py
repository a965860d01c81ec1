"""The program itself: models and templates, wrong usage, closed streams, and faults of its own."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import typed
from stage import Mdctl

from mdctl.cli.system import models
from mdctl.workspace import locations, presets
from mdctl.workspace.project import Project

MDCTL = (sys.executable, "-m", "mdctl")
posix = pytest.mark.skipif(os.name == "nt", reason="the shell of POSIX")


def shell(line: str) -> subprocess.CompletedProcess[str]:
    """A line of bash in which `mdctl` is mdctl; the status of a pipe is that of its first part."""
    line = f'mdctl() {{ "{sys.executable}" -m mdctl "$@"; }}; {line}; exit "${{PIPESTATUS[0]}}"'
    return subprocess.run(["bash", "-c", line], capture_output=True, text=True, check=False)


# --- Models and templates


def test_models_and_how_to_get_them(mdctl: Mdctl) -> None:
    """Each model has a line; for one that is missing the command that gets it is told."""
    said = mdctl("models", "list")
    assert said.code == 0
    assert [line.split("\t")[0] for line in said.lines] == ["starter", "zeroscope", "modelscope"]
    assert [line.split("\t")[-1] for line in said.lines][1:] == ["no", "no"]
    assert said.err == "To get one that is missing:  mdctl models pull zeroscope\n"
    assert mdctl("models", "list", "-q").lines == ["starter", "zeroscope", "modelscope"]
    records = json.loads(mdctl("--json", "models", "list").out)
    assert records[1]["installed"] is False
    assert records[1]["get"] == "mdctl models pull zeroscope"


def test_what_adapters_take_in_a_model(mdctl: Mdctl, model: Path) -> None:
    """Counted from the configuration: of a model that is not there, of the one inside, of a folder."""
    large = json.loads(mdctl("models", "show", "zeroscope", "--json").out)
    counts = {key: large[key] for key in large if "layers" in key or "parameters" in key}
    assert counts == {
        "parameters": 1_411_233_860,
        "spatial_layers": 96,
        "spatial_parameters": 8_785_920,
        "temporal_layers": 170,
        "temporal_parameters": 12_472_320,
    }
    assert (large["rank"], large["installed"], large["path"]) == (32, False, None)
    said = mdctl("models", "show", "zeroscope")
    assert "mdctl models pull zeroscope" in said.out
    inside = json.loads(mdctl("models", "show", "starter", "--json").out)
    assert [inside["path"]] == mdctl("models", "path", "starter").lines
    assert json.loads(mdctl("models", "show", str(model), "--json").out)["rank"] == 8
    for command in ("show", "path"):
        said = mdctl("models", command, "zeroscpe")
        assert (said.code, "zeroscope" in said.err) == (3, True)


def test_help_names_no_default_that_the_model_overrides() -> None:
    """What a template beneath all others sets has no one default; help tells that of large models beside."""
    flags = {"steps": "steps", "rank": "rank", "lr": "learning_rate", "image_steps": "steps"}
    own = presets.read("starter").tables["train"]
    for command in ("train", "bench run", "bench folder", "animate-image"):
        for option in typed.commands()[command].params:
            if flags.get(option.name or "") in own and "Denoising" not in str(getattr(option, "help", "")):
                assert str(getattr(option, "show_default", "")).startswith("as the model"), (command, option.name)


def test_templates_shipped_and_own(mdctl: Mdctl, template: Callable[[str, str], str]) -> None:
    """A copy is the user's and wins over what is shipped; both are listed and shown."""
    said = mdctl("templates", "copy", "draft", "mine", "-q")
    assert (said.code, said.lines) == (0, [str(locations.templates() / "mine.toml")])
    told = mdctl("templates", "copy", "draft", "mine-2", "--json").records
    assert told[-1]["paths"] == [str(locations.templates() / "mine-2.toml")]
    template("low-vram", "about = 'my card'\n[train]\nrank = 4\n")
    listed = {line.split("\t")[0]: line.split("\t")[1:] for line in mdctl("templates", "list").lines}
    assert listed["mine"] == ["a quick first look", "yours"]
    assert listed["low-vram"] == ["my card", "yours"]
    assert listed["draft"] == ["a quick first look", "shipped"]
    assert "train.rank\t4" in mdctl("templates", "show", "low-vram").lines
    assert json.loads(mdctl("templates", "show", "draft", "--json").out)["train"]["steps"] == 60
    assert "mine" in mdctl("templates", "list", "-q").lines


def test_one_spoilt_template_hides_no_other(mdctl: Mdctl, template: Callable[[str, str], str]) -> None:
    """It is listed with what is wrong; using it tells file and line."""
    template("bad", "about = \n")
    said = mdctl("templates", "list")
    assert said.code == 0
    assert "bad\tneeds attention: bad.toml, line 1" in said.out
    assert "draft\t" in said.out
    assert mdctl("templates", "show", "bad").code == 4


@pytest.mark.parametrize("name", ["", "../x", "a/b", ".hidden", "x y", "\x1b[2J", "-x"])
def test_names_that_no_template_can_have(mdctl: Mdctl, home: Path, name: str) -> None:
    """Nothing is written, inside or outside."""
    said = mdctl("templates", "copy", "draft", "--", name)
    assert said.code == 2
    assert "cannot be the name of a template" in said.err
    assert not home.exists()


def test_templates_that_are_there_or_not(mdctl: Mdctl) -> None:
    """A copy replaces nothing, and an unknown name is answered with the one that was meant."""
    assert mdctl("templates", "copy", "draft", "low-vram").code == 2
    said = mdctl("templates", "show", "lowvram")
    assert said.code == 4
    assert "did you mean low-vram?" in said.err
    assert mdctl("templates", "copy", "\x1b[2J", "x").code == 4


def test_the_line_is_offered_again_with_the_name_that_was_meant(mdctl: Mdctl, home: Path) -> None:
    """Whatever the command was, and whether the name stood behind an option; without a near one the list is."""
    for line, cure in (
        (("models", "show", "zeroscpe"), "mdctl models show zeroscope"),
        (("-q", "models", "path", "startr"), "mdctl -q models path starter"),
        (("models", "show", "qqqqq"), "mdctl models list"),
    ):
        said = mdctl(*line)
        assert said.code == 3
        assert said.err.split("fix")[1].split("\n")[0].split("   MD-")[0].strip() == cure, said.err
    said = mdctl("--json", "models", "show", "zeroscpe")
    assert json.loads(said.err.splitlines()[-1])["fix"] == ["mdctl --json models show zeroscope", "mdctl models list"]


# --- Usage


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("lst", "did you mean mdctl list?"),
        ("templates lst", "did you mean mdctl templates list?"),
        ("models", "missing command"),
        ("train golf --stpes 3", "did you mean --steps?"),
        ("train golf --jsno", "did you mean --json?"),
        ("train", "missing argument 'NAME'"),
        ("gen golf", "a project and a prompt are needed"),
        ("list golf", "unexpected extra argument"),
        ("train golf --steps many", "invalid value for '--steps'"),
        ("train golf --steps", "--steps"),
        ("list --home", "--home needs a folder"),
        ("--wrong", "no such option: --wrong"),
    ],
)
def test_wrong_usage(mdctl: Mdctl, home: Path, line: str, words: str) -> None:
    """The mistake is named, what was meant is offered, and nothing is done."""
    said = mdctl(*line.split())
    assert (said.code, said.out) == (2, "")
    assert said.err.startswith("error: ")
    assert words in said.err
    assert "Usage:" not in said.err
    assert "MD-USAGE" in said.err
    assert not home.exists()


def test_marks_in_a_wrong_word(mdctl: Mdctl) -> None:
    """What was typed is shown so that a terminal is safe."""
    for line in (["\x1b[2J"], ["list", "--\x1b[2J"], ["train", "golf", "--steps", "\x1b[2J"], ["gen", "\x9b", "x"]):
        said = mdctl(*line)
        assert said.code == 2
        assert not {"\x1b", "\x9b"} & set(said.err)


def test_the_program_alone(mdctl: Mdctl, golf: Project) -> None:
    """`mdctl` says what it is, how to begin, and what there is."""
    said = mdctl()
    assert (said.code, said.out) == (0, "")
    assert "mdctl demo" in said.err
    assert "1 project ·" in said.err


def test_a_home_for_once(mdctl: Mdctl, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """--home moves everything, before the command's name or after it."""
    for line in (["--home", str(tmp_path / "a"), "path"], ["path", f"--home={tmp_path / 'a'}"]):
        assert mdctl(*line).lines == [str(tmp_path / "a")]
    monkeypatch.chdir(tmp_path)
    assert mdctl("path", "--home", "b").lines == [str(tmp_path / "b")]


# --- Faults of the computer and its own


def test_a_home_that_cannot_be_written(mdctl: Mdctl, films: Path, tmp_path: Path) -> None:
    """Reading commands work, writing ones name the place and the way out (I3)."""
    (tmp_path / "file").touch()
    home = ("--home", str(tmp_path / "file" / "home"))
    for line in (["list"], ["path"], ["templates", "list"], ["models", "list"], []):
        assert mdctl(*line, *home).code == 0
    for line in (["new", "golf", str(films / "walk.mp4"), "--frames", "4"], ["templates", "copy", "draft", "mine"]):
        said = mdctl(*line, *home)
        assert said.code == 5
        assert "MDCTL_HOME" in said.err
        assert str(tmp_path / "file") in said.err


def test_a_fault_of_mdctl_itself(mdctl: Mdctl, monkeypatch: pytest.MonkeyPatch, home: Path) -> None:
    """It ends in a sentence; the traceback lies in a log, and is shown on demand."""
    monkeypatch.setattr(models, "CARDS", None)
    said = mdctl("models", "list")
    assert said.code == 1
    assert "Traceback" not in said.err
    (log,) = (home / "state" / "logs").iterdir()
    assert str(log) in said.err
    assert "Traceback" in log.read_text()
    assert "Traceback" in mdctl("models", "list", "--debug").err


def test_no_memory_left(mdctl: Mdctl, monkeypatch: pytest.MonkeyPatch) -> None:
    """That is the computer's limit and not a fault of mdctl; what could help is said."""

    def full() -> None:
        raise MemoryError

    monkeypatch.setattr("mdctl.workspace.presets.paths", full)
    said = mdctl("templates", "list")
    assert said.code == 7
    assert "not enough memory" in said.err
    assert "train --template low-vram --fresh, gen --size and --frames" in said.err
    for command, flags in (("train", ("--template", "--fresh")), ("gen", ("--size", "--frames"))):
        help_text = mdctl(command, "-h").out
        assert all(flag in help_text for flag in flags)


@posix
def test_a_reader_that_leaves(golf: Project) -> None:
    """When nobody reads stdout any more, mdctl is quiet, and its status tells that not all was read (B6)."""
    for line in (["templates", "list"], ["list", "--json"], ["show", "golf"], ["train", "golf", "-q"]):
        reader, writer = os.pipe()
        os.close(reader)
        done = subprocess.run([*MDCTL, *line], stdout=writer, stderr=subprocess.PIPE, text=True, check=False)
        os.close(writer)
        assert (done.returncode, done.stderr) == (141, ""), line
    assert shell("mdctl list -q | head -1").stdout == "golf\n"


@posix
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_result_that_cannot_be_written(golf: Project) -> None:
    """A full disk behind stdout is an error; nobody behind it is none (B6)."""
    done = shell("mdctl list > /dev/full")
    assert done.returncode == 7
    assert "the disk is full" in done.stderr
    assert (shell("mdctl list >&-").returncode, shell("mdctl list <&- >&- 2>&-").returncode) == (0, 0)
    assert shell("mdctl show nothing 2>/dev/full").returncode == 3
    assert shell("mdctl show nothing 2>&-").returncode == 3
