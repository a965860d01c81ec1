"""`gen`: a video of what was asked for, with all that is needed to make it again, or a sentence why not."""

import io
import json
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from PIL import Image
from stage import Mdctl, Play, sidecar

from mdctl.errors import NotReady
from mdctl.media import ffmpeg
from mdctl.workspace import locations
from mdctl.workspace.project import Project
from mdctl.workspace.runs import Run

Hold = Callable[[Path], None]
FAST = ("--steps", "1", "--threads", "1")


# --- What is made


def test_videos_that_browsers_play(mdctl: Mdctl, golf: Project) -> None:
    """The paths are stdout; each is H.264, yuv420p, of the asked size, frames and rate."""
    shape = ("--size", "48x32", "--frames", "6", "--fps", "12")
    said = mdctl("gen", "golf", "a monkey playing golf", "--count", "2", "--seed", "7", *FAST, *shape, "-q")
    assert (said.code, said.err) == (0, "")
    assert [Path(line).parent for line in said.lines] == [golf.outputs] * 2
    assert [sidecar(line)["seed"] for line in said.lines] == [7, 8]
    assert golf.videos() == sorted(map(Path, said.lines))
    for line in said.lines:
        with av.open(line) as container:
            (stream,) = container.streams
            assert (stream.codec_context.name, stream.pix_fmt) == ("h264", "yuv420p")
            assert (stream.width, stream.height, stream.average_rate) == (48, 32, 12)
            assert len(list(container.decode(stream))) == 6
            assert "monkey" not in str(container.metadata)


def test_the_name_tells_prompt_and_seed(mdctl: Mdctl, golf: Project) -> None:
    """A video is called by time, prompt and seed, and a taken name gets a number."""
    first, second = (mdctl("gen", "golf", "A Monkey!", "--seed", "3", *FAST, "-q").lines[0] for _ in range(2))
    assert Path(first).name.endswith("_a-monkey_s3.mp4")
    assert Path(second) != Path(first)
    assert Path(first).exists()
    assert Path(second).exists()


def test_the_sidecar_makes_it_again(mdctl: Mdctl, golf: Project, run: Run, model: Path) -> None:
    """Everything a video hangs on stands beside it; the same again gives the same bytes."""
    flags = ("--strength", "0.5", "--guidance", "3", "--negative", "blue", *FAST)
    first = mdctl("gen", "golf", "a red square", *flags, "-q").lines[0]
    told = sidecar(first)
    (voice,) = told["voices"]
    assert (told["prompt"], told["project"], voice["project"]) == ("a red square", "golf", "golf")
    assert (voice["run"], voice["save"], voice["strength"]) == (run.id, 6, 0.5)
    assert told["model"] == {"name": str(model), "fingerprint": run.settings["model"]["fingerprint"]}
    assert voice["sha256"] == run.saves()[-1].manifest["temporal.safetensors"].sha256
    assert told["precision"] == "fp32"
    assert (told["device"], told["threads"]) == ("cpu, 1 threads", 1)
    assert {"mdctl", "torch", "diffusers", "transformers", "peft", "id", "created"} <= set(told)
    assert told["video"] == Path(first).name
    settings = told["settings"]
    assert settings == {
        "steps": 1, "guidance": 3.0, "strength": 0.5, "appearance_strength": 0, "follow": 0, "clip": 1,
        "negative": "blue",
        "frames": 4, "fps": 8, "width": 32, "height": 32, "precision": "auto", "merged": True,
    }  # fmt: skip
    again = [
        *("gen", told["project"], told["prompt"], "--seed", str(told["seed"]), "--checkpoint", str(voice["save"])),
        *("--steps", str(settings["steps"]), "--guidance", str(settings["guidance"])),
        *("--strength", str(settings["strength"]), "--negative", settings["negative"]),
        *("--frames", str(settings["frames"]), "--fps", str(settings["fps"])),
        *("--size", f"{settings['width']}x{settings['height']}", "--threads", str(told["threads"])),
    ]
    second = mdctl(*again, "-q").lines[0]
    assert Path(second).read_bytes() == Path(first).read_bytes()


def frames(path: str) -> Any:
    """The frames of a video."""
    with av.open(path) as container:
        return np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]).astype(int)


