"""The tokens of rows: see kernels.reference.token_rows."""

import numpy as np

from forge_gpu.kernels.compiled import inner, kernel
from forge_gpu.kernels.cpu.memory import (
    BLOCK,
    byte,
    copy,
    item32,
    mask_mark,
    mask_not_ascii,
    trailing_zeros,
    whole,
    word,
)
from forge_gpu.kernels.layout import I64, PADDING, U8, Text
from forge_gpu.kernels.token_layout import (
    EMPTY,
    PLAIN,
    PREFIXED,
    RUN,
    RUN_END,
    SIZE_BITS,
    TRAINED,
    TRAINED_END,
    UNKNOWN,
    WRONG_BYTES,
    WRONG_SIZE,
    EncodedPieces,
    Pieces,
    Runs,
    Spelling,
)

MOST_DIGITS = 11
SIZE_MASK = 2**SIZE_BITS - 1


def unmark(marked: Text) -> tuple[Text, Runs, Runs, U8]:
    """See kernels.reference.token_rows.unmark. Reads the texts twice, and writes them once."""
    data, offsets = whole(marked.data), marked.offsets
    opened, closed = _count_marks(data, int(offsets[0]), int(offsets[-1]))
    out = np.empty(offsets[-1] - offsets[0] + PADDING, np.uint8)
    bounds, unknown = np.zeros(len(offsets), np.int64), np.zeros(len(offsets) - 1, np.uint8)
    runs, own = _ranges(len(offsets), opened), _ranges(len(offsets), closed)
    to, of_runs, of_own = _unmark(data, offsets, whole(out), bounds, *runs, *own, unknown)
    out[to : to + PADDING] = 0
    return Text(out, bounds), _first(runs, of_runs), _first(own, of_own), unknown


@kernel
def _unmark(
    data, offsets, target, bounds, run_offsets, run_start, run_stop, own_offsets, own_start, own_stop, unknown
):
    to, runs, own = 0, 0, 0
    for row in range(len(offsets) - 1):
        run_at, own_at, row_at = 0, 0, to
        at, end = offsets[row], offsets[row + 1]
        while True:
            stop = _next_mark(data, at, end)
            copy(target, to, data, at, stop - at)
            to += stop - at
            if stop == end:
                break
            mark = byte(data, stop)
            at = stop + 1
            if mark == RUN:
                run_at = to
            elif mark == RUN_END:
                if run_at == to:
                    continue
                if runs > run_offsets[row] and run_stop[runs - 1] == run_at:
                    run_stop[runs - 1] = to
                else:
                    run_start[runs], run_stop[runs] = run_at, to
                    runs += 1
            elif mark == TRAINED:
                own_at = to
            elif mark == TRAINED_END:
                if own_at != to:
                    own_start[own], own_stop[own] = own_at, to
                    own += 1
            elif mark == UNKNOWN:
                unknown[row] = 1
        if to == row_at:
            unknown[row] = 0
        bounds[row + 1], run_offsets[row + 1], own_offsets[row + 1] = to, runs, own
    return to, runs, own


@kernel
def _count_marks(data, at, end):
    """(how many runs of literals begin, how many of what is trained)."""
    opened, closed = 0, 0
    at = _next_mark(data, at, end)
    while at < end:
        mark = byte(data, at)
        opened += mark == RUN
        closed += mark == TRAINED
        at = _next_mark(data, at + 1, end)
    return opened, closed


@inner
def _next_mark(data, at, end):
    """Where a mark stands from a place on; `end` where none does."""
    while at + BLOCK <= data[1] and at < end:
        mask = mask_mark(data, at)
        if mask != 0:
            return min(at + trailing_zeros(mask), end)
        at += BLOCK
    while at < end and byte(data, at) < TRAINED_END:
        at += 1
    return min(at, end)


def _first(ranges: tuple[I64, I64, I64], count: int) -> Runs:
    offsets, start, stop = ranges
    return Runs(offsets, start[:count], stop[:count])


def _ranges(bounds: int, count: int) -> tuple[I64, I64, I64]:
    return np.zeros(bounds, np.int64), np.empty(count, np.int64), np.empty(count, np.int64)


