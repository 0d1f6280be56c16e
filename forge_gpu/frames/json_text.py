"""Lists that a frame holds as JSON text: seen as JSON, so that kernels read them like any other list."""

from __future__ import annotations

import numpy as np

from forge_gpu.engine.base import Engine
from forge_gpu.kernels import layout
from forge_gpu.kernels.layout import Spans
from forge_gpu.templates.program import Literal, Slot, pack

KEY = "list"
OPENING = b'{"list":'
_TABLE = pack([(Literal(b"{}\n"),), (Literal(OPENING), Slot(KEY), Literal(b"}\n"))])
MOST_BYTES = 2**40


def lists_as_json(column: Spans, engine: Engine) -> Spans:
    """The column with kind JSON where a text is one JSON list in one line; no copy of its bytes.

    The texts are UTF-8. Others stay texts: what is not JSON, has lines, or white space around it.
    """
    column_is = column.kind == layout.PLAIN
    if not column_is.any():
        return column
    candidates = column_is & (column.length > 1)
    data = column.data
    candidates[candidates] = data[column.start[candidates]] == ord("[")
    lines = np.flatnonzero((data == ord("\n")) | (data == ord("\r")))
    if len(lines):
        ends = column.start + column.length
        candidates &= np.searchsorted(lines, column.start) == np.searchsorted(lines, ends)
    if not candidates.any():
        return column
    rows = np.arange(len(column))
    text = engine.render(_TABLE, candidates.astype(np.int32), [column], rows, layout.AS_TEXT)
    records = engine.scan(text.data[: int(text.offsets[-1])], "lines", [KEY], MOST_BYTES)
    value = records.columns[KEY]
    # The list is all of the text: a text that closes the list, and opens another key, is none.
    whole = candidates & (value.kind == layout.JSON) & (value.length == column.length)
    return Spans(data, column.start, column.length, np.where(whole, np.uint8(layout.JSON), column.kind))
