"""`gallery`: one page of all videos that is whole, harmless, and small enough to be mailed, or says that it is not."""

import base64
import hashlib
import json
import shutil
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import numpy as np
import pytest
from stage import Mdctl

from mdctl.cli.view import curves, gallery
from mdctl.media import ffmpeg
from mdctl.workspace import locations
from mdctl.workspace.project import Project
from mdctl.workspace.runs import Run

HOSTILE = (
    "</script><script>alert(1)</script>\"' onload=x <img src=x onerror=y> \u202egnp.\x1b[2J\x00 --> {{NAME}} &amp;"
)
SPELT = r"\u202egnp.\x1b[2J\x00"


class Page(HTMLParser):
    """A page as a browser takes it: its tags with their attributes, and the text between them."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.raw = path.read_text(encoding="utf-8")
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text: dict[str, str] = {}
        self._open: list[str] = []
        self.feed(self.raw)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note a tag."""
        self.tags.append((tag, dict(attrs)))
        if tag not in ("meta", "img", "input", "path", "polyline", "circle"):
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        """Every tag that is closed was the last to be opened."""
        if tag not in ("path", "polyline", "circle"):
            assert self._open.pop() == tag

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note a tag that holds nothing."""
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        """Gather the text by the tag that it stands in."""
        place = self._open[-1] if self._open else ""
        self.text[place] = self.text.get(place, "") + data

    def all(self, tag: str) -> list[dict[str, str | None]]:
        """The attributes of all tags of a name."""
        return [attributes for name, attributes in self.tags if name == tag]

    @property
    def policy(self) -> str:
        """The Content-Security-Policy."""
        return next(one["content"] or "" for one in self.all("meta") if "http-equiv" in one)


def film(folder: Path, name: str, **record: object) -> Path:
    """A small video with a sidecar that says this; without one where nothing is said."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    kind = path.suffix[1:]
    path.write_bytes(ffmpeg.encode(np.full((4, 32, 32, 3), 90, np.uint8), 8, format=kind))  # type: ignore[arg-type]
    if record:
        voice = {"project": "golf", "file": "temporal.safetensors", "strength": 0.7, "save": 4}
        about = {"prompt": "a monkey", "seed": 7, "voices": [voice], "settings": {"width": 32, "height": 32}}
        about |= {"model": {"name": "starter"}, "created": "2026-11-22T07:31:00Z"}
        path.with_suffix(".json").write_text(json.dumps(about | record), encoding="utf-8")
    return path


def written(mdctl: Mdctl, *arguments: str) -> Page:
    """The page that a gallery writes."""
    said = mdctl("gallery", *arguments)
    assert said.code == 0, said.err
    return Page(Path(said.lines[-1]))


# --- What is on it.


def test_a_page_of_everything(mdctl: Mdctl, golf: Project, home: Path) -> None:
    """Videos of projects and mixes with what made them, the clips beside them, and the losses as a drawing."""
    film(golf.outputs, "a.mp4", prompt="a monkey playing golf")
    film(golf.outputs, "b.gif", prompt="a panda", seed=8)
    look = {"project": "clay", "file": "spatial_000.safetensors", "strength": "1.0@0-0.5", "save": 60}
    film(locations.mixes() / "clay+golf" / "outputs", "c.webp", prompt="a statue", voices=[look])
    said = mdctl("gallery", "--json")
    record = json.loads(said.lines[-1])
    assert (record["videos"], record["linked"]) == (3, False)
    page = Page(home / "gallery.html")
    assert record["paths"] == [str(home / "gallery.html")]
    assert len(page.all("article")) == 3
    films = [one["src"] or "" for tag in ("video", "img") for one in page.all(tag)]
    assert sorted(one[:15] for one in films) == sorted(
        ["data:video/mp4;", "data:image/gif;", "data:image/webp", *["data:video/mp4;"] * 2]
    )
    for words in ("a monkey playing golf", "a red square is walking", "walk.mp4", "strength 0.7, save 4"):
        assert words in page.raw
    assert "clay, strength 1.0@0-0.5, save 60" in page.raw
    assert {one["class"] for one in page.all("polyline")} == {"motion", "appearance"}
    assert str(home) not in page.raw  # nor any other place on this computer: the base model is a folder here
    assert str(golf.record.model) not in page.raw


def test_videos_come_first(mdctl: Mdctl, golf: Project, home: Path) -> None:
    """What has videos stands above what has none."""
    shutil.copytree(golf.folder, golf.folder.with_name("a-new-one"))
    film(golf.outputs, "a.mp4", prompt="a monkey playing golf")
    assert mdctl("gallery").code == 0
    page = Page(home / "gallery.html").raw
    assert page.index(">golf<") < page.index(">a-new-one<")


