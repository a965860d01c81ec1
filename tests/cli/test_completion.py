"""Completion: what a shell is answered, without anything heavy; and how the scripts come into its files and out."""

import json
import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from stage import Mdctl, Play

from mdctl.cli.system import completion, completion_table, shells, topics
from mdctl.workspace import locations

POSIX = pytest.mark.skipif(os.name == "nt", reason="shells of POSIX")


def offers(*words: str) -> list[str]:
    """What may stand for the last of these words."""
    return [word for word, _ in completion.offered(words)[0]]


@pytest.fixture
def names(home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Folders that look like two projects, one with saves, beside folders that bear no name of mdctl's."""
    for name in ("golf", "riding_horse", "$(touch x)", "a b", "-rf", "Golf", ".locks", "x\ny"):
        (home / "projects" / name).mkdir(parents=True)
    for run, steps in (("20261122-071403-a1f3", ("000050", "000100.2")), ("20261123-071403-a1f3", ())):
        (home / "projects" / "golf" / "runs" / run / "ckpt" / ".locks").mkdir(parents=True)
        for step in steps:
            (home / "projects" / "golf" / "runs" / run / "ckpt" / step).mkdir()
    (home / "projects" / "golf" / "runs" / "a b").mkdir()
    locations.templates().mkdir(parents=True)
    for name in ("mine.toml", "$(x).toml", "low.txt"):
        (locations.templates() / name).touch()
    for name in ("old@20261122-071403", "old@20261122-071500.part", "$(x)@20261122-071500"):
        (locations.trash() / name).mkdir(parents=True)
    monkeypatch.setenv("MDCTL_HOME", str(home))
    return home


def test_the_table_is_what_the_program_is() -> None:
    """When this fails: python -m mdctl.cli.system.completion_table > mdctl/cli/system/completion.json."""
    shipped = Path(completion.__file__).with_name("completion.json").read_text(encoding="utf-8")
    assert json.loads(shipped) == completion_table.table()
    assert shipped == completion_table.text()


def test_commands_and_flags() -> None:
    """Commands, those of groups, and flags that were not given yet; none after --, where words are words."""
    assert {"new", "train", "gen", "models", "completion"} <= set(offers(""))
    assert offers("mod") == ["models"]
    assert {"list", "show", "pull"} <= set(offers("models", ""))
    assert "--learning-rate" not in offers("train", "golf", "--l")
    assert offers("train", "golf", "--lr") == ["--lr"]
    assert {"--json", "--home", "--help"} <= set(offers("train", "-"))
    assert "--seed" not in offers("train", "--seed", "3", "--")
    assert "--motion" in offers("mix", "--motion", "a", "--mot")
    assert offers("gen", "golf", "--", "--") == []
    assert offers("nonsense", "") == []
    assert offers("list", "--status", "pa") == ["paused"]
    assert offers("list", "--status=pa") == ["--status=paused"]
    assert offers("--json", "--plain", "mod") == ["models"]


def test_names(names: Path) -> None:
    """Projects, runs, saves of the newest run that has some, templates, models; only names that mdctl gives."""
    assert offers("show", "") == offers("--json", "train", "--seed", "1", "") == ["golf", "riding_horse"]
    assert offers("show", "r") == ["riding_horse"]
    assert offers("gen", "golf", "--checkpoint", "") == ["last", "pinned", "50", "100"]
    assert offers("gen", "--checkpoint", "5") == []
    assert offers("grid", "golf", "a monkey", "--checkpoint", "50,1") == ["50,100"]
    assert offers("log", "golf", "--run", "") == ["1", "2"]
    assert "mine" in offers("templates", "show", "")
    assert not [name for name in offers("train", "golf", "--template", "") if not name.replace("-", "").isalnum()]
    assert offers("train", "golf", "--model", "st") == ["starter"]
    assert offers("mix", "--appearance", "go") == ["golf"]
    assert offers("new", "") == []
    assert offers("gen", "golf", "") == []
    assert completion._trashed() == ["old"]
    assert set(topics.TOPICS) <= set(offers("help", ""))


def test_another_home(names: Path, tmp_path: Path) -> None:
    """--home is heeded before anything is looked up."""
    (tmp_path / "other" / "projects" / "zoom").mkdir(parents=True)
    assert offers("--home", str(tmp_path / "other"), "show", "") == ["zoom"]
    assert offers("show", f"--home={tmp_path / 'other'}", "") == ["zoom"]
    assert offers("--home", str(tmp_path / "nowhere"), "show", "") == []


def test_settings() -> None:
    """Keys of [train] end in =, and some have words behind that."""
    assert "rank=" in offers("train", "golf", "--set", "")
    assert offers("train", "golf", "--set", "objective=ad") == ["objective=ad", "objective=ad-mean"]
    assert offers("train", "golf", "--set", "deterministic=") == ["deterministic=true", "deterministic=false"]
    assert offers("train", "golf", "--set", "rank=") == []


def test_files() -> None:
    """Where a file fits, the shell is told to look for one itself."""
    assert completion.offered(["new", "golf", ""])[1]
    assert completion.offered(["new", "golf", "a.mp4", ""])[1]
    assert completion.offered(["gen", "--from", ""]) == ([("last", "")], True)
    assert not completion.offered(["gen", "golf", ""])[1]
    assert not completion.offered(["train", "golf", "--"])[1]


def asked(*arguments: str, words: str | None = None) -> tuple[int, list[str]]:
    """What a shell reads when it asks."""
    environment = {**os.environ, completion.WORDS: words} if words is not None else None
    command = [sys.executable, "-m", "mdctl", "__complete", *arguments]
    said = subprocess.run(command, capture_output=True, env=environment, check=False)
    assert said.stderr == b""
    return said.returncode, said.stdout.decode().splitlines()


def test_how_shells_ask(names: Path) -> None:
    """Words come one by one, in a line that may break off in a quote, or in a variable; bash gets what it lacks."""
    assert asked("fish", "show", "gol") == (0, ["golf"])
    assert asked("zsh", "new", "golf", "") == (completion.FILES, [])
    assert asked("bash", "mdctl train golf --model=st", "st") == (completion.FILES, ["starter"])
    assert asked("bash", "mdctl show ", "") == (0, ["golf", "riding_horse"])
    assert asked("bash", 'mdctl gen "it\'s" --check', "--check")[1] == ["--check", "--checkpoint"]
    assert asked("bash", 'mdctl gen golf "a mon', "a mon") == (0, [])
    assert asked("powershell", words="show\ngol") == (0, ["golf"])
    assert asked("fish", "mod")[1] == ["models\tList, get and check the base models."]
    for wrong in ((), ("bash",), ("bash", "x"), ("bash", "", "")):
        assert asked(*wrong) == (1, [])


def test_nothing_is_imported_for_it(names: Path) -> None:
    """The answer comes before typer, rich and all that is heavy."""
    program = (
        "import sys\nfrom mdctl.__main__ import run\nsys.argv = ['mdctl', '__complete', 'fish', 'show', '']\n"
        "try:\n run()\nexcept SystemExit:\n"
        " print(sorted({'typer', 'rich', 'torch', 'numpy', 'mdctl.cli.app', 'tomli', 'filelock'} & set(sys.modules)))"
    )
    told = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert told.stdout.splitlines() == ["golf", "riding_horse", "[]"]


@POSIX
@pytest.mark.skipif(not shutil.which("bash"), reason="there is no bash")
def test_bash_itself(names: Path, tmp_path: Path) -> None:
    """The script of bash asks, and offers what it is answered."""
    program = tmp_path / "bin" / "mdctl"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m mdctl "$@"\n')
    program.chmod(0o755)
    (tmp_path / "golf clip.mp4").touch()
    (tmp_path / "rc").write_text(shells.script("bash"))
    lines = 'source rc; COMP_LINE=$1 COMP_POINT=${#1}; _mdctl mdctl "$2" x; printf "%s\\n" "${COMPREPLY[@]}"'
    environment = {**os.environ, "PATH": f"{program.parent}:{os.environ['PATH']}"}

    def completed(line: str, last: str) -> list[str]:
        command = ["bash", "--norc", "-c", lines, "bash", line, last]
        said = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=environment, check=True)
        assert said.stderr == ""
        return said.stdout.split("\n")[:-1]

    assert completed("mdctl show g", "g") == ["golf"]
    assert completed("mdctl train golf --set objective=ad-", "ad-") == ["ad-mean"]
    assert completed("mdctl open go", "go") == ["golf", "golf clip.mp4"]