def test_every_choice_makes_a_difference(mdctl: Mdctl, golf: Project) -> None:
    """Another seed, strength, prompt, guidance or save makes another video; strength 0 is the base model alone."""
    choices: list[tuple[str, ...]] = [
        ("a red square", "--seed", "1"),
        ("a red square", "--seed", "2"),
        ("a red square", "--seed", "1", "--strength", "0"),
        ("a blue circle", "--seed", "1"),
        ("a red square", "--seed", "1", "--guidance", "0"),
        ("a red square", "--seed", "1", "--guidance", "1"),
        ("a red square", "--seed", "1", "--checkpoint", "4"),
    ]
    made = [frames(mdctl("gen", "golf", *choice, *FAST, "-q").lines[0]) for choice in choices]
    for first in range(len(made)):
        for second in range(first):
            assert np.abs(made[first] - made[second]).max() > 0, (choices[first], choices[second])


def test_a_strength_that_holds_for_a_part_of_the_way(mdctl: Mdctl, golf: Project) -> None:
    """A setting says how far a number holds; its video is the schedule's, and comes out again from its own file."""
    slow = ("--steps", "4", "--size", "32x32", "--seed", "1", "-q")
    whole, written = (frames(mdctl("gen", "golf", "a red square", *slow, "--strength", one).lines[0])
                      for one in ("1", "1@0-0.5"))  # fmt: skip
    golf.set("gen.strength_until", 0.5)
    short = mdctl("gen", "golf", "a red square", *slow, "--strength", "1").lines[0]
    told = mdctl("gen", "golf", "a red square", *slow, "--strength", "1@0-1").lines[0]
    assert np.array_equal(frames(short), written)
    assert np.array_equal(frames(told), whole)
    assert not np.array_equal(frames(short), whole)
    assert sidecar(short)["settings"]["strength_until"] == 0.5
    assert sidecar(short)["voices"][0]["strength"] == "1@0-0.5"
    golf.set("gen.strength_until", None)
    assert mdctl("gen", "--from", short, "--check").code == 0


@pytest.mark.parametrize(("name", "kind"), [("walk.gif", "GIF"), ("walk.webp", "WEBP")])
def test_other_formats(mdctl: Mdctl, golf: Project, tmp_path: Path, name: str, kind: str) -> None:
    """The ending of -o or --format choose an animation instead of an mp4."""
    path = tmp_path / "new" / name
    said = mdctl("gen", "golf", "a red square", "-o", str(path), *FAST)
    assert (said.code, said.lines) == (0, [str(path)])
    with Image.open(io.BytesIO(path.read_bytes())) as picture:
        assert (picture.format, picture.size, getattr(picture, "n_frames", 1)) == (kind, (32, 32), 4)
    line = mdctl("gen", "golf", "a red square", "--format", kind.lower(), *FAST, "-q").lines[0]
    assert line.endswith(path.suffix)


def test_json_lines(mdctl: Mdctl, golf: Project, run: Run) -> None:
    """A record for each video, and the result with all paths."""
    said = mdctl("--json", "gen", "golf", "a red square", "--count", "2", "--seed", "5", *FAST)
    assert said.code == 0
    *videos, result = said.records
    assert [(record["event"], record["seed"], record["prompt"]) for record in videos] == [
        ("video", 5, "a red square"),
        ("video", 6, "a red square"),
    ]
    assert [record["seq"] for record in said.records] == [1, 2, 3]
    assert (result["event"], result["status"], result["run"]) == ("result", "done", run.id)
    assert result["paths"] == [record["path"] for record in videos]
    assert all(Path(record["sidecar"]).is_file() for record in videos)


