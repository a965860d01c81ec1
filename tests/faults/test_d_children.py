"""D: readers that misbehave. They cost the clip, and neither the computer nor the run."""

import contextlib
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from films import read
from rows import fault, nothing

from mdctl import child
from mdctl.child import ChildFailed, Finished
from mdctl.errors import NotReady
from mdctl.media import ffmpeg
from mdctl.media import probe as probing
from mdctl.media.ffmpeg import decode, encode
from mdctl.media.kinds import HiddenPlaylist, Unusable
from mdctl.media.probe import probe
from mdctl.media.source import Source

POSIX = pytest.mark.skipif(os.name != "posix", reason="needs process groups, limits and scripts of POSIX")
SOURCE = ("-f", "lavfi", "-i", "testsrc2=s=160x90:r=30:d=1")


RUN = child.run


def _boundless(argv: Any, **limits: Any) -> Finished:
    done = subprocess.run(argv, capture_output=True, timeout=1.5, check=False)
    return Finished(done.returncode, done.stdout, done.stderr.decode(errors="replace"))


def _trusting(argv: Any, *, stdout_limit: int, **limits: Any) -> Finished:
    """Whatever is missing will be black."""
    done = RUN(argv, stdout_limit=stdout_limit, **limits)
    return Finished(0, done.stdout.ljust(stdout_limit - ffmpeg._SLACK, b"\0"), "")


def _unexplained(*_: Any) -> Exception:
    return AssertionError("fewer frames than were asked for, and no refusal")


# --- An ffmpeg that misbehaves


def impostor(folder: Path, script: str) -> str:
    """A program of another mind, in the place of ffmpeg."""
    path = folder / "ffmpeg"
    path.write_text(f"#!{sys.executable} -IS\n{script}\n")
    path.chmod(0o755)
    return str(path)


@pytest.fixture
def source(base: Path) -> Source:
    """What the clip holds, read before anything misbehaves."""
    return probe(base)


@fault("D4", guard="mdctl.media.ffmpeg.child.run", without=_boundless)
@fault("D6")
@POSIX
@pytest.mark.parametrize(
    "script",
    [
        "import time; time.sleep(60)",
        "import sys, time\nwhile True: sys.stdout.buffer.write(bytes(1 << 20)); time.sleep(0.01)",
        "import sys; sys.stdout.buffer.write(bytes(10))",
        "import os, signal; os.kill(os.getpid(), signal.SIGSEGV)",
        "import sys; sys.stderr.write('x' * 10**7); sys.exit(1)",
    ],
    ids=["hangs", "floods", "too-few-bytes", "crashes", "complains"],
)
def test_an_ffmpeg_that_misbehaves_costs_the_clip_alone(
    base: Path, source: Source, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str
) -> None:
    """Hanging, flooding, crashing and lying about success all end in a refusal of the clip."""
    monkeypatch.setenv("MDCTL_FFMPEG", impostor(tmp_path, script))
    monkeypatch.setattr(ffmpeg, "_DECODE_S", 1.0)
    with pytest.raises(Unusable) as caught:
        decode(base, source, start_s=0, fps=8, num_frames=8, width=32, height=32)
    assert caught.value.why


@fault("D6", guard="mdctl.media.ffmpeg.child.run", without=_trusting)
@POSIX
@pytest.mark.parametrize(
    "script",
    ["import sys; sys.stdout.buffer.write(bytes(10_000))", "import os, signal; os.kill(os.getpid(), signal.SIGSEGV)"],
    ids=["too-few-bytes", "crashes"],
)
def test_frames_are_counted_by_their_bytes(
    base: Path, source: Source, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str
) -> None:
    """An ffmpeg that tells the times of all frames and then gives fewer costs the clip, whatever its exit code."""
    honest = f"import os, sys\nif 'rgb24' not in ' '.join(sys.argv): os.execv({ffmpeg.executable()!r}, sys.argv)\n"
    monkeypatch.setenv("MDCTL_FFMPEG", impostor(tmp_path, honest + script))
    with pytest.raises(Unusable, match="cannot be decoded") as caught:
        decode(base, source, start_s=0, fps=8, num_frames=8, width=32, height=32)
    assert "of 8 frames can be decoded" in caught.value.why


