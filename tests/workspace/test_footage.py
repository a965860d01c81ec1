"""Videos on disk, and what stands beside them."""

from pathlib import Path

import pytest

from mdctl.workspace import footage


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "Expecting value"),
        (b"[]", "it is no record"),
        (b"\xff{}", "utf-8"),
        (b"[" * 100_000, "it is nested too deeply"),
        (b"{}" + b" " * 4_000_000, "it is too large"),
    ],
)
def test_what_is_no_sidecar(tmp_path: Path, content: bytes, why: str) -> None:
    """Its readers tell the reason, or pass over it; one that is not there is another fault."""
    path = tmp_path / "a.json"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=why):
        footage.sidecar(path)
    path.write_text('{"id": "1"}')
    assert footage.sidecar(path) == {"id": "1"}
    with pytest.raises(FileNotFoundError):
        footage.sidecar(tmp_path / "b.json")
