"""`train`: what is learned is kept, what was begun goes on, and nothing is lost when something breaks."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from stage import QUICK, Mdctl

from mdctl.cli.create.learning import End
from mdctl.workspace import presets
from mdctl.workspace.project import Project
from mdctl.workspace.runs import Run

Hold = Callable[[Path], None]


# --- Learning


def test_the_last_save_is_the_result(mdctl: Mdctl, fresh: Project) -> None:
    """Lines on stderr tell the losses, stdout is the folder of the last save, and the next command is offered."""
    said = mdctl("train", "golf", "--steps", "3", *QUICK)
    (run,) = fresh.runs()
    assert (said.code, said.lines) == (0, [str(run.saves()[-1].folder)])
    assert "golf step 3/3 100% motion" in said.err
    assert "saved=3" in said.err
    assert 'mdctl gen golf "a monkey is walking"' in said.err
    assert run.finished
    assert "\x1b" not in said.err


def test_quiet(mdctl: Mdctl, fresh: Project) -> None:
    """With -q there is the path and nothing else."""
    said = mdctl("train", "golf", "--steps", "1", *QUICK, "-q")
    assert (said.code, len(said.lines), said.err) == (0, 1, "")


def test_json_lines(mdctl: Mdctl, fresh: Project) -> None:
    """Every line is a record, they are numbered, the last is the result, and the log of the run holds them too."""
    said = mdctl("--json", "train", "golf", "--steps", "3", *QUICK)
    assert said.code == 0
    assert [record["seq"] for record in said.records] == list(range(1, len(said.records) + 1))
    events = [record["event"] for record in said.records]
    assert events == ["plan", "prepare", "prepare", "step", "step", "save", "step", "save", "result"]
    steps = [record for record in said.records if record["event"] == "step"]
    assert [(record["step"], record["of"]) for record in steps] == [(1, 3), (2, 3), (3, 3)]
    assert all({"motion", "appearance"} == set(record["loss"]) and record["eta_s"] >= 0 for record in steps)
    (run,) = fresh.runs()
    result = said.records[-1]
    assert (result["status"], result["step"], result["project"]) == ("done", 3, "golf")
    assert result["paths"] == [str(run.saves()[-1].folder)]
    logged = [{**record, "seq": 0} for record in run.events()]
    assert logged == [{**record, "seq": 0} for record in said.records[:-1]]
    assert {record["run"] for record in said.records[:-1]} == {run.id}


def test_everything_is_frozen(run: Run, golf: Project, model: Path) -> None:
    """A run keeps each setting that its result hangs on, and which model and clips it had."""
    frozen = run.settings
    assert frozen["model"]["name"] == str(model)
    assert frozen["clips"] == {"frames": 4, "fps": 8, "width": 32, "height": 32}
    assert {"steps", "rank", "learning_rate", "weight_decay", "seed", "threads", "recompute"} <= set(frozen["train"])
    assert [clip["sha256"] for clip in frozen["clip"]] == [clip.sha256 for clip in golf.clips]
    assert {clip["caption"] for clip in frozen["clip"]} == {"a red square is walking"}
    assert frozen["made_with"]["device"] == "cpu"
    assert {"mdctl", "torch", "diffusers", "transformers", "peft"} < set(frozen["made_with"])


def test_settings_come_from_flag_project_and_template(
    mdctl: Mdctl, fresh: Project, template: Callable[[str, str], str]
) -> None:
    """A flag wins over the project's own setting, that over the template, and that over what is built in."""
    template("mine", "[train]\nsteps = 9\nrank = 1\nseed = 7\nlearning_rate = 0.25\n")
    fresh.set("train.rank", 2)
    fresh.set("train.seed", 8)
    said = mdctl("--json", "train", "golf", "-n", "--template", "mine", "--seed", "9")
    settings = json.loads(said.out)["train"]
    assert [settings[key] for key in ("steps", "rank", "seed", "learning_rate", "dropout")] == [9, 2, 9, 0.25, 0.1]


