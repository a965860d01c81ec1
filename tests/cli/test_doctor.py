"""`doctor`: each probe does what it says, finds what is wrong, mends what is safe, and tells nothing of its user."""

import json
import os
import platform
import time
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
from stage import Mdctl, tree

from mdctl.cli.system import probes
from mdctl.cli.system.doctor import nameless
from mdctl.cli.system.probes import Finding
from mdctl.errors import NotReady
from mdctl.media import trial as video
from mdctl.workspace import atomic, locations, locks, runs, weights
from mdctl.workspace.project import Project

PARTS = ["mdctl", "device", "torch", "ffmpeg", "codecs", "disk", "data", "models", "cache", "settings", "projects"]


@pytest.fixture(autouse=True)
def _silence(monkeypatch: pytest.MonkeyPatch) -> None:
    """No variable of whoever runs the tests speaks in them."""
    for name in [name for name in os.environ if name.startswith("MDCTL_") and name != "MDCTL_HOME"]:
        monkeypatch.delenv(name)


def light(monkeypatch: pytest.MonkeyPatch, *names: str) -> None:
    """Leave only these probes, so that a test need not wait for all."""
    monkeypatch.setattr(probes, "PROBES", {name: probes.PROBES[name] for name in names})


def found(name: str) -> Finding:
    """What the one finding of a probe is, faults included."""
    (finding,) = [one for one in probes.examine(lambda number, name: None) if one.part == name]
    return finding


def leftover(folder: Path) -> Path:
    """What a process that is dead by now was writing two days ago."""
    folder.mkdir(parents=True, exist_ok=True)
    stale = folder / f".tmp-{atomic._host()}-999999999-1-{'0' * 12}"
    stale.write_bytes(b"half")
    os.utime(stale, (time.time() - 2 * 24 * 3600,) * 2)
    return stale


# --- All of it


def test_a_sound_computer(mdctl: Mdctl, golf: Project, home: Path) -> None:
    """Every probe is told, a training step and three frames were really made, and nothing is left of it."""
    before = tree(home)
    said = mdctl("doctor", "--json")
    told = json.loads(said.out)
    assert (said.code, told["sound"], told["problems"]) == (0, True, 0), told
    checks = {check["part"]: check for check in told["checks"]}
    assert [*checks] == PARTS
    assert checks["torch"]["step_seconds"] > 0
    assert Path(checks["ffmpeg"]["path"]).is_file()
    assert {"h264", "vp9", "gif"} <= set(checks["codecs"]["reads"])
    assert {"gif", "webp"} <= set(checks["codecs"]["writes"])
    assert checks["disk"]["free_bytes"] > checks["disk"]["needed_bytes"] > 0
    assert "1 project" in checks["projects"]["text"]
    assert "golf" not in said.out.replace(str(home), "")
    assert tree(home) == before


