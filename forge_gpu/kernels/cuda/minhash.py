"""MinHash signatures and band hashes (see reference/minhash.py).

A block has a row, and each of its warps every fourth tile of the row's shingles. A lane hashes one shingle
of the tile, then goes through all of them for one multiplier: a product and its four extremes, which are
the values of four permutations. In sm_90's machine code that is 105 instructions for the 32 shingles of a
tile (a multiplication, two minima or maxima of three, a quarter of a load each), and about 130 to hash a
shingle of five characters: 0.8 and 1.9 for each shingle and permutation, all of 32 bits. They bound it, not
memory: at 128 permutations an SM issues them in 1.9 cycles a shingle, so 3 to 4% of the device's copy
bandwidth is to be expected.
"""

import numpy as np
from numba import cuda, types

from forge_gpu.kernels.cuda import shingles
from forge_gpu.kernels.cuda.device import WARP, Device, function, kernel
from forge_gpu.kernels.cuda.hashing import text_offsets
from forge_gpu.kernels.cuda.memory import thread
from forge_gpu.kernels.cuda.shingles import LENGTH_FACTOR, ONE, fmix32, fmix64, hash_of_words
from forge_gpu.kernels.layout import I64, U8, U64, Text
from forge_gpu.kernels.reference.minhash import BAND_WEIGHTS, MASKS, NOTHING
from forge_gpu.kernels.reference.shingles import CHARACTER_WEIGHTS, U32, WORD_WEIGHTS, WORDS

WARPS = 4
BLOCK = WARPS * WARP
EXTREMES = len(MASKS)  # of a product, so permutations of a multiplier


@function
def _low_half(units, at, count, kind, weights):
    """The low 32 bits of the hash of the shingle of `count` units at `at`: all that MinHash reads.

    Places are unsigned here and below: of those nobody asks whether they count from the end."""
    at, k, end = np.uint64(at), np.uint64(0), np.uint64(count)
    if kind == WORDS:
        return np.uint32(hash_of_words(units, at, end, weights))
    low = np.uint32(np.uint32(count) * np.uint32(LENGTH_FACTOR))
    while k < end:
        low = np.uint32(low + np.uint32(np.uint32(units[at + k]) * np.uint32(weights[k])))
        k += ONE
    return fmix32(low)


@kernel
def signatures_of_units(units, offsets, counts, kind, n, weights, multipliers, result):
    """result[r, f·q + k] = the least (hash x multipliers[k] modulo 2^32) xor MASKS[f] of row r's shingles.

    A block has a row. units, counts: see shingles.units; weights: uint64[32]; multipliers: uint32[q];
    result: uint32[rows, 4·q].
    """
    tiles = cuda.shared.array((WARPS, WARP), dtype=types.uint32)
    least = cuda.shared.array((EXTREMES, WARPS, WARP), dtype=types.uint32)
    lane = np.int64(cuda.threadIdx.x) % WARP
    warp = np.int64(cuda.threadIdx.x) // WARP
    r = np.int64(cuda.blockIdx.x)
    first = offsets[r] - offsets[0]
    number = counts[r]
    size = min(np.int64(n), number)
    shingles_of_row = number - size + 1 if number > 0 else np.int64(0)
    for group in range(0, len(multipliers), WARP):
        multiplier = multipliers[group + lane] if group + lane < len(multipliers) else np.uint32(0)
        low, high = np.uint32(NOTHING), np.uint32(0)
        low_signed, high_signed = np.int32(2**31 - 1), np.int32(-(2**31))
        for begin in range(0, shingles_of_row, BLOCK):
            tile = begin + warp * WARP
            if tile < shingles_of_row:
                mine = min(tile + lane, shingles_of_row - 1)  # the last one again changes no extreme
                tiles[np.uint64(warp), np.uint64(lane)] = _low_half(units, first + mine, size, kind, weights)
            cuda.syncthreads()
            if tile < shingles_of_row and group + lane < len(multipliers):
                for k in range(WARP):
                    product = np.uint32(tiles[np.uint64(warp), np.uint64(k)] * multiplier)
                    signed = np.int32(product)
                    low = product if product < low else low
                    high = product if product > high else high
                    low_signed = signed if signed < low_signed else low_signed
                    high_signed = signed if signed > high_signed else high_signed
            cuda.syncthreads()
        least[0, warp, lane] = np.uint32(low ^ np.uint32(MASKS[0]))
        least[1, warp, lane] = np.uint32(high ^ np.uint32(MASKS[1]))
        least[2, warp, lane] = np.uint32(np.uint32(low_signed) ^ np.uint32(MASKS[2]))
        least[3, warp, lane] = np.uint32(np.uint32(high_signed) ^ np.uint32(MASKS[3]))
        cuda.syncthreads()
        if group + lane < len(multipliers):  # of the four extremes a warp each
            value = least[warp, 0, lane]
            for other in range(1, WARPS):
                value = min(value, least[warp, other, lane])
            result[r, warp * len(multipliers) + group + lane] = value
        cuda.syncthreads()


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
    result[r, band] = fmix64(total)


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
    result = device.xp.empty((rows, EXTREMES * len(multipliers)), np.uint32)
    tables = device.upload(weights), device.upload(multipliers)
    device.launch(
        signatures_of_units, BLOCK * rows, units, offsets, counts, kind, n, *tables, result, block=BLOCK
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
