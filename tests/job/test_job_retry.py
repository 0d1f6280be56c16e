"""Faults that pass are retried, each told as an event; others are raised at once."""

from __future__ import annotations

import errno
import os
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from forge_gpu.errors import InputError
from forge_gpu.io.faults import ATTEMPTS, FIRST_WAIT, is_passing
from forge_gpu.io.open_file import OpenFile
from forge_gpu.job.events.events import Event, Retried
from forge_gpu.job.events.retry import retrying
from tests.job import jobs


class Flaky:
    """An iterator's maker that fails before each of some items, once each."""

    def __init__(self, failing: set[int], error: BaseException) -> None:
        self.failing, self.error = failing, error

    def __call__(self, given: int) -> Iterator[int]:
        for item in range(given, 6):
            if item in self.failing:
                self.failing.remove(item)
                raise self.error
            yield item


def test_goes_on_where_it_broke_off() -> None:
    events: list[Event] = []
    waits: list[float] = []
    stale = OSError(errno.ESTALE, "stale file handle")
    items = list(retrying(Flaky({0, 3, 5}, stale), "read", "x", events.append, waits.append))
    assert items == list(range(6))
    assert [event.attempt for event in events if isinstance(event, Retried)] == [1, 1, 1]
    assert waits == [FIRST_WAIT] * 3


def test_gives_up_after_a_bounded_number_of_tries() -> None:
    def never(given: int) -> Iterator[int]:
        raise TimeoutError("no answer")
        yield 0

    events: list[Event] = []
    waits: list[float] = []
    with pytest.raises(TimeoutError):
        list(retrying(never, "read", "x", events.append, waits.append))
    assert len(events) == ATTEMPTS - 1
    assert waits == [FIRST_WAIT * 2**n for n in range(ATTEMPTS - 1)]


def test_other_faults_are_raised_at_once() -> None:
    events: list[Event] = []
    with pytest.raises(PermissionError):
        list(retrying(Flaky({2}, PermissionError(errno.EACCES, "no")), "read", "x", events.append))
    assert not events
    assert not is_passing(InputError("a bad file"))
    wrapped = InputError("reading failed")
    wrapped.__cause__ = OSError(errno.EIO, "I/O error")
    assert is_passing(wrapped)


def test_a_job_survives_a_file_system_that_stumbles(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = jobs.write_lines(tmp_path / "rows.jsonl", jobs.rows(300))
    jobs.run(jobs.plan(source), tmp_path / "calm")
    monkeypatch.setattr("forge_gpu.io.faults.FIRST_WAIT", 0.0)
    chance = random.Random(3)
    read_into = OpenFile.read_into

    def stumbling(store: OpenFile, target: memoryview, offset: int) -> None:
        if chance.random() < 0.1:
            raise InputError("reading failed") from OSError(errno.EIO, os.strerror(errno.EIO))
        read_into(store, target, offset)

    monkeypatch.setattr(OpenFile, "read_into", stumbling)
    events: list[Event] = []
    result = jobs.run(jobs.plan(source), tmp_path / "stumbling", chunk_bytes=1500, listener=events.append)
    retries = sum(isinstance(event, Retried) for event in events)
    assert retries > 2 and result.manifest["run"]["retries"] == retries
    assert jobs.content(tmp_path / "stumbling") == jobs.content(tmp_path / "calm")
