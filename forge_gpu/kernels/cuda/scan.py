"""Records of a chunk of JSON lines, on the device (see reference/scan.py): those that are plainly good.

Newlines are found by a thread each 64 bytes, eight bytes at once, and put together by a sum over counts. Then
a thread walks a line from left to right (see grammar). What it does not fully understand it hands over: a
line with a fault of any kind, one that is too long, nested too deep or with an escape in a key. So nothing is
refused here, and no reason is given.

The structure of a line is never stored: of a record come its place and those of the values asked for.
Bytes moved: the chunk twice, 16 for every 64 of it, and 34 a line and value. Expected: a thread waits for its
loads; so a chunk of 64 MiB, whose lines of 1 kB are 16 warps for each SM of an H200, takes about a tenth of
the time in which its bytes arrive; one line of 1 MB takes about 3 ms.

Source of the grammar: `kernels/cpu/grammar.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numba import cuda

from forge_gpu.kernels.cuda.device import Device, function, kernel, offsets_of, scalar
from forge_gpu.kernels.cuda.grammar import ONE, after_blank, member_end, names_there
from forge_gpu.kernels.cuda.memory import byte, bytes_before, thread, word
from forge_gpu.kernels.layout import NULL

BLOCK = 64
"""Bytes in which a thread looks for newlines."""
BLANK_LINE, GOOD, HANDED = 0, 1, 2
"""What a walk finds of a line; HANDED: the host is to scan it."""

SEVENS, NEWLINES = np.uint64(0x7F7F7F7F7F7F7F7F), np.uint64(0x0A0A0A0A0A0A0A0A)


@function
def _newlines(words, at, count):
    """The highest bit of each of the first `count` bytes from `at` on that is a newline, exactly."""
    x = word(words, at) ^ NEWLINES
    result = ~(((x & SEVENS) + SEVENS) | x | SEVENS)
    if count < 8:
        result &= (ONE << np.uint64(8 * count)) - ONE
    return result


@kernel
def count_lines(words, base, size, counts):
    """counts[t] = newlines in bytes 64 t ... 64 t + 63 of the `size` bytes from `base` on.

    counts: int64[blocks].
    """
    t = thread()
    if t >= len(counts):
        return
    total = np.int64(0)
    for at in range(BLOCK * t, min(BLOCK * (t + 1), size), 8):
        total += np.int64(cuda.popc(_newlines(words, base + at, size - at)))
    counts[t] = total


@kernel
def place_lines(words, base, size, first, ends):
    """ends[first[t] ...] = where the newlines of those bytes are, counted from `base`.

    first: int64[blocks + 1]; ends: int64[lines].
    """
    t = thread()
    if t >= len(first) - 1:
        return
    i = first[t]
    for at in range(BLOCK * t, min(BLOCK * (t + 1), size), 8):
        newlines = _newlines(words, base + at, size - at)
        while newlines != 0:
            ends[i] = at + bytes_before(newlines)
            newlines &= newlines - ONE
            i += 1


@function
def _record_end(memory, words, base, p, end, names, bounds, line, start, length, kind):
    """Index after the object whose opening bracket is just before p, or -1; its values are noted."""
    p = after_blank(memory, p, end)
    if p < end and byte(memory, p) == 125:
        return p + 1
    while p < end and byte(memory, p) == 34:
        p, k, begin, size, what = member_end(memory, words, p, end, names, bounds)
        if p < 0:
            break
        if k >= 0:
            start[k, line] = begin - base if what != NULL else 0
            length[k, line] = size
            kind[k, line] = what
        p = after_blank(memory, p, end)
        if p >= end:
            break
        c = byte(memory, p)
        if c == 125:
            return p + 1
        if c != 44:
            break
        p = after_blank(memory, p + 1, end)
    return np.int64(-1)


@kernel
def walk(memory, words, base, ends, names, bounds, most, start, length, kind):
    """The values of the names in line i, the bytes from `base` on up to ends[i]: column i of start, length
    and kind, whose last row is of the record itself, with the kind GOOD, HANDED or BLANK_LINE.

    ends: int64[lines]; start, length: int64[k + 1, lines] and kind: uint8[k + 1, lines], 0 at first (ABSENT).
    names: uint8[...], name j is names[bounds[j]:bounds[j + 1]]. most: bytes of a record.
    """
    line = thread()
    if line >= len(ends):
        return
    begin = base if line == 0 else base + ends[line - 1] + 1
    end = base + ends[line]
    begin = after_blank(memory, begin, end)
    if begin >= end:
        return
    while byte(memory, end - 1) == 32 or byte(memory, end - 1) == 9 or byte(memory, end - 1) == 13:
        end -= 1
    record = len(bounds) - 1
    start[record, line] = begin - base
    length[record, line] = end - begin
    what = np.int64(HANDED)
    if end - begin <= most and byte(memory, begin) == 123:
        after = _record_end(memory, words, base, begin + 1, end, names, bounds, line, start, length, kind)
        if after == end:
            what = np.int64(GOOD)
    kind[record, line] = what


def scan_lines(data: Any, keys: Sequence[str], max_row_bytes: int, device: Device) -> tuple[Any, Any, Any]:
    """(start, length, kind) of the values of different keys, and in the last row of the records: int64, int64
    and uint8[k + 1, n], on the device. The kind of a record is GOOD or HANDED; of one that is handed over the
    values are ABSENT, and its place is right.

    data: uint8[size] on the device. Records are those of JSON lines, as reference/scan.py has them.
    """
    size = len(data)
    memory, words, bases = device.window([data])
    counts = device.xp.zeros(-(-size // BLOCK), np.int64)
    device.launch(count_lines, len(counts), words, bases[0], size, counts)
    first = offsets_of(device, counts)
    lines = scalar(device, first, -1)
    ends = device.xp.empty(lines + 1, np.int64)
    device.launch(place_lines, len(counts), words, bases[0], size, first, ends)
    ends[lines:] = size
    shape = len(keys) + 1, lines + 1
    start, length = device.xp.zeros(shape, np.int64), device.xp.zeros(shape, np.int64)
    kind = device.xp.zeros(shape, np.uint8)
    device.launch(
        walk,
        lines + 1,
        memory,
        words,
        bases[0],
        ends,
        *names_there(keys, device),
        max_row_bytes,
        start,
        length,
        kind,
    )
    records = device.xp.flatnonzero(kind[-1] != BLANK_LINE)
    start, length, kind = (device.xp.take(values, records, axis=1) for values in (start, length, kind))
    good = kind[-1] == GOOD
    for values in (start, length, kind):  # ABSENT, at 0
        values[:-1] *= good
    return start, length, kind
