"""Records as lines of JSON, which has no word for a number that is not finite."""

import json
import math
from collections.abc import Mapping
from typing import Any


def line(record: Mapping[str, Any], separators: tuple[str, str] | None = None) -> str:
    """A record as one line; where a number of it is not finite, that is null in it and `nan` is true."""
    try:
        return json.dumps(record, default=str, allow_nan=False, separators=separators)
    except ValueError:
        return json.dumps({**finite(record), "nan": True}, default=str, separators=separators)


def finite(value: Any) -> Any:
    """The same with None for every number that is not finite."""
    if isinstance(value, Mapping):
        return {key: finite(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [finite(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
