"""`log`: the records of a run as lines, while they come too, and nothing that is not one."""

import json
import re
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from stage import Mdctl, Play

from mdctl.cli.view.log import line
from mdctl.workspace import locks
from mdctl.workspace.project import Project
from mdctl.workspace.runs import Run


def test_what_happened(mdctl: Mdctl, golf: Project, run: Run) -> None:
    """A line has time, event and words between tabs; with --json it is the record itself, with -q where they lie."""
    rows = [line.split("\t") for line in mdctl("log", "golf").lines]
    assert {len(row) for row in rows} == {3}
    assert [row[1] for row in rows].count("step") == 6
    told = {row[1]: row[2] for row in rows}
    assert told["step"].startswith("step 6/6 100% motion ")
    assert told["plan"].startswith("from nothing, on cpu")
    assert "steps 6, rank 2" in told["plan"]
    assert told["prepare"] == "latents 2/2"
    assert told["save"].endswith(str(Path("ckpt") / "000006"))
    assert mdctl("log", "golf", "--json").records == list(run.events())
    assert mdctl("log", "golf", "-q").lines == [str(run.log)]


def test_which_run(mdctl: Mdctl, golf: Project, run: Run, fresh: Project) -> None:
    """The newest, or one by its number; numbers that there are not, and projects without a run, are told."""
    assert mdctl("log", "golf").code == 3
    first, second = (Run.create(fresh, run.settings if run.folder.exists() else {"steps": 3}) for _ in range(2))
    first.note("warning", code="MD-X", text="the first")
    second.note("warning", code="MD-X", text="the second")
    assert mdctl("log", "golf").lines[0].endswith("\twarning\tthe second")
    assert mdctl("log", "golf", "--run", "1").lines[0].endswith("\twarning\tthe first")
    for number in ("0", "3", "-1"):
        assert mdctl("log", "golf", "--run", number).code == 3
    assert mdctl("log", "gulf").code == 3


def test_only_whole_records_are_told(mdctl: Mdctl, run: Run) -> None:
    """A line that a crash has torn is left out, in the midst and at the end, and so is what is no record."""
    before = mdctl("log", "golf").lines
    with run.log.open("ab") as log:
        log.write(b'{"schema":1,"seq":90,"t":"x","event":"st\n[1]\n"x"\n\xff\xfe\n' + b"[" * 5000 + b"\n{}\n")
    run.note("changed", **{"what": "save", "from": 6, "to": 4, "why": "it is damaged"})
    with run.log.open("ab") as log:
        log.write(b'{"schema":1,"seq":91,"t":"x","event":"step"}')
    assert [line.split("\t", 1)[1] for line in mdctl("log", "golf").lines[len(before) :]] == [
        "changed\tsave from 6 to 4: it is damaged"
    ]
    run.log.unlink()
    assert (mdctl("log", "golf").code, mdctl("log", "golf").out) == (0, "")


def test_a_preview(mdctl: Mdctl, run: Run) -> None:
    """It is told with what it says of its save, and where it lies."""
    run.note(
        "preview", step=6, path="x.mp4", sidecar="x.json", prompt="a", seed=0, measures={"learned": 0.5, "base": 0}
    )
    assert mdctl("log", "golf").lines[-1].endswith("\tpreview\tstep 6, motion learned 0.50: x.mp4")


@pytest.mark.parametrize(
    "event", ["step", "plan", "save", "preview", "changed", "prepare", "warning", "error", "\x1b[2J"]
)
def test_records_of_another_make(mdctl: Mdctl, run: Run, event: str) -> None:
    """Where a record lacks what its kind has, it is told key by key, and what does not print is spelt out."""
    run.note(event, text="\x1b[2J\u202e\n", loss=3, deep={"a": [1, None]}, of=0, step=True)
    line = mdctl("log", "golf").lines[-1]
    assert "\\x1b[2J\\u202e\\n" in line
    if event != "warning":
        assert 'loss 3, deep {"a": [1, null]}' in line


