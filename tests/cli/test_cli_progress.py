"""Progress: a bar begins where an earlier run stopped, and stages that read no input move as well."""

from __future__ import annotations

import io

import pytest
from rich.console import Console
from rich.progress import Progress

from forge_gpu.cli import progress
from forge_gpu.cli.progress import BarListener, PlainLines, time_left
from forge_gpu.job.events.events import ChunkDone, Progressed, StageDone, StageStarted, Warned

CHUNK = ChunkDone("index", 10, 10**7, 0.1, 2**20, rows_so_far=10, bytes_so_far=10**7)


@pytest.fixture
def bar():
    return Progress(console=Console(file=io.StringIO(), width=120))


def test_a_bar_of_a_job_that_goes_on_begins_where_it_stopped(bar):
    listener = BarListener(bar)
    listener(StageStarted("index", 10**8, done_bytes=6 * 10**7))
    [task] = bar.tasks
    assert (task.completed, task.total) == (6 * 10**7, 10**8)
    listener(CHUNK)
    assert task.completed == 7 * 10**7 and task.fields["amount"] == "70/100 MB"
    listener(StageDone("index", 100, 2.0))
    assert task.finished and task.fields["left"] == "2.0 s" and task.fields["rate"] == ""


def test_decisions_and_the_end_move_too_and_look_finished(bar):
    listener = BarListener(bar)
    listener(StageStarted("decide"))
    listener(Progressed("decide", "near duplicate", 4, 8))
    [task] = bar.tasks
    assert (task.completed, task.total) == (4, 8) and task.fields["amount"] == "near duplicate, 50%"
    listener(StageDone("decide", 1200, 0.5))
    assert task.finished and task.fields["amount"] == "1,200 rows"


def test_a_warning_stands_above_the_bars(bar):
    BarListener(bar)(Warned("index", "a\x1b[31m name [bold]"))
    assert "warning: a" in bar.console.file.getvalue() and "\x1b" not in bar.console.file.getvalue()
    assert "[bold]" in bar.console.file.getvalue()


def test_lines_in_a_pipe_say_the_same(monkeypatch, capsys):
    monkeypatch.setattr(progress, "PLAIN_EVERY", 0.0)
    lines = PlainLines(verbose=False)
    lines(StageStarted("index", 10**8, done_bytes=6 * 10**7))
    lines(CHUNK)
    lines(StageStarted("finish"))
    lines(Progressed("finish", "ledger", 1, 4))
    reported = capsys.readouterr().err.splitlines()
    assert reported[0].startswith("index: 10 rows, 70 MB, 70%") and reported[1] == "finish: ledger, 25%"


@pytest.mark.parametrize(
    ("seconds", "reported"), [(5, "0:05 left"), (75, "1:15 left"), (7384, "2:03:04 left")]
)
def test_time_that_is_left(seconds, reported):
    assert time_left(seconds) == reported
