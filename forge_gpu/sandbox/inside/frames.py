"""What goes between Forge and a sandboxed process: frames of a head and a body, one answer for each.

Head: number of the frame, rows, word, bytes of the body. Words to the process: START (JSON: bounds, walls,
modules, script), ROWS (one JSON object a line). Words from it: DONE, or FAULT (a line of text). The body of
DONE for rows: int32[rows], how many lines each row became, REJECTED for a row that was; bytes of the lines as
uint32; the lines; then a JSON list with the reason of each rejected row.
"""

from __future__ import annotations

import struct

HEAD = struct.Struct("<IIII")
SIZE = struct.Struct("<I")
START, ROWS = 1, 2
DONE, FAULT = 10, 11
REJECTED = -1


def frame(number: int, rows: int, word: int, body: bytes) -> bytes:
    return HEAD.pack(number, rows, word, len(body)) + body
