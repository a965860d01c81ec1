"""The schema of the records of `--json`, and what is wrong with a record by it."""

import json
import re
from collections.abc import Iterator, Mapping
from importlib.resources import files
from typing import Any

SCHEMA: dict[str, Any] = json.loads(files("mdctl.cli.system").joinpath("events.schema.json").read_text("utf-8"))
EVENTS: list[str] = SCHEMA["properties"]["event"]["enum"]
TYPES: dict[str, tuple[type, ...]] = {
    "object": (dict,),
    "array": (list,),
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "null": (type(None),),
}
KNOWN = {
    *("$schema", "$id", "$defs", "$ref", "title", "description", "type", "required", "properties", "oneOf"),
    *("enum", "const", "pattern", "minimum", "maximum", "items", "minItems", "maxItems", "additionalProperties"),
}
"""The words of JSON Schema that `faults` understands; the schema may use no others."""


def faults(value: Any, schema: Any = SCHEMA, where: str = "record") -> Iterator[str]:
    """What is wrong with a value; nothing where it conforms."""
    if isinstance(schema, bool):
        if not schema:
            yield f"{where} may not be there"
        return
    assert set(schema) <= KNOWN, set(schema) - KNOWN
    if "$ref" in schema:
        yield from faults(value, SCHEMA["$defs"][schema["$ref"].removeprefix("#/$defs/")], where)
    kinds = [schema["type"]] if isinstance(schema.get("type"), str) else schema.get("type", [])
    if kinds and not any(_is(value, kind) for kind in kinds):
        yield f"{where} is {value!r} and no {' or '.join(kinds)}"
        return
    if "const" in schema and value != schema["const"]:
        yield f"{where} is {value!r} and not {schema['const']!r}"
    if value not in schema.get("enum", [value]):
        yield f"{where} is {value!r} and none of {schema['enum']}"
    if isinstance(value, str) and not re.search(schema.get("pattern", ""), value):
        yield f"{where} is {value!r} and does not match {schema['pattern']}"
    if _is(value, "number") and not schema.get("minimum", value) <= value <= schema.get("maximum", value):
        yield f"{where} is {value!r} and out of range"
    if isinstance(value, list):
        if not schema.get("minItems", 0) <= len(value) <= schema.get("maxItems", len(value)):
            yield f"{where} has {len(value)} items"
        for number, item in enumerate(value):
            yield from faults(item, schema.get("items", True), f"{where}[{number}]")
    if isinstance(value, Mapping):
        yield from (f"{where} lacks {name}" for name in schema.get("required", []) if name not in value)
        for name, inner in value.items():
            other = True if name in schema.get("properties", {}) else schema.get("additionalProperties", True)
            yield from faults(inner, schema.get("properties", {}).get(name, other), f"{where}.{name}")
    if "oneOf" in schema:
        tried = [list(faults(value, one, where)) for one in schema["oneOf"]]
        if sum(not wrong for wrong in tried) != 1:
            yield min(tried, key=len)[0] if all(tried) else f"{where} is several things at once"


def undescribed(record: Mapping[str, Any]) -> set[str]:
    """The fields of a record that the schema does not name; those of a result may be a command's own."""
    event = record["event"]
    return (
        set(record) - set(SCHEMA["properties"]) - set(SCHEMA["$defs"][event]["properties"])
        if event != "result"
        else set()
    )


def _is(value: Any, kind: str) -> bool:
    return isinstance(value, TYPES[kind]) and (kind == "boolean" or not isinstance(value, bool))


def checked(records: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The records of a stream, once each was found to conform; they are numbered without gaps."""
    for record in records:
        wrong = list(faults(record))
        assert not wrong, (wrong, record)
        assert not undescribed(record), record
    assert [record["seq"] for record in records] == list(range(1, len(records) + 1))
    return records
