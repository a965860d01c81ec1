"""How `starter` is made."""

import json
from contextlib import suppress
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from mdctl.media import motions, paths, world
from mdctl.motion import families
from mdctl.motion.starter import lessons, parts, recipe
from mdctl.motion.starter.loop import fit
from mdctl.motion.starter.muon import Muon, orthogonal
from mdctl.motion.starter.store import Store
from mdctl.workspace import weights


def test_every_word_of_the_world_is_one_token():
    """No word that `starter` is taught, or is kept for learning, is unknown to it."""
    tokenizer = parts.new_tokenizer()
    words = {word for phrase in motions.MOTIONS for word in phrase.split()}
    words |= {*world.SUBJECTS, *world.COLOURS, *world.BACKGROUNDS}
    for word in words:
        numbers = tokenizer(word, add_special_tokens=False).input_ids
        assert len(numbers) == 1
        assert numbers[0] != tokenizer.unk_token_id


def test_unknown_words_and_marks_do_not_break_a_prompt():
    """What is not in the vocabulary becomes one unknown token, marks and case do not matter."""
    tokenizer = parts.new_tokenizer()
    plain = tokenizer("a red circle moving left").input_ids
    assert tokenizer("A red, circle MOVING left!").input_ids == plain
    assert tokenizer.unk_token_id in tokenizer("a frobnicating circle").input_ids


def test_words_that_people_say_besides_are_no_noise():
    """`is` and `are` are passed over and `the` is `a`; parts of other words are not."""
    tokenizer = parts.new_tokenizer()
    plain = tokenizer("a monkey moving left on a grass background").input_ids
    assert tokenizer("The monkey is moving left on the grass background").input_ids == plain
    assert tokenizer("this isle").input_ids.count(tokenizer.unk_token_id) == 2


def test_the_longest_prompt_of_the_world_fits():
    """No prompt of the world is cut by the text encoder."""
    tokenizer = parts.new_tokenizer()
    for motion in motions.MOTIONS:
        prompt = world.prompt(world.Scene("triangle", "checkered", "purple"), motion)
        assert len(tokenizer(prompt).input_ids) <= parts.MAX_TOKENS


def test_orthogonal_pulls_singular_values_towards_one():
    """All directions of an update get nearly the same length."""
    matrix = torch.randn(32, 48, generator=torch.Generator().manual_seed(0))
    values = torch.linalg.svdvals(orthogonal(matrix))
    assert values.min() > 0.4
    assert values.max() < 1.4


def test_matrices_of_one_shape_are_made_orthogonal_together():
    """Each comes out as it does by itself, tall ones too."""
    for shape in ((3, 32, 48), (3, 48, 32)):
        matrices = torch.randn(shape, generator=torch.Generator().manual_seed(0))
        alone = torch.stack([orthogonal(one) for one in matrices])
        torch.testing.assert_close(orthogonal(matrices), alone, rtol=0, atol=0.02)


def _trained(work, until):
    torch.manual_seed(1)
    model = nn.Sequential(nn.Linear(16, 32), nn.SiLU(), nn.Linear(32, 16))

    def draws(step, places):
        return (torch.from_numpy(np.random.default_rng(step).normal(size=(len(places), 16))).float(),)

    def loss(batch):
        return (model(batch) - batch).square().mean()

    for steps in until:
        model_now = model
        fit("toy", model_now, Muon(model.parameters()), draws, loss, steps, 4, work, decay=0.0001)
    return {name: value.clone() for name, value in model.state_dict().items()}


@pytest.mark.parametrize("stops", [[20], [7, 20]])
def test_a_stage_that_was_stopped_equals_one_that_was_not(tmp_path, stops):
    """Weights, averages and moments are all kept: going on changes nothing."""
    whole = _trained(tmp_path / "whole", [20])
    again = _trained(tmp_path / "again", stops)
    assert all(torch.equal(whole[name], again[name]) for name in whole)


