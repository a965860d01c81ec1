"""E: weight files of strangers. Whatever their header claims, they are refused in a line, and memory is bounded."""

import json
import random
import struct
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from rows import fault
from safetensors.torch import save

from mdctl.errors import Refused
from mdctl.motion import headers

GOOD = {"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}}
DATA = bytes(8)


def made(header: Any, data: bytes = DATA, size: int | None = None) -> bytes:
    """A file with this header, which may say that it has another size."""
    packed = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(packed) if size is None else size) + packed + data


def tensor(dtype: Any = "F32", shape: Any = (2,), begin: Any = 0, end: Any = 8, **more: Any) -> dict[str, Any]:
    """A header with one tensor."""
    return {"a": {"dtype": dtype, "shape": shape, "data_offsets": [begin, end], **more}}


BAD = {
    "nothing": (b"", "does not begin as one"),
    "a few bytes": (b"abc", "does not begin as one"),
    "header 0": (made(b""), "does not begin as one"),
    "beyond the file": (made(GOOD, size=10_000), "does not begin as one"),
    "2^64": (made(GOOD, size=2**64 - 1), "does not begin as one"),
    "100 MB + 1": (made(GOOD, size=100_000_001), "does not begin as one"),
    "not UTF-8": (made(b'{"\xff\xfe": 1}'), "utf-8"),
    "no JSON": (made(b"{'a': 1}"), "Expecting property name"),
    "a list": (made([1]), "is no list of tensors"),
    "a number": (made(b"12"), "is no list of tensors"),
    "deep": (made(b"[" * 200_000), "recursion"),
    "deep and closed": (made(b'{"a":' + b"[" * 90_000 + b"]" * 90_000 + b"}"), "recursion"),
    "twice": (made(b'{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"a":1}'), "stands in it twice"),
    "twice inside": (made(b'{"a":{"dtype":"F32","dtype":"F16","shape":[2],"data_offsets":[0,8]}}'), "twice"),
    "overlaps": (made(GOOD | {"b": tensor(begin=4, end=12)["a"]}, bytes(12)), "'b' begins at 4, and"),
    "on each other": (made(GOOD | {"b": GOOD["a"]}), "'b' begins at 0, and what lies before it ends at 8"),
    "a hole": (made(GOOD | {"b": tensor(begin=12, end=20)["a"]}, bytes(20)), "'b' begins at 12, and"),
    "a hole in front": (made(tensor(begin=4, end=12), bytes(12)), "'a' begins at 4, and"),
    "a tail": (made(GOOD, bytes(9)), "take 8 bytes, and there are 9"),
    "too short": (made(GOOD, bytes(7)), "take 8 bytes, and there are 7"),
    "claims 40 GB": (made(tensor(shape=[10**10], end=4 * 10**10)), "take 40000000000 bytes, and there are 8"),
    "overflow": (made(tensor(shape=[2**62, 4], end=16)), "which is not what"),
    "empty and endless": (made(tensor(shape=[0, 2**62, 4], end=0), b""), "which no tensor has"),
    "2^64 again": (made(tensor(end=2**64)), "is described oddly"),
    "backwards": (made(tensor(begin=8, end=0)), "takes -8 bytes"),
    "negative": (made(tensor(shape=[-2], begin=0, end=-8)), "is described oddly"),
    "no whole numbers": (made(tensor(shape=[2.0])), "is described oddly"),
    "yes and no": (made(tensor(shape=[True, 2])), "is described oddly"),
    "many axes": (made(tensor(shape=[1] * 100_000 + [2])), "is described oddly"),
    "three ends": (made({"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 4, 8]}}), "is described oddly"),
    "one key less": (made({"a": {"dtype": "F32", "shape": [2]}}), "is described oddly"),
    "one key more": (made(tensor(more=1)), "is described oddly"),
    "no description": (made({"a": 3}), "is described oddly"),
    "doubles": (made(tensor("F64", [1])), "holds F64 and not F16, BF16, F32"),
    "whole numbers": (made(tensor("I64", [1])), "holds I64"),
    "no kind": (made(tensor(["F32"])), "holds ['F32']"),
    "numbers in the metadata": (made(GOOD | {"__metadata__": {"x": 1}}), "is no list of tensors"),
    "metadata of another kind": (made(GOOD | {"__metadata__": [1]}), "is no list of tensors"),
    "a name with a bell": (made({"\x1b]0;x\x07" * 50: 3}), "\\x1b]0;x\\x07"),
    "100 000 tensors": (
        made({str(n): {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]} for n in range(100_000)}, b""),
        "it has 100000 tensors",
    ),
}


@fault("E2", "E3", guard="mdctl.motion.headers._checked", without=lambda header, room: {})
@pytest.mark.parametrize("name", BAD)
def test_what_does_not_hold_together(tmp_path: Path, name: str) -> None:
    """Each is refused with its reason, in a line without signs that do something."""
    content, why = BAD[name]
    path = tmp_path / "x.safetensors"
    path.write_bytes(content)
    with pytest.raises(Refused) as caught:
        headers.read(path)
    assert why in caught.value.why
    assert len(caught.value.why) < 500
    assert caught.value.why.isprintable()


@fault("E2", guard="mdctl.motion.headers._MOST_HEADER_BYTES", without=1 << 40)
@pytest.mark.parametrize(
    ("size", "header"),
    [
        (100_000_001, b""),
        (60_000_000, b""),
        (9_000_000, b"[" * 9_000_000),
        (9_000_000, b'{"a":1,"a":"' + b"x" * 8_000_000),
    ],
)
def test_memory_is_bounded(tmp_path: Path, size: int, header: bytes) -> None:
    """A file that truly is as long as it claims, and all of it header, takes no more than the header's bound."""
    path = tmp_path / "x.safetensors"
    with path.open("wb") as file:
        file.write(struct.pack("<Q", size) + header)
        file.truncate(size + 8)
    tracemalloc.start()
    with pytest.raises(Refused):
        headers.read(path)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 60_000_000


@fault("E3")
def test_a_file_too_large_for_an_adapter(tmp_path: Path) -> None:
    """5 GB that are there, if only as a hole of the disk, are not read."""
    path = tmp_path / "x.safetensors"
    with path.open("wb") as file:
        file.write(struct.pack("<Q", 2) + b"{}")
        file.truncate(5_000_000_000)
    with pytest.raises(Refused, match="is not taken") as caught:
        headers.read(path)
    assert "it has 5000000000 bytes" in caught.value.why


@fault("E4")
def test_a_good_file_comes_whole(tmp_path: Path) -> None:
    """All kinds of numbers that adapters have, scalars and empty tensors too, with what the file says of itself."""
    tensors = {
        "a": torch.ones(2, 3),
        "b": torch.tensor(1.0),
        "c": torch.ones(0, 4).half(),
        "d": torch.ones(3).bfloat16(),
    }
    content = save(tensors, {"x": "<b>\x1b[31m" + "y" * 1_000_000})
    path = tmp_path / "x.safetensors"
    path.write_bytes(content)
    assert headers.read(path) == (content, {"x": "<b>\x1b[31m" + "y" * 1_000_000})


@fault("E2")
def test_files_with_flipped_bits(tmp_path: Path) -> None:
    """Whatever bit turns, the file is taken or refused, with one line."""
    assert set(_outcomes(tmp_path, range(60))) == {"taken", "refused"}


@fault("E2", long=True)
def test_five_hundred_files_with_flipped_bits(tmp_path: Path) -> None:
    """The same, with patience."""
    assert set(_outcomes(tmp_path, range(1000, 1500))) == {"taken", "refused"}


def _outcomes(folder: Path, seeds: range) -> Iterator[str]:
    """What became of each damaged file: it is taken as it is, or refused with one line."""
    whole = save({"a": torch.ones(4, 3), "b": torch.ones(2).half()}, {"x": "y" * 40})
    for seed in seeds:
        dice, content = random.Random(seed), bytearray(whole)
        for _ in range(dice.choice([1, 3, 20])):
            content[dice.randrange(min(len(content), 300))] ^= 1 << dice.randrange(8)
        path = folder / "x.safetensors"
        path.write_bytes(content)
        try:
            taken, _ = headers.read(path)
        except Refused as told:
            reason = told.why
        else:
            assert taken == bytes(content)
            yield "taken"
            continue
        assert reason.isprintable()
        assert len(reason) < 500
        yield "refused"
