"""The loop of all stages of `starter`'s recipe: steps from where they ended, drawn ahead and recorded on a GPU."""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from mdctl import computer
from mdctl.motion.starter.muon import Muon
from mdctl.motion.starter.store import Store

Batch = tuple[Tensor, ...]

Draws = Callable[[int, range], Batch]
"""From a step and this process's places in the batch to what is shown there."""

Loss = Callable[..., Tensor]
"""From the tensors of a batch to a mean loss."""


def fit(
    stage: str,
    module: nn.Module,
    optimizer: Muon,
    draws: Draws,
    loss: Loss,
    steps: int,
    batch: int,
    work: Path,
    decay: float = 0.4,
    average: float = 0.995,
) -> None:
    """Train `module` for `steps` optimizer steps; constant rate after a warm-up, falling to 0 in the last part."""
    rank, processes = (dist.get_rank(), dist.get_world_size()) if dist.is_initialized() else (0, 1)
    places = range(rank * batch // processes, (rank + 1) * batch // processes)
    store = Store(work, stage)
    weights = module.state_dict()
    averaged = {name: value.clone() for name, value in weights.items()}

    start = store.step()
    if start:
        module.load_state_dict(store.load("weights"))
        averaged |= {name: value.to(averaged[name].device) for name, value in store.load("averaged").items()}
        optimizer.restore(store.load("moments"))

    device = optimizer.params[0].device
    factor = torch.zeros((), device=device)

    def learn(*batch: Tensor) -> Tensor:
        value = loss(*batch)
        value.backward()
        if processes > 1:
            _share_gradients(optimizer.params, processes)
        nn.utils.clip_grad_norm_(optimizer.params, 1.0)
        optimizer.step(factor)
        return value.detach()

    step_now = Recorded(learn) if device.type == "cuda" and processes == 1 else learn
    learned = [name for name, value in weights.items() if value.is_floating_point()]
    began = noted = time.monotonic()
    running = torch.zeros((), device=device)
    for step, shown in zip(range(start + 1, steps + 1), _ahead(draws, places, start, steps, device), strict=True):
        torch.manual_seed(1000 * step + rank)
        factor.fill_(min(1.0, step / 100, (steps - step + 1) / (decay * steps)))
        value = step_now(*shown)

        keep = min(average, step / (step + 10))
        torch._foreach_lerp_([averaged[name] for name in learned], [weights[name] for name in learned], 1 - keep)
        running = value.clone() if step == start + 1 else running.lerp(value, 0.02)

        if rank == 0 and step % 50 == 0:
            seconds = (time.monotonic() - began) / (step - start)
            store.log(step=step, loss=round(float(running), 5), seconds_per_step=round(seconds, 3))
            print(f"{stage} {step}/{steps} loss {float(running):.4f} {seconds:.3f} s/step", flush=True)
        if rank == 0 and (time.monotonic() - noted > 120 or step == steps):
            store.save(step, {"weights": weights, "averaged": averaged, "moments": optimizer.state()})
            noted = time.monotonic()


@dataclass(frozen=True)
class _Steps(Dataset[Batch]):
    draws: Draws
    places: range

    def __getitem__(self, step: int) -> Batch:
        return self.draws(step, self.places)


def _ahead(draws: Draws, places: range, start: int, steps: int, device: torch.device) -> Iterator[Batch]:
    """The batches of the steps to come; for a GPU, which would wait for them, other processes draw them ahead."""
    fast = device.type == "cuda"
    loader = DataLoader(
        _Steps(draws, places),
        batch_size=None,
        sampler=range(start + 1, steps + 1),
        num_workers=max(1, computer.cores() - 1) if fast else 0,
        multiprocessing_context="fork" if fast else None,  # what is drawn from is large, and stays where it is
        pin_memory=fast,
    )
    for batch in loader:
        yield tuple(tensor.to(device, non_blocking=True) for tensor in batch)


class Recorded:
    """A step as CUDA graphs, one for each shape of a batch: most of its kernels are done before the next one is sent.

    The first batch of a shape is taken as it is, so that libraries choose what is then recorded.
    """

    def __init__(self, learn: Callable[..., Tensor]) -> None:
        self.learn = learn
        self.tapes: dict[tuple[torch.Size, ...], tuple[torch.cuda.CUDAGraph, Batch, Tensor] | None] = {}

    def __call__(self, *batch: Tensor) -> Tensor:
        """The loss, which stands until the next call."""
        shapes = tuple(tensor.shape for tensor in batch)
        if shapes not in self.tapes:
            self.tapes[shapes] = None
            return self.learn(*batch)
        tape = self.tapes[shapes] = self.tapes[shapes] or self._record(batch)
        graph, room, value = tape
        for place, tensor in zip(room, batch, strict=True):
            place.copy_(tensor)
        graph.replay()
        return value

    def _record(self, batch: Batch) -> tuple[torch.cuda.CUDAGraph, Batch, Tensor]:
        room = tuple(tensor.clone() for tensor in batch)
        graph = torch.cuda.CUDAGraph()
        # Another thread of this process pins memory meanwhile.
        with torch.cuda.graph(graph, capture_error_mode="thread_local"):
            value = self.learn(*room)
        return graph, room, value


def _share_gradients(params: Sequence[nn.Parameter], processes: int) -> None:
    gradients = [p.grad for p in params if p.grad is not None]
    flat = torch.cat([gradient.flatten() for gradient in gradients])
    dist.all_reduce(flat)
    flat /= processes
    for gradient, part in zip(gradients, flat.split([g.numel() for g in gradients]), strict=True):
        gradient.copy_(part.view_as(gradient))