@fault("D6")
@POSIX
@pytest.mark.parametrize("script", ["import time; time.sleep(60)", "", "raise SystemExit('disk on fire')"])
def test_an_ffmpeg_that_cannot_write_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    """Whatever goes wrong in writing is a fault of the computer, not a traceback and not an empty video."""
    monkeypatch.setenv("MDCTL_FFMPEG", impostor(tmp_path, script))
    monkeypatch.setattr(ffmpeg, "_ENCODE_S", 1.0)
    with pytest.raises(NotReady) as caught:
        encode(np.zeros((2, 8, 8, 3), np.uint8), 8, format="gif")
    assert "gif" in caught.value.what


@fault("D6")
def test_a_broken_child_becomes_a_reason(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A reader that crashes without an answer is a reason too."""
    monkeypatch.setattr(probing, "_CHILD", "import os; os._exit(9)")
    with pytest.raises(Unusable) as caught:
        probe(base)
    assert "stop the reader" in caught.value.why


@fault("D5", guard="mdctl.child._environment", without=lambda: dict(os.environ))
def test_no_report_is_written(base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """FFREPORT would make ffmpeg write a file; it never hears of it."""
    report = tmp_path / "report.log"
    monkeypatch.setenv("FFREPORT", f"file={report}:level=32")
    read(base)
    assert not report.exists()


@fault("D5")
@POSIX
def test_ffmpeg_is_looked_for_in_safe_places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """First the program named by the user, then absolute folders of PATH, then the wheel; never the current folder."""
    planted = impostor(tmp_path, "")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MDCTL_FFMPEG", raising=False)
    monkeypatch.setenv("PATH", os.pathsep.join([".", "", str(tmp_path / "nothing")]))
    assert ffmpeg.executable() != planted
    assert Path(ffmpeg.executable()).is_absolute()
    monkeypatch.setenv("PATH", str(tmp_path))
    assert ffmpeg.executable() == planted
    for wrong in ("ffmpeg", str(tmp_path), str(tmp_path / "nothing")):
        monkeypatch.setenv("MDCTL_FFMPEG", wrong)
        with pytest.raises(NotReady):
            ffmpeg.executable()


# --- Limits of a child


def python(
    code: str, *arguments: str, timeout_s: float = 20, stdout_limit: int = 1 << 24, **limits: object
) -> Finished:
    """Run a few lines of Python as a child."""
    argv = [sys.executable, "-I", "-S", "-c", code, *arguments]
    return child.run(argv, timeout_s=timeout_s, stdout_limit=stdout_limit, **limits)  # type: ignore[arg-type]


def alive(pid: int) -> bool:
    """Whether a process still runs; one that only waits to be buried does not."""
    try:
        os.kill(pid, 0)
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] not in "ZX"
    except (ProcessLookupError, FileNotFoundError):
        return False


@fault("D3", "D4")
def test_output_beyond_the_limit_ends_the_child() -> None:
    """A flood of output is stopped where the caller's patience ends."""
    with pytest.raises(ChildFailed) as caught:
        python("import sys\nwhile True: sys.stdout.buffer.write(bytes(65536))", stdout_limit=1 << 20)
    assert "more than 1.0 MB" in caught.value.why


@fault("D4", guard="mdctl.child.STDERR_BYTES", without=10**9)
def test_complaints_are_capped_but_never_block() -> None:
    """A child may flood its standard error; 64 kB of it are kept."""
    done = python("import sys; sys.stderr.write('x' * 5_000_000); print('done')")
    assert done.stdout.strip() == b"done"
    assert len(done.stderr) == child.STDERR_BYTES


@fault("D4")
def test_a_child_that_hangs_is_ended() -> None:
    """The wall-clock limit holds, and its reason is given."""
    with pytest.raises(ChildFailed) as caught:
        python("import time; time.sleep(600)", timeout_s=0.5)
    assert "longer than 0.5 s" in caught.value.why


@fault("D4", guard="mdctl.child._Child._kill", without=lambda child: child.process.kill())
@POSIX
@pytest.mark.parametrize("leader", ["import time; time.sleep(600)", "pass"], ids=["leader-stays", "leader-goes"])
def test_grandchildren_end_with_the_group(tmp_path: Path, leader: str) -> None:
    """Whoever a child has started ends with it, even where the child itself is gone."""
    note = tmp_path / "pid"
    fork = f"import os, sys\nif pid := os.fork(): open(sys.argv[1], 'w').write(str(pid)); {leader}\n"
    with pytest.raises(ChildFailed):
        python(fork + "else:\n import time; time.sleep(600)", str(note), timeout_s=1.0)
    pid = int(note.read_text())
    for _ in range(100):
        if not alive(pid):
            return
        time.sleep(0.02)
    os.kill(pid, signal.SIGKILL)
    pytest.fail("the grandchild outlived its group")


@fault("D4")
@POSIX
def test_nobody_is_left_behind_after_success(tmp_path: Path) -> None:
    """A silent grandchild does not outlive a child that ended well."""
    note = tmp_path / "pid"
    code = (
        "import os, sys\nif pid := os.fork(): open(sys.argv[1], 'w').write(str(pid)); sys.exit()\n"
        "for number in (0, 1, 2): os.close(number)\nimport time; time.sleep(600)"
    )
    assert python(code, str(note)).returncode == 0
    for _ in range(100):
        if not alive(int(note.read_text())):
            return
        time.sleep(0.02)
    pytest.fail("the grandchild outlived its group")


@fault("D5", guard="mdctl.child._environment", without=lambda: dict(os.environ))
def test_surroundings_stay_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    """FFREPORT, preloads, proxies and the home folder do not reach a child."""
    for name in ("FFREPORT", "LD_PRELOAD_X", "LD_LIBRARY_PATH", "http_proxy", "PYTHONPATH", "SECRET"):
        monkeypatch.setenv(name, "canary")
    seen = python("import os; print(dict(os.environ))").stdout
    assert b"canary" not in seen
    assert b"HOME" not in seen


@fault("D5")
def test_only_absolute_programs_are_started() -> None:
    """A bare name would be looked for in places that others can write to."""
    with pytest.raises(ValueError, match="absolute"):
        child.run(["ffmpeg"], timeout_s=5, stdout_limit=10)


@fault("D3", guard="mdctl.child._Child.limit", without=nothing)
@pytest.mark.skipif(sys.platform != "linux", reason="limits from outside exist on Linux alone")
def test_memory_is_limited() -> None:
    """A child that asks for more than its share fails, and the computer does not notice."""
    code = "import time; time.sleep(0.2); b = bytearray(1 << 28)"
    assert python(code, memory_bytes=1 << 27).returncode != 0
    assert python(code, memory_bytes=None).returncode == 0


@fault("D7", guard="mdctl.media.ffmpeg._complaint", without=_unexplained)
@pytest.mark.parametrize("seeds", [(0, 5, 6), (12, 20, 26), (27, 29, 30), (33, 35, 37)], ids=str)
def test_flipped_bits(base: Path, tmp_path: Path, seeds: tuple[int, ...]) -> None:
    """A damaged clip is read, or refused with a reason; there is never a wrong count and never a traceback."""
    assert _tried(base, tmp_path, seeds) == 3


@fault("D7", long=True)
@pytest.mark.parametrize("share", range(10))
def test_five_hundred_clips_with_flipped_bits(base: Path, tmp_path: Path, share: int) -> None:
    """The same, with patience."""
    assert _tried(base, tmp_path, range(1000 + share * 50, 1050 + share * 50)) == 50


def _tried(base: Path, folder: Path, seeds: Sequence[int]) -> int:
    """How many damaged clips were read whole or refused: one that is neither ends here."""
    whole, tried = base.read_bytes(), 0
    for seed in seeds:
        dice, content = random.Random(seed), bytearray(whole)
        for _ in range(dice.choice([1, 10, 200])):
            content[dice.randrange(8, len(content))] ^= 1 << dice.randrange(8)
        path = folder / f"{seed}.mp4"
        path.write_bytes(content)
        with contextlib.suppress(Unusable, HiddenPlaylist):
            source = probe(path)
            assert len(decode(path, source, start_s=0, fps=8, num_frames=8, width=32, height=32)) == 8
        tried += 1
    return tried