@pytest.mark.parametrize(("fault", "code"), [(NotReady("no encoder."), 11), (KeyboardInterrupt(), 130)])
@pytest.mark.parametrize("finished", [2, 0])
def test_some_of_many(
    mdctl: Mdctl, golf: Project, monkeypatch: pytest.MonkeyPatch, fault: BaseException, code: int, finished: int
) -> None:
    """What was finished before a fault or Ctrl-C is the result, and how to make the rest is told."""
    encode, tries = ffmpeg.encode, count()

    def breaks(*given: Any, **how: Any) -> bytes:
        if next(tries) == finished:
            raise fault
        return encode(*given, **how)

    monkeypatch.setattr(ffmpeg, "encode", breaks)
    said = mdctl("--json", "gen", "golf", "a red square", "--count", "4", "--seed", "5", *FAST)
    paths = [str(path) for path in golf.videos()]
    assert len(paths) == finished
    if not finished:
        assert said.code == (5 if code == 11 else code)
        assert said.out == ""
        return
    result = said.records[-1]
    assert said.code == code
    assert (result["event"], result["status"], result["paths"], result["failed"]) == (
        "result",
        "partial",
        paths,
        [7, 8],
    )
    if code == 11:
        error = json.loads(said.err.splitlines()[-1])
        assert (error["exit"], error["why"]) == (11, "no encoder.")
        assert "--seed 7 --count 2" in error["fix"][-1]


def test_lines_tell_the_seed_and_what_may_be_next(mdctl: Mdctl, golf: Project) -> None:
    """A seed that was drawn is told, in a command that can be copied."""
    said = mdctl("gen", "golf", "a $5 monkey", *FAST)
    seed = sidecar(said.lines[0])["seed"]
    assert f"mdctl gen golf 'a $5 monkey' --seed {seed} --strength 1.2" in said.err


def test_settings_come_from_flag_project_and_template(
    mdctl: Mdctl, golf: Project, template: Callable[[str, str], str]
) -> None:
    """A flag wins over the project's own setting, and that over the template."""
    template("mine", "[gen]\nsteps = 4\nstrength = 0.5\nnegative = 'x'\n")
    golf.set("gen.steps", 3)
    golf.set("gen.strength", 0.7)
    said = mdctl("--json", "gen", "golf", "a", "-n", "--template", "mine", "--strength", "0.9")
    told = json.loads(said.out)["settings"]
    assert (told["steps"], told["strength"], told["negative"]) == (3, 0.9, "x")


def test_a_dry_run_writes_nothing(mdctl: Mdctl, golf: Project, home: Path, unchanged: Hold, tmp_path: Path) -> None:
    """With -n the settings are shown and nothing else happens, not even to a file that would be replaced."""
    unchanged(home)
    (tmp_path / "old.mp4").write_text("old")
    said = mdctl("gen", "golf", "a", "-n", "-o", str(tmp_path / "old.mp4"), "--force")
    assert said.code == 0
    assert "step 6" in said.out
    assert (tmp_path / "old.mp4").read_text() == "old"


# --- Prompts

STRANGE = (
    "[/] [red]x[/red] :smile: \\ esc \x1b[2J\x1b]0;pwned\x07 end",
    "c1 \x9b31m rtl \u202e two\nlines\tand a tab",
    "quotes \" ' ` $(touch pwn) \N{MONKEY} \u4f60\u597d stray \udcff byte",
)


@pytest.mark.parametrize("prompt", STRANGE)
def test_strange_prompts(mdctl: Mdctl, golf: Project, prompt: str) -> None:
    """Any text is a prompt: it is kept to the letter, and shown so that a terminal is safe."""
    said = mdctl("gen", "golf", prompt, *FAST)
    assert said.code == 0, said.err
    assert sidecar(said.lines[0])["prompt"] == prompt
    assert not set("\x1b\x9b\u202e\x07") & set(said.out + said.err)
    assert "[/]" in said.err or "[/]" not in prompt


def test_a_prompt_from_stdin(play: Play, golf: Project) -> None:
    """A dash reads the prompt; what follows it on the line is of no matter."""
    played = play("gen", "golf", "-", *FAST, "-q", stdin="a red square\nwalking\n")
    assert played.wait() == 0, played.err
    assert sidecar(played.out.strip())["prompt"] == "a red square\nwalking"


def test_a_prompt_that_begins_with_a_dash(mdctl: Mdctl, golf: Project) -> None:
    """After `--` nothing is a flag, not even those of every command."""
    said = mdctl("gen", "golf", *FAST, "--", "-q")
    assert said.code == 0
    assert sidecar(said.lines[0])["prompt"] == "-q"
    assert '-- "-q"' in said.err


