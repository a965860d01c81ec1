"""Archives as somebody else may have written them."""

import zipfile
from pathlib import Path
from typing import Any

from stage import tree

from mdctl.workspace import locations

Members = list[tuple[str | zipfile.ZipInfo, bytes]]


def members(path: Path) -> dict[str, bytes]:
    """What is in an archive."""
    with zipfile.ZipFile(path) as opened:
        return {name: opened.read(name) for name in opened.namelist()}


def written(path: Path, content: Members, how: int = zipfile.ZIP_STORED) -> Path:
    """An archive of these members, of whatever names."""
    with zipfile.ZipFile(path, "w", how) as opened:
        for name, data in content:
            opened.writestr(name, data)
    return path


def refused(said: Any, before: dict[str, bytes | None]) -> str:
    """The reason of a refusal that left everything as it was, without a staging folder."""
    assert said.code == 10, said.err
    assert tree(locations.home()) == before
    assert not list(locations.home().rglob(".tmp-*"))
    reason: str = said.err
    return reason
