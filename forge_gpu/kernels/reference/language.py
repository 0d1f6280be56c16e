"""Which language a text is in: naive Bayes over what an automaton sees in its bytes.

Source: Lui and Baldwin, "langid.py: An Off-the-shelf Language Identification Tool", ACL 2012. The model is
py3langid's. The automaton goes from state to state by the text's first MOST_BYTES bytes; a state may have a
feature. The score of a language is its prior and, for each feature, log(1 + times seen) times the feature's
weight; scores over the root of the bytes make shares. A text of ASCII without small letters is read as if
they were small.

A row may be rejected for its share, and what the C library gives for a logarithm or an exponential depends on
the processor. So both are made here of what IEEE 754 rounds alike everywhere."""

from __future__ import annotations

import math
from decimal import Decimal
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from forge_gpu.kernels.layout import I32, I64, Text

F32 = npt.NDArray[np.float32]
MOST_BYTES = 1024
LOG = np.array([float(Decimal(1 + times).ln()) for times in range(MOST_BYTES + 1)])
"""log(1 + times seen)."""

# 1 / log 2, and log 2 in two parts, of which the first has so few bits that its multiples are exact.
PER_LOG2, LOG2, LOG2_REST = 1.4426950408889634, 0.6931471803691238, 1.9082149292705877e-10
COEFFICIENTS = np.array([1.0 / math.factorial(power) for power in range(13, -1, -1)])
HALVES = np.array([0.5**times for times in range(1023)])
LOWEST = -700.0
"""The exponential of less is taken for 0."""


class Model(NamedTuple):
    """moves: uint32[rows * 256], the next state by row and byte; row: int64[states]; feature: int32[states],
    -1 for none; weight: float32[features, classes]; prior: float32[classes]; label: int64[classes], the
    number of the language, of which several classes may be."""

    moves: npt.NDArray[np.uint32]
    row: I64
    feature: I32
    weight: F32
    prior: F32
    label: I64


def languages_of(text: Text, model: Model) -> tuple[I64, F32]:
    """(the number of each row's language, its share): -1 and 0 where nothing is seen in a row."""
    rows = [_language(text.row(i)[:MOST_BYTES], model) for i in range(len(text))]
    return np.array([row[0] for row in rows], np.int64), np.array([row[1] for row in rows], np.float32)


def _language(row: bytes, model: Model) -> tuple[int, float]:
    if row.isascii() and row.upper() == row:
        row = row.lower()
    seen: dict[int, int] = {}
    state = 0
    for byte in row:
        state = int(model.moves[256 * model.row[state] + byte])
        feature = int(model.feature[state])
        if feature >= 0:
            seen[feature] = seen.get(feature, 0) + 1
    if not seen:
        return -1, 0.0
    scores = model.prior.astype(np.float64)
    for feature, times in seen.items():
        scores += LOG[times] * model.weight[feature].astype(np.float64)
    highest, root, total = float(scores.max()), math.sqrt(len(row)), 0.0
    shares = [0.0] * (int(model.label.max()) + 1)
    for score, label in zip(scores.tolist(), model.label.tolist(), strict=True):
        share = exponential((score - highest) / root)
        shares[label] += share
        total += share
    best = shares.index(max(shares))
    return best, shares[best] / total


def exponential(x: float) -> float:
    """e to the power of x <= 0, to 16 digits.

    Source: Cody and Waite, "Software Manual for the Elementary Functions", 1980: x is a multiple of log 2 and
    a rest, for which the series is short."""
    if x < LOWEST:
        return 0.0
    halves = math.floor(0.5 - x * PER_LOG2)
    rest = (x + halves * LOG2) + halves * LOG2_REST
    result = 0.0
    for coefficient in COEFFICIENTS.tolist():
        result = result * rest + coefficient
    return result * float(HALVES[halves])
