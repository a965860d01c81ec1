"""Looks and motions of different projects in one video: `mix`, and strengths of `gen`."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from stage import FAST, QUICK, SMALL, Mdctl, seen, sidecar
from tiny import tiny_animatediff

from mdctl.workspace import locations, presets
from mdctl.workspace.project import Project
from mdctl.workspace.runs import Run


@pytest.fixture
def pot(mdctl: Mdctl, golf: Project, photos: Path, model: Path) -> Project:
    """The trained appearance `pot`, beside the trained motion `golf`."""
    said = mdctl("new", "pot", str(photos / "*.png"), "--caption", "a clay pot", "--model", str(model), *SMALL, "-q")
    assert said.code == 0, said.err
    assert mdctl("train", "pot", "--steps", "4", *QUICK, "-q").code == 0
    return Project.open("pot")


# --- An appearance


def test_pictures_make_an_appearance(mdctl: Mdctl, home: Path, photos: Path) -> None:
    """It is said that they do; each has its line, and what is adjusted is told."""
    said = mdctl("new", "pot", str(photos / "*.png"), *SMALL)
    assert said.code == 0
    for words in ("Only pictures", "pot_0.png", "the picture", "transparency on grey", "appearance 'pot': 2 pictures"):
        assert words in said.err
    project = Project.open("pot")
    assert (project.record.kind, project.record.caption) == ("appearance", "a pot")
    assert [clip.picture for clip in project.clips] == [True, True]


def test_clips_can_teach_their_look(mdctl: Mdctl, home: Path, films: Path, photos: Path, model: Path) -> None:
    """With --appearance a clip's look is wanted, and pictures may stand beside it."""
    clips = (str(films / "walk.mp4"), str(photos / "pot_0.png"))
    assert mdctl("new", "pot", *clips, "--appearance", "--model", str(model), *SMALL, "-q").code == 0
    assert mdctl("train", "pot", "--steps", "2", *QUICK, "-q").code == 0
    assert Project.open("pot").runs()[-1].saves()[-1].files == ("spatial_000.safetensors", "optim.safetensors")


def test_a_picture_among_clips_is_left_out(mdctl: Mdctl, home: Path, films: Path, photos: Path) -> None:
    """It teaches no motion; the way to teach its look is shown."""
    said = mdctl("new", "golf", str(films / "walk.mp4"), str(photos / "pot_0.png"), *SMALL)
    assert said.code == 11
    assert "a picture, not a video" in said.err


def test_an_appearance_without_anything_to_see(mdctl: Mdctl, home: Path, tmp_path: Path) -> None:
    """A file that only looks like a picture makes no project."""
    (tmp_path / "pot.png").write_bytes(b"\x89PNG\r\n\x1a\nnot really")
    said = mdctl("new", "pot", str(tmp_path / "pot.png"), "--appearance", *SMALL)
    assert said.code == 4
    assert not locations.projects().joinpath("pot").exists()


def test_an_appearance_learns_one_look(pot: Project) -> None:
    """One spatial adapter for all pictures, half of the steps mirrored, no temporal one, by the images preset."""
    run = pot.runs()[-1]
    assert run.saves()[-1].files == ("spatial_000.safetensors", "optim.safetensors")
    learned = run.settings["train"]
    assert (learned["flip"], learned["shared_spatial"], learned["weight_decay"]) == (0.5, True, 1e-4)
    assert run.settings["learns"] == "appearance"
    steps = [record for record in run.events() if record["event"] == "step"]
    assert all(record["loss"]["motion"] is None and record["loss"]["appearance"] > 0 for record in steps)


@pytest.mark.parametrize(("count", "steps"), [(1, 300), (2, 1000)])
def test_steps_of_an_appearance(mdctl: Mdctl, home: Path, photos: Path, model: Path, count: int, steps: int) -> None:
    """300 for one picture, 1000 for several, as in the official configuration."""
    paths = [str(photos / f"pot_{number}.png") for number in range(count)]
    mdctl("new", "pot", *paths, "--model", str(model), *SMALL, "-q")
    planned = json.loads(mdctl("train", "pot", "--dry-run", "--json").out)
    assert planned["train"]["steps"] == steps


