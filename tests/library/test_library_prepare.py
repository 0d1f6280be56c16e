"""`forge_gpu.prepare` as training code calls it."""

from __future__ import annotations

import json
import os
import re
import signal
import threading
from pathlib import Path
from typing import Any

import pytest

import forge_gpu
from forge_gpu.errors import ConfigError, InputError, NoPlanError, StrictError
from forge_gpu.job.events.events import ChunkDone, Event, StageDone, StageStarted, Warned
from tests.job import jobs


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return jobs.write_lines(tmp_path / "rows.jsonl", jobs.rows(200))


def test_a_config_and_its_file_give_the_same_output(source: Path, tmp_path: Path) -> None:
    plan = forge_gpu.plan(data=source, template="chatml")
    plan.save(tmp_path / "forge.yaml")
    by_config = forge_gpu.prepare(plan.config, output=tmp_path / "a")
    by_path = forge_gpu.prepare(tmp_path / "forge.yaml", output=tmp_path / "b")
    by_text = forge_gpu.prepare(str(tmp_path / "forge.yaml"), output=tmp_path / "c")
    assert jobs.content(tmp_path / "a") == jobs.content(tmp_path / "b") == jobs.content(tmp_path / "c")
    assert by_config.counts == by_path.counts == by_text.counts
    assert sum(by_config.counts.values()) == 200


def test_relative_inputs_start_where_the_plan_lies(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "forge.yaml").write_text(
        "version: 1\ndata:\n  inputs: [rows.jsonl]\n  mapping: {query: instruction, response: output}\n"
        "model: {chat_template: chatml, template_kind: builtin}\n"
    )
    monkeypatch.chdir(tmp_path / "elsewhere")
    result = forge_gpu.prepare("../forge.yaml", output="out")
    assert sum(result.counts.values()) == 200
    assert (tmp_path / "elsewhere/out/train.jsonl").exists()


