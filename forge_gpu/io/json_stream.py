"""Records that stand one after another, with anything or nothing between them."""

from __future__ import annotations

import re
from collections.abc import Iterator

import numpy as np

from forge_gpu.io.json_cursor import NEVER, is_json
from forge_gpu.io.stores import ByteStore
from forge_gpu.kernels.layout import ENDED, I64

BLOCK = 2**20
_NEW_RECORD = re.compile(rb"[\r\n]\{")
_LINE_END = re.compile(rb"[\r\n]")


def stream_records(store: ByteStore, max_row_bytes: int, begin: int = 0) -> Iterator[bytes]:
    """The bytes of each record. Where one is broken, the next begins with a brace at the begin of a line.

    What is longer than `max_row_bytes` and not closed is given as far as it was read; it will be rejected.
    """
    held = b""
    for offset in range(begin, store.size, BLOCK):
        block = bytearray(min(BLOCK, store.size - offset))
        store.read_into(memoryview(block), offset)
        held += block
        is_last = offset + BLOCK >= store.size
        used = 0
        while used < len(held):
            start, end = _next(held, used, is_last or len(held) - used > max_row_bytes + BLOCK)
            if end < 0:
                used = start
                break
            if end > start:
                yield from _sound(held[start:end])
            used = end
        held = held[used:]


def _next(data: bytes, at: int, is_last: bool) -> tuple[int, int]:
    """(begin, end) of the next record; an end of -1 where it does not end in the data."""
    from forge_gpu.kernels.cpu.structure import walk_array

    begin = at
    while begin < len(data) and data[begin : begin + 1] in (b" ", b"\t", b"\r", b"\n", b",", b"\0"):
        begin += 1
    if data.startswith(b"\xef\xbb\xbf", begin):
        return begin + 3, begin + 3
    if begin >= len(data):
        return begin, begin
    if data[begin : begin + 1] not in (b"{", b"["):
        return _until(data, begin, _LINE_END, 0, is_last)
    state: I64 = np.zeros(4, np.int64)
    end = walk_array(np.frombuffer(data, np.uint8), begin, NEVER, state)
    if state[3] == ENDED:
        return begin, end + 1
    return _until(data, begin, _NEW_RECORD, 1, is_last)


def _until(data: bytes, begin: int, mark: re.Pattern[bytes], ahead: int, is_last: bool) -> tuple[int, int]:
    """What does not close: it ends before a mark, or where everything does."""
    if ahead and not is_last:
        return begin, -1  # it may yet be closed
    match = mark.search(data, begin + 1)
    if match is not None:
        return begin, match.start()
    return begin, len(data) if is_last else -1


def _sound(record: bytes) -> Iterator[bytes]:
    """One record; where it is not JSON and others seem to begin in it, the pieces."""
    if _NEW_RECORD.search(record) is None or is_json(record):
        yield record
        return
    begin = 0
    for match in _NEW_RECORD.finditer(record):
        yield record[begin : match.start()]
        begin = match.end() - 1
    yield record[begin:]
