"""MinHash with SIMD: see kernels.reference.minhash for what a signature and a band hash are.

A row's signature lives in vector registers while a tile of shingle hashes streams past. Of each shingle 32
products are made, 16 at a time, and each goes into four extremes, the values of its four permutations: ten
vector instructions, of 16 lanes, for 128 permutations. Nothing is kept of a row but its band hashes.
"""

import numpy as np

from forge_gpu.kernels.compiled import inner, kernel
from forge_gpu.kernels.cpu.memory import half, item64, put_half, put_word, whole
from forge_gpu.kernels.cpu.points import I32, I64, LANES, VECTOR, vector_pointer
from forge_gpu.kernels.cpu.shingles import LOW, begin, broadcast, fmix64, new_scratch, next_tile
from forge_gpu.kernels.layout import I64 as Int64s
from forge_gpu.kernels.layout import U8, U64
from forge_gpu.kernels.lowering import cgutils, intrinsic, ir, types
from forge_gpu.kernels.reference.minhash import BAND_WEIGHTS, MASKS, NOTHING
from forge_gpu.kernels.reference.shingles import U32

VECTORS = 1
GROUP = VECTORS * LANES
"""Multipliers worked on together, their extremes in registers: their number is rounded up to this. With two
vectors AVX2 has too few registers, which takes nearly twice as long; AVX-512 does as well with one."""

# Least and greatest, unsigned and signed: in the order of MASKS.
_EXTREMES = (("icmp_unsigned", "<"), ("icmp_unsigned", ">"), ("icmp_signed", "<"), ("icmp_signed", ">"))
_EACH = len(MASKS)
_MASKS = np.array(MASKS, np.uint64)
_NOTHING = np.uint64(NOTHING)
_BAND_WEIGHT = BAND_WEIGHTS[-1]


@intrinsic
def _extend(typing_context, hashes, count, multipliers, extremes, stride):
    """Take in hashes[:count] for GROUP multipliers: extremes[f·stride + k] becomes extreme f of itself and of
    the products with multipliers[k]. `stride` is in items, all other arguments are addresses."""

    def generate(context, builder, _, arguments):
        hashes, count, multipliers, extremes, stride = arguments

        def pointers(base, first):
            places = (builder.add(first, ir.Constant(I64, v * LANES)) for v in range(VECTORS))
            return [vector_pointer(builder, base, place, VECTOR) for place in places]

        factors = [builder.load(at, align=4) for at in pointers(multipliers, ir.Constant(I64, 0))]
        retained = []
        for f in range(_EACH):
            for at in pointers(extremes, builder.mul(stride, ir.Constant(I64, f))):
                retained.append((at, cgutils.alloca_once(builder, VECTOR)))
                builder.store(builder.load(at, align=4), retained[-1][1])
        with cgutils.for_range(builder, count) as loop:
            value = broadcast(builder, builder.load(vector_pointer(builder, hashes, loop.index, I32)))
            products = [builder.mul(value, factor) for factor in factors]
            for f, (compare, sign) in enumerate(_EXTREMES):
                for v, product in enumerate(products):
                    slot = retained[f * VECTORS + v][1]
                    before = builder.load(slot)
                    further = getattr(builder, compare)(sign, product, before)
                    builder.store(builder.select(further, product, before), slot)
        for at, slot in retained:
            builder.store(builder.load(slot), at, align=4)
        return context.get_dummy_value()

    arguments = (types.uint64, types.int64, types.uint64, types.uint64, types.int64)
    return types.void(*arguments), generate


@inner
def _signature(data, start, end, kind, n, fold, multipliers, count, scratch, extremes, signature, at):
    """Items of `signature` from `at` on become that of the row at bytes [start, end). `multipliers` holds
    `count` of them and zeros up to a whole number of groups; `extremes` has room for _EACH of each."""
    stride = multipliers[1] >> 2
    for f in range(_EACH):
        for k in range(stride):
            put_half(extremes, 4 * (f * stride + k), _NOTHING ^ _MASKS[f])
    begin(scratch, start)
    while True:
        shingles = next_tile(data, end, kind, n, fold, False, scratch)
        if shingles == 0:
            break
        for group in range(0, stride, GROUP):
            offset = np.uint64(4 * group)
            hashes = scratch[0] + np.uint64(LOW)
            _extend(hashes, shingles, multipliers[0] + offset, extremes[0] + offset, stride)
    for f in range(_EACH):
        for k in range(count):
            value = half(extremes, 4 * (f * stride + k)) ^ _MASKS[f]
            put_half(signature, 4 * (at + f * count + k), value)


@kernel
def _signatures(data, offsets, kind, n, fold, multipliers, count, scratch, extremes, result):
    for row in range((offsets[1] >> 3) - 1):
        start, end = item64(offsets, row), item64(offsets, row + 1)
        at = row * _EACH * count
        _signature(data, start, end, kind, n, fold, multipliers, count, scratch, extremes, result, at)


@kernel
def _band_hashes(
    data, offsets, kind, n, fold, multipliers, count, scratch, extremes, signature, bands, rows, result
):
    for row in range((offsets[1] >> 3) - 1):
        start, end = item64(offsets, row), item64(offsets, row + 1)
        _signature(data, start, end, kind, n, fold, multipliers, count, scratch, extremes, signature, 0)
        for band in range(bands):
            total = np.uint64(band) * _BAND_WEIGHT
            for i in range(rows):
                total += half(signature, 4 * (band * rows + i)) * BAND_WEIGHTS[i]
            put_word(result, 8 * (row * bands + band), fmix64(total))


def _padded(multipliers: U32) -> U32:
    """The multipliers with zeros up to a whole number of groups."""
    padded = np.zeros(-(-len(multipliers) // GROUP) * GROUP, np.uint32)
    padded[: len(multipliers)] = multipliers
    return padded


def signatures(data: U8, offsets: Int64s, kind: int, n: int, fold: U32, multipliers: U32) -> U32:
    """See kernels.reference.minhash.signatures."""
    data, offsets = np.ascontiguousarray(data, np.uint8), np.ascontiguousarray(offsets, np.int64)
    fold, padded, scratch = np.ascontiguousarray(fold, np.uint32), _padded(multipliers), new_scratch()
    extremes = np.empty(_EACH * len(padded), np.uint32)
    result = np.empty((len(offsets) - 1, _EACH * len(multipliers)), np.uint32)
    inputs = whole(data), whole(offsets), kind, n, whole(fold), whole(padded), len(multipliers)
    _signatures(*inputs, whole(scratch), whole(extremes), whole(result))
    return result


def band_hashes(
    data: U8, offsets: Int64s, kind: int, n: int, fold: U32, multipliers: U32, bands: int, rows: int
) -> U64:
    """See kernels.reference.minhash.band_hashes. Reads the text once, writes 8·bands bytes a row."""
    data, offsets = np.ascontiguousarray(data, np.uint8), np.ascontiguousarray(offsets, np.int64)
    fold, padded, scratch = np.ascontiguousarray(fold, np.uint32), _padded(multipliers), new_scratch()
    extremes = np.empty(_EACH * len(padded), np.uint32)
    signature = np.empty(_EACH * len(multipliers), np.uint32)
    result = np.empty((len(offsets) - 1, bands), np.uint64)
    inputs = whole(data), whole(offsets), kind, n, whole(fold), whole(padded), len(multipliers)
    _band_hashes(*inputs, whole(scratch), whole(extremes), whole(signature), bands, rows, whole(result))
    return result
