"""What every test has: a home of its own."""

import os
from pathlib import Path

import pytest

if "PYTEST_XDIST_WORKER" in os.environ:  # several processes with several threads each stall one another
    os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A fresh folder that mdctl takes for its home; it does not exist yet."""
    folder = tmp_path / "home"
    monkeypatch.setenv("MDCTL_HOME", str(folder))
    return folder


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest file first, so that several workers end together."""
    items.sort(key=lambda item: item.path.name != "test_claim.py")
