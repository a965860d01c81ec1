"""The computer that does the work: device, number format, threads, memory."""

import os
import sys

import torch

from mdctl import computer
from mdctl.errors import NotReady

OutOfMemory = torch.OutOfMemoryError
"""What is raised where a device's memory runs out."""

DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16, "fp32": torch.float32}
EIGHT_BIT = "int8"
"""The precision of weights that are kept in 8 bits (see `eightbit`); `auto` never means it."""


def choose(name: str) -> torch.device:
    """The device of this name; `auto` takes a GPU when there is one."""
    there = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if name == "auto":
        name = next(kind for kind, usable in there.items() if usable)
    if not there[name]:
        raise NotReady(
            f"this computer has no {name} device that torch can use.",
            why=f"torch {torch.__version__} sees {', '.join(kind for kind, usable in there.items() if usable)}.",
            fix="leave --device out, or install a torch built for your GPU",
        )
    return torch.device(name, 0) if name == "cuda" else torch.device(name)


def choose_precision(name: str, device: torch.device) -> str:
    """The number format of the base model: `auto` is bf16 where the device computes in it, else fp32.

    Never fp16 by itself: without loss scaling a tenth of the adapters' gradients vanishes in it.
    """
    if name != "auto":
        return name
    if device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False):
        return "bf16"
    return "fp32"


def dtype(precision: str, device: torch.device) -> torch.dtype:
    """The number format that a base model of this precision computes in: with weights in 8 bits, what `auto` means."""
    return DTYPES[choose_precision("auto", device) if precision == EIGHT_BIT else precision]


def describe(device: torch.device) -> str:
    """The device in words, which are a part of every video's number: other words are another number."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{device.type}, {torch.get_num_threads()} threads" if device.type == "cpu" else device.type


def told(device: torch.device) -> str:
    """The device as a screen says it."""
    words = describe(device)
    return words[:-1] if words.endswith(" 1 threads") else words


def settle(threads: int | None, deterministic: bool) -> int:
    """Fix the number of CPU threads, and repeatable algorithms on demand; gives the number of threads.

    Without a number it is what `OMP_NUM_THREADS` says, else the cores that this process may use.
    """
    if threads is None and "OMP_NUM_THREADS" not in os.environ:
        threads = computer.cores()
    if threads is not None:
        torch.set_num_threads(threads)
    if deterministic:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        torch.backends.cudnn.benchmark = False
        torch.use_deterministic_algorithms(True)
    return torch.get_num_threads()


def memory_gb(device: torch.device) -> float:
    """The most memory this process has used so far, of the GPU or of the computer, in 10⁹ bytes."""
    if device.type == "cuda":
        return float(torch.cuda.max_memory_allocated(device)) / 1e9
    try:
        import resource
    except ImportError:  # Windows
        return 0.0
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 1e9 if sys.platform == "darwin" else peak * 1024 / 1e9


def free_bytes(device: torch.device) -> float:
    """What this process may still take of a GPU's memory, what it holds already included."""
    free, _ = torch.cuda.mem_get_info(device)
    return float(free + torch.cuda.memory_reserved(device)) * 0.97


def limit(device: torch.device, most: float) -> None:
    """Let this process take no more of a GPU's memory than so many bytes."""
    total = torch.cuda.get_device_properties(device).total_memory
    torch.cuda.set_per_process_memory_fraction(min(1.0, most / total), device)


def empty(device: torch.device) -> None:
    """Give back what nobody uses."""
    if device.type == "cuda":
        torch.cuda.empty_cache()
