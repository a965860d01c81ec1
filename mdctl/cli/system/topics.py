"""`help`: what the codes, variables and limits mean, and the whole reference, written by the commands themselves."""

import json
import re
from collections.abc import Iterator
from importlib.resources import files
from typing import Annotated, Any, cast

import typer

from mdctl.cli.face import EPILOG, columns, face
from mdctl.cli.groups import readable
from mdctl.cli.system.codes import CODES
from mdctl.errors import MdctlError, NotFound, nearest
from mdctl.text import safe
from mdctl.workspace import config

ENDINGS = {
    0: "Done, or nothing to do.",
    1: "A fault of mdctl itself: mdctl doctor --report.",
    129: "Stopped by SIGHUP; what was trained is saved.",
    130: "Stopped by Ctrl-C; what was trained is saved.",
    141: "Nobody reads stdout any more.",
    143: "Stopped by SIGTERM; what was trained is saved.",
}
"""Exit codes that no error class has."""

OF_OTHERS = {
    "HF_HUB_OFFLINE": "1: no connection to the hub.",
    "HF_ENDPOINT": "Another hub to pull base models from.",
    "NO_COLOR": "No colours. As --no-color.",
    "VISUAL, EDITOR": "What mdctl config edit opens.",
    "OMP_NUM_THREADS": "CPU threads, where --threads says nothing.",
    "OMP_WAIT_POLICY": "How threads wait: active, passive. Else by whether others use the cores.",
    "CUDA_VISIBLE_DEVICES": "Which GPUs torch may see.",
}
"""Variables of others that mdctl or its libraries heed."""

VRAM = {
    "close other programs that use the GPU": "",
    "mdctl train NAME --vram 8": "keeps to a card of 8 GB: as much is computed again in backward as it takes, which is "
    "told beforehand",
    "mdctl train NAME --shared-spatial --fresh": "one adapter for the look of all clips, not one for each",
    "mdctl train NAME --set recompute=true --fresh": "less is kept for backward and computed again there: the same "
    "result, more work",
    "mdctl train NAME --rank 16 --fresh": "narrower adapters",
    "mdctl train NAME --precision bf16 --fresh": "the base model in 16 bits; adapters stay in 32",
    "mdctl train NAME --template low-vram --fresh": "all of these",
    "mdctl train NAME --precision int8 --fresh": "the base model in 8 bits: half of 16, and inexact, which what is "
    "learned so says of itself",
    "mdctl new NAME-2 CLIPS... --size 256x256 --frames 8": "smaller and shorter clips",
}
"""What takes less GPU memory, the mildest first, and how."""

WIDEST, BESIDE = 78, 64
"""Columns that a topic takes at most, and from which on what a long name means stands beside it."""


def mount(app: typer.Typer) -> None:
    """Add the commands of this file."""
    app.command("help", epilog=EPILOG)(help_)


def help_(
    context: typer.Context,
    words: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="TOPIC", help="exit-codes, env, vram, events, MD-CODE, or a command.", show_default=False
        ),
    ] = None,
    whole: Annotated[bool, typer.Option("--all", help="The whole reference, as Markdown.", show_default=False)] = False,
) -> int:
    """Explain a topic, the code of an error, or a command.

    \b
    mdctl help exit-codes
    mdctl help MD-VRAM
    mdctl help events > events.schema.json
    mdctl help --all > reference.md
    """
    root = cast(typer.Context, context.find_root())
    topic = " ".join(words or ())
    text = "\n".join(_reference(root)) if whole else _explained(root, topic)
    if face().manners.json:
        face().sheet([], {"topic": "all" if whole else topic, "text": text})
    else:
        face().result(text.splitlines(), {})
    return 0


def _explained(root: typer.Context, topic: str) -> str:
    """What there is to say on a topic; `NotFound` (3) with the nearest that there is."""
    code = topic.upper() if topic.upper().startswith("MD-") else f"MD-{topic.upper()}"
    if not topic:
        return _help(root)
    if topic in TOPICS:
        return TOPICS[topic]()
    if code in CODES:
        return f"{code}\n{_wrapped(CODES[code])}"
    commands = dict(_commands(root))
    groups = {name: sub for name, sub in _groups(root).items() if name not in commands}
    if found := commands.get(topic) or groups.get(topic):
        return _help(found)
    near = nearest(topic, [*TOPICS, *commands, *groups]) or nearest(code, CODES)
    raise NotFound(
        f"there is no help on '{safe(topic, 80)}'.",
        why=f"topics are {', '.join(TOPICS)}, the codes of errors, and the commands.",
        fix=(*((f"did you mean:  mdctl help {near}",) if near else ()), "mdctl --help"),
    )


# --- Topics


