"""MinHash with SIMD: see kernels.reference.minhash for what a signature and a band hash are.

A row's signature lives in vector registers while a tile of shingle hashes streams past: a multiplication and
a minimum for 16 permutations at a time. Nothing is kept of a row but its band hashes.
"""

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from forge_gpu.kernels.compiled import inner, kernel
from forge_gpu.kernels.cpu.memory import buffer_of
from forge_gpu.kernels.cpu.shingles import (
    I32,
    I64,
    LANES,
    VECTOR,
    begin,
    broadcast,
    fmix64,
    new_scratch,
    next_tile,
    vector_pointer,
)
from forge_gpu.kernels.reference.minhash import BAND_WEIGHTS, NOTHING

VECTORS = 4
GROUP = VECTORS * LANES
"""Permutations that are worked on together, in registers: their number is rounded up to this."""

_NOTHING = np.uint32(NOTHING)
_BAND_WEIGHT = BAND_WEIGHTS[-1]


@intrinsic
def _minimise(typing_context, hashes, count, multipliers, signature):
    """signature[j] = min(signature[j], hashes[i]·multipliers[j]) for i < count and j < GROUP; addresses."""

    def generate(context, builder, _, arguments):
        hashes, count, multipliers, signature = arguments

        def pointers(base):
            return [
                vector_pointer(builder, base, ir.Constant(I64, v * LANES), VECTOR) for v in range(VECTORS)
            ]

        factors = [builder.load(pointer, align=4) for pointer in pointers(multipliers)]
        least = [cgutils.alloca_once(builder, VECTOR) for _ in range(VECTORS)]
        for slot, pointer in zip(least, pointers(signature), strict=True):
            builder.store(builder.load(pointer, align=4), slot)
        with cgutils.for_range(builder, count) as loop:
            value = broadcast(builder, builder.load(vector_pointer(builder, hashes, loop.index, I32)))
            for factor, slot in zip(factors, least, strict=True):
                product, before = builder.mul(value, factor), builder.load(slot)
                less = builder.icmp_unsigned("<", product, before)
                builder.store(builder.select(less, product, before), slot)
        for slot, pointer in zip(least, pointers(signature), strict=True):
            builder.store(builder.load(slot), pointer, align=4)
        return context.get_dummy_value()

    return types.void(types.uint64, types.int64, types.uint64, types.uint64), generate


@inner
def _padded(multipliers):
    """The multipliers with zeros up to a whole number of groups."""
    padded = np.zeros((len(multipliers) + GROUP - 1) // GROUP * GROUP, np.uint32)
    padded[: len(multipliers)] = multipliers
    return padded


@inner
def _signature(buffer, start, end, kind, n, fold, padded, scratch, signature):
    """The signature of the row at bytes [start, end)."""
    signature[:] = _NOTHING
    begin(scratch, start)
    hashes = buffer_of(scratch[3])[0]
    while True:
        count = next_tile(buffer, end, kind, n, fold, False, scratch)
        if count == 0:
            break
        for group in range(0, len(padded), GROUP):
            at = np.uint64(4 * group)
            _minimise(hashes, count, buffer_of(padded)[0] + at, buffer_of(signature)[0] + at)


@kernel
def signatures(data, offsets, kind, n, fold, multipliers):
    """See kernels.reference.minhash.signatures."""
    buffer, padded, scratch = buffer_of(data), _padded(multipliers), new_scratch()
    signature = np.empty(len(padded), np.uint32)
    found = np.empty((len(offsets) - 1, len(multipliers)), np.uint32)
    for row in range(len(found)):
        _signature(buffer, offsets[row], offsets[row + 1], kind, n, fold, padded, scratch, signature)
        found[row] = signature[: len(multipliers)]
    return found


@kernel
def band_hashes(data, offsets, kind, n, fold, multipliers, bands, rows):
    """See kernels.reference.minhash.band_hashes. Reads the text once, writes 8·bands bytes a row."""
    buffer, padded, scratch = buffer_of(data), _padded(multipliers), new_scratch()
    signature = np.empty(len(padded), np.uint32)
    found = np.empty((len(offsets) - 1, bands), np.uint64)
    for row in range(len(found)):
        _signature(buffer, offsets[row], offsets[row + 1], kind, n, fold, padded, scratch, signature)
        for band in range(bands):
            total = np.uint64(band) * _BAND_WEIGHT
            for i in range(rows):
                total += np.uint64(signature[band * rows + i]) * BAND_WEIGHTS[i]
            found[row, band] = fmix64(total)
    return found
