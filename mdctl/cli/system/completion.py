"""What a shell is answered when Tab is pressed, before anything of the program is imported.

Commands, flags and their words stand in `completion.json`, which `completion_table.py` makes of the program itself;
projects, saves and templates are looked up by listing a folder. Only names that mdctl gives are offered: letters,
digits, dashes and underscores, so that nothing that lies on the disk can reach a shell's grammar.

The scripts of the shells ask with `mdctl __complete SHELL ...`; `__main__.py` hands that on to `answer`.
"""

import json
import os
import re
import sys
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

FILES = 10
"""The exit code that says: files fit too, look for them yourself."""

WORDS = "MDCTL_WORDS"
"""Where PowerShell puts what was typed, a word a line; it does not hand on quotes in arguments faithfully."""

_PROJECT = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
_TEMPLATE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
_TRASHED = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}@[0-9a-z._-]{1,40}")
_RUN = re.compile(r"\d{8}-\d{6}-[0-9a-f]{4}")
_SAVE = re.compile(r"\d{6,9}(\.\d{1,4})?")
_CURSOR = "\0"

Offer = tuple[str, str]
"""A word, and what it means."""


def answer(arguments: Sequence[str]) -> int:
    """Write what may be typed next, a word and its meaning a line; `FILES` when files may, too."""
    try:
        shell, *rest = arguments
        words, tail = _typed(shell, rest)
        offers, files = offered(words)
        cut = len(words[-1]) - len(tail)  # bash replaces only what follows its last = or :
        for word, about in offers:
            line = word[cut:] if shell == "bash" else f"{word}\t{about}" if about else word
            sys.stdout.buffer.write(f"{line}\n".encode())
        sys.stdout.flush()
    except Exception:  # noqa: BLE001 - whatever is wrong, nobody has asked to hear of it between two keys
        return 1
    return FILES if files else 0


def _typed(shell: str, rest: Sequence[str]) -> tuple[list[str], str]:
    """The words after `mdctl`, the last of them the one under the cursor, and how much of that is to be replaced."""
    if shell == "bash":
        line, tail = rest
        words = _split(line)[1:]
        return words, tail if words[-1].endswith(tail) else words[-1]
    words = os.environ.get(WORDS, "").split("\n") if shell == "powershell" else list(rest)
    return words, words[-1]


def _split(line: str) -> list[str]:
    """The words of a line as a shell of POSIX sees them, although a quote may still be open at its end."""
    import shlex

    for end in ("", '"', "'"):
        with suppress(ValueError):
            return [word.replace(_CURSOR, "") for word in shlex.split(f"{line}{_CURSOR}{end}")]
    raise ValueError(line)


def table() -> dict[str, Any]:
    """Commands, flags and their words, and what each does."""
    known: dict[str, Any] = json.loads(Path(__file__).with_name("completion.json").read_text("utf-8"))
    return known


# --- What fits.


def offered(words: Sequence[str]) -> tuple[list[Offer], bool]:
    """What may stand for the last of these words, and whether files may."""
    place = _Place(table())
    for word in words[:-1]:
        place.pass_(word)
    current, head = words[-1], ""
    takes: Any = place.wanted
    if takes is None and current.startswith("-") and not place.plain:
        name, equals, value = current.partition("=")
        if not equals:
            return sorted(one for one in place.flags() if one[0].startswith(current)), False
        takes, current, head = place.takes(name) or "", value, f"{name}="
    elif takes is None:
        takes = place.next()
    found = [(f"{head}{word}", about) for word, about in _fitting(takes, current, place) if word.startswith(current)]
    return found, isinstance(takes, str) and "file" in takes.split("|")


