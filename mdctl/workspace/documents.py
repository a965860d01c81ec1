"""TOML as data and nothing else: tomli reads, tomlkit writes and keeps the comments and the order that a person chose.

Every fault of a document is a `BadInput` (4) that names the file and, where it can be told, line and column. TOML
allows more than a setting may be: numbers that are not finite, integers without end, NUL. They are refused both ways.
"""

import math
import re
from collections.abc import Callable, Iterator, Mapping, MutableMapping, Sequence
from datetime import date, time
from hashlib import sha256
from pathlib import Path
from typing import Any, TypeVar

import tomli

from mdctl.errors import BadInput, NotFound, NotReady, nearest
from mdctl.text import safe
from mdctl.workspace import atomic

Kind = TypeVar("Kind", str, int, float, bool, list[Any], dict[str, Any])

_MOST_BYTES = 1_000_000
_LARGEST = 2**63 - 1
_MOST_EDITS = 5
_KINDS: dict[type, str] = {
    str: "text",
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    list: "a list",
    dict: "a table",
}
_SURROGATE = re.compile("[\ud800-\udfff]")
_HEADER = re.compile(r"\s*(\[\[?)\s*([^\[\]]+?)\s*\]")
_SETTING = re.compile(r"""\s*((?:[\w-]+|"[^"]*"|'[^']*')(?:\s*\.\s*(?:[\w-]+|"[^"]*"|'[^']*'))*)\s*=""")


def read_toml(path: Path) -> dict[str, Any]:
    """The content of a TOML file; a byte-order mark and Windows line ends are fine."""
    return _parsed(_decoded(_content(path), path), path)


def literal(text: str) -> Any:
    """A value as TOML writes it, such as 3, 1e-3, true or "ad"; what is none of that is taken as text."""
    try:
        table = tomli.loads(f"value = {text}")
    except tomli.TOMLDecodeError:
        return text
    return table["value"] if len(table) == 1 else text


def write_toml(path: Path, table: Mapping[str, Any]) -> None:
    """Write a new TOML document; keys whose value is None are left out."""
    import tomlkit  # it takes a while to import, and most commands only read

    content = plain(table)
    _check_values(content, path)
    text = tomlkit.dumps(content)
    _require_short(text.encode(), path)
    if tomli.loads(text) != content:  # a document that reads differently than it was meant must never come to be
        raise AssertionError(f"{path.name} would not read back as it was written")
    atomic.write(path, text)


def edit_toml(path: Path, change: Callable[[MutableMapping[str, Any]], None]) -> None:
    """Apply a change to a TOML file, comments and order kept; a file that is not there counts as empty.

    When somebody else changes the file meanwhile, the change is applied again to what they wrote. `change` may
    therefore be called more than once, each time with a fresh document; it hands in values that went through `plain`.
    """
    for _ in range(_MOST_EDITS):
        before = _content(path) if path.exists() else b""
        after = _edited(before, change, path)
        if _digest(path) == sha256(before).digest():
            if after != before:
                atomic.write(path, after)
            return
    raise BadInput(f"'{path.name}' is being changed by another program all the time.", why=str(path))


def check_keys(table: Mapping[str, Any], allowed: Sequence[str], where: Path | str, inside: str = "") -> None:
    """Refuse a key that nobody knows; `where` is the document, as a file or in words, and `inside` its table.

    Given a file, the message tells the line as well.
    """
    for key in table:
        if key not in allowed:
            near = nearest(key, allowed)
            line = f", {place_of(where, f'{inside}.{key}' if inside else key)}" if isinstance(where, Path) else ""
            name = where.name if isinstance(where, Path) else where
            section = f" [{inside}]" if inside else ""
            raise BadInput(
                f"{name}{section}{line.rstrip(', ')}: there is no key '{safe(key, 80)}'.",
                why=str(where),
                fix=f"write '{near}' instead." if near else f"remove it; the keys are: {', '.join(allowed)}.",
            )


def value(table: Mapping[str, Any], key: str, kind: type[Kind], where: Path, default: Kind | None = None) -> Kind:
    """The value of a key, which must be of one kind (a whole number is a float too) and be there, without a default."""
    if key not in table and default is not None:
        return default
    found = table.get(key)
    if kind is float and type(found) is int:
        found = float(found)
    if isinstance(found, kind) and not (isinstance(found, bool) and kind is int):
        return found
    place = place_of(where, key)
    fault = f"'{key}' must be {_KINDS[kind]}" if key in table else f"'{key}' is missing"
    raise BadInput(f"{where.name}{', ' * bool(place)}{place}: {fault}.", why=str(where), fix=f"edit {where}")


def plain(value: Any) -> Any:
    """A value as TOML can hold it: None left out, tuples as lists, paths as text, stray bytes of names spelt out."""
    if isinstance(value, Mapping):
        return {plain(str(key)): plain(inner) for key, inner in value.items() if inner is not None}
    if isinstance(value, (list, tuple)):
        return [plain(inner) for inner in value]
    if isinstance(value, (str, Path)):
        return _SURROGATE.sub(lambda stray: safe(stray[0]), str(value))
    return value


