"""Marks out of rendered texts (see reference/token_rows.unmark), where the texts are.

A thread counts the marks of STRIDE bytes, and writes down their places once it is known how many come before.
What lies between two marks is a piece that is copied (see pieces); how many marks lie before a byte is how
far it moves. A thread a row then goes through its marks, of which a row of a chat has ten to fifty, twice: to
count its ranges, and to write them. Bytes moved: the texts four times, 8 a mark six times, 16 a range, 40 a
row. Expected: bound by the copy for texts of 1 kB and more.
"""

import numpy as np
from numba import cuda

from forge_gpu.kernels.cuda import pieces
from forge_gpu.kernels.cuda.device import Device, function, kernel, offsets_of, scalar
from forge_gpu.kernels.cuda.memory import (
    ALL_BITS,
    EACH,
    EIGHT,
    HIGH_BITS,
    ONE,
    byte,
    bytes_before,
    thread,
    word,
)
from forge_gpu.kernels.layout import Text
from forge_gpu.kernels.token_layout import RUN, RUN_END, TRAINED, TRAINED_END, UNKNOWN, Runs

STRIDE = 128
"""Bytes of a thread: a line of the first cache, which holds those of a warp."""
LOW_BITS, CARRIES = ~HIGH_BITS, EACH * np.uint64(0x100 - TRAINED_END)
"""Added to the low seven bits of each byte: that sets the highest bit from TRAINED_END on, the least mark."""


@function
def _marks(words, base, at, size):
    """The highest bit of each of the eight bytes from `at` on that is a mark, and lies before `size`."""
    value = word(words, base + at)
    inside = ALL_BITS >> EIGHT * np.uint64(8 - min(np.int64(8), size - at))
    return value & ((value & LOW_BITS) + CARRIES) & HIGH_BITS & inside


@kernel
def count_marks(words, base, size, counts):
    """counts[t] = marks among the bytes STRIDE * t ... of the `size` from `base` on: int64[threads]."""
    t = thread()
    if t >= len(counts):
        return
    total = np.int64(0)
    for at in range(STRIDE * t, min(STRIDE * (t + 1), size), 8):
        total += np.int64(cuda.popc(_marks(words, base, at, size)))
    counts[np.uint64(t)] = total


@kernel
def place_marks(words, base, size, first, places):
    """places[first[t] ...] = where the marks of thread t are, from `base` on. first: int64[threads + 1]."""
    t = thread()
    if t >= len(first) - 1:
        return
    k = first[np.uint64(t)]
    for at in range(STRIDE * t, min(STRIDE * (t + 1), size), 8):
        marks = _marks(words, base, at, size)
        while marks != 0:
            places[np.uint64(k)] = at + bytes_before(marks)
            k += 1
            marks &= marks - ONE


@kernel
def find_ranges(
    memory, base, offsets, places, first, writes, run_first, run_start, run_stop,
    own_first, own_start, own_stop, unknown,
):  # fmt: skip
    """The runs of literals of a row, what is trained of it, whether its origin is unknown; a thread a row.

    offsets: int64[n + 1], of the texts without marks; places: int64[k], see above; first: int64[n + 1], marks
    before each row. run_first, own_first: int64[n + 1]: without `writes` the ranges of row r are counted in
    item r + 1; with it they are written from item r on. start, stop: int64[ranges]. unknown: uint8[n].
    """
    r = thread()
    if r >= len(unknown):
        return
    run_at = own_at = runs = own = np.int64(0)
    ended = np.int64(-1)  # where the last run of the row did
    flag = np.uint8(0)
    for k in range(first[np.uint64(r)], first[np.uint64(r + 1)]):
        at = places[np.uint64(k)] - k
        mark = byte(memory, base + places[np.uint64(k)])
        if mark == RUN:
            run_at = at
        elif mark == TRAINED:
            own_at = at
        elif mark == UNKNOWN:
            flag = np.uint8(1)
        elif mark == RUN_END and run_at != at:
            if ended != run_at:
                if writes:
                    run_start[np.uint64(run_first[np.uint64(r)] + runs)] = run_at
                runs += 1
            ended = at
            if writes:
                run_stop[np.uint64(run_first[np.uint64(r)] + runs - 1)] = at
        elif mark == TRAINED_END and own_at != at:
            if writes:
                own_start[np.uint64(own_first[np.uint64(r)] + own)] = own_at
                own_stop[np.uint64(own_first[np.uint64(r)] + own)] = at
            own += 1
    if not writes:
        run_first[np.uint64(r + 1)] = runs
        own_first[np.uint64(r + 1)] = own
        unknown[np.uint64(r)] = flag if offsets[np.uint64(r + 1)] > offsets[np.uint64(r)] else np.uint8(0)


def unmark(marked: Text, device: Device) -> tuple:
    """See kernels.reference.token_rows.unmark: (texts, runs, what is trained, uint8[n]), on the device. The
    text may be on the host or the device."""
    xp, rows = device.xp, len(marked.offsets) - 1
    offsets = device.upload(marked.offsets)
    begin, end = (int(value) for value in device.download(offsets[:: max(rows, 1)])[[0, -1]])
    memory, words, [base] = device.window([marked.data])
    base, size = base + begin, end - begin
    counts = xp.zeros(-(-size // STRIDE), np.int64)
    device.launch(count_marks, len(counts), words, base, size, counts)
    first = offsets_of(device, counts)
    places = xp.empty(scalar(device, first, -1), np.int64)
    device.launch(place_marks, len(counts), words, base, size, first, places)
    before = xp.searchsorted(places, offsets - begin).astype(np.int64)
    bounds = offsets - begin - before
    source = xp.concatenate((xp.zeros(1, np.int64), places + 1)) + base
    sizes = xp.concatenate((places, xp.full(1, size, np.int64))) + base - source
    texts = pieces.write_all(memory, words, source, sizes, xp.zeros(1, np.int64), device)
    unknown, none = xp.zeros(rows, np.uint8), xp.zeros(0, np.int64)
    run_first, own_first = xp.zeros(rows + 1, np.int64), xp.zeros(rows + 1, np.int64)
    of_marks = memory, base, bounds, places, before
    device.launch(find_ranges, rows, *of_marks, False, run_first, none, none, own_first, none, none, unknown)
    ranges = []
    for counted in (run_first, own_first):
        ends = xp.cumsum(counted)
        count = scalar(device, ends, -1)
        ranges.append((ends, xp.empty(count, np.int64), xp.empty(count, np.int64)))
    device.launch(find_ranges, rows, *of_marks, True, *ranges[0], *ranges[1], unknown)
    return Text(texts.data, bounds), Runs(*ranges[0]), Runs(*ranges[1]), unknown
