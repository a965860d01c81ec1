"""What this computer has, and whether it is free."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from mdctl import computer

LINUX = pytest.mark.skipif(not Path("/proc/loadavg").exists(), reason="this system does not tell who wants to run")


def _says(monkeypatch: pytest.MonkeyPatch, *running: str) -> None:
    """Let the system name as many running processes, one number a reading, on a computer of four cores."""
    answers = iter(running)
    monkeypatch.setattr(computer, "cores", lambda: 4)
    monkeypatch.setattr(os, "cpu_count", lambda: 4)
    monkeypatch.setattr(Path, "read_text", lambda *_: f"0.00 0.01 0.05 {next(answers)}/80 4711\n")


@LINUX
def test_a_busy_neighbour_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that computes, on a computer that is all ours."""
    monkeypatch.setattr(computer, "cores", lambda: os.cpu_count() or 1)
    busy = subprocess.Popen([sys.executable, "-c", "print(flush=True)\nwhile True: pass"], stdout=subprocess.PIPE)
    try:
        assert busy.stdout
        busy.stdout.readline()
        assert computer.idle() is False
    finally:
        busy.kill()
        busy.communicate()


def test_idle_is_who_runs_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody beside the reader; who is there for one of three readings does not count."""
    _says(monkeypatch, "1", "1", "1")
    assert computer.idle() is True
    _says(monkeypatch, "3", "1", "2")
    assert computer.idle() is True
    _says(monkeypatch, "2", "2", "2")
    assert computer.idle() is False


def test_others_may_have_the_cores_that_are_not_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    """Four cores of eight: four neighbours leave ours alone, five do not."""
    _says(monkeypatch, "5", "5", "5")
    monkeypatch.setattr(os, "cpu_count", lambda: 8)
    assert computer.idle() is True
    _says(monkeypatch, "6", "6", "6")
    monkeypatch.setattr(os, "cpu_count", lambda: 8)
    assert computer.idle() is False


@pytest.mark.parametrize("text", ["", "0.1 0.2 0.3", "a b c d/e f"])
def test_a_system_that_does_not_tell(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    """Other systems have no such file, or another one."""
    monkeypatch.setattr(Path, "read_text", lambda *_: text)
    assert computer.idle() is None


def test_threads_spin_only_on_an_idle_computer(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where it is busy or does not tell, they sleep."""
    for name in ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(computer, "idle", lambda: True)
    assert set(computer.patience()) == {"GOMP_SPINCOUNT"}
    for answer in (False, None):
        monkeypatch.setattr(computer, "idle", lambda answer=answer: answer)
        assert computer.patience() == {"OMP_WAIT_POLICY": "passive"}


@pytest.mark.parametrize("name", ["OMP_WAIT_POLICY", "GOMP_SPINCOUNT"])
def test_the_users_word_on_waiting_stands(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """Whoever has set either of the two has decided."""
    monkeypatch.setenv(name, "active")
    assert computer.patience() == {}