def bytes_of_characters(texts: Text, runs: Runs) -> Runs:
    """See kernels.reference.token_rows.bytes_of_characters. Reads the texts once."""
    start, stop = runs.start.copy(), runs.stop.copy()
    _bytes_of_characters(texts.data, texts.offsets, runs.offsets, start, stop)
    return Runs(runs.offsets, start, stop)


@kernel
def _bytes_of_characters(data, offsets, run_offsets, start, stop):
    for row in range(len(offsets) - 1):
        at, end, seen = offsets[row], offsets[row + 1], 0
        for k in range(run_offsets[row], run_offsets[row + 1]):
            at, seen = _forward(data, at, end, seen, start[k])
            start[k] = at
            at, seen = _forward(data, at, end, seen, stop[k])
            stop[k] = at


@inner
def _forward(data, at, end, seen, to):
    """(where character `to` begins, its number)."""
    while seen < to and at < end:
        at += 1
        while at < end and data[at] & 0xC0 == 0x80:
            at += 1
        seen += 1
    return at, seen


def amiss(
    data: U8, start: I64, stop: I64, ids: np.ndarray, begin: I64, end: I64, spelled: Spelling, prefix: bool
) -> U8:
    """See kernels.reference.token_rows.amiss. Reads the texts, and 4 and 16 bytes a token twice, from the
    second time on out of a cache."""
    entries = spelled.entries.reshape(-1).view(np.uint8)
    result = np.zeros(len(start), np.uint8)
    _amiss(
        whole(data),
        start,
        stop,
        whole(ids),
        begin,
        end,
        whole(spelled.data),
        spelled.offsets,
        whole(entries),
        prefix,
        result,
    )
    return result


@kernel
def _amiss(data, start, stop, ids, begin, end, spelled, spelled_offsets, entries, prefix, result):
    for piece in range(len(start)):
        low, high, at = begin[piece], end[piece], start[piece]
        size, flags = np.int64(0), np.int64(0)
        for k in range(low, high):
            about = np.int64(word(entries, 16 * item32(ids, k) + 8))
            size += about & SIZE_MASK
            flags |= about >> SIZE_BITS
        extra = size - (stop[piece] - at)
        if extra != 0:
            if not (
                prefix and extra == 1 and byte(spelled, _first_byte(ids, low, high, spelled_offsets)) == 0x20
            ):
                result[piece] = flags | WRONG_SIZE
                continue
            flags |= PREFIXED
        for k in range(low, high):
            number = item32(ids, k)
            length = np.int64(word(entries, 16 * number + 8)) & SIZE_MASK
            if length == 0:
                continue
            if extra == 0 and length <= 8 and at + 8 <= data[1]:
                both = word(data, at) ^ word(entries, 16 * number)
                differ = both << np.uint64(64 - 8 * length) != 0
            else:
                differ = _differ(data, at, spelled, spelled_offsets[number] + extra, length - extra)
                length -= extra
                extra = np.int64(0)
            if differ:
                flags |= WRONG_BYTES
            at += length
        result[piece] = flags


@inner
def _differ(data, at, spelled, first, size):
    """Whether some bytes are others than those of a word."""
    done = 0
    while done < size:
        left = min(size - done, 8)
        if at + done + 8 <= data[1] and first + done + 8 <= spelled[1]:
            both = word(data, at + done) ^ word(spelled, first + done)
            if both << np.uint64(64 - 8 * left) != 0:
                return True
        else:
            for k in range(done, done + left):
                if byte(data, at + k) != byte(spelled, first + k):
                    return True
        done += left
    return False


@inner
def _first_byte(ids, low, high, spelled_offsets):
    """Where the first byte of some ids is spelled; there is one."""
    for k in range(low, high):
        number = item32(ids, k)
        if spelled_offsets[number + 1] > spelled_offsets[number]:
            return spelled_offsets[number]
    return np.int64(0)