@pytest.mark.parametrize("steps", [1, 2, 3])
def test_a_save_that_breaks_off_leaves_the_one_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, steps: int
) -> None:
    """All groups and the step are of one save, whichever of its files could not take its name."""
    store, moves, stock = Store(tmp_path, "toy"), iter(range(1, 10)), Path.replace
    names = ("weights", "averaged", "moments")

    def replace(self: Path, target: Path) -> Path:
        if next(moves) == steps:
            raise KeyboardInterrupt
        return stock(self, target)

    assert store.step() == 0
    store.save(1, {name: {"x": torch.tensor(1)} for name in names})
    monkeypatch.setattr(Path, "replace", replace)
    with suppress(KeyboardInterrupt):
        store.save(2, {name: {"x": torch.tensor(2)} for name in names})
    assert {int(store.load(name)["x"]) for name in names} == {store.step()}


def test_held_out_pairs_never_enter_the_bank():
    """No clip of the bank shows a subject on a background, or with a motion, that was kept out."""
    for clip in lessons.clips(range(200)):
        assert not world.held_out(clip.scene.subject, clip.scene.background)
        assert not world.held_out(clip.scene.subject, clip.motion)


def test_captions_leave_parts_out_now_and_then():
    """Most captions are the full prompt; some are empty, without background, or with unknown words."""
    chance = np.random.default_rng(0)
    clip = lessons.Clip(world.Scene("monkey", "grass"), "moving left", motions.track("moving left", chance))
    found = [lessons.caption(clip, chance, True) for _ in range(400)]
    full = "a monkey moving left on a grass background"
    assert 0.55 < found.count(full) / 400 < 0.8
    assert 0.05 < found.count("") / 400 < 0.15
    assert any("zzz" in caption for caption in found)
    assert found.count("moving left") > 20


def test_some_textures_are_seen_from_elsewhere():
    """A camera that stands elsewhere is named in the prompt, and is never seen before plain colour."""
    clips = lessons.clips(range(400))
    elsewhere = [clip for clip in clips if clip.track.camera]
    assert 0.08 < len(elsewhere) / len(clips) < 0.18
    for clip in clips:
        assert clip.prompt.endswith("another view") == bool(clip.track.camera)
        assert clip.scene.background in world.TEXTURED or not clip.track.camera
        assert not clip.track.camera or np.ptp(clip.track.camera.x) == 0


def test_any_path_and_camera_is_shown_except_those_that_stay_novel():
    """Paths without a word go everywhere, but none runs as a motion does that is kept for MotionDirector."""
    clips = lessons.moves(range(200))
    kept = (*motions.NOVEL_MOTIONS, *motions.CAMERA_MOTIONS)
    for clip in clips:
        scores = paths.motion_scores(clip.track)
        assert max(scores[motion] for motion in kept) < lessons.NOVEL
        assert not world.held_out(clip.scene.subject, clip.scene.background)
        assert clip.prompt.endswith("moving view" if clip.track.camera else "background")
        assert clip.scene.background in world.TEXTURED or not clip.track.camera
        points = clip.track.points()
        assert points.min() > 8
        assert points.max() < 56
    seen_by = [clip.track.camera for clip in clips if clip.track.camera]
    assert 0.3 < len(seen_by) / len(clips) < 0.5
    assert all(paths.moves(camera) for camera in seen_by)


def test_clips_give_way_to_single_frames_now_and_then():
    """Frames come first and alone; among the clips every fifth step shows frames, once the motions are known."""
    assert all(lessons.still("frames", step) for step in range(20))
    assert not any(lessons.still("clips", step) for step in range(lessons.BOOTCAMP))
    assert sum(lessons.still("clips", step) for step in range(1000, 1100)) == 20


def test_motions_are_told_apart_by_every_token_after_their_words():
    """After the lesson in words, two prompts that differ in their motion differ in all that follows it."""
    torch.manual_seed(3)
    encoder = parts.new_text_encoder()
    lessons.name_motions(encoder, steps=60)
    tokenizer = parts.new_tokenizer()
    prompts = [f"a monkey moving {way} on a grass background" for way in ("left", "right")]
    left, right = encoder(tokenizer(prompts, padding="max_length", return_tensors="pt").input_ids)[0]
    apart = (left - right).norm(dim=1)
    assert apart[:3].max() == 0
    assert apart[4:].min() > 1


