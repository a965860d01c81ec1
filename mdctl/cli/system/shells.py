"""`completion`: have the shell complete commands, flags and names; what it then asks is answered by `completion`."""

import os
import re
import stat
import sys
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Literal

import typer

from mdctl.cli import groups
from mdctl.cli.create.start import quoted
from mdctl.cli.face import face
from mdctl.errors import BadInput, NotReady, UsageFault
from mdctl.workspace import atomic

Shell = Literal["bash", "zsh", "fish", "powershell"]
ShellName = Annotated[Shell | None, typer.Argument(metavar="SHELL", help="Which shell.", show_default="yours")]

SCRIPTS = {"bash": "bash", "zsh": "zsh", "fish": "fish", "powershell": "ps1"}

_BEGIN, _END = "# >>> mdctl completion >>>", "# <<< mdctl completion <<<"
_BLOCK = re.compile(rf"^{_BEGIN}\r?$(?:(?!^{_BEGIN})[\s\S])*?^{_END}\r?$\n?", re.MULTILINE)


def mount(app: typer.Typer) -> None:
    """Add the commands of this file."""
    about = "Have the shell complete commands, flags and names."
    groups.mount(app, "completion", about, ("mdctl completion install",), {"install": install, "show": show})


def install(
    shell: ShellName = None,
    into: Annotated[
        str | None,
        typer.Option("--into", metavar="FILE", help="Where to write it.", show_default="where the shell looks"),
    ] = None,
    undo: Annotated[bool, typer.Option("--undo", help="Take it out again.")] = False,
) -> int:
    """Add completion to a shell: a few marked lines in its own file, which --undo takes out again.

    \b
    mdctl completion install
    mdctl completion install zsh --yes
    mdctl completion install powershell --into $PROFILE
    mdctl completion install bash --undo
    """
    name = shell or _mine()
    place = (Path(into).expanduser().absolute() if into else _place(name)).resolve()  # a link stays one
    before = _read(place)
    block = "" if undo else f"{_BEGIN}\n{script(name)}{_END}\n"
    after = _with(before, block)
    if after == before:
        told = "is not there" if undo else "is there already"
        face().done(f"The completion of {name} {told}: {place}.")
    elif _agreed(name, place, undo):
        _write(place, before, after)
        face().done(
            f"The completion of mdctl is {'out of' if undo else 'in'} {place}; new shells see it.",
            [f"{_line(name, place, not undo)}     takes it back"],
        )
    else:
        face().say("Nothing was changed.")
        return 0
    face().result([str(place)], {"shell": name, "changed": after != before})
    return 0


def show(shell: ShellName = None) -> int:
    """Print what `install` adds, for a shell that keeps such things elsewhere.

    \b
    mdctl completion show fish > ~/.config/fish/completions/mdctl.fish
    mdctl completion show bash
    """
    name = shell or _mine()
    if face().manners.json:
        face().sheet([], {"shell": name, "script": script(name)})
    else:
        sys.stdout.write(script(name))
    return 0


def script(shell: str) -> str:
    """What a shell has to run once, so that it asks mdctl what fits."""
    return files("mdctl.cli.system").joinpath(f"completion.{SCRIPTS[shell]}").read_text("utf-8")


# --- Which shell, and where it looks.


def _mine() -> str:
    name = Path(os.environ.get("SHELL", "")).name if os.name != "nt" else "powershell"
    name = {"pwsh": "powershell"}.get(name, name)
    if name in SCRIPTS:
        return name
    known = ", ".join(SCRIPTS)
    raise UsageFault("which shell is it?", why=f"mdctl knows {known}.", fix="mdctl completion install bash")


def _place(shell: str) -> Path:
    """The file of the user's that a shell reads when it starts."""
    home = Path.home()
    settings = Path(os.environ.get("XDG_CONFIG_HOME") or home / ".config")
    if shell == "powershell" and os.name == "nt":  # only PowerShell itself knows where its profile lies
        raise UsageFault(
            "the profile of PowerShell is known to PowerShell alone.",
            fix="mdctl completion install powershell --into $PROFILE",
        )
    return {
        "bash": home / (".bash_profile" if sys.platform == "darwin" else ".bashrc"),  # where login shells are usual
        "zsh": Path(os.environ.get("ZDOTDIR") or home) / ".zshrc",
        "fish": settings / "fish" / "completions" / "mdctl.fish",
        "powershell": settings / "powershell" / "profile.ps1",
    }[shell]


# --- Changing a file of the user's.


def _read(place: Path) -> str:
    try:
        return place.read_bytes().decode("utf-8")
    except FileNotFoundError:
        return ""
    except UnicodeDecodeError as error:
        fix = f"mdctl completion show, and add it to {place} yourself"
        raise BadInput(f"'{place.name}' is no UTF-8 text, so it is left alone.", why=str(place), fix=fix) from error
    except OSError as error:
        raise NotReady(f"'{place.name}' cannot be read.", why=f"{place}: {error.strerror}") from error


def _with(text: str, block: str) -> str:
    """A file's text with this block in it, once, and with no older one; all else stays to the byte."""
    if block and _BLOCK.findall(text) == [block]:
        return text
    rest = _BLOCK.sub("", text)
    return f"{rest}{chr(10) * bool(block and rest and not rest.endswith(chr(10)))}{block}"


def _agreed(shell: str, place: Path, undo: bool) -> bool:
    what = f"{'Take the completion of mdctl out of' if undo else 'Add the completion of mdctl to'} {place}"
    if face().manners.yes:
        return True
    if not face().interactive:
        raise UsageFault(
            f"mdctl asks before it changes {place}.",
            saved="nothing was changed.",
            fix=f"{_line(shell, place, undo)} --yes",
        )
    return face().ask(f"{what}? y or n", "n").lower() in ("y", "yes")


def _line(shell: str, place: Path, undo: bool) -> str:
    """The command that does this, or takes it back."""
    usual = shell != "powershell" or os.name != "nt"
    into = "" if usual and place == _place(shell).resolve() else f" --into {quoted(str(place))}"
    return f"mdctl completion install {shell}{into}{' --undo' * undo}"


def _write(place: Path, before: str, after: str) -> None:
    """Add to a file, or change it; who may read it stays as it was. One that holds nothing any more goes."""
    if after.startswith(before):
        atomic.extend(place, [after[len(before) :].encode()])
    elif after:
        mode = stat.S_IMODE(place.stat().st_mode)
        atomic.write(place, after)
        place.chmod(mode)
    else:
        atomic.remove(place)
