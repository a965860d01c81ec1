"""What a campaign consists of, and where each of its videos lies, in whichever layout."""

from pathlib import Path

from mdctl.measure import campaign
from mdctl.measure.campaign import Item
from mdctl.measure.manifest import Unit, Wish

MONKEY, PANDA = Wish("monkey", "appearance", "a monkey playing golf."), Wish("panda", "style", "a panda, playing")
GOLF = Unit("golf", (Path("clips/golf side.mp4"),), "a person", (MONKEY, PANDA), seeds=(0, 7))


def item(wish: Wish = MONKEY, seed: int = 0, train_seed: int = 0) -> Item:
    """An item of `full`."""
    return Item("full", GOLF, wish, train_seed, seed)


def touched(path: Path) -> Path:
    """An empty file with all its folders."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    return path


def test_every_combination_is_an_item_once() -> None:
    """Units, training seeds, prompts and seeds; what is not trained has one training seed; places differ."""
    found = list(campaign.items([GOLF], {"base": False, "full": True}, 3))
    assert len(found) == 4 + 12
    assert len({one.place for one in found}) == 16
    assert item(seed=7, train_seed=2).place == "full/golf/monkey/7_t2"


def test_a_key_is_a_function_of_its_inputs_alone() -> None:
    """Their order says nothing, every value does."""
    key = campaign.key(a=1, b={"x": [1, 2]})
    assert key == campaign.key(b={"x": [1, 2]}, a=1)
    assert len({key, campaign.key(a=2, b={"x": [1, 2]}), campaign.key(a=1, b={"x": [2, 1]})}) == 3


def test_videos_are_found_by_seed(tmp_path: Path) -> None:
    """As a file of any kind or as frames, under the unit's name or the clip's."""
    mine = touched(tmp_path / "golf" / "monkey" / "0.webm")
    frames = touched(tmp_path / "golf side" / "monkey" / "7" / "0001.jpg").parent
    assert campaign.find(tmp_path, item()) == mine
    assert campaign.find(tmp_path, item(seed=7)) == frames
    assert campaign.find(tmp_path, item(PANDA)) is None
    assert campaign.find(tmp_path, item(train_seed=1)) is None
    assert campaign.find(tmp_path / "nowhere", item()) is None


def test_what_mdctl_made_has_one_place(tmp_path: Path) -> None:
    """The folder that is called as the clip is another unit's there."""
    touched(tmp_path / "full" / "golf side" / "monkey" / "0.mp4")
    assert campaign.find(tmp_path / "full", item())
    assert campaign.made(tmp_path, item()) is None
    again = touched(tmp_path / "full" / "golf" / "monkey" / "0_t1.mp4")
    assert campaign.made(tmp_path, item(train_seed=1)) == again


def test_layouts_without_seeds_count_for_the_first(tmp_path: Path) -> None:
    """LOVEU-TGVE's frames by section, video and type; MTBench's folder by the prompt, in the order of names."""
    loveu = touched(tmp_path / "videvo_480p" / "golf side" / "panda" / "00000.jpg").parent
    assert campaign.find(tmp_path, item(PANDA)) == loveu
    assert campaign.find(tmp_path, item(PANDA, seed=7)) is None
    first, second = (touched(tmp_path / "a_monkey_playing_golf" / f"{name}.mp4") for name in "ab")
    assert campaign.find(tmp_path, item()) == first
    assert campaign.find(tmp_path, item(seed=7)) == second


def test_a_picture_beside_videos_is_none(tmp_path: Path) -> None:
    """A folder of videos with a sheet of them is no video of frames, neither asked for nor extra."""
    other = touched(tmp_path / "golf" / "panda" / "7.mp4")
    touched(other.with_name("sheet.png"))
    assert campaign.find(tmp_path, item(PANDA)) is None
    assert campaign.extras(tmp_path, []) == [other]


def test_a_prompt_is_no_way_out_of_the_folder(tmp_path: Path) -> None:
    """Dots, slashes, a NUL, and what is too long for a name find nothing."""
    touched(tmp_path / "secret.mp4")
    (tmp_path / "results").mkdir()
    for prompt in ("..", "...", "../", "/", ".", "a\0b", "x" * 5000, "..\\"):
        assert campaign.find(tmp_path / "results", item(Wish("x", "text", prompt))) is None


def test_what_nobody_asked_for_is_extra(tmp_path: Path) -> None:
    """Videos and folders of frames; neither hidden ones nor records."""
    known = touched(tmp_path / "golf" / "monkey" / "0.mp4")
    touched(known.with_suffix(".json"))
    touched(tmp_path / ".cache" / "0.mp4")
    other, frames = touched(tmp_path / "x.mp4"), touched(tmp_path / "y" / "1.png").parent
    assert campaign.extras(tmp_path, [known]) == [other, frames]
