"""The rates of a machine: read within bounds, believed where they are rates, left by every run."""

from __future__ import annotations

import json
import os
import stat
import time

import pytest

import forge_gpu
from forge_gpu.config.schema import Config
from forge_gpu.foretell.launch import launch, seen_now
from forge_gpu.hardware.rates import (
    GPU_START,
    GPU_TAKES,
    MOST_BYTES,
    MOST_ENTRIES,
    Engine,
    Launch,
    Rates,
    learned,
    rates_file,
    read_rates,
    with_engine,
    with_entry,
    worth_gpu,
    write_rates,
)
from tests.foretell import made


@pytest.fixture(autouse=True)
def own_rates(tmp_path, monkeypatch):
    monkeypatch.setenv("FORGE_RATES", str(tmp_path / "cache" / "rates.json"))


def test_rates_read_back_and_are_nobody_elses():
    write_rates(Rates(known={"k": {"train": 3.0}}))
    assert read_rates().known == {"k": {"train": 3.0}}
    assert stat.S_IMODE(rates_file().stat().st_mode) == 0o600
    assert stat.S_IMODE(rates_file().parent.stat().st_mode) == 0o700
    assert os.listdir(rates_file().parent) == ["rates.json"]


HOSTILE = {
    "no JSON": b"{",
    "nothing": b"",
    "another shape": b"[1, 2]",
    "another version": b'{"version": 99}',
    "a text for a number": b'{"known": {"k": {"train": "x"}}}',
    "no number": b'{"known": {"k": {"train": NaN}}}',
    "less than nothing": b'{"known": {"k": {"train": -1}}}',
    "beyond all": b'{"known": {"k": {"train": 1e300}}}',
    "a long name": json.dumps({"known": {"k" * 65: {}}}).encode(),
    "deep": b"[" * 100_000,
    "too many": json.dumps({"known": {str(number): {} for number in range(MOST_ENTRIES + 1)}}).encode(),
    "too large": b" " * MOST_BYTES + b"{}",
    "no UTF-8": b'{"known": {"\xff": {}}}',
}


@pytest.mark.parametrize("content", HOSTILE.values(), ids=HOSTILE)
def test_what_is_damaged_is_as_if_it_were_not_there(content):
    rates_file().parent.mkdir()
    rates_file().write_bytes(content)
    assert read_rates() == Rates()


def test_links_pipes_and_what_others_can_write_are_not_read(tmp_path):
    write_rates(Rates(known={"k": {}}))
    rates_file().chmod(0o666)
    assert read_rates() == Rates()
    rates_file().chmod(0o600)
    real = rates_file().rename(tmp_path / "elsewhere.json")
    rates_file().symlink_to(real)
    assert read_rates() == Rates()
    rates_file().unlink()
    os.mkfifo(rates_file())
    assert read_rates() == Rates()
    rates_file().unlink()
    rates_file().mkdir()
    assert read_rates() == Rates()
    write_rates(Rates())  # and no fault where it cannot be written


def test_the_oldest_entries_go():
    entries: dict[str, int] = {}
    for number in range(MOST_ENTRIES + 10):
        entries = with_entry(entries, str(number), number)
    assert len(entries) == MOST_ENTRIES and "9" not in entries and "10" in entries


def test_later_runs_count_for_more():
    size = 100 * 2**20
    rates = learned(Rates(), "k", size, {"index": 10.0}, 100, 300)
    assert rates.kinds["k"].stages["index"] == 10
    rates = learned(rates, "k", 2 * size, {"index": 20.0}, 100, 300)
    known = rates.kinds["k"]
    assert (known.bytes, known.stages["index"]) == (1.5 * size, 15), "on the line through both"
    assert (known.runs, known.work) == (2, 200)
    small = learned(rates, "k", 1000, {"index": 0.5}, 100, 300).kinds["k"]
    assert (small.bytes, small.stages["index"]) == (1000, 0.5), "and one of another size begins anew"


def test_a_launch_is_seen_once_an_hour(monkeypatch):
    times = iter([Launch(seconds=2, cpu=1, seen=time.time()), Launch(seconds=4, cpu=3, seen=0)])
    monkeypatch.setattr("forge_gpu.foretell.launch.seen_now", lambda config: next(times))
    first, rates = launch(Rates(), Config())
    assert launch(rates, Config()) == (first, rates), "and not asked again"
    monkeypatch.setattr("forge_gpu.foretell.launch.OLD", 0.0)
    assert launch(rates, Config())[0].seconds == 4


def test_a_launch_is_a_process_that_loads_what_a_job_needs():
    seen = seen_now(Config())
    assert seen.cpu > 0 and seen.seconds > 0 and abs(seen.seen - time.time()) < 100


def test_a_gpu_is_worth_its_start_from_where_it_has_saved_it():
    both = with_engine(with_engine(Rates(), "cpu", 2**30, 1.0, 10.0), "gpu", 2**30, 6.0, 5.0)
    assert worth_gpu(both, 7) == 2**30
    slow = both.model_copy(update={"engines": both.engines | {"gpu": Engine(start=6, seconds_per_byte=1e-6)}})
    assert worth_gpu(slow, 7) > 2**60


def test_where_no_gpu_has_run_what_it_could_save_has_to_be_more_than_its_start():
    assert worth_gpu(Rates(), 16) // worth_gpu(Rates(), 1) in (15, 16), "more cores leave it less to save"
    rates = with_engine(Rates(), "cpu", 2**30, 1.0, 100.0)
    assert worth_gpu(rates, 1) == worth_gpu(rates, 16) == int(GPU_START / (GPU_TAKES * 100 / 2**30))


def test_every_run_leaves_its_rates_without_names_or_texts(tmp_path):
    path = made.write(tmp_path / "secret-name.jsonl", 200)
    result = forge_gpu.prepare(made.config(path), output=tmp_path / "prepared")
    rates = read_rates()
    assert [kind.runs for kind in rates.kinds.values()] == [1]
    assert list(rates.known.values()) == [result.counts]
    text = rates_file().read_text()
    assert "secret-name" not in text and not any(word in text for word in made.WORDS)
    forge_gpu.prepare(made.config(path), output=tmp_path / "prepared")
    assert read_rates() == rates, "a job that was done already took nothing"


@pytest.mark.parametrize("content", [HOSTILE["deep"], HOSTILE["a text for a number"]])
def test_a_damaged_file_changes_no_job(tmp_path, content):
    plan = made.config(made.write(tmp_path / "a.jsonl", 100))
    one = forge_gpu.prepare(plan, output=tmp_path / "one")
    rates_file().write_bytes(content)
    two = forge_gpu.prepare(plan, output=tmp_path / "two")
    assert [each["sha256"] for each in one.manifest["outputs"]] == [
        each["sha256"] for each in two.manifest["outputs"]
    ]
    assert read_rates().kinds, "and the next run begins them anew"


def test_a_cache_that_cannot_be_written_fails_no_job(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("FORGE_RATES", str(tmp_path / "file" / "rates.json"))
    forge_gpu.prepare(made.config(made.write(tmp_path / "a.jsonl", 50)), output=tmp_path / "prepared")


def test_where_the_file_is(monkeypatch, tmp_path):
    monkeypatch.delenv("FORGE_RATES")
    monkeypatch.setenv("FORGE_CACHE_DIR", str(tmp_path))
    assert rates_file() == tmp_path / "rates.json"
    monkeypatch.delenv("FORGE_CACHE_DIR")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert rates_file() == tmp_path / "forge_gpu" / "rates.json"
