"""Near-duplicates: rows whose shingle sets have at least a wanted Jaccard similarity, and their clusters.

The steps, each a pure function of texts, rows and settings: `band_hashes` of each chunk (kept as an index),
`candidates` from the index (lsh), `compare` the shingle sets of candidates exactly, join them to clusters
with `Clusters`, choose `survivors`. `find_clusters` runs all but the first.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import field
from itertools import chain
from pathlib import Path
from sys import maxsize
from typing import Any

import numpy as np
import numpy.typing as npt

from forge_gpu.dedup.clusters import Clusters, Decider
from forge_gpu.dedup.lsh import Bands, ReadBand, candidates, distinct
from forge_gpu.dedup.shingling import Shingling
from forge_gpu.errors import ConfigError
from forge_gpu.hardware import shares
from forge_gpu.in_turn import by_threads
from forge_gpu.kernels.arrays import HOST, on_host
from forge_gpu.kernels.layout import I64, U64, Text
from forge_gpu.kernels.reference.minhash import Signing, multipliers
from forge_gpu.kernels.reference.union import F64
from forge_gpu.kernels.scratch import Scratch
from forge_gpu.plain import frozen

ReadRows = Callable[[I64], Text]
"""Gives the texts of some rows, which are ascending and without repeats, in their order."""

ReadTexts = Callable[[I64], Sequence[Text]]
"""The same where the rows are, in as many texts as they come in; valid for good."""

BYTES_A_BYTE = 12
"""Peak of comparing: a text, its shingle set of 8 bytes a byte, its pairs, and what kernels need."""

BYTES_A_PAIR = 64
"""Of a pair that a device compares, there and here: its rows, what they share, and what they have."""

BYTES_A_BYTE_THERE = 32
"""The same on a device: a text, twice while it is read there, its units, a table of two slots a shingle."""

_FIRST_WINDOW = 4096
_HALF, _LOWER = np.uint64(32), np.uint64(2**32 - 1)


@frozen
class NearDuplicates:
    """What a near-duplicate is: rows whose shingle sets have a Jaccard similarity of at least `threshold`.

    banding: chosen from the threshold unless given. seed: of the permutations. Raises ConfigError.
    """

    threshold: float = 0.8
    permutations: int = 128
    seed: int = 42
    shingling: Shingling = field(default_factory=Shingling)
    banding: Bands | None = None

    def __post_init__(self) -> None:
        chosen = Bands.choose(self.threshold, self.permutations)
        banding = self.banding or chosen
        if min(banding.count, banding.rows) < 1 or banding.count * banding.rows > self.permutations:
            raise ConfigError(
                f"{banding.count} bands of {banding.rows} values do not fit {self.permutations} permutations"
            )

    @property
    def bands(self) -> Bands:
        return self.banding or Bands.choose(self.threshold, self.permutations)

    @property
    def signing(self) -> Signing:
        """How band hashes are made of what is compared: a row's chosen contents, joined by newlines."""
        bands, factors = self.bands, multipliers(self.permutations, self.seed)
        return Signing(*self.shingling.arguments(), factors, bands.count, bands.rows)

    def band_hashes(self, text: Text) -> U64:
        """One hash a band of each row, by the CPU: uint64[rows, bands.count]; see `signing`."""
        from forge_gpu.kernels.cpu.minhash import band_hashes

        hashes: U64 = band_hashes(text.data, text.offsets, *self.signing)
        return hashes


def _nothing_to_fetch(rows: I64) -> None:
    """All texts are at hand."""


