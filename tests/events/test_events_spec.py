"""A job as one line of JSON."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forge_gpu.config.schema import Config
from forge_gpu.errors import ConfigError
from forge_gpu.job.state.spec import JobSpec
from tests.job import jobs

text = st.text(st.characters(codec="utf-8"), max_size=12)
paths = st.binary(min_size=1, max_size=8).map(
    lambda name: Path(name.replace(b"\0", b"_").decode("utf-8", "surrogateescape"))
)
counts = st.none() | st.integers(1, 2**40)
json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | text,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(text, inner, max_size=3),
    max_leaves=5,
)


@st.composite
def configs(draw: st.DrawFn) -> Config:
    fraction = st.floats(0, 1)
    return Config.model_validate(
        {
            "goal": draw(st.none() | text),
            "data": {
                "inputs": draw(st.lists(text, max_size=3)),
                "max_rejected": draw(st.none() | st.integers(0, 9) | fraction),
                "weights": draw(st.none() | st.dictionaries(text, st.floats(0, 1e9), max_size=2)),
                "caps": draw(st.none() | st.lists(st.none() | st.integers(0, 9), max_size=2)),
                "mapping": {"roles": draw(st.dictionaries(text, text, max_size=2))},
            },
            "model": {
                "chat_template": draw(st.none() | text),
                "template_kwargs": draw(st.dictionaries(text, json_values, max_size=3)),
            },
            "preprocessing": {
                "train_split": draw(fraction),
                "chunk_size": draw(st.just("auto") | st.integers(1, 9)),
                "seed": draw(st.integers(0, 2**63 - 1)),
                "dedup": {"near": draw(st.none() | st.just({}) | st.just({"threshold": 0.5}))},
            },
        }
    )


@st.composite
def specs(draw: st.DrawFn) -> JobSpec:
    return JobSpec(
        config=draw(configs()),
        base=draw(paths),
        output=draw(paths),
        limit=draw(counts),
        strict=draw(st.booleans()),
        fresh=draw(st.booleans()),
        wait=draw(st.none() | st.floats(0, 1e6)),
        range_bytes=draw(st.integers(1, 2**40)),
        against_base=draw(st.none() | paths),
        destination=draw(st.none() | text),
        workers=draw(counts),
        scheduler=draw(st.none() | text),
    )


@given(specs())
def test_it_comes_back_as_it_was(spec: JobSpec) -> None:
    line = spec.to_json()
    assert "\n" not in line and JobSpec.from_json(line) == spec
    assert JobSpec.from_json(line.encode()) == spec


@pytest.mark.parametrize(
    ("change", "reported"),
    [
        ({"threads": 3}, "threads: "),
        ({"limit": "seven"}, "limit: "),
        ({"strict": "perhaps"}, "strict: "),
        ({"output": 7}, "output: "),
        ({"config": {"colour": "red"}}, "config.colour: "),
    ],
)
def test_what_is_no_job_is_refused(change: dict[str, Any], reported: str, tmp_path: Path) -> None:
    spec = JobSpec(jobs.plan(tmp_path / "a.jsonl"), tmp_path, tmp_path / "out")
    with pytest.raises(ConfigError, match=f"^this describes no job: {reported}"):
        JobSpec.from_json(json.dumps(json.loads(spec.to_json()) | change))


@pytest.mark.parametrize("line", ["", "[]", "{", "[" * 100_000, "{}"])
def test_what_is_no_json_is_refused(line: str) -> None:
    with pytest.raises(ConfigError, match=r"^this describes no job: "):
        JobSpec.from_json(line)


def test_the_same_job_from_json_makes_the_same_bytes(tmp_path: Path) -> None:
    from forge_gpu.engine.cpu.engine import CpuEngine
    from forge_gpu.hardware.budget import Budget
    from forge_gpu.job.prepare import prepare

    source = jobs.write_lines(tmp_path / "rows.jsonl", jobs.rows(40))
    budget = Budget(2**24, 1, 4096, "a test")
    for name, travels in (("here", False), ("sent", True)):
        spec = JobSpec(jobs.plan(source), tmp_path, tmp_path / name)
        spec = JobSpec.from_json(spec.to_json()) if travels else spec
        prepare(spec, budget, CpuEngine, lambda event: None, lambda: None)
    assert jobs.content(tmp_path / "here") == jobs.content(tmp_path / "sent")
