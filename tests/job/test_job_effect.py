"""What the schema says of each key is so: bytes depend on it, or not one does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

import forge_gpu
from forge_gpu.config import keys
from forge_gpu.config.schema import Config
from forge_gpu.job.state.checkpoint import JobKey
from tests.job import jobs

LEAVES = [path for path, kind in keys.known().items() if not keys.is_section(kind)]
WITHOUT = [path for path in LEAVES if path in keys.without_effect()]
WITH = [path for path in LEAVES if path not in keys.without_effect()]
ROWS = "rows.jsonl"
# Values of every kind that a key can have; of them each key takes those that its declaration lets pass.
VALUES: list[Any] = [
    *(None, False, True, 0, 1, 0.5, 2, 2**25, 2**27, 2**28),
    *([ROWS], ["rows.*"], ["query"], ["response"], ["trl"], ["axolotl"], [1.0], [2]),
    *({"a": "user"}, {"b": "user"}, {"a": "images"}, {"b": "images"}, {"a": 3}, {"b": 3}),
    *("some text", "another text", ",", "'"),
]


def nested(path: keys.Path, value: Any) -> dict[str, Any]:
    for name in reversed(path):
        value = {name: value}
    return value


def merged(into: dict[str, Any], values: dict[str, Any]) -> dict[str, Any]:
    deeper = {name: merged(into[name], value) for name, value in values.items() if isinstance(value, dict)}
    return into | values | deeper


def two_values(path: keys.Path) -> list[Any]:
    """Two different values that the key's declaration lets pass."""
    good: list[Any] = []
    for value in [*sorted(keys.words(keys.known()[path])), *VALUES]:
        try:
            Config.model_validate(nested(path, value), strict=True)
        except ValidationError:
            continue
        if value not in good:
            good.append(value)
    assert len(good) >= 2, f"{'.'.join(path)}: VALUES needs two that it can have"
    return good[:2]


def key_of(settings: dict[str, Any]) -> JobKey:
    return JobKey.of(Config.model_validate(settings), [], None)


def test_every_key_of_the_schema_is_tried():
    assert {*WITH, *WITHOUT} == set(LEAVES) and len(WITHOUT) >= 10 and len(WITH) >= 50


@pytest.mark.parametrize("path", WITH, ids=".".join)
def test_another_value_of_a_key_with_effect_starts_the_job_anew(path):
    first, second = (key_of(nested(path, value)) for value in two_values(path))
    assert second.difference(vars(first))


@pytest.mark.parametrize("path", WITHOUT, ids=".".join)
def test_another_value_of_a_key_without_effect_gives_the_same_bytes(path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    jobs.write_lines(tmp_path / ROWS, jobs.rows(60))
    plan = jobs.plan(Path(ROWS)).model_dump(mode="json")
    result = []
    for number, value in enumerate(two_values(path)):
        settings = merged(plan, nested(path, value))
        forge_gpu.prepare(Config.model_validate(settings), output=f"out{number}", allow_empty=True)
        result.append((jobs.content(tmp_path / f"out{number}"), key_of(settings)))
    assert result[0] == result[1]
    assert {"ledger.parquet", "manifest.json"} <= result[0][0].keys()


@pytest.mark.parametrize("mixture", [{"weights": [1.0]}, {"caps": [3]}])
def test_of_a_mixture_the_names_of_its_inputs_count(mixture):
    first, second = (key_of({"data": {"inputs": [name], **mixture}}) for name in (ROWS, "rows.*"))
    assert first.difference(vars(second))
