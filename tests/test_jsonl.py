"""Lines of JSON that every reader takes."""

import json
import math

from mdctl import jsonl


def test_numbers_that_json_has_no_word_for() -> None:
    """They are null, wherever they stand, and the record says so; others stay as they are."""
    assert jsonl.line({"a": 1.5}, (",", ":")) == '{"a":1.5}'
    odd = {"a": math.nan, "b": {"c": (1, math.inf)}, "d": "nan"}
    assert json.loads(jsonl.line(odd)) == {"a": None, "b": {"c": [1, None]}, "d": "nan", "nan": True}
    assert jsonl.finite([odd]) == [{"a": None, "b": {"c": [1, None]}, "d": "nan"}]
