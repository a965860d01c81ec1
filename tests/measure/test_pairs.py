"""A page of pairs is fair, anonymous, whole in itself, and shows foreign words as words."""

import json
from html.parser import HTMLParser
from pathlib import Path

from mdctl.measure import pairs
from mdctl.measure.campaign import Item
from mdctl.measure.manifest import Unit, Wish

PROMPT = '<img src=x onerror=alert(1)> & "quoted" {{COUNT}} {{PAIRS}} it\'s'
UNIT = Unit("golf", (Path("g.mp4"),), "x", tuple(Wish(f"p{n}", "appearance", f"{PROMPT} {n}") for n in range(30)))
ITEMS = [Item(method, UNIT, wish, 0, 0) for method in ("base", "full", "no-ad") for wish in UNIT.eval]


class Page(HTMLParser):
    """What a browser finds in it."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.words: dict[str, list[str]] = {}
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note a tag."""
        self.tags.append((tag, dict(attrs)))
        if tag not in ("meta", "input"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        """Every one closes the last that was opened."""
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        """Note words by their tag."""
        if self.open:
            self.words.setdefault(self.open[-1], []).append(data)


def written() -> tuple[list[pairs.Pair], str]:
    """A page whose videos say whose they are, as base64 hides it."""
    drawn = pairs.draw(ITEMS)
    return drawn, pairs.page(drawn, lambda item: item.method.encode(), lambda item: b"clip", "<my bench>")


def test_each_pair_has_full_on_one_side() -> None:
    """For every prompt beside each other method, sides and order shuffled, by the seed alone."""
    drawn = pairs.draw(ITEMS)
    assert len(drawn) == 60
    assert all("full" in (pair.left.method, pair.right.method) for pair in drawn)
    assert all(pair.left.wish == pair.right.wish for pair in drawn)
    lefts = sum(pair.left.method == "full" for pair in drawn)
    assert 15 < lefts < 45
    assert [pair.left.wish.id for pair in drawn[:30]] != [wish.id for wish in UNIT.eval]
    assert drawn == pairs.draw(ITEMS)
    assert drawn != pairs.draw(ITEMS, seed=1)
    assert pairs.draw([item for item in ITEMS if item.method != "full"]) == []
    many = [Item(f"m{n}", UNIT, wish, 0, 0) for n in range(9) for wish in UNIT.eval]
    assert len(pairs.draw([*ITEMS, *many])) == pairs.MOST


def test_the_page_is_whole_and_sound() -> None:
    """Tags nest, nothing is loaded from anywhere, every question has three answers."""
    _, text = written()
    page = Page(text)
    assert page.open == []
    assert all(
        str(value).startswith("data:video/mp4;base64,") for _, found in page.tags for name, value in found.items()
        if name in ("src", "href")
    )  # fmt: skip
    assert not {"img", "link", "iframe", "object"} & {tag for tag, _ in page.tags}
    assert sum(tag == "video" for tag, _ in page.tags) == 180
    assert sum(found.get("type") == "radio" for _, found in page.tags) == 60 * 2 * 3
    assert "default-src 'none'" in text


def test_foreign_words_stay_words() -> None:
    """Prompts and the name are shown as they are, marks of the page in them too."""
    page = Page(written()[1])
    assert sorted(set(page.words["h2"])) == sorted(wish.prompt for wish in UNIT.eval)
    assert page.words["title"] == ["<my bench>: 60 pairs of videos"]


def test_nothing_tells_whose_a_video_is_but_the_key() -> None:
    """No name of a method is in the page; the key has them all."""
    drawn, text = written()
    for method in ("no-ad", ">full", "full<", '"full', "base<"):
        assert method not in text
    key = json.loads(pairs.answer_key(drawn, {item: Path("v.mp4") for item in ITEMS}))
    assert {pair.id: [pair.left.method, pair.right.method] for pair in drawn} == {
        name: [found["left"]["method"], found["right"]["method"]] for name, found in key.items()
    }
    assert {(found["train_seed"], found["seed"]) for found in key.values()} == {(0, 0)}
