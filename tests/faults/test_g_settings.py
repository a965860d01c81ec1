"""G: settings. What was meant is what is read, a hand edit stays, and a fault is named with its place."""

import os
from collections.abc import Callable, MutableMapping
from pathlib import Path
from typing import Any

import course
import pytest
import tomlkit
from course import LINE, after
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rows import fault, nothing
from stage import QUICK, Mdctl, Play, tree

from mdctl.errors import BadInput, MdctlError
from mdctl.workspace import config, documents, locations
from mdctl.workspace.project import Project

Hold = Callable[[Path], None]
Change = Callable[[MutableMapping[str, Any]], None]
SOME = settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
TEXT = st.text(st.sampled_from("\"'\\#[]{}=\n\r\t ab\u202e\u007f\N{MONKEY}") | st.characters(), max_size=60)


@pytest.fixture(autouse=True)
def _silence(monkeypatch: pytest.MonkeyPatch) -> None:
    """No variable of whoever runs the tests speaks in them."""
    for name in [name for name in os.environ if name.startswith("MDCTL_") and name != "MDCTL_HOME"]:
        monkeypatch.delenv(name)


def written(text: str | bytes) -> Path:
    """The user's config.toml with this content."""
    file = locations.settings()
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    return file


# --- Texts


def _pasted(before: bytes, change: Change, path: Path) -> bytes:
    """As somebody would who writes TOML by hand."""
    table: dict[str, Any] = {"gen": {}}
    change(table)
    lines = "\n".join(f'{key} = "{value}"' for key, value in table["gen"].items())
    return f"# mine\n[gen]\nsteps = 20 # quick\n{lines}\n".encode()


@fault("G1", guard="mdctl.workspace.documents._edited", without=_pasted)
@SOME
@given(TEXT)
def test_any_text_goes_there_and_back(home: Path, text: str) -> None:
    """Quotes, line breaks, brackets: the same text comes back, no other key appears, comments and order stay."""
    file = written("# mine\n[gen]\nsteps = 20 # quick\n")
    plain = documents.plain(text)
    if "\0" in text:
        with pytest.raises(MdctlError):
            config.put("gen", "negative", text)
        return
    config.put("gen", "negative", text)
    assert documents.read_toml(file) == {"gen": {"steps": 20, "negative": plain}}
    assert file.read_text("utf-8").startswith("# mine\n[gen]\nsteps = 20 # quick\n")


@fault("G1")
def test_a_caption_is_no_setting(mdctl: Mdctl, films: Path) -> None:
    """A text that looks like TOML stays a text."""
    caption = "x\" \n model = \"evil/repo\" # ''' ]"
    assert mdctl("new", "golf", str(films / "walk.mp4"), "--caption", caption).code == 0
    record = Project.open("golf").record
    assert (record.caption, record.model) == (" ".join(caption.split()), "auto")


# --- Files


@fault("G2")
@pytest.mark.parametrize("text", [b"\xef\xbb\xbf[gen]\nsteps = 7\n", b"[gen]\r\nsteps = 7\r\n"], ids=["bom", "crlf"])
def test_what_editors_of_windows_write(mdctl: Mdctl, text: bytes) -> None:
    """A mark in front and other line ends are fine."""
    written(text)
    assert mdctl("config", "get", "gen.steps").lines == ["7"]


FAULTY: dict[str, tuple[str | bytes, str]] = {
    "UTF-16": ("[gen]\nsteps = 7\n".encode("utf-16"), "this is not UTF-8 text"),
    "Latin-1": ("[gen]\nnegative = 'gölf'\n".encode("latin-1"), "line 2, column 14"),
    "double keys": ("[gen]\nsteps = 7\nsteps = 8\n", "line 3"),
    "nan": ("[train]\nlearning_rate = nan\n", "line 2, column 1"),
    "inf": ("[train]\nlearning_rate = inf\n", "line 2, column 1"),
    "10^22": ("[train]\nseed = 10000000000000000000000\n", "line 2, column 1"),
    "endless": (f"[train]\nseed = {'1' * 5000}\n", "too long"),
    "NUL": ('[gen]\nnegative = "a\\u0000b"\n', "holds a NUL character"),
    "deep": ("x = " + "[" * 5000, "config.toml"),
    "deep and closed": ("x = " + "[" * 5000 + "]" * 5000, "nested too deeply"),
    "50 MB": (b"# " + b"x" * 50_000_000, "too long"),
    "wrong type": ('[train]\nrank = "wide"\n', "line 2, column 1"),
    "unknown key": ("[train]\nlerning_rate = 1e-3\n", "learning_rate"),
    "unknown table": ("[trian]\n", "there is no key 'trian'"),
}


@fault("G2", guard=("mdctl.workspace.documents._check_values", "mdctl.workspace.presets.check"), without=nothing)
@pytest.mark.parametrize("how", FAULTY)
def test_a_file_that_cannot_be_meant(mdctl: Mdctl, fresh: Project, how: str) -> None:
    """It is refused with its place, a slip with the word that was meant; the file stays as it is."""
    content, words = FAULTY[how]
    file = written(content)
    before = file.read_bytes()
    said = mdctl("train", "golf", "-n")
    assert (said.code, words in said.err) == (4, True), said.err
    assert "MD-BUG" not in said.err
    assert file.read_bytes() == before


