"""The records of a sample by the converter of a plan."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from forge_gpu.planner.columns import Column, columns_of
from forge_gpu.planner.mapping import Picked
from forge_gpu.records.paths import value_at
from forge_gpu.records.refused import BadRecord


def converted(records: Sequence[Mapping[str, Any]], picked: Picked) -> list[dict[str, Any]]:
    """Each record with what the converter makes of it, for each row that it makes; those that it refuses are
    left out: the trial of the sample tells of them."""
    conversion = picked.conversion
    if conversion is None:
        return [dict(record) for record in records]
    made: list[dict[str, Any]] = []
    for record in records:
        taken = {key: value_at(record, name) for key, name in conversion.columns.items()}
        try:
            made += [{**record, **row} for row in conversion.rows(taken)]
        except BadRecord:
            continue
    return made


def made_columns(records: Sequence[Mapping[str, Any]], picked: Picked) -> dict[str, Column]:
    """The columns that the converter makes, as they are in the sample."""
    conversion = picked.conversion
    if conversion is None:
        return {}
    rows = [{name: record[name] for name in conversion.makes if name in record} for record in records]
    result = columns_of(rows)
    return {name: result.get(name) or Column(name) for name in conversion.makes}