def test_any_setting_can_be_given_on_the_line(mdctl: Mdctl, fresh: Project) -> None:
    """`--set` reaches what has no flag of its own; an own flag wins over it, and nonsense is refused by name."""
    line = ("--json", "train", "golf", "-n", "--set", "spatial_first=0.25", "--set", "objective=ad-mean")
    settings = json.loads(mdctl(*line, "--set", "rank=1", "--rank", "2").out)["train"]
    assert [settings[key] for key in ("spatial_first", "objective", "rank")] == [0.25, "ad-mean", 2]
    for word, code, told in (
        ("beta", 2, "'beta' sets nothing"),
        ("bet=1", 4, "did you mean 'beta'"),
        ("beta=fast", 4, "train.beta = 'fast'"),
        ("beta=1\nrank = 3", 4, "train.beta"),
    ):
        said = mdctl("train", "golf", "-n", "--set", word)
        assert (said.code, told in said.err) == (code, True), said.err


def test_what_suits_the_base_model_lies_beneath_any_template(
    mdctl: Mdctl, fresh: Project, template: Callable[[str, str], str]
) -> None:
    """The template named like the base model gives what no other says; the user's own of that name wins over it."""
    template("mine", "[train]\nsteps = 9\n")
    suits = presets.read("starter").tables["train"]
    line = ("--json", "train", "golf", "-n", "--model", "starter")
    settings = json.loads(mdctl(*line, "--template", "mine").out)["train"]
    assert settings | suits | {"steps": 9} == settings
    template("starter", "[train]\nrank = 3\n")
    own = json.loads(mdctl(*line).out)["train"]
    assert (own["rank"], own["timestep_shift"]) == (3, 1.0)


def test_a_dry_run_writes_nothing(mdctl: Mdctl, golf: Project, home: Path, unchanged: Hold) -> None:
    """With -n settings are shown, of the run that would go on or of a new one, and refused as they would be."""
    unchanged(home)
    said = mdctl("train", "golf", "-n")
    assert said.code == 0
    assert "trained · 6" in said.out
    assert "rank\t2" in said.out
    assert "a new one" in mdctl("train", "golf", "-n", "--fresh").out
    assert mdctl("train", "golf", "-n", "--seed", "5").code == 4


# --- Going on


def test_a_finished_run_has_nothing_to_do(mdctl: Mdctl, golf: Project, run: Run, unchanged: Hold) -> None:
    """The same line again gives the same save and changes nothing."""
    unchanged(golf.folder)
    for line in (["train", "golf"], ["train", "golf", "--steps", "6", *QUICK], ["train", "golf", "--steps", "3"]):
        said = mdctl("--json", *line)
        assert (said.code, said.records[-1]["status"]) == (0, "nothing_to_do")
        assert said.records[-1]["paths"] == [str(run.saves()[-1].folder)]


def test_more_steps_extend_it(mdctl: Mdctl, golf: Project, run: Run) -> None:
    """A finished run goes on where it stopped when more steps are asked for."""
    said = mdctl("--json", "train", "golf", "--steps", "7")
    assert said.code == 0
    assert [record["step"] for record in said.records if record["event"] == "step"] == [7]
    assert [found.id for found in golf.runs()] == [run.id]
    assert Run(run.folder).status == "trained · 7"


def test_a_dry_run_shows_the_steps_that_would_be_taken(mdctl: Mdctl, golf: Project, unchanged: Hold) -> None:
    """More of them are shown as they would be frozen, fewer as they are."""
    unchanged(golf.folder)
    for asked, shown in (("9", 9), ("3", 6)):
        assert json.loads(mdctl("--json", "train", "golf", "--steps", asked, "-n").out)["train"]["steps"] == shown


def test_another_computer_goes_on(mdctl: Mdctl, golf: Project, run: Run) -> None:
    """Another device or version is noted and told, and the run goes on with what it began with in its papers (H9)."""
    path = run.folder / "run.toml"
    path.write_text(path.read_text().replace('device = "cpu"', 'device = "cuda"').replace('torch = "', 'torch = "0.'))
    frozen = Run(run.folder).settings["made_with"]
    said = mdctl("--json", "train", "golf", "--steps", "7")
    assert said.code == 0
    changes = [record for record in said.records if record["event"] == "changed"]
    assert [(record["what"], record["from"]) for record in changes] == [("device", "cuda"), ("torch", frozen["torch"])]
    (warning,) = [record for record in said.records if record["event"] == "warning"]
    assert "device cuda (now cpu)" in warning["text"]
    assert "not bit-identical" in warning["text"]
    assert Run(run.folder).settings["made_with"] == frozen


