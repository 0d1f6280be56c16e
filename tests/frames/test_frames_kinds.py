"""What kind of frame goes in comes out, and says what pandas' says of the same rows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

import forge_gpu
from forge_gpu.frames import blocks

ENGINE = forge_gpu.open_engine("cpu", threads=1)
TEMPLATE = "{% for m in messages %}<{{ m.role }}>{{ m.content }}</>{% endfor %}"
MAPPING = {"query": "question", "response": "answer"}


def rows() -> list[dict[str, Any]]:
    made: list[dict[str, Any]] = [
        {
            "question": f"q{row % 30} é",
            "answer": f"answer {row % 30} " * (row % 5 + 1),
            "n": row % 7,
            "chat": [{"role": "user", "content": f"hi {row}"}, {"role": "assistant", "content": "yes"}],
        }
        for row in range(80)
    ]
    made[4]["answer"] = None
    made[9]["n"] = None
    return made


class Streamed:
    """Nothing but a stream of Arrow, that can be taken once."""

    def __init__(self, made: list[dict[str, Any]]) -> None:
        self._reader = pa.Table.from_pylist(made).to_reader()

    def __arrow_c_stream__(self, requested_schema: Any = None) -> Any:
        return self._reader.__arrow_c_stream__(requested_schema)


def polars_of(made: list[dict[str, Any]]) -> Any:
    return pytest.importorskip("polars").DataFrame(made)


def dataset_of(made: list[dict[str, Any]]) -> Any:
    datasets = pytest.importorskip("datasets")
    turned = datasets.Dataset.from_list([*made[::-1], made[0]])
    return turned.select(range(len(made) - 1, -1, -1))  # by indices, in the order of the rows


KINDS: dict[str, tuple[Callable[[list[dict[str, Any]]], Any], str]] = {
    "table": (pa.Table.from_pylist, "Table"),
    "batch": (lambda made: pa.Table.from_pylist(made).to_batches()[0], "RecordBatch"),
    "chunks": (
        lambda made: pa.concat_tables([pa.Table.from_pylist(made[:30]), pa.Table.from_pylist(made[30:])]),
        "Table",
    ),
    "polars": (polars_of, "DataFrame"),
    "datasets": (dataset_of, "Dataset"),
    "records": (list, "list"),
    "reader": (lambda made: pa.Table.from_pylist(made).to_reader(), "Table"),
    "streamed": (Streamed, "Table"),
}


def plain(result: Any) -> list[Any]:
    """Python's values; a dictionary of them a row for what has columns."""
    if isinstance(result, pd.DataFrame):
        return [dict(zip(result, row, strict=True)) for row in zip(*map(plain, result.items()), strict=True)]
    if isinstance(result, tuple):
        result = result[1]
    if isinstance(result, pd.Series):
        return [None if value is pd.NA or value is None or value != value else value for value in result]
    for method in ("to_pylist", "to_dicts", "to_list"):
        if hasattr(result, method):
            return list(getattr(result, method)())
    return list(result)


@pytest.mark.parametrize("block_rows", [7, 1 << 15])
@pytest.mark.parametrize("kind", KINDS)
def test_every_method(kind: str, block_rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blocks, "BLOCK_ROWS", block_rows)
    make, name = KINDS[kind]
    made = rows()
    frame = pd.DataFrame(made)
    frame["n"] = frame["n"].astype("Int64")

    def same(call: Callable[[Any], Any]) -> Any:
        result, expected = call(make(made)), call(frame)
        if isinstance(expected, dict):
            assert {key: plain(part) for key, part in result.items()} == {
                key: plain(part) for key, part in expected.items()
            }
        else:
            assert plain(result) == plain(expected)
        return result

    same(lambda given: ENGINE.render(given, "chatml", mapping=MAPPING))
    same(lambda given: ENGINE.render(given, TEMPLATE, mapping={"messages": "chat"}))
    same(lambda given: ENGINE.reasons(given, "chatml"))
    same(lambda given: ENGINE.duplicate_of(given, ["question", "answer", "n"]))
    same(lambda given: ENGINE.near_duplicates(given, "answer"))
    same(lambda given: ENGINE.against(given, frame if given is frame else make(made), "question"))
    pieces = same(lambda given: ENGINE.render(given, "chatml", mapping=MAPPING, form="prompt_completion"))
    flags = same(lambda given: ENGINE.check(given, ["question", "answer"], repetition="off"))
    retained = same(lambda given: ENGINE.deduplicate(given, ["question", "n"]))
    parts = same(lambda given: ENGINE.split(given, 0.5, 0.5, stratify=["n"]))
    mixed = same(lambda given: ENGINE.mix({"one": given}, caps={"one": 12}))
    for whole in (retained, *parts.values(), *mixed.values()):
        assert type(whole).__name__ == name
    assert {type(pieces).__name__, type(flags).__name__} == {"Table" if name == "RecordBatch" else name}


def test_a_dataset_takes_a_series_as_a_column() -> None:
    data = dataset_of(rows())
    text = ENGINE.render(data, "chatml", mapping=MAPPING)
    assert data.add_column("text", text)["text"][:] == text.to_pylist()


def test_records_may_lack_keys_and_hold_anything() -> None:
    given = [{"a": 1}, {"b": "x"}, {"a": float("nan"), "b": None}, {"a": np.int64(1)}, {}]
    assert ENGINE.duplicate_of(given) == [None, None, None, 0, 2]
    with pytest.raises(forge_gpu.ForgeError, match="column 'a': a value of type set has no JSON form"):
        ENGINE.deduplicate([{"a": {1}}])


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"a": [1]}, "not builtins.dict"),
        (pd.Series([1]), "takes a pandas.DataFrame, not pandas.Series"),
        (["a"], "one holds builtins.str"),
        (pa.array([1]), "not pyarrow"),
    ],
)
def test_what_is_no_frame_is_refused(given: Any, message: str) -> None:
    with pytest.raises(TypeError, match=message):
        ENGINE.deduplicate(given)


def test_what_is_lazy_says_how_to_collect_it() -> None:
    polars = pytest.importorskip("polars")
    with pytest.raises(TypeError, match=r"not polars.LazyFrame; pass frame.collect"):
        ENGINE.deduplicate(polars.DataFrame({"a": [1]}).lazy())
