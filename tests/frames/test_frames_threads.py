"""One engine in many threads gives each of them what a thread of its own would get."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import dask
import pandas as pd
import pyarrow as pa
import pytest

import forge_gpu

RUNS, PARTITIONS = 100, 16
MAPPING = {"query": "question", "response": "answer"}
JINJA = (
    "{% for m in messages %}<{{ m.role }}>{{ m.content | trim }}"
    "{% if 'é' in m.content %}!{% endif %}</>{% endfor %}"
)

Results = list[Any]


def partition(number: int) -> pd.DataFrame:
    """Rows whose texts differ in length and bytes from those of every other partition."""
    rows = range(40 + 9 * number)
    return pd.DataFrame(
        {
            "question": [f" {number}.{row} " + "é" * (row % 7) + "x" * (37 * row % 200) for row in rows],
            "answer": [f"{number}:{row % 90} " + "中" * (number + 11 * row % 50) for row in rows],
        }
    )


def everything(engine: Any, frame: pd.DataFrame) -> list[Any]:
    made = [
        engine.render(frame, "chatml", mapping=MAPPING),
        engine.render(frame, JINJA, mapping=MAPPING),
        engine.duplicate_of(frame, "answer"),
    ]
    return list(map(pa.array, made))


def in_a_pool(work: Callable[[pd.DataFrame], Any], frames: list[pd.DataFrame]) -> Results:
    with ThreadPoolExecutor(8) as pool:
        return list(pool.map(work, frames))


def by_dask(work: Callable[[pd.DataFrame], Any], frames: list[pd.DataFrame]) -> Results:
    return list(dask.compute(*[dask.delayed(work)(frame) for frame in frames], scheduler="threads"))


@pytest.mark.parametrize("run", [in_a_pool, by_dask])
def test_no_row_differs_whoever_calls(run: Callable[..., Results]) -> None:
    frames = [partition(number) for number in range(PARTITIONS)]
    expected = [everything(forge_gpu.open_engine("cpu"), frame) for frame in frames]
    engine = forge_gpu.open_engine("cpu")
    for _ in range(RUNS):
        results = run(lambda frame: everything(engine, frame), frames)
        for made, wanted in zip(results, expected, strict=True):
            assert [one.equals(other) for one, other in zip(made, wanted, strict=True)] == [True] * 3