def test_what_is_wrong_and_what_mends_it(mdctl: Mdctl, golf: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """A problem ends with 5 and its fix; --fix does what is safe, after which only the rest is left."""
    light(monkeypatch, "cache", "settings", "projects")
    damaged = next(path for path in locations.latents().iterdir() if path.is_file())
    damaged.write_bytes(b"nothing")
    stale = [leftover(golf.folder / "outputs"), leftover(locations.latents())]
    said = mdctl("doctor")
    assert said.code == 0
    assert "1 damaged clip, 2 half-written leftovers" in said.out
    assert "mdctl doctor --fix" in said.out
    locations.settings().parent.mkdir(parents=True)
    locations.settings().write_text("[train]\nrank = 0\n")
    (golf.folder / "clips.toml").unlink()
    said = mdctl("doctor", "--fix")
    assert said.code == 5
    assert "mended: deleted 1 damaged" in said.err
    assert "deleted 2 that dead processes" in said.err
    assert not [path for path in (damaged, *stale) if path.exists()]
    assert locations.logs().is_dir()
    assert "problem settings\tconfig.toml, line 2, column 1: train.rank = 0" in said.out
    assert "1 of them needs attention" in said.out
    assert "1 problem and 1 warning." in said.err
    assert "mended" not in mdctl("doctor", "--fix").err
    told = json.loads(mdctl("doctor", "--json").out)
    assert (told["sound"], told["problems"], told["warnings"]) == (False, 1, 1)


def test_a_report_to_be_passed_on(mdctl: Mdctl, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, home: Path) -> None:
    """The home folder is ~; neither its user nor a prompt, a token or a value of a variable is in it."""
    light(monkeypatch, "mdctl", "data", "settings")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    monkeypatch.setenv("LOGNAME", "margarete")
    monkeypatch.setenv("MDCTL_GEN_NEGATIVE", "secret words")
    monkeypatch.setenv("HF_TOKEN", "hf_abcdefghijklmnop")
    log = locations.logs() / "20261122-071403.log"
    log.parent.mkdir(parents=True)
    story = ["Traceback (most recent call last):", f'  File "{tmp_path}/lib/mdctl/cli/train.py", line 7, in train']
    log.write_text("\n".join([*story, "    draw(prompt)", "ValueError: a secret prompt of margarete", ""]))
    for form in ((), ("--json",)):
        said = mdctl("doctor", "--report", *form)
        assert said.code == 0
        assert "~/home" in said.out
        assert not [word for word in (str(tmp_path), "secret", "margarete", "abcdefgh") if word in said.out]
        assert "MDCTL_GEN_NEGATIVE" in said.out
        assert "lib/mdctl/cli/train.py:7 train" in said.out
        assert "ValueError" in said.out
        assert "torch" in said.out


def test_names_are_taken_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the user and of the computer, as words and in paths, but not within other words."""
    monkeypatch.setenv("LOGNAME", "ann")
    monkeypatch.setattr(platform, "node", lambda: "atlas")
    assert nameless("/srv/ann/channel on atlas") == "/srv/USER/channel on COMPUTER"
    assert nameless("with hf_0123456789abc") == "with TOKEN"


def test_a_probe_that_breaks(mdctl: Mdctl, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is a problem of its own, with what may help, and the others are heard."""

    def broken() -> Any:
        raise ImportError("libcudart.so: no such file\nmore")

    light(monkeypatch, "mdctl", "device", "projects")
    monkeypatch.setitem(probes.PROBES, "device", broken)
    said = mdctl("doctor")
    assert said.code == 5
    assert "problem device\tImportError: libcudart.so: no such file" in said.out
    assert "pip install --force-reinstall torch" in said.out
    assert "0 projects" in said.out


# --- One by one


def test_without_ffmpeg(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that is none, and one that gives back other pictures, are problems."""
    light(monkeypatch, "ffmpeg")
    with monkeypatch.context() as patch:
        patch.setenv("MDCTL_FFMPEG", "/nowhere/ffmpeg")
        assert (found("ffmpeg").status, found("ffmpeg").fix) == ("problem", ("unset MDCTL_FFMPEG",))
    with monkeypatch.context() as patch:
        patch.setattr(video, "_LIKE", 0.0)
        assert "other pictures" in found("ffmpeg").text
    assert found("ffmpeg").status == "ok"


def test_an_ffmpeg_that_lacks_something(monkeypatch: pytest.MonkeyPatch) -> None:
    """What it cannot read or write is named, as a warning."""
    light(monkeypatch, "ffmpeg")
    whole = video.program()
    lacking = video.Program(whole.path, whole.version, ("h264", "libdav1d"), whole.writes, tone_maps=False)
    monkeypatch.setattr(video, "program", lambda: lacking)
    written = video.written() | {"webp": NotReady("no")}
    monkeypatch.setattr(video, "written", lambda: written)
    finding = found("codecs")
    assert finding.status == "warning"
    assert finding.facts == {"reads": ["h264", "av1"], "writes": ["mp4 (libx264)", "gif"]}
    assert "cannot read hevc," in finding.text
    assert "HDR" in finding.text
    assert "cannot write webp" in finding.text


@pytest.mark.parametrize(("share", "status"), [(0.5, "problem"), (1.5, "warning"), (100, "ok")])
def test_room_on_the_disk(monkeypatch: pytest.MonkeyPatch, share: float, status: str) -> None:
    """Less than a training takes is a problem, less than two of them a warning."""
    light(monkeypatch, "disk")
    needed, model = probes._needed()
    assert model == "starter"
    monkeypatch.setattr(atomic, "free_bytes", lambda path: int(share * needed))
    finding = found("disk")
    assert (finding.status, "mdctl cache prune --all" in finding.fix) == (status, status != "ok")


def test_the_disk_is_measured_by_what_runs_keep(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever lets more saves lie there needs more room."""
    needed, _ = probes._needed()
    monkeypatch.setattr(runs, "FULL_SAVES", 2 * runs.FULL_SAVES)
    assert probes._needed()[0] > needed


def test_the_data_folder(monkeypatch: pytest.MonkeyPatch, home: Path) -> None:
    """It is written to, and left as it was; one that cannot be written, or where locks hold nobody off, is told."""
    light(monkeypatch, "data")
    assert found("data").status == "ok"
    assert [path.name for path in home.iterdir()] == []
    with monkeypatch.context() as patch:
        patch.setattr(locks, "writer", lambda folder, command: nullcontext())
        assert "locks keep nobody out" in found("data").text
    assert [path.name for path in home.iterdir()] == []
    if Path("/sys/kernel").is_dir():
        monkeypatch.setenv("MDCTL_HOME", "/sys/kernel/mdctl")
        finding = found("data")
        assert (finding.status, "MDCTL_HOME" in finding.fix[0]) == ("problem", True)


def test_base_models(monkeypatch: pytest.MonkeyPatch) -> None:
    """The one in the package is sound; a damaged one is a problem, an unfinished pull a warning."""
    light(monkeypatch, "models")
    assert found("models").text == "starter with sound headers"
    pull = locations.models() / ".pull-modelscope" / "unet"
    pull.mkdir(parents=True)
    assert found("models").status == "warning"
    file = locations.models() / "zeroscope" / "unet" / "weights.safetensors"
    file.parent.mkdir(parents=True)
    whole = next((weights.find("starter")[1] / "vae").glob("*.safetensors")).read_bytes()
    file.write_bytes(whole)
    assert "zeroscope with sound headers" in found("models").text
    file.write_bytes(whole[:-1])
    finding = found("models")
    assert (finding.status, finding.facts["damaged"]) == ("problem", ["zeroscope"])
    assert "mdctl models pull zeroscope" in finding.fix


def test_variables_that_nobody_knows(monkeypatch: pytest.MonkeyPatch) -> None:
    """What looks like a variable of mdctl and is none is worth a warning."""
    light(monkeypatch, "settings")
    assert found("settings").status == "ok"
    monkeypatch.setenv("MDCTL_VERBOSITY", "3")
    assert (found("settings").status, "MDCTL_VERBOSITY" in found("settings").text) == ("warning", True)
