"""The tokens of rows: see kernels.reference.token_rows."""

import numpy as np

from forge_gpu.kernels.compiled import inner, kernel
from forge_gpu.kernels.layout import I64, PADDING, U8, Text
from forge_gpu.kernels.reference.token_rows import CONTROL, WRONG_BYTES, WRONG_SIZE
from forge_gpu.kernels.token_layout import PLAIN, RUN, RUN_END, TRAINED, TRAINED_END, UNKNOWN, Pieces, Runs

MOST_DIGITS = 11


def unmark(marked: Text) -> tuple[Text, Runs, Runs, U8]:
    """See kernels.reference.token_rows.unmark. Reads and writes the texts once."""
    data, offsets, runs, trained, unknown = _unmark(marked.data, marked.offsets)
    return Text(data, offsets), Runs(*runs), Runs(*trained), unknown


@kernel
def _unmark(data, offsets):
    n, size = len(offsets) - 1, offsets[-1] - offsets[0]
    opened, closed = 0, 0
    for at in range(offsets[0], offsets[-1]):
        byte = data[at]
        if byte >= TRAINED_END:
            opened += byte == RUN
            closed += byte == TRAINED
    out, bounds = np.empty(size + PADDING, np.uint8), np.zeros(n + 1, np.int64)
    run_offsets, run_start, run_stop = _ranges(n, opened)
    own_offsets, own_start, own_stop = _ranges(n, closed)
    unknown = np.zeros(n, np.uint8)
    to, runs, own = 0, 0, 0
    for row in range(n):
        run_at, own_at, row_at = 0, 0, to
        for at in range(offsets[row], offsets[row + 1]):
            byte = data[at]
            if byte < TRAINED_END:
                out[to] = byte
                to += 1
            elif byte == RUN:
                run_at = to
            elif byte == RUN_END:
                if run_at == to:
                    continue
                if runs > run_offsets[row] and run_stop[runs - 1] == run_at:
                    run_stop[runs - 1] = to
                else:
                    run_start[runs], run_stop[runs] = run_at, to
                    runs += 1
            elif byte == TRAINED:
                own_at = to
            elif byte == TRAINED_END:
                if own_at != to:
                    own_start[own], own_stop[own] = own_at, to
                    own += 1
            elif byte == UNKNOWN:
                unknown[row] = 1
        if to == row_at:
            unknown[row] = 0
        bounds[row + 1], run_offsets[row + 1], own_offsets[row + 1] = to, runs, own
    out[to : to + PADDING] = 0
    return (
        out,
        bounds,
        (run_offsets, run_start[:runs], run_stop[:runs]),
        (own_offsets, own_start[:own], own_stop[:own]),
        unknown,
    )


@inner
def _ranges(n, count):
    return np.zeros(n + 1, np.int64), np.empty(count, np.int64), np.empty(count, np.int64)


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


@kernel
def token_bounds(data, start, stop, ids, offsets, spelled, spelled_offsets, guarded, prefix):
    """See kernels.reference.token_rows.token_bounds. Reads the texts; reads and writes 16 bytes a token."""
    first, last = np.zeros(len(ids), np.int64), np.zeros(len(ids), np.int64)
    amiss = np.zeros(len(start), np.uint8)
    for piece in range(len(start)):
        low, high = offsets[piece], offsets[piece + 1]
        size = np.int64(0)
        for k in range(low, high):
            number = ids[k]
            size += spelled_offsets[number + 1] - spelled_offsets[number]
            if guarded[number]:
                amiss[piece] |= CONTROL
        begin = start[piece]
        extra = size - (stop[piece] - begin)
        if extra != 0 and not (
            prefix and extra == 1 and spelled[_first_byte(ids, low, high, spelled_offsets)] == 0x20
        ):
            amiss[piece] |= WRONG_SIZE
            continue
        at = begin - extra
        for k in range(low, high):
            first[k] = max(at, begin)
            for s in range(spelled_offsets[ids[k]], spelled_offsets[ids[k] + 1]):
                if at >= begin and data[at] != spelled[s]:
                    amiss[piece] |= WRONG_BYTES
                at += 1
            last[k] = max(at, begin)
    return first, last, amiss


@inner
def _first_byte(ids, low, high, spelled_offsets):
    """Where the first byte of some ids is spelled; there is one."""
    for k in range(low, high):
        if spelled_offsets[ids[k] + 1] > spelled_offsets[ids[k]]:
            return spelled_offsets[ids[k]]
    return np.int64(0)


