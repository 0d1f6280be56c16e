"""From a chunk of input to its rows: records, programs, checks. What both passes do with every chunk."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import orjson

from forge_gpu.config.schema import Config, Near
from forge_gpu.engine.base import Engine
from forge_gpu.fates import Reason
from forge_gpu.io.chunks import ArrowChunk, Chunk
from forge_gpu.kernels import layout
from forge_gpu.kernels.layout import Records, Spans, empty_spans, spans_of_offsets
from forge_gpu.quality.checks import check
from forge_gpu.split.times import parse_times
from forge_gpu.templates.choose import make_renderer
from forge_gpu.templates.program import Literal, Part, Program, RawSlot, pack
from forge_gpu.templates.renderer import Bound

RANKED_BY_WORD = ("first", "longest")
"""What `dedup.near.keep` may say besides the name of a column."""

RECORD = "\0record"
"""The name under which the whole source record is a column, for the `source` form."""


@dataclass(slots=True)
class Rows:
    """One chunk, read and judged. reason: uint8[n]: why each row is rejected; 0 where it is not."""

    engine: Engine
    chunk: Chunk
    records: Records
    bound: Bound
    reason: npt.NDArray[np.uint8]
    warned: dict[Reason, npt.NDArray[np.bool_]]
    time: npt.NDArray[np.int64] | None

    def __len__(self) -> int:
        return len(self.reason)

    def column(self, name: str) -> Spans:
        """A column that a program names: of the template, of the input, or the record itself."""
        bound = self.bound.columns.get(name)
        if bound is not None:
            return bound
        return self._record() if name == RECORD else self.records.columns[name]

    def _record(self) -> Spans:
        """The whole of each record, as JSON."""
        kind = np.full(len(self.records), layout.JSON, np.uint8)
        if not isinstance(self.chunk, ArrowChunk):
            return Spans(self.records.data, self.records.start, self.records.length, kind)
        names = self.chunk.names
        number = len(self.records)
        text = self.engine.render(
            pack([_object_program(names)]),
            np.zeros(number, np.int32),
            [self.chunk.spans(name) for name in names],
            np.arange(number, dtype=np.int64),
            layout.AS_JSON,
        )
        return replace(spans_of_offsets(text.data.copy(), text.offsets.copy()), kind=kind)

    def detail(self, row: int) -> str:
        """One line about why a row is rejected."""
        if self.bound.reason[row]:
            return self.bound.detail(row)
        return ""


def kept_by(near: Near | None) -> str | None:
    """The column whose number decides which row of a cluster of near-duplicates is kept."""
    return near.keep if near is not None and near.keep not in RANKED_BY_WORD else None


def _object_program(names: Sequence[str]) -> Program:
    """A record of a table as one JSON object."""
    parts: list[Part] = []
    for number, name in enumerate(names):
        parts += [Literal((b"," if number else b"{") + orjson.dumps(name) + b":"), RawSlot(name)]
    return (*parts, Literal(b"}" if names else b"{}"))


class RowReader:
    """Reads chunks by one config on one engine; one a thread."""

    def __init__(self, config: Config, engine: Engine) -> None:
        self.config = config
        self.engine = engine
        self.renderer = make_renderer(config)
        split = config.preprocessing.split
        key = config.preprocessing.dedup.key
        wanted = [
            *self.renderer.columns,
            *([] if key == "rendered" else key),
            *config.output.columns,
            *(column for column in (config.data.mapping.label, *split.strata, split.time) if column),
            *(column for column in (split.group, kept_by(config.preprocessing.dedup.near)) if column),
        ]
        self.keys = tuple(dict.fromkeys(wanted))
        self._time = split.time if split.mode == "temporal" else None

    def read(self, chunk: Chunk, *, judge: bool, records: Records | None = None) -> Rows:
        """The rows of a chunk. `judge` runs the quality checks, which only the first pass needs.

        records: those of the chunk, by `keys`, where they are known.
        """
        records = records or self._records(chunk)
        bound = self.renderer.bind(records, self.engine)
        reason = bound.reason.copy()
        warned: dict[Reason, npt.NDArray[np.bool_]] = {}
        time = None
        if judge:
            checked = check(
                bound.texts,
                self.config.preprocessing.quality_checks,
                self.config.model.max_length,
                self.engine,
            )
            if checked.warned or checked.reason.any():
                good = reason == 0
                reason = np.where(good, checked.reason, reason)
                warned = {why: rows & good for why, rows in checked.warned.items()}
            if self._time:
                time, parsed = parse_times(self.engine.text(records.columns[self._time]))
                reason[(reason == 0) & ~parsed] = Reason.UNPARSABLE_TIME
        return Rows(self.engine, chunk, records, bound, reason, warned, time)

    @property
    def keys_of_tables(self) -> tuple[str, ...] | None:
        """Columns to read of a table; None for all: rejected rows and the form `source` show every one."""
        return None if self.config.output.form == "source" else self.keys

    def _records(self, chunk: Chunk) -> Records:
        if isinstance(chunk, ArrowChunk):
            return table_records(chunk, self.keys, self.engine)
        return self.engine.scan(chunk.data, chunk.form, self.keys, self.config.data.max_row_bytes)


def table_records(chunk: ArrowChunk, keys: tuple[str, ...], engine: Engine) -> Records:
    """Rows of a table as records; their source bytes are made only where they are asked for."""
    rows = len(chunk)
    reason = np.zeros(rows, np.uint8)
    for row, bad in chunk.bad.items():
        reason[row] = bad.reason
    names = set(chunk.names)
    columns = {}
    for key in keys:
        column = chunk.spans(key) if key in names else empty_spans(rows)
        texts = column.kind == layout.PLAIN
        if texts.any():
            reason[(reason == 0) & texts & ~engine.valid_utf8(column).astype(np.bool_)] = Reason.INVALID_UTF8
        columns[key] = column
    refused = reason != 0
    if refused.any():
        columns = {key: column.without(refused) for key, column in columns.items()}
    zero = np.zeros(rows, np.int64)
    return Records(np.zeros(0, np.uint8), zero, zero, reason, columns)
