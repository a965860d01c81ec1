"""What every test has: a home of its own."""

from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A fresh folder that mdctl takes for its home; it does not exist yet."""
    folder = tmp_path / "home"
    monkeypatch.setenv("MDCTL_HOME", str(folder))
    return folder
