"""How a table of text is written: told from its first records."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise

import numpy as np

from forge_gpu.config.schema import TableDialect
from forge_gpu.kernels.layout import U8
from forge_gpu.kernels.reference.delimited import GOOD, MALFORMED, NONE, Signs, Split
from forge_gpu.plain import frozen

SAMPLE_RECORDS = 200
DELIMITERS = (",", "\t", ";", "|")
_SEP_LINE = re.compile(rb"sep=([^\r\n])\r?\n")
_NUMBER = re.compile(rb"[-+]?\d[\d.,]*")
LONGEST_NAME = 100
"""Bytes of a name of a column: what is longer is a value, and the file has no header."""


@frozen
class Dialect:
    """quote: what stands around a field, None where quotes mean nothing. escape: what stands before a quote
    in a field, None where it is doubled. blanks: those after a delimiter are no part of a field. header:
    whether the first record names the columns. skip: bytes before it, as of a line `sep=;`."""

    delimiter: str = ","
    quote: str | None = '"'
    escape: str | None = None
    blanks: bool = False
    header: bool = True
    skip: int = 0

    @classmethod
    def of(cls, section: TableDialect | None) -> Dialect | None:
        """The one that a plan names, if it names one."""
        return None if section is None else cls(**section.model_dump())

    @property
    def planned(self) -> dict[str, str | bool | None]:
        """The same as a plan names it."""
        return {name: getattr(self, name) for name in TableDialect.model_fields}

    @property
    def signs(self) -> Signs:
        """The same for the kernels."""
        quote = NONE if self.quote is None else ord(self.quote)
        escape = NONE if self.escape is None else ord(self.escape)
        return Signs(ord(self.delimiter), quote, escape, int(self.blanks))

    @property
    def about(self) -> list[str]:
        """What is not as RFC 4180 has it, in words."""
        return [
            *(["quotes mean nothing"] if self.quote is None else []),
            *([f"fields are quoted by {self.quote}"] if self.quote not in ('"', None) else []),
            *([f"quotes are escaped by {self.escape}"] if self.escape else []),
            *(["blanks after delimiters are no part of a field"] if self.blanks else []),
            *(["a first line names the delimiter"] if self.skip else []),
            *(["there is no header: columns are column_1, column_2 …"] if not self.header else []),
        ]


def split(data: bytes | U8, dialect: Dialect, columns: int, is_last: bool, most: int = 2**62) -> Split:
    """The first records of a block."""
    from forge_gpu.kernels.cpu.delimited import split_records

    block = np.frombuffer(data, np.uint8) if isinstance(data, bytes) else data
    return split_records(block, dialect.signs, columns, is_last, most)


def fields_of(data: bytes, result: Split, row: int, dialect: Dialect) -> list[bytes]:
    """The fields of a good record, unescaped."""
    from forge_gpu.kernels.cpu.delimited import unescaped

    columns = (result.start[row], result.length[row], result.escaped[row])
    texts, offsets = unescaped(np.frombuffer(data, np.uint8), *columns, dialect.signs)
    return [texts[a:b].tobytes() for a, b in pairwise(offsets.tolist())]


def dialect_of(head: bytes, whole: bool, named: bool, delimiter: str | None = None) -> Dialect | None:
    """The dialect by which most of the first records have as many fields as the first one, and the most of
    them; RFC 4180 where that is one. None where the text is no table.

    head: whole lines. named: whether the user or the suffix says that the file is a table, so that one column
    will do. delimiter: where it is known.
    """
    match = _SEP_LINE.match(head)
    skip = 0
    if match is not None and match[1].isascii():
        delimiter, skip = match[1].decode(), match.end()
    best: Dialect | None = None
    width = 1
    for each in (delimiter,) if delimiter else DELIMITERS:
        result, fields = _of_delimiter(head[skip:], whole, each, need_rows=not named)
        if result is not None and fields > width:
            best, width = result, fields
    if best is None and named:
        best = Dialect(delimiter or ",")
    if best is None:
        return None
    return _with_header(head, replace(best, skip=skip))


def at_its_begin(head: bytes, planned: Dialect) -> Dialect:
    """A dialect that a plan names, in a file that may begin with a line which names the delimiter too."""
    match = _SEP_LINE.match(head)
    names_it = match is not None and match[1] == planned.delimiter.encode()
    return replace(planned, skip=match.end()) if match is not None and names_it else planned


def _of_delimiter(head: bytes, whole: bool, delimiter: str, need_rows: bool) -> tuple[Dialect | None, int]:
    """The dialect that most of the records fit, and how many fields they have; the first of those alike."""
    best: tuple[float, Dialect | None, int] = (0.0, None, 0)
    for dialect in _candidates(head, whole, delimiter):
        share, width = _fit(head, whole, dialect, need_rows)
        if share > best[0]:
            best = share, dialect, width
        if share == 1:
            break
    return (best[1], best[2]) if best[0] >= 0.9 else (None, 0)


def _candidates(head: bytes, whole: bool, delimiter: str) -> Iterator[Dialect]:
    yield Dialect(delimiter)
    sign = delimiter.encode()
    if b'\\"' in head:
        yield Dialect(delimiter, escape="\\")
    if sign + b' "' in head:
        yield Dialect(delimiter, blanks=True)
        if b'\\"' in head:
            yield Dialect(delimiter, escape="\\", blanks=True)
    if sign + b"'" in head and (head.startswith(b"'") or b"\n'" in head):
        yield Dialect(delimiter, quote="'")
    if b'"' in head and not _has_sound_quotes(head, whole, Dialect(delimiter)):
        unquoted = Dialect(delimiter, quote=None)
        if not _has_quoted_fields(head, whole, unquoted):
            yield unquoted


def _has_sound_quotes(head: bytes, whole: bool, dialect: Dialect) -> bool:
    """Whether every quote stands where the dialect has quotes: then they mean something, though records may
    have a wrong number of fields."""
    result = split(head, dialect, 0, whole, SAMPLE_RECORDS)
    return not result.is_open and not (result.status == MALFORMED).any()


def _has_quoted_fields(head: bytes, whole: bool, unquoted: Dialect) -> bool:
    """Whether most fields that begin with a quote end with one too: then they are quoted, and a quote that
    stays open is a fault of its record."""
    result = split(head, unquoted, 0, whole, SAMPLE_RECORDS)
    width = int(np.median(result.width)) if len(result.width) else 0
    fields = split(head, unquoted, width, whole, SAMPLE_RECORDS)
    good = np.flatnonzero(fields.status == GOOD).tolist()
    values = [value.strip() for row in good for value in fields_of(head, fields, row, unquoted)]
    begun = [value for value in values if value.startswith(b'"')]
    return 2 * sum(len(value) > 1 and value.endswith(b'"') for value in begun) > len(begun)


def _fit(head: bytes, whole: bool, dialect: Dialect, need_rows: bool) -> tuple[float, int]:
    """(the share of the records that are well formed and as wide as the first, how wide that is)."""
    result = split(head, dialect, 0, whole, SAMPLE_RECORDS)
    widths, records = result.width, len(result.status) + result.is_open
    if not records or not len(widths) or (need_rows and records < 2):
        return 0.0, 0
    good = (result.status == GOOD) & (widths == widths[0])
    share = float(good.sum()) / records
    return share, int(widths[0])


def _with_header(head: bytes, dialect: Dialect) -> Dialect:
    """A first record with a number or a long text in it names no columns."""
    text = head[dialect.skip :]
    first = split(text, dialect, 0, True, 1)
    if not len(first.status):
        return dialect
    width = int(first.width[0])
    names = split(text, dialect, width, True, 1)
    values = fields_of(text, names, 0, dialect) if width else []
    is_header = not any(_NUMBER.fullmatch(value.strip()) or len(value) > LONGEST_NAME for value in values)
    return replace(dialect, header=is_header)


RFC_4180 = Dialect()
