"""Texts cut at added tokens: see kernels.reference.added_tokens."""

import numpy as np

from forge_gpu.kernels.compiled import inner, kernel
from forge_gpu.kernels.cpu.memory import BLOCK, byte, mask_equal, trailing_zeros, whole
from forge_gpu.kernels.layout import Text
from forge_gpu.kernels.token_layout import (
    GUARDED,
    LSTRIP,
    NORMALIZED,
    PLAIN,
    RSTRIP,
    SINGLE_WORD,
    AddedTokens,
    Pieces,
    Runs,
)

FIELDS = 6
MOST_LEADS = 4
"""Bytes that tokens begin with which are looked for by blocks; where they are more, bytes are, one by one."""


def cut(texts: Text, runs: Runs, tokens: AddedTokens) -> Pieces:
    """See kernels.reference.added_tokens.cut. Reads the texts once, and twice where a row is forged; writes
    40 bytes a piece."""
    leads = np.flatnonzero(tokens.begins)
    n, row = len(texts.offsets) - 1, 0
    offsets, guarded = np.zeros(n + 1, np.int64), np.zeros(n, np.int64)
    pieces = np.empty((64 + 8 * n, FIELDS), np.int64)
    work, other = np.empty((2, 256, FIELDS), np.int64)
    while row < n:
        row, is_long = _cut(
            whole(texts.data),
            texts.offsets,
            runs.offsets,
            runs.start,
            runs.stop,
            tokens.next,
            tokens.token,
            tokens.begins,
            leads if len(leads) <= MOST_LEADS else leads[:0],
            tokens.id,
            tokens.flags,
            bool((tokens.flags & NORMALIZED).any()),
            tokens.word,
            work,
            other,
            np.empty(0, np.int64),
            row,
            offsets,
            guarded,
            pieces,
        )
        if is_long:
            work, other = np.empty((2, 2 * len(work), FIELDS), np.int64)
        elif row < n:
            grown = np.empty((2 * len(pieces), FIELDS), np.int64)
            grown[: offsets[row]] = pieces[: offsets[row]]
            pieces = grown
    pieces = pieces[: offsets[-1]]
    columns = [np.ascontiguousarray(pieces[:, k]) for k in range(5)]
    return Pieces(offsets, *columns, guarded)


@kernel
def _cut(
    data, offsets, run_offsets, run_start, run_stop,
    following, token, begins, leads, ids, flags, has_normalized, word,
    work, other, none, row, piece_offsets, guarded, pieces,
):  # fmt: skip
    """Cut rows from `row` on, until the last or until there is no room for one: (the next row, whether it is
    one that `work` has no room for). Where `pieces` has none a row is cut again."""
    count = piece_offsets[row]
    while row < len(offsets) - 1:
        made, forged = _cut_row(
            data, offsets[row], offsets[row + 1], run_offsets[row], run_offsets[row + 1], run_start, run_stop,
            following, token, begins, leads, ids, flags, has_normalized, word, work, other, none,
        )  # fmt: skip
        if made < 0 or count + made > len(pieces):
            return row, made < 0
        for k in range(made):
            for f in range(FIELDS):
                pieces[count + k, f] = work[k, f]
        count += made
        row += 1
        piece_offsets[row] = count
        guarded[row - 1] = forged
    return row, False


@inner
def _cut_row(
    data, begin, end, low, high, run_start, run_stop,
    following, token, begins, leads, ids, flags, has_normalized, word, work, other, none,
):  # fmt: skip
    """(pieces of a row, in `work`; guarded tokens that are not within a run); -1 where there is no room.
    none: no ranges."""
    count = _text(work, begin, end)
    args = (following, token, begins, leads, ids, flags, has_normalized, word)
    made = _refine(data, work, count, other, none, none, False, args, NORMALIZED, 0)
    if made < 0:
        return -1, 0
    made = _refine(data, other, made, work, none, none, False, args, NORMALIZED, NORMALIZED)
    if made < 0:
        return -1, 0
    forged = 0
    run = low
    for k in range(made):
        if work[k, 5] == 0:
            continue
        while run < high and run_stop[run] < work[k, 4]:
            run += 1
        if run == high or run_start[run] > work[k, 3]:
            forged += 1
    if forged == 0:
        return made, 0
    starts, stops = run_start[low:high], run_stop[low:high]
    both = GUARDED | NORMALIZED
    count = _text(work, begin, end)
    made = _refine(data, work, count, other, starts, stops, True, args, both, GUARDED)
    if made >= 0:
        made = _refine(data, other, made, work, starts, stops, True, args, both, both)
    if made >= 0:
        made = _refine(data, work, made, other, none, none, False, args, both, 0)
    if made >= 0:
        made = _refine(data, other, made, work, none, none, False, args, both, NORMALIZED)
    return made, forged


