"""Dask's frames: every method gives what it gives for pandas on the whole, whatever the partitions."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
import pytest

import forge_gpu
from forge_gpu.frames.dask_frames import Partitioned

dask = pytest.importorskip("dask")
dd = pytest.importorskip("dask.dataframe")

ENGINE: Any = forge_gpu.open_engine("cpu", threads=2)
CHAT = "{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}"


def frame_of(rows: int = 260) -> pd.DataFrame:
    random = np.random.default_rng(7)
    word = random.integers(0, 60, rows)
    return pd.DataFrame(
        {
            "question": [f"how does number {n} work with the others of its kind?" for n in word],
            "answer": [f"it works as {n * n} does, slowly" if n else None for n in word],
            "kind": [f"k{n % 3}" for n in word],
            "when": pd.date_range("2024-01-01", periods=rows, freq="h")[random.permutation(rows)],
            "score": random.integers(0, 1000, rows),
        },
        index=random.permutation(rows) + 1000,
    )


FRAME = frame_of()
KEYS = ["question", "answer"]
LONG = FRAME.assign(question=FRAME["question"] + np.arange(len(FRAME)).astype(str))

METHODS: dict[str, Callable[[Any], Any]] = {
    "render": lambda f: ENGINE.render(f, "chatml"),
    "render a format": lambda f: ENGINE.render(f, "{kind} {question}"),
    "render fields": lambda f: ENGINE.render(f, "chatml", form="prompt_completion"),
    "reasons": lambda f: ENGINE.reasons(f, "chatml"),
    "check": lambda f: ENGINE.check(f),
    "check columns": lambda f: ENGINE.check(f, KEYS),
    "deduplicate": lambda f: ENGINE.deduplicate(f, KEYS),
    "keep the last": lambda f: ENGINE.deduplicate(f, KEYS, keep="last"),
    "duplicate_of": lambda f: ENGINE.duplicate_of(f, KEYS),
    "near_duplicates": lambda f: ENGINE.near_duplicates(f, KEYS, threshold=0.7),
    "near by score": lambda f: ENGINE.near_duplicates(f, threshold=0.7, keep="score"),
    "against": lambda f: ENGINE.against(f, FRAME[:20], "question"),
    "against itself": lambda f: ENGINE.against(FRAME[:30], f, "question"),
    "split": lambda f: ENGINE.split(f, 0.7, 0.2, 0.1, stratify=["kind"]),
    "split by group": lambda f: ENGINE.split(f, 0.7, group="question"),
    "split by time": lambda f: ENGINE.split(f, 0.7, test=0.3, time="when"),
    "split by threshold": lambda f: ENGINE.split(f, 0.7, mode="threshold"),
    "mix": lambda f: ENGINE.mix({"a": f, "b": f}, weights={"a": 2, "b": 1}, caps={"b": 50}),
}


def computed(result: Any) -> dict[str, Any]:
    parts = result if isinstance(result, dict) else {"": result}
    return {name: part.compute() if hasattr(part, "compute") else part for name, part in parts.items()}


def same(result: Any, expected: Any) -> None:
    result, expected = computed(result), computed(expected)
    assert result.keys() == expected.keys()
    for name, part in expected.items():
        assert result[name].index.tolist() == part.index.tolist()
        assert result[name].astype(object).where(result[name].notna(), None).to_numpy().tolist() == (
            part.astype(object).where(part.notna(), None).to_numpy().tolist()
        )


def partitioned(frame: pd.DataFrame, cuts: list[int]) -> Any:
    edges = [0, *cuts, len(frame)]
    parts = [dask.delayed(frame.iloc[low:high]) for low, high in pairwise(edges)]
    return dd.from_delayed(parts, meta=frame.iloc[:0], verify_meta=False)


@pytest.mark.parametrize("cuts", [[], [0, 7, 7, 90, 260], [*range(15, 255, 15)]], ids=["one", "odd", "many"])
@pytest.mark.parametrize("method", METHODS)
def test_every_method(method: str, cuts: list[int]) -> None:
    call = METHODS[method]
    same(call(partitioned(FRAME, cuts)), call(FRAME))


def test_messages() -> None:
    chat = pd.DataFrame({"chat": [[{"role": "user", "content": q}] for q in FRAME["question"]]})
    with dask.config.set({"dataframe.convert-string": False}):
        same(ENGINE.render(partitioned(chat, [100]), CHAT), ENGINE.render(chat, CHAT))


def test_results_are_lazy_and_few_partitions_are_held(monkeypatch: pytest.MonkeyPatch) -> None:
    taken: list[int] = []

    def part(number: int) -> pd.DataFrame:
        taken.append(number)
        return FRAME.iloc[number * 20 : number * 20 + 20]

    frame = dd.from_delayed(
        [dask.delayed(part)(n) for n in range(13)], meta=FRAME.iloc[:0], verify_meta=False
    )
    texts = ENGINE.render(frame, "{question}")
    known = len(taken)
    assert texts.partitions[3].compute().tolist() == FRAME["question"][60:80].tolist()
    assert len(taken) == known + 1
    at_once: list[int] = []
    compute = dask.compute

    def counted(*given: Any) -> Any:
        at_once.append(len(given))
        return compute(*given)

    monkeypatch.setattr(dask, "compute", counted)
    ENGINE.duplicate_of(frame, KEYS)
    assert at_once == [2] * 6 + [1]


def test_what_is_no_frame_or_has_no_such_column_is_refused() -> None:
    frame = partitioned(FRAME, [100])
    with pytest.raises(TypeError, match=r"takes a dask\.dataframe\.DataFrame, not dask.*Series"):
        ENGINE.deduplicate(frame["question"])
    with pytest.raises(forge_gpu.ForgeError, match="no column is named 'questoin'; did you mean 'question'"):
        ENGINE.deduplicate(frame, "questoin")
    assert isinstance(ENGINE._frames.opened(frame), Partitioned)


@pytest.fixture(scope="module")
def cluster() -> Iterator[None]:
    distributed = pytest.importorskip("distributed")
    with (
        distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as made,
        distributed.Client(made),
    ):
        yield


@pytest.mark.dask
@pytest.mark.slow
@pytest.mark.usefixtures("cluster")
@pytest.mark.parametrize("method", ["render", "check", "deduplicate", "near_duplicates", "split"])
def test_on_a_cluster(method: str) -> None:
    call = METHODS[method]
    expected = call(FRAME)
    same(call(partitioned(FRAME, [50, 120, 200])), expected)
