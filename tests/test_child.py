"""A child is limited in time, memory and output, and knows nothing of its surroundings."""

import os
import signal
import sys
import time
from pathlib import Path

import pytest

from mdctl import child
from mdctl.child import ChildFailed, Finished

POSIX = pytest.mark.skipif(os.name != "posix", reason="process groups and limits of POSIX")


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


def test_what_a_child_says_comes_back() -> None:
    """Output, complaints and exit status are all given back."""
    done = python("import sys; print('out'); print('err', file=sys.stderr); sys.exit(3)")
    assert done == Finished(3, done.stdout, done.stderr)
    assert done.stdout.strip() == b"out"
    assert done.stderr.strip() == "err"


def test_large_input_and_output_pass_without_a_deadlock() -> None:
    """Eight megabytes go in while eight come out."""
    data = os.urandom(1 << 23)
    echo = "import sys\nwhile c := sys.stdin.buffer.read1(4096): sys.stdout.buffer.write(c)"
    assert python(echo, stdin=data).stdout == data


def test_input_that_nobody_reads_is_no_fault() -> None:
    """A child may end before it has read what it was given."""
    assert python("print('done')", stdin=bytes(1 << 22)).stdout.strip() == b"done"


def test_stdin_is_closed_unless_given() -> None:
    """A child that waits for a word gets the end of the file."""
    assert python("import sys; print(len(sys.stdin.read()))").stdout.strip() == b"0"


def test_output_beyond_the_limit_ends_the_child() -> None:
    """A flood of output is stopped where the caller's patience ends."""
    with pytest.raises(ChildFailed) as caught:
        python("import sys\nwhile True: sys.stdout.buffer.write(bytes(65536))", stdout_limit=1 << 20)
    assert "more than 1.0 MB" in caught.value.why


def test_complaints_are_capped_but_never_block() -> None:
    """A child may flood its standard error; 64 kB of it are kept."""
    done = python("import sys; sys.stderr.write('x' * 5_000_000); print('done')")
    assert done.stdout.strip() == b"done"
    assert len(done.stderr) == child.STDERR_BYTES


def test_a_child_that_hangs_is_ended() -> None:
    """The wall-clock limit holds, and its reason is given."""
    with pytest.raises(ChildFailed) as caught:
        python("import time; time.sleep(600)", timeout_s=0.5)
    assert "longer than 0.5 s" in caught.value.why


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


def test_surroundings_stay_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    """FFREPORT, preloads, proxies and the home folder do not reach a child."""
    for name in ("FFREPORT", "LD_PRELOAD_X", "LD_LIBRARY_PATH", "http_proxy", "PYTHONPATH", "SECRET"):
        monkeypatch.setenv(name, "canary")
    seen = python("import os; print(dict(os.environ))").stdout
    assert b"canary" not in seen
    assert b"HOME" not in seen


def test_a_child_lives_in_an_empty_folder_that_vanishes() -> None:
    """The working folder is private, empty at first and gone at the end."""
    code = "import os; print(os.getcwd()); assert not os.listdir(); open('left', 'w').close()"
    done = python(code)
    assert done.returncode == 0, done.stderr
    folder = Path(done.stdout.decode().strip())
    assert folder != Path.cwd()
    assert not folder.exists()


def test_a_folder_may_be_given(tmp_path: Path) -> None:
    """What a child leaves in a given folder stays there."""
    assert python("open('left', 'w').write('here')", cwd=tmp_path).returncode == 0
    assert (tmp_path / "left").read_text() == "here"


@pytest.mark.skipif(sys.platform != "linux", reason="limits from outside exist on Linux alone")
def test_memory_is_limited() -> None:
    """A child that asks for more than its share fails, and the computer does not notice."""
    code = "import time; time.sleep(0.2); b = bytearray(1 << 28)"
    assert python(code, memory_bytes=1 << 27).returncode != 0
    assert python(code, memory_bytes=None).returncode == 0


def test_arguments_arrive_as_they_are(tmp_path: Path) -> None:
    """No shell: quotes, dollars, newlines and bytes that are no UTF-8 reach the child untouched."""
    words = [
        "$(touch pwn)",
        "; rm x",
        "a'b\"c",
        "",
        "two\nlines",
        "-i",
        os.fsdecode(b"\xff") if os.name == "posix" else "ÿ",
    ]
    done = python("import sys; sys.stdout.buffer.write(ascii(sys.argv[1:]).encode())", *words)
    assert done.stdout.decode() == ascii(words)


@pytest.mark.parametrize("program", ["/nowhere/ffmpeg", "/"], ids=["missing", "a-folder"])
def test_what_cannot_start_is_told(program: str) -> None:
    """A program that is not there is a fault with a reason."""
    with pytest.raises(ChildFailed) as caught:
        child.run([program], timeout_s=5, stdout_limit=10)
    assert caught.value.why


def test_only_absolute_programs_are_started() -> None:
    """A bare name would be looked for in places that others can write to."""
    with pytest.raises(ValueError, match="absolute"):
        child.run(["ffmpeg"], timeout_s=5, stdout_limit=10)
