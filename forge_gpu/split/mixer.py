"""The one seeded hash behind every random decision: splits, order and sampling."""

from __future__ import annotations

from enum import IntEnum

import numpy as np

from forge_gpu.kernels.layout import U64

_GOLDEN = 0x9E3779B97F4A7C15
_WORD = 2**64 - 1


class Stream(IntEnum):
    """What a seeded hash is drawn for. Streams are independent: rows sampled by the smallest hashes of one
    would otherwise all fall into the same split of another. Never renumber them."""

    SPLIT = 1
    ORDER = 2
    SAMPLE = 3
    EPOCH = 4


def mix(hashes: U64, seed: int, stream: Stream) -> U64:
    """A 64-bit hash of each row's 128-bit key, a seed and a stream: uint64[n].

    hashes: uint64[n, 2], (low, high), numpy or cupy; seed: 0 <= seed < 2**64. With f the finaliser of
    SplitMix64 (Steele, Lea, Flood 2014), s = f(f(seed + golden) + stream) the result is
    f(f(low ^ s) ^ high), all modulo 2**64: for a given seed, stream and half of the key it is a
    permutation of the other half. Moves 24 bytes a row.
    """
    start = _finalise_int(_finalise_int((seed + _GOLDEN) & _WORD) + int(stream) & _WORD)
    mixed: U64 = _finalise(hashes[:, 0] ^ np.uint64(start))
    mixed ^= hashes[:, 1]
    return _finalise(mixed)


def _finalise(z: U64) -> U64:
    """SplitMix64's finaliser, in place; unsigned array arithmetic wraps."""
    z ^= z >> np.uint64(30)
    z *= np.uint64(0xBF58476D1CE4E5B9)
    z ^= z >> np.uint64(27)
    z *= np.uint64(0x94D049BB133111EB)
    z ^= z >> np.uint64(31)
    return z


def _finalise_int(z: int) -> int:
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9 & _WORD
    z = (z ^ (z >> 27)) * 0x94D049BB133111EB & _WORD
    return z ^ (z >> 31)