@pytest.mark.parametrize("steps", ["2000000", "0", "-5"])
@pytest.mark.parametrize("more", [(), ("-n",)])
def test_steps_that_no_run_can_take(
    mdctl: Mdctl, golf: Project, unchanged: Hold, steps: str, more: tuple[str, ...]
) -> None:
    """They are refused before anything is written, and the run goes on as it was."""
    unchanged(golf.folder)
    said = mdctl("train", "golf", "--steps", steps, *more)
    assert said.code == 4
    assert f"train.steps = {steps}" in said.err
    assert mdctl("train", "golf").code == 0


def test_auto_is_what_the_run_has(mdctl: Mdctl, fresh: Project) -> None:
    """The same line works again when it leaves the precision open."""
    for _ in range(2):
        said = mdctl("train", "golf", "--steps", "1", "--precision", "auto", *QUICK)
        assert said.code == 0, said.err


@pytest.mark.parametrize("plan", [(), ("-n",)])
def test_auto_steps_are_those_of_the_run(mdctl: Mdctl, golf: Project, plan: tuple[str, ...]) -> None:
    """Steps that are left open extend nothing, whether it trains or only tells what it would do."""
    (run,) = golf.runs()
    before = run.steps
    said = mdctl("train", "golf", "--set", "steps=auto", *plan)
    assert said.code == 0, said.err
    assert Project.open("golf").runs()[0].steps == before


@pytest.mark.parametrize(
    ("flags", "difference"),
    [
        (("--seed", "3"), "seed: 0 in the run, 3 now"),
        (("--rank", "4"), "rank: 2 in the run, 4 now"),
        (("--model", "starter"), "in the run, starter now"),
        (("--template", "draft"), "template: none in the run, draft now"),
        (("--shared-spatial",), "shared_spatial: False in the run, True now"),
    ],
)
def test_other_settings_are_refused(
    mdctl: Mdctl, golf: Project, unchanged: Hold, flags: tuple[str, ...], difference: str
) -> None:
    """What would make it another run is listed, and nothing happens."""
    unchanged(golf.folder)
    said = mdctl("train", "golf", *flags)
    assert said.code == 4
    assert difference in said.err
    assert "mdctl train golf --fresh" in said.err
    assert "MD-RUN-DIFFERS" in said.err


def test_a_fresh_run_leaves_the_old_one(mdctl: Mdctl, golf: Project, run: Run, unchanged: Hold) -> None:
    """With --fresh a new run begins beside the old one."""
    unchanged(run.folder)
    assert mdctl("train", "golf", "--fresh", "--steps", "1", "--seed", "3", *QUICK).code == 0
    assert [found.status for found in golf.runs()] == ["trained · 6", "trained · 1"]


def test_fewer_steps_than_an_unfinished_run_has(mdctl: Mdctl, golf: Project, run: Run) -> None:
    """An unfinished run keeps its goal."""
    run.extend(20)
    said = mdctl("train", "golf", "--steps", "10")
    assert said.code == 4
    assert "steps: 20 in the run, 10 now" in said.err
    assert "its saves up to step 6 are untouched" in said.err


def test_a_rank_that_is_too_large(mdctl: Mdctl, fresh: Project) -> None:
    """The largest is told; a run that could not begin leaves nothing behind that would bind the next try."""
    said = mdctl("train", "golf", "--steps", "1", "--rank", "9", "--threads", "1")
    assert said.code == 4
    assert "a rank of 9 is more than this model can take" in said.err
    assert "mdctl train golf --rank 8" in said.err
    assert fresh.runs() == []
    assert mdctl("train", "golf", "--steps", "1", "--rank", "8", "--threads", "1").code == 0


def test_a_run_without_a_save_binds_nobody(mdctl: Mdctl, fresh: Project, model: Path) -> None:
    """What was stopped before its first save goes on, or gives way to other settings."""
    mdctl("train", "golf", "--steps", "1", *QUICK)
    (run,) = fresh.runs()
    shutil.rmtree(run.folder / "ckpt")
    run.folder.joinpath("ckpt").mkdir()
    run.folder.joinpath("events.jsonl").unlink()
    assert mdctl("train", "golf", "--steps", "1", *QUICK).code == 0
    assert [found.id for found in fresh.runs()] == [run.id]
    shutil.rmtree(run.folder / "ckpt")
    run.folder.joinpath("ckpt").mkdir()
    assert mdctl("train", "golf", "--steps", "1", "--seed", "4", *QUICK).code == 0
    assert [found.status for found in fresh.runs()] == ["new", "trained · 1"]


