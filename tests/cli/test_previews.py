"""Previews: the very videos that `gen` makes later, judged, and no danger to the training that they look at."""

from pathlib import Path

import pytest
from PIL import Image
from stage import QUICK, Mdctl, sidecar

from mdctl.cli.create import previews, rendering
from mdctl.workspace.project import Project
from mdctl.workspace.runs import Run

LINE = ("train", "golf", "--steps", "4", *QUICK, "--preview-every", "2")


@pytest.fixture(autouse=True)
def short(fresh: Project) -> None:
    """Videos of two denoising steps."""
    fresh.set("gen.steps", 2)


def learned(run: Run) -> dict[int, dict[str, str]]:
    """The hashes of what each save holds."""
    return {
        save.step: {name: entry.sha256 for name, entry in save.manifest.items() if name != "optim.safetensors"}
        for save in run.saves()
    }


def test_a_preview_is_what_gen_makes(mdctl: Mdctl, fresh: Project, tmp_path: Path) -> None:
    """From the save of its step, with its prompt and seed, the same file comes out; both saves stay."""
    said = mdctl(*LINE, "--preview", "a robot is walking")
    assert said.code == 0, said.err
    (run,) = fresh.runs()
    made = sorted(run.samples.glob("*.mp4"))
    assert [path.name for path in made] == ["000002_a-robot-is-walking_s0.mp4", "000004_a-robot-is-walking_s0.mp4"]
    for step, preview in zip((2, 4), made, strict=True):
        again = tmp_path / f"{step}.mp4"
        line = ("gen", "golf", "a robot is walking", "--seed", "0", "--checkpoint", str(step), "-o", str(again))
        assert mdctl(*line).code == 0
        assert again.read_bytes() == preview.read_bytes()
        assert sidecar(again)["id"] == sidecar(preview)["id"]


def test_training_does_not_feel_them(mdctl: Mdctl, fresh: Project) -> None:
    """With and without previews the same is learned, bit for bit."""
    assert mdctl(*LINE).code == 0
    assert mdctl(*LINE, "--no-preview", "--fresh").code == 0
    with_them, without = fresh.runs()
    assert [*with_them.samples.glob("*.mp4")]
    assert not [*without.samples.glob("*.mp4")]
    assert learned(with_them)[4] == learned(without)[4]


def test_what_they_tell(mdctl: Mdctl, fresh: Project) -> None:
    """Each is an event with its measures; pictures lie beside them, and `show` has the last figures."""
    said = mdctl("--json", *LINE, "--preview", "a robot is walking", "--preview", "a panda is walking")
    events = [record for record in said.records if record["event"] == "preview"]
    assert [(event["step"], event["prompt"]) for event in events] == [
        (step, f"a {who} is walking") for step in (2, 4) for who in ("robot", "panda")
    ]
    assert all({"learned", "leaked", "base"} == set(event["measures"]) for event in events)
    assert all(Path(event["path"]).is_file() and Path(event["sidecar"]).is_file() for event in events)
    (run,) = fresh.runs()
    for name in ("previews.png", "previews_2.png", "curves.png"):
        with Image.open(run.samples / name) as picture:
            assert min(picture.size) > 100
    assert "previews: motion learned" in mdctl("show", "golf").out


def test_prompts_that_make_one_name(mdctl: Mdctl, fresh: Project) -> None:
    """Names are ASCII and not endless; prompts that differ in nothing else get previews of their own all the same."""
    prompts = ("a robot is walking", "A robot is walking", "\u732b\u5b50", "\u9a6c", "!?")
    said = mdctl("--json", *LINE, *(word for prompt in prompts for word in ("--preview", prompt)))
    assert said.code == 0, said.err
    events = [record for record in said.records if record["event"] == "preview"]
    assert [event["prompt"] for event in events] == [*prompts, *prompts]
    assert len({event["path"] for event in events}) == 2 * len(prompts)
    assert all(Path(event["path"]).is_file() for event in events)


def test_it_goes_on_with_the_same(mdctl: Mdctl, fresh: Project) -> None:
    """A run that is extended shows what it began with; without a prompt that is the project's example."""
    assert mdctl(*LINE, "--preview", "a robot is walking").code == 0
    assert mdctl("train", "golf", "--steps", "6").code == 0
    (run,) = fresh.runs()
    assert [event["step"] for event in previews.told(run)] == [2, 4, 6]
    assert mdctl(*LINE, "--fresh").code == 0
    assert {event["prompt"] for event in previews.told(fresh.runs()[-1])} == {"a monkey is walking"}


def test_one_that_fails_stops_nothing(mdctl: Mdctl, fresh: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever breaks, training goes on (H8); after the second time there are no more of them."""

    def broken(*_: object) -> None:
        raise MemoryError("no room for a picture")

    monkeypatch.setattr(rendering, "denoised", broken)
    said = mdctl("train", "golf", "--steps", "6", *QUICK, "--preview-every", "2")
    assert said.code == 0, said.err
    assert said.err.count("no room for a picture") == 2
    assert said.err.count("there will be no more of them") == 1
    assert fresh.runs()[-1].finished


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        ({"clip": 3, "follow": 0.5}, "'golf' has 2 clips, and no clip 3"),
        ({"frames": 6, "follow": 0.5}, "its clips have 4"),
    ],
)
def test_what_they_cannot_follow_stops_nothing(
    mdctl: Mdctl, fresh: Project, settings: dict[str, float], why: str
) -> None:
    """It is told before the first step, they are drawn without, and their recipes say so."""
    for key, value in settings.items():
        fresh.set(f"gen.{key}", value)
    said = mdctl(*LINE)
    assert said.code == 0, said.err
    (warning,) = [line for line in said.err.splitlines() if line.startswith("warning: ")]
    assert warning.startswith("warning: previews follow no clip: ")
    assert why in warning
    (run,) = fresh.runs()
    made = sorted(run.samples.glob("*.mp4"))
    assert [sidecar(video)["settings"]["follow"] for video in made] == [0, 0]
    assert mdctl("gen", "golf", "a robot", "-q").code == 4


def test_an_empty_prompt_is_refused_before_anything_begins(mdctl: Mdctl, fresh: Project) -> None:
    """It is named as gen names it."""
    said = mdctl(*LINE, "--preview", " ")
    assert (said.code, fresh.runs()) == (4, [])