def test_one_project_with_the_mixes_it_speaks_in(mdctl: Mdctl, golf: Project) -> None:
    """Another project's videos are not on its page; a mix has a page of its own, too."""
    film(golf.outputs, "a.mp4", prompt="a monkey")
    other = [{"project": "clay", "file": "spatial_000.safetensors", "strength": 1.0, "save": 60}]
    film(locations.mixes() / "clay+golf" / "outputs", "b.mp4", prompt="a statue")
    film(locations.mixes() / "clay+golf" / "outputs", "c.mp4", prompt="clay alone", voices=other)
    film(locations.mixes() / "clay+zoom" / "outputs", "d.mp4", prompt="a wall", voices=other)
    page = written(mdctl, "golf")
    assert len(page.all("article")) == 2
    assert "clay alone" not in page.raw
    mix = written(mdctl, "clay+golf")
    assert len(mix.all("article")) == 2
    assert mdctl("gallery", "golf", "-q").lines == [str(golf.folder / "gallery.html")]


def test_what_is_not_there(mdctl: Mdctl, home: Path, golf: Project) -> None:
    """Unknown names are told, and so is a home with nothing in it; a project without videos has a page all the same."""
    assert mdctl("gallery", "gulf").code == 3
    assert mdctl("gallery", "clay+gulf").code == 3
    assert "No videos yet" in written(mdctl, "golf").raw
    assert mdctl("gallery", "--home", str(home / "empty")).code == 3


def test_what_is_spoilt_is_shown_as_far_as_it_goes(mdctl: Mdctl, golf: Project, tmp_path: Path) -> None:
    """Sidecars that are missing or hold anything else, links, clips that are gone: told, and no crash."""
    film(golf.outputs, "a.mp4")
    film(golf.outputs, "b.mp4", prompt=["no", "text"], seed=True, voices="nobody", settings={"width": "x"}, model=3)
    film(golf.outputs, "c.mp4", prompt="x", voices=[1, {"project": {}}])
    (golf.outputs / "c.json").write_text("[" * 100_000)
    (golf.outputs / "d.mp4").symlink_to(tmp_path / "elsewhere")
    golf.path_of(golf.clips[0]).unlink()
    said = mdctl("gallery", "golf")
    assert said.code == 0
    assert "'d.mp4' is left out" in said.err
    assert "the clip 'walk.mp4' of 'golf' is not shown" in said.err
    page = Page(Path(said.lines[0]))
    assert len(page.all("article")) == 3
    assert "cannot be shown" in page.raw
    assert "needs attention" in page.raw
    (golf.folder / "project.toml").write_text("[")
    assert "needs attention" in written(mdctl).raw


def test_a_clip_that_is_another_now_is_not_shown(mdctl: Mdctl, golf: Project) -> None:
    """A page tells what a motion was learned from, and that is not what lies there now."""
    walk, other = (golf.path_of(clip) for clip in golf.clips)
    shutil.copy(other, walk)
    said = mdctl("gallery", "golf")
    assert "the clip 'walk.mp4' of 'golf' is not shown: the content of " in said.err
    assert Page(Path(said.lines[0])).raw.count("cannot be shown") == 1


@pytest.mark.parametrize(
    ("file", "kind"), [("temporal", "motion"), ("coupled", "motion"), ("spatial_000", "appearance")]
)
def test_what_a_voice_carries(mdctl: Mdctl, golf: Project, file: str, kind: str) -> None:
    """A motion that was learned together with its look is one too."""
    voice = {"project": "golf", "file": f"{file}.safetensors", "strength": 1.0, "save": 4}
    film(golf.outputs, "a.mp4", voices=[voice])
    assert f"<dt>{kind}</dt>" in written(mdctl, "golf").raw


# --- That it is harmless.


