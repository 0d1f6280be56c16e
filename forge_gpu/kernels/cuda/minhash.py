"""MinHash signatures and band hashes (see reference/minhash.py).

A block has a row: its threads hash a tile of shingles into shared memory, then each goes through the tile for
permutations of its own, a product and a minimum each. Bound by those instructions, not by memory: about
shingles x permutations x 4; of the device's copy bandwidth 2-4% is to be expected at 128 permutations.
"""

import numpy as np
from numba import cuda, types

from forge_gpu.kernels.cuda import shingles
from forge_gpu.kernels.cuda.device import Device, function, kernel
from forge_gpu.kernels.cuda.hashing import text_offsets
from forge_gpu.kernels.cuda.memory import thread
from forge_gpu.kernels.layout import I64, U8, U64, Text
from forge_gpu.kernels.reference.minhash import BAND_WEIGHTS, MASKS, NOTHING
from forge_gpu.kernels.reference.shingles import CHARACTER_WEIGHTS, LENGTH_WEIGHT, U32, WORD_WEIGHTS, WORDS

TILE = 128  # shingles, and threads of a block
MASK32 = np.uint64(0xFFFFFFFF)
LENGTH_FACTOR = np.uint64(LENGTH_WEIGHT)


@function
def _fmix32(h):
    h = (h ^ h >> np.uint64(16)) * np.uint64(0x85EBCA6B) & MASK32
    h = (h ^ h >> np.uint64(13)) * np.uint64(0xC2B2AE35) & MASK32
    return h ^ h >> np.uint64(16)


@function
def _fmix64(h):
    h = (h ^ h >> np.uint64(33)) * np.uint64(0xFF51AFD7ED558CCD)
    h = (h ^ h >> np.uint64(33)) * np.uint64(0xC4CEB9FE1A85EC53)
    return h ^ h >> np.uint64(33)


@function
def _low_half(units, at, count, kind, weights):
    """The low 32 bits of the hash of the shingle of `count` units at `at`: all that MinHash reads."""
    total = np.uint64(count) * LENGTH_FACTOR
    for k in range(count):
        total += np.uint64(units[at + k]) * weights[k]
    if kind == WORDS:
        return _fmix64(total) & MASK32
    return _fmix32(total & MASK32)


@kernel
def signatures_of_units(units, offsets, counts, kind, n, weights, factors, masks, result):
    """result[r, j] = the least (hash x factors[j] modulo 2^32) xor masks[j] of row r's shingles.

    A block has a row. units, counts: see shingles.units; weights: uint64[32]; factors, masks: uint32[k];
    result: uint32[rows, k].
    """
    tile = cuda.shared.array(TILE, dtype=types.uint32)
    t = np.int64(cuda.threadIdx.x)
    r = np.int64(cuda.blockIdx.x)
    first = offsets[r] - offsets[0]
    number = counts[r]
    size = min(np.int64(n), number)
    shingles_of_row = number - size + 1 if number > 0 else np.int64(0)
    for j in range(t, (len(factors) + TILE - 1) // TILE * TILE, TILE):  # as often for every thread
        factor = np.uint64(factors[j] if j < len(factors) else 0)
        mask = np.uint64(masks[j] if j < len(factors) else 0)
        least = np.uint64(NOTHING)
        for begin in range(0, shingles_of_row, TILE):
            mine = begin + t
            if mine < shingles_of_row:
                tile[t] = np.uint32(_low_half(units, first + mine, size, kind, weights))
            cuda.syncthreads()
            for k in range(min(TILE, shingles_of_row - begin)):
                least = min(least, (np.uint64(tile[k]) * factor & MASK32) ^ mask)
            cuda.syncthreads()
        if j < len(factors):
            result[r, j] = np.uint32(least)


@kernel
def bands_of_signatures(signature, rows, weights, result):
    """result[r, b] = the hash of band b of row r, a thread a band. weights: uint64[257]: BAND_WEIGHTS."""
    i = thread()
    bands = result.shape[1]
    if i >= result.shape[0] * bands:
        return
    r, band = i // bands, i % bands
    total = np.uint64(band) * weights[len(weights) - 1]
    for k in range(rows):
        total += np.uint64(signature[r, band * rows + k]) * weights[k]
    result[r, band] = _fmix64(total)


def signatures(data: U8, offsets: I64, kind: int, n: int, fold: U32, multipliers: U32, device: Device) -> U32:
    """The MinHash signature of each row: uint32[rows, 4*q], on the device; see the reference.

    Memory: 4 bytes for each byte of the text, 8 for words, and the signatures. Raises ValueError where a row
    lies outside the data.
    """
    rows = len(offsets) - 1
    offsets = text_offsets(Text(data, offsets), device)
    memory, _, bases = device.window([data])
    ends = device.download(offsets[:: max(rows, 1)])
    size = int(ends[-1] - ends[0])
    units = device.xp.empty(size + 1, np.uint64 if kind == WORDS else np.uint32)
    counts = device.xp.zeros(rows, np.int64)
    device.launch(shingles.units, rows, memory, bases[0], offsets, kind, device.upload(fold), units, counts)
    weights = WORD_WEIGHTS if kind == WORDS else CHARACTER_WEIGHTS[0].astype(np.uint64)
    factors, masks = np.tile(multipliers, len(MASKS)), np.repeat(np.uint32(MASKS), len(multipliers))
    result = device.xp.empty((rows, len(factors)), np.uint32)
    tables = device.upload(weights), device.upload(factors), device.upload(masks)
    device.launch(
        signatures_of_units, TILE * rows, units, offsets, counts, kind, n, *tables, result, block=TILE
    )
    return result


def band_hashes(
    data: U8, offsets: I64, kind: int, n: int, fold: U32, multipliers: U32, bands: int, rows: int,
    device: Device,
) -> U64:  # fmt: skip
    """One hash for each band of each row: uint64[rows of text, bands], on the device; see the reference."""
    signature = signatures(data, offsets, kind, n, fold, multipliers, device)
    result = device.xp.empty((len(signature), bands), np.uint64)
    weights = device.upload(BAND_WEIGHTS)
    device.launch(bands_of_signatures, len(signature) * bands, signature, rows, weights, result)
    return result