def test_an_appearance_can_be_generated(mdctl: Mdctl, pot: Project) -> None:
    """`gen` puts the look on what the prompt names; its strength is the look's."""
    said = mdctl("gen", "pot", "a clay pot", "--seed", "1", "--frames", "4", "--strength", "0.5", *FAST)
    assert said.code == 0, said.err
    (voice,) = sidecar(said.lines[0])["voices"]
    assert (voice["file"], voice["strength"]) == ("spatial_000.safetensors", 0.5)
    said = mdctl("gen", "pot", "a clay pot", "--appearance-strength", "0.5", *FAST)
    assert (said.code, "'pot' is an appearance" in said.err) == (4, True)


# --- Mix


def test_mix_of_a_look_and_a_motion(mdctl: Mdctl, pot: Project, golf: Project) -> None:
    """Both speak, the prompt is made of both captions, and all of it is told and noted."""
    said = mdctl("mix", "--appearance", "pot", "--motion", "golf", "--seed", "3", "--steps", "2", "--threads", "1")
    assert said.code == 0, said.err
    for words in ("appearance  pot", "2 pictures, step 4", "motion      golf", "a clay pot is walking   (from"):
        assert words in said.err
    path = Path(said.lines[0])
    assert path.parent == locations.mixes() / "pot+golf" / "outputs"
    told = sidecar(path)
    assert (told["prompt"], told["project"]) == ("a clay pot is walking", "pot+golf")
    spoken = [(voice["project"], voice["file"], voice["strength"]) for voice in told["voices"]]
    assert spoken == [("golf", "temporal.safetensors", 1.0), ("pot", "spatial_000.safetensors", 1.0)]


def test_each_voice_is_heard(mdctl: Mdctl, pot: Project, golf: Project) -> None:
    """Without the look it is the motion alone, without the motion the look alone, and both are something else."""
    words = "a clay pot is walking"
    mixed = ("mix", "--appearance", "pot", "--motion", "golf", words, "--motion-strength", "3")
    both = seen(mdctl, *mixed, "--appearance-strength", "3")
    motion = seen(mdctl, *mixed, "--appearance-strength", "0")
    assert motion == seen(mdctl, "gen", "golf", words, "--strength", "3")
    look = seen(mdctl, *mixed, "--motion-strength", "0", "--appearance-strength", "3")
    assert look == seen(mdctl, "gen", "pot", words, "--strength", "3", "--frames", "4")
    assert len({both, motion, look}) == 3


def test_weights_of_motions(mdctl: Mdctl, pot: Project, golf: Project) -> None:
    """Several motions speak side by side, each weighed; a motion twice at half its strength is the motion."""
    shutil.copytree(golf.folder, golf.folder.with_name("tennis"))
    mixed = ("mix", "--appearance", "pot", "a pot")
    halves = seen(mdctl, *mixed, "--motion", "golf:0.5", "--motion", "tennis:0.5")
    whole = seen(mdctl, *mixed, "--motion", "golf")
    a, b = (np.frombuffer(video, np.uint8).astype(int) for video in (halves, whole))
    assert np.abs(a - b).max() <= 2
    said = mdctl("mix", "--appearance", "pot", "--motion", "golf", "--motion", "tennis:0.5", *FAST)
    told = sidecar(said.lines[0])
    assert [voice["strength"] for voice in told["voices"]] == [1.0, 0.5, 1.0]
    assert told["prompt"] == "a clay pot is walking, walking"


def test_a_motion_lends_its_look(mdctl: Mdctl, golf: Project) -> None:
    """A motion as --appearance is taken at its look, and that is said; the clip can be chosen."""
    said = mdctl("mix", "--appearance", "golf", "--motion", "golf", "--clip", "2", *FAST[:-1])
    assert said.code == 0, said.err
    assert "'golf' is a motion; the look of its clip 2 is used" in said.err
    assert sidecar(said.lines[0])["voices"][1]["file"] == "spatial_001.safetensors"


