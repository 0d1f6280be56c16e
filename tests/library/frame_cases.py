"""Frames for the tests of the library's engine: the same rows in every kind of column that pandas has."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pandas as pd
import pyarrow as pa

Rows = list[dict[str, Any]]
LARGE = pa.large_string()


def _texts(rows: Rows) -> dict[str, list[Any]]:
    return {name: [row.get(name) for row in rows] for name in rows[0]}


def as_str(rows: Rows) -> pd.DataFrame:
    frame = pd.DataFrame(_texts(rows))
    assert isinstance(frame.dtypes.iloc[0], pd.StringDtype)
    return frame


def as_arrow(rows: Rows, kind: pa.DataType = LARGE) -> pd.DataFrame:
    return pd.DataFrame(
        {name: pd.array(values, pd.ArrowDtype(kind)) for name, values in _texts(rows).items()},
        index=[7] * len(rows),  # labels need not be unique
    )


def as_chunks(rows: Rows) -> pd.DataFrame:
    """Arrow text in many chunks, sliced out of a longer frame."""
    pieces = [as_arrow(rows[i : i + 3], pa.string()) for i in range(0, len(rows), 3)]
    padded = [as_arrow(rows[:1], pa.string()), *pieces, as_arrow(rows[:1], pa.string())]
    return pd.concat(padded).iloc[1:-1]


def as_objects(rows: Rows) -> pd.DataFrame:
    return pd.DataFrame(_texts(rows), dtype=object, index=[f"row {i}" for i in range(len(rows))])


def as_categories(rows: Rows) -> pd.DataFrame:
    return as_str(rows).astype("category").iloc[::-1].iloc[::-1]


def as_python_text(rows: Rows) -> pd.DataFrame:
    return as_str(rows).astype(pd.StringDtype("python"))


KINDS: dict[str, Callable[[Rows], pd.DataFrame]] = {
    "str": as_str,
    "arrow": as_arrow,
    "view": lambda rows: as_arrow(rows, pa.string_view()),
    "chunks": as_chunks,
    "objects": as_objects,
    "categories": as_categories,
    "python": as_python_text,
}


def write_lines(path: Path, rows: Rows) -> Path:
    path.write_bytes(b"".join(orjson.dumps(row) + b"\n" for row in rows))
    return path


def fates(output: Path) -> pd.DataFrame:
    """The ledger of a job."""
    return pd.read_parquet(output / "ledger.parquet")


def without_nulls(values: Any) -> list[Any]:
    return [None if value is None or value is pd.NA or value is np.nan else value for value in values]