# --- Following.


def test_nobody_is_waited_for_where_nobody_trains(mdctl: Mdctl, golf: Project) -> None:
    """A run that is at rest is told to its end, and that is all."""
    said = mdctl("log", "golf", "-f")
    assert said.code == 0
    assert said.lines == mdctl("log", "golf").lines
    assert "'golf' is trained" in said.err


def test_a_run_is_followed_to_its_end(mdctl: Mdctl, golf: Project, run: Run) -> None:
    """What is written while somebody holds the project is told, to the last, and half a line only when whole."""
    holding, seen = threading.Event(), len(mdctl("log", "golf").lines)

    def train() -> None:
        with locks.writer(golf.folder, "train"):
            holding.set()
            line = json.dumps({"schema": 1, "seq": 91, "t": "x", "event": "warning", "text": "in two halves"}) + "\n"
            for half in (line[:20], line[20:]):
                time.sleep(0.4)
                with run.log.open("a") as log:
                    log.write(half)
            run.note("warning", text="the last")

    trainer = threading.Thread(target=train)
    trainer.start()
    assert holding.wait(30)
    said = mdctl("log", "golf", "--follow")
    trainer.join()
    assert [line.split("\t")[2] for line in said.lines[seen:]] == ["in two halves", "the last"]


def test_who_is_waited_for(golf: Project) -> None:
    """A writer that may live: not one of this computer that is gone, but one of another, which cannot be asked."""
    assert not locks.held(golf.folder)
    card = golf.folder.parent / ".locks" / "golf.json"
    with locks.writer(golf.folder, "train"):
        assert locks.held(golf.folder)
        left = json.loads(card.read_bytes())
    card.write_text(json.dumps({**left, "start": 1}))
    assert not locks.held(golf.folder)
    card.write_text(json.dumps({**left, "host": "elsewhere", "start": 1}))
    assert locks.held(golf.folder)


def test_on_a_terminal(play: Play, golf: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """There are columns instead of tabs, and Ctrl-C ends it, whatever goes on."""
    monkeypatch.setenv("TERM", "xterm-256color")
    with locks.writer(golf.folder, "train"):
        played = play("log", "golf", "-f", terminal=True)
        played.until(lambda: b"ckpt/000006" in played.screen)
        played.signal(signal.SIGINT)
        assert played.wait() == 130
    assert b"Traceback" not in played.screen
    assert b" step 6/6 100% motion" in played.screen
    days = [text for text in played.screen.decode().splitlines() if re.fullmatch(r"\d{4}-\d\d-\d\d", text)]
    assert len(days) == len({*days}) >= 1  # above its records, once
    assert b"\t" not in played.screen


@pytest.fixture
def elsewhere(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A place five hours east of Greenwich."""
    if not hasattr(time, "tzset"):
        pytest.skip("this system tells no process another time zone")
    with monkeypatch.context() as there:
        there.setenv("TZ", "XST-5")
        time.tzset()
        yield
    time.tzset()


@pytest.mark.parametrize(
    ("width", "told"), [(120, "2026-11-23 03:19:44  warning     it is late"), (80, "03:19:44 warning it is late")]
)
def test_by_the_clock_of_those_who_read_it(elsewhere: None, width: int, told: str) -> None:
    """A terminal shows the time where it stands, a narrow one that of the day alone; what is none, as it is."""
    record = {"t": "2026-11-22T22:19:44Z", "event": "warning", "text": "it is late"}
    assert line(record, width) == told
    assert line(record | {"t": "noon"}, 120).startswith("noon  warning")


def test_a_path_in_a_log_can_be_copied() -> None:
    """It begins at the edge of a terminal that is too narrow for it, and is one piece."""
    path = f"/home/{'x' * 60}/000006.mp4"
    record = {"t": "x", "event": "preview", "step": 6, "measures": {"learned": 0.5}, "path": path}
    assert path in line(record, 40).splitlines()
