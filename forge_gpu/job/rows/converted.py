"""Records by the converter of a plan (`data.convert`), as an expansion."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from forge_gpu.config.schema import Config, Convert
from forge_gpu.engine.base import Engine
from forge_gpu.fates import Fate
from forge_gpu.job.rows.expansion import DETAIL, Expanded, Expansion
from forge_gpu.kernels.layout import NULL, Records
from forge_gpu.records.convert import Conversion
from forge_gpu.records.refused import BadRecord
from forge_gpu.records.values import ABSENT, spans_of, values_of


def conversion_of(convert: Convert) -> Conversion:
    """The converter of a plan that has one."""
    assert convert.by is not None
    return _conversion(convert.by, tuple(convert.columns.items()), convert.answers)


@lru_cache(maxsize=64)
def _conversion(by: str, columns: tuple[tuple[str, str], ...], answers: str | None) -> Conversion:
    return Conversion(by, dict(columns), answers)


def _expand(config: Config, engine: Engine, records: Records) -> Expanded:
    """A refused record stays one row, with the reason."""
    conversion = conversion_of(config.data.convert)
    keys = tuple(conversion.columns)
    columns = [values_of(records.columns[conversion.columns[key]]) for key in keys]
    is_complete = all(bool((records.columns[name].kind > NULL).all()) for name in conversion.columns.values())
    source: list[int] = []
    rows: list[dict[str, Any]] = []
    reasons: list[int] = []
    for number, taken in enumerate(zip(*columns, strict=True)):
        try:
            made = conversion.rows(dict(zip(keys, taken, strict=True)), is_complete)
            reasons += [0] * len(made)
        except BadRecord as bad:
            made = [{DETAIL: bad.detail}]
            reasons.append(int(bad.reason))
        source += [number] * len(made)
        rows += made
    made_columns = {
        name: spans_of(row.get(name, ABSENT) for row in rows) for name in (*conversion.makes, DETAIL)
    }
    return Expanded(np.array(source, np.int64), made_columns, np.array(reasons, np.uint8))


CONVERT = Expansion(
    "convert",
    required=lambda config: config.data.convert.by is not None,
    expand=_expand,
    without_parts=Fate.REJECTED,  # never: a record of which nothing comes is refused with a reason
    inputs=lambda config: list(conversion_of(config.data.convert).columns.values()),
    makes_parts=lambda config: conversion_of(config.data.convert).makes_several,
)


def made_columns(config: Config) -> Sequence[str]:
    """The columns that the converter of a plan makes; none where it has none."""
    return () if config.data.convert.by is None else conversion_of(config.data.convert).makes
