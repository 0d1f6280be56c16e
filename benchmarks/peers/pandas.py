"""pandas 3 with its default strings."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.work import (
    COLUMNS,
    END,
    MIDDLE,
    SEED,
    USER,
    VALIDATION,
    facts,
    output_paths,
    split_facts,
    table_facts,
)

VERSIONS = {"pandas": pd.__version__}


def _read(input: str) -> pd.DataFrame:
    return pd.read_json(input, lines=True, engine="pyarrow", dtype_backend="pyarrow")


def _text(frame: pd.DataFrame) -> pd.Series:
    query = frame["instruction"].where(frame["input"] == "", frame["instruction"] + "\n" + frame["input"])
    return USER + query + MIDDLE + frame["output"] + END


def _in_validation(category: pd.Series) -> pd.Series:
    order = pd.Series(np.random.default_rng(SEED).random(len(category)), index=category.index)
    groups = order.groupby(category)
    return groups.rank("first") <= (groups.transform("size") * VALIDATION).round()


def read_jsonl(input: str) -> Callable[[], Any]:
    def work() -> Callable[[], Any]:
        frame = _read(input)
        return lambda: table_facts(frame[name] for name in COLUMNS)

    return work


def render_flat(input: str) -> Callable[[], Any]:
    frame = _read(input)

    def work() -> Callable[[], Any]:
        texts = _text(frame)
        return lambda: facts(texts)

    return work


def shuffled_split(input: str) -> Callable[[], Any]:
    frame = _read(input)

    def work() -> Callable[[], Any]:
        rows = frame.sample(frac=1, random_state=SEED)
        size = round(len(rows) * VALIDATION)
        validation, train = rows[:size], rows[size:]
        return lambda: split_facts(train, validation)

    return work


def write_jsonl(input: str, folder: str) -> Callable[[], Any]:
    frame = _read(input)
    rows = pd.DataFrame({"text": _text(frame), "category": frame["category"]})
    train, _ = output_paths(folder)
    return lambda: rows.to_json(train, orient="records", lines=True, force_ascii=False)


def exact_dedup(input: str) -> Callable[[], Any]:
    texts = _text(_read(input))

    def work() -> Callable[[], Any]:
        retained = texts.drop_duplicates()
        return lambda: facts(retained)

    return work


def split(input: str) -> Callable[[], Any]:
    category = _read(input)["category"]

    def work() -> Callable[[], Any]:
        chosen = category[_in_validation(category)]
        return lambda: {name: int(count) for name, count in chosen.value_counts().items()}

    return work


def whole_job(input: str, folder: str) -> Callable[[], Any]:
    train, validation = output_paths(folder)

    def work() -> None:
        frame = _read(input)
        rows = pd.DataFrame({"text": _text(frame), "category": frame["category"]}).drop_duplicates("text")
        chosen = _in_validation(rows["category"])
        for part, path in ((rows[~chosen], train), (rows[chosen], validation)):
            part.to_json(path, orient="records", lines=True, force_ascii=False)

    return work