@inner
def _text(pieces, begin, end):
    if end <= begin:
        return 0
    _put(pieces, 0, begin, end, PLAIN, begin, end, 0)
    return 1


@inner
def _put(pieces, at, start, stop, number, own_start, own_stop, guarded):
    pieces[at, 0], pieces[at, 1], pieces[at, 2] = start, stop, number
    pieces[at, 3], pieces[at, 4], pieces[at, 5] = own_start, own_stop, guarded


@inner
def _refine(data, source, count, target, starts, stops, within, args, mask, value):
    """Cut what is text at some tokens, into `target`; the pieces, or -1 where there is no room."""
    following, token, begins, leads, ids, flags, has_normalized, word = args
    has_any = has_normalized or value & NORMALIZED == 0
    made = 0
    for k in range(count):
        if made + 1 > len(target):
            return -1
        begin, end = source[k, 0], source[k, 1]
        if source[k, 2] != PLAIN or not has_any:
            _put(target, made, begin, end, source[k, 2], source[k, 3], source[k, 4], source[k, 5])
            made += 1
            continue
        done = begin
        ranges = len(starts) if within else 1
        for r in range(ranges):
            at, limit = begin, end
            if within:
                at, limit = max(starts[r], begin), min(stops[r], end)
            while True:
                at = next_lead(data, at, limit, begins, leads)
                if at >= limit:
                    break
                number, stop = _match(data, at, limit, following, token, flags, mask, value)
                if number < 0:
                    at += 1
                    continue
                flag = flags[number]
                if flag & SINGLE_WORD and _beside_word(data, at, stop, begin, end, word):
                    at = stop
                    continue
                first, last = at, stop
                if flag & LSTRIP:
                    while first > begin:
                        size = _space_before(data, first, begin)
                        if size == 0:
                            break
                        first -= size
                    first = max(first, done)
                if flag & RSTRIP:
                    while last < end:
                        size = _space_at(data, last, end)
                        if size == 0:
                            break
                        last += size
                if made + 3 > len(target):
                    return -1
                if done < first:
                    _put(target, made, done, first, PLAIN, done, first, 0)
                    made += 1
                _put(target, made, first, last, ids[number], at, stop, flag & GUARDED)
                made += 1
                done = last
                at = stop
        if done < end:
            if made + 1 > len(target):
                return -1
            _put(target, made, done, end, PLAIN, done, end, 0)
            made += 1
    return made


@inner
def next_lead(data, at, limit, begins, leads):
    """Where the next byte stands that a token begins with; `limit`, or behind it, where none does."""
    while len(leads) > 0 and at + BLOCK <= data[1] and at < limit:
        mask = np.int64(0)
        for k in range(len(leads)):
            mask |= mask_equal(data, at, leads[k])
        if mask != 0:
            return at + trailing_zeros(mask)
        at += BLOCK
    while at < limit and begins[byte(data, at)] == 0:
        at += 1
    return at


@inner
def _match(data, at, limit, following, token, flags, mask, value):
    node, result, stop = 0, -1, at
    while at < limit:
        node = following[node, byte(data, at)]
        if node == 0:
            break
        at += 1
        number = token[node]
        if number >= 0 and flags[number] & mask == value:
            result, stop = number, at
    return result, stop


@inner
def _beside_word(data, at, stop, begin, end, word):
    if at > begin and _is_word(_point(data, _before(data, at, begin), at), word):
        return True
    return stop < end and _is_word(_point(data, stop, _behind(data, stop, end)), word)


@inner
def _is_word(point, word):
    return (word[point >> 3] >> (point & 7)) & 1 != 0


@inner
def _before(data, at, begin):
    """Where the character before a place begins."""
    at -= 1
    while at > begin and byte(data, at) & 0xC0 == 0x80:
        at -= 1
    return at


@inner
def _behind(data, at, end):
    """Where the character at a place ends."""
    at += 1
    while at < end and byte(data, at) & 0xC0 == 0x80:
        at += 1
    return at


@inner
def _point(data, at, stop):
    """The code point that some bytes spell."""
    size = stop - at
    if size == 1:
        return byte(data, at)
    point = byte(data, at) & (0x7F >> size)
    for k in range(at + 1, stop):
        point = (point << 6) | (byte(data, k) & 0x3F)
    return point


@inner
def _space_before(data, at, begin):
    low = _before(data, at, begin)
    return at - low if _is_space(_point(data, low, at)) else 0


@inner
def _space_at(data, at, end):
    high = _behind(data, at, end)
    return high - at if _is_space(_point(data, at, high)) else 0


@inner
def _is_space(point):
    if point < 0x80:
        return point == 0x20 or (point >= 0x9 and point <= 0xD)
    if point < 0x2000:
        return point == 0x85 or point == 0xA0 or point == 0x1680
    return (
        point <= 0x200A
        or point == 0x2028
        or point == 0x2029
        or point == 0x202F
        or point == 0x205F
        or point == 0x3000
    )
