"""`doctor`: whether this computer can do the work, tried and not guessed; a report of it, and the safe repairs."""

import getpass
import os
import platform
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from mdctl.cli.face import EPILOG, draws, face
from mdctl.cli.system import probes
from mdctl.cli.system.probes import Finding
from mdctl.errors import MdctlError
from mdctl.text import safe
from mdctl.workspace import atomic, cache, locations

LIBRARIES = ("torch", "diffusers", "transformers", "peft", "safetensors", "numpy", "av", "typer", "rich")
SHOWN = ("MDCTL_", "HF_", "CUDA_", "OMP_", "PYTORCH_", "NO_COLOR", "TERM")
"""Variables that a report names by how they begin; it never gives their values."""

_GLYPHS = {"ok": "✓", "warning": "!", "problem": "✗"}
_FRAME = re.compile(r'\s*File "(.*)", line (\d+), in (.*)')
_TOKEN = re.compile(r"\b(?:hf_|sk-|ghp_)[A-Za-z0-9_-]{8,}")


def mount(app: typer.Typer) -> None:
    """Add the commands of this file."""
    app.command(epilog=EPILOG)(doctor)


def doctor(
    report: Annotated[
        bool, typer.Option("--report", help="Text to paste: no names, no prompts, home as ~.", show_default=False)
    ] = False,
    fix: Annotated[bool, typer.Option("--fix", help="Mend first what is safe to mend.", show_default=False)] = False,
) -> int:
    """Try out whether this computer can do the work.

    Device, ffmpeg, disk, data folder and models are put to use; nothing is downloaded.

    \b
    mdctl doctor
    mdctl doctor --fix
    mdctl doctor --report > report.txt
    """
    for done in _mended() if fix else ():
        face().say(f"mended: {done}")
    with face().progress("trying out", len(probes.PROBES)) as show:
        findings = list(probes.examine(show))
        show(len(probes.PROBES), "")
    problems, warnings = (sum(found.status == status for found in findings) for status in ("problem", "warning"))
    verdict = _counted(problems, warnings)
    record: dict[str, Any] = {"sound": not problems, "problems": problems, "warnings": warnings}
    record["checks"] = [found.record() for found in findings]
    if report:
        _report(findings, verdict, record)
    else:
        face().sheet(_facts(findings), record)
    (face().say if problems else face().done)(verdict)
    return 5 if problems else 0


def _facts(findings: Sequence[Finding]) -> list[tuple[str, str]]:
    """Each finding as a line, and each of its fixes as one more."""
    glyphs, facts = draws(sys.stdout) and not face().manners.plain, []
    for found in findings:
        said = found.text if found.status == "ok" or not glyphs else f"{found.status}: {found.text}"
        facts.append((f"{_GLYPHS[found.status] if glyphs else found.status} {found.part}", said))
        facts += [("", f"fix: {fix}") for fix in found.fix]
    return facts


def _counted(problems: int, warnings: int) -> str:
    counts = [f"{n} {what}{'s' * (n != 1)}" for n, what in ((problems, "problem"), (warnings, "warning")) if n]
    return f"{' and '.join(counts)}." if counts else "Everything is as it should be."


# --- Repairs that can harm nothing


def _mended() -> list[str]:
    """Make what is missing, delete what is broken and can be made again; tell each thing that was done."""
    done = []
    try:
        for folder in (locations.projects(), locations.templates(), locations.cache(), locations.logs()):
            if not folder.is_dir():
                atomic.room(folder)
                done.append(f"made {folder}")
        if swept := cache.sweep():
            done.append(f"deleted {swept} that dead processes had left half-written")
        damaged = [entry for entry in cache.damaged() if not cache.remove(entry)]
        if damaged:
            done.append(f"deleted {len(damaged)} damaged of the cache; they are made again when they are needed")
    except MdctlError as fault:  # what stands in the way is found by the probes, with more words
        face().say(f"not mended: {fault.what} {fault.why}")
    return done


# --- The report


def _report(findings: Sequence[Finding], verdict: str, record: dict[str, Any]) -> None:
    """Give everything as text or JSON that tells nothing of who it is from."""
    versions = {name: _version(name) for name in LIBRARIES}
    variables = sorted(name for name in os.environ if name.startswith(SHOWN))
    crash = _last_crash()
    lines = ["mdctl doctor --report", ""]
    lines += [f"{found.status:<8} {found.part:<9} {found.text}" for found in findings]
    lines += [f"         {found.part:<9} fix: {fix}" for found in findings for fix in found.fix]
    lines += ["", verdict, "", "libraries  " + ", ".join(f"{name} {number}" for name, number in versions.items())]
    lines += [f"variables  {', '.join(variables) or 'none'}"]
    lines += ["", "the last fault of mdctl itself:", *(f"  {line}" for line in crash)] if crash else []
    if face().manners.json:
        more = {"libraries": versions, "variables": variables, "crash": crash}
        face().sheet([], _anonymous(record | more))
    else:
        face().result([nameless(safe(line, 10_000)) for line in lines], {})


def _version(name: str) -> str:
    from importlib.metadata import PackageNotFoundError, version  # slow, and only a report asks

    try:
        return version(name)
    except PackageNotFoundError:
        return "missing"


def _last_crash() -> list[str]:
    """Where the newest traceback went through, and its kind; not its words, which may be somebody's prompt."""
    try:
        log = max(locations.logs().glob("*.log"))
        story = log.read_text("utf-8", "replace").splitlines()
    except (OSError, ValueError):
        return []
    frames = [f"{_inside(found[1])}:{found[2]} {found[3]}" for line in story if (found := _FRAME.fullmatch(line))]
    kind = re.match(r"[\w.]+", next((line for line in reversed(story) if re.match(r"[\w.]+(?::|$)", line)), ""))
    return [log.name, *frames, kind[0] if kind else ""]


def _inside(path: str) -> str:
    parts = Path(path).parts
    return "/".join(parts[max(len(parts) - 4, 0) :])


def nameless(text: str) -> str:
    """A text with the home folder as ~, and without tokens and the names of the user and the computer."""
    text = _TOKEN.sub("TOKEN", text.replace(str(Path.home()), "~"))
    for name, word in ((_user(), "USER"), (platform.node(), "COMPUTER")):
        if name:
            text = re.sub(rf"(?<![\w.]){re.escape(name)}(?![\w])", word, text)
    return text


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError):  # nobody, as in some containers
        return ""


def _anonymous(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _anonymous(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_anonymous(inner) for inner in value]
    return nameless(value) if isinstance(value, str) else value