def find_clusters(
    settings: NearDuplicates,
    read_band: ReadBand,
    live: npt.NDArray[np.bool_],
    text_bytes: I64,
    read_rows: ReadRows,
    budget_bytes: int,
    threads: int = 1,
    folder: Path | None = None,
    fetch: Callable[[I64], None] = _nothing_to_fetch,
    decider: Decider | None = None,
    read_texts: ReadTexts | None = None,
) -> Clusters:
    """Clusters of near-duplicates among the live rows.

    read_band: band hashes of all n rows (see lsh.ReadBand); live: bool[n]; text_bytes: int64[n], the size of
    each row's text (may be a mapped file); read_rows: the texts of candidate rows, by any of `threads`
    threads. folder: see Pairs. fetch: is given all candidate rows, ascending, before one is read. decider:
    where bands may be sorted, texts compared and pairs joined; None for the host alone. read_texts: gives it
    the texts, if not the host. The result depends on neither budget nor threads nor those. Memory: Clusters'
    24 bytes a row, one more, and `budget_bytes` within the bounds that `candidates` and `compare` state.
    """
    for_texts = shares.TEXTS.of(budget_bytes)
    decide = on_host if decider is None else decider.decided
    there = decide(lambda arrays: 0 if arrays is HOST else arrays.room(maxsize), len(live))
    waiting = shares.JOINED.of(for_texts) if there else 0
    clusters = Clusters(len(live), decider, waiting)
    with closing(
        candidates(read_band, settings.bands.count, live, budget_bytes, threads, folder, decide)
    ) as pairs:
        in_order = pairs.in_order()
        first = next(in_order)  # from here on `pairs.rows` is whole
        fetch(np.flatnonzero(pairs.rows))
        every = chain((first,), in_order)
        how = text_bytes, read_rows, settings.shingling, for_texts - waiting, threads
        if decider is None or not there:
            compared = compare(every, *how)
        else:
            compared = compare_there(every, *how, decider, read_texts, there)
        with closing(compared):
            for batch, similarity in compared:
                held = similarity >= settings.threshold
                clusters.add(batch[held], similarity[held])
    clusters.close()
    return clusters


def compare(
    pieces: Iterable[U64],
    text_bytes: I64,
    read_rows: ReadRows,
    shingling: Shingling,
    budget_bytes: int,
    threads: int = 1,
) -> Generator[tuple[I64, F64], None, None]:
    """The exact Jaccard similarity of pairs: batches of (int64[m, 2], float64[m]), in the order given.

    pieces: of pairs, as kernels.reference.union has them. Two sets without shingles have similarity 0. A
    batch holds as many consecutive pairs as have texts that fit their part of `budget_bytes` at BYTES_A_BYTE
    a byte; more where a single pair needs more. A row whose pairs are in several batches is read for each. Of
    equal texts one set is made.
    """
    most = budget_bytes // threads // BYTES_A_BYTE
    batches = (batch for piece in pieces for batch in _batches(piece, text_bytes, most))
    yield from by_threads(lambda batch: _compared(batch, read_rows, shingling), batches, threads)


