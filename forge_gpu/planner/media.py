"""Which columns of a sample hold what its texts name by marks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from forge_gpu.media.marks import kinds
from forge_gpu.planner.mapping import Picked
from forge_gpu.records.paths import value_at
from forge_gpu.records.values import ABSENT, json_text


def named_media(records: Sequence[Mapping[str, Any]], picked: Picked) -> dict[str, str]:
    """Kind of media -> the column of it that comes first, of the kinds that a text names."""
    result: dict[str, str] = {}
    for column, kind in picked.media.items():
        if kind not in result and any(_names(record, kind, picked) for record in records):
            result[kind] = column
    return result


def _names(record: Mapping[str, Any], kind: str, picked: Picked) -> bool:
    values = (value_at(record, column) for column in picked.columns.values())
    return any(value is not ABSENT and kinds()[kind].named_in(json_text(value)) for value in values)