def test_words_that_are_not_read(mdctl: Mdctl, golf: Project) -> None:
    """Words beyond the text encoder's limit are named, and the whole prompt is kept (C14)."""
    prompt = "a red square " + "on " * 5000 + "mars"
    said = mdctl("--json", "gen", "golf", prompt, *FAST)
    assert said.code == 0
    (warning,) = [record for record in said.records if record["event"] == "warning"]
    assert "does not read these words of the prompt" in warning["text"]
    assert warning["text"].endswith("mars.")
    assert sidecar(said.records[-1]["paths"][0])["prompt"] == prompt


@pytest.mark.parametrize("prompt", ["", "  ", "\n\t"])
def test_an_empty_prompt(mdctl: Mdctl, golf: Project, prompt: str) -> None:
    """Nothing to see is nothing to make."""
    said = mdctl("gen", "golf", prompt)
    assert said.code == 4
    assert "the prompt is empty" in said.err


def test_bytes_that_are_no_text(golf: Project, monkeypatch: pytest.MonkeyPatch, mdctl: Mdctl) -> None:
    """What comes on stdin has to be text."""
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"a \xff monkey"), encoding="utf-8"))
    said = mdctl("gen", "golf", "-")
    assert said.code == 4
    assert "what came on stdin is no text" in said.err


# --- Where it goes


def test_a_file_is_never_replaced(mdctl: Mdctl, golf: Project, tmp_path: Path) -> None:
    """With -o a name has to be free, that of the sidecar too; --force moves both to the trash."""
    path = tmp_path / "walk.mp4"
    path.write_text("mine")
    said = mdctl("gen", "golf", "a red square", "-o", str(path), *FAST)
    assert said.code == 2
    assert "exists" in said.err
    assert path.read_text() == "mine"
    path.unlink()
    path.with_suffix(".json").write_text("also mine")
    assert mdctl("gen", "golf", "a red square", "-o", str(path), *FAST).code == 2
    path.write_text("mine")
    said = mdctl("gen", "golf", "a red square", "-o", str(path), "--force", *FAST)
    assert (said.code, said.lines) == (0, [str(path)])
    assert sidecar(path)["video"] == "walk.mp4"
    assert sorted(old.read_text() for old in locations.trash().iterdir()) == ["also mine", "mine"]


def test_into_a_folder(mdctl: Mdctl, golf: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder takes the videos under their own names; paths on stdout are absolute."""
    monkeypatch.chdir(tmp_path)
    said = mdctl("gen", "golf", "a red square", "-o", "made/", "--count", "2", *FAST)
    assert said.code == 0
    assert [Path(line).parent for line in said.lines] == [tmp_path / "made"] * 2
    assert golf.videos() == []


@pytest.mark.parametrize(
    ("flags", "code", "words"),
    [
        (("-o", "DIR/x.avi"), 2, "-o video.mp4"),
        (("-o", "DIR/x"), 2, "-o video.mp4"),
        (("-o", "DIR/x.mp4", "--format", "gif"), 2, "x.mp4' says mp4, and --format says gif"),
        (("-o", "DIR/x.mp4", "--count", "2"), 2, "2 videos do not fit into one file"),
        (("--steps", "0"), 4, "gen.steps = 0"),
        (("--strength", "11"), 4, "gen.strength = '11'"),
        (("--guidance", "nan"), 4, "gen.guidance = nan"),
        (("--size", "33"), 4, "--size 32x32"),
        (("--frames", "1"), 4, "gen.frames = 1"),
        (("--seed", "-1"), 2, "--seed"),
        (("--count", "0"), 2, "--count"),
        (("--checkpoint", "5"), 3, "has the steps 4, 6"),
        (("--checkpoint", "\x1b[2J"), 3, r"\x1b[2J"),
        (("--template", "drafd"), 4, "did you mean draft?"),
        (("--strenght", "1"), 2, "did you mean --strength?"),
    ],
)
def test_refusals(
    mdctl: Mdctl, golf: Project, unchanged: Hold, tmp_path: Path, flags: tuple[str, ...], code: int, words: str
) -> None:
    """Each has its exit code and says what to do; nothing is made."""
    unchanged(golf.folder)
    said = mdctl("gen", "golf", "a red square", *(flag.replace("DIR", str(tmp_path)) for flag in flags))
    assert (said.code, said.out) == (code, "")
    assert words in said.err
    assert "\x1b" not in said.err