def test_without_a_plan(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(NoPlanError) as error:
        forge_gpu.prepare()
    assert str(error.value) == "No plan found. Run 'forge plan' first." and error.value.exit_code == 1
    with pytest.raises(NoPlanError, match=r"mine\.yaml: no such plan"):
        forge_gpu.prepare("mine.yaml")
    with pytest.raises(NoPlanError):
        forge_gpu.stream()


@pytest.mark.parametrize("spelled", [str, Path, lambda path: [path], lambda path: (str(path),)])
def test_data_takes_the_place_of_the_plans(spelled, source: Path, tmp_path: Path) -> None:
    other = jobs.write_lines(tmp_path / "other.jsonl", jobs.rows(30, seed=5))
    config = jobs.plan(source)
    result = forge_gpu.prepare(config, data=spelled(other), output=tmp_path / "out")
    assert sum(result.counts.values()) == 30
    streamed = list(forge_gpu.stream(config, data=spelled(other)))
    assert sum(map(len, streamed)) == result.counts["train"]


def test_settings_win_over_the_plan(source: Path, tmp_path: Path) -> None:
    result = forge_gpu.prepare(
        jobs.plan(source), output=tmp_path / "out", settings=["preprocessing.dedup.exact=false"]
    )
    assert result.counts["duplicate"] == 0
    with pytest.raises(ConfigError, match=r"preprocessing\.dedup\.exact"):
        forge_gpu.prepare(jobs.plan(source), output=tmp_path / "b", settings=["preprocessing.dedup.exakt=1"])


def test_on_event_hears_the_job_and_nothing_is_printed(
    source: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    heard: list[Event] = []
    settings = ["preprocessing.train_split=80", "preprocessing.validation_split=20"]
    forge_gpu.prepare(jobs.plan(source), output=tmp_path / "out", settings=settings, on_event=heard.append)
    stages = [event.stage for event in heard if isinstance(event, StageStarted)]
    assert stages == [event.stage for event in heard if isinstance(event, StageDone)]
    assert stages == ["open", "index", "decide", "write", "finish", "verify"]
    assert (
        sum(event.rows for event in heard if isinstance(event, ChunkDone) and event.stage == "index") == 200
    )
    assert any("0.8" in event.message for event in heard if isinstance(event, Warned))
    assert capfd.readouterr() == ("", "")


def test_a_finished_job_returns_at_once(source: Path, tmp_path: Path) -> None:
    first = forge_gpu.prepare(jobs.plan(source), output=tmp_path / "out")
    again = forge_gpu.prepare(jobs.plan(source), output=tmp_path / "out")
    fresh = forge_gpu.prepare(jobs.plan(source), output=tmp_path / "out", fresh=True)
    assert (first.was_finished, again.was_finished, fresh.was_finished) == (False, True, False)
    assert first.counts == again.counts == fresh.counts
    assert again.splits["train"].to_arrow().equals(first.splits["train"].to_arrow())


def test_no_signal_handler_and_no_thread_is_left(source: Path, tmp_path: Path) -> None:
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    threads = threading.active_count()
    during: list[object] = []
    forge_gpu.prepare(
        jobs.plan(source),
        output=tmp_path / "out",
        on_event=lambda event: during.append(signal.getsignal(signal.SIGINT)),
    )
    assert set(during) == {before[signal.SIGINT]}
    assert {number: signal.getsignal(number) for number in before} == before
    assert threading.active_count() == threads


def test_prepare_runs_in_a_thread_that_is_not_the_main_one(source: Path, tmp_path: Path) -> None:
    counts: list[dict[str, int]] = []
    thread = threading.Thread(
        target=lambda: counts.append(forge_gpu.prepare(jobs.plan(source), output=tmp_path / "out").counts)
    )
    thread.start()
    thread.join()
    assert sum(counts[0].values()) == 200


def test_check_stop_stops_and_the_next_run_goes_on(source: Path, tmp_path: Path) -> None:
    class Enough(Exception):
        pass

    calls = 0

    def stop() -> None:
        nonlocal calls
        calls += 1
        if calls == 2:
            raise Enough

    config = jobs.plan(source)
    with pytest.raises(Enough):
        forge_gpu.prepare(config, output=tmp_path / "out", check_stop=stop)
    assert not (tmp_path / "out/manifest.json").exists()
    forge_gpu.prepare(config, output=tmp_path / "out")
    forge_gpu.prepare(config, output=tmp_path / "whole")
    assert jobs.content(tmp_path / "out") == jobs.content(tmp_path / "whole")


def test_strict_and_limit(tmp_path: Path) -> None:
    records: list[dict[str, Any]] = [
        {"instruction": "a question", "output": "an answer"},
        {"instruction": None, "output": "b"},
    ]
    source = jobs.write_lines(tmp_path / "rows.jsonl", records)
    config = jobs.plan(source)
    with pytest.raises(StrictError, match="line 2 is rejected: null_field"):
        forge_gpu.prepare(config, output=tmp_path / "a", strict=True)
    assert sum(forge_gpu.prepare(config, output=tmp_path / "b", limit=1).counts.values()) == 1


def test_a_missing_input_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"nothing\.jsonl"):
        forge_gpu.prepare(jobs.plan(tmp_path / "nothing.jsonl"), output=tmp_path / "out")


def test_any_number_of_threads_gives_the_same(source: Path, tmp_path: Path) -> None:
    config = jobs.plan(source)
    for threads in (1, 2, 64):
        result = forge_gpu.prepare(config, output=tmp_path / str(threads), threads=threads)
        assert result.manifest["run"]["threads"] <= len(os.sched_getaffinity(0))
    assert jobs.content(tmp_path / "1") == jobs.content(tmp_path / "2") == jobs.content(tmp_path / "64")


def test_the_manifest_is_what_the_result_says(source: Path, tmp_path: Path) -> None:
    result = forge_gpu.prepare(jobs.plan(source), output=tmp_path / "out")
    assert json.loads((tmp_path / "out/manifest.json").read_bytes()) == result.manifest
    assert result.manifest["counts"] == result.counts


def test_the_example_of_the_package(source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    source.rename("raw.jsonl")
    code = re.findall(r"^    (.*)$", forge_gpu.__doc__ or "", re.MULTILINE)
    assert code[0] == "import forge_gpu"
    names: dict[str, Any] = {}
    exec("\n".join(code), names)  # noqa: S102 (our own docstring)
    assert len(names["result"].splits["train"].to_pandas()) == names["result"].counts["train"] > 0