# --- Into the shell's file, and out again.


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user's folder, with bash as their shell."""
    folder = tmp_path / "user"
    folder.mkdir()
    monkeypatch.setattr(Path, "home", lambda: folder)
    monkeypatch.setenv("SHELL", "/usr/bin/bash")
    for name in ("XDG_CONFIG_HOME", "ZDOTDIR"):
        monkeypatch.delenv(name, raising=False)
    return folder


@POSIX
@pytest.mark.parametrize("shell", shells.SCRIPTS)
def test_in_once_and_out_again(mdctl: Mdctl, own: Path, shell: str) -> None:
    """It is written with the user's word alone, once however often; --undo leaves the file as it was."""
    said = mdctl("completion", "install", shell)
    assert (said.code, "asks before it changes" in said.err) == (2, True)
    assert not list(own.iterdir())
    (place,) = map(Path, mdctl("completion", "install", shell, "--yes").lines)
    assert place.is_relative_to(own)
    assert mdctl("completion", "install", shell).code == 0
    assert mdctl("completion", "show", shell).out in place.read_text()
    assert mdctl("completion", "install", shell, "--undo", "-y").code == 0
    assert not place.exists()
    before = b"# mine \xc3\xbc\nalias x=y\n"
    place.write_bytes(before)
    place.chmod(0o640)
    mdctl("completion", "install", shell, "-y")
    assert place.read_bytes().startswith(before)
    assert mdctl("completion", "install", shell, "-y", "--json").records[-1]["changed"] is False
    place.write_bytes(place.read_bytes() + b"# later\n")
    mdctl("completion", "install", shell, "--undo", "-y")
    assert place.read_bytes() == before + b"# later\n"
    assert stat.S_IMODE(place.stat().st_mode) == 0o640
    assert mdctl("completion", "install", shell, "--undo").code == 0


