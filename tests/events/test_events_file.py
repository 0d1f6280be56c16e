"""Events in a file: whole lines, of several runs, and a file that takes no more."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path

import pytest

from forge_gpu.errors import OutputError
from forge_gpu.events import Entry, EventFile, GiveUp, Warned, read_lines, to_line

ENTRY = Entry("j", "r", 0, datetime(2026, 1, 1, tzinfo=UTC), Warned("open", "x" * 100))


def test_runs_follow_each_other_and_a_torn_line_is_ended(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    with EventFile.open(path) as file:
        file(ENTRY)
    path.write_bytes(path.read_bytes() + to_line(ENTRY)[:50])  # as SIGKILL leaves it
    with EventFile.open(path) as file:
        file(ENTRY)
    lines = path.read_bytes().splitlines()
    assert len(lines) == 3
    assert list(read_lines(lines)) == [ENTRY, ENTRY]


@pytest.mark.parametrize("held", ['{"instruction": "a row"}\n', "[]", "{"])
def test_a_file_of_something_else_is_left_alone(held: str, tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text(held)
    if held == "{":  # what the first event itself may have left
        with EventFile.open(path) as file:
            file(ENTRY)
        assert path.read_bytes() == b"{\n" + to_line(ENTRY)
        return
    with pytest.raises(OutputError, match="holds something other than events; name another file"):
        EventFile.open(path)
    assert path.read_text() == held


def test_a_file_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"none/events: events cannot be written there: No such file"):
        EventFile.open(tmp_path / "none" / "events")


def test_a_full_disk_and_a_reader_that_has_gone_are_no_fault_of_the_job() -> None:
    with EventFile.open("/dev/full") as file, pytest.raises(GiveUp, match="No space left"):
        file(ENTRY)
    reading, writing = os.pipe()
    os.close(reading)
    with EventFile(writing, "a pipe") as file, pytest.raises(GiveUp, match="Broken pipe"):
        file(ENTRY)


def test_a_reader_that_takes_pieces_gets_the_whole_line() -> None:
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    long = Entry("j", "r", 0, ENTRY.time, Warned("open", "y" * 200_000))
    child = os.fork()
    if child == 0:
        os.close(reading)
        with EventFile(writing, "a pipe") as file:
            file(long)
        os._exit(0)
    os.close(writing)
    with open(reading, "rb") as pipe:
        assert pipe.read() == to_line(long)
    assert os.waitpid(child, 0)[1] == 0
