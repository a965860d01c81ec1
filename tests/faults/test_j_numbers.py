"""J: memory and numbers. The same step is taken again with less, and no number that is none reaches a save."""

import math
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest
import torch
from rows import fault
from safetensors.torch import load
from stage import QUICK, Mdctl, tree

from mdctl.motion import recompute, training
from mdctl.workspace.project import Project
from mdctl.workspace.runs import Run

FAST = ("--steps", "1", "--threads", "1")
PLAIN = ("train", "golf", "--steps", "4", *QUICK)
GPU = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")


def learned(project: Project) -> str:
    """The hash of what the newest run has learned."""
    return project.runs()[-1].saves()[-1].sha256


def starved(times: dict[int, int], real: Callable[..., Any]) -> Callable[..., Any]:
    """What runs out of memory so many times in these calls, and works otherwise."""
    calls = count(1)

    def call(*given: Any, **more: Any) -> Any:
        number = next(calls)
        if times.get(number, 0):
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        return real(*given, **more)

    return call


def _once(run: Any, backbone: Any, state: Any, samples: Any, settings: Any, fit: Any, device: Any) -> Iterator[Any]:
    return training.train(backbone, state, samples, settings)


# --- Memory


@fault("J1", "J5", guard="mdctl.cli.create.learning.fitting.steps", without=_once)
@pytest.mark.parametrize("at", [1, 3], ids=["step-1", "step-3"])
def test_memory_that_runs_out_in_a_step(mdctl: Mdctl, fresh: Project, monkeypatch: pytest.MonkeyPatch, at: int) -> None:
    """The step is taken again with more computed twice, that is said and noted, and nothing else comes of it."""
    assert mdctl(*PLAIN, "-q").code == 0
    straight = learned(fresh)
    with monkeypatch.context() as patch:
        patch.setattr(training, "learn", starved({at: 1}, training.learn))
        said = mdctl(*PLAIN, "--fresh")
    assert said.code == 0, said.err
    assert f"memory ran out in step {at}" in said.err
    run = fresh.runs()[-1]
    (changed,) = [record for record in run.events() if record["event"] == "changed"]
    assert (changed["what"], changed["from"], changed["to"]) == ("recompute", "none", "light")
    assert [record["step"] for record in run.events() if record["event"] == "step"] == [1, 2, 3, 4]
    weights = [load(each.saves()[-1].read("temporal.safetensors")) for each in fresh.runs()]
    assert straight
    for name, tensor in weights[0].items():
        torch.testing.assert_close(weights[1][name], tensor, rtol=1e-4, atol=1e-6)