@pytest.mark.parametrize(
    ("flags", "code", "words"),
    [
        (("--appearance", "golf", "--motion", "pot"), 4, "'pot' is an appearance, and holds no motion"),
        (("--appearance", "pot", "--motion", "tennis"), 3, "there is no project 'tennis'"),
        (("--appearance", "pot", "--motion", "golf:x"), 2, "says no weight"),
        (("--appearance", "pot", "--motion", "golf:0"), 2, "says no weight"),
        (("--appearance", "pot", "--motion", "golf", " "), 4, "the prompt is empty"),
        (("--appearance", "pot", "--motion", "golf", "--motion-strength", "11"), 4, "gen.strength"),
        (("--appearance", "pot", "--motion", "golf", "--appearance-strength", "x"), 4, "gen.appearance_strength"),
        (("--appearance", "golf", "--motion", "golf", "--clip", "3"), 3, "'golf' has no clip 3"),
        (("--motion", "golf"), 2, "appearance"),
    ],
)
def test_what_cannot_be_mixed(mdctl: Mdctl, pot: Project, flags: tuple[str, ...], code: int, words: str) -> None:
    """It is told before anything is loaded."""
    said = mdctl("mix", *flags)
    assert said.code == code
    assert words in said.err
    assert not locations.mixes().exists()


def test_captions_are_needed_for_a_prompt(mdctl: Mdctl, pot: Project) -> None:
    """Where one side says nothing of itself, a prompt is asked for."""
    pot.set("caption", "")
    said = mdctl("mix", "--appearance", "pot", "--motion", "golf")
    assert (said.code, "'pot' has no caption" in said.err) == (4, True)


def test_models_of_another_build_do_not_mix(mdctl: Mdctl, golf: Project, photos: Path) -> None:
    """The sentence says which of both to train again, on what; no weights are loaded for it."""
    mdctl("new", "pot", str(photos / "*.png"), "--caption", "a clay pot", "--model", "starter", "-q")
    assert mdctl("train", "pot", "--steps", "2", *QUICK, "-q").code == 0
    said = mdctl("mix", "--appearance", "pot", "--motion", "golf")
    assert said.code == 4
    assert "MD-MIX-MODEL" in said.err
    assert "mdctl train pot --model" in said.err


def test_another_fine_tune_is_told_and_used(
    mdctl: Mdctl, golf: Project, photos: Path, model: Path, tmp_path: Path
) -> None:
    """The same architecture with other weights is a warning, and is noted."""
    other = shutil.copytree(model, tmp_path / "tuned")
    config = other / "scheduler" / "scheduler_config.json"
    config.write_text(config.read_text() + "\n")
    mdctl("new", "pot", str(photos / "*.png"), "--caption", "a clay pot", "--model", str(other), *SMALL, "-q")
    assert mdctl("train", "pot", "--steps", "2", *QUICK, "-q").code == 0
    said = mdctl("mix", "--appearance", "pot", "--motion", "golf", *FAST[:-1])
    assert said.code == 0, said.err
    assert "it is used all the same" in said.err


def test_what_suits_looks_on_the_base_model_lies_above_what_suits_motions(mdctl: Mdctl, photos: Path) -> None:
    """`starter`, then `images`, then `starter-images`."""
    assert mdctl("new", "pot", str(photos / "*.png"), "--caption", "a clay pot", "-q").code == 0
    line = ("--json", "train", "pot", "-n", "--model", "starter")
    settings = json.loads(mdctl(*line).out)["train"]
    layers = [presets.read(name).tables["train"] for name in ("starter", "images", "starter-images")]
    assert settings | layers[0] | layers[1] | layers[2] == settings


# --- Strengths and noise of `gen`


def test_a_clip_lends_its_look(mdctl: Mdctl, golf: Project) -> None:
    """--appearance-strength brings the look of a clip along, chosen by --clip."""
    said = mdctl("gen", "golf", "a square", "--appearance-strength", "0.7", "--clip", "2", *FAST)
    told = sidecar(said.lines[0])
    assert [(v["file"], v["strength"]) for v in told["voices"]] == [
        ("temporal.safetensors", 1.0),
        ("spatial_001.safetensors", 0.7),
    ]


def test_a_schedule_of_strength(mdctl: Mdctl, golf: Project) -> None:
    """A strength that is the same in both halves is the constant one; one that ends early is another video."""
    flags = ("gen", "golf", "a square", "--strength")
    assert seen(mdctl, *flags, "3@0-0.5+3@0.5-1") == seen(mdctl, *flags, "3")
    assert seen(mdctl, *flags, "3@0-0.5") != seen(mdctl, *flags, "3")


