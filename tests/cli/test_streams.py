"""What stands on stdout: the result and nothing else, from every command, as text, for scripts, and as JSON."""

import json
import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from PIL import Image
from schema import checked
from stage import Mdctl, Said

from mdctl.cli import app
from mdctl.cli.create.learning import End
from mdctl.workspace import hub
from mdctl.workspace.project import Project
from mdctl.workspace.runs import Run


def commands() -> list[str]:
    """Every command by the words that name it."""
    found = []
    for name, command in app.commands().items():
        inner = getattr(command, "commands", None)
        found += [f"{name} {word}" for word in inner] if inner else [name]
    return found


@dataclass(frozen=True)
class Line:
    """How a command is tried, and what it has to say."""

    words: str
    """Its arguments; words in capitals are places."""
    plain: str
    """What stands on stdout in a pipe: `nothing`, `paths`, `rows` of a table, `facts`, or `text` that was asked for."""
    quiet: str
    """The same with -q; a table becomes `names`."""
    json: str = "lines"
    """`lines`, or `one` document."""
    before: str = ""
    """A command that has to come first."""
    code: int = 0


MADE = "--steps 1 --threads 1 --seed 3"
LINES = {
    "new": Line("made FILMS/walk.mp4 FILMS/short.mp4 --size 32x32 --frames 4", "nothing", "paths", code=11),
    "demo": Line("", "nothing", "nothing", code=130),
    "doctor": Line("", "rows", "rows", "one"),
    "train": Line("golf --fresh --steps 2 --rank 2 --threads 1", "paths", "paths"),
    "gen": Line(f"golf PROMPT {MADE}", "paths", "paths"),
    "mix": Line(f"--appearance golf --motion golf PROMPT {MADE}", "paths", "paths"),
    "animate-image": Line(f"PICTURE --motion golf PROMPT {MADE} --image-steps 2", "paths", "paths"),
    "grid": Line("golf PROMPT --strength 0.5,1 --steps 1 --threads 1 -y", "paths", "paths"),
    "pin": Line("golf --strength 0.7", "nothing", "nothing"),
    "list": Line("", "rows", "names", "one"),
    "ls": Line("", "rows", "names", "one"),
    "show": Line("golf", "facts", "facts", "one"),
    "path": Line("golf", "paths", "paths"),
    "log": Line("golf", "rows", "paths", "log"),
    "open": Line("golf", "nothing", "nothing", "nothing", code=3),
    "gallery": Line("golf", "paths", "paths"),
    "rename": Line("golf gulf", "nothing", "paths"),
    "mv": Line("golf gulf", "nothing", "paths"),
    "copy": Line("golf gulf", "nothing", "paths"),
    "cp": Line("golf gulf", "nothing", "paths"),
    "rm": Line("golf", "nothing", "paths"),
    "restore": Line("golf", "nothing", "paths", before="rm golf"),
    "verify": Line("golf", "nothing", "nothing", "one"),
    "export": Line("golf -o OUT/golf.mdz", "paths", "paths"),
    "import": Line("OUT/golf.mdz --model MODEL", "paths", "paths", before="export golf -o OUT/golf.mdz"),
    "help": Line("exit-codes", "text", "text", "one"),
    "clips list": Line("golf", "rows", "names", "one"),
    "clips add": Line("golf FILMS/walk.mp4 --trim 0-1", "nothing", "paths"),
    "clips rm": Line("golf 2", "nothing", "paths"),
    "clips set": Line("golf 1 --trim 0-1", "nothing", "paths"),
    "clips sheet": Line("golf", "paths", "paths"),
    "trash list": Line("", "rows", "names", "one", before="rm golf"),
    "trash empty": Line("--yes", "nothing", "nothing", before="rm golf"),
    "models list": Line("", "rows", "names", "one"),
    "models show": Line("starter", "facts", "facts", "one"),
    "models path": Line("starter", "paths", "paths"),
    "models pull": Line("zeroscope --yes", "nothing", "nothing", "nothing", code=8),
    "models verify": Line("starter", "paths", "paths"),
    "models rm": Line("zeroscope", "nothing", "nothing", "nothing", code=8),
    "templates list": Line("", "rows", "names", "one"),
    "templates show": Line("draft", "facts", "facts", "one"),
    "templates copy": Line("draft mine", "nothing", "paths"),
    "templates check": Line("", "rows", "nothing", "one"),
    "config show": Line("golf", "rows", "names", "one"),
    "config get": Line("train.rank", "text", "text", "one", before="config set train.rank 4"),
    "config set": Line("train.rank 4", "nothing", "nothing"),
    "config edit": Line("", "nothing", "paths"),
    "config path": Line("", "text", "text", "told"),
    "cache list": Line("", "rows", "names", "one"),
    "cache prune": Line("--all", "nothing", "nothing"),
    "completion install": Line("bash --yes", "paths", "paths"),
    "completion show": Line("bash", "text", "text", "one"),
    "bench fidelity": Line("--motions none", "nothing", "nothing", "nothing", code=2),
    "bench trajectories": Line("--motions 3", "nothing", "nothing", "nothing", code=2),
    "bench score": Line("FILMS/walk.mp4", "rows", "names", "one"),
    "bench run": Line("--print-template ucf-like", "text", "text", "told"),
    "bench folder": Line("FOLDER -n -o OUT", "facts", "facts", "one"),
    "bench speed": Line("--device cpu", "nothing", "nothing", "nothing", code=5),
}