@fault("J1")
def test_memory_that_is_never_enough(mdctl: Mdctl, fresh: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """Below the last level it ends with what is safe and what would take less; the same line goes on from there."""
    short = dict.fromkeys(range(3, 3 + len(recompute.LEVELS)), 1)
    with monkeypatch.context() as patch:
        patch.setattr(training, "learn", starved(short, training.learn))
        said = mdctl(*PLAIN)
    assert said.code == 7, said.err
    assert "MD-VRAM" in said.err
    assert "CUDA out of memory" in said.err
    (run,) = fresh.runs()
    assert run.step == 2
    assert mdctl("train", "golf").code == 0
    assert Run(run.folder).step == 4


@fault("J1")
@pytest.mark.parametrize("what", ["mdctl.motion.families.load", "mdctl.motion.training.begin"])
def test_memory_that_runs_out_before_the_first_step(
    mdctl: Mdctl, fresh: Project, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    """While the model or the optimizers are made: what would take less is told, and no run is left behind."""
    monkeypatch.setattr(what, starved({1: 1}, lambda *_: None))
    said = mdctl(*PLAIN)
    assert (said.code, "MD-VRAM" in said.err) == (7, True), said.err
    assert fresh.runs() == []


@fault("J1")
def test_memory_that_runs_out_in_a_video(mdctl: Mdctl, golf: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """While the pictures are decoded: no video, nothing half, and a sentence."""
    before = tree(golf.folder)
    monkeypatch.setattr("mdctl.motion.dataset.to_frames", starved({1: 1}, lambda *_: None))
    said = mdctl("gen", "golf", "a monkey", *FAST)
    assert (said.code, "MD-VRAM" in said.err) == (7, True), said.err
    assert tree(golf.folder) == before


# --- Numbers


def poisoned(steps: set[int], value: float, real: Callable[..., Any]) -> Callable[..., Any]:
    """Gradients that are not finite in these steps."""
    calls = count(1)

    def learn(backbone: Any, adapters: Any, *given: Any, **more: Any) -> Any:
        losses = real(backbone, adapters, *given, **more)
        if next(calls) in steps:
            for name in losses:
                for weight in adapters.parameters(name):
                    if weight.grad is not None:
                        weight.grad.fill_(value)
        return losses

    return learn


def _whatever_it_is(optimizer: Any, max_norm: float, scale: Any = None) -> bool:
    optimizer.step()
    optimizer.zero_grad()
    return True


def finite(run: Run) -> bool:
    """Whether every number of every save is one."""
    files = (load(save.read(name)) for save in run.saves() for name in save.files)
    return all(bool(tensor.float().isfinite().all()) for tensors in files for tensor in tensors.values())


@fault("J2", guard="mdctl.motion.training.apply", without=_whatever_it_is)
@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_gradient_that_is_no_number(
    mdctl: Mdctl, fresh: Project, monkeypatch: pytest.MonkeyPatch, value: float
) -> None:
    """It is left out, that is counted and said, and the training goes on."""
    monkeypatch.setattr(training, "learn", poisoned({2}, value, training.learn))
    said = mdctl(*PLAIN)
    assert said.code == 0, said.err
    assert "was not finite and was left out" in said.err
    (run,) = fresh.runs()
    assert finite(run)
    assert sum(run.saves()[-1].state["skipped"].values()) > 0
    told = [record for record in run.events() if record["event"] == "changed"]
    assert {(record["what"], record["to"]) for record in told} >= {("update of temporal", "left out")}


@fault("J2", guard="mdctl.motion.training.PATIENCE", without=10**9)
def test_numbers_that_are_never_any(mdctl: Mdctl, fresh: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """After five in a row it stops, with what is safe; no save holds a number that is none."""
    monkeypatch.setattr(training, "learn", poisoned(set(range(3, 99)), math.nan, training.learn))
    said = mdctl("train", "golf", "--steps", "12", *QUICK)
    assert (said.code, "training broke down" in said.err) == (9, True), said.err
    assert "saved  " in said.err
    (run,) = fresh.runs()
    assert finite(run)
    assert run.step >= 2


@fault("J2")
def test_numbers_that_are_none_for_a_while(mdctl: Mdctl, fresh: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """Once, the last good save is gone back to, with half the learning rate, and that is said."""
    monkeypatch.setattr(training, "learn", poisoned(set(range(3, 8)), math.nan, training.learn))
    said = mdctl("train", "golf", "--steps", "12", *QUICK)
    assert said.code == 0, said.err
    assert "back to step 6, and on from there with half the learning rate" in said.err
    (run,) = fresh.runs()
    assert (run.finished, run.saves()[-1].state["rate"]) == (True, 0.5)


# --- Devices


@fault("J3", guard="mdctl.motion.device.choose", without=lambda name: torch.device("cpu"))
@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a computer without a CUDA device")
def test_a_gpu_that_is_not_there(mdctl: Mdctl, golf: Project, run: Run) -> None:
    """It is said before anything begins, and what was learned stays."""
    before = tree(run.folder)
    said = mdctl("train", "golf", "--steps", "9", "--device", "cuda")
    assert said.code == 5, said.err
    assert {path: what for path, what in tree(run.folder).items() if path.startswith("ckpt")} == {
        path: what for path, what in before.items() if path.startswith("ckpt")
    }
    assert mdctl("gen", "golf", "a monkey", *FAST, "--device", "cuda").code == 5
    assert "cpu" in mdctl("doctor").out.lower()


@fault("J3", "J4", "J5")
@GPU
def test_a_gpu_stops_and_goes_on(mdctl: Mdctl, fresh: Project) -> None:
    """On a GPU, with --deterministic, two halves equal the whole, bit for bit."""
    line = ("train", "golf", "--device", "cuda", "--deterministic", *QUICK)
    assert mdctl(*line, "--steps", "6").code == 0
    whole = learned(fresh)
    assert mdctl(*line, "--steps", "4", "--fresh").code == 0
    assert mdctl("train", "golf", "--device", "cuda", "--steps", "6").code == 0
    assert learned(fresh) == whole


@fault("J4")
def test_two_halves_are_the_whole(mdctl: Mdctl, fresh: Project) -> None:
    """On a CPU always: what is gone on with equals what was never stopped, bit for bit."""
    assert mdctl("train", "golf", "--steps", "4", *QUICK).code == 0
    whole = learned(fresh)
    assert mdctl("train", "golf", "--steps", "2", *QUICK, "--fresh").code == 0
    assert mdctl("train", "golf", "--steps", "4").code == 0
    assert learned(fresh) == whole


@fault("J6", guard="mdctl.cli.create.learning.statistics.median", without=lambda values: sum(values) / len(values))
def test_a_computer_that_slept(mdctl: Mdctl, fresh: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """One step that took three hours does not spoil what is said of the time that is left, and stops nothing."""
    from mdctl.cli.create import learning

    class Clock:
        slept = 0.0
        now = 0.0

        def monotonic(self) -> float:
            self.now += 1.0
            return self.now + self.slept

    clock = Clock()
    real = training._learn

    def sleepy(*given: Any, **more: Any) -> Any:
        if given[4] == 3:
            clock.slept += 3 * 3600
        return real(*given, **more)

    monkeypatch.setattr(learning, "time", clock)
    monkeypatch.setattr(training, "_learn", sleepy)
    said = mdctl("train", "golf", "--steps", "8", "--rank", "2", "--threads", "1", "--json")
    assert said.code == 0, said.err
    left = {record["step"]: record["eta_s"] for record in said.records if record["event"] == "step"}
    assert all(seconds < 600 for seconds in left.values() if seconds is not None), left
    assert Path(said.records[-1]["paths"][0]).is_dir()
