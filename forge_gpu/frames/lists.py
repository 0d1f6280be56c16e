"""Columns of lists of records of texts that lie on a device: their JSON is written there.

Messages are such a column. What comes to the host is where lists and texts begin, and which are null; the
JSON is that of `io.columns.arrow_spans`, byte by byte.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import numpy.typing as npt
import orjson

from forge_gpu.engine.base import Engine
from forge_gpu.engine.lazy import LazySpans, LazyText
from forge_gpu.io.columns import KEPT_NULL
from forge_gpu.kernels import layout
from forge_gpu.kernels.layout import I64, U8, ProgramTable, Spans
from forge_gpu.plain import frozen
from forge_gpu.templates.program import Literal, Part, RawSlot, pack


@frozen
class Lists:
    """Row r has the records first[r] ... first[r + 1] - 1, or is null where not valid. first: int64[n + 1],
    from 0. fields: the texts of all records by name, in their order, PLAIN or NULL. bring: bytes of
    such a column to the host."""

    first: I64
    valid: npt.NDArray[np.bool_]
    fields: Mapping[str, LazySpans]
    bring: Callable[[LazySpans], U8]

    def as_json(self, engine: Engine) -> Spans | None:
        """The column as JSON values, where the texts are. None where its JSON is not simply all fields of all
        records: a field is null that a record then does not have, or bytes are not UTF-8."""
        for name, column in self.fields.items():
            if name != KEPT_NULL and (column.kind == layout.NULL).any():
                return None
            if not engine.valid_utf8(column).all():
                return None
        empty = self.valid & (self.first[1:] == self.first[:-1])
        records = int(self.first[-1])
        table, program = _programs(tuple(self.fields)), np.full(records + 1, _NONE, np.int32)
        program[:-1] = _INSIDE
        filled = self.first[1:] > self.first[:-1]
        program[self.first[:-1][filled]] |= _OPENS
        program[self.first[1:][filled] - 1] |= _CLOSES
        columns = [_with_one_more(self.fields[name]) for name in table.columns]
        text = engine.render(table, program, columns, np.arange(records + 1), layout.AS_JSON)
        start = np.where(empty, text.offsets[records], text.offsets[self.first[:-1]])
        length = np.where(empty, len(b"[]"), text.offsets[self.first[1:]] - start) * self.valid
        kind = np.where(self.valid, layout.JSON, layout.NULL).astype(np.uint8)
        start = start * self.valid
        if not isinstance(text, LazyText):
            return Spans(text.data[: text.offsets[-1]].copy(), start, length, kind)
        made = LazySpans(text.source.data[: text.offsets[-1]], start, length, kind, self.bring)
        return made.guarded(lambda lost, _: text.data[lost.begin : lost.begin + lost.size])


_INSIDE, _OPENS, _CLOSES, _NONE = 0, 1, 2, 4
"""Programs: of a record, with a bracket before the first and behind the last of a list; and of no record."""


def _programs(names: tuple[str, ...]) -> ProgramTable:
    members: list[Part] = []
    for name in names:
        members += [Literal((b"," if members else b"{") + orjson.dumps(name) + b":"), RawSlot(name)]
    records = [
        (Literal(b"[" if number & _OPENS else b","), *members, Literal(b"}]" if number & _CLOSES else b"}"))
        for number in range(_NONE)
    ]
    return pack([*records, (Literal(b"[]"),)])


def _with_one_more(column: LazySpans) -> LazySpans:
    """The values and a null, in whose row stands the list of no record."""
    return column.over(
        np.append(column.start, 0), np.append(column.length, 0), np.append(column.kind, np.uint8(layout.NULL))
    )
