"""Inputs are looked up once a job, whoever asks for them."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

import forge_gpu
from forge_gpu.engine import choose
from forge_gpu.io import inputs
from forge_gpu.job import start
from forge_gpu.job.events.events import Warned

PLAN = {
    "data": {
        "mapping": {"query": "q", "response": "a"},
        "weights": [1, 2],
    },
    "model": {"chat_template": "chatml", "template_kind": "builtin"},
}


@pytest.fixture
def looked_up(monkeypatch: pytest.MonkeyPatch) -> Counter[tuple[str, str]]:
    """How often each path was expanded, and each file fingerprinted. The size of the input is asked for, as
    `auto` does where it finds a GPU."""
    calls: Counter[tuple[str, str]] = Counter()

    def counted(name: str) -> None:
        real = getattr(inputs, name)

        def call(path: str, *arguments: Any) -> Any:
            calls[name, Path(path).name] += 1
            return real(path, *arguments)

        monkeypatch.setattr(inputs, name, call)

    counted("_expand")
    counted("_describe")
    factory = choose.engine_factory

    def asking(required: str, size: Any) -> Any:
        assert required == "auto" and size() > 0
        calls["size", "asked"] += 1
        return factory("cpu")

    monkeypatch.setattr(start, "engine_factory", asking)
    return calls


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("one", "two", "test"):
        (tmp_path / name).mkdir()
        rows = [{"q": f"question {name} {i}", "a": f"the answer {i} of {name}"} for i in range(20)]
        (tmp_path / name / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        (tmp_path / name / "notes.txt").write_text("none")
    monkeypatch.chdir(tmp_path)
    return tmp_path


ONCE = {
    **{("_expand", name): 1 for name in ("one", "two")},
    **{("_describe", f"{name}.jsonl"): 1 for name in ("one", "two")},
    ("size", "asked"): 1,
}
AGAINST = {("_expand", "test"): 1, ("_describe", "test.jsonl"): 1}


def test_a_job_looks_up_each_input_once(folder: Path, looked_up: Counter[tuple[str, str]]) -> None:
    heard: list[Any] = []
    plan = forge_gpu.ForgeConfig.model_validate(PLAN)
    result = forge_gpu.prepare(plan, data=["one", "two"], against="test", output="out", on_event=heard.append)
    assert looked_up == ONCE | AGAINST
    skipped = [
        event.message for event in heard if isinstance(event, Warned) and "passed over" in event.message
    ]
    assert [line.split(" ")[0] for line in skipped] == ["one/notes.txt", "two/notes.txt", "test/notes.txt"]
    mixed = json.loads((folder / "out" / "manifest.json").read_text())["mixture"]
    assert [(source["input"], source["rows"]) for source in mixed] == [("one", 20), ("two", 20)]
    assert sum(result.counts.values()) == 40


def test_a_stream_looks_up_each_input_once(folder: Path, looked_up: Counter[tuple[str, str]]) -> None:
    plan = forge_gpu.ForgeConfig.model_validate(PLAN)
    assert sum(len(batch) for batch in forge_gpu.stream(plan, data=["one", "two"])) > 0
    assert looked_up == ONCE