def test_hostile_words_stay_words(mdctl: Mdctl, golf: Project, run: Run) -> None:
    """Whatever a prompt, a caption or a name of a clip holds, the page has one script, and nothing of it acts."""
    golf.set("caption", HOSTILE.replace("\x00", ""))
    golf.set_clips([replace(clip, name=HOSTILE.replace("\x00", ""), caption="<b>") for clip in golf.clips])
    voice = {"project": HOSTILE, "file": HOSTILE, "strength": HOSTILE, "save": HOSTILE}
    film(golf.outputs, "a'\" onload=x.mp4", prompt=HOSTILE, voices=[voice], model={"name": HOSTILE}, created=HOSTILE)
    film(golf.outputs, "b.mp4")
    film(locations.mixes() / "<i>+'\"" / "outputs", "c.mp4", prompt=HOSTILE, seed=HOSTILE)
    with run.log.open("a") as log:
        log.write(json.dumps({"seq": 99, "event": "step", "step": "<b>", "loss": {"motion": HOSTILE}}) + "\n")
    page = written(mdctl)
    assert [tag for tag, _ in page.tags if tag in ("script", "style", "b", "i", "iframe", "object")].count(
        "script"
    ) == 1
    assert not page.all("b")
    assert {one.get("class") for one in page.all("i")} <= {"motion", "appearance"}
    for tag, attributes in page.tags:
        assert not [name for name in attributes if name.startswith("on") or name == "style"], tag
        assert (attributes.get("src") or "data:").startswith("data:")
        assert (attributes.get("href") or "#").startswith("#")
    prompts = [one["data-words"] or "" for one in page.all("article")]
    assert sum(SPELT in words for words in prompts) == 2
    assert SPELT in page.text["p"]
    assert "{{NAME}} &amp;" in page.text["p"]
    assert not set(page.raw) & {"\u202e", "\x1b", "\x00"}
    assert "http" not in page.raw.replace("http-equiv", "")


def test_nothing_but_its_own_script_may_run(mdctl: Mdctl, golf: Project) -> None:
    """The policy knows script and style by their hashes, and lets nothing be loaded or sent."""
    page = written(mdctl, "golf")
    for place in ("script", "style"):
        digest = base64.b64encode(hashlib.sha256(page.text[place].encode()).digest()).decode()
        assert f"{place}-src 'sha256-{digest}'" in page.policy
    assert page.policy.startswith("default-src 'none'; img-src data:; media-src data:;")
    assert "unsafe" not in page.policy
    assert "</" not in page.text["script"]


def test_a_course_takes_what_is_a_number() -> None:
    """Steps taken again count as they were taken last; everything that is no loss is left out."""
    course = curves.read(
        [
            {"event": "step", "step": 1, "loss": {"motion": 9.0, "appearance": None}},
            {"event": "step", "step": 1, "loss": {"motion": 2.0}},
            {"event": "step", "step": 2, "loss": {"motion": float("inf")}},
            {"event": "step", "step": 10**400, "loss": {"motion": 1.0}},
            {"event": "step", "step": 3, "loss": "none"},
            {"event": "step", "step": 4, "loss": {"motion": 1.0, "<b>": 1.0}},
            {"event": "save", "step": 4},
            {"event": "save", "step": "5"},
        ]
    )
    assert course == curves.Course({"motion": [(1, 2.0), (4, 1.0)]}, [4])
    assert 'aria-label="loss over 4 steps: motion 2.000 to 1.000"' in curves.svg(course)
    assert "circle" in curves.svg(curves.Course({"motion": [(1, 0.0)]}, []))
    many = curves.svg(curves.Course({"motion": [(step, 1.0) for step in range(1, 5000)]}, []))
    assert many.count(",") <= curves.POINTS + 1


# --- How large, and where.


def test_a_page_that_would_be_too_large_links(mdctl: Mdctl, golf: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is said on the screen and in the page, and each link leads from the page to the video."""
    name = "a b%41#.mp4"
    film(golf.outputs, name, prompt="a monkey")
    monkeypatch.setattr(gallery, "LIMIT_BYTES", 1000)
    said = mdctl("gallery", "golf")
    assert (said.code, "it links to them instead" in said.err) == (0, True)
    page = Page(Path(said.lines[0]))
    (link,) = [one["src"] or "" for one in page.all("video") if not (one["src"] or "").startswith("data:")]
    assert unquote(link) == f"outputs/{name}"
    assert "it cannot be mailed" in page.raw
    assert "media-src data: 'self' file:;" in page.policy
    assert '"code": "MD-LINKED"' in mdctl("gallery", "golf", "--json").out


def test_a_page_elsewhere(mdctl: Mdctl, golf: Project, tmp_path: Path) -> None:
    """-o replaces nothing without --force, which keeps the old file in the trash; --link finds the way from there."""
    film(golf.outputs, "a.mp4", prompt="a monkey")
    target = tmp_path / "pages" / "golf.html"
    assert mdctl("gallery", "golf", "-o", str(target), "-q").lines == [str(target)]
    target.write_text("mine")
    assert mdctl("gallery", "golf", "-o", str(target)).code == 2
    assert target.read_text() == "mine"
    page = written(mdctl, "golf", "-o", str(target), "--force", "--link")
    assert [path.read_text() for path in locations.trash().iterdir()] == ["mine"]
    (link,) = [one["src"] or "" for one in page.all("video") if not (one["src"] or "").startswith("data:")]
    assert (target.parent / unquote(link)).resolve() == (golf.outputs / "a.mp4").resolve()
    for name in ("golf.mp4", "golf", str(tmp_path)):
        assert mdctl("gallery", "golf", "-o", name).code == 2
