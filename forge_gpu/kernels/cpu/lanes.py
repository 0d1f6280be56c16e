"""Vectors of eight uint64 as a numba type, and the wide arithmetic of hashes, as portable LLVM IR.

A `lanes` value lives in vector registers, wherever the processor has them; LLVM splits it where they are
narrower. It can be a local variable and an argument, not an item of an array.
"""

from forge_gpu.kernels.cpu.memory import BLOCK, BUFFER, int64_of, place
from forge_gpu.kernels.lowering import intrinsic, ir, models, register_model, types

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
def load(typing_context, buffer, i):
    """The 64 bytes at i as eight little-endian uint64."""

    def generate(context, builder, signature, arguments):
        return builder.load(place(context, builder, *arguments, int64_of(BLOCK), VECTOR), align=1)

    return lanes_type(BUFFER, types.int64), generate


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


def _halves(builder, left, right):
    """(low, high) of the 128-bit product of two values of 64 bits."""
    product = builder.mul(builder.zext(left, I128), builder.zext(right, I128))
    high = builder.trunc(builder.lshr(product, ir.Constant(I128, 64)), I64)
    return builder.trunc(product, I64), high


@intrinsic
def wide_product(typing_context, left, right):
    """(low, high) halves of the 128-bit product of two uint64."""
    result = types.UniTuple(types.uint64, 2)

    def generate(context, builder, signature, arguments):
        return context.make_tuple(builder, result, _halves(builder, *arguments))

    return result(types.uint64, types.uint64), generate


@intrinsic
def folded_product(typing_context, left, right):
    """The halves of the 128-bit product of two uint64, xored."""

    def generate(context, builder, signature, arguments):
        return builder.xor(*_halves(builder, *arguments))

    return types.uint64(types.uint64, types.uint64), generate


@intrinsic
def rotate_left(typing_context, value, count):
    """A uint64 rotated by 1 to 63 bits."""

    def generate(context, builder, signature, arguments):
        value, count = arguments
        right = builder.lshr(value, builder.sub(int64_of(64), count))
        return builder.or_(builder.shl(value, count), right)

    return types.uint64(types.uint64, types.uint64), generate


@intrinsic
def swap_bytes(typing_context, value):
    """The bytes of a uint64 in reverse order."""

    def generate(context, builder, signature, arguments):
        return builder.bswap(arguments[0])

    return types.uint64(types.uint64), generate
