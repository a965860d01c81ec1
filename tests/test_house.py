"""The house itself: walls, the one writer, the law of docstrings; what is said of it is in test_readme.py."""

import ast
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from typed import commands

import mdctl
from mdctl.cli import app
from mdctl.cli.choose import resolve
from mdctl.settings import ClipSettings, SampleSettings, TrainSettings
from mdctl.workspace import locations, presets

HOUSE = Path(mdctl.__file__).parent
FILES = sorted(HOUSE.rglob("*.py"))
README = Path(__file__).parents[1] / "README.md"

WINGS = {
    "ground": set[str](),
    "media": {"media"},
    "motion": {"motion", "media"},
    "measure": {"measure", "motion", "media"},
    "workspace": {"workspace"},
    "cli": {"cli", "measure", "motion", "media", "workspace"},
}
"""Each wing, and which wings it may use besides the ground."""

ONLY_IN = {
    "torch": ("motion/", "measure/embedders.py"),
    "diffusers": "motion/",
    "transformers": ("motion/", "measure/embedders.py"),
    "tokenizers": "motion/",
    "safetensors": "motion/",
    "peft": "motion/lora.py",
    "cv2": ("media/", "measure/"),
    "PIL": "media/",
    "numpy": ("media/", "motion/", "measure/"),
    "av": "media/probe.py",
    "ffmpeg": "media/ffmpeg.py",
    "subprocess": "child.py",
    "multiprocessing": "child.py",
    "typer": "cli/",
    "rich": "cli/display.py",
    "textual_image": "cli/display.py",
    "tomli": "workspace/documents.py",
    "tomlkit": "workspace/documents.py",
    "filelock": "workspace/locks.py",
    "platformdirs": "workspace/locations.py",
    "huggingface_hub": "workspace/hub.py",
    "httpx2": "workspace/hub.py",
}
"""Where a dependency's wall stands."""

PROGRAMS = {"motion/starter/recipe.py", "motion/starter/store.py", "measure/held_out.py"}
"""Programs of their own: they make and measure `starter`, and no command imports them."""

WRITERS = {
    "write_text",
    "write_bytes",
    "touch",
    "mkdir",
    "makedirs",
    "rename",
    "renames",
    "unlink",
    "rmdir",
    "symlink_to",
    "hardlink_to",
    "rmtree",
    "copyfile",
    "copytree",
    "truncate",
    "save_pretrained",
    "save_file",
    "imwrite",
    "tofile",
}
"""What changes a disk, by the name it is called by; `open` and `replace` are looked at more closely."""

OWN_FOLDERS = {"child.py": "a child lives in an empty folder that vanishes", "media/ffmpeg.py": "ffmpeg writes there"}
"""Who may make a temporary folder, and why."""


def room(file: Path) -> str:
    """A file's place in the house."""
    return file.relative_to(HOUSE).as_posix()


def wing(name: str) -> str:
    """The wing of a room; the entry point belongs to the command line, what lies on top to the ground."""
    return name.partition("/")[0] if "/" in name else "cli" if name == "__main__.py" else "ground"


