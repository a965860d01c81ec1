"""What one run has learned, taken into the state of another one that learns on from it under other settings."""

from collections.abc import Mapping

from torch import Tensor

from mdctl.motion.lora import read_tensors
from mdctl.motion.training import TrainState


def carry(
    state: TrainState, files: Mapping[str, bytes], names: Mapping[str, str], step: int, where: str
) -> tuple[list[str], list[str]]:
    """Let a fresh state go on from a save of another run, `names[ours]` being what an adapter is called there.

    Gives the adapters that begin anew, and those that go on with an optimizer that begins anew, because the save has
    none. `Refused` lists the misfits of an adapter that does not fit.
    """
    moments = read_tensors(files["optim.safetensors"], where) if "optim.safetensors" in files else {}
    fresh, restless = [], []
    for name, optimizer in state.optimizers.items():
        theirs = names.get(name, "")
        if f"{theirs}.safetensors" not in files:
            fresh.append(name)
            continue
        state.adapters.load(name, files[f"{theirs}.safetensors"], f"{where}/{theirs}.safetensors")
        own: dict[int, dict[str, Tensor]] = {}
        for key, value in moments.items():
            whose, place, what = key.split(".")
            if whose == theirs:
                own.setdefault(int(place), {})[what] = value
        if own:
            groups = optimizer.state_dict()["param_groups"]  # rate and decay are those of the new settings
            optimizer.load_state_dict({"state": own, "param_groups": groups})
        else:
            restless.append(name)
    state.number = step
    return fresh, restless
