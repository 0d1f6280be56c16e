"""Rows into packs of a bounded length: see kernels.reference.packing."""

import numpy as np

from forge_gpu.kernels.compiled import inner, kernel
from forge_gpu.kernels.cpu.memory import trailing_zeros
from forge_gpu.kernels.reference.packing import U32

NONE = np.uint32(0xFFFFFFFF)


def best_fit(lengths: U32, most: int) -> tuple[U32, U32]:
    """See kernels.reference.packing.best_fit. Beside the result, 12 bytes a row and 16 a length."""
    n = len(lengths)
    begin, order = np.zeros(most + 3, np.int64), np.empty(n, np.uint32)
    places = np.empty((n, 2), np.uint32)
    packs = np.empty((n, 2), np.uint32)  # how many rows it has, and the next pack of its room
    first, last = np.full(most + 1, NONE, np.uint32), np.full(most + 1, NONE, np.uint32)
    rooms = np.zeros((most >> 6) + 1, np.uint64)
    groups = np.zeros((len(rooms) >> 6) + 1, np.uint64)
    _longest_first(lengths, most, order, begin)
    count = _best_fit(order, begin, most, places, packs, first, last, rooms, groups)
    return places, packs[:count, 0].copy()


@kernel
def _best_fit(order, begin, most, places, packs, first, last, rooms, groups):
    """How many packs there are.

    Packs of one room are a list, first in, first out: `first` and `last` by room, the next in `packs`. Which
    rooms have one is a bit each in `rooms`, and in `groups` whether a word of these has any. What belongs to
    a row, or to a pack, stands together: the rows of a length lie far apart.
    """
    count = np.int64(0)
    for length in range(most, -1, -1):
        for k in range(begin[most - length], begin[most - length + 1]):
            room = _least_room(rooms, groups, length)
            if room < 0:
                chosen, room = count, np.int64(most)
                packs[chosen, 0] = 0
                count += 1
            else:
                chosen = np.int64(first[room])
                if first[room] == last[room]:
                    first[room] = NONE
                    _unset(rooms, groups, room)
                else:
                    first[room] = packs[chosen, 1]
            row = order[k]
            places[row, 0], places[row, 1] = chosen, packs[chosen, 0]
            packs[chosen, 0] += 1
            room -= length
            if 0 < room < most:
                if first[room] == NONE:
                    first[room] = chosen
                    rooms[room >> 6] |= np.uint64(1) << np.uint64(room & 63)
                    groups[room >> 12] |= np.uint64(1) << np.uint64((room >> 6) & 63)
                else:
                    packs[last[room], 1] = chosen
                last[room] = chosen
    return count


@kernel
def _longest_first(lengths, most, order, begin):
    """order: uint32[n], the rows from the longest to the shortest, those of a length in their order. begin:
    int64[most + 3], zeros; then where those of length `most` - k begin."""
    for row in range(len(lengths)):
        begin[most - np.int64(lengths[row]) + 2] += 1
    for k in range(2, len(begin)):
        begin[k] += begin[k - 1]
    for row in range(len(lengths)):
        k = most - np.int64(lengths[row]) + 1
        order[begin[k]] = row
        begin[k] += 1


@inner
def _least_room(rooms, groups, length):
    """The least room with a pack that is no less than `length`; -1 where there is none."""
    word = length >> 6
    found = rooms[word] >> np.uint64(length & 63)
    if found != 0:
        return length + trailing_zeros(np.int64(found))
    word += 1
    group = word >> 6
    found = groups[group] >> np.uint64(word & 63)
    if found != 0:
        word += trailing_zeros(np.int64(found))
        return (word << 6) + trailing_zeros(np.int64(rooms[word]))
    for k in range(group + 1, len(groups)):
        if groups[k] != 0:
            word = (k << 6) + trailing_zeros(np.int64(groups[k]))
            return (word << 6) + trailing_zeros(np.int64(rooms[word]))
    return np.int64(-1)


@inner
def _unset(rooms, groups, room):
    rooms[room >> 6] &= ~(np.uint64(1) << np.uint64(room & 63))
    if rooms[room >> 6] == 0:
        groups[room >> 12] &= ~(np.uint64(1) << np.uint64((room >> 6) & 63))
