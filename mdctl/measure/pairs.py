"""A page on which people compare videos in pairs: shuffled, without names, and with its answers as a file.

The page is whole in itself: its videos lie inside it, it loads nothing and sends nothing. Which video is whose is not
in it, but in a key that stays with whoever asks.
"""

import base64
import json
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from importlib.resources import files
from pathlib import Path
from typing import Any

from mdctl.measure.campaign import Item

MOST = 100
"""Pairs on one page: more make it too heavy, and nobody answers them all."""

ANCHOR = "full"


@dataclass(frozen=True)
class Pair:
    """Two videos of one prompt and noise, in the order in which they are shown."""

    id: str
    left: Item
    right: Item


def draw(items: Sequence[Item], seed: int = 0) -> list[Pair]:
    """`full` beside each other method, for the same unit, prompt and seeds; shuffled, sides too, by the seed alone."""
    chance = random.Random(seed)
    own = {_place(item): item for item in items if item.method == ANCHOR}
    both = []
    for other in (item for item in items if item.method != ANCHOR):
        if item := own.get(_place(other)):
            both.append((item, other) if chance.random() < 0.5 else (other, item))
    chance.shuffle(both)
    return [Pair(f"p{number:03d}", left, right) for number, (left, right) in enumerate(both[:MOST], 1)]


def _place(item: Item) -> tuple[str, str, int, int]:
    return item.unit.unit, item.wish.id, item.train_seed, item.seed


def page(pairs: Sequence[Pair], content: Callable[[Item], bytes], clip: Callable[[Item], bytes], name: str) -> str:
    """The page; `content` gives a video as mp4, `clip` the reference clip of its unit."""
    parts = []
    for pair in pairs:
        prompt = escape(pair.left.wish.prompt)
        videos = "".join(
            f'<figure><video src="{_embedded(file)}" autoplay loop muted playsinline></video>'
            f"<figcaption>{title}</figcaption></figure>"
            for title, file in (
                ("Clip", clip(pair.left)),
                ("A", content(pair.left)),
                ("B", content(pair.right)),
            )
        )
        parts.append(
            f'<section id="{pair.id}"><h2>{prompt}</h2><div>{videos}</div>'
            + _question(pair.id, "motion", "Which moves more like the clip?")
            + _question(pair.id, "look", "Which shows better what the line above says?")
            + "</section>"
        )
    frame = files("mdctl.measure").joinpath("pairs.html").read_text("utf-8")
    marks = {"{{NAME}}": escape(name), "{{COUNT}}": str(len(pairs)), "{{PAIRS}}": "\n".join(parts)}
    before, _, rest = frame.partition("{{PAIRS}}")
    for mark in ("{{NAME}}", "{{COUNT}}"):  # in the frame alone: a prompt may hold such a mark too
        before, rest = (part.replace(mark, marks[mark]) for part in (before, rest))
    return before + marks["{{PAIRS}}"] + rest


def _question(pair: str, about: str, text: str) -> str:
    choices = "".join(
        f'<label><input type="radio" name="{pair}-{about}" value="{value}"> {title}</label>'
        for value, title in (("left", "A"), ("right", "B"), ("same", "no difference"))
    )
    return f"<fieldset><legend>{text}</legend>{choices}</fieldset>"


def _embedded(file: bytes) -> str:
    return f"data:video/mp4;base64,{base64.b64encode(file).decode('ascii')}"


def answer_key(pairs: Sequence[Pair], videos: Mapping[Item, Path]) -> str:
    """Which video is whose, as JSON; to be kept from those who answer."""

    def side(item: Item) -> dict[str, Any]:
        return {"method": item.method, "video": str(videos[item])}

    told = {
        pair.id: {
            "unit": pair.left.unit.unit,
            "id": pair.left.wish.id,
            "train_seed": pair.left.train_seed,
            "seed": pair.left.seed,
            "left": side(pair.left),
            "right": side(pair.right),
        }
        for pair in pairs
    }
    return json.dumps(told, indent=1)
