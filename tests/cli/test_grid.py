"""`grid`: cells of a prompt side by side, resumed where some are missing; `pin`: the choice that gen takes."""

import json
import re
from pathlib import Path

import av
import pytest
from PIL import Image
from stage import Mdctl, sidecar

from mdctl.workspace.project import Project

FAST = ("--steps", "1", "--threads", "1")


def test_strengths_and_saves_side_by_side(mdctl: Mdctl, golf: Project) -> None:
    """Rows and columns are labelled; video, sheet, page and figures are there, and each cell has its recipe."""
    said = mdctl("grid", "golf", "a <b>monkey</b>", "--strength", "0.5,1", "--checkpoint", "4,6", *FAST)
    assert said.code == 0, said.err
    film, sheet, page, figures = map(Path, said.lines)
    assert film.parent.parent == golf.folder / "grids"
    with av.open(str(film)) as container:
        (stream,) = container.streams.video
        assert len(list(container.decode(stream))) == 4
        assert stream.width > 2 * 96
    with Image.open(sheet) as image:
        assert image.size == (stream.width, stream.height)
    told = json.loads(figures.read_text())
    assert told["axes"] == {"checkpoint": ["4", "6"], "strength": ["0.5", "1"]}
    assert [(cell["save"], cell["strength"]) for cell in told["cells"]] == [(4, 0.5), (4, 1), (6, 0.5), (6, 1)]
    for cell in told["cells"]:
        recipe = sidecar(film.parent / cell["video"])
        assert (recipe["voices"][0]["save"], recipe["settings"]["strength"]) == (cell["save"], cell["strength"])
    text = page.read_text()
    assert "<script" not in text
    assert "a &lt;b&gt;monkey" in text
    assert text.count("data:video/mp4;base64,") == 4
    assert not re.search(r"(?:src|href)=\"(?!data:)", text)
    assert "checkpoint 4" in text
    assert "strength 0.5" in text


def test_only_missing_cells_are_made(mdctl: Mdctl, golf: Project) -> None:
    """The same line again makes nothing; one more value makes only what is new; a cell that is lost comes back."""
    flags = ("grid", "golf", "a monkey", *FAST, "--json")
    first = mdctl(*flags, "--strength", "0.5,1").records[-1]
    assert (first["cells"], first["made"]) == (2, 2)
    assert mdctl(*flags, "--strength", "0.5,1").records[-1]["made"] == 0
    assert mdctl(*flags, "--strength", "0.5,1,1.5").records[-1]["made"] == 1
    cell = next(iter(golf.folder.glob("grids/*/cells/*.mp4")))
    cell.unlink()
    cell.with_suffix(".json").unlink()
    assert mdctl(*flags, "--strength", "0.5,1,1.5").records[-1]["made"] == 1
    assert cell.is_file()


def test_the_same_in_other_words_is_one_cell(mdctl: Mdctl, golf: Project) -> None:
    """It is made once and shown once, whichever side it stands on."""
    words = ("--strength", "1,1.0,0.5", "--checkpoint", "last,6", "--seed", "1,01")
    said = mdctl("grid", "golf", "a monkey", *words, *FAST)
    assert said.code == 0, said.err
    told = json.loads(Path(said.lines[-1]).read_text())
    assert [(cell["strength"], cell["column"]) for cell in told["cells"]] == [(1, "strength 1"), (0.5, "strength 0.5")]
    assert told["axes"] == {"checkpoint": ["last"], "strength": ["1", "0.5"]}
    assert len(list(golf.folder.glob("grids/*/cells/*.mp4"))) == 2


def test_starts_and_seeds(mdctl: Mdctl, golf: Project) -> None:
    """Noise of a clip can vary as well, and every seed has a row of its own."""
    said = mdctl("grid", "golf", "a monkey", "--follow", "0,0.5", "--seed", "1,2", *FAST)
    assert said.code == 0, said.err
    cells = json.loads(Path(said.lines[-1]).read_text())["cells"]
    assert [(cell["follow"], cell["seed"]) for cell in cells] == [(0, 1), (0, 2), (0.5, 1), (0.5, 2)]
    assert len({cell["row"] for cell in cells}) == 2


@pytest.mark.parametrize(
    ("flags", "code", "told"),
    [
        (("--strength", "0.5,x"), 4, "'x' cannot be used"),
        (("--strength", ","), 2, "--strength lists nothing"),
        (("--strength", "1,2", "--checkpoint", "4,6", "--follow", "0,1"), 2, "a grid has two sides"),
        (("--checkpoint", "5"), 3, "has no save '5'"),
        (("--seed", "x"), 4, "'x' is no seed"),
        (("--follow", "x"), 4, "'x' is no share"),
        (("--follow", "2"), 4, "gen.follow"),
        (("--seed", ",".join(map(str, range(150)))), 2, "are a lot to wait for"),
    ],
)
def test_refusals(mdctl: Mdctl, golf: Project, flags: tuple[str, ...], code: int, told: str) -> None:
    """Nothing is made; ten thousand cells have to be meant."""
    said = mdctl("grid", "golf", "a monkey", *flags, *FAST)
    assert (said.code, told in said.err) == (code, True), said.err
    assert not list(golf.folder.glob("grids/*/cells/*"))