def assemble(
    pieces: Pieces, encoded: EncodedPieces, spelled_offsets: I64, trained: Runs
) -> tuple[np.ndarray, U8, I64, I64, I64]:
    """See kernels.reference.token_rows.assemble. Reads 64 bytes a piece and 4 a token; writes 5 a token."""
    n, total = len(pieces.offsets) - 1, len(pieces.id) - len(encoded.begin)
    total += int((encoded.end - encoded.begin).sum())
    made, weights = np.empty(total, np.uint32), np.empty(total, np.uint8)
    rows, counts, straddling = np.zeros(n + 1, np.int64), np.zeros(n, np.int64), np.zeros(n, np.int64)
    _assemble(
        pieces.offsets,
        pieces.id,
        pieces.start,
        pieces.stop,
        pieces.own_start,
        pieces.own_stop,
        whole(encoded.ids),
        encoded.begin,
        encoded.end,
        encoded.amiss,
        encoded.given,
        encoded.first,
        encoded.last,
        spelled_offsets,
        trained.offsets,
        trained.start,
        trained.stop,
        made,
        weights,
        rows,
        counts,
        straddling,
    )
    return made, weights, rows, counts, straddling


@kernel
def _assemble(
    piece_offsets, piece_id, start, stop, own_start, own_stop, ids, begin, end, flags, given, first, last,
    spelled_offsets, run_offsets, run_start, run_stop, made, weights, rows, counts, straddling,
):  # fmt: skip
    to, text = 0, 0
    for row in range(len(piece_offsets) - 1):
        run, end_run = run_offsets[row], run_offsets[row + 1]
        for piece in range(piece_offsets[row], piece_offsets[row + 1]):
            if piece_id[piece] != PLAIN:
                made[to] = piece_id[piece]
                run, touched, over = _touched(
                    own_start[piece], own_stop[piece], run, end_run, run_start, run_stop
                )
                weights[to] = touched
                counts[row] += touched
                straddling[row] += over
                to += 1
                continue
            is_given = given[text] >= 0
            settles = not is_given and flags[text] & EMPTY == 0
            at, limit = start[piece] - (flags[text] & PREFIXED != 0), stop[piece]
            k = begin[text]
            while k < end[text]:
                if is_given:
                    own = given[text] + k - begin[text]
                    low, high = first[own], last[own]
                else:
                    low = max(at, start[piece])
                    number = item32(ids, k)
                    at += spelled_offsets[number + 1] - spelled_offsets[number]
                    high = max(at, start[piece])
                high = max(high, low + 1)
                run, touched, over = _touched(low, high, run, end_run, run_start, run_stop)
                if settles and (run == end_run or run_start[run] >= limit):
                    break
                if settles and run_start[run] <= low and limit <= run_stop[run]:
                    break
                made[to] = item32(ids, k)
                weights[to] = touched
                counts[row] += touched
                straddling[row] += over
                to += 1
                k += 1
            rest = end[text] - k
            if rest > 0:  # all of them are trained, or none is
                for other in range(rest):
                    made[to + other] = item32(ids, k + other)
                    weights[to + other] = touched
                counts[row] += touched * rest
                to += rest
            text += 1
        rows[row + 1] = to


@inner
def _touched(begin, end, run, end_run, start, stop):
    """(the first range that ends behind the token, whether it touches one, whether it lies over an edge)."""
    while run < end_run and stop[run] <= begin:
        run += 1
    touched, over = 0, 0
    k = run
    while k < end_run and start[k] < end:
        touched = 1
        if begin < start[k] or end > stop[k]:
            over = 1
        k += 1
    return run, touched, over


def as_json(values: np.ndarray, offsets: I64) -> Text:
    """See kernels.reference.token_rows.as_json. Reads 4 bytes a number, writes 2 to 12."""
    bounds = np.zeros(len(offsets), np.int64)
    out = np.empty((MOST_DIGITS + 1) * len(values) + 2 * len(bounds) + PADDING, np.uint8)
    size = _as_json(np.ascontiguousarray(values, np.int64), offsets, out, bounds)
    return Text(out[: size + PADDING], bounds)