def imports(tree: ast.AST) -> Iterator[str]:
    """Every module that is imported anywhere in a file, inside functions too."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def read(file: Path) -> ast.Module:
    """A file as a tree."""
    return ast.parse(file.read_text(encoding="utf-8"))


@pytest.mark.parametrize("file", FILES, ids=room)
def test_imports_run_downhill(file: Path) -> None:
    """No file imports a wing above its own, nor a dependency whose wall stands elsewhere."""
    name = room(file)
    for top, *rest in (found.split(".") for found in imports(read(file))):
        if top == "mdctl" and rest and (HOUSE / rest[0]).is_dir():
            assert rest[0] in WINGS[wing(name)], f"{name} may not use {rest[0]}"
        if name not in PROGRAMS:
            assert name.startswith(ONLY_IN.get(top, "")), f"{top} stops at {ONLY_IN[top]}"


@pytest.mark.parametrize("file", [file for file in FILES if wing(room(file)) in ("ground", "cli")], ids=room)
def test_nothing_heavy_is_imported_before_it_is_needed(file: Path) -> None:
    """On top of a file of the command line stands no wing that imports torch or a codec."""
    heavy = ("mdctl.motion", "mdctl.measure", "mdctl.media")
    for statement in read(file).body:
        if isinstance(statement, (ast.Import, ast.ImportFrom)):
            assert not [name for name in imports(statement) if name.startswith(heavy)]


@pytest.mark.parametrize("file", FILES, ids=room)
def test_one_file_writes(file: Path) -> None:
    """Nothing but the one writer changes a disk."""
    name = room(file)
    if name in PROGRAMS or name == "workspace/atomic.py":
        return
    for node in ast.walk(read(file)):
        if isinstance(node, ast.Call):
            assert not _writes(node), f"{name}:{node.lineno}"
    makes_folders = any(found.startswith("tempfile") for found in imports(read(file)))
    assert name in OWN_FOLDERS or not makes_folders
    assert "shutil" not in "".join(imports(read(file)))


def _writes(call: ast.Call) -> bool:
    name = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
    given = [*call.args, *(keyword.value for keyword in call.keywords)]
    words = [node.value for node in given if isinstance(node, ast.Constant) and isinstance(node.value, str)]
    if name == "open":
        nowhere = bool(call.args) and ast.unparse(call.args[0]) == "os.devnull"
        flags = "O_WRONLY" in ast.unparse(call) or "O_RDWR" in ast.unparse(call)
        return not nowhere and (
            flags or any(re.fullmatch(r"[rwax]b?\+?b?t?", w) and set(w) & set("wax+") for w in words)
        )
    if name == "replace":  # that of a text takes two arguments, that of a record names them
        return isinstance(call.func, ast.Attribute) and len(call.args) == 1 and not call.keywords
    return name in WRITERS


def test_a_writer_would_be_seen() -> None:
    """These tests can fail: each of these lines is caught, and none of the harmless ones."""
    for line in ("p.open('w')", "open(p, mode='r+b')", "os.open(p, os.O_RDWR)", "a.replace(b)", "p.write_text('')"):
        assert _writes(next(node for node in ast.walk(ast.parse(line)) if isinstance(node, ast.Call))), line
    for line in (
        "p.open('rb')",
        "open(p)",
        "'a'.replace('b', 'c')",
        "replace(record, step=1)",
        "open(os.devnull, 'w')",
    ):
        assert not _writes(next(node for node in ast.walk(ast.parse(line)) if isinstance(node, ast.Call))), line


@pytest.mark.parametrize("file", FILES, ids=room)
def test_what_is_public_is_told_in_a_sentence(file: Path) -> None:
    """Every module, class and function that others may use has a docstring whose first line is a sentence."""
    tree = read(file)
    assert ast.get_docstring(tree), room(file)
    for node in _public(tree):
        said = ast.get_docstring(node)
        assert said, f"{room(file)}:{node.lineno} {node.name}"
        assert said.splitlines()[0].endswith((".", ":")), f"{room(file)}:{node.lineno} {node.name}"


def _public(
    tree: ast.Module | ast.ClassDef,
) -> Iterator[ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in tree.body:
        if isinstance(node, (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)) and not node.name.startswith("_"):
            yield node
            if isinstance(node, ast.ClassDef):
                yield from _public(node)


@pytest.mark.parametrize("file", FILES, ids=room)
def test_rooms_are_of_a_human_size(file: Path) -> None:
    """No file is longer than 400 lines, no function than 80, and none is named after nothing."""
    assert len(file.read_text(encoding="utf-8").splitlines()) <= 400
    assert file.stem not in ("utils", "util", "common", "helpers", "misc")
    for node in ast.walk(read(file)):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            assert (node.end_lineno or node.lineno) - node.lineno < 80, node.name


def test_help_comes_without_torch(home: Path) -> None:
    """The commands that only look import nothing heavy, so that nobody waits for them."""
    program = """
import contextlib, io, sys
from mdctl.cli.app import main
lines = (["--help"], ["list"], ["path"], ["models", "list"], ["templates", "list"], ["show", "golf"], ["train", "-h"])
with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
    codes = [main(line) for line in lines]
heavy = {"torch", "diffusers", "transformers", "peft", "safetensors", "numpy", "cv2", "av", "rich", "httpx2"}
heavy |= {"huggingface_hub"}
print(codes, sorted(heavy & set(sys.modules)))
"""
    told = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert told.stdout.strip() == "[0, 0, 0, 0, 0, 3, 0] []"


# --- Commands, the plan of the README, templates


@pytest.mark.parametrize("name", commands())
def test_help_shows_how_it_is_typed(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Every command explains itself in a sentence and an example, before and after the flags of all commands."""
    assert app.main([*name.split(), "--help"]) == 0
    assert app.main(["--plain", *name.split(), "-h"]) == 0
    said = capsys.readouterr()
    assert said.err == ""
    assert len(re.findall(rf"^  mdctl {name}\b", said.out, re.MULTILINE)) >= 2
    assert commands()[name].help


def test_the_readme_draws_the_house_as_it_is() -> None:
    """Every wing and every file that the README's plan names is there, and no wing is missing."""
    plan = README.read_text(encoding="utf-8").partition("```\nmdctl/\n")[2].partition("```")[0]
    assert {wing for wing in WINGS if wing != "ground"} <= set(re.findall(r"(\w+)/", plan))
    for name in re.findall(r"(\w+)\.py", plan):
        assert list(HOUSE.rglob(f"{name}.py")), name


@pytest.mark.parametrize("name", sorted(path.stem for path in locations.presets().glob("*.toml")))
def test_shipped_templates_are_valid(name: str) -> None:
    """Each shipped template says what it is for, and its settings can be used."""
    template = presets.read(name)
    assert template.about
    assert not template.own
    resolve(ClipSettings, "clips", [(name, template.tables["clips"])])
    resolve(TrainSettings, "train", [(name, template.tables["train"])])
    resolve(SampleSettings, "gen", [(name, template.tables["gen"])])


def test_the_templates_of_the_plan_are_there() -> None:
    """The presets that the commands' design names are shipped."""
    named = {"single-video", "multi-video", "images", "cinematic-shot", "low-vram", "draft"}
    assert named <= set(presets.paths())


@pytest.mark.skipif(os.name == "nt", reason="the shell of POSIX")
def test_both_ways_to_start_are_one(home: Path) -> None:
    """`mdctl` and `python -m mdctl` are the same program."""
    told = subprocess.run([sys.executable, "-m", "mdctl", "--version"], capture_output=True, text=True, check=True)
    assert told.stdout == f"mdctl {mdctl.__version__}\n"
    entry = Path(sys.executable).with_name("mdctl")
    if entry.exists():
        told = subprocess.run([str(entry), "--version"], capture_output=True, text=True, check=True)
        assert told.stdout == f"mdctl {mdctl.__version__}\n"
