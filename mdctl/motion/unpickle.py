"""A program of its own: read a pickled list of tensors and write it to stdout as safetensors, without mdctl.

Run by `official.read` as a child with limits. `weights_only` builds tensors and nothing else, and no socket opens here.
"""

import socket
import sys

import torch
from safetensors.torch import save


def _closed(*_: object, **__: object) -> None:
    raise OSError("there is no network here")


def main() -> None:
    """Read the file that the first argument names."""
    socket.socket = socket.create_connection = _closed  # type: ignore[assignment,misc]
    found = torch.load(sys.argv[1], map_location="cpu", weights_only=True)
    if not isinstance(found, list) or not all(isinstance(one, torch.Tensor) for one in found):
        raise SystemExit("it is no list of tensors")
    if not all(one.is_floating_point() and one.dim() == 2 for one in found):
        raise SystemExit("it holds something else than matrices of numbers")
    plain = {f"{number:06d}": one.detach().float().contiguous().clone() for number, one in enumerate(found)}
    sys.stdout.buffer.write(save(plain))


if __name__ == "__main__":
    main()