def test_a_demo_of_another_seed(mdctl: Mdctl, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each seed has a run of its own, and the same seed again goes on with its run."""

    def follow(project: Project, run: Run, *rest: object, **more: object) -> End:
        return End("paused", run.keep(1, {}, {}), exit_code=130)

    monkeypatch.setattr("mdctl.cli.create.train.follow", follow)
    for seed, fresh in (("0", False), ("1", True), ("1", False)):
        said = mdctl("demo", "--seed", seed)
        assert said.code == 130, said.err
        assert ("--fresh" in said.err) == fresh
    assert [run.settings["train"]["seed"] for run in Project.open("demo").runs()] == [0, 1]


def test_a_demo_beside_a_project_called_demo(mdctl: Mdctl, golf: Project) -> None:
    """It has that name and no other: the cure gives the project another, or takes it away."""
    assert mdctl("rename", "golf", "demo").code == 0
    said = mdctl("demo")
    assert said.code == 2
    assert "fix    mdctl rename demo demo-2" in said.err
    assert "mdctl rm demo" in said.err


# --- Bad input


def test_an_unknown_project(mdctl: Mdctl, golf: Project) -> None:
    """The name that was meant is offered."""
    said = mdctl("train", "glof")
    assert said.code == 3
    assert "did you mean 'golf'?" in said.err


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("[train]\nlerning_rate = 1e-3", "golf/project.toml: train has no setting 'lerning_rate'"),
        ("[train]\nrank = 'wide'", "rank = 'wide' cannot be used"),
        ("[train]\nrank = true", "rank = True cannot be used"),
        ("[train]\nlearning_rate = nan", "is not a finite number"),
        ("[trian]\nrank = 2", "there is no key 'trian'"),
        ("[train", "project.toml, line"),
        ("[train]\nseed = 99999999999999999999999", "too large"),
        ("width = 33", "golf/project.toml: it has to be a multiple of 8"),
    ],
)
def test_a_project_that_says_what_cannot_be(
    mdctl: Mdctl, fresh: Project, unchanged: Hold, line: str, words: str
) -> None:
    """What the user wrote is refused by name, and left as it is."""
    path = fresh.folder / "project.toml"
    old = "width = 32" if line.startswith("width") else "[clips]"
    path.write_text(path.read_text().replace(old, line if old != "[clips]" else f"{line}\n\n[clips]"))
    unchanged(fresh.folder)
    said = mdctl("train", "golf", "--steps", "1")
    assert said.code == 4
    assert words in said.err


@pytest.mark.parametrize(
    ("flags", "code", "words"),
    [
        (("--steps", "0"), 4, "train.steps = 0"),
        (("--lr", "nan"), 4, "train.learning_rate = nan"),
        (("--lr", "7"), 4, "train.learning_rate = 7.0"),
        (("--seed", "-1"), 4, "train.seed = -1"),
        (("--rank", "wide"), 2, "--rank"),
        (("--device", "abacus"), 2, "'abacus' is not one of 'auto'"),
        (("--template", "nothing-like-it"), 4, "there is no template"),
        (("--model", "zeroscope"), 8, "mdctl models pull zeroscope"),
        (("--model", "org/name@" + "0" * 40), 8, f"mdctl models pull org/name@{'0' * 40}"),
        (("--model", "./nowhere"), 3, "no base model"),
    ],
)
def test_refusals(mdctl: Mdctl, fresh: Project, unchanged: Hold, flags: tuple[str, ...], code: int, words: str) -> None:
    """Each has its exit code and says what to do, and no run is made."""
    unchanged(fresh.folder)
    said = mdctl("train", "golf", *flags)
    assert (said.code, said.out) == (code, "")
    assert words in said.err
    assert fresh.runs() == []


def test_somebody_else_trains_it(mdctl: Mdctl, golf: Project) -> None:
    """The holder is named (H6)."""
    with golf.locked("train"):
        said = mdctl("train", "golf", "--steps", "9")
    assert said.code == 6
    assert "golf is being trained by pid" in said.err
