"""`bench speed`: equal before fast, everybody in turn, figures with the names of the presets that they belong to."""

import json
import math
from pathlib import Path

import pytest
import torch
from stage import Mdctl

from mdctl.cli.bench import speed
from mdctl.motion import device as machine
from mdctl.motion import kernels
from mdctl.motion.lora import SPATIAL, TEMPORAL
from mdctl.motion.passes import Drawn
from mdctl.motion.speed import measure, models
from mdctl.motion.speed.contenders import Contender, Naive, Official, Ours


@pytest.fixture(autouse=True)
def one_thread() -> None:
    """Tiny tensors gain nothing from a second one."""
    torch.set_num_threads(1)


def test_tiny_prints_its_figures(mdctl: Mdctl, home: Path) -> None:
    """One JSON object on stdout and in a file; the table stands beside it, the ratios are there for every preset."""
    said = mdctl("bench", "speed", "--tiny", "--rounds", "2", "--threads", "1")
    assert said.code == 0
    found = json.loads(said.out)
    assert found["preset"] == {"step_speedup": "exact", "memory_ratio": "low-vram"}
    assert found["step_speedup"] == found["presets"]["exact"]["step_speedup"] > 0
    assert found["memory_ratio"] == found["presets"]["low-vram"]["memory_ratio"] < 0.9
    assert [*found["presets"]] == ["exact", "light", "balanced", "low-vram"]
    assert [*found["others"]] == ["official", "naive", "readable"]
    assert found["others"]["official"]["step_speedup"] == 1.0
    assert max(found["parity"].values()) < 1e-12
    assert {race["clips"] for race in found["races"]} == {1, 4}
    assert all(math.isfinite(value) and value > 0 for value in found["ceilings"].values())
    videos = found["generation"]
    assert min(videos.values()) > 0
    assert {"base_ms", "adapters_ms", "ratio", "unmerged_ratio", "speedup"} <= {*videos}
    assert json.loads((home / "bench" / "speed" / "speed-tiny.json").read_text()) == found
    assert "with adapters, --no-merged" in said.err
    assert "exact" in said.err
    assert "gives the gradients of the readable form" in said.err


def test_a_card_too_small_for_some(mdctl: Mdctl, monkeypatch: pytest.MonkeyPatch) -> None:
    """One after the other; who has no memory is named and left out, and ratios to it are none."""
    big = {"official", "readable", "exact", "light", "balanced"}
    stock = measure.Arena.contender

    def contender(self: measure.Arena, name: str) -> Contender:
        if name in big:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return stock(self, name)

    monkeypatch.setattr(measure.Arena, "contender", contender)
    monkeypatch.setattr(measure.Arena, "roomy", False)
    monkeypatch.setattr(measure, "parity", lambda _: {"exact": 0.0})  # others hold the gate
    monkeypatch.setitem(speed.CLIPS, "tiny", (1,))
    said = mdctl("bench", "speed", "--tiny", "--rounds", "2", "--threads", "1")
    assert said.code == 0, said.err
    found = json.loads(said.out)
    assert "no memory on this card for: official, readable, exact, light, balanced" in said.err.replace("\n", " ")
    assert [*found["presets"]] == ["low-vram"]
    assert found["preset"]["step_speedup"] == "low-vram"
    assert (found["step_speedup"], found["memory_ratio"], found["generation"]) == (None, None, None)
    assert found["presets"]["low-vram"]["against_naive"] > 0
    big.update(measure.PRESETS)
    said = mdctl("bench", "speed", "--tiny", "--rounds", "2", "--threads", "1")
    assert (said.code, said.out) == (7, "")
    assert "not even for 'low-vram'" in said.err


