"""Records by the converter of a plan (`data.convert`), as an expansion."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from forge_gpu.config.schema import Config, Convert
from forge_gpu.engine.base import Engine
from forge_gpu.fates import Fate
from forge_gpu.job.rows.expansion import DETAIL, Expanded, Expansion
from forge_gpu.kernels.layout import NULL, Records
from forge_gpu.records.refused import BadRecord
from forge_gpu.records.values import ABSENT, GrowingColumn, values_of

if TYPE_CHECKING:
    from forge_gpu.records.convert import Conversion

AT_ONCE = 256
"""Rows."""


def conversion_of(convert: Convert) -> Conversion:
    """The converter of a plan that has one."""
    assert convert.by is not None
    return _conversion(convert.by, tuple(convert.columns.items()), convert.answers)


@lru_cache(maxsize=64)
def _conversion(by: str, columns: tuple[tuple[str, str], ...], answers: str | None) -> Conversion:
    from forge_gpu.records.convert import Conversion  # the converters are for plans that name one

    return Conversion(by, dict(columns), answers)


def _expand(config: Config, engine: Engine, records: Records) -> Expanded:
    """A refused record stays one row, with the reason. Some rows at a time, so that their values stay in the
    processor's caches."""
    conversion = conversion_of(config.data.convert)
    taken = {key: records.columns[name] for key, name in conversion.columns.items()}
    is_complete = all(bool((column.kind > NULL).all()) for column in taken.values())
    made = {name: GrowingColumn() for name in (*conversion.makes, DETAIL)}
    source: list[int] = []
    reasons: list[int] = []
    for first in range(0, max(len(records), 1), AT_ONCE):
        columns = [values_of(column, slice(first, first + AT_ONCE)) for column in taken.values()]
        rows: list[dict[str, Any]] = []
        for number, values in enumerate(zip(*columns, strict=True), first):
            try:
                parts = conversion.rows(dict(zip(taken, values, strict=True)), is_complete)
                reasons += [0] * len(parts)
            except BadRecord as bad:
                parts = [{DETAIL: bad.detail}]
                reasons.append(int(bad.reason))
            source += [number] * len(parts)
            rows += parts
        for name, column in made.items():
            column.add([row.get(name, ABSENT) for row in rows])
    columns_made = {name: column.spans() for name, column in made.items()}
    return Expanded(np.array(source, np.int64), columns_made, np.array(reasons, np.uint8))


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