@pytest.fixture
def stage(
    golf: Project, films: Path, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[[str], list[str]]:
    """`stage("golf PROMPT")` gives these words with the places filled in."""
    picture, folder, out = tmp_path / "picture.png", tmp_path / "units", tmp_path / "out"
    Image.new("RGB", (40, 40), (90, 120, 200)).save(picture)
    (folder / "walk").mkdir(parents=True)
    out.mkdir()
    shutil.copy(films / "walk.mp4", folder / "walk")
    (folder / "walk" / "prompts.txt").write_text("a monkey is walking\n")
    (folder / "walk" / "caption.txt").write_text("a red square is walking")
    monkeypatch.setenv("VISUAL", "true")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr(hub, "PAUSES_S", (0.0, 0.0))
    places = {"FILMS": films, "PICTURE": picture, "FOLDER": folder, "OUT": out, "MODEL": model}

    def filled(words: str) -> list[str]:
        given = [word if word != "PROMPT" else "a monkey playing golf" for word in words.split()]
        for name, place in places.items():
            given = [re.sub(rf"^{name}\b", str(place), word) for word in given]
        return given

    return filled


def paused(project: Project, run: Run, *rest: object, **more: object) -> End:
    """A training that is stopped at once."""
    return End("paused", run.keep(1, {}, {}), exit_code=130)


def test_every_command_is_tried() -> None:
    """A new command needs a line here."""
    assert set(LINES) == {*commands(), *app.SHORT}


@pytest.mark.parametrize("name", LINES)
def test_stdout_is_the_result(
    mdctl: Mdctl,
    stage: Callable[[str], list[str]],
    home: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
) -> None:
    """Piped there are paths, rows or what was asked for; no progress, no hints, no warnings, no colour; JSON parses."""
    line = LINES[name]
    if name == "demo":  # the whole of it takes minutes
        monkeypatch.setattr("mdctl.cli.create.train.follow", paused)
    before = tmp_path / "before"
    shutil.copytree(tmp_path, before, ignore=lambda *_: ["before"])
    for manner, kind in (("", line.plain), ("-q", line.quiet), ("--json", line.json)):
        for path in tmp_path.iterdir():
            if path != before:
                shutil.rmtree(path) if path.is_dir() else path.unlink()
        shutil.copytree(before, tmp_path, dirs_exist_ok=True)
        assert not line.before or mdctl(*stage(line.before)).code == 0
        said = mdctl(*manner.split(), *name.split(), *stage(line.words))
        assert said.code == line.code, said.err
        assert re.search(r"[^\n\t\x20-\x7e\xa0-\U0010ffff]", said.out) is None, manner
        assert not set(said.lines) & set(said.err.splitlines()), "told twice"
        assert manner != "-q" or not said.err or said.err.startswith("error: ")
        KINDS[kind](said)


# --- What may stand there


def nothing(said: Said) -> None:
    """Not a word."""
    assert said.out == ""


def paths(said: Said) -> None:
    """Whole paths of what is there, one a line."""
    assert said.lines
    for line in said.lines:
        assert Path(line).is_absolute(), line
        assert Path(line).exists(), line


def rows(said: Said) -> None:
    """Cells with tabs between them, as many in each row."""
    counts = {line.count("\t") for line in said.lines}
    assert len(counts) == 1
    assert counts != {0}


def facts(said: Said) -> None:
    """A name and what is told of it."""
    assert said.lines
    assert {line.count("\t") for line in said.lines} == {1}


def names(said: Said) -> None:
    """One a line, without anything beside it."""
    assert said.lines
    assert not [line for line in said.lines if not line or "\t" in line or line != line.strip()]


def text(said: Said) -> None:
    """Something that was asked for."""
    assert said.lines


def lines(said: Said) -> None:
    """Records by the schema, the last of them the result, unless the command was stopped."""
    told(said)
    for path in said.records[-1].get("paths", []):
        assert Path(path).is_absolute(), path
        assert Path(path).exists(), path


def told(said: Said) -> None:
    """The same, with words for its result and not places."""
    ends = [record["event"] == "result" for record in checked(said.records)]
    assert ends == [False] * (len(ends) - 1) + [said.code < 128]
    assert said.err == ""


def one(said: Said) -> None:
    """One document, and nothing beside it."""
    json.loads(said.out)
    assert said.err == ""


def log(said: Said) -> None:
    """The records of a run as they stand in its log."""
    checked(said.records)


KINDS = {kind.__name__: kind for kind in (nothing, paths, rows, facts, names, text, lines, told, one, log)}
