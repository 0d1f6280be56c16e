"""Output lines and dedup keys as programs: a template's programs, wrapped."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Literal as OneOf

import numpy as np
import numpy.typing as npt
import orjson

from forge_gpu.kernels import layout
from forge_gpu.kernels.layout import I32, I64, ProgramTable, Spans
from forge_gpu.plain import frozen
from forge_gpu.templates.program import (
    Literal,
    LiteralIfPresent,
    LiteralIfText,
    Part,
    Program,
    RawSlot,
    Slot,
    pack,
)
from forge_gpu.templates.renderer import Bound

SEPARATOR = b"\xff"
"""Between the fields of a dedup key: a byte that no UTF-8 text holds, so that no two rows run together."""


MOST_FLAGS = 1 << 20
"""Combinations of programs that may have a number each; more are sorted."""

BODY_BYTES = 6
"""At most so many bytes does one byte become in `json_body`."""


@frozen
class Field:
    """A field of the output. type: as the manifest's `columns` names it; Arrow's types are made from that."""

    name: str
    type: OneOf["string", "json", "ids"] = "string"
    may_be_empty: bool = True
    may_be_null: bool = False

    @property
    def is_json(self) -> bool:
        return self.type != "string"

    def is_sound(self, column: Spans) -> npt.NDArray[np.bool_]:
        """bool[n]: which values, read back from lines, are there, of the type, and not empty."""
        of_kind = np.zeros(layout.JSON + 1, np.bool_)  # as np.isin does, at a tenth of its time
        of_kind[[layout.JSON] if self.is_json else list(layout.BODIES)] = True
        of_kind[layout.NULL] = self.may_be_null
        sound: npt.NDArray[np.bool_] = of_kind[column.kind]
        return sound if self.may_be_empty else sound & (column.length > 0)


def json_body(text: bytes) -> bytes:
    """UTF-8 text as the body of a JSON string, in the canonical form of the escape kernel."""
    return orjson.dumps(text.decode())[1:-1]


def _encode(part: Part) -> Part:
    if isinstance(part, Literal | LiteralIfText | LiteralIfPresent):
        return replace(part, text=json_body(part.text))
    return part


def line_program(fields: Sequence[Field], columns: Sequence[str], programs: Sequence[Program]) -> Program:
    """One JSON line: the fields, each by its program, then columns of the input as that spells them."""
    parts: list[Part] = []
    opener = b"{"
    for field, program in zip(fields, programs, strict=True):
        name = orjson.dumps(field.name)
        if field.is_json:
            parts += [Literal(opener + name + b":"), *program]
            opener = b","
        else:
            parts += [Literal(opener + name + b':"'), *map(_encode, program)]
            opener = b'",'
    if fields and not fields[-1].is_json:
        parts.append(Literal(b'"'))
    for column in columns:
        parts += [LiteralIfPresent(b"," + orjson.dumps(column) + b":", column), RawSlot(column)]
    parts.append(Literal(b"}\n"))
    return _joined(parts)


def key_program(fields: Sequence[Field], label: str | None, programs: Sequence[Program]) -> Program:
    """What makes two rows duplicates: every field and the label.

    Texts are spelled as bodies of JSON strings, as in `line_program`: equal texts have one spelling, and of
    a JSON input that is mostly its own, which saves taking the escapes out.
    """
    parts: list[Part] = []
    for field, program in zip(fields, programs, strict=True):
        parts += program if field.is_json else map(_encode, program)
        parts.append(Literal(SEPARATOR))
    if label is not None:
        # Absent and null differ from the text "": a present label is followed by one more separator.
        parts += [Slot(label), LiteralIfPresent(SEPARATOR, label)]
    return _joined(parts)


def column_key(columns: Sequence[str]) -> Program:
    """The dedup key where the plan names columns."""
    parts: list[Part] = []
    for column in columns:
        parts += [Slot(column), Literal(SEPARATOR)]
    return tuple(parts)


def _joined(parts: Sequence[Part]) -> Program:
    """Neighbouring literals become one: fewer parts, fewer copies."""
    joined: list[Part] = []
    for part in parts:
        last = joined[-1] if joined else None
        if isinstance(part, Literal) and isinstance(last, Literal):
            joined[-1] = Literal(last.text + part.text)
        else:
            joined.append(part)
    return tuple(joined)


class Composer:
    """Wraps the programs of each row into one program a row, and keeps the table while it does not grow.

    `compose` makes one program from the fields' programs, e.g. `line_program` or `key_program`.
    """

    def __init__(self, fields: Sequence[str], compose: Callable[[Sequence[Program]], Program]) -> None:
        self._fields = tuple(fields)
        self._compose = compose
        self._source: list[Program] | None = None
        self._known: dict[tuple[int, ...], int] = {}
        self._composed: list[Program] = []
        self._table: ProgramTable | None = None
        self._message_columns: frozenset[str] = frozenset()

    def table(self, bound: Bound) -> tuple[ProgramTable, I32]:
        """The table and, for each row of the chunk, its program; -1 for refused rows."""
        if self._source is not bound.programs:
            self._source, self._known, self._composed, self._table = bound.programs, {}, [], None
        ids = self._ids(bound)
        if (
            self._table is None
            or len(self._table) != len(self._composed)
            or self._message_columns != bound.message_columns
        ):
            self._table = pack(self._composed, bound.message_columns)
            self._message_columns = bound.message_columns
        return self._table, ids

    def _ids(self, bound: Bound) -> I32:
        by_field = [bound.program[field] for field in self._fields]
        if len(bound.programs) == 1 and by_field:  # the common case: a flat template
            self._id(bound.programs, (0,) * len(by_field))  # the first and only one: it has their number, 0
            return by_field[0]
        good = bound.reason == 0
        ids = np.full(len(good), -1, np.int32)
        if not by_field:  # the form `source`
            ids[good] = self._id(bound.programs, ())
            return ids
        # The combination of a row as one number, with a digit for each field; few of them occur.
        base = len(bound.programs)
        code = np.zeros(int(np.count_nonzero(good)), np.int64)
        for programs in by_field:
            code = code * base + programs[good]
        present, which = _distinct(code, base ** len(by_field))
        combinations = np.stack(np.unravel_index(present, (base,) * len(by_field)), axis=1)
        composed = [self._id(bound.programs, tuple(combination)) for combination in combinations.tolist()]
        ids[good] = np.array(composed, np.int32)[which]
        return ids

    def _id(self, programs: Sequence[Program], combination: tuple[int, ...]) -> int:
        known = self._known.get(combination)
        if known is None:
            known = self._known[combination] = len(self._composed)
            self._composed.append(self._compose([programs[p] for p in combination]))
        return known


def _distinct(code: I64, bound: int) -> tuple[I64, I64]:
    """(the different codes, ascending, and which of them each is). code: int64[n] in [0, bound)."""
    if bound > MOST_FLAGS:
        return np.unique(code, return_inverse=True)
    number = np.zeros(bound, np.int64)
    number[code] = 1
    present = np.flatnonzero(number)
    number[present] = np.arange(len(present))
    return present, number[code]