def test_following_a_clip(mdctl: Mdctl, golf: Project, run: Run) -> None:
    """0 is the free noise to the bit; more of the clip's own noise is another video; the inversion is kept."""
    flags = ("gen", "golf", "a square")
    assert seen(mdctl, *flags, "--follow", "0") == seen(mdctl, *flags)
    before = set(locations.latents().iterdir())
    some = seen(mdctl, *flags, "--follow", "0.5")
    (kept,) = set(locations.latents().iterdir()) - before
    written = kept.stat().st_mtime_ns
    assert some == seen(mdctl, *flags, "--follow", "0.5")
    assert kept.stat().st_mtime_ns == written
    told = [mdctl(*flags, "--follow", "0.5", *FAST[:-1], *loud).err for loud in ((), ("-v",))]
    assert ["the noise of clip 1 has a standard deviation of " in said for said in told] == [False, True]
    assert len({some, seen(mdctl, *flags), seen(mdctl, *flags, "--follow", "0.5", "--clip", "2")}) == 3
    kept.write_bytes(b"damaged")
    assert some == seen(mdctl, *flags, "--follow", "0.5")


def test_one_clip_is_followed_by_itself(mdctl: Mdctl, home: Path, films: Path, model: Path) -> None:
    """With a single clip the default is 0.3, and it is noted; another size is resized, other frames are free."""
    mdctl("new", "golf", str(films / "walk.mp4"), "--model", str(model), *SMALL, "-q")
    mdctl("train", "golf", "--steps", "2", *QUICK, "-q")
    for flags, follow in (((), 0.3), (("--size", "48x32"), 0.3), (("--frames", "6"), 0.0), (("--follow", "0"), 0.0)):
        said = mdctl("gen", "golf", "a square", *flags, *FAST)
        assert said.code == 0, said.err
        assert sidecar(said.lines[0])["settings"]["follow"] == follow


def test_what_cannot_be_followed(mdctl: Mdctl, golf: Project, pot: Project) -> None:
    """Other frames than the clip's, a clip that is not there, one that is gone, a look."""
    for flags, code, words in (
        (("golf", "--frames", "6", "--follow", "0.3"), 4, "a video of 6 frames cannot follow"),
        (("golf", "--clip", "3", "--follow", "0.3"), 4, "no clip 3"),
        (("golf", "--follow", "1.5"), 4, "gen.follow"),
        (("pot", "--frames", "4", "--follow", "0.3"), 4, "it is an appearance"),
    ):
        said = mdctl("gen", flags[0], "a square", *flags[1:], *FAST[:-1])
        assert (said.code, words in said.err) == (code, True), said.err
    shutil.rmtree(golf.folder / "clips")
    shutil.rmtree(locations.latents())
    said = mdctl("gen", "golf", "a square", "--follow", "0.3", *FAST[:-1])
    assert (said.code, "is gone" in said.err) == (3, True), said.err


# --- The second family


def test_the_whole_way_on_animatediff(mdctl: Mdctl, home: Path, films: Path, photos: Path, tmp_path: Path) -> None:
    """new, train, gen and mix on a tiny AnimateDiff folder; it does not mix with the other family."""
    folder = tiny_animatediff(tmp_path / "animatediff")
    use = ("--model", str(folder), *SMALL, "-q")
    assert mdctl("new", "golf", str(films / "walk.mp4"), "--caption", "a square is walking", *use).code == 0
    assert mdctl("new", "pot", str(photos / "*.png"), "--caption", "a clay pot", *use).code == 0
    for name in ("golf", "pot"):
        said = mdctl("train", name, "--steps", "3", *QUICK, "-q")
        assert said.code == 0, said.err
    plain = seen(mdctl, "gen", "golf", "a clay pot is walking", "--strength", "0", "--follow", "0")
    assert plain != seen(mdctl, "gen", "golf", "a clay pot is walking", "--strength", "5", "--follow", "0")
    assert mdctl("mix", "--appearance", "pot", "--motion", "golf", *FAST).code == 0
    assert mdctl("gen", "golf", "a pot", "--follow", "0.3", *FAST).code == 0
    shown = json.loads(mdctl("models", "show", str(folder), "--json").out)
    assert (shown["family"], shown["guidance"]) == ("animatediff", 7.5)
    said = mdctl("gen", "golf", "a pot", "--frames", "9", "--follow", "0", *FAST[:-1])
    assert (said.code, "cannot make 9 frames" in said.err) == (4, True), said.err
