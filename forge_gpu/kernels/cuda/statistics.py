"""What the quality checks want to know of each text (see reference/statistics.py).

Counting is balanced over bytes: a warp has TILE of them, and adds what it found of each row there to the
row's counts. Whether a text is blank is asked by a thread a row, which mostly sees it at the first byte.
Repetition goes by a block a row: its windows' slots are bits in shared memory. Bytes moved: the rows once, 57
a row; with repetition the rows once more. Expected: 30-40% of the device's copy bandwidth for counting (it is
bound by instructions, about 20 a byte), 10-20% with repetition.
"""

import numpy as np
from numba import cuda, types

from forge_gpu.kernels.cuda.device import WARP, Device, function, kernel
from forge_gpu.kernels.cuda.hashing import HALF_BITS, LOW_HALF, text_offsets
from forge_gpu.kernels.cuda.memory import byte, row_at, thread, word
from forge_gpu.kernels.layout import Text
from forge_gpu.kernels.reference.statistics import (
    HARMLESS,
    IMAGES,
    LEAST_SLOT_BITS,
    MAX_WINDOWS,
    SLOTS_A_WINDOW,
    WINDOW,
    WINDOW_FACTOR,
    Statistics,
)

TILE = 4096
BLOCK = 64  # threads that share the slots of one row
SEEN = SLOTS_A_WINDOW * MAX_WINDOWS // 32
FACTOR = np.uint64(WINDOW_FACTOR)
FIELD, FIELD_MASK = np.uint64(16), np.uint64(0xFFFF)  # a count of one tile has 16 bits

_IMAGES = np.array(sorted(map(ord, IMAGES)), np.int32)
_HARMLESS = np.array([chr(value) in HARMLESS for value in _IMAGES], np.uint8)


@function
def _white_space(memory, i, end):
    """Length in bytes of the white space character at i; 0 where it is none."""
    first = byte(memory, i)
    if first == 0x20 or (first >= 0x09 and first <= 0x0D) or (first >= 0x1C and first <= 0x1F):
        return np.int64(1)
    if first == 0xC2 and i + 2 <= end:
        second = byte(memory, i + 1)
        return np.int64(2 if second == 0x85 or second == 0xA0 else 0)
    if first >= 0xE1 and first <= 0xE3 and i + 3 <= end:
        value = first << 16 | byte(memory, i + 1) << 8 | byte(memory, i + 2)
        if value >= 0xE28080 and value <= 0xE2808A:  # U+2000-U+200A
            return np.int64(3)
        if value == 0xE280A8 or value == 0xE280A9 or value == 0xE280AF:  # U+2028, U+2029, U+202F
            return np.int64(3)
        if value == 0xE19A80 or value == 0xE2819F or value == 0xE38080:  # U+1680, U+205F, U+3000
            return np.int64(3)
    return np.int64(0)


@function
def _character(memory, i, end):
    """(code point, length) of the character at i if it is below U+0800 or in U+2000-U+2FFF, else (-1, 0)."""
    if i + 2 > end:
        return np.int64(-1), np.int64(0)
    first, second = byte(memory, i), byte(memory, i + 1)
    if second & 0xC0 != 0x80:
        return np.int64(-1), np.int64(0)
    if first >= 0xC2 and first <= 0xDF:
        return (first & 0x1F) << 6 | second & 0x3F, np.int64(2)
    if first == 0xE2 and i + 3 <= end:
        third = byte(memory, i + 2)
        if third & 0xC0 == 0x80:
            return 0x2000 | (second & 0x3F) << 6 | third & 0x3F, np.int64(3)
    return np.int64(-1), np.int64(0)


@function
def _is_mojibake(memory, i, end, images, harmless):
    """Whether the lead U+00C2-U+00F4 at i is followed by its images, not all of them harmless."""
    lead = byte(memory, i + 1)
    required = 1 if lead <= 0x9F else 2 if lead <= 0xAF else 3
    sure = lead <= 0x83
    i += 2
    for _ in range(required):
        value, size = _character(memory, i, end)
        low, high = 0, len(images)
        while low < high:
            middle = (low + high) >> 1
            if images[middle] < value:
                low = middle + 1
            else:
                high = middle
        if low == len(images) or images[low] != value:
            return False
        sure = sure or harmless[low] == 0
        i += size
    return sure


@function
def _counted(memory, i, end, images, harmless):
    """What byte i adds to (characters, replacements, controls, mojibake), each in a field of one word."""
    value = byte(memory, i)
    result = np.uint64(1 if value & 0xC0 != 0x80 else 0)
    if value >= 0x20 and value < 0x7F:
        return result
    if value < 0x80:
        if value != 9 and value != 10 and value != 13:
            result |= np.uint64(1) << FIELD + FIELD
    elif value == 0xC2 and i + 1 < end:
        following = byte(memory, i + 1)
        if following >= 0x80 and following <= 0x9F:
            result |= np.uint64(1) << FIELD + FIELD
    elif value == 0xC3 and i + 1 < end:
        following = byte(memory, i + 1)
        if following >= 0x82 and following <= 0xB4 and _is_mojibake(memory, i, end, images, harmless):
            result |= np.uint64(1) << FIELD + FIELD + FIELD
    elif value == 0xEF and i + 2 < end and byte(memory, i + 1) == 0xBF and byte(memory, i + 2) == 0xBD:
        result |= np.uint64(1) << FIELD
    return result


