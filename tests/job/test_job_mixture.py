"""Mixtures: how many rows of each input are used, and that what was left out is told."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import fsspec
import pyarrow.parquet as pq
import pytest

from forge_gpu.errors import ConfigError
from forge_gpu.job.events.events import Event, Warned
from tests.job import jobs

SIZES = {"a": 300, "b": 100, "c": 50}


@pytest.fixture
def sources(tmp_path: Path) -> list[Path]:
    """Two files and a folder of two."""
    made = []
    for name, count in SIZES.items():
        records = [
            {"instruction": f"{name} {n}", "output": f"answer {n}", "category": "x"} for n in range(count)
        ]
        if name == "c":
            (tmp_path / "c").mkdir()
            jobs.write_lines(tmp_path / "c" / "1.jsonl", records[:20])
            jobs.write_lines(tmp_path / "c" / "2.jsonl", records[20:])
            made.append(tmp_path / "c")
        else:
            made.append(jobs.write_lines(tmp_path / f"{name}.jsonl", records))
    return made


def plan(sources: list[Path], **data):
    base = jobs.plan(*sources).data.model_dump()
    return jobs.plan(data=base | data)


def used(output: Path) -> Counter:
    """(source, fate) of every row."""
    ledger = pq.read_table(output / "ledger.parquet").to_pylist()
    names = {"1.jsonl": "c", "2.jsonl": "c", "a.jsonl": "a", "b.jsonl": "b"}
    return Counter((names[Path(entry["file"]).name], entry["fate"]) for entry in ledger)


def test_weights_give_the_largest_mixture_stratified_by_source(sources, tmp_path) -> None:
    result = jobs.run(plan(sources, weights=[2.0, 1.0, 1.0]), tmp_path / "out")
    matches = used(tmp_path / "out")
    for name, rows in (("a", 100), ("b", 50), ("c", 50)):
        assert matches[name, "train"] + matches[name, "validation"] == rows
        assert matches[name, "validation"] == rows // 10
        assert matches[name, "unsampled"] == SIZES[name] - rows
    assert [entry["used"] for entry in result.manifest["mixture"]] == [100, 50, 50]
    assert result.counts["unsampled"] == 250


def test_caps_by_name(sources, tmp_path) -> None:
    jobs.run(plan(sources, caps={str(sources[0]): 30}), tmp_path / "out")
    result = used(tmp_path / "out")
    assert result["a", "unsampled"] == 270 and result["b", "unsampled"] == result["c", "unsampled"] == 0


def test_a_weight_of_none_and_a_cap_together(sources, tmp_path) -> None:
    jobs.run(plan(sources, weights=[1.0, 1.0, 0.0], caps=[40, None, None]), tmp_path / "out")
    result = used(tmp_path / "out")
    left = {name: result[name, "unsampled"] for name in SIZES}
    assert left == {"a": 260, "b": 60, "c": 50}


def test_the_same_bytes_for_any_chunks_and_a_smaller_share_is_part_of_a_larger(sources, tmp_path) -> None:
    jobs.run(plan(sources, caps=[60, None, None]), tmp_path / "a")
    jobs.run(
        plan(sources, caps=[60, None, None]), tmp_path / "b", threads=2, chunk_bytes=500, range_bytes=2000
    )
    assert jobs.content(tmp_path / "a") == jobs.content(tmp_path / "b")
    jobs.run(plan(sources, caps=[20, None, None]), tmp_path / "less")

    def retained(output: Path) -> set:
        ledger = pq.read_table(output / "ledger.parquet").to_pylist()
        return {(entry["file"], entry["row"]) for entry in ledger if entry["fate"] != "unsampled"}

    assert retained(tmp_path / "less") < retained(tmp_path / "a")


def test_other_weights_start_the_job_anew(sources, tmp_path) -> None:
    jobs.run(plan(sources, caps=[60, None, None]), tmp_path / "out")
    events: list[Event] = []
    jobs.run(plan(sources, caps=[50, None, None]), tmp_path / "out", listener=events.append)
    assert any(isinstance(event, Warned) and "settings that affect" in event.message for event in events)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ({"weights": [1.0, 2.0]}, "data.weights: 2 numbers for 3 inputs"),
        ({"caps": {"d.jsonl": 3}}, "data.caps: 'd.jsonl' is none of data.inputs"),
        ({"weights": [0.0, 0.0, 0.0]}, "all weights of the mixture are 0"),
    ],
)
def test_faults_are_told(data, words, sources, tmp_path) -> None:
    with pytest.raises(ConfigError, match=words):
        jobs.run(plan(sources, **data), tmp_path / "out")


def test_a_source_without_a_weight_is_told(sources, tmp_path) -> None:
    with pytest.raises(ConfigError, match="has no weight"):
        jobs.run(plan(sources, weights={str(sources[0]): 1.0}), tmp_path / "out")


def test_what_is_secret_in_the_url_of_an_input_is_told_nowhere(sources, tmp_path) -> None:
    store = fsspec.filesystem("memory")
    inputs = [f"memory://box/{name}.jsonl?signature=hunter2" for name in "ab"]
    for url, source in zip(inputs, sources, strict=False):
        store.pipe(store._strip_protocol(url), source.read_bytes())
    data = jobs.plan().data.model_dump() | {"inputs": inputs}
    faults = []
    for wrong in ({"weights": [1.0]}, {"weights": {inputs[0]: 1.0}}, {"caps": {f"{inputs[0]}x": 3}}):
        with pytest.raises(ConfigError) as error:
            jobs.run(jobs.plan(data=data | wrong), tmp_path / "out")
        faults.append(str(error.value))
    events: list[Event] = []
    weights = {inputs[0]: 2.0, inputs[1]: 1.0}
    jobs.run(jobs.plan(data=data | {"weights": weights}), tmp_path / "out", listener=events.append)
    manifest = json.loads((tmp_path / "out/manifest.json").read_text())
    assert manifest["config"]["data"]["weights"] == {"memory://box/a.jsonl": 2.0, "memory://box/b.jsonl": 1.0}
    assert [entry["input"] for entry in manifest["mixture"]] == [
        "memory://box/a.jsonl",
        "memory://box/b.jsonl",
    ]
    written = [path.read_bytes() for path in (tmp_path / "out").rglob("*") if path.is_file()]
    assert "hunter2" not in repr(events) + repr(faults) and not any(b"hunter2" in text for text in written)
