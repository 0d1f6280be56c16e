"""What goes between Forge and a sandboxed process: frames of a head and a body, one answer for each.

Head: number of the frame, rows, word, bytes of the body. Words to the process: START (JSON: bounds, walls,
modules, script), ROWS (one JSON object a line), BATCH (see `columns`; its column ROW numbers the rows). Words
from it: DONE, or FAULT (a line of text). The body of DONE once the script is loaded: BY_ROW or BY_BATCH, what
it takes. For rows: int32[rows], how many rows each became, REJECTED for one that was; the bytes of these as
uint32; they themselves, as lines, or as batches with their sizes as uint32; then a JSON list with the reason
of each rejected row.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Sequence

HEAD = struct.Struct("<IIII")
SIZE = struct.Struct("<I")
START, ROWS, BATCH = 1, 2, 3
DONE, FAULT = 10, 11
REJECTED = -1
BY_ROW, BY_BATCH = b"rows", b"batches"
ROW, REJECTION = "_row", "_reject"
"""Columns of a batch that are no columns of its rows: which row each is made of, and why that is rejected."""


def answer_body(counts: Sequence[int], made: bytes, reasons: Sequence[str]) -> bytes:
    return (
        struct.pack(f"<{len(counts)}i", *counts) + SIZE.pack(len(made)) + made + json.dumps(reasons).encode()
    )


def frame(number: int, rows: int, word: int, body: bytes) -> bytes:
    return HEAD.pack(number, rows, word, len(body)) + body
