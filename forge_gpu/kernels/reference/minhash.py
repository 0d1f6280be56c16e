"""MinHash signatures of shingle sets, and the band hashes made of them.

Broder, "On the resemblance and containment of documents" (1997): two sets share the least value under
a random permutation with the probability of their Jaccard similarity. With q multipliers, all odd, there are
4*q permutations of the low 32 bits of the shingle hashes: number f*q + k is x -> (x * a_k modulo 2**32) xor
MASKS[f]. So four permutations share a product: their least values are its least and greatest, unsigned and
signed, which lie in four places of a random order, as far apart as can be. The hashes are well mixed, so a
product needs no added constant: for any x != y, x*a < y*a holds for just half of all odd a, since a and -a
differ in it. Values of one multiplier lie q apart, so that a band has them of different ones. Estimates vary
no more than with 4*q independent permutations, and less for short texts, whose shingles are all drawn.

Bands after Indyk and Motwani (1998): rows that agree in all values of a band fall into one bucket of it.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from forge_gpu.kernels.layout import I64, U8, U64
from forge_gpu.kernels.reference.shingles import U32, fmix64, shingles, splitmix64

NOTHING = 2**32 - 1
"""The signature of a text without shingles."""

MASKS = (0, 2**32 - 1, 2**31, 2**31 - 1)
"""What the permutations of one multiplier make of a product: the least of these is its least, its greatest,
and, taken as signed, its least and its greatest."""

BAND_WEIGHTS = np.array([z | 1 for z in splitmix64(1, 256)], np.uint64)
"""Odd 64-bit weights of a signature's values inside a band, and of the band's number (the last one)."""


class Signing(NamedTuple):
    """How band hashes are made: see `shingles` for kind, n and fold, `band_hashes` for the others."""

    kind: int
    n: int
    fold: U32
    multipliers: U32
    bands: int
    rows: int


def multipliers(permutations: int, seed: int) -> U32:
    """a_0 ... a_{q-1} of at least so many permutations: uint32[q], odd, drawn from `seed`."""
    return np.array([z >> 32 | 1 for z in splitmix64(seed, -(-permutations // len(MASKS)))], np.uint32)


def signatures(data: U8, offsets: I64, kind: int, n: int, fold: U32, multipliers: U32) -> U32:
    """The MinHash signature of each row of Arrow text: uint32[rows, 4*q]; NOTHING where it has no shingle.

    See `shingles` for kind, n and fold.
    """
    permutations = [(a, mask) for mask in MASKS for a in multipliers.tolist()]
    result = np.full((len(offsets) - 1, len(permutations)), NOTHING, np.uint32)
    for row in range(len(result)):
        text = data[offsets[row] : offsets[row + 1]].tobytes()
        low = [value & NOTHING for value in shingles(text, kind, n, fold)]
        for j, (a, mask) in enumerate(permutations):
            result[row, j] = min((x * a & NOTHING ^ mask for x in low), default=NOTHING)
    return result


def band_hashes(
    data: U8, offsets: I64, kind: int, n: int, fold: U32, multipliers: U32, bands: int, rows: int
) -> U64:
    """One 64-bit hash for each band of `rows` values of a row's signature: uint64[rows of text, bands].

    Band b is values b*rows ... b*rows + rows-1; values beyond bands*rows are not used.
    """
    signature = signatures(data, offsets, kind, n, fold, multipliers)
    hashes = np.zeros((len(signature), bands), np.uint64)
    weights = BAND_WEIGHTS.tolist()
    for row, values in enumerate(signature.tolist()):
        for band in range(bands):
            total = band * weights[-1]
            for i in range(rows):
                total += values[band * rows + i] * weights[i]
            hashes[row, band] = fmix64(total & (2**64 - 1))
    return hashes
