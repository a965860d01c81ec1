"""CLIP and PickScore are loaded from whole folders of the real classes, and never fetched."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from films import moving
from tiny import tiny_clip_model, tiny_dino

from mdctl.errors import NotInstalled
from mdctl.measure import embedders


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny CLIP."""
    return tiny_clip_model(tmp_path_factory.mktemp("clip"))


@pytest.mark.parametrize("load", [embedders.load, embedders.pickscore])
def test_pictures_and_words_meet_in_one_space(folder: Path, load: object) -> None:
    """Embeddings have unit length and one width; equal things are equal, and the scale is a factor."""
    model = load(str(folder))  # type: ignore[operator]
    frames = moving(64, 3, 0, 9)  # more than one batch
    images, texts = model.images(frames), model.texts(["a red square", "a blue circle", "a red square"])
    assert images.shape == (9, texts.shape[1])
    assert np.linalg.norm(images, axis=1) == pytest.approx(1)
    assert np.linalg.norm(texts, axis=1) == pytest.approx(1)
    assert texts[0] == pytest.approx(texts[2])
    assert np.abs(texts[0] - texts[1]).max() > 1e-3
    assert np.abs(images - model.images(frames[::-1])[::-1]).max() < 1e-5
    assert model.logit_scale == pytest.approx(np.exp(2.6592), rel=1e-3)


def test_frames_are_first_brought_to_the_size_of_the_definition(folder: Path) -> None:
    """LOVEU-TGVE squeezes them to 480x480, without a crop, before the processor has them."""
    model = embedders.load(str(folder))
    given = list[tuple[int, ...]]()

    def noting(images: list[np.ndarray], **about: object) -> object:
        given.extend(image.shape for image in images)
        return model.processor(images=images, **about)

    replace(model, processor=noting).images(np.zeros((9, 36, 64, 3), np.uint8))
    assert given == [(480, 480, 3)] * 9


def test_pictures_alone_have_a_space_of_their_own(tmp_path: Path) -> None:
    """DINO's embeddings have unit length, are the same each time it is loaded, and follow the frames."""
    frames = moving(64, 3, 0, 9)
    first, again = (embedders.dino(str(tiny_dino(tmp_path))).images(frames) for _ in range(2))
    assert np.linalg.norm(first, axis=1) == pytest.approx(1)
    assert np.array_equal(first, again)
    assert np.abs(first[0] - first[-1]).max() > 1e-4


def test_a_prompt_beyond_the_limit_is_read_as_far_as_it_goes(folder: Path) -> None:
    """Too many words are no fault, but can be told."""
    model = embedders.load(str(folder))
    assert model.texts(["red " * 200]).shape == (1, 16)
    fits = "red " * (model.limit - 2)  # beside the marks of beginning and end
    assert [model.cuts(fits), model.cuts(f"{fits} red")] == [False, True]


def test_a_model_is_known_by_its_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Others in the same folder have another id; one of the hub has its revision."""
    tiny_dino(tmp_path / "dino")
    before, again = (embedders.dino(str(tmp_path / "dino")).id for _ in range(2))
    weights = tmp_path / "dino" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-4] + bytes(4))
    assert before == again != embedders.dino(str(tmp_path / "dino")).id
    assert before.startswith(f"{tmp_path / 'dino'}@")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    repository = tmp_path / "models--someone--dino"
    tiny_dino(repository / "snapshots" / ("1234567890abcdef" * 3)[:40])
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(("1234567890abcdef" * 3)[:40])
    assert embedders.dino("someone/dino").id == "someone/dino@1234567890ab"


def test_what_is_not_there_is_named_with_the_line_that_gets_it(tmp_path: Path) -> None:
    """Neither an empty folder nor an id that was never downloaded is fetched."""
    with pytest.raises(NotInstalled) as caught:
        embedders.load("nobody/no-such-clip")
    assert caught.value.fix == ("hf download nobody/no-such-clip",)
    with pytest.raises(NotInstalled):
        embedders.load(str(tmp_path))


def test_pickled_weights_are_not_opened(folder: Path, tmp_path: Path) -> None:
    """A folder whose weights are a pickle counts as not there."""
    for path in folder.iterdir():
        if path.name != "model.safetensors":
            (tmp_path / path.name).write_bytes(path.read_bytes())
    (tmp_path / "pytorch_model.bin").write_bytes(b"cos\nsystem\n(S'true'\ntR.")
    with pytest.raises(NotInstalled):
        embedders.load(str(tmp_path))
