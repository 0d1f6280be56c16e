"""What one thread needs to work on a chunk: an engine, a reader of rows, buffers, composed programs."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from forge_gpu.config.schema import Config
from forge_gpu.engine.base import Engine
from forge_gpu.engine.held import HeldChunk
from forge_gpu.errors import InputError
from forge_gpu.fates import Reason
from forge_gpu.io.chunks import Chunk, ReadBuffer
from forge_gpu.io.json_source import OVERLAP
from forge_gpu.io.row_bounds import bounded
from forge_gpu.job.events.events import Listener
from forge_gpu.job.events.retry import retrying
from forge_gpu.job.rows.evaluation import Evaluation, compared_text
from forge_gpu.job.rows.expansion import Expansions
from forge_gpu.job.rows.expansions import required_expansions
from forge_gpu.job.rows.list_rows import ListRows
from forge_gpu.job.rows.media_found import DIGESTS, compares_media
from forge_gpu.job.rows.near import NearText
from forge_gpu.job.rows.rows import RowReader, Rows
from forge_gpu.job.rows.scans import DeviceChunk, Found, HeldScans
from forge_gpu.job.rows.tokenizers import tokenizer_plan
from forge_gpu.job.state.inputs import Item
from forge_gpu.job.state.place import FOLDER as STAGED
from forge_gpu.job.state.token_table import TokenRows, offsets_of, pieces_within
from forge_gpu.kernels import layout
from forge_gpu.kernels.cpu.hashing import digest
from forge_gpu.kernels.layout import I32, I64, U8, ProgramTable, Spans, Text
from forge_gpu.records.identity import identity_of
from forge_gpu.templates.forms import form_of
from forge_gpu.templates.forms.tokens import answers_of
from forge_gpu.templates.lines import BODY_BYTES, SEPARATOR, Composer, column_key
from forge_gpu.templates.program import Literal, Program, RawSlot, Slot
from forge_gpu.templates.stripped import Stripped

if TYPE_CHECKING:
    from forge_gpu.job.rows.cuts import RowCutter
    from forge_gpu.job.rows.output_columns import OutputColumns


def changed(item: Item) -> InputError:
    """The fault of a file that is not what it was in the first pass."""
    return InputError(f"{item.source.file.path}: changed while it was read; run the command again")


def source_digest(rows: Rows) -> int:
    """A digest of the rows as the source spells them; the sum over chunks, modulo 2^64, is the range's.

    Of a table: the values of the columns that are read.
    """
    if rows.chunk.form == "table":
        columns = rows.source.columns.values()
        of_columns = (digest(column.data, column.start, column.length) for column in columns)
        return sum((2 * number + 1) * result for number, result in enumerate(of_columns)) % 2**64
    return digest(rows.source.data, rows.source.start, rows.source.length)


def is_same_source(item: Item, digest: int, before: int) -> bool:
    """Whether what was read of a range, or of a block of one, is what the first pass read of it, by the sums
    of the digests of chunks. Of a table either may be 0: that pass took none, and the file is watched."""
    took_none = item.source.rows is not None and 0 in (digest % 2**64, before)
    return took_none or digest % 2**64 == before


def folder_of(item: Item) -> str:
    """The folder that the file of a range lies in; empty of one at a URL, the present one of a stream."""
    file = item.source.file
    if file.is_remote:
        return ""
    return os.getcwd() if STAGED in Path(file.url).parts else os.path.dirname(os.path.abspath(file.url))


def _after(chunks: Iterable[Chunk], row: int) -> Iterator[Chunk]:
    """The rows of a table from `row` on."""
    for chunk in chunks:
        assert chunk.form == "table"
        rest = chunk.after(row)
        if rest is not None:
            yield rest


def _taken(column: Spans, rows: I64) -> Spans:
    return column.over(column.start[rows], column.length[rows], column.kind[rows])


class Workspace:
    """Belongs to one task at a time; its buffers stay from chunk to chunk."""

    def __init__(
        self,
        config: Config,
        make_engine: Callable[[], Engine],
        listener: Listener,
        columns: Sequence[str] = (),
        evaluation: Evaluation | None = None,
        scans: HeldScans | None = None,
        expansions: Expansions | None = None,
    ) -> None:
        """columns: of the input that facts are computed from. expansions: those of the plan, opened;
        by default they are as they are declared."""
        self.config = config
        self.near = NearText.of(config)
        self.evaluation = evaluation
        self.against_text = compared_text()
        self._listener = listener
        self.engine = make_engine()
        self._scans = scans
        self._chunk_follows = 0  # where the chunk before ended, or the range began
        self._expansions = Expansions(required_expansions(config)) if expansions is None else expansions
        declared = self._expansions.declared
        self.reader = RowReader(config, self.engine, columns, declared)
        self.chunks_read = 0
        self.on_device = self.engine.name == "gpu"
        self._input = (
            ReadBuffer(self.engine.parquet_texts, self.engine.pin) if self.on_device else ReadBuffer()
        )
        # What a device has decoded would have to be copied back to be digested: its files are watched alone.
        self._digests_tables = self._input.parquet_texts is None
        self._form = form_of(config)
        columns, key = self.reader.renderer.columns, config.preprocessing.dedup.key
        fields = tuple(field.name for field in self._form.rendered(config))

        media: Program = (Slot(DIGESTS), Literal(SEPARATOR)) if compares_media(config) else ()

        def as_key(programs: Sequence[Program]) -> Program:
            own = self._form.key(config, columns, programs) if key == "rendered" else column_key(key)
            return (*own, *media)

        plan = tokenizer_plan(config)
        self._keys_of_tokens = plan is not None and not answers_of(config)
        self.encoder, key_fields = None, tuple[Program, ...]()
        if plan is not None:
            from forge_gpu.job.rows.encoded import KEY_SPANS, KEY_TEXT, RowEncoder

            self.encoder = RowEncoder(config, self.engine, plan, self.reader.renderer)
            key_fields = ((Slot(KEY_TEXT),), (RawSlot(KEY_SPANS),))[: len(fields)]
        self._keys = Composer(
            () if self._keys_of_tokens else fields,
            lambda programs: as_key(key_fields if self._keys_of_tokens else programs),
        )
        label = config.data.mapping.label
        self._compared = set(key) if key != "rendered" else {label} - set(columns)
        self._cutter = self._made_cutter()
        self._stripped = Stripped.of(config)
        self._whole_texts: frozenset[str] = frozenset()
        self._columns: OutputColumns | None = None
        self._lines = Composer(fields if plan is None else (), self._line)
        self._fields = {field: Composer((field,), lambda programs: programs[0]) for field in fields}

    def chunks(self, item: Item, chunk_bytes: int, records: int | None = None) -> Iterator[Chunk]:
        """The chunks of a range; each is valid until the next is asked for. Passing faults are retried.
        records: how many the range has, where that is known. What the engine holds of it is not read."""
        held = self._held_chunks(item)
        if held:
            for chunk_there in held:
                self.chunks_read += 1
                again = partial(self._again, item, chunk_there)
                yield DeviceChunk(chunk_there.note, self.engine.take_up(chunk_there, again))
            return

        done = self._chunk_follows = item.range.begin

        def read(given: int) -> Iterator[Chunk]:
            chunks = item.source.read(item.range, chunk_bytes, self._input, self.reader.keys_of_tables)
            # A table is not cut at the same rows again where a device could not decode what it could before.
            return islice(chunks, given, None) if item.source.rows is None else _after(chunks, done)

        for chunk in retrying(read, "read", item.source.file.path, self._listener):
            done = chunk.end
            for piece in (chunk,) if chunk.form == "table" else bounded(chunk, chunk_bytes, records):
                self.chunks_read += 1
                yield piece
                self._chunk_follows = piece.end

    def _held_chunks(self, item: Item) -> list[HeldChunk]:
        """Those that a range is made of, where the engine holds all of them; else none."""
        at, chunks = item.range.begin, []
        while self._scans is not None and at < item.range.end:
            chunk = self.engine.held((self._scans, item.file, at))
            if chunk is None:
                return []
            chunks.append(chunk)
            at = chunk.note.end
        return chunks

    def _again(self, item: Item, chunk: HeldChunk, error: BaseException) -> U8:
        """The bytes of a chunk that the engine held, from its file. Raises InputError where that is another
        now."""
        found: Found = chunk.note
        part = replace(item.range, begin=found.offset, end=found.end, size=found.size)
        data = np.zeros(found.size, np.uint8)
        for read in item.source.read(part, found.size + OVERLAP):
            assert read.form != "table"
            at = read.offset - found.offset
            data[at : at + read.size] = read.data[: found.size - at]
        if digest(data, chunk.rows.start, chunk.rows.length) != found.digest:
            raise changed(item)
        return data

    def judge(self, item: Item, chunk: Chunk) -> tuple[Rows, int]:
        """The rows of a chunk of a range, judged, and the digest of its source; the scan is held."""
        rows = self.reader.read(chunk, judge=True, place=partial(folder_of, item))
        digest = self._digest(rows)
        if self._scans is not None and chunk.form != "table":
            if not self.on_device:
                self._scans.hold(item.file, chunk, rows.source, digest)
            elif not chunk.truncated:
                key = self._scans, item.file, self._chunk_follows
                found = Found(chunk.form, chunk.offset, chunk.size, digest, rows.lines)
                self.engine.hold(key, rows.source, found, self._scans.budget)
        return rows, digest

    def read_again(self, item: Item, chunk: Chunk, bind: bool = True) -> tuple[Rows, int]:
        """The rows of a chunk that was judged, and the digest of its source. bind: whether their texts are
        asked for. Raises InputError where what is held is of other bytes."""
        held = None
        if isinstance(chunk, DeviceChunk):
            rows = self.reader.read(chunk, judge=False, bind=bind, place=partial(folder_of, item))
            return rows, chunk.found.digest
        if self._scans is not None and chunk.form != "table":
            held = self._scans.find(item.file, chunk, self.reader.keys)
        if held is None:
            rows = self.reader.read(chunk, judge=False, bind=bind, place=partial(folder_of, item))
            return rows, self._digest(rows)
        records, before = held
        rows = self.reader.read(
            chunk, judge=False, records=records, bind=bind, place=partial(folder_of, item)
        )
        if source_digest(rows) != before:
            raise changed(item)
        return rows, before

    def written(self, rows: Rows, chosen: I64) -> None:
        """Some rows of a chunk are about to be written."""
        self._expansions.written(rows.records, chosen)

    def _digest(self, rows: Rows) -> int:
        """That of the source; 0 where none is taken."""
        return source_digest(rows) if rows.chunk.form != "table" or self._digests_tables else 0

    def keys(self, rows: Rows, chosen: I64) -> Text:
        """The dedup keys of the chosen rows."""
        if self._keys_of_tokens and self.config.preprocessing.dedup.key == "rendered":
            assert self.encoder is not None
            rows.bound.columns |= self.encoder.key_columns(rows)
        table, program = self._keys.table(rows.bound)
        columns = [self._key_column(rows, name) for name in table.columns]
        return self.engine.render(table, program, columns, chosen, layout.AS_JSON, rows.bound.first)

    def _key_column(self, rows: Rows, name: str) -> Spans:
        """A column as keys have it: of those that are compared themselves, what makes two values the same."""
        column = rows.column(name)
        return identity_of(column) if name in self._compared else column

    def lines(self, rows: Rows, chosen: I64) -> Text:
        """Some of the output lines of a chunk, each with its newline: chosen are numbers of rows, or of lines
        where rows become several. Rows that become tokens are encoded, or their tokens given, before."""
        table, program, columns, first = self.line_columns(rows)
        return self.engine.render(table, program, columns, chosen, layout.AS_JSON, first)

    def encode_lines(self, rows: Rows, written: I64, counted: I64) -> np.ndarray:
        """Encode rows of a chunk that are to be written, in any order, and others that are counted alone.
        What is noted of all rows of the chunk: ROW[n]."""
        from forge_gpu.job.rows.encoded import table_of

        assert self.encoder is not None
        chosen = np.concatenate((written, counted))
        tokens = self.encoder.encode(rows, chosen).tokens
        offsets = tokens.offsets[: len(written) + 1]
        own = slice(offsets[-1])
        rows.listed = written
        rows.lists = self.encoder.lists(tokens.ids[own], tokens.weights[own], offsets)
        return table_of(len(rows), chosen, tokens)

    def give_tokens(self, rows: Rows, written: I64, given: TokenRows, copies: I64 | None = None) -> None:
        """Take the tokens of rows that are to be written from what the token pass left of the chunk. copies:
        how often each of them is, where rows are repeated; they then become lines of their own."""
        assert self.encoder is not None
        units = written if copies is None else np.repeat(written, copies)
        of_rows = given.table[units]
        offsets = offsets_of(of_rows)
        at = np.arange(offsets[-1]) + np.repeat(of_rows["at"] - offsets[:-1], np.diff(offsets))
        ids, weights = given.ids[at], given.weights[at]
        rows.listed = written
        if copies is not None or self.config.tokens.cut == "split":
            pieces = np.ones(len(units), np.int64)
            if self.config.tokens.cut == "split":
                pieces, offsets = pieces_within(offsets, self.config.model.max_length or 1)
            rows.line_rows = np.repeat(units, pieces)
            rows.line_copies = None if copies is None else np.repeat(np.arange(len(units)), pieces)
            rows.listed = np.arange(len(rows.line_rows))
        rows.lists = self.encoder.lists(ids, weights, offsets)

    def columns(self, types: Mapping[str, str]) -> OutputColumns:
        """What makes columns of the rows of the output, in place of `lines`. types: of them, as in the
        manifest of the one job that this belongs to."""
        if self._columns is None:
            from forge_gpu.job.rows.output_columns import OutputColumns

            self._columns = OutputColumns(self.config, self.engine, self._stripped, self._line_column, types)
        return self._columns

    def encode_cut(self, rows: Rows, retained: I64, counted: I64) -> TokenRows:
        """The tokens of rows of a chunk as they are to be written, cut where the plan cuts them, and of
        others their number alone. The columns of the rows hold no longer."""
        from forge_gpu.job.rows.encoded import table_of

        assert self.encoder is not None
        chosen = np.union1d(retained, counted)
        tokens = self.encoder.encode(rows, chosen).tokens
        is_retained = np.isin(chosen, retained)
        cut_tokens, cut_messages = np.zeros((2, len(chosen)), np.int64)
        if self._cutter is not None:
            places = np.flatnonzero(is_retained)
            cut = self._cutter.cut(rows, chosen[places], tokens.taken(places))
            order = np.arange(len(chosen))
            order[places] = len(chosen) + np.arange(len(places))
            tokens = tokens.followed_by(cut.tokens).taken(order)
            cut_tokens[places], cut_messages[places] = cut.cut_tokens, cut.cut_messages
        table = table_of(len(rows), chosen, tokens, is_retained)
        table["cut_tokens"][chosen], table["cut_messages"][chosen] = cut_tokens, cut_messages
        of_retained = np.repeat(is_retained, np.diff(tokens.offsets))
        return TokenRows(table, tokens.ids[of_retained], tokens.weights[of_retained])

    def _made_cutter(self) -> RowCutter | None:
        if self.encoder is None or self.config.tokens.cut == "none":
            return None
        from forge_gpu.job.rows.cuts import RowCutter

        return RowCutter(self.config, self.reader, self.encoder)

    def line_columns(self, rows: Rows) -> tuple[ProgramTable, I32, list[Spans], I64 | None]:
        """What `lines` renders: a table, the program of each line, the columns that they take, and the
        messages of each line; pieces and copies of rows have none, as their tokens are all of a row."""
        self._whole_texts = rows.bound.whole_texts
        table, program = self._lines.table(rows.bound)
        if rows.lists is not None:
            rows.bound.columns |= rows.once("lists", partial(self._list_columns, rows, rows.lists))
        columns = [self._line_column(rows, name) for name in table.columns]
        if rows.line_rows is None:
            return table, program, columns, rows.bound.first
        assert self.encoder is not None
        columns = [
            column if name in self.encoder.names else _taken(column, rows.line_rows)
            for name, column in zip(table.columns, columns, strict=True)
        ]
        return table, program[rows.line_rows], columns, None

    def _list_columns(self, rows: Rows, lists: ListRows) -> Mapping[str, Spans]:
        """The tokens of rows, or of the lines that they become, as columns."""
        assert self.encoder is not None
        count = len(rows) if rows.line_rows is None else len(rows.line_rows)
        return self.encoder.columns(rows.listed, lists, count)

    def _line(self, programs: Sequence[Program]) -> Program:
        if self._stripped:
            fields = self._form.rendered(self.config)
            programs = self._stripped.programs(fields, programs, self._whole_texts)
        return self._form.line(self.config, programs)

    def _line_column(self, rows: Rows, name: str) -> Spans:
        own = self._stripped.column_of(name)
        column = rows.column(own)
        return column if own == name else self._stripped.column(name, column)

    def field(self, rows: Rows, field: str, chosen: I64) -> Text:
        """One rendered field of the chosen rows."""
        encoding = layout.AS_JSON if field in self.reader.renderer.json_fields else layout.AS_TEXT
        return self._render(rows, *self._fields[field].table(rows.bound), chosen, encoding)

    def renders_to_nothing(self, rows: Rows, chosen: I64, key_offsets: I64) -> I64:
        """Those of the chosen rows that have nothing in a field which may not be empty.

        key_offsets: of their dedup keys. With one field, the key of an empty text has its separators and the
        label, of which a byte takes BODY_BYTES at most; so only rows with a shorter one are rendered.
        """
        fields = self._form.rendered(self.config)
        if self.encoder is not None:
            return self.encoder.without_text(rows, chosen)
        full = [field.name for field in fields if not field.may_be_empty]
        if not full or self.config.preprocessing.dedup.key != "rendered":
            return chosen[:0]
        if len(fields) == 1:
            label = self.config.data.mapping.label
            most = 0 if label is None else BODY_BYTES * rows.records.columns[label].length[chosen]
            chosen = chosen[key_offsets[1:] - key_offsets[:-1] <= most + 2 * len(SEPARATOR)]
        empty = np.zeros(len(chosen), np.bool_)
        for field in full if len(chosen) else ():
            empty |= np.diff(self.field(rows, field, chosen).offsets) == 0
        return chosen[empty]

    def unfit_for_tokens(self, rows: Rows, chosen: I64) -> dict[Reason, I64]:
        """Those of the chosen rows that cannot be written as tokens, by why."""
        encoder = self.encoder
        if encoder is None or not len(chosen):
            return {}

        return {
            Reason.UNKNOWN_ORIGIN: encoder.of_unknown_origin(rows),
            Reason.NOTHING_TRAINED: encoder.without_training(rows, chosen),
        }

    def _render(self, rows: Rows, table: ProgramTable, program: I32, chosen: I64, encoding: int) -> Text:
        columns = [rows.column(name) for name in table.columns]
        return self.engine.render(table, program, columns, chosen, encoding, rows.bound.first)
