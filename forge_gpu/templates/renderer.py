"""The contract between templates and the job.

A renderer belongs to one configuration and lives for the whole run. `bind` takes one chunk and says, for
each field it renders, which program each row runs over which columns:

    renderer = make_renderer(config)
    records = engine.scan(data, form, renderer.columns, max_row_bytes)
    bound = renderer.bind(records, engine)
    table = pack(bound.programs, bound.message_columns)
    text = engine.render(table, bound.program["text"], [bound.columns[c] for c in table.columns], rows, ...)

`Bound.programs` is one list for the life of a renderer and only ever grows, so tables made of it can be
kept: a program's index never changes its meaning. Literals are plain UTF-8; for JSON output the job
encodes them, but not those of a field in `json_fields`: that field is a JSON value, its literals are JSON
already and it is rendered AS_JSON whatever the output format is.

`bind` may call every method of the engine, so what an engine returned before is stale after it. What a
Bound holds lives until the next `bind`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import field
from functools import cached_property
from typing import Any, Protocol

import numpy as np

from forge_gpu.engine.base import Engine
from forge_gpu.kernels import layout
from forge_gpu.kernels.layout import I32, I64, U8, Records, Spans
from forge_gpu.plain import mutable
from forge_gpu.templates.program import Program

Bools = np.ndarray[Any, np.dtype[np.bool_]]


def own(column: str) -> str:
    """The name of a column that a renderer makes: no key of a record that anybody writes is spelled so."""
    return f"\0{column}"


def no_detail(row: int) -> str:
    return ""


@mutable
class Bound:
    """One chunk of n rows, bound to programs.

    program: field -> int32[n], an index into `programs`, -1 where the row is refused. columns: every
    column that a program of this chunk names; row level: n spans, message level (those named in
    `message_columns`): m spans, row r having first[r] ... first[r+1]-1. reason: uint8[n] fates.Reason,
    what the scan said included, 0 where the row renders. detail: one line for a refused row, such as the
    template's own message; empty where the reason says it all. texts: contents by role for quality checks
    and near-duplicates, row level: `query` and `response` (with `input` and `system` where the mapping has
    them), `chosen` and `rejected`, or `text`. For a conversation `query` is all that users said and
    `response` all that the assistant said, joined by newlines. Rows refused before their texts were
    known have ABSENT there.
    """

    programs: list[Program]
    program: dict[str, I32]
    columns: dict[str, Spans]
    reason: U8
    make_texts: Callable[[], dict[str, Spans]]
    message_columns: frozenset[str] = frozenset()
    whole_texts: frozenset[str] = frozenset()
    """Columns of texts that a template wrote, in which literals and contents are not told apart."""
    first: I64 | None = None
    detail: Callable[[int], str] = no_detail
    counts: Mapping[str, int] = field(default_factory=dict)
    """For the report: rows of the chunk by the way they took; of Jinja templates `compiled`, `evaluated` (a
    program run in Python), `row_wise` and `refused`; empty for templates that have one program."""

    @cached_property
    def texts(self) -> dict[str, Spans]:
        """Contents by role, made when they are first asked for (joining them is work)."""
        return self.make_texts()


class Renderer(Protocol):
    @property
    def programs(self) -> list[Program]:
        """All programs so far: the list that every Bound names."""

    @property
    def columns(self) -> tuple[str, ...]:
        """Keys of the records that the scan must find."""

    @property
    def fields(self) -> tuple[str, ...]:
        """What it renders: ("text",), ("prompt", "completion"), ("messages",), ("prompt", "chosen",
        "rejected"); () for the form `source`, where the job writes the record itself."""

    @property
    def json_fields(self) -> frozenset[str]:
        """Fields that are JSON values, not texts."""

    def bind(self, records: Records, engine: Engine) -> Bound:
        """Choose programs for a chunk. A row that cannot render gets a reason; only a fault of the
        template itself raises TemplateError."""


def plain_spans(texts: Iterable[bytes | None], absent: int = layout.ABSENT) -> Spans:
    """Texts made in Python as one column of kind PLAIN; None becomes a span of kind `absent`."""
    values = list(texts)
    length = np.fromiter((len(value or b"") for value in values), np.int64, len(values))
    start = np.zeros(len(values), np.int64)
    np.cumsum(length[:-1], out=start[1:])
    kind = np.fromiter((absent if value is None else layout.PLAIN for value in values), np.uint8, len(values))
    start[kind == absent] = 0
    data = np.frombuffer(b"".join(value for value in values if value), np.uint8)
    return Spans(data, start, length, kind)


def sparse_spans(
    texts: Mapping[int, bytes], n: int, kind: int = layout.PLAIN, absent: int = layout.ABSENT
) -> Spans:
    """Texts of some of n rows, by row, as one column of a kind; `absent` elsewhere."""
    start, length, kinds = np.zeros(n, np.int64), np.zeros(n, np.int64), np.full(n, absent, np.uint8)
    rows = np.fromiter(texts, np.int64, len(texts))
    sizes = np.fromiter(map(len, texts.values()), np.int64, len(texts))
    start[rows], length[rows], kinds[rows] = np.cumsum(sizes) - sizes, sizes, kind
    return Spans(np.frombuffer(b"".join(texts.values()), np.uint8), start, length, kinds)


def merged(column: Spans, other: Spans, where: Bools) -> Spans:
    """A column that has the texts of another in some rows, ABSENT for empty ones. No copy where it has none
    of its own."""
    kind = np.where(where, np.where(other.length > 0, other.kind, np.uint8(layout.ABSENT)), column.kind)
    if column.kind.max(initial=layout.ABSENT) == layout.ABSENT:
        return other.over(other.start, other.length, kind)
    start = np.where(where, other.start + len(column.data), column.start)
    length = np.where(where, other.length, column.length)
    return Spans(np.concatenate([column.data, other.data]), start, length, kind)


def scattered(values: Spans, rows: I64, n: int) -> Spans:
    """The values of some rows as a column of n, ABSENT of others."""
    start, length, kind = np.zeros(n, np.int64), np.zeros(n, np.int64), np.full(n, layout.ABSENT, np.uint8)
    start[rows], length[rows], kind[rows] = values.start, values.length, values.kind
    return values.over(start, length, kind)


def overlay(column: Spans, replaced: Mapping[int, bytes]) -> Spans:
    """A copy of `column` in which some values are texts made in Python. Copies the buffer."""
    if not replaced:
        return column
    rows = np.fromiter(replaced, np.int64, len(replaced))
    length = np.fromiter((len(value) for value in replaced.values()), np.int64, len(replaced))
    start, all_length, kind = column.start.copy(), column.length.copy(), column.kind.copy()
    start[rows] = len(column.data) + np.cumsum(length) - length
    all_length[rows] = length
    kind[rows] = layout.PLAIN
    extra = np.frombuffer(b"".join(replaced.values()), np.uint8)
    return Spans(np.concatenate([column.data, extra]), start, all_length, kind)
