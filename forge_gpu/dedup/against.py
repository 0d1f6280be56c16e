"""Decontamination: which rows are near or equal to rows of given evaluation files.

Query contents are compared, by two rules. The n-gram rule, after Brown et al., "Language models are few-shot
learners" (2020): a row is contaminated when it shares a run of so many words with an evaluation row, case
and punctuation aside. An evaluation row with fewer words counts as one run: a row must equal it. The
MinHash rule: a row is contaminated when its shingle set has the wanted Jaccard similarity to an
evaluation row's, checked exactly. The evaluation side is kept in memory, so each chunk is decided at once.
"""

from __future__ import annotations

from dataclasses import field

import numpy as np
import numpy.typing as npt

from forge_gpu.dedup.near import NearDuplicates
from forge_gpu.dedup.shingling import Shingling
from forge_gpu.kernels.layout import I64, U64, Text
from forge_gpu.kernels.reference.shingles import Lookup, lookup
from forge_gpu.kernels.reference.union import F64, SMALL_BUCKET
from forge_gpu.plain import frozen

_FILTER_BITS = 20


def _thirteen_words() -> Shingling:
    return Shingling(unit="words", size=13, punctuation=True)


@frozen
class Decontamination:
    """The rules in force; None switches one off."""

    ngram: Shingling | None = field(default_factory=_thirteen_words)
    near: NearDuplicates | None = field(default_factory=NearDuplicates)


@frozen
class Contamination:
    """What each row of a chunk matched, as row numbers of the evaluation text; -1 where nothing.

    ngram: int64[n], the smallest evaluation row that has the row's first shared run of words. near: int64[n],
    the most similar evaluation row, the smallest of several; similarity: float64[n], 0 where near is -1.
    """

    ngram: I64
    near: I64
    similarity: F64


class Against:
    """Evaluation rows, indexed. Memory: about 24 bytes a word and 8 a character of their queries, and
    24 bytes a band and row."""

    def __init__(self, text: Text, rules: Decontamination) -> None:
        """text: the query contents of all evaluation rows."""
        from forge_gpu.kernels.cpu.shingles import distinct

        self._rules = rules
        self._ngrams: Lookup | None = None
        self._near: _NearIndex | None = None
        if rules.ngram is not None:
            values, offsets = distinct(text.data, text.offsets, *rules.ngram.arguments())
            self._ngrams = lookup(values, np.repeat(np.arange(len(text)), np.diff(offsets)))
        if rules.near is not None:
            self._near = _NearIndex(text, rules.near)

    def check(self, text: Text) -> Contamination:
        """What each row of a chunk's query contents matches."""
        from forge_gpu.kernels.cpu.shingles import first_found

        result = Contamination(
            np.full(len(text), -1, np.int64), np.full(len(text), -1, np.int64), np.zeros(len(text))
        )
        if self._rules.ngram is not None and self._ngrams is not None:
            arguments = self._rules.ngram.arguments()
            result.ngram[:] = first_found(text.data, text.offsets, *arguments, self._ngrams)
        if self._near is not None:
            self._near.check(text, result)
        return result


class _NearIndex:
    """Band hashes and shingle sets of the evaluation rows."""

    def __init__(self, text: Text, settings: NearDuplicates) -> None:
        from forge_gpu.kernels.cpu.shingles import distinct

        self._settings = settings
        self._values, self._offsets = distinct(text.data, text.offsets, *settings.shingling.arguments())
        filled = np.flatnonzero(np.diff(self._offsets))
        self._bands = [_Buckets(band[filled], filled) for band in settings.band_hashes(text).T]

    def check(self, text: Text, contamination: Contamination) -> None:
        from forge_gpu.kernels.cpu.shingles import distinct, intersections

        hashes = self._settings.band_hashes(text)
        pairs = np.concatenate([buckets.pairs(hashes[:, b]) for b, buckets in enumerate(self._bands)])
        pairs = np.unique(pairs, axis=0)
        rows = np.unique(pairs[:, 0])
        chosen = _rows_of(text, rows)
        values, offsets = distinct(chosen.data, chosen.offsets, *self._settings.shingling.arguments())
        local = np.stack((np.searchsorted(rows, pairs[:, 0]), pairs[:, 1]), axis=1)
        shared = intersections(values, offsets, self._values, self._offsets, local)
        sizes = np.diff(offsets)[local[:, 0]] + np.diff(self._offsets)[pairs[:, 1]]
        similarity = shared / np.maximum(sizes - shared, 1)
        held = similarity >= self._settings.threshold
        pairs, similarity = pairs[held], similarity[held]
        order = np.lexsort((pairs[:, 1], -similarity, pairs[:, 0]))
        pairs, similarity = pairs[order], similarity[order]
        best = np.flatnonzero(np.diff(pairs[:, 0], prepend=-1))
        contamination.near[pairs[best, 0]] = pairs[best, 1]
        contamination.similarity[pairs[best, 0]] = similarity[best]


class _Buckets:
    """One band: its hashes in order, and which evaluation rows have them."""

    def __init__(self, hashes: U64, rows: I64) -> None:
        order = np.argsort(hashes, kind="stable")
        self._hashes, self._rows = hashes[order], rows[order]
        self._filter = np.zeros(1 << _FILTER_BITS, np.bool_)
        self._filter[hashes >> np.uint64(64 - _FILTER_BITS)] = True

    def pairs(self, hashes: U64) -> I64:
        """(row, evaluation row) for the smallest SMALL_BUCKET evaluation rows of each row's bucket."""
        likely: npt.NDArray[np.int64] = np.flatnonzero(self._filter[hashes >> np.uint64(64 - _FILTER_BITS)])
        first = np.searchsorted(self._hashes, hashes[likely], side="left")
        last = np.searchsorted(self._hashes, hashes[likely], side="right")
        count = np.minimum(last - first, SMALL_BUCKET)
        place = np.arange(count.sum()) - np.repeat(np.cumsum(count) - count, count)
        return np.stack(
            (np.repeat(likely, count), self._rows[np.repeat(first, count) + place]), axis=1
        ).astype(np.int64)


def _rows_of(text: Text, rows: I64) -> Text:
    """Some rows of a text."""
    lengths = (text.offsets[1:] - text.offsets[:-1])[rows]
    data = b"".join([text.row(row) for row in rows.tolist()])
    return Text(np.frombuffer(data, np.uint8), np.concatenate(([0], np.cumsum(lengths))).astype(np.int64))
