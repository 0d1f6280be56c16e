"""Whether bytes are UTF-8 (see reference/utf8.py): every byte is judged alone, by its neighbours in the row.

A byte that leads a character must have the bytes behind it that it asks for, and a byte that goes on with
one must be asked for by one of the three before it; a row without a byte that breaks this is UTF-8. So the
work is balanced over bytes: a warp has TILE of them, eight a lane at a time, and passes over those that are
ASCII. Bytes moved: the rows once, 25 a row. Expected: 60-70% of the device's copy bandwidth (counted as bytes
read) for ASCII in rows of 1 kB and more, about 10% where no byte is ASCII.
"""

import numpy as np

from forge_gpu.kernels.cuda.device import WARP, Device, function, kernel, offsets_of, scalar
from forge_gpu.kernels.cuda.memory import ALL_BITS, HIGH_BITS, byte, place, row_at, word
from forge_gpu.kernels.layout import U8, Spans

TILE = 4096
STEP = 8 * WARP


@function
def _asked(lead):
    """Bytes of the character that a lead byte begins."""
    return 2 if lead < 0xE0 else 3 if lead < 0xF0 else 4


@function
def _breaks(memory, i, begin, end):
    """Whether byte i, above 0x7F, breaks the UTF-8 of the row begin ... end - 1."""
    value = byte(memory, i)
    if value < 0xC0:
        for back in range(1, min(np.int64(4), i - begin + 1)):
            before = byte(memory, i - back)
            if before < 0x80:
                return True
            if before >= 0xC0:
                return _asked(before) <= back
        return True
    size = _asked(value)
    if value < 0xC2 or value > 0xF4 or i + size > end:
        return True
    for k in range(1, size):
        if byte(memory, i + k) & 0xC0 != 0x80:
            return True
    second = byte(memory, i + 1)
    if value == 0xE0 or value == 0xF0:
        return second < (0xA0 if value == 0xE0 else 0x90)
    if value == 0xED or value == 0xF4:
        return second >= (0xA0 if value == 0xED else 0x90)
    return False


@kernel
def find_faults(memory, words, base, start, offsets, valid):
    """valid[r] = 0 where a byte of row r breaks UTF-8, a warp a tile; all 1 at first.

    start: int64[n], where each row starts behind `base`; offsets: int64[n + 1], the sums of their lengths;
    valid: uint8[n].
    """
    tile, lane = place()
    rows = np.int64(len(start))
    low = tile * TILE
    high = min(low + TILE, offsets[np.uint64(rows)])
    if low >= high:
        return
    r = row_at(offsets, rows, low)
    while r < rows and offsets[np.uint64(r)] < high:
        at = base + start[np.uint64(r)] - offsets[np.uint64(r)]
        begin, end = at + offsets[np.uint64(r)], at + offsets[np.uint64(r + 1)]
        stop = min(end, at + high)
        for i in range(max(begin, at + low) + 8 * lane, stop, STEP):
            count = min(np.int64(8), stop - i)
            inside = ALL_BITS >> (np.uint64(8) * np.uint64(8 - count))
            if word(words, i) & inside & HIGH_BITS != 0:
                for k in range(i, i + count):
                    if byte(memory, k) >= 0x80 and _breaks(memory, k, begin, end):
                        valid[np.uint64(r)] = np.uint8(0)
        r += 1


def valid_utf8(column: Spans, device: Device) -> U8:
    """uint8[n], on the device: 1 where the bytes of the value are UTF-8, whatever its kind (see reference).

    The column's bytes may be on the host or the device, all else is on the host. Raises ValueError where a
    value lies outside its buffer.
    """
    start, length, size = column.start, column.length, len(column.data)
    outside = (start < 0) | (length < 0) | (length > size) | (start > size - length)
    if outside.any():
        raise ValueError(f"value {int(outside.argmax())} lies outside its buffer")
    memory, words, bases = device.window([column.data])
    offsets = offsets_of(device, device.upload(length.astype(np.int64)))
    valid = device.xp.ones(len(column), np.uint8)
    tiles = -(-scalar(device, offsets, -1) // TILE)
    starts = device.upload(start.astype(np.int64))
    device.launch(find_faults, tiles * WARP, memory, words, bases[0], starts, offsets, valid)
    return valid
