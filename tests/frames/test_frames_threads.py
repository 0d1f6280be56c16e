"""One engine in many threads gives each of them what a thread of its own would get."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest
from dask.base import compute
from dask.delayed import delayed

import forge_gpu
from forge_gpu.errors import ConfigError, ForgeError
from forge_gpu.frames import blocks

RUNS, PARTITIONS = 100, 16
MAPPING = {"query": "question", "response": "answer"}
JINJA = (
    "{% for m in messages %}<{{ m.role }}>{{ m.content | trim }}"
    "{% if 'é' in m.content %}!{% endif %}</>{% endfor %}"
)

Results = list[Any]


def partition(number: int) -> pd.DataFrame:
    """Rows whose texts differ in length and bytes from those of every other partition."""
    rows = range(100 + 22 * number)
    return pd.DataFrame(
        {
            "question": [f" {number}.{row} " + "é" * (row % 7) + "x" * (37 * row % 200) for row in rows],
            "answer": [f"{number}:{row % 90} " + "中" * (number + 11 * row % 50) for row in rows],
        }
    )


METHODS: list[Callable[[Any, pd.DataFrame], Any]] = [
    lambda engine, frame: engine.render(frame, JINJA, mapping=MAPPING),
    lambda engine, frame: engine.render(frame, "chatml", mapping=MAPPING),
    lambda engine, frame: engine.duplicate_of(frame, "answer"),
]


def everything(engine: Any, frame: pd.DataFrame) -> list[Any]:
    return [pa.array(method(engine, frame)) for method in METHODS]


def in_a_pool(work: Callable[[pd.DataFrame], Any], frames: list[pd.DataFrame]) -> Results:
    with ThreadPoolExecutor(8) as pool:
        return list(pool.map(work, frames))


def by_dask(work: Callable[[pd.DataFrame], Any], frames: list[pd.DataFrame]) -> Results:
    return list(compute(*[delayed(work)(frame) for frame in frames], scheduler="threads"))


@pytest.mark.parametrize("run", [in_a_pool, by_dask])
def test_no_row_differs_whoever_calls(run: Callable[..., Results]) -> None:
    frames = [partition(number) for number in range(PARTITIONS)]

    def made(engine: Any, frame: pd.DataFrame) -> Any:
        return pa.array(METHODS[len(frame) % 3](engine, frame))

    expected = [made(forge_gpu.open_engine("cpu"), frame) for frame in frames]
    engine = forge_gpu.open_engine("cpu")
    for _ in range(RUNS):
        results = run(lambda frame: made(engine, frame), frames)
        differing = [one for one, other in zip(results, expected, strict=True) if not one.equals(other)]
        assert not differing


def test_threads_of_one_call_give_the_same_frames(monkeypatch: pytest.MonkeyPatch) -> None:
    frame = pd.concat([partition(number) for number in range(PARTITIONS)], ignore_index=True)
    one = forge_gpu.open_engine("cpu", threads=1)
    monkeypatch.setattr(blocks, "LEAST_ROWS", 50)
    monkeypatch.setattr(blocks, "BLOCK_ROWS", 100)
    with forge_gpu.open_engine("cpu", threads=2) as two:
        for _ in range(5):
            for made, required in zip(everything(two, frame), everything(one, frame), strict=True):
                assert made.equals(required)
            split = two.split(frame, stratify="answer")
            assert {name: part.index.tolist() for name, part in split.items()} == {
                name: part.index.tolist() for name, part in one.split(frame, stratify="answer").items()
            }


def test_what_goes_wrong_in_a_thread_is_raised_and_the_engine_goes_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(blocks, "BLOCK_ROWS", 10)
    frame = partition(1)
    bad = frame.astype(object)
    bad.loc[30, "answer"] = {1}
    with forge_gpu.open_engine("cpu", threads=2) as engine:
        with pytest.raises(ForgeError, match="column 'answer': a value of type set"):
            engine.deduplicate(bad)
        assert len(engine.deduplicate(frame)) == len(frame)


def test_a_closed_engine_says_so_and_an_open_one_what_it_did() -> None:
    frame = partition(0)
    with forge_gpu.open_engine("cpu", memory=32 * 2**20, threads=1) as engine:
        assert engine.stats().rows == engine.stats().bytes == engine.stats().peak == 0
        engine.deduplicate(frame, "question")
        stats = engine.stats()
        assert stats.rows == len(frame) and stats.halvings == 0
        assert stats.bytes == sum(len(text.encode()) for text in frame["question"])
        assert 0 < stats.peak < 32 * 2**20
        assert engine.reason == "the CPU, as asked for"
        assert repr(engine) == f"<FrameEngine: {engine.reason}; 1 thread, 32 MiB; {len(frame)} rows so far>"
    engine.close()
    for call in (lambda: engine.render(frame, "chatml"), lambda: engine.deduplicate(frame)):
        with pytest.raises(ForgeError, match="this engine is closed; open another"):
            call()


def test_blocks_follow_the_budget() -> None:
    frame = pd.DataFrame({"text": ["x" * 10_000 + str(row) for row in range(6000)]})
    small, large = (forge_gpu.open_engine("cpu", memory=size * 2**20, threads=1) for size in (16, 256))
    for engine in (small, large):
        assert len(engine.render(frame, "<{text}>")) == len(frame)
    assert small.stats().peak * 4 < large.stats().peak


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"memory": 5}, "memory is 5: give bytes"),
        ({"memory": 2**60}, "memory"),
        ({"threads": 0}, "threads is 0"),
    ],
)
def test_what_cannot_be_is_refused(arguments: dict[str, int], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        forge_gpu.open_engine("cpu", **arguments)


def test_a_forked_process_has_workers_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blocks, "BLOCK_ROWS", 10)
    frame = partition(2)
    with forge_gpu.open_engine("cpu", threads=2) as engine:
        here = engine.render(frame, "chatml").tolist()
        queue = multiprocessing.get_context("fork").Queue()
        child = multiprocessing.get_context("fork").Process(
            target=lambda: queue.put(engine.render(frame, "chatml").tolist())
        )
        child.start()
        assert queue.get(timeout=60) == here
        child.join()