@fault("G2", guard=("mdctl.workspace.documents._check_values", "mdctl.workspace.presets.check"), without=nothing)
@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("seed = nan", "project.toml, line 15, column 1: 'train.seed' is not a finite number"),
        ("seed = 10000000000000000000000", "project.toml, line 15, column 1: 'train.seed' is too large"),
        ("lerning_rate = 1", "did you mean 'learning_rate'?"),
        ("rank = 'wide'", "train.rank = 'wide' cannot be used"),
    ],
)
def test_a_project_that_cannot_be_meant(mdctl: Mdctl, fresh: Project, unchanged: Hold, line: str, words: str) -> None:
    """What the project says is looked at as closely."""
    path = fresh.folder / "project.toml"
    path.write_text(path.read_text() + f"\n[train]\n{line}\n")
    unchanged(fresh.folder)
    said = mdctl("train", "golf", "--steps", "1")
    assert (said.code, words in said.err) == (4, True), said.err


@fault("G2")
@SOME
@given(st.binary(max_size=200) | TEXT.map(lambda text: text.encode("utf-8", "replace")))
def test_any_bytes_are_read_or_refused(home: Path, content: bytes) -> None:
    """Whatever is in a file, the answer is a table or a sentence."""
    file = written(content)
    try:
        assert isinstance(documents.read_toml(file), dict)
    except BadInput as told:
        reason = told.what
        assert reason.endswith(".")


# --- Hand edits


class Alike:
    """Equal to everything."""

    def __eq__(self, other: object) -> bool:
        return True

    __hash__ = None  # type: ignore[assignment]


@fault("G3", guard="mdctl.workspace.documents._digest", without=lambda _: Alike())
def test_an_edit_while_a_setting_is_written(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What somebody saves in the midst of `config set` stays, and the setting is written to it."""
    file, real = written("[gen]\nsteps = 20\n"), tomlkit.parse
    edits = iter(["[gen]\nsteps = 20\n# by hand\nguidance = 5\n"])

    def parse(text: str) -> Any:
        document = real(text)
        for edit in edits:
            file.write_text(edit)
        return document

    monkeypatch.setattr(tomlkit, "parse", parse)
    config.put("gen", "negative", "x")
    assert documents.read_toml(file) == {"gen": {"steps": 20, "guidance": 5, "negative": "x"}}
    assert "# by hand" in file.read_text()


@fault("G3")
def test_an_edit_while_it_trains(play: Play, fresh: Project) -> None:
    """The run goes on with what it began with, and the edit is there for the next one."""
    path = fresh.folder / "project.toml"
    played = play(*LINE)
    played.until(after(fresh, 2))
    edited = path.read_text() + "\n# by hand\n[train]\nrank = 7\n"
    path.write_text(edited)
    assert played.wait() == 0, played.err
    (run,) = fresh.runs()
    assert (run.settings["train"]["rank"], run.step) == (2, course.STEPS)
    assert path.read_text() == edited


# --- Versions and sources


@fault("G4", guard="mdctl.workspace.records.SCHEMA", without=99)
@pytest.mark.parametrize("line", ["train golf", "gen golf x", "clips rm golf 1", "copy golf swing", "show golf"])
def test_a_project_of_a_newer_mdctl(mdctl: Mdctl, golf: Project, unchanged: Hold, line: str) -> None:
    """It is left as it is, and that is said; the list shows it."""
    path = golf.folder / "project.toml"
    path.write_text(path.read_text().replace("schema = 1", "schema = 99"))
    unchanged(golf.folder)
    said = mdctl(*line.split())
    assert said.code in (0, 4)
    assert "newer mdctl" in said.err + said.out
    assert mdctl("list", "-q").lines == ["golf"]


@fault("G5", guard="mdctl.workspace.config.spoken", without=lambda _: [])
@pytest.mark.parametrize(
    ("name", "text", "words"),
    [("MDCTL_STEPS", "abc", "MDCTL_STEPS: train.steps = 'abc'"), ("MDCTL_STPES", "3", "did you mean MDCTL_STEPS?")],
)
def test_a_variable_that_cannot_be_meant(
    mdctl: Mdctl, fresh: Project, monkeypatch: pytest.MonkeyPatch, name: str, text: str, words: str
) -> None:
    """The source of the fault is named."""
    monkeypatch.setenv(name, text)
    said = mdctl("train", "golf", "-n")
    assert (said.code, words in said.err) == (2, True), said.err


@fault("G5")
@pytest.mark.parametrize(
    ("line", "codes", "words"),
    [
        ("train golf -n --set unknown=1", (2, 4), "unknown"),
        ("train golf -n --set beta", (2,), "'beta' sets nothing"),
        ("train golf --steps many", (2,), "--steps"),
        ("gen golf x --count 2 -o x.mp4", (2,), "2 videos do not fit into one file"),
        ("rm golf --run 1 --outputs", (2,), "one at a time"),
        ("gen golf x --strenght 1", (2,), "did you mean --strength?"),
    ],
)
def test_flags_that_cannot_be_meant(
    mdctl: Mdctl, golf: Project, unchanged: Hold, line: str, codes: tuple[int, ...], words: str
) -> None:
    """Clashes and slips are told by the flag, and nothing is done."""
    unchanged(golf.folder)
    said = mdctl(*line.split())
    assert said.code in codes, said.err
    assert words in said.err


@fault("G5")
def test_a_flag_wins_and_is_named(mdctl: Mdctl, fresh: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a flag says is not looked for elsewhere."""
    monkeypatch.setenv("MDCTL_STEPS", "3")
    assert mdctl("train", "golf", "--steps", "2", *QUICK).code == 0
    assert fresh.runs()[-1].steps == 2
    assert tree(fresh.folder)