def _content(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            content = file.read(_MOST_BYTES + 1)
    except FileNotFoundError as error:
        raise NotFound(f"there is no '{path.name}'.", why=str(path)) from error
    except OSError as error:
        raise NotReady(f"'{path.name}' cannot be read.", why=f"{path}: {error.strerror}") from error
    _require_short(content, path)
    return content


def _require_short(content: bytes, path: Path) -> None:
    if len(content) > _MOST_BYTES:
        raise BadInput(f"'{path.name}' is too long: a settings file has at most 1 MB.", why=str(path))


def _digest(path: Path) -> bytes:
    return sha256(_content(path) if path.exists() else b"").digest()


def _decoded(content: bytes, path: Path) -> str:
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        lines = content[: error.start].split(b"\n")
        place = f"line {len(lines)}, column {len(lines[-1]) + 1}"
        fix = f"open {path} in an editor and save it as UTF-8."
        raise BadInput(f"{path.name}, {place}: this is not UTF-8 text.", why=str(path), fix=fix) from error


def _parsed(text: str, path: Path) -> dict[str, Any]:
    try:
        table = tomli.loads(text)
        _check_values(table, path)
    except tomli.TOMLDecodeError as error:
        place = f"line {error.lineno}, column {error.colno}"
        raise BadInput(f"{path.name}, {place}: {error.msg}.", why=str(path), fix=f"edit {path}") from error
    except RecursionError as error:
        raise BadInput(f"'{path.name}' is nested too deeply.", why=str(path), fix=f"edit {path}") from error
    except ValueError as error:  # an integer of more digits than Python converts
        raise BadInput(f"'{path.name}' holds a number that is too long.", why=str(path), fix=f"edit {path}") from error
    return table


def _edited(before: bytes, change: Callable[[MutableMapping[str, Any]], None], path: Path) -> bytes:
    import tomlkit  # as above
    from tomlkit.exceptions import TOMLKitError

    text = _decoded(before, path)
    _parsed(text, path)
    try:
        document = tomlkit.parse(text)
        change(document)
        edited = tomlkit.dumps(document)
        after = edited.encode()
    except (TOMLKitError, RecursionError, UnicodeEncodeError) as error:
        raise BadInput(f"'{path.name}' cannot be edited.", why=f"{path}: {error}", fix=f"edit {path}") from error
    _require_short(after, path)
    _parsed(edited, path)
    return before[: 3 * before.startswith(b"\xef\xbb\xbf")] + after


def _check_values(table: Mapping[str, Any], path: Path) -> None:
    for key, value in _leaves(table):
        wrong = _fault(value)
        if wrong or "\0" in key:
            place = place_of(path, key)
            raise BadInput(
                f"{path.name}{', ' * bool(place)}{place}: '{safe(key, 80)}' {wrong or 'holds a NUL character'}.",
                why=str(path),
                fix=f"edit {path}",
            )


def _leaves(value: Any, key: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping):
        for name, inner in value.items():
            yield from _leaves(inner, f"{key}.{name}" if key else name)
    elif isinstance(value, list):
        for place, inner in enumerate(value):
            yield from _leaves(inner, f"{key}[{place}]")
    else:
        yield key, value


def _fault(value: Any) -> str:
    if isinstance(value, str):
        return "holds a NUL character" if "\0" in value else ""
    if isinstance(value, float):
        return "" if math.isfinite(value) else "is not a finite number"
    if isinstance(value, int):
        return "" if -_LARGEST <= value <= _LARGEST else "is too large a number"
    return "" if isinstance(value, (date, time)) else f"is {type(value).__name__}, which TOML cannot hold"


def place_of(path: Path, dotted: str) -> str:
    """Line and column of a key, found by eye and not by grammar: good enough to point at, '' when not seen."""
    try:
        lines = _content(path).decode("utf-8-sig").split("\n")
    except (OSError, ValueError, BadInput, NotFound, NotReady):
        return ""
    inside, seen = "", dict[str, int]()
    for number, line in enumerate(lines, 1):
        if header := _HEADER.match(line):
            inside = header[2]
            if header[1] == "[[":
                seen[inside] = seen.get(inside, -1) + 1
                inside = f"{inside}[{seen[inside]}]"
        elif (setting := _SETTING.match(line)) and dotted in _spellings(inside, setting[1]):
            return f"line {number}, column {setting.start(1) + 1}"
    return ""


def _spellings(inside: str, key: str) -> set[str]:
    bare = ".".join(part.strip().strip("\"'") for part in key.split("."))
    full = f"{inside}.{bare}" if inside else bare
    return {full, *(f"{full}[{place}]" for place in range(16))}
