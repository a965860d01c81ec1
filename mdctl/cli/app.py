"""The program: mounts the commands; `main` is the one place where an error becomes a sentence."""

import errno
import os
import shlex
import sys
import traceback
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from functools import partial
from importlib import import_module
from typing import Any, cast

import typer
from typer.core import TyperCommand, TyperGroup, TyperOption

from mdctl import __version__
from mdctl.cli import groups, signals, streams
from mdctl.cli.face import EPILOG, FLAGS, Face, Manners, draws, face, put, take_manners, wear
from mdctl.cli.lines import Json, Lines, Quiet
from mdctl.cli.system import completion
from mdctl.errors import MdctlError, NoSpace, NotReady, UsageFault, nearest
from mdctl.text import safe

_typer = partial(
    typer.Typer,
    rich_markup_mode=None,
    suggest_commands=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

FLOORS = {
    "Start": {"new": "create.start", "doctor": "system.doctor", "demo": "create.demo"},
    "Create": {
        "train": "create.train",
        "gen": "create.generate",
        "mix": "create.mix",
        "animate-image": "create.mix",
        "grid": "create.grid",
    },
    "Look": {
        "list": "view.look",
        "show": "view.look",
        "log": "view.log",
        "open": "view.opening",
        "path": "view.look",
        "gallery": "view.gallery",
        "verify": "keep.verify",
    },
    "Keep": {
        "clips": "keep.clips",
        "pin": "create.grid",
        "rename": "keep.projects",
        "copy": "keep.projects",
        "rm": "keep.projects",
        "restore": "keep.projects",
        "trash": "keep.projects",
    },
    "Share": {"export": "share.archives", "import": "share.archives"},
    "System": {
        "models": "system.models",
        "templates": "system.models",
        "config": "system.config",
        "cache": "system.cache",
        "bench": "bench",
        "completion": "system.shells",
        "help": "system.topics",
    },
}
"""Every command in the order in which it is needed, and the module that mounts it."""

ROOMS = {word: room for floor in FLOORS.values() for word, room in floor.items()}
SHORT = dict.fromkeys(("ls", "cp", "mv"), "keep.projects")
"""Short names, which help does not list."""


class _Program(groups.Group):
    """All commands; the module of one is imported when somebody asks for it, so that nobody waits for the others."""

    def list_commands(self, ctx: typer.Context) -> list[str]:  # type: ignore[override]
        """Their names."""
        return list(ROOMS)

    def get_command(self, ctx: typer.Context, cmd_name: str) -> Any:  # type: ignore[override]
        """The command of this name, mounted."""
        room = (ROOMS | SHORT).get(cmd_name)
        if room and cmd_name not in self.commands:
            mounted = _typer()
            import_module(f"mdctl.cli.{room}").mount(mounted)
            self.commands.update(typer.main.get_group(mounted).commands)
        return super().get_command(ctx, cmd_name)

    def get_help_option(self, ctx: typer.Context) -> TyperOption | None:  # type: ignore[override]
        """That of Typer, but False where it is not given: to make something of a None it would import pydantic."""
        option = super().get_help_option(ctx)
        if option is not None:
            option.default = False
        return option

    def told(self, ctx: typer.Context) -> Iterator[tuple[str, list[tuple[str, str]]]]:
        """What each command does, from the table of completion: it is there without the modules."""
        known = completion.table()["commands"]
        for title, floor in FLOORS.items():
            yield title, [(word, known[word]["about"]) for word in floor]


app = _typer(
    name="mdctl",
    cls=_Program,
    help="Teach a text-to-video model a motion from your clips.",
    epilog=EPILOG,
    add_completion=False,
    invoke_without_command=True,
    pretty_exceptions_enable=False,
)


def commands() -> dict[str, TyperCommand | TyperGroup]:
    """Every command by its first word, for those who read them all."""
    program = typer.main.get_group(app)
    context = typer.Context(program)
    found = {word: program.get_command(context, word) for word in ROOMS}
    return cast(dict[str, TyperCommand | TyperGroup], found)


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
        from mdctl.cli.create import start

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
        with signals.unwinding():
            return _run(rest)
    except MdctlError as error:
        error.fix = (*_retyped(error, words), *error.fix)
        face().fail(error)
        return error.exit_code
    except typer.Exit as end:
        return end.exit_code
    except typer.TyperException as error:
        return _usage(error, words)
    except KeyboardInterrupt:
        return 130
    except signals.Stopped as stop:
        return stop.exit_code
    except BrokenPipeError:
        streams.mute_stdout()
        return 141
    except OSError as error:
        return _system(error)
    except Exception as error:  # noqa: BLE001 - the last door: a fault of mdctl itself must still end in a sentence
        return _memory(error) if _is_memory(error) else _bug(error, manners)


def _run(words: Sequence[str]) -> int:
    # Typer's own `main` turns a closed pipe into exit code 1, and on Windows expands `*` and `%VAR%` in prompts.
    command = typer.main.get_command(app)
    with command.make_context("mdctl", list(words)) as context:
        return int(command.invoke(context) or 0)


def _face(manners: Manners, rest: Sequence[str]) -> Face:
    command = next((word for word in rest if not word.startswith("-")), "mdctl")
    if manners.json:
        return Json(manners, command)
    if manners.quiet:
        return Quiet(manners)
    if manners.plain or not (draws(sys.stderr) or draws(sys.stdout)) or {"-h", "--help"} & set(rest):
        return Lines(manners)
    from mdctl.cli.display import Screen, Tables  # rich takes a while to import; pipes and help need none of it

    return Screen(manners) if draws(sys.stderr) else Tables(manners)


def _usage(error: typer.TyperException, words: Sequence[str]) -> int:
    context = getattr(error, "ctx", None)
    text = error.message if isinstance(getattr(error, "option_name", None), str) else error.format_message()
    message = text.replace("Value error, ", "").rstrip(".")
    meant = _meant(error, message, context) if context else None
    path = context.command_path if context else "mdctl"
    told = UsageFault(f"{message[:1].lower()}{message[1:]}.", fix=f"{path} --help", meant=meant)
    if meant:
        told.why = f"did you mean {meant[1] if meant[1].startswith('-') else f'{path} {meant[1]}'}?"
        told.fix = (*_retyped(told, words), *told.fix)
    face().fail(told)
    return 2


def _meant(error: typer.TyperException, message: str, context: typer.Context) -> tuple[str, str] | None:
    """A command or option that there is not, and the one that looks most like it."""
    command = context.command
    typed, known = getattr(error, "option_name", None) or "", [*FLAGS, "--home"]
    if typed:
        known += [name for option in command.params for name in option.opts]
    elif message.startswith("No such command"):
        typed, known = message.split("'")[1], cast(TyperGroup, command).list_commands(context)
    near = nearest(typed, known) if typed else None
    return (typed, near) if near else None


def _retyped(error: MdctlError, words: Sequence[str]) -> list[str]:
    """The line that was typed, with the name that was meant; none where that name is not a word of it."""
    if not error.meant or error.meant[0] not in words:
        return []
    from mdctl.cli.create.start import quoted

    place = words.index(error.meant[0])
    line = [*words[:place], error.meant[1], *words[place + 1 :]]
    return [" ".join(["mdctl", *(word if shlex.quote(word) == word else quoted(word) for word in line)])]


def _system(error: OSError) -> int:
    full = error.errno in (errno.ENOSPC, errno.EDQUOT)
    kind, what = (NoSpace, "the disk is full.") if full else (NotReady, "the system refused a file.")
    told = kind(what, why=str(error), fix="make room, or set MDCTL_HOME to a folder you may write to")
    face().fail(told)
    return told.exit_code


def _is_memory(error: Exception) -> bool:
    return isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError"  # torch's, without importing it


def _memory(error: Exception) -> int:
    told = NoSpace(
        "there is not enough memory for this.",
        why=next(iter(str(error).splitlines()), ""),
        saved="the last save is untouched.",
        fix=(
            "close other programs that use the memory",
            "or take less of it: train --template low-vram --fresh, gen --size and --frames",
        ),
        code="MD-VRAM",
    )
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
        for line in story.splitlines():
            put(sys.stderr, safe(line))
    face().fail(
        MdctlError("this is a fault of mdctl itself.", why=f"{type(error).__name__}: {error}", fix=where, code="MD-BUG")
    )
    return 1