def test_a_cap_ends_with_what_was_tried_under_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever comes after it has the whole card again, also where memory ran out."""

    def contender(self: measure.Arena, name: str) -> Contender:
        raise torch.OutOfMemoryError("CUDA out of memory.")

    caps: list[float] = []
    monkeypatch.setattr(measure.Arena, "contender", contender)
    monkeypatch.setattr(machine, "limit", lambda _, most: caps.append(most))
    assert measure.trains_within(arena(), 7e9) is None
    assert caps == [7e9, math.inf]


def test_what_is_not_equal_has_no_speed(mdctl: Mdctl, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The gate runs the code that is timed: a fault in it ends the command with 1, and no figure is told."""
    stock = kernels._drop
    monkeypatch.setattr(kernels, "_drop", lambda x, kept, factor: stock(x, kept, factor) * (1 + 1e-3 * (x.dim() == 3)))
    monkeypatch.setattr(kernels, "_last", lambda x, of: x if of is None else x.unflatten(0, (-1, of))[:, 0])
    said = mdctl("bench", "speed", "--tiny", "--threads", "1")
    assert said.code == 1
    assert said.out == ""
    assert "does not compute what the readable one does" in said.err
    assert not (home / "bench").exists()


def test_a_nan_does_not_pass_the_gate() -> None:
    """What cannot be compared is not equal."""
    assert measure.equal({"exact": 1e-6})
    assert not measure.equal({"exact": float("nan")})
    assert not measure.equal({"exact": 1e-4})


def test_the_full_one_needs_a_gpu(mdctl: Mdctl) -> None:
    """On a CPU it is refused in words, with the line that works there."""
    said = mdctl("bench", "speed", "--device", "cpu")
    assert said.code == 5
    assert "mdctl bench speed --tiny" in said.err
    assert mdctl("bench", "speed", "--tiny", "--quick").code == 2


def test_what_is_not_the_official_code_is_refused(mdctl: Mdctl, tmp_path: Path) -> None:
    """Before anything is imported or computed; what is missing is named."""
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "unet_3d_condition.py").write_text("raise SystemExit(3)")
    said = mdctl("bench", "speed", "--tiny", "--official", str(tmp_path))
    assert said.code == 4
    assert "is not the official implementation" in said.err
    assert "utils/lora.py" in said.err


def arena(clips: int = 2) -> measure.Arena:
    """The tiny network on this computer."""
    return measure.Arena(torch.device("cpu"), True, models.SIZES["tiny"][0], clips)


@pytest.mark.parametrize("kind", [Official, Naive])
def test_all_compute_the_same_kind_of_step(kind: type[Official] | type[Naive]) -> None:
    """The others really train: the motion and the drawn clip's look change, another clip's does not."""
    contender = kind(models.network(True, torch.device("cpu"), torch.float32), 2, rank=4)
    (drawn,) = arena().draws(1)
    before = weights(contender)
    contender.step(drawn)
    after = weights(contender)
    assert [not torch.equal(a, b) for a, b in zip(before, after, strict=True)] == [True, True, False]


def weights(contender: Official | Naive) -> list[torch.Tensor]:
    """Weights of the motion and of both looks."""
    groups = [contender.temporal, *contender.spatial]
    return [torch.cat([one.up.weight.detach().flatten() for one in group]) for group in groups]


def test_the_official_pattern_grows_with_the_clips_and_ours_does_not() -> None:
    """Operations of a step with one clip and with three."""
    counts: dict[type[Contender], list[int]] = {}
    for kind in (Official, Ours):
        for clips in (1, 3):
            network = models.network(True, torch.device("cpu"), torch.float32)
            contender: Contender = (
                Official(network, clips, rank=4) if kind is Official else Ours(network, clips, "none", rank=4)
            )
            draws: list[Drawn] = arena(1).draws(2)
            contender.step(draws[0])
            with measure.Meter() as meter:
                contender.step(draws[1])
            counts.setdefault(kind, []).append(meter.operations)
    assert counts[Official][1] > 1.1 * counts[Official][0]
    assert counts[Ours][1] == counts[Ours][0]
    assert counts[Ours][0] < 0.75 * counts[Official][0]


def test_gradients_of_both_forms_are_named() -> None:
    """Of the motion and of the first clip's look, flat."""
    ours = Ours(models.network(True, torch.device("cpu"), torch.float32), 1, "none", rank=4)
    ours.learn(arena(1).draws(1)[0])
    assert set(ours.gradients()) == {TEMPORAL, SPATIAL}
    assert all(gradient.dim() == 1 and gradient.any() for gradient in ours.gradients().values())