def compare_there(
    pieces: Iterable[U64],
    text_bytes: I64,
    read_rows: ReadRows,
    shingling: Shingling,
    budget_bytes: int,
    threads: int,
    decider: Decider,
    read_texts: ReadTexts | None,
    room_bytes: int,
) -> Generator[tuple[I64, F64], None, None]:
    """As `compare`, by the decider; what it gives back is compared here. room_bytes: for a batch there; its
    pairs, and its texts if they are read here, fit in `budget_bytes` too."""
    read = read_texts or (lambda rows: [read_rows(rows)])
    room = shares.COMPARED.of(room_bytes) // BYTES_A_BYTE_THERE
    most = room if read_texts else min(room, shares.COMPARED.of(budget_bytes))
    pairs = max(shares.COMPARED.of(min(room_bytes, budget_bytes)) // BYTES_A_PAIR, 1)
    some = (piece[start : start + pairs] for piece in pieces for start in range(0, len(piece), pairs))
    for part in some:
        for words in _batches(part, text_bytes, most):
            batch, rows = _rows_of(words)
            local = np.searchsorted(rows, batch)
            made = decider.shared_shingles(read(rows), local, *shingling.arguments())
            if made is None:
                yield from compare((words,), text_bytes, read_rows, shingling, budget_bytes, threads)
            else:
                shared, both = made
                yield batch, shared / np.maximum(both - shared, 1)


def _rows_of(words: U64) -> tuple[I64, I64]:
    """The pairs of a batch, int64[m, 2], and its rows, ascending."""
    batch = words.view(np.uint32).reshape(-1, 2).astype(np.int64)
    return batch, distinct(batch.flatten())


def _compared(words: U64, read_rows: ReadRows, shingling: Shingling) -> tuple[I64, F64]:
    """The pairs of a batch, and their similarity."""
    from forge_gpu.kernels.cpu.shingles import distinct as distinct_shingles
    from forge_gpu.kernels.cpu.shingles import intersections

    batch, rows = _rows_of(words)
    text = read_rows(rows)
    first = _first_equal(text)
    different = np.flatnonzero(first == np.arange(len(first)))
    values, offsets = distinct_shingles(text.data, text.offsets, *shingling.arguments(), different)
    local = np.searchsorted(different, first)[np.searchsorted(rows, batch[:, ::-1])]
    shared = intersections(values, offsets, values, offsets, local)
    sizes = np.diff(offsets)[local].sum(axis=1)
    return batch, shared / np.maximum(sizes - shared, 1)


def _first_equal(text: Text) -> I64:
    """The first row with the same text, for each row: int64[n]."""
    from forge_gpu.kernels.cpu.dedup import first_occurrence
    from forge_gpu.kernels.cpu.hashing import xxh3_128

    return first_occurrence(xxh3_128(text, Scratch()), np.ones(len(text), np.uint8))


def _batches(words: U64, text_bytes: I64, most: int) -> Iterator[U64]:
    """Consecutive pairs whose distinct rows have at most `most` bytes of text, or a single pair."""
    start, width = 0, _FIRST_WINDOW
    while start < len(words):
        window = words[start : start + width]
        end = int(np.searchsorted(_bytes_up_to(window, text_bytes), most, side="right"))
        if end == len(window) and start + width < len(words):
            width *= 2
            continue
        end = max(end, 1)
        yield window[:end]
        start, width = start + end, max(2 * end, _FIRST_WINDOW)


def _bytes_up_to(words: U64, text_bytes: I64) -> I64:
    """The size of the texts of the distinct rows of each pair and the ones before it: int64[m]."""
    places = np.arange(2 * len(words), dtype=np.uint64)
    keys = distinct(words.view(np.uint32).astype(np.uint64) << _HALF | places)
    rows, place = keys >> _HALF, keys & _LOWER
    first = np.flatnonzero(np.diff(rows, prepend=rows[:1] + np.uint64(1)))
    sizes = np.asarray(text_bytes[rows[first].astype(np.int64)])
    added = np.bincount((place[first] >> np.uint64(1)).astype(np.int64), sizes, len(words))
    return np.cumsum(added.astype(np.int64))


def survivors(
    label: I64, live: npt.NDArray[np.bool_], score: npt.NDArray[np.int64] | F64 | None = None
) -> I64:
    """The survivor of each removed row's cluster: int64[n], -1 for rows that stay or are not live.

    The live row of the highest score survives (length, quality, a column), the smallest row of several;
    without scores the smallest row. NaN is the lowest score. Memory: 48 bytes a row that has near-duplicates.
    """
    survivor = np.full(len(label), -1, np.int64)
    joined = np.flatnonzero((label != np.arange(len(label))) & live)
    heads = distinct(label[joined])
    members = np.concatenate((heads[live[heads]], joined))
    if score is None:
        falling: npt.NDArray[Any] = np.zeros(len(members), np.int64)
    else:
        falling = np.asarray(score[members])
        falling = -falling if falling.dtype.kind == "f" else ~falling  # ~ reverses integers, no overflow
    order = np.lexsort((members, falling, label[members]))
    members = members[order]
    best = np.flatnonzero(np.diff(label[members], prepend=-1))
    chosen = members[best][np.cumsum(np.diff(label[members], prepend=-1) != 0) - 1]
    removed = chosen != members
    survivor[members[removed]] = chosen[removed]
    return survivor
