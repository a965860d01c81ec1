"""A child is limited in time, memory and output, and knows nothing of its surroundings."""

import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import stage

from mdctl import child
from mdctl.child import ChildFailed, Finished
from mdctl.workspace import processes

POSIX = pytest.mark.skipif(os.name != "posix", reason="process groups and limits of POSIX")


def python(
    code: str, *arguments: str, timeout_s: float = 20, stdout_limit: int = 1 << 24, **limits: object
) -> Finished:
    """Run a few lines of Python as a child."""
    argv = [sys.executable, "-I", "-S", "-c", code, *arguments]
    return child.run(argv, timeout_s=timeout_s, stdout_limit=stdout_limit, **limits)  # type: ignore[arg-type]


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


def until(holds: Callable[[], bool]) -> None:
    """Wait until something holds."""
    deadline = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.mark.parametrize("stays", [False, True])
def test_helpers_work_in_silence_and_end_with_the_block(
    tmp_path: Path, stays: bool, capfd: pytest.CaptureFixture[str]
) -> None:
    """Each is a process of its own; whoever is still at work at the end is ended."""
    with child.helped(2, stage.leave_a_mark, tmp_path, stays) as broken_off:
        until(lambda: len(list(tmp_path.iterdir())) == 2)
        assert broken_off() == 0
    pids = {int(path.name) for path in tmp_path.iterdir()}
    assert os.getpid() not in pids
    assert not any(processes.started(pid) for pid in pids)
    assert capfd.readouterr() == ("", "")


def test_a_helper_that_fails_is_no_fault(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """What it should have done is missing; that it broke off is counted."""
    with child.helped(2, stage.leave_a_mark, tmp_path / "not there", False) as broken_off:
        until(lambda: broken_off() == 2)
    assert capfd.readouterr() == ("", "")


def test_nobody_is_orphaned_here() -> None:
    """Who was not started as a helper is none."""
    assert not child.orphaned()