@POSIX
def test_a_file_is_treated_with_care(mdctl: Mdctl, own: Path) -> None:
    """An older script is replaced, a link stays one, half a block takes nothing along, and what is no text is left."""
    real = own / "dotfiles"
    real.write_text("# mine, without an end of line")
    (own / ".bashrc").symlink_to(real)
    assert mdctl("completion", "install", "-y", "--into", str(own / ".bashrc")).lines == [str(real)]
    assert (own / ".bashrc").is_symlink()
    real.write_text(real.read_text().replace("COMPREPLY=()", "# as it was long ago"))
    mdctl("completion", "install", "-y", "--into", str(real))
    assert (
        real.read_text() == f"# mine, without an end of line\n{shells._BEGIN}\n{shells.script('bash')}{shells._END}\n"
    )
    real.write_text(f"{shells._BEGIN}\nprecious\n")
    mdctl("completion", "install", "-y", "--into", str(real))
    mdctl("completion", "install", "-y", "--into", str(real), "--undo")
    assert real.read_text() == f"{shells._BEGIN}\nprecious\n"
    real.write_bytes(b"\xff\xfe")
    assert mdctl("completion", "install", "-y", "--into", str(real)).code == 4
    assert mdctl("completion", "install", "-y", "--into", str(own)).code == 5
    assert real.read_bytes() == b"\xff\xfe"


@POSIX
def test_a_question(play: Play, own: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a terminal the file is named and asked for; Enter changes nothing."""
    monkeypatch.setenv("TERM", "dumb")
    place = tmp_path / "rc"
    for word, there in (("\n", False), ("y\n", True)):
        asking = play("completion", "install", "bash", "--into", str(place), terminal=True)
        asking.until(lambda asking=asking: b"y or n" in asking.screen)  # type: ignore[misc]
        asking.type(word)
        assert asking.wait() == 0
        assert place.exists() is there


def test_shells(mdctl: Mdctl, own: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The user's own shell is taken; one that mdctl does not know is asked for."""
    for name, code in (("/bin/zsh", 0), ("/opt/pwsh", 0), ("/bin/tcsh", 2), ("", 2)):
        monkeypatch.setenv("SHELL", name)
        assert mdctl("completion", "show").code == (0 if os.name == "nt" else code)
    assert json.loads(mdctl("completion", "show", "fish", "--json").out)["script"] == shells.script("fish")
    assert mdctl("completion", "show", "tcsh").code == 2
