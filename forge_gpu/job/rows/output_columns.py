"""The rows of a chunk as columns of the output: the values that its lines of JSON would be read back as.

Each column is rendered by itself, as text where it is text; lists of tokens are taken as they are.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from forge_gpu.config.schema import Config
from forge_gpu.engine.base import Engine
from forge_gpu.io.sinks.lines import RECORD as RECORD_COLUMN
from forge_gpu.io.sinks.lines import lists_to_arrow, schema_of
from forge_gpu.io.to_arrow import text_to_arrow
from forge_gpu.job.rows.by_reference import require_as_reference
from forge_gpu.job.rows.rows import Rows
from forge_gpu.kernels.layout import ABSENT, AS_JSON, AS_TEXT, I32, I64, NULL, ProgramTable, Spans, Text
from forge_gpu.plain import frozen
from forge_gpu.templates.forms import form_of
from forge_gpu.templates.forms.source import RECORD
from forge_gpu.templates.lines import Composer
from forge_gpu.templates.program import Program, RawSlot, Slot
from forge_gpu.templates.stripped import Stripped

Columns = Callable[[Rows, str], Spans]
"""Gives a column that a program names, as it is to be rendered."""


@frozen
class _Column:
    """A column that is rendered. kept: the column of the input that it is; None of what a template writes."""

    composer: Composer
    encoding: int
    kept: str | None = None

    def program(self, rows: Rows, columns: Columns) -> tuple[ProgramTable, I32, list[Spans], I64 | None]:
        """What `Engine.render` takes before the rows, and the messages of each row."""
        table, program = self.composer.table(rows.bound)
        return table, program, [columns(rows, name) for name in table.columns], rows.bound.first

    def valid(self, rows: Rows, columns: Columns, chosen: I64, text: Text) -> npt.NDArray[np.bool_] | None:
        """bool[n]: which of the chosen rows have a value; None where all have one."""
        if self.kept is not None:
            kind = columns(rows, self.kept).kind[chosen]
            there: npt.NDArray[np.bool_] = (kind != NULL) & (kind != ABSENT)
            return there
        return _is_no_null(text) if self.encoding == AS_JSON else None


def _is_no_null(text: Text) -> npt.NDArray[np.bool_]:
    """bool[n]: which JSON values are another than null."""
    result = np.ones(len(text), np.bool_)
    for row in np.flatnonzero(np.diff(text.offsets) == 4):
        result[row] = text.row(int(row)) != b"null"
    return result


class OutputColumns:
    """Belongs to one workspace. types: of the columns of the output, as the manifest has them."""

    def __init__(
        self, config: Config, engine: Engine, stripped: Stripped, columns: Columns, types: Mapping[str, str]
    ) -> None:
        self._engine, self._stripped, self._columns = engine, stripped, columns
        self._whole_texts: frozenset[str] = frozenset()
        self._schema = schema_of(types)
        form = form_of(config)
        self._fields = form.fields(config)
        self._rendered: dict[str, _Column] = {}
        for number, field in enumerate(self._fields):
            if field.type != "ids":
                own = Composer((field.name,), partial(self._of_field, number))
                self._rendered[field.name] = _Column(own, AS_JSON if field.is_json else AS_TEXT)
        kept = {RECORD_COLUMN: RECORD} if form.is_record else {name: name for name in config.output.columns}
        for name, source in kept.items():
            is_json = form.is_record or types[name] == "json"
            program: Program = (RawSlot(source) if is_json else Slot(source),)
            own = Composer((), partial(_as_it_is, program))
            self._rendered[name] = _Column(own, AS_JSON if is_json else AS_TEXT, source)

    def batch(self, rows: Rows, chosen: I64) -> pa.RecordBatch:
        """Some of the rows of the output of a chunk, in memory of their own: chosen are numbers of rows, or
        of lines where rows become several."""
        units = chosen if rows.line_rows is None else rows.line_rows[chosen]
        lists = {} if rows.lists is None else rows.lists.taken(_places(rows)[chosen]).columns
        arrays = [
            lists_to_arrow(*lists[field.name])
            if field.name in lists
            else self._array(rows, self._rendered[field.name], units).cast(field.type)
            for field in self._schema
        ]
        return pa.record_batch(arrays, schema=self._schema)

    def require_as_reference(self, rows: Rows, chosen: I64) -> None:
        """Render one row by both, and compare. chosen: int64[1], its number. Raises ValidationError."""
        self._whole_texts = rows.bound.whole_texts
        for column in self._rendered.values():
            program = column.program(rows, self._columns)
            require_as_reference(self._engine, *program, chosen, column.encoding)

    def _array(self, rows: Rows, column: _Column, chosen: I64) -> pa.LargeStringArray:
        self._whole_texts = rows.bound.whole_texts
        table, program, columns, first = column.program(rows, self._columns)
        text = self._engine.render(table, program, columns, chosen, column.encoding, first)
        own = self._engine.own(text)
        return text_to_arrow(own, column.valid(rows, self._columns, chosen, own))

    def _of_field(self, number: int, programs: list[Program]) -> Program:
        return self._stripped.program(self._fields, number, programs[0], self._whole_texts)


def _as_it_is(program: Program, programs: object) -> Program:
    return program


def _places(rows: Rows) -> I64:
    """Where each row, or line, of a chunk is among those that have lists."""
    places = np.empty(len(rows) if rows.line_rows is None else len(rows.line_rows), np.int64)
    places[rows.listed] = np.arange(len(rows.listed))
    return places