class _Place:
    """Where the words so far have led: which command, how many of its arguments, which project."""

    def __init__(self, table: dict[str, Any]) -> None:
        self.table = table
        self.node = table
        self.plain = False
        """Whether `--` was there, after which nothing is a flag."""

        self.wanted: Any = None
        """What the option before takes, when it still waits for it."""

        self.project = ""
        self._option = ""
        self._given = set[str]()
        self._arguments = 0

    def pass_(self, word: str) -> None:
        """Go on by one word."""
        if self.wanted is not None:
            self._value(self._option, word)
            self.wanted = None
        elif word == "--" and not self.plain:
            self.plain = True
        elif word.startswith("-") and word != "-" and not self.plain:
            name, equals, value = word.partition("=")
            self._given.add(name)
            if equals:
                self._value(name, value)
            else:
                self._option, self.wanted = name, self.takes(name)
        elif "commands" in self.node:
            self.node = self.node["commands"].get(word, {"options": [], "arguments": []})
        else:
            if not self._arguments and self.next() != "":
                self.project = word
            self._arguments += 1

    def _value(self, name: str, value: str) -> None:
        if name == "--home" and value:
            os.environ["MDCTL_HOME"] = value

    def takes(self, name: str) -> Any:
        """What an option takes; None for a flag, and for what nobody knows."""
        return next((one["takes"] for one in self._options() if name in one["names"]), None)

    def next(self) -> Any:
        """What the next word is, if it is no flag."""
        if "commands" in self.node:
            return "command"
        arguments = self.node["arguments"]
        if self._arguments < len(arguments):
            return arguments[self._arguments]["takes"]
        return arguments[-1]["takes"] if arguments and arguments[-1]["many"] else ""

    def flags(self) -> Iterator[Offer]:
        """Every flag that fits here, without those that were given."""
        for one in self._options():
            if one["many"] or not self._given & set(one["names"]):
                yield from ((name, one["about"]) for name in one["names"])

    def _options(self) -> list[dict[str, Any]]:
        everywhere: list[dict[str, Any]] = self.table["everywhere"]
        return [*self.node["options"], *everywhere]


def _fitting(takes: Any, current: str, place: _Place) -> Iterator[Offer]:
    """The words of one kind; several kinds are joined by |."""
    if isinstance(takes, list):
        yield from ((word, "") for word in takes)
        return
    for kind in takes.split("|"):
        if kind == "command":
            yield from ((name, one["about"]) for name, one in place.node["commands"].items())
        elif kind == "project":
            yield from ((name, "") for name in _projects())
        elif kind == "model":
            yield from ((name, "") for name in place.table["models"])
        elif kind == "template":
            yield from ((name, "") for name in _templates(place.table["templates"]))
        elif kind == "save":
            before = current[: current.rfind(",") + 1]
            yield from ((f"{before}{word}", "") for word in _saves(place.project))
        elif kind == "run":
            yield from ((str(number + 1), run) for number, run in enumerate(_runs(place.project)))
        elif kind == "trashed":
            yield from ((name, "") for name in _trashed())
        elif kind == "topic":
            yield from ((name, "") for name in (*place.table["topics"], *place.table["commands"]))
        elif kind == "key":
            yield from ((key, "") for key in place.table["settings"])
        elif kind == "setting":
            yield from _settings(current, place.table["settings"])
        elif kind not in ("", "file"):
            yield kind, ""


def _settings(current: str, known: dict[str, list[str]]) -> Iterator[Offer]:
    """Settings of [train] with their values, as --set takes them."""
    key, equals, _ = current.partition("=")
    yield from ((f"{key}={word}", "") for word in known.get(f"train.{key}", ()) if equals)
    yield from ((f"{name[6:]}=", "") for name in known if name.startswith("train.") and not equals)


# --- What there is.


def _names(folder: Path, pattern: re.Pattern[str], suffix: str = "") -> list[str]:
    """The names in a folder that are of mdctl's making, without their suffix."""
    with suppress(OSError), os.scandir(folder) as entries:
        names = [entry.name.removesuffix(suffix) for entry in entries if entry.name.endswith(suffix)]
        return sorted(name for name in names if pattern.fullmatch(name))
    return []


def _projects() -> list[str]:
    from mdctl.workspace import locations

    return _names(locations.projects(), _PROJECT)


def _trashed() -> list[str]:
    """The names of projects that lie in the trash, whole or in parts."""
    from mdctl.workspace import locations

    return sorted({name.partition("@")[0] for name in _names(locations.trash(), _TRASHED)})


def _templates(shipped: Sequence[str]) -> list[str]:
    from mdctl.workspace import locations

    return sorted({*shipped, *_names(locations.templates(), _TEMPLATE, ".toml")})


def _runs(project: str) -> list[str]:
    from mdctl.workspace import locations

    if not _PROJECT.fullmatch(project):
        return []
    return _names(locations.projects() / project / "runs", _RUN)


def _saves(project: str) -> list[str]:
    """The saves of the newest run that has some."""
    from mdctl.workspace import locations

    for run in reversed(_runs(project)):
        folder = locations.projects() / project / "runs" / run / "ckpt"
        if steps := {int(name.partition(".")[0]) for name in _names(folder, _SAVE)}:
            return ["last", "pinned", *map(str, sorted(steps))]
    return ["last", "pinned"]