def test_the_curriculum_begins_with_one_direction():
    """First one motion, then two, at last all of them."""
    by_motion = [[place] for place in range(7)]
    assert lessons.shown(by_motion, 1) == [0]
    assert lessons.shown(by_motion, 200) == [0, 1]
    assert lessons.shown(by_motion, 5000) == list(range(7))


def test_an_exported_model_is_whole_and_tells_how_it_was_made(tmp_path, monkeypatch):
    """A run of a few steps ends in a folder that loads, with the log of every stage and its curves."""
    work, folder = tmp_path / "work", tmp_path / "model"
    monkeypatch.setattr(lessons, "name_motions", partial(lessons.name_motions, steps=2))
    recipe.train_vae(work, 1, "cpu")
    recipe.fill_bank(work, "bank", 36)  # with one that moves left, the first motion of the curriculum
    recipe.fill_bank(work, "moves-bank", 4)
    recipe.train_denoiser(work, "frames", 1, 2, "cpu", 0.02)
    recipe.train_denoiser(work, "clips", 1, 2, "cpu", 0.01)
    recipe.train_denoiser(work, "moves", 1, 2, "cpu", 0.01)
    for stage in recipe.STEPS:
        Store(work, stage).log(step=50, loss=0.5, seconds_per_step=0.1)
        Store(work, stage).log(step=100, loss=0.4, seconds_per_step=0.1)
    recipe.export(work, folder)
    backbone = families.load(folder, torch.device("cpu"), torch.float32)
    assert backbone.latent_shape(16, 64, 64) == (1, 16, 16, 8, 8)
    records = [json.loads(line) for line in (folder / "training.jsonl").read_text().splitlines()]
    assert [record["stage"] for record in records] == [stage for stage in recipe.STEPS for _ in range(2)]
    assert (folder / "training.png").read_bytes().startswith(b"\x89PNG")


def test_a_bank_is_read_in_its_order_and_from_one_filling(tmp_path: Path) -> None:
    """By number and not by name, from eleven processes on; another filling that is whole or not does not mix in."""
    for processes, whole in ((11, 11), (12, 3)):
        for rank in range(whole):
            part = {"mean": torch.full((1,), float(rank + 100 * (processes == 12)))}
            Store(tmp_path, f"bank-{rank}of{processes}").save(0, {"clips": part})
    assert recipe._encoded(tmp_path, "bank", "mean").tolist() == list(range(11))
    with pytest.raises(FileNotFoundError, match="no whole moves-bank"):
        recipe._encoded(tmp_path, "moves-bank", "mean")


def test_the_samples_are_what_the_recipe_draws(tmp_path: Path) -> None:
    """By name, and the pictures by every pixel; bytes of videos differ between builds of ffmpeg."""
    recipe.draw_samples(tmp_path)
    shipped = Path(recipe.__file__).parent / "samples"
    assert sorted(path.name for path in shipped.iterdir()) == sorted(path.name for path in tmp_path.iterdir())
    for drawn in tmp_path.glob("*.png"):
        with Image.open(drawn) as new, Image.open(shipped / drawn.name) as old:
            assert new.tobytes() == old.tobytes()


def test_what_is_shipped_is_small():
    """Everything that lies beside the weights, rows and pictures included, stays within 32 MB."""
    folder = weights.find("starter")[1]
    assert sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) <= 32_000_000


def test_noise_for_the_vae_is_the_same_on_every_device():
    """It is drawn with the images, clip by clip, and not by the device; a process draws its own share of it."""
    whole = recipe._frames("vae", 3, range(4))
    part = recipe._frames("vae", 3, range(2, 4))
    assert whole[2].shape == (4, *parts.LATENT)
    for one, other in zip(whole, part, strict=True):
        assert torch.equal(one[2:], other)
