"""Where things lie: the only file that knows. Nothing is made here; the writer makes a folder when it is first needed.

`$MDCTL_HOME` moves everything: data lies in it, with `config/`, `cache/` and `state/` below. Else the platform decides.
Everything outside `cache()` is precious; everything inside it may be deleted at any moment.
"""

import os
from importlib.resources import files
from pathlib import Path

import platformdirs

_APP = "mdctl"


def _moved() -> Path | None:
    chosen = os.environ.get("MDCTL_HOME", "")
    return Path(chosen).expanduser().absolute() if chosen else None


def home() -> Path:
    """The folder of the user's data."""
    return _moved() or platformdirs.user_data_path(_APP, appauthor=False)


def config() -> Path:
    """The folder of the user's settings."""
    moved = _moved()
    return moved / "config" if moved else platformdirs.user_config_path(_APP, appauthor=False)


def cache() -> Path:
    """The folder of what can be made or fetched again."""
    moved = _moved()
    return moved / "cache" if moved else platformdirs.user_cache_path(_APP, appauthor=False)


def state() -> Path:
    """The folder of what mdctl notes about itself."""
    moved = _moved()
    return moved / "state" if moved else platformdirs.user_state_path(_APP, appauthor=False)


def projects() -> Path:
    """The folder in which each project has its own."""
    return home() / "projects"


def mixes() -> Path:
    """The folder of videos that belong to more than one project."""
    return home() / "mixes"


def bench() -> Path:
    """The folder of what benchmarks have made and found."""
    return home() / "bench"


def trash() -> Path:
    """The folder into which things are moved when they are deleted."""
    return home() / "trash"


def logs() -> Path:
    """The folder of tracebacks and logs."""
    return state() / "logs"


def models() -> Path:
    """The folder of the base models' weights."""
    return cache() / "models"


def latents() -> Path:
    """The folder of encoded clips."""
    return cache() / "latents"


def images() -> Path:
    """The folder of looks learned from single pictures."""
    return cache() / "images"


def settings() -> Path:
    """The file of the user's own settings."""
    return config() / "config.toml"


def templates() -> Path:
    """The folder of the user's own templates."""
    return config() / "templates"


def presets() -> Path:
    """The folder of the templates that are shipped: in the package, or, in an editable install, beside it."""
    shipped = Path(str(files("mdctl").joinpath("templates")))
    return shipped if shipped.is_dir() else shipped.parents[1] / "templates"
