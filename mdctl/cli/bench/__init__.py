"""`bench`: what mdctl claims, measured on the user's own computer, and what any system makes of the user's motions."""

from collections.abc import Callable

import typer

from mdctl.cli import groups
from mdctl.cli.bench.fidelity import bench_fidelity
from mdctl.cli.bench.run import bench_folder, bench_run
from mdctl.cli.bench.score import bench_score
from mdctl.cli.bench.speed import bench_speed
from mdctl.cli.bench.trajectories import bench_trajectories


def mount(app: typer.Typer) -> None:
    """Add the commands of this folder."""
    commands: dict[str, Callable[..., int]] = {
        "fidelity": bench_fidelity,
        "trajectories": bench_trajectories,
        "score": bench_score,
        "run": bench_run,
        "folder": bench_folder,
        "speed": bench_speed,
    }
    groups.mount(app, "bench", "Measure what mdctl claims.", ("mdctl bench fidelity --quick",), commands)
