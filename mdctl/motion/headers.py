"""The header of a safetensors file from elsewhere, checked before the library opens the file.

What it claims is compared with the length of the file before anything is read by it, so that no claim costs memory.
"""

import json
import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mdctl.errors import Refused
from mdctl.text import safe

_MOST_BYTES = 4_000_000_000
_MOST_HEADER_BYTES = 10_000_000
_MOST_TENSORS = 10_000
_MOST_AXES = 8
"""An adapter stays far below all of these; the header of a large one takes 100 kB."""

_WIDTHS = {"F16": 2, "BF16": 2, "F32": 4}
"""What adapters are made of, with the bytes that a number takes."""


def read(path: Path) -> tuple[bytes, dict[str, str]]:
    """A weight file's content and what it says of itself; `Refused` where its header does not hold."""
    with path.open("rb") as file:
        length = os.fstat(file.fileno()).st_size
        size = int.from_bytes(file.read(8), "little")
        try:
            if length > _MOST_BYTES:
                raise ValueError(f"it has {length} bytes")
            if not 2 <= size <= length - 8:
                raise ValueError("it does not begin as one")
            if size > _MOST_HEADER_BYTES:
                raise ValueError(f"its header has {size} bytes")
            metadata = _checked(file.read(size), length - 8 - size)
        except (ValueError, RecursionError) as fault:
            raise refused(path, f"it is no safetensors file that holds together: {fault}") from fault
        file.seek(0)
        return file.read(length), metadata


def refused(path: Path, why: str) -> Refused:
    """The refusal of a weight file, with its reason."""
    return Refused(
        f"'{safe(path.name, 120)}' is not taken.",
        why=f"{safe(why, 400)}; nothing of it was kept.",
        fix="give a LoRA in safetensors, or an archive of mdctl export",
        code="MD-WEIGHTS",
    )


def _checked(header: bytes, room: int) -> dict[str, str]:
    """The metadata of a header whose tensors lie end to end in all the room behind it; `ValueError` otherwise."""
    found = json.loads(header.decode("utf-8"), object_pairs_hook=_once)
    metadata = found.pop("__metadata__", {}) if isinstance(found, dict) else None
    if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
        raise ValueError("its header is no list of tensors")
    if len(found) > _MOST_TENSORS:
        raise ValueError(f"it has {len(found)} tensors")
    end = 0
    for begin, stop, name in sorted((*_span(name, about), name) for name, about in found.items()):
        if begin != end:
            raise ValueError(f"'{safe(name, 80)}' begins at {begin}, and what lies before it ends at {end}")
        end = stop
    if end != room:
        raise ValueError(f"its tensors take {end} bytes, and there are {room}")
    return metadata


def _once(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name stands in it twice")
    return found


def _span(name: str, about: Any) -> tuple[int, int]:
    """Where a tensor begins and ends; `ValueError` when it is described oddly or its shape takes another room."""
    if not isinstance(about, dict) or about.keys() != {"dtype", "shape", "data_offsets"}:
        raise ValueError(f"'{safe(name, 80)}' is described oddly")
    kind, shape, span = about["dtype"], about["shape"], about["data_offsets"]
    if kind not in tuple(_WIDTHS):  # what a stranger wrote may be of any type, and some have no hash
        raise ValueError(f"'{safe(name, 80)}' holds {safe(str(kind), 40)} and not {', '.join(_WIDTHS)}")
    if not (_counts(shape, range(_MOST_AXES + 1)) and _counts(span, (2,))):
        raise ValueError(f"'{safe(name, 80)}' is described oddly")
    begin, stop = span
    if stop - begin != math.prod(shape) * _WIDTHS[kind]:
        raise ValueError(f"'{safe(name, 80)}' takes {stop - begin} bytes, which is not what {shape} takes")
    if math.prod(max(n, 1) for n in shape) >= 2**63:  # torch counts its steps so, even through an empty tensor
        raise ValueError(f"'{safe(name, 80)}' has the shape {shape}, which no tensor has")
    return begin, stop


def _counts(found: object, lengths: range | tuple[int, ...]) -> bool:
    """Whether it is a list of so many numbers that a file can have."""
    return isinstance(found, list) and len(found) in lengths and all(type(n) is int and 0 <= n < 2**63 for n in found)
