"""Output as pieces: where each comes from and what is done with its bytes. All text is written this way.

A piece is one number: the address of its source in a window of device memory, the number of source bytes
(none for a copy, whose size is that of its output) and what is done with them (see jsontext). Literals, whole
texts and blocks of texts to escape are pieces; the pieces' sizes, summed up, say where each is written.

The copy is balanced over output bytes: a warp has TILE of them, finds the piece where they start by a binary
search, and goes on from there. So one long text is written by many warps and many short ones by one, and what
rows the bytes belong to does not matter. Bytes moved: 2 x the output, and 16 a piece, which are read twice.
Expected: 70-85% of the device's copy bandwidth where pieces have 1 kB (a word is put together from two
aligned loads, of which the second is in the L1 cache), about a third of it for texts full of escapes, whose
blocks go one a lane.
"""

import numpy as np

from forge_gpu.kernels.cuda import jsontext
from forge_gpu.kernels.cuda.device import WARP, function, kernel, offsets_of, scalar
from forge_gpu.kernels.cuda.jsontext import COPY
from forge_gpu.kernels.cuda.memory import copy_by_warp, place, row_at, thread
from forge_gpu.kernels.layout import Text

TILE = 4096
"""Output bytes of a warp."""

ADDRESS_BITS, COUNT_BITS = 48, 12
ADDRESS = (1 << ADDRESS_BITS) - 1
COUNT = (1 << COUNT_BITS) - 1


@function
def piece(work, address, count):
    """The number of a piece; `count` below 4096, 0 for a copy."""
    return np.int64(work) << (ADDRESS_BITS + COUNT_BITS) | count << ADDRESS_BITS | address


@function
def work_of(number):
    return number >> (ADDRESS_BITS + COUNT_BITS)


@kernel
def measure(memory, words, source, size):
    """size[p] = bytes that piece p writes, a thread a piece; those that write their own bytes become copies.

    memory: uint8[], words: uint64[] (see memory). source, size: int64[p]; a copy's size is there already.
    """
    p = np.uint64(thread())
    if p >= np.uint64(len(source)):
        return
    number = source[p]
    work = work_of(number)
    if work == COPY:
        return
    address, count = number & ADDRESS, number >> ADDRESS_BITS & COUNT
    total, same = jsontext.measure(work, memory, words, address, count)
    size[p] = total
    if same:
        source[p] = address


@kernel
def write(memory, words, source, offsets, target, target_words):
    """Write all pieces, a warp a tile. offsets: int64[p + 1]; target: uint8[offsets[p] and more]."""
    tile, lane = place()
    pieces = np.int64(len(source))
    low = tile * TILE
    high = min(low + TILE, offsets[np.uint64(pieces)])
    if low >= high:
        return
    p = row_at(offsets, pieces, low)
    while p < pieces and offsets[np.uint64(p)] < high:
        mine = p + lane
        if mine < pieces:
            at = offsets[np.uint64(mine)]
            number = source[np.uint64(mine)]
            if at >= low and at < high and work_of(number) != COPY:
                address, count = number & ADDRESS, number >> ADDRESS_BITS & COUNT
                jsontext.write(work_of(number), memory, words, address, count, target, target_words, at)
        for q in range(p, min(p + WARP, pieces)):
            at = offsets[np.uint64(q)]
            if at >= high:
                break
            number = source[np.uint64(q)]
            if work_of(number) == COPY:
                begin, end = max(at, low), min(offsets[np.uint64(q + 1)], high)
                if begin < end:
                    copy_by_warp(memory, words, number + begin - at, target, target_words, begin, end, lane)
        p += WARP


def write_all(memory, words, source, size, first, device) -> Text:
    """The text of rows whose pieces are first[r] ... first[r + 1] - 1: int64[n + 1], on the device."""
    device.launch(measure, len(source), memory, words, source, size)
    offsets = offsets_of(device, size)
    total = scalar(device, offsets, -1)
    target = device.bytes(total)
    device.launch(
        write, -(-total // TILE) * WARP, memory, words, source, offsets, target, device.words(target)
    )
    return Text(target, offsets[first])
