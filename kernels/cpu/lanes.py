"""Vectors of eight uint64 as a numba type, and the wide arithmetic of hashes, as portable LLVM IR.

A `lanes` value lives in vector registers, wherever the processor has them; LLVM splits it where they are
narrower. It can be a local variable and an argument, not an item of an array.
"""

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic, models, register_model

from forge_gpu.kernels.compiled import CHECKED, kernel
from forge_gpu.kernels.cpu.memory import BLOCK, _check

COUNT = 8
I64, I128 = ir.IntType(64), ir.IntType(128)
VECTOR = ir.VectorType(I64, COUNT)


class LanesType(types.Type):
    def __init__(self):
        super().__init__(name="Lanes(uint64, 8)")


lanes_type = LanesType()


@register_model(LanesType)
class _LanesModel(models.PrimitiveModel):
    def __init__(self, manager, kind):
        super().__init__(manager, kind, VECTOR)


def _splat(value):
    return ir.Constant(VECTOR, [value] * COUNT)


def _binary(operation):
    """An intrinsic (lanes, lanes) -> lanes from an IRBuilder method."""

    @intrinsic
    def apply(typing_context, left, right):
        def generate(context, builder, signature, arguments):
            return operation(builder, *arguments)

        return lanes_type(lanes_type, lanes_type), generate

    return apply


def _low_times_high(builder, left, right):
    low = builder.and_(left, _splat(0xFFFFFFFF))
    return builder.mul(low, builder.lshr(right, _splat(32)))


add = _binary(lambda builder, left, right: builder.add(left, right))
xor = _binary(lambda builder, left, right: builder.xor(left, right))
low_times_high = _binary(_low_times_high)  # low half of the left x high half of the right, 64 bits


@intrinsic
def _load(typing_context, base, index):
    def generate(context, builder, signature, arguments):
        pointer = builder.inttoptr(builder.add(*arguments), VECTOR.as_pointer())
        return builder.load(pointer, align=1)

    return lanes_type(types.uint64, types.int64), generate


@intrinsic
def swap_neighbours(typing_context, value):
    """Lanes 1 0 3 2 5 4 7 6."""

    def generate(context, builder, signature, arguments):
        order = ir.Constant(ir.VectorType(ir.IntType(32), COUNT), [k ^ 1 for k in range(COUNT)])
        return builder.shuffle_vector(arguments[0], arguments[0], order)

    return lanes_type(lanes_type), generate


@intrinsic
def xor_shifted(typing_context, value, count):
    """value ^ value >> count, in each lane; `count` is a uint64."""

    def generate(context, builder, signature, arguments):
        value, count = arguments
        shifts = ir.Constant(VECTOR, ir.Undefined)
        for k in range(COUNT):
            shifts = builder.insert_element(shifts, count, ir.Constant(ir.IntType(32), k))
        return builder.xor(value, builder.lshr(value, shifts))

    return lanes_type(lanes_type, types.uint64), generate


@intrinsic
def scale(typing_context, value, factor):
    """Each lane x a uint64, modulo 2^64."""

    def generate(context, builder, signature, arguments):
        value, factor = arguments
        factors = ir.Constant(VECTOR, ir.Undefined)
        for k in range(COUNT):
            factors = builder.insert_element(factors, factor, ir.Constant(ir.IntType(32), k))
        return builder.mul(value, factors)

    return lanes_type(lanes_type, types.uint64), generate


@intrinsic
def lane(typing_context, value, index):
    """Lane `index`, as uint64."""

    def generate(context, builder, signature, arguments):
        return builder.extract_element(*arguments)

    return types.uint64(lanes_type, types.int64), generate


@intrinsic
def wide_product(typing_context, left, right):
    """(low, high) halves of the 128-bit product of two uint64."""
    result = types.UniTuple(types.uint64, 2)

    def generate(context, builder, signature, arguments):
        product = builder.mul(*(builder.zext(argument, I128) for argument in arguments))
        high = builder.trunc(builder.lshr(product, ir.Constant(I128, 64)), I64)
        return context.make_tuple(builder, result, (builder.trunc(product, I64), high))

    return result(types.uint64, types.uint64), generate


@intrinsic
def swap_bytes(typing_context, value):
    """The bytes of a uint64 in reverse order."""

    def generate(context, builder, signature, arguments):
        return builder.bswap(arguments[0])

    return types.uint64(types.uint64), generate


@kernel
def load(buffer, i):
    """The 64 bytes at i as eight little-endian uint64."""
    if CHECKED:
        _check(buffer, i, BLOCK)
    return _load(buffer[0], i)


@kernel
def folded_product(left, right):
    """The halves of the 128-bit product, xored."""
    low, high = wide_product(left, right)
    return low ^ high


@kernel
def rotate_left(value, count):
    return value << np.uint64(count) | value >> np.uint64(64 - count)
