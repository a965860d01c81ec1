"""What a stage of `starter`'s recipe keeps on disk, to go on from."""

import json
from pathlib import Path

from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

STATE = "state.safetensors"
"""The file of a stage that holds all that it goes on from."""


class Store:
    """A folder that holds one stage: weights, averaged weights, optimizer state and the step in a file, and the log."""

    def __init__(self, work: Path, stage: str) -> None:
        self.folder = work / stage
        self.folder.mkdir(parents=True, exist_ok=True)
        self.state = self.folder / STATE

    def save(self, step: int, groups: dict[str, dict[str, Tensor]]) -> None:
        """Keep all groups of tensors and the step; the old state is there until the new one is whole."""
        named = {f"{name}/{key}": x.contiguous() for name, tensors in groups.items() for key, x in tensors.items()}
        draft = self.state.with_suffix(".tmp")
        save_file(named, draft, {"step": str(step)})
        draft.replace(self.state)

    def step(self) -> int:
        """The step that was saved last, 0 when there is none."""
        if not self.state.exists():
            return 0
        with safe_open(self.state, "pt") as file:
            return int(file.metadata()["step"])

    def load(self, name: str) -> dict[str, Tensor]:
        """The tensors of one group."""
        with safe_open(self.state, "pt") as file:
            keys = [key for key in file.keys() if key.startswith(f"{name}/")]  # noqa: SIM118 - it is no dict
            return {key.removeprefix(f"{name}/"): file.get_tensor(key) for key in keys}

    def log(self, **record: float) -> None:
        """Append one record to the stage's log."""
        with (self.folder / "log.jsonl").open("a") as file:
            file.write(json.dumps(record) + "\n")
