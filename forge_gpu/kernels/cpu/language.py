"""The languages of texts. See reference/language.py."""

import math

import numpy as np

from forge_gpu.kernels.compiled import inner, kernel
from forge_gpu.kernels.cpu.memory import byte, item64, whole
from forge_gpu.kernels.layout import Text
from forge_gpu.kernels.reference.language import (
    COEFFICIENTS,
    HALVES,
    LOG,
    LOG2,
    LOG2_REST,
    LOWEST,
    MOST_BYTES,
    PER_LOG2,
    Model,
)


@inner
def _is_loud(data, start, end):
    """Whether a row is ASCII without small letters."""
    for i in range(start, end):
        c = byte(data, i)
        if c >= 0x80 or (c >= 0x61 and c <= 0x7A):
            return False
    return True


@inner
def _see(data, start, end, moves, row, feature, times, seen):
    """Count the features of a row in `times`, and list them in `seen`: how many there are."""
    loud = _is_loud(data, start, end)
    state, count = 0, 0
    for i in range(start, end):
        c = byte(data, i)
        if loud and c >= 0x41 and c <= 0x5A:
            c |= 0x20
        state = np.int64(moves[256 * row[state] + c])
        at = feature[state]
        if at >= 0:
            if times[at] == 0:
                seen[count] = at
                count += 1
            times[at] += 1
    return count


@inner
def _exponential(x):
    if x < LOWEST:
        return 0.0
    halves = np.int64(0.5 - x * PER_LOG2)
    rest = (x + halves * LOG2) + halves * LOG2_REST
    result = 0.0
    for k in range(len(COEFFICIENTS)):
        result = result * rest + COEFFICIENTS[k]
    return result * HALVES[halves]


@inner
def _decide(scores, label, shares, size):
    """(the language, its share) by the scores of the classes."""
    highest = scores[0]
    for k in range(1, len(scores)):
        highest = max(highest, scores[k])
    total, shares[:] = 0.0, 0.0
    root = math.sqrt(size)
    for k in range(len(scores)):
        share = _exponential((scores[k] - highest) / root)
        shares[label[k]] += share
        total += share
    best = 0
    for k in range(1, len(shares)):
        if shares[k] > shares[best]:
            best = k
    return best, shares[best] / total


@kernel
def _languages(
    data, offsets, moves, row, feature, weight, prior, label, times, seen, scores, shares, best, share
):
    """Returns the first row outside the data, or -1."""
    for r in range(len(best)):
        start, end = item64(offsets, r), item64(offsets, r + 1)
        if start < 0 or end < start or end > data[1]:
            return r
        end = min(end, start + MOST_BYTES)
        count = _see(data, start, end, moves, row, feature, times, seen)
        if count == 0:
            best[r], share[r] = -1, 0
            continue
        for k in range(len(scores)):
            scores[k] = prior[k]
        for i in range(count):
            at = seen[i]
            factor = LOG[times[at]]
            times[at] = 0
            for k in range(len(scores)):
                scores[k] += factor * weight[at, k]
        best[r], share[r] = _decide(scores, label, shares, end - start)
    return -1


def languages_of(text: Text, model: Model):
    """See reference/language.py. Bytes moved: 1 kB of each row at most, and four a language for each feature.

    Raises ValueError where a row lies outside the data.
    """
    n = len(text)
    data, offsets = np.ascontiguousarray(text.data, np.uint8), np.ascontiguousarray(text.offsets, np.int64)
    best, share = np.zeros(n, np.int64), np.zeros(n, np.float32)
    times, seen = np.zeros(len(model.weight), np.int32), np.zeros(MOST_BYTES, np.int64)
    scores, shares = np.zeros(len(model.prior)), np.zeros(int(model.label.max()) + 1)
    work = (times, seen, scores, shares, best, share)
    bad = _languages(whole(data), whole(offsets), *model, *work)
    if bad >= 0:
        raise ValueError(f"row {bad} of a text lies outside its data")
    return best, share