@kernel
def count(memory, base, offsets, images, harmless, counts):
    """Add to counts[:4] what the bytes of a tile are; a block, of one warp, a tile. counts: int64[6, n]."""
    shared = cuda.shared.array(2, dtype=types.uint32)  # two halves: an addition of 64 bits is a loop of CAS
    lane = np.int64(cuda.threadIdx.x)
    rows = np.int64(len(offsets) - 1)
    low = offsets[0] + np.int64(cuda.blockIdx.x) * TILE
    high = min(low + TILE, offsets[rows])
    r = row_at(offsets, rows, low)
    while r < rows and offsets[r] < high:  # the same for all lanes, as the barriers want it
        begin, end = max(offsets[r], low), offsets[r + 1]
        if lane < 2:
            shared[lane] = np.uint32(0)
        cuda.syncthreads()
        result = np.uint64(0)
        for i in range(begin + lane, min(end, high), WARP):
            result += _counted(memory, base + i, base + end, images, harmless)
        cuda.atomic.add(shared, 0, np.uint32(result & LOW_HALF))
        if result >> HALF_BITS != 0:  # controls and mojibake are rare
            cuda.atomic.add(shared, 1, np.uint32(result >> HALF_BITS))
        cuda.syncthreads()
        if lane < 4:
            part = np.uint64(shared[lane >> 1]) >> np.uint64(lane & 1) * FIELD & FIELD_MASK
            if part != 0:
                cuda.atomic.add(counts, (lane, r), np.int64(part))
        cuda.syncthreads()
        r += 1


@kernel
def blank(memory, base, offsets, result):
    """result[r] = whether a row is white space only, a thread a row. result: uint8[n]."""
    r = thread()
    if r >= len(result):
        return
    i, end = base + offsets[r], base + offsets[r + 1]
    only = True
    while i < end and only:
        size = _white_space(memory, i, end)
        only = size > 0
        i += size
    result[r] = np.uint8(1 if only else 0)


@kernel
def repeated_windows(words, base, offsets, counts):
    """counts[4:] = windows like an earlier one, and windows, of each row, a block a row."""
    seen = cuda.shared.array(SEEN, dtype=types.uint32)
    total = cuda.shared.array(1, dtype=types.int32)
    t = np.int64(cuda.threadIdx.x)
    r = np.int64(cuda.blockIdx.x)
    start = base + offsets[r]
    number = offsets[r + 1] - offsets[r] - WINDOW + 1
    if number <= 0:  # all threads of the block leave
        return
    step = (number + MAX_WINDOWS - 1) // MAX_WINDOWS
    windows = (number + step - 1) // step
    bits = np.int64(LEAST_SLOT_BITS)
    while np.int64(1) << bits < SLOTS_A_WINDOW * windows:
        bits += 1
    for k in range(t, (np.int64(1) << bits) // 32, BLOCK):
        seen[k] = np.uint32(0)
    if t == 0:
        total[0] = 0
    cuda.syncthreads()
    different = 0
    for k in range(t, windows, BLOCK):
        slot = word(words, start + k * step) * FACTOR >> np.uint64(64 - bits)
        bit = np.uint32(np.uint64(1) << (slot & np.uint64(31)))
        before = cuda.atomic.or_(seen, np.int64(slot >> np.uint64(5)), bit)
        if before & bit == 0:
            different += 1
    cuda.atomic.add(total, 0, np.int32(different))
    cuda.syncthreads()
    if t == 0:
        counts[4, r] = windows - total[0]
        counts[5, r] = windows


def text_statistics(text: Text, device: Device, repetition: bool = True) -> Statistics:
    """The statistics of each row, arrays of the device; with or without its repetition.

    The text may be on the host or the device. Raises ValueError where a row lies outside the data.
    """
    n = len(text)
    offsets = text_offsets(text, device)
    memory, words, bases = device.window([text.data])
    counts = device.xp.zeros((6, n), np.int64)
    is_blank = device.xp.zeros(n, np.uint8)
    if n:
        size = int(device.download(offsets[-1:])[0]) - int(device.download(offsets[:1])[0])
        images, harmless = device.upload(_IMAGES), device.upload(_HARMLESS)
        tiles = -(-size // TILE)
        device.launch(count, WARP * tiles, memory, bases[0], offsets, images, harmless, counts, block=WARP)
        device.launch(blank, n, memory, bases[0], offsets, is_blank)
        if repetition:
            device.launch(repeated_windows, BLOCK * n, words, bases[0], offsets, counts, block=BLOCK)
    characters, replacements, controls, mojibake, alike, windows = counts
    return Statistics(characters, replacements, controls, mojibake, is_blank, alike, windows)