@kernel
def _as_json(values, offsets, out, bounds):
    to = 0
    for row in range(len(offsets) - 1):
        out[to] = 91
        to += 1
        for k in range(offsets[row], offsets[row + 1]):
            if k > offsets[row]:
                out[to] = 44
                to += 1
            value = values[k]
            if value < 0:
                out[to] = 45
                to += 1
                value = -value
            to += _digits(value)
            at = to
            while True:
                at -= 1
                out[at] = 48 + value % 10
                value //= 10
                if value == 0:
                    break
        out[to] = 93
        to += 1
        bounds[row + 1] = to
    return to


@inner
def _digits(value):
    count = 1
    while value > 9:
        value //= 10
        count += 1
    return count


def from_json(data: U8, start: I64, length: I64) -> tuple[np.ndarray, I64]:
    """See kernels.reference.token_rows.from_json. Reads each list twice."""
    values = np.empty(_most_numbers(data, start, length), np.int32)
    offsets = np.zeros(len(start) + 1, np.int64)
    count = _from_json(data, start, length, values, offsets)
    if count < 0:
        raise ValueError("no list of whole numbers")
    return values[:count], offsets


@kernel
def _most_numbers(data, start, length):
    most = len(start)
    for row in range(len(start)):
        for at in range(start[row], start[row] + length[row]):
            most += data[at] == 44
    return most


@kernel
def _from_json(data, start, length, values, offsets):
    """How many numbers there are; -1 where something else is there."""
    to = 0
    for row in range(len(start)):
        at, end = start[row], start[row] + length[row]
        if length[row] < 2 or data[at] != 91 or data[end - 1] != 93:
            return -1
        at, end = at + 1, end - 1
        while at < end:
            negative = data[at] == 45
            if negative:
                at += 1
            value, count = np.int64(0), 0
            while at < end and data[at] >= 48 and data[at] <= 57:
                value = value * 10 + (data[at] - 48)
                at += 1
                count += 1
            if count == 0 or count > 10 or value > 2147483647 + negative:
                return -1
            values[to] = -value if negative else value
            to += 1
            if at < end:
                if data[at] != 44 or at + 1 == end:
                    return -1
                at += 1
        offsets[row + 1] = to
    return to


def gather(data: U8, starts: I64, offsets: I64) -> U8:
    """See kernels.reference.token_rows.gather. Reads and writes the texts once."""
    out = np.empty(offsets[-1], np.uint8)
    _gather(whole(data), starts, offsets, whole(out))
    return out


@kernel
def _gather(data, starts, offsets, target):
    for piece in range(len(starts)):
        copy(target, offsets[piece], data, starts[piece], offsets[piece + 1] - offsets[piece])


def holds_any(data: U8, starts: I64, stops: I64, points: U8) -> U8:
    """See kernels.reference.token_rows.holds_any. Reads the texts once."""
    holds = np.zeros(len(starts), np.uint8)
    _holds_any(whole(data), starts, stops, points, bool(points[:16].any()), holds)
    return holds


@kernel
def _holds_any(data, starts, stops, points, of_ascii, holds):
    for piece in range(len(starts)):
        at, end = starts[piece], stops[piece]
        while at < end:
            lead = byte(data, at)
            if lead < 0x80:
                if not of_ascii:
                    at = _behind_ascii(data, at + 1, end)
                    continue
                point, size = lead, 1
            elif lead < 0xE0:
                point, size = lead & 0x1F, 2
            elif lead < 0xF0:
                point, size = lead & 0x0F, 3
            else:
                point, size = lead & 0x07, 4
            for k in range(at + 1, min(at + size, end)):
                point = (point << 6) | (byte(data, k) & 0x3F)
            if (points[point >> 3] >> (point & 7)) & 1:
                holds[piece] = 1
                break
            at += size


@inner
def _behind_ascii(data, at, end):
    """Where the first byte from a place on stands that is not ASCII; `end`, or behind it, where none does."""
    while at + BLOCK <= data[1] and at < end:
        mask = mask_not_ascii(data, at)
        if mask != 0:
            return at + trailing_zeros(mask)
        at += BLOCK
    while at < end and byte(data, at) < 0x80:
        at += 1
    return at
