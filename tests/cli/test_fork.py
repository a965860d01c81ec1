"""`train --fork`: a new run learns on from what another has learned, and that one stays as it is."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from safetensors.torch import load
from stage import QUICK, Mdctl, tree

from mdctl.workspace.project import Project
from mdctl.workspace.runs import Run
from mdctl.workspace.saves import Save

Hold = Callable[[Path], None]
STILL = ("--lr", "1e-8", "--set", "weight_decay=0", "--steps", "7")
"""One more step, after which everything is nearly what it was."""


def learned(save: Save) -> dict[str, str]:
    """The hashes of all that a save holds, the optimizer too."""
    return {name: entry.sha256 for name, entry in save.manifest.items() if name != "state.json"}


def near(save: Save, name: str, old: Save, theirs: str) -> bool:
    """Whether an adapter is nearly that of another save."""
    ours, known = load(save.read(f"{name}.safetensors")), load(old.read(f"{theirs}.safetensors"))
    return all(bool((ours[key] - known[key]).abs().max() < 1e-6) for key in known)


def test_it_goes_on_as_if_nothing_had_been(mdctl: Mdctl, golf: Project, run: Run, unchanged: Hold) -> None:
    """With nothing changed that counts, it comes to the very bits that the old run would have come to."""
    assert mdctl("copy", "golf", "twin", "--with-runs").code == 0
    assert mdctl("train", "twin", "--steps", "8").code == 0
    unchanged(run.folder)
    said = mdctl("--json", "train", "golf", "--fork", "1", "--steps", "8", "--save-every", "9")
    assert said.code == 0, said.err
    assert [record["step"] for record in said.records if record["event"] == "step"] == [7, 8]
    assert [record["resume_from"] for record in said.records if record["event"] == "plan"] == [6]
    (changed,) = [record for record in said.records if record["event"] == "changed"]
    assert (changed["from"], changed["to"], changed["why"]) == (run.id, golf.runs()[1].id, "it goes on from step 6")
    assert golf.runs()[1].settings["forked"] == {"run": run.id, "step": 6}
    assert learned(golf.runs()[1].saves()[-1]) == learned(Project.open("twin").runs()[0].saves()[-1])


def test_the_refusal_names_it(mdctl: Mdctl, golf: Project, run: Run) -> None:
    """What is refused because of other settings has a line that works: the old run, but for these."""
    said = mdctl("train", "golf", "--steps", "9", "--lr", "1e-3")
    assert said.code == 4
    assert "mdctl train golf --fork 1 ..." in said.err
    assert mdctl("train", "golf", "--fork", "1", "--steps", "9", "--lr", "1e-3").code == 0
    old, new = (dict(found.settings["train"]) for found in golf.runs())
    assert new == {**old, "steps": 9, "learning_rate": 1e-3}
    assert golf.runs()[1].status == "trained · 9"
    assert mdctl("train", "golf").code == 0
    assert len(golf.runs()) == 2


@pytest.mark.parametrize(("flags", "words"), [(("--rank", "4"), "rank: 2 in the run, 4 now"),
                                              (("--model", "starter"), "in the run, starter now")])  # fmt: skip
def test_what_cannot_be_carried_over(
    mdctl: Mdctl, golf: Project, unchanged: Hold, flags: tuple[str, ...], words: str
) -> None:
    """Another rank or another base model has no place for what was learned: refused, and not offered either."""
    unchanged(golf.folder)
    for fork in ((), ("--fork", "1")):
        said = mdctl("train", "golf", "--steps", "9", *flags, *fork)
        assert (said.code, words in said.err, "--fresh" in said.err) == (4, True, True), said.err
        assert "--fork" not in said.err


def test_other_clips(mdctl: Mdctl, golf: Project, run: Run, films: Path) -> None:
    """A look goes with its clip, wherever that stands now; that of a new clip begins anew, which is told."""
    old = run.saves()[-1]
    assert mdctl("clips", "rm", "golf", "1").code == 0
    assert "--fork 1" in mdctl("train", "golf", "--steps", "7").err
    said = mdctl("train", "golf", "--fork", "1", *STILL)
    assert (said.code, "anew" in said.err) == (0, False), said.err
    save = golf.runs()[1].saves()[-1]
    assert {name for name in save.files if "optim" not in name} == {"temporal.safetensors", "spatial_000.safetensors"}
    assert near(save, "temporal", old, "temporal")
    assert near(save, "spatial_000", old, "spatial_001")
    assert not near(save, "spatial_000", old, "spatial_000")

    assert mdctl("clips", "add", "golf", str(films / "walk.mp4")).code == 0
    said = mdctl("train", "golf", "--fork", "2", *STILL, "--steps", "8")
    assert said.code == 0, said.err
    assert "spatial_001 begins anew: it was not in that run" in said.err
    assert near(golf.runs()[2].saves()[-1], "spatial_000", save, "spatial_000")


def test_one_look_for_all(mdctl: Mdctl, golf: Project, run: Run) -> None:
    """It is another than the looks of the single clips, and begins anew beside the motion that goes on."""
    said = mdctl("train", "golf", "--fork", "1", *STILL, "--shared-spatial")
    assert "spatial_000 begins anew" in said.err
    assert near(golf.runs()[1].saves()[-1], "temporal", run.saves()[-1], "temporal")


def test_a_save_without_its_optimizer(mdctl: Mdctl, golf: Project, run: Run) -> None:
    """What was learned goes on, its optimizer begins anew, and that is told."""
    for save in run.saves():
        save.lighten()
    said = mdctl("train", "golf", "--fork", "1", *STILL)
    assert said.code == 0, said.err
    assert "(its optimizer) begins anew: that save has none" in said.err
    assert near(golf.runs()[1].saves()[-1], "spatial_001", run.saves()[-1], "spatial_001")


def test_the_newest_good_save_is_taken(mdctl: Mdctl, golf: Project, run: Run, unchanged: Hold) -> None:
    """A damaged one is told and left where it is; where all are damaged there is nothing to go on from."""
    first, last = (save.folder / "temporal.safetensors" for save in run.saves())
    last.write_bytes(last.read_bytes()[:-1] + b"?")
    line = ("train", "golf", "--fork", run.id, "--steps", "7", "--lr", "1e-3")
    before = tree(run.folder)
    said = mdctl(*line)
    assert (said.code, "'000006' is damaged" in said.err) == (0, True), said.err
    assert golf.runs()[1].settings["forked"]["step"] == 4
    assert tree(run.folder) == before
    first.write_bytes(first.read_bytes()[:-1] + b"?")
    assert mdctl(*line).code == 3
    assert len(golf.runs()) == 2


def test_it_may_be_stopped_before_its_first_save(mdctl: Mdctl, golf: Project, run: Run) -> None:
    """The same line as ever goes on, once more from where it set out."""
    assert mdctl("train", "golf", "--fork", "1", "--steps", "8", "--seed", "3").code == 0
    fork = golf.runs()[1]
    straight = learned(fork.saves()[-1])
    shutil.rmtree(fork.folder / "ckpt")
    (fork.folder / "events.jsonl").unlink()
    said = mdctl("train", "golf")
    assert (said.code, f"going on from step 6 of run {run.id}" in said.err) == (0, True), said.err
    assert learned(fork.saves()[-1]) == straight


def test_the_same_line_goes_on_with_what_it_began(mdctl: Mdctl, golf: Project, run: Run) -> None:
    """After a stop; another line, or the same one when that run has come to its end, begins one more."""
    line = ("train", "golf", "--fork", "1", "--steps", "8", "--seed", "3", "--save-every", "1")
    assert mdctl(*line).code == 0
    fork = golf.runs()[1]
    shutil.rmtree(fork.saves()[-1].folder)
    assert f"run\t{fork.id}, " in mdctl(*line, "-n").out
    said = mdctl(*line)
    assert (said.code, "going on from step 7\n" in said.err, len(golf.runs())) == (0, True, 2), said.err
    assert golf.runs()[1].finished

    shutil.rmtree(fork.saves()[-1].folder)
    assert mdctl(*line, "--lr", "1e-3").code == 0
    assert len(golf.runs()) == 3
    assert mdctl(*line).code == 0
    assert len(golf.runs()) == 4


@pytest.mark.parametrize(
    ("flags", "code", "words"),
    [
        (("--fork", "1", "--seed", "3"), 4, "--fork 1 --steps 12"),
        (("--fork", "2", "--steps", "9"), 3, "has no run '2'"),
        (("--fork", "x\x1b", "--steps", "9"), 3, "mdctl show golf"),
        (("--fork", "1", "--fresh"), 2, "--fresh begins from nothing"),
        (("--fork", "1", "--steps", "9", "--set", "beta=fast"), 4, "train.beta = 'fast'"),
        (("--fork", "1", "--steps", "9", "--template", "none-such"), 4, "there is no template"),
    ],
)
def test_refusals(mdctl: Mdctl, golf: Project, unchanged: Hold, flags: tuple[str, ...], code: int, words: str) -> None:
    """Each says what to do, and no run is made."""
    unchanged(golf.folder)
    said = mdctl("train", "golf", *flags)
    assert (said.code, words in said.err) == (code, True), said.err


def test_a_dry_run(mdctl: Mdctl, golf: Project, run: Run, unchanged: Hold) -> None:
    """It shows from where a new run would go on, and with which settings."""
    unchanged(golf.folder)
    said = mdctl("train", "golf", "--fork", "1", "--steps", "9", "-n")
    assert f"a new one, from step 6 of {run.id}" in said.out
    shown = json.loads(mdctl("--json", "train", "golf", "--fork", "1", "--steps", "9", "--precision", "auto", "-n").out)
    assert (shown["train"]["steps"], shown["train"]["precision"]) == (9, "fp32")
    assert shown["origin"]["precision"] == "device"
    assert QUICK[1] == str(shown["train"]["rank"])