def exit_codes() -> str:
    """Every exit code with what it means."""
    meant = {kind.exit_code: kind.__doc__ or "" for kind in MdctlError.__subclasses__() if kind.exit_code > 1}
    lines = [_pair(f"{code:>3}", text.splitlines()[0], 3) for code, text in sorted((meant | ENDINGS).items())]
    return "\n".join(["How a command ends:", "", *lines, "", "Any other: treat it as a failure."])


def environment() -> str:
    """Every variable that is heeded."""
    lines = ["Variables of mdctl:", ""]
    lines += [_pair(name, told) for name, told in config.OTHERS.items()]
    about = "Flags are stronger; project.toml, templates and config.toml are weaker"
    lines += ["", _wrapped(f"Settings. {about}; --no-config leaves variables and config.toml out:", 0), ""]
    lines += [_pair(name, f"{table}.{key}") for name, (table, key) in config.variables().items()]
    lines += ["", "Variables of others:", ""]
    lines += [_pair(name, told) for name, told in OF_OTHERS.items()]
    return "\n".join(lines)


def vram() -> str:
    """What to do when memory is short."""
    lines = [_pair(line, told, 0) for line, told in VRAM.items()]
    more = (
        "A video takes less than a training; mdctl gen takes --size, --frames and --precision. mdctl doctor says what "
    )
    more += "device there is, and what of it is free."
    return "\n".join([_wrapped("What takes less GPU memory, the mildest first:", 0), "", *lines, "", _wrapped(more, 0)])


def events() -> str:
    """The JSON Schema of the records that --json writes."""
    return files("mdctl.cli.system").joinpath("events.schema.json").read_text("utf-8").rstrip("\n")


TOPICS = {"exit-codes": exit_codes, "env": environment, "vram": vram, "events": events}
"""What help speaks of besides codes and commands."""


def _pair(name: str, told: str, column: int = 30) -> str:
    """A name and what it means, beside it in a column as wide as is said; else, and where that is narrow, below it."""
    if len(name) > column or (len(name) > 3 and columns() < BESIDE):
        return "\n".join([f"  {name}", *([_wrapped(told, 6)] if told else [])])
    return f"  {name:<{column}}  {_wrapped(told, column + 4).lstrip()}"


def _wrapped(text: str, indent: int = 2) -> str:
    import textwrap

    lead, width = " " * indent, max(indent + 20, min(WIDEST, columns()))
    return textwrap.fill(text, width, initial_indent=lead, subsequent_indent=lead, break_on_hyphens=False)


# --- Commands


def _groups(root: typer.Context) -> dict[str, typer.Context]:
    """Every command by the one word that it begins with, as a context that can tell its help."""
    group: Any = root.command
    names = group.list_commands(root) if hasattr(group, "list_commands") else ()
    return {
        name: group.get_command(root, name).make_context(name, [], parent=root, resilient_parsing=True)
        for name in names
    }


def _commands(root: typer.Context) -> Iterator[tuple[str, typer.Context]]:
    """Every command by all the words that name it."""
    for name, found in _groups(root).items():
        inner = _groups(found)
        yield from ((f"{name} {word}", deeper) for word, deeper in inner.items()) if inner else [(name, found)]


def _help(context: typer.Context) -> str:
    return context.command.get_help(context)


def _reference(root: typer.Context) -> Iterator[str]:
    """Every command, topic and code as Markdown."""
    yield from ("# mdctl", "", root.command.help or "", "", EPILOG.replace("  ", " "), "")
    for name, context in _commands(root):
        yield from _section(name, context)
    for title, text in (("Exit codes", exit_codes()), ("Variables", environment()), ("Memory", vram())):
        yield from (f"## {title}", "", "```", text, "```", "")
    yield from ("## Records of --json", "", "`mdctl help events` gives their JSON Schema.", "")
    told = json.loads(events())["$defs"]
    yield from (f"- `{name}`: {about['description']}" for name, about in told.items() if "event" in about["properties"])
    yield from ("", "## Codes of errors", "")
    yield from (f"- `{code}`: {text}" for code, text in CODES.items())


def _section(name: str, context: typer.Context) -> Iterator[str]:
    """One command as Markdown: what it does, examples, arguments and options."""
    about, _, examples = (context.command.help or "").partition("\b")
    yield from (f"## mdctl {name}", "", " ".join(about.split()), "")
    lines = [line.strip() for line in examples.splitlines() if line.strip()]
    if lines:
        yield from ("```sh", *lines, "```", "")
    usage = re.sub(r"[{}]", "", " ".join(context.command.collect_usage_pieces(context)))
    yield from (f"`mdctl {name} {usage}`", "")
    records = [record for param in context.command.get_params(context) if (record := param.get_help_record(context))]
    known = [readable(*record) for record in records]
    rows = [f"| {_cell(f'`{names}`')} | {_cell(told)} |" for names, told in known if "--help" not in names]
    if rows:
        yield from ("| | |", "|---|---|", *rows, "")


def _cell(text: str) -> str:
    return re.sub(r"\s+", " ", text).replace("|", "\\|")