def assemble(
    pieces: Pieces, ids: np.ndarray, offsets: I64, first: I64, last: I64, trained: Runs
) -> tuple[np.ndarray, U8, I64, I64, I64]:
    """See kernels.reference.token_rows.assemble. Reads 40 bytes a piece and 28 a token; writes 5 a token."""
    return _assemble(
        pieces.offsets,
        pieces.id,
        pieces.own_start,
        pieces.own_stop,
        ids,
        offsets,
        first,
        last,
        trained.offsets,
        trained.start,
        trained.stop,
    )


@kernel
def _assemble(
    piece_offsets, piece_id, own_start, own_stop, ids, offsets, first, last, run_offsets, run_start, run_stop
):
    n = len(piece_offsets) - 1
    texts = len(offsets) - 1
    total = len(piece_id) - texts + offsets[texts]
    made, weights = np.empty(total, np.uint32), np.empty(total, np.uint8)
    rows, counts, straddling = np.zeros(n + 1, np.int64), np.zeros(n, np.int64), np.zeros(n, np.int64)
    to, text = 0, 0
    for row in range(n):
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
            for k in range(offsets[text], offsets[text + 1]):
                made[to] = ids[k]
                run, touched, over = _touched(
                    first[k], max(last[k], first[k] + 1), run, end_run, run_start, run_stop
                )
                weights[to] = touched
                counts[row] += touched
                straddling[row] += over
                to += 1
            text += 1
        rows[row + 1] = to
    return made, weights, rows, counts, straddling


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
    return Text(*_as_json(values, offsets))


@kernel
def _as_json(values, offsets):
    n = len(offsets) - 1
    out = np.empty((MOST_DIGITS + 1) * len(values) + 2 * n + PADDING, np.uint8)
    bounds = np.zeros(n + 1, np.int64)
    digits = np.empty(MOST_DIGITS, np.uint8)
    to = 0
    for row in range(n):
        out[to] = 91
        to += 1
        for k in range(offsets[row], offsets[row + 1]):
            if k > offsets[row]:
                out[to] = 44
                to += 1
            value = np.int64(values[k])
            if value < 0:
                out[to] = 45
                to += 1
                value = -value
            count = 0
            while True:
                digits[count] = 48 + value % 10
                value //= 10
                count += 1
                if value == 0:
                    break
            for d in range(count):
                out[to] = digits[count - 1 - d]
                to += 1
        out[to] = 93
        to += 1
        bounds[row + 1] = to
    return out[: to + PADDING], bounds


def from_json(data: U8, start: I64, length: I64) -> tuple[np.ndarray, I64]:
    """See kernels.reference.token_rows.from_json. Reads each list twice."""
    values, offsets, is_sound = _from_json(data, start, length)
    if not is_sound:
        raise ValueError("no list of whole numbers")
    return values, offsets


@kernel
def _from_json(data, start, length):
    n = len(start)
    most = 0
    for row in range(n):
        most += 1
        for at in range(start[row], start[row] + length[row]):
            most += data[at] == 44
    values, offsets = np.empty(most, np.int32), np.zeros(n + 1, np.int64)
    to = 0
    for row in range(n):
        at, end = start[row], start[row] + length[row]
        if length[row] < 2 or data[at] != 91 or data[end - 1] != 93:
            return values[:0], offsets, False
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
                return values[:0], offsets, False
            values[to] = -value if negative else value
            to += 1
            if at < end:
                if data[at] != 44 or at + 1 == end:
                    return values[:0], offsets, False
                at += 1
        offsets[row + 1] = to
    return values[:to], offsets, True


@kernel
def gather(data, starts, offsets):
    """See kernels.reference.token_rows.gather. Reads and writes the texts once."""
    out = np.empty(offsets[-1], np.uint8)
    for piece in range(len(starts)):
        to, at = offsets[piece], starts[piece]
        for k in range(offsets[piece + 1] - to):
            out[to + k] = data[at + k]
    return out


@kernel
def holds_any(data, starts, stops, points):
    """See kernels.reference.token_rows.holds_any. Reads the texts once."""
    holds = np.zeros(len(starts), np.uint8)
    for piece in range(len(starts)):
        at, end = starts[piece], stops[piece]
        while at < end:
            byte = np.int64(data[at])
            if byte < 0x80:
                point, size = byte, 1
            elif byte < 0xE0:
                point, size = byte & 0x1F, 2
            elif byte < 0xF0:
                point, size = byte & 0x0F, 3
            else:
                point, size = byte & 0x07, 4
            for k in range(at + 1, min(at + size, end)):
                point = (point << 6) | (np.int64(data[k]) & 0x3F)
            if (points[point >> 3] >> (point & 7)) & 1:
                holds[piece] = 1
                break
            at += size
    return holds
