"""Which language a text is in: naive Bayes over what an automaton sees in its bytes.

Source: Lui and Baldwin, "langid.py: An Off-the-shelf Language Identification Tool", ACL 2012. The model is
py3langid's. The automaton goes from state to state by the text's first MOST_BYTES bytes; a state may have a
feature. The score of a language is its prior and, for each feature, log(1 + times seen) times the feature's
weight; scores over the root of the bytes make shares. A text of ASCII without small letters is read as if
they were small."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from forge_gpu.kernels.layout import I32, I64, Text

F32 = npt.NDArray[np.float32]
MOST_BYTES = 1024


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
        scores += math.log1p(times) * model.weight[feature]
    shares = np.exp((scores - scores.max()) / math.sqrt(len(row)))
    of_labels = np.zeros(int(model.label.max()) + 1)
    np.add.at(of_labels, model.label, shares / shares.sum())
    best = int(of_labels.argmax())
    return best, float(of_labels[best])
