"""Hugging Face datasets: as its guides write it (plain), and as fast as the library goes (tuned).

Each run builds its cache anew, in a folder of its own: a second run that finds the first one's cache would
have read nothing.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from benchmarks.work import (
    COLUMNS,
    END,
    MIDDLE,
    SEED,
    USER,
    VALIDATION,
    facts,
    output_paths,
    render,
    table_facts,
)

VERSIONS = {"datasets": datasets.__version__, "pyarrow": pa.__version__}
TEXTS = ["instruction", "input", "output"]

# The fastest of 1,000 to 300,000 rows a batch. More processes for either are slower.
RENDER_BATCH, WRITE_BATCH = 50_000, 2_000

datasets.disable_progress_bars()


def _load(input: str, cache: str) -> datasets.Dataset:
    kind = "parquet" if input.endswith(".parquet") else "json"
    return datasets.load_dataset(kind, data_files=input, split="train", cache_dir=cache)


def _in_memory(input: str) -> datasets.Dataset:
    """The dataset without a cache, for steps whose reading is not measured."""
    with tempfile.TemporaryDirectory() as cache:
        return datasets.Dataset(_load(input, cache).data.table.combine_chunks())


def _render_batch(batch: pa.Table) -> pa.Table:
    with_input = pc.binary_join_element_wise(batch["instruction"], batch["input"], "\n")
    query = pc.if_else(pc.equal(batch["input"], ""), batch["instruction"], with_input)
    text = pc.binary_join_element_wise(USER, query, MIDDLE, batch["output"], END, "")
    return pa.table({"text": text, "category": batch["category"]})


def _render_all(rows: datasets.Dataset) -> datasets.Dataset:
    arrow = rows.with_format("arrow")
    return arrow.map(
        _render_batch, batched=True, batch_size=RENDER_BATCH, remove_columns=TEXTS, keep_in_memory=True
    ).with_format(None)


def _first_of_each(rows: datasets.Dataset) -> np.ndarray[Any, Any]:
    place: dict[str, int] = {}
    for i, text in enumerate(rows.data.table["text"].to_pylist()):
        place.setdefault(text, i)
    return np.fromiter(place.values(), np.int64, len(place))


def _in_validation(category: pa.ChunkedArray) -> np.ndarray[Any, Any]:
    code = category.combine_chunks().dictionary_encode().indices.to_numpy()
    order = np.lexsort((np.random.default_rng(SEED).random(len(code)), code))
    count = np.bincount(code)
    begin = np.concatenate([[0], np.cumsum(count)])
    chosen = np.zeros(len(code), bool)
    chosen[order] = np.arange(len(code)) - begin[code[order]] < np.round(count * VALIDATION)[code[order]]
    return chosen


def read_jsonl(input: str) -> Callable[[], Any]:
    def work() -> Callable[[], Any]:
        with tempfile.TemporaryDirectory() as cache:
            rows = _load(input, cache)
        return lambda: table_facts(rows.data.table[name].to_pylist() for name in COLUMNS)

    return work


def render_flat(input: str) -> Callable[[], Any]:
    rows = _in_memory(input)

    def work() -> Callable[[], Any]:
        rendered = _render_all(rows)
        return lambda: facts(rendered.data.table["text"].to_pylist())

    return work


def write_jsonl(input: str, folder: str) -> Callable[[], Any]:
    rows = _render_all(_in_memory(input))
    train, _ = output_paths(folder)
    return lambda: rows.to_json(train, batch_size=WRITE_BATCH)


def split(input: str) -> Callable[[], Any]:
    """Its own stratified train_test_split."""
    rows = _in_memory(input).select_columns("category").class_encode_column("category")
    names = rows.features["category"].names

    def work() -> Callable[[], Any]:
        chosen = rows.train_test_split(VALIDATION, seed=SEED, stratify_by_column="category")["test"]
        return lambda: {names[code]: int(n) for code, n in enumerate(np.bincount(chosen["category"])) if n}

    return work


def whole_job(input: str, folder: str) -> Callable[[], Any]:
    """Tuned: Arrow batches, everything in memory, indices from numpy, the best sizes of batches."""
    return _whole_job(
        input, output_paths(folder), lambda rows, path: rows.to_json(path, batch_size=WRITE_BATCH)
    )


def whole_job_to_parquet(input: str, folder: str) -> Callable[[], Any]:
    """The same, from and to Parquet, which it compresses as it does by itself."""
    paths = [str(Path(path).with_suffix(".parquet")) for path in output_paths(folder)]
    return _whole_job(input, paths, lambda rows, path: rows.to_parquet(path))


def _whole_job(
    input: str, paths: Sequence[str], write: Callable[[datasets.Dataset, str], object]
) -> Callable[[], Any]:
    train, validation = paths

    def work() -> None:
        with tempfile.TemporaryDirectory() as cache:
            rows = _render_all(_load(input, cache))
            first = _first_of_each(rows)
            chosen = _in_validation(rows.data.table["category"].take(first))
            write(rows.select(first[~chosen]), train)
            write(rows.select(first[chosen]), validation)

    return work


def whole_job_plain(input: str, folder: str) -> Callable[[], Any]:
    """Plain: map, filter, class_encode_column, train_test_split, to_json, with their defaults."""
    train, validation = output_paths(folder)

    def work() -> None:
        with tempfile.TemporaryDirectory() as cache:
            rows = _load(input, cache).map(
                lambda row: {"text": render(row), "stratum": row["category"]}, remove_columns=TEXTS
            )
            seen: set[str] = set()

            def is_new(text: str) -> bool:
                new = text not in seen
                seen.add(text)
                return new

            rows = rows.filter(is_new, input_columns="text").class_encode_column("stratum")
            parts = rows.train_test_split(VALIDATION, seed=SEED, stratify_by_column="stratum")
            parts["train"].remove_columns("stratum").to_json(train)
            parts["test"].remove_columns("stratum").to_json(validation)

    return work
