"""Where things lie."""

from pathlib import Path

import pytest

from mdctl.workspace import locations


def test_one_variable_moves_everything(home: Path) -> None:
    """Every place lies below MDCTL_HOME, and asking for it makes nothing."""
    places = (
        *(locations.projects(), locations.mixes(), locations.trash(), locations.config(), locations.templates()),
        *(locations.cache(), locations.models(), locations.latents(), locations.images(), locations.logs()),
    )
    assert locations.home() == home
    assert all(home in place.parents for place in places)
    assert not home.exists()


def test_without_the_variable_the_platform_decides(monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty MDCTL_HOME is none; data, settings and cache then lie apart."""
    monkeypatch.setenv("MDCTL_HOME", "")
    places = {locations.home(), locations.config(), locations.cache(), locations.state()}
    assert all(place.is_absolute() and "mdctl" in str(place) for place in places)
    assert locations.cache() != locations.home()


def test_a_relative_home_is_made_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A path on stdout must be usable from anywhere."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MDCTL_HOME", "here")
    assert locations.projects() == tmp_path / "here" / "projects"


def test_presets_lie_in_the_package_or_beside_it() -> None:
    """The shipped templates are found in an editable install, too."""
    assert locations.presets().name == "templates"
    assert locations.presets().is_dir()
