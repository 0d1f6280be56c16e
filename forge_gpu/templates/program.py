"""Programs: what every template becomes. A program is literals and column slots, nothing else.

Whatever a template does to a text (strip, split, replace, JSON-escape) is done before, on a column of
its own; so one render kernel serves built-ins, format strings, compiled Jinja and whole output lines.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from forge_gpu.kernels import layout
from forge_gpu.plain import frozen


@frozen
class Literal:
    """Bytes written as they are; for a JSON render they are encoded already (see `json_body`)."""

    text: bytes


@frozen
class Slot:
    """The text of a column. `element` is the number of the message for a column of message level."""

    column: str
    element: int = 0


@frozen
class LiteralIfText:
    """Bytes written where the column has a text that is not empty."""

    text: bytes
    column: str
    element: int = 0


@frozen
class RawSlot:
    """A column as a JSON value, spelled as the input spells it, quotes included; nothing for ABSENT."""

    column: str
    element: int = 0


@frozen
class LiteralIfPresent:
    """Bytes written where the record has the column at all, null included."""

    text: bytes
    column: str
    element: int = 0


@frozen
class TrainedMark:
    """Where what the model is to learn begins, or ends. It writes nothing, but where marks are asked for
    (see marks.py)."""

    begins: bool


Part = Literal | Slot | LiteralIfText | RawSlot | LiteralIfPresent | TrainedMark
Program = tuple[Part, ...]

_OPERATIONS = {
    Literal: layout.LITERAL,
    Slot: layout.SLOT,
    LiteralIfText: layout.LITERAL_IF_TEXT,
    RawSlot: layout.RAW_SLOT,
    LiteralIfPresent: layout.LITERAL_IF_PRESENT,
}


def pack(programs: Sequence[Program], message_columns: Iterable[str] = ()) -> layout.ProgramTable:
    """Programs as one table for the kernels; columns named in `message_columns` are of message level.

    Equal literals are stored once. An empty program is allowed and renders to nothing.
    """
    message_level = set(message_columns)
    literals: dict[bytes, int] = {}
    columns: dict[str, int] = {}
    rows: list[tuple[int, int, int, int]] = []
    starts = [0]
    for program in programs:
        for part in program:
            if isinstance(part, TrainedMark):
                continue
            text = getattr(part, "text", None)
            literal = -1 if text is None else literals.setdefault(text, len(literals))
            name = getattr(part, "column", None)
            column = -1 if name is None else columns.setdefault(name, len(columns))
            rows.append((_OPERATIONS[type(part)], literal, column, getattr(part, "element", 0)))
        starts.append(len(rows))
    offsets = np.zeros(len(literals) + 1, np.int64)
    offsets[1:] = np.cumsum([len(text) for text in literals])
    pool = b"".join(literals) + bytes(layout.PADDING)
    return layout.ProgramTable(
        part=np.array(rows, np.int32).reshape(len(rows), 4),
        program=np.array(starts, np.int32),
        literals=np.frombuffer(pool, np.uint8).copy(),
        literal_offsets=offsets,
        columns=tuple(columns),
        level=np.array([name in message_level for name in columns], np.uint8),
    )
