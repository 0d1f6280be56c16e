"""What one thread needs to work on a chunk: an engine, a reader of rows, buffers, composed programs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import islice

import numpy as np

from forge_gpu.config.schema import Config
from forge_gpu.engine.base import Engine
from forge_gpu.errors import InputError
from forge_gpu.io.chunks import ArrowChunk, Chunk, JsonChunk, ReadBuffer
from forge_gpu.job.events.events import Listener
from forge_gpu.job.events.retry import retrying
from forge_gpu.job.rows.evaluation import Evaluation, compared_text
from forge_gpu.job.rows.near import NearIndexer
from forge_gpu.job.rows.rows import RECORD, RowReader, Rows
from forge_gpu.job.rows.scans import KeptScans
from forge_gpu.job.state.inputs import Item
from forge_gpu.kernels import layout
from forge_gpu.kernels.cpu.hashing import digest
from forge_gpu.kernels.layout import I32, I64, U64, ProgramTable, Text
from forge_gpu.templates.lines import BODY_BYTES, SEPARATOR, Composer, column_key, key_program, line_program
from forge_gpu.templates.program import Literal, Program, RawSlot
from forge_gpu.templates.strata import hashes_of


def changed(item: Item) -> InputError:
    """The fault of a file that is not what it was in the first pass."""
    return InputError(f"{item.source.file.path}: changed while it was read; run the command again")


def source_digest(rows: Rows) -> int:
    """A digest of the rows as the source spells them; the sum over chunks, modulo 2^64, is the range's.

    0 for tables: their files are sealed.
    """
    if isinstance(rows.chunk, ArrowChunk):
        return 0
    return digest(rows.records.data, rows.records.start, rows.records.length)


def _behind(chunks: Iterator[Chunk], row: int) -> Iterator[Chunk]:
    """The rows of a table from `row` on."""
    for chunk in chunks:
        assert isinstance(chunk, ArrowChunk)
        if chunk.first_row + len(chunk) > row:
            yield chunk if chunk.first_row >= row else chunk.part(row - chunk.first_row, len(chunk))


class Workspace:
    """Belongs to one task at a time; its buffers are kept from chunk to chunk."""

    def __init__(
        self,
        config: Config,
        make_engine: Callable[[], Engine],
        listener: Listener,
        evaluation: Evaluation | None = None,
        scans: KeptScans | None = None,
    ) -> None:
        self.config = config
        self.near = NearIndexer.of(config)
        self.evaluation = evaluation
        self.against_text = compared_text()
        self._listener = listener
        self.engine = make_engine()
        # A GPU engine scans every chunk: it then forgets what the memory of the chunk before held.
        self._scans = scans if self.engine.name == "cpu" else None
        self.reader = RowReader(config, self.engine)
        self.chunks_read = 0
        self._input = ReadBuffer(self.engine.parquet_texts if self.engine.name == "gpu" else None)
        renderer = self.reader.renderer
        label = config.data.mapping.label
        key = config.preprocessing.dedup.key
        fields, json_fields, kept = renderer.fields, renderer.json_fields, config.output.columns

        def as_key(programs: Sequence[Program]) -> Program:
            if key != "rendered":
                return column_key(key)
            if not fields:  # the form `source` renders nothing: its conversation's columns stand for it
                return key_program(("source",), frozenset({"source"}), label, [column_key(renderer.columns)])
            return key_program(fields, json_fields, label, programs)

        def as_line(programs: Sequence[Program]) -> Program:
            if config.output.form == "source":
                return (RawSlot(RECORD), Literal(b"\n"))
            return line_program(fields, json_fields, kept, programs)

        self._keys = Composer(fields, as_key)
        self._lines = Composer(fields, as_line)
        self._fields = {field: Composer((field,), lambda programs: programs[0]) for field in fields}

    def chunks(self, item: Item, chunk_bytes: int) -> Iterator[Chunk]:
        """The chunks of a range; each is valid until the next is asked for. Passing faults are retried."""

        done = item.part.begin

        def read(given: int) -> Iterator[Chunk]:
            found = item.source.read(item.part, chunk_bytes, self._input, self.reader.keys_of_tables)
            # A table is not cut at the same rows again where a device could not decode what it could before.
            return islice(found, given, None) if item.source.rows is None else _behind(found, done)

        for chunk in retrying(read, "read", item.source.file.path, self._listener):
            self.chunks_read += 1
            if isinstance(chunk, ArrowChunk):
                done = chunk.first_row + len(chunk)
            yield chunk

    def judge(self, item: Item, chunk: Chunk) -> tuple[Rows, int]:
        """The rows of a chunk of a range, judged, and the digest of its source; what was found is kept."""
        rows = self.reader.read(chunk, judge=True)
        digest = source_digest(rows)
        if self._scans is not None and isinstance(chunk, JsonChunk):
            self._scans.keep(item.file, chunk, rows.records, digest)
        return rows, digest

    def read_again(self, item: Item, chunk: Chunk) -> tuple[Rows, int]:
        """The rows of a chunk that was judged, and the digest of its source. Raises InputError where
        what was kept is of other bytes."""
        found = None
        if self._scans is not None and isinstance(chunk, JsonChunk):
            found = self._scans.find(item.file, chunk, self.reader.keys)
        if found is None:
            rows = self.reader.read(chunk, judge=False)
            return rows, source_digest(rows)
        records, before = found
        rows = self.reader.read(chunk, judge=False, records=records)
        if source_digest(rows) != before:
            raise changed(item)
        return rows, before

    def keys(self, rows: Rows, chosen: I64) -> Text:
        """The dedup keys of the chosen rows."""
        return self._render(rows, *self._keys.table(rows.bound), chosen, layout.AS_JSON)

    def lines(self, rows: Rows, chosen: I64) -> Text:
        """The output lines of the chosen rows, each with its newline."""
        return self._render(rows, *self._lines.table(rows.bound), chosen, layout.AS_JSON)

    def line_table(self, rows: Rows) -> tuple[ProgramTable, I32]:
        """What `lines` renders."""
        return self._lines.table(rows.bound)

    def field(self, rows: Rows, field: str, chosen: I64) -> Text:
        """One rendered field of the chosen rows."""
        encoding = layout.AS_JSON if field in self.reader.renderer.json_fields else layout.AS_TEXT
        return self._render(rows, *self._fields[field].table(rows.bound), chosen, encoding)

    def renders_to_nothing(self, rows: Rows, chosen: I64, key_offsets: I64) -> I64:
        """Those of the chosen rows whose text is empty; only the form `text` may not have any.

        key_offsets: of their dedup keys. Of an empty text a key has its separators and the label, of which
        a byte takes BODY_BYTES at most; so only rows with a shorter one are rendered.
        """
        if self.config.output.form != "text" or self.config.preprocessing.dedup.key != "rendered":
            return chosen[:0]
        label = self.config.data.mapping.label
        most = 0 if label is None else BODY_BYTES * rows.records.columns[label].length[chosen]
        short = chosen[key_offsets[1:] - key_offsets[:-1] <= most + 2 * len(SEPARATOR)]
        if not len(short):
            return short
        empty: I64 = short[np.diff(self.field(rows, "text", short).offsets) == 0]
        return empty

    def strata(self, rows: Rows) -> U64 | None:
        """The hash of each row's stratum; None where the plan does not stratify."""
        strata = self.config.preprocessing.split.strata
        return hashes_of(self.engine, rows.records.columns, strata) if strata else None

    def groups(self, rows: Rows) -> U64 | None:
        """The hash of each row's group, 0 where it has none; None where the plan keeps no groups whole."""
        column = self.config.preprocessing.split.group
        if column is None:
            return None
        text = self.engine.text(rows.records.columns[column])
        named = np.diff(text.offsets) > 0
        return np.where(named, np.maximum(self.engine.hash64(text, 0), np.uint64(1)), np.uint64(0))

    def _render(self, rows: Rows, table: ProgramTable, program: I32, chosen: I64, encoding: int) -> Text:
        columns = [rows.column(name) for name in table.columns]
        return self.engine.render(table, program, columns, chosen, encoding, rows.bound.first)
