"""The program: mounts the commands; `main` is the one place where an error becomes a sentence."""

import errno
import os
import sys
import traceback
from collections.abc import Sequence
from datetime import UTC, datetime

import typer
from typer.core import TyperGroup

from mdctl import __version__
from mdctl.cli import demo, generate, look, start, system, train
from mdctl.cli.face import EPILOG, Face, Manners, face, on_terminal, take_manners, wear
from mdctl.cli.lines import Json, Lines, Quiet
from mdctl.errors import MdctlError, NoSpace, NotReady, UsageFault, nearest

HELP_NAMES = {"help_option_names": ["-h", "--help"]}


class _InOrder(TyperGroup):
    """Commands in the order in which they are needed, not of the alphabet."""

    def list_commands(self, ctx: typer.Context) -> list[str]:  # type: ignore[override]
        """Their names."""
        return list(self.commands)


app = typer.Typer(
    name="mdctl",
    cls=_InOrder,
    help="Teach a text-to-video model a motion from your clips.",
    epilog=EPILOG,
    rich_markup_mode=None,
    add_completion=False,
    invoke_without_command=True,
    context_settings=HELP_NAMES,
    pretty_exceptions_enable=False,
)
start.mount(app)
demo.mount(app)
train.mount(app)
generate.mount(app)
look.mount(app)
system.mount(app)


@app.callback()
def welcome(
    context: typer.Context,
    version: bool = typer.Option(False, "--version", help="Say the version and stop."),
) -> int:
    """Teach a text-to-video model a motion from your clips."""
    if version:
        face().result([f"mdctl {__version__}"], {"version": __version__})
        raise typer.Exit
    if context.invoked_subcommand is None:
        start.greet()
    return 0


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command line and give its exit code."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    manners = Manners()
    wear(Lines(manners))
    try:
        manners, rest = take_manners(words)
        wear(_face(manners, rest))
        if manners.home:
            os.environ["MDCTL_HOME"] = manners.home
        # Windows would expand `*` and `%VAR%` in every argument, prompts too; clips are expanded where they are read.
        code = app(args=rest, standalone_mode=False, windows_expand_args=False)
        return int(code or 0)
    except MdctlError as error:
        face().fail(error)
        return error.exit_code
    except typer.Exit as end:
        return end.exit_code
    except typer.TyperException as error:
        return _usage(error)
    except (KeyboardInterrupt, typer.Abort):
        return 130
    except BrokenPipeError:
        # Nobody reads stdout any more; give the interpreter something that it can flush at its end.
        sys.stdout = open(os.devnull, "w")  # noqa: PTH123, SIM115
        return 141
    except OSError as error:
        return _system(error)
    except Exception as error:  # noqa: BLE001 - the last door: a fault of mdctl itself must still end in a sentence
        return _bug(error, manners)


def _face(manners: Manners, rest: Sequence[str]) -> Face:
    command = next((word for word in rest if not word.startswith("-")), "mdctl")
    if manners.json:
        return Json(manners, command)
    if manners.quiet:
        return Quiet(manners)
    if manners.plain or not (on_terminal(sys.stderr) or on_terminal(sys.stdout)):
        return Lines(manners)
    if {"-h", "--help"} & set(rest):
        return Lines(manners)
    from mdctl.cli.display import Screen  # rich takes a while to import; pipes and help need none of it

    return Screen(manners)


def _usage(error: typer.TyperException) -> int:
    message = str(getattr(error, "message", error)).rstrip(".")
    context = getattr(error, "ctx", None)
    path = context.command_path if context else "mdctl"
    fix = f"{path} --help"
    words = message.split("'")
    if message.startswith("No such command") and len(words) > 1 and (near := nearest(words[1], app_commands())):
        fix = f"mdctl {near}"
    face().fail(UsageFault(f"{message[:1].lower()}{message[1:]}.", fix=fix))
    return 2


def app_commands() -> list[str]:
    """The names of all commands, those in groups as two words."""
    names = [command.name or command.callback.__name__ for command in app.registered_commands if command.callback]
    for group in app.registered_groups:
        inner = group.typer_instance.registered_commands if group.typer_instance else []
        names += [f"{group.name} {command.name}" for command in inner]
    return names


def _system(error: OSError) -> int:
    full = error.errno in (errno.ENOSPC, errno.EDQUOT)
    kind, what = (NoSpace, "the disk is full.") if full else (NotReady, "the system refused a file.")
    told = kind(what, why=str(error), fix="make room, or set MDCTL_HOME to a folder you may write to")
    face().fail(told)
    return told.exit_code


def _bug(error: Exception, manners: Manners) -> int:
    from mdctl.workspace import atomic, locations

    story = traceback.format_exc()
    log = locations.logs() / f"{datetime.now(UTC):%Y%m%d-%H%M%S}.log"
    try:
        log = atomic.create(log, story)
        where = f"the details are in {log}"
    except (MdctlError, OSError):
        where = story.strip().splitlines()[-1]
    if manners.debug:
        sys.stderr.write(story)
    face().fail(
        MdctlError("this is a fault of mdctl itself.", why=f"{type(error).__name__}: {error}", fix=where, code="MD-BUG")
    )
    return 1
