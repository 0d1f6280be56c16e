"""From a chunk of input to its rows: records, programs, checks. What both passes do with every chunk."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import field
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import orjson

from forge_gpu.config.schema import Action, Config, Near
from forge_gpu.engine.base import Engine
from forge_gpu.fates import Reason
from forge_gpu.io.chunks import ArrowChunk, Chunk
from forge_gpu.io.stray_marks import without_marks
from forge_gpu.job.rows.converted import CONVERT, made_columns
from forge_gpu.job.rows.expansion import DETAIL, PASSED_OVER, PLACE, Expansion, Parts, expand, taken
from forge_gpu.job.rows.list_rows import ListRows
from forge_gpu.job.rows.media_found import amiss, counts_tokens, detail_of, tokens_beside
from forge_gpu.job.rows.scans import DeviceChunk
from forge_gpu.job.rows.tokenizers import control_checks
from forge_gpu.kernels import layout
from forge_gpu.kernels.layout import I64, Records, Spans, empty_spans, spans_of_offsets
from forge_gpu.kernels.scratch import Scratch
from forge_gpu.media.checks import CHECKS
from forge_gpu.media.marks import media_columns, unequal
from forge_gpu.plain import mutable
from forge_gpu.quality.checks import check, checks_made
from forge_gpu.records.paths import Paths
from forge_gpu.templates.choose import make_renderer
from forge_gpu.templates.forms import form_of
from forge_gpu.templates.forms.source import RECORD
from forge_gpu.templates.program import Literal, Part, Program, RawSlot, pack
from forge_gpu.templates.renderer import Bound

Made = TypeVar("Made")

RANKED_BY_WORD = ("first", "longest")
"""What `dedup.near.keep` may say besides the name of a column."""

Warned = dict[Reason, npt.NDArray[np.bool_]]


@mutable
class Rows:
    """One chunk, read and judged. source: its records as they are read. records: of the final rows, which
    are the same where the plan makes no parts. reason: uint8[n]: why each row is rejected; 0 where it is not.
    parts: where the rows come from; None where each is a record. characters: int64[n], of the contents, where
    checks counted them. rules: see `quality.checks.Checked`. line_rows: int64[l], ascending: the row that
    each line of the output is made of, where rows become several; None where each is one line. line_copies:
    int64[l], the copy that each line is of, where rows are repeated. lists: of rows that are written as
    tokens, in the order of `listed`: int64[m], numbers of rows, or of lines."""

    engine: Engine
    chunk: Chunk
    source: Records
    records: Records
    parts: Parts | None
    bound: Bound
    reason: npt.NDArray[np.uint8]
    warned: Warned
    characters: npt.NDArray[np.int64] | None = None
    rules: dict[str, dict[str, npt.NDArray[np.bool_]]] = field(default_factory=dict)
    line_rows: I64 | None = None
    line_copies: I64 | None = None
    lists: ListRows | None = None
    listed: I64 = field(default_factory=lambda: np.zeros(0, np.int64))
    _made: dict[str, Any] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.reason)

    @property
    def live(self) -> I64:
        """Numbers of the rows that can be rendered: not rejected, and of those that have parts."""
        good = self.reason == 0
        return np.flatnonzero(good if self.parts is None else good & (self.parts.number >= 0))

    @property
    def lines(self) -> int:
        """Physical lines of the chunk, where it is of JSON lines."""
        return self.chunk.lines(self.source)

    def record_of(self, row: int) -> int:
        """The number of the record that a row is made of."""
        return row if self.parts is None else int(self.parts.source[row])

    def once(self, name: str, make: Callable[[], Made]) -> Made:
        """What several facts are taken from: made by the first that asks."""
        if name not in self._made:
            self._made[name] = make()
        made: Made = self._made[name]
        return made

    def column(self, name: str) -> Spans:
        """A column that a program names: of the template, of the input, or the record itself."""
        bound = self.bound.columns.get(name)
        if bound is not None:
            return bound
        if name != RECORD or RECORD in self.records.columns:  # an expansion may have made records anew
            return self.records.columns[name]
        record = record_column(self.engine, self.chunk, self.source)
        if self.parts is None:
            return record
        rows = self.parts.source
        return record.over(record.start[rows], record.length[rows], record.kind[rows])

    def detail(self, row: int, reason: int = 0) -> str:
        """One line about why a row is rejected. reason: what was decided, where that is known."""
        if self.records.reason[row] and DETAIL in self.records.columns:
            return self.records.columns[DETAIL].raw(row).decode()
        if self.bound.reason[row]:
            return self.bound.detail(row)
        return detail_of(self.records, row, reason or int(self.reason[row]))


def record_column(engine: Engine, chunk: Chunk, records: Records) -> Spans:
    """The whole of each record of a chunk, as JSON."""
    number = len(records)
    kind = np.full(number, layout.JSON, np.uint8)
    if chunk.form != "table":
        return records.spans(kind)
    text = engine.render(
        pack([_object_program(chunk.names)]),
        np.zeros(number, np.int32),
        [chunk.spans(name) for name in chunk.names],
        np.arange(number, dtype=np.int64),
        layout.AS_JSON,
    )
    spans = spans_of_offsets(text.data.copy(), text.offsets)
    return Spans(spans.data, spans.start, spans.length, kind)


def ranking_column(near: Near | None) -> str | None:
    """The column whose number decides which row of a cluster of near-duplicates stays."""
    return near.keep if near is not None and near.keep not in RANKED_BY_WORD else None


def _object_program(names: Sequence[str]) -> Program:
    """A record of a table as one JSON object."""
    parts: list[Part] = []
    for number, name in enumerate(names):
        parts += [Literal((b"," if number else b"{") + orjson.dumps(name) + b":"), RawSlot(name)]
    return (*parts, Literal(b"}" if names else b"{}"))


class RowReader:
    """Reads chunks by one config on one engine; one a thread."""

    def __init__(
        self,
        config: Config,
        engine: Engine,
        columns: Sequence[str] = (),
        expansions: Sequence[Expansion] | None = None,
    ) -> None:
        """columns: of the input that are read beside those that rendering takes. expansions: what makes the
        final rows; None where nothing but the plan's converter does."""
        if expansions is None:
            expansions = (CONVERT,) if CONVERT.required(config) else ()
        self._expansions = expansions
        self._makes_parts = any(expansion.makes_parts(config) for expansion in expansions)
        self.config = config
        self.engine = engine
        self.renderer = make_renderer(config)
        self._media = {} if config.preprocessing.quality_checks.media == "off" else media_columns(config.data)
        key, label = config.preprocessing.dedup.key, config.data.mapping.label
        required = [
            *self.renderer.columns,
            *([] if key == "rendered" else key),
            *config.output.columns,
            *([] if label is None else [label]),
            *self._media.values(),
            *columns,
        ]
        taken = [column for expansion in expansions for column in expansion.inputs(config)]
        self._takes_records = RECORD in (*required, *taken)
        self._takes_place = PLACE in taken
        made = made_columns(config)
        named = (*(key for key in required if key not in made), *taken)
        self._paths = Paths(key for key in named if key not in (RECORD, PLACE))
        self.keys = self._paths.keys
        self._control_checks = control_checks(config)
        self._scratch = Scratch()
        checks = config.preprocessing.quality_checks
        self._longest = None if form_of(config).is_encoded else config.model.max_length
        self._counts_media = self._longest is not None and counts_tokens(config)
        self._judges = bool(checks_made(checks, self._longest) or self._control_checks)
        if checks.language != "off":
            from forge_gpu.quality.language import detector

            detector().require(checks.languages)
        self._no_programs: list[Program] = []

    def read(
        self,
        chunk: Chunk,
        *,
        judge: bool,
        records: Records | None = None,
        bind: bool = True,
        place: Callable[[], str] = str,
    ) -> Rows:
        """The rows of a chunk. `judge` runs the quality checks, which only the first pass needs.

        records: those of the chunk, by `keys`, where they are known. bind: whether their texts are asked for.
        place: the folder of the file that they are of, for expansions that ask for it.
        """
        source = records or self._records(chunk)
        records, parts = self._paths.resolved(source), None
        if self._expansions:
            records, parts = expand(
                self._expansions,
                self.config,
                self.engine,
                self._for_expansions(chunk, records, place),
                self._paths.resolved,
            )
            parts = parts if self._makes_parts else None
        bound = self.renderer.bind(records, self.engine) if bind else self._unbound(records)
        reason = bound.reason.copy()
        warned: Warned = {}
        characters: npt.NDArray[np.int64] | None = None
        rules: dict[str, dict[str, npt.NDArray[np.bool_]]] = {}
        if judge and self._judges and bound.texts:
            checked = check(
                bound.texts,
                self.config.preprocessing.quality_checks,
                self._longest,
                self.engine,
                self._scratch,
                tokens_beside(records) if self._counts_media else 0,
            )
            characters, rules = checked.characters, checked.rules
            if checked.warned or checked.reason.any():
                good = reason == 0
                reason = np.where(good, checked.reason, reason)
                warned = {why: rows & good for why, rows in checked.warned.items()}
            self._find_control_tokens(records, bound, reason, warned)
            self._count_media(records, reason, warned)
        if judge:
            self._judge_media(records, reason, warned)
        reason[reason == PASSED_OVER] = 0
        return Rows(self.engine, chunk, source, records, parts, bound, reason, warned, characters, rules)

    def _unbound(self, records: Records) -> Bound:
        return Bound(self._no_programs, {}, {}, records.reason.copy(), dict)

    def with_column(self, rows: Rows, numbers: I64, name: str, column: Spans) -> Rows:
        """Some rows of a chunk with another column, bound anew: what `rows` is bound to holds no longer.
        column: Spans[m], of these rows."""
        records = taken(rows.records, numbers)
        records = records.with_columns({**records.columns, name: column})
        bound = self.renderer.bind(records, self.engine)
        return Rows(self.engine, rows.chunk, rows.source, records, None, bound, bound.reason.copy(), {})

    def _find_control_tokens(
        self,
        records: Records,
        bound: Bound,
        reason: npt.NDArray[np.uint8],
        warned: Warned,
    ) -> None:
        """Reject, or warn of, rows whose contents spell them; tools and calls are searched as they stand."""
        mapping = self.config.data.mapping
        raw = [records.columns[name] for name in (mapping.messages, mapping.tools) if name in records.columns]
        for tokens, action in self._control_checks:
            spelled = tokens.spelled([*bound.texts.values(), *raw], self._scratch)
            _act(action, Reason.CONTROL_TOKENS, spelled, reason, warned)

    def _count_media(self, records: Records, reason: npt.NDArray[np.uint8], warned: Warned) -> None:
        """Reject, or warn of, rows that name another number of media than they have."""
        rows = np.flatnonzero(reason == 0)
        if not self._media or not len(rows):
            return
        differs = np.zeros(len(reason), np.bool_)
        differs[rows] = unequal(self.config.data, taken(records, rows).columns)
        _act(self.config.preprocessing.quality_checks.media, Reason.MEDIA_MARKS, differs, reason, warned)

    def _judge_media(self, records: Records, reason: npt.NDArray[np.uint8], warned: Warned) -> None:
        """Reject, or warn of, rows whose media are not as they should be; what rejects goes first."""
        found = amiss(records, np.flatnonzero(reason == 0))
        actions = self.config.preprocessing.quality_checks
        of_each = [(getattr(actions, check), why) for why, check in CHECKS.items() if why in found]
        for action, why in sorted(of_each, key=lambda each: each[0] != "reject"):
            _act(action, why, found[why], reason, warned)

    @property
    def keys_of_tables(self) -> tuple[str, ...] | None:
        """Columns to read of a table; None for all: the form, or an expansion, takes the whole record."""
        return None if self._takes_records or form_of(self.config).is_record else self.keys

    def _for_expansions(self, chunk: Chunk, records: Records, place: Callable[[], str]) -> Records:
        """Records with what the expansions take beside columns of the input: the whole of each, its place."""
        columns = dict(records.columns)
        if self._takes_place:
            columns[PLACE] = _same_text(place(), len(records))
        if self._takes_records:
            columns[RECORD] = record_column(self.engine, chunk, records)
        return records.with_columns(columns)

    def _records(self, chunk: Chunk) -> Records:
        if isinstance(chunk, DeviceChunk):
            return chunk.records
        if chunk.form == "table":
            return table_records(chunk, self.keys, self.engine)
        limit = self.config.data.max_row_bytes
        records = self.engine.scan(chunk.data, chunk.form, self.keys, limit)
        while (data := without_marks(records)) is not None:
            records = self.engine.scan(data, chunk.form, self.keys, limit)
        return records


def _act(
    action: Action, why: Reason, holds: npt.NDArray[np.bool_], reason: npt.NDArray[np.uint8], warned: Warned
) -> None:
    """Reject, or warn of, the rows of which something holds, if they are good until now."""
    holds = holds & (reason == 0)
    if action == "reject":
        reason[holds] = why
    elif action == "warn":
        warned[why] = holds


def _same_text(text: str, rows: int) -> Spans:
    data = np.frombuffer(text.encode("utf-8", "surrogateescape") or b"\0", np.uint8)
    length = np.full(rows, len(data) if text else 0, np.int64)
    return Spans(data, np.zeros(rows, np.int64), length, np.full(rows, layout.PLAIN, np.uint8))


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
