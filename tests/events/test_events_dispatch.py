"""The dispatcher: order, slow listeners, those that fail, those that are given up."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest

import forge_gpu
from forge_gpu.errors import InputError, StrictError
from forge_gpu.events import (
    ChunkDone,
    Entry,
    EntryListener,
    Event,
    GiveUp,
    JobEnded,
    JobFailed,
    JobStarted,
    Sampled,
    StageStarted,
    Warned,
)
from forge_gpu.job.events import dispatch
from forge_gpu.job.events.dispatch import WAITING, Dispatcher
from forge_gpu.job.events.sampled import Sampler
from tests.job import jobs

STARTED = JobStarted("open", "key", {}, None, None, 1, 1, False, {})


def own(entries: list[Entry]) -> list[Event]:
    return [entry.event for entry in entries if not isinstance(entry.event, Sampled)]


def test_in_order_from_one_thread_numbered_without_a_gap() -> None:
    heard: list[Entry] = []
    threads = set()

    def listen(entry: Entry) -> None:
        threads.add(threading.get_ident())
        heard.append(entry)

    with Dispatcher([listen]) as dispatcher:
        dispatcher(Warned("plan", "before"))
        dispatcher(STARTED)
        tellers = [threading.Thread(target=tell_fifty, args=(dispatcher,)) for _ in range(4)]
        for teller in tellers:
            teller.start()
        for teller in tellers:
            teller.join()
    assert [entry.n for entry in heard] == list(range(202))
    assert {entry.run for entry in heard} == {dispatcher.run}
    assert [entry.job for entry in heard] == [None] + ["key"] * 201
    assert len(threads) == 1 and threading.get_ident() not in threads
    assert [entry.time for entry in heard] == sorted(entry.time for entry in heard)


def test_totals_are_of_the_stage_and_count_what_a_slow_listener_did_not_hear() -> None:
    heard: list[Entry] = []
    may_go_on = threading.Event()

    def slow(entry: Entry) -> None:
        may_go_on.wait()
        heard.append(entry)

    chunks = WAITING + 500
    with Dispatcher([slow]) as dispatcher:
        dispatcher(StageStarted("index"))
        for _ in range(chunks):
            dispatcher(ChunkDone("index", 2, 10, 0.1, 1, {"rejected": 1}))
        dispatcher(StageStarted("write"))
        dispatcher(ChunkDone("write", 5, 7, 0.1, 1))
        may_go_on.set()
    events = own(heard)
    kinds = [type(event).__name__ for event in events]
    assert kinds.count("StageStarted") == 2 and kinds.count("ChunkDone") < chunks
    last = [event for event in events if isinstance(event, ChunkDone) and event.stage == "index"][-1]
    assert (last.rows_so_far, last.bytes_so_far) == (2 * chunks, 10 * chunks)
    assert last.fates_so_far == {"rejected": chunks}
    assert isinstance(events[-1], ChunkDone) and (events[-1].rows_so_far, events[-1].fates_so_far) == (
        5,
        None,
    )
    assert [entry.n for entry in heard] == list(range(len(heard)))


def test_a_listener_with_a_pace_hears_less_of_progress_and_all_of_the_rest() -> None:
    class Paced:
        pace = 0.05

        def __init__(self) -> None:
            self.heard: list[Entry] = []

        def __call__(self, entry: Entry) -> None:
            self.heard.append(entry)

    paced, every = Paced(), list[Entry]()
    with Dispatcher([paced, every.append]) as dispatcher:
        for stage in ("index", "write"):
            dispatcher(StageStarted(stage))
            for number in range(200):
                dispatcher(ChunkDone(stage, 1, 10, 0.1, 1))
                if number == 100:
                    dispatcher(Warned(stage, "in the middle"))
    chunks = [event for event in own(paced.heard) if isinstance(event, ChunkDone)]
    assert len(chunks) < 50 and len(own(every)) == 404
    assert [event.rows_so_far for event in chunks if event.stage == "index"][-1] == 200
    assert chunks[-1].rows_so_far == 200
    of_both = [
        [type(event).__name__ for event in own(heard) if not isinstance(event, ChunkDone)]
        for heard in (paced.heard, every)
    ]
    assert of_both[0] == of_both[1] == ["StageStarted", "Warned"] * 2
    assert [entry.n for entry in paced.heard] == list(range(len(paced.heard)))


def tell_fifty(dispatcher: Dispatcher) -> None:
    for number in range(50):
        dispatcher(Warned("index", str(number)))


def waiting_for(event: threading.Event) -> EntryListener:
    def listen(entry: Entry) -> None:
        event.wait()

    return listen


def test_a_slow_listener_holds_up_neither_the_job_nor_the_others() -> None:
    may_go_on = threading.Event()
    heard: list[Entry] = []
    with Dispatcher([waiting_for(may_go_on), heard.append]) as dispatcher:
        for number in range(20):
            dispatcher(Warned("index", str(number)))
        deadline = time.monotonic() + 5
        while len(own(heard)) < 20 and time.monotonic() < deadline:
            time.sleep(0.005)
        assert len(own(heard)) == 20
        may_go_on.set()


def test_a_listener_that_takes_nothing_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dispatch, "PATIENCE", 0.2)
    forever = threading.Event()
    heard: list[Entry] = []
    with Dispatcher([waiting_for(forever), heard.append]) as dispatcher:
        dispatcher(Warned("index", "one"))
    reported = [event.message for event in own(heard) if isinstance(event, Warned)]
    assert reported == ["one", "a listener gets no more events, and the job goes on: it took none for 0 s"]
    assert dispatcher.lost == reported[1:]
    forever.set()


def test_one_that_can_take_no_more_is_given_up_and_says_why() -> None:
    heard: list[Entry] = []

    def full(entry: Entry) -> None:
        raise GiveUp("No space left on device")

    with Dispatcher([full, heard.append]) as dispatcher:
        dispatcher(Warned("index", "one"))
        dispatcher(Warned("index", "two"))
    assert dispatcher.lost == ["a listener gets no more events, and the job goes on: No space left on device"]
    reported = [event.message for event in own(heard) if isinstance(event, Warned)]
    assert sorted(reported) == sorted(["one", "two", *dispatcher.lost])


def test_what_a_listener_raises_ends_the_job_and_the_others_hear_why() -> None:
    heard: list[Entry] = []

    def fails(entry: Entry) -> None:
        raise KeyError("a text that it saw")

    with pytest.raises(KeyError), Dispatcher([fails, heard.append]) as dispatcher:
        for _ in range(1000):
            dispatcher(Warned("index", "again"))
            time.sleep(0.001)
        raise AssertionError("the fault was lost")
    failed = heard[-1].event
    assert isinstance(failed, JobFailed) and failed.exit_code == 70
    assert failed.error.startswith("KeyError at test_events_dispatch.py:")


def test_what_a_listener_raises_of_the_last_event_is_raised_at_the_end() -> None:
    def fails(entry: Entry) -> None:
        raise KeyError("late")

    with pytest.raises(KeyError, match="late"), Dispatcher([fails]) as dispatcher:
        dispatcher(Warned("end", "the last"))


def test_a_fault_is_the_last_event_and_quotes_no_row() -> None:
    heard: list[Entry] = []
    with pytest.raises(StrictError, match="a row's own words"), Dispatcher([heard.append]) as dispatcher:
        dispatcher(StageStarted("index"))
        raise StrictError("a.jsonl: line 3 is rejected: bad_messages", ": a row's own words")
    failed = heard[-1].event
    assert failed == JobFailed("index", "a.jsonl: line 3 is rejected: bad_messages", 2)


def test_samples_come_by_the_second(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dispatch, "SAMPLE_EVERY", 0.02)
    heard: list[Entry] = []
    with Dispatcher([heard.append]) as dispatcher:
        dispatcher(StageStarted("index"))
        time.sleep(0.3)
    samples = [entry.event for entry in heard if isinstance(entry.event, Sampled)]
    assert len(samples) >= 2
    assert all(sample.memory > 2**20 and sample.vram is None for sample in samples)
    assert samples[-1].stage == "index"


def test_a_sample_that_comes_late_does_not_follow_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dispatch, "SAMPLE_EVERY", 0.01)
    sampling, may_end = threading.Event(), threading.Event()

    class Slow(Sampler):
        def __call__(self, stage: str, queue: int) -> Sampled:
            sampling.set()
            may_end.wait(10)
            return super().__call__(stage, queue)

    heard: list[Entry] = []
    with Dispatcher([heard.append], Slow()) as dispatcher:
        dispatcher(STARTED)
        sampling.wait(10)
        dispatcher(JobEnded("end", {}, 0.1, was_finished=False))
        may_end.set()
    assert [type(entry.event) for entry in heard] == [JobStarted, JobEnded]


def test_without_listeners_there_is_no_thread() -> None:
    before = threading.active_count()
    with Dispatcher([]) as dispatcher:
        dispatcher(Warned("index", "nobody hears"))
        assert threading.active_count() == before


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return jobs.write_lines(tmp_path / "rows.jsonl", jobs.rows(30))


def test_a_job_from_start_to_end(source: Path, tmp_path: Path) -> None:
    heard: list[Entry] = []
    result = forge_gpu.prepare(jobs.plan(source), output=tmp_path / "out", listeners=[heard.append])
    events = own(heard)
    assert [type(events[0]).__name__, type(events[-1]).__name__] == ["JobStarted", "JobEnded"]
    assert events[-1].counts == result.counts  # type: ignore[attr-defined]
    written = [event for event in events if isinstance(event, ChunkDone) and event.stage == "write"]
    present = {fate: rows for fate, rows in result.counts.items() if rows}
    assert written[-1].fates_so_far == present and written[-1].rows_so_far == 30


def test_a_lost_listener_is_in_the_manifest(source: Path, tmp_path: Path) -> None:
    def full(entry: Entry) -> None:
        raise GiveUp("the disk is full")

    config = jobs.plan(source)
    spec, _, _ = forge_gpu.library.job_spec(config, None, tmp_path / "out", (), None, False, False, None)
    with Dispatcher([full]) as dispatcher:
        dispatcher(Warned("plan", "one"))
        while not dispatcher.lost:
            time.sleep(0.01)
        result = jobs.run(config, tmp_path / "out", listener=dispatcher)
    assert result.manifest["run"]["warnings"] == dispatcher.lost and dispatcher.lost
    assert spec.output == tmp_path / "out"


def test_a_stream_ends_with_its_counts_and_one_that_fails_with_why(source: Path, tmp_path: Path) -> None:
    heard: list[Entry] = []
    rows = sum(map(len, forge_gpu.stream(jobs.plan(source), listeners=[heard.append])))
    assert own(heard)[-1].counts["train"] == rows  # type: ignore[attr-defined]
    with pytest.raises(InputError):
        forge_gpu.prepare(jobs.plan(tmp_path / "none.jsonl"), output=tmp_path / "x", listeners=[heard.append])
    assert isinstance(heard[-1].event, JobFailed) and heard[-1].job is None