def test_a_plan_writes_nothing(mdctl: Mdctl, golf: Project) -> None:
    """--dry-run tells how many cells there are and how many are missing."""
    said = mdctl("grid", "golf", "a monkey", "--strength", "0.5,1", "--dry-run", "--json")
    assert json.loads(said.out)["missing"] == 2
    assert not (golf.folder / "grids").exists()


def test_a_cell_is_what_gen_makes(mdctl: Mdctl, golf: Project) -> None:
    """A strength of its own holds as far as the project says of numbers, also where its own strength is a schedule."""
    golf.set("gen.strength_until", 0.5)
    golf.set("gen.strength", "1@0-0.5+0.4@0.5-1")
    said = mdctl("grid", "golf", "a monkey", "--strength", "0.8,1@0-1", "--seed", "1", *FAST)
    for cell, strength in zip(json.loads(Path(said.lines[-1]).read_text())["cells"], ("0.8", "1@0-1"), strict=True):
        recipe = sidecar(Path(said.lines[-1]).parent / cell["video"])
        made = mdctl("gen", "golf", "a monkey", "--strength", strength, "--seed", "1", *FAST).lines[0]
        assert recipe["id"] == sidecar(made)["id"]
    assert "mdctl pin golf --checkpoint 6 --strength 1@0-1 " in said.err


# --- Pin


def test_a_whole_schedule_stays_one(mdctl: Mdctl, golf: Project) -> None:
    """Pinned it holds all the way, as it does when it is typed, and not as far as numbers do."""
    golf.set("gen.strength_until", 0.5)
    strengths = {}
    for pinned in ("1@0-1", "1"):
        assert mdctl("pin", "golf", "--strength", pinned).code == 0
        made = mdctl("gen", "golf", "a monkey", *FAST).lines[0]
        strengths[pinned] = sidecar(made)["voices"][0]["strength"]
    assert strengths == {"1@0-1": 1.0, "1": "1@0-0.5"}
    assert "--strength 1@0-0.3" in mdctl("grid", "golf", "a monkey", "--strength", "1,1@0-0.3", *FAST).err


def test_a_pinned_choice_is_what_gen_takes(mdctl: Mdctl, golf: Project) -> None:
    """Until flags say otherwise, or it is cleared; comments of project.toml stay."""
    path = golf.folder / "project.toml"
    path.write_text(path.read_text() + "\n# mine\n")
    assert mdctl("pin", "golf", "--checkpoint", "4", "--strength", "0.5").code == 0
    assert "# mine" in path.read_text()

    def taken(*flags: str) -> tuple[int, float]:
        said = mdctl("gen", "golf", "a monkey", *flags, *FAST, "-q")
        assert said.code == 0, said.err
        voice = sidecar(said.lines[0])["voices"][0]
        return voice["save"], voice["strength"]

    assert taken() == taken("--checkpoint", "pinned") == (4, 0.5)
    assert taken("--checkpoint", "last", "--strength", "1") == (6, 1)
    assert mdctl("pin", "golf", "--clear").code == 0
    assert taken() == (6, 1)
    said = mdctl("gen", "golf", "a monkey", "--checkpoint", "pinned")
    assert (said.code, "no save of 'golf' is pinned" in said.err) == (3, True)


@pytest.mark.parametrize(
    ("flags", "code"),
    [
        ((), 2),
        (("--clear", "--strength", "1"), 2),
        (("--checkpoint", "5"), 3),
        (("--strength", "x"), 4),
        (("--follow", "5"), 4),
        (("--follow", "nan"), 4),
    ],
)
def test_what_cannot_be_pinned(mdctl: Mdctl, golf: Project, flags: tuple[str, ...], code: int) -> None:
    """The project stays as it was."""
    before = (golf.folder / "project.toml").read_bytes()
    assert mdctl("pin", "golf", *flags).code == code
    assert (golf.folder / "project.toml").read_bytes() == before


def test_a_pinned_save_that_is_gone(mdctl: Mdctl, golf: Project) -> None:
    """It is named, with the line that forgets it."""
    golf.set("pin.checkpoint", "99")
    said = mdctl("gen", "golf", "a monkey")
    assert said.code == 3
    assert "mdctl pin golf --clear" in said.err


@pytest.mark.parametrize(("key", "value"), [("follow", 5.0), ("folow", 0.3)])
def test_a_pinned_value_that_cannot_be_used(mdctl: Mdctl, golf: Project, key: str, value: float) -> None:
    """Whoever wrote it there is told the line that forgets it, and with that all is well."""
    golf.set(f"pin.{key}", value)
    for line in (("gen", "golf", "a monkey", *FAST), ("train", "golf", "--steps", "7")):
        said = mdctl(*line)
        assert (said.code, "pin golf: " in said.err, "mdctl pin golf --clear" in said.err) == (4, True, True), said.err
    assert mdctl("pin", "golf", "--clear").code == 0
    assert mdctl("gen", "golf", "a monkey", *FAST).code == 0
