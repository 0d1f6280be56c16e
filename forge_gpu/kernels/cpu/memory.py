"""Bytes in and out of raw buffers, with SIMD written as portable LLVM vector IR.

A *buffer* inside a kernel is the tuple (address: uint64, size: int64); `buffer_of` makes it from a
uint8 array, `(bases[c], sizes[c])` from a table of columns. All indices, lengths and bit masks are
int64: numba turns a sum of int64 and uint64 into float64. In checked mode every function here raises
IndexError when an access leaves [0, size).

What is one instruction is an intrinsic and not a kernel: kernels that call it compile several times faster.

A block function reads or writes exactly BLOCK bytes at `i`: the caller makes sure that i + BLOCK <= size
(kernels end with a bytewise tail, so inputs need no padding; outputs have layout.PADDING to spare).
"""

import sys
from ctypes import c_size_t

import numpy as np

from forge_gpu.kernels.cache import CHECKED
from forge_gpu.kernels.compiled import inner
from forge_gpu.kernels.lowering import cgutils, intrinsic, ir, types
from forge_gpu.kernels.token_layout import TRAINED_END

BLOCK = 64
I1, I8, I32, I64 = ir.IntType(1), ir.IntType(8), ir.IntType(32), ir.IntType(64)
BLOCK_OF_BYTES = ir.VectorType(I8, BLOCK)
BUFFER = types.Tuple((types.uint64, types.int64))


def int64_of(value):
    return ir.Constant(I64, value)


def splat(byte):
    return ir.Constant(BLOCK_OF_BYTES, [byte] * BLOCK)


def pointer(builder, base, index, kind):
    """A pointer to the item of LLVM type `kind` at byte `index` after the address `base`."""
    return builder.inttoptr(builder.add(base, index), kind.as_pointer())


def parts_of(builder, buffer):
    """(address, size) of a buffer argument of an intrinsic."""
    return builder.extract_value(buffer, 0), builder.extract_value(buffer, 1)


def place(context, builder, buffer, index, count, kind):
    """A pointer to `index` of a buffer argument; in checked mode first for its `count` bytes to be inside."""
    base, size = parts_of(builder, buffer)
    if CHECKED:
        before = builder.icmp_signed("<", index, int64_of(0))
        after = builder.icmp_signed(">", builder.add(index, count), size)
        with cgutils.if_unlikely(builder, builder.or_(before, after)):
            context.call_conv.return_user_exc(builder, IndexError, ("a kernel left its buffer",))
    return pointer(builder, base, index, kind)


@intrinsic
def buffer_of(typing_context, array):
    """(address, size) of a C-contiguous uint8 array; the array must outlive the buffer."""

    def generate(context, builder, signature, arguments):
        view = context.make_array(signature.args[0])(context, builder, arguments[0])
        return context.make_tuple(builder, BUFFER, (builder.ptrtoint(view.data, I64), view.nitems))

    return BUFFER(array), generate


def _reader(kind, result, convert=lambda builder, value: value):
    """An intrinsic (buffer, i) that reads an item of LLVM type `kind` at byte i."""

    @intrinsic
    def read(typing_context, buffer, i):
        def generate(context, builder, signature, arguments):
            size = int64_of(kind.width // 8)
            return convert(builder, builder.load(place(context, builder, *arguments, size, kind), align=1))

        return result(BUFFER, types.int64), generate

    return read


def _writer(kind, value_type):
    """An intrinsic (buffer, i, value) that writes the low bytes of `value` as an item of LLVM type `kind`."""

    @intrinsic
    def write(typing_context, buffer, i, value):
        def generate(context, builder, signature, arguments):
            buffer, i, value = arguments
            target = place(context, builder, buffer, i, int64_of(kind.width // 8), kind)
            builder.store(value if kind == I64 else builder.trunc(value, kind), target, align=1)
            return context.get_dummy_value()

        return types.void(BUFFER, types.int64, value_type), generate

    return write


def _item_reader(kind, convert=lambda builder, value: value):
    """An intrinsic (buffer, i) that reads item i of a buffer of items of LLVM type `kind`."""

    @intrinsic
    def read(typing_context, buffer, i):
        def generate(context, builder, signature, arguments):
            buffer, i = arguments
            size = int64_of(kind.width // 8)
            item = place(context, builder, buffer, builder.mul(i, size), size, kind)
            return convert(builder, builder.load(item, align=1))

        return types.int64(BUFFER, types.int64), generate

    return read


def _zero_extended(builder, value):
    return builder.zext(value, I64)


def _item_writer(kind):
    """An intrinsic (buffer, i, value) that writes item i of a buffer of items of LLVM type `kind`."""

    @intrinsic
    def write(typing_context, buffer, i, value):
        def generate(context, builder, signature, arguments):
            buffer, i, value = arguments
            size = int64_of(kind.width // 8)
            item = place(context, builder, buffer, builder.mul(i, size), size, kind)
            builder.store(value, item, align=1)
            return context.get_dummy_value()

        return types.void(BUFFER, types.int64, types.int64), generate

    return write


byte = _reader(I8, types.int64, _zero_extended)  # byte i, as int64 in 0..255
half = _reader(I32, types.uint64, _zero_extended)  # four bytes at i, little-endian, as uint64
word = _reader(I64, types.uint64)  # eight bytes at i, little-endian, as uint64
item32 = _item_reader(I32, lambda builder, value: builder.sext(value, I64))  # item i of a buffer of int32
item64 = _item_reader(I64)  # item i of a buffer of int64
put_item64 = _item_writer(I64)
put_byte = _writer(I8, types.int64)
put_half = _writer(I32, types.uint64)
put_word = _writer(I64, types.uint64)


@intrinsic
def check(typing_context, buffer, i, count):
    """In checked mode: raise IndexError where the `count` bytes at i are not all in the buffer."""

    def generate(context, builder, signature, arguments):
        place(context, builder, *arguments, I8)
        return context.get_dummy_value()

    return types.void(BUFFER, types.int64, types.int64), generate


_check = check


@intrinsic
def _copy_bytes(typing_context, target, at, source, start, count):
    """LLVM's memcpy: the regions do not overlap, and nothing outside them is touched."""

    def generate(context, builder, signature, arguments):
        target, at, source, start, count = arguments
        to = place(context, builder, target, at, count, I8)
        cgutils.raw_memcpy(builder, to, place(context, builder, source, start, count, I8), count, 1)
        return context.get_dummy_value()

    return types.void(BUFFER, types.int64, BUFFER, types.int64, types.int64), generate


@intrinsic
def copy_block(typing_context, target, at, source, start):
    """Copy BLOCK bytes."""

    def generate(context, builder, signature, arguments):
        target, at, source, start = arguments
        size = int64_of(BLOCK)
        to = place(context, builder, target, at, size, BLOCK_OF_BYTES)
        block = builder.load(place(context, builder, source, start, size, BLOCK_OF_BYTES), align=1)
        builder.store(block, to, align=1)
        return context.get_dummy_value()

    return types.void(BUFFER, types.int64, BUFFER, types.int64), generate


@intrinsic
def prefetch(typing_context, base, index):
    """Ask for the cache line at base + index; any address is allowed, and nothing is read."""

    def generate(context, builder, signature, arguments):
        flags = [ir.Constant(I32, flag) for flag in (0, 3, 1)]  # to read, to be kept, data
        kind = ir.FunctionType(ir.VoidType(), [I8.as_pointer(), I32, I32, I32])
        function = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0")
        builder.call(function, [pointer(builder, *arguments, I8), *flags])
        return context.get_dummy_value()

    return types.void(types.uint64, types.int64), generate


def _block_mask(condition):
    """An intrinsic (buffer, i) -> int64 whose bit k says whether byte i + k meets `condition`."""

    @intrinsic
    def mask(typing_context, buffer, i):
        def generate(context, builder, signature, arguments):
            source = place(context, builder, *arguments, int64_of(BLOCK), BLOCK_OF_BYTES)
            return builder.bitcast(condition(builder, builder.load(source, align=1)), I64)

        return types.int64(BUFFER, types.int64), generate

    return mask


def _is(byte):
    return lambda builder, block: builder.icmp_unsigned("==", block, splat(byte))


def _is_json_special(builder, block):
    either = builder.or_(_is(ord('"'))(builder, block), _is(ord("\\"))(builder, block))
    return builder.or_(either, builder.icmp_unsigned("<", block, splat(0x20)))


def _is_line_break(builder, block):
    return builder.or_(_is(ord("\n"))(builder, block), _is(ord("\r"))(builder, block))


mask_json_special = _block_mask(_is_json_special)  # a byte below 0x20, a quote or a backslash
mask_backslash = _block_mask(_is(ord("\\")))
mask_newline = _block_mask(_is(ord("\n")))
mask_not_ascii = _block_mask(lambda builder, block: builder.icmp_signed("<", block, splat(0)))
mask_line_break = _block_mask(_is_line_break)  # \n or \r
mask_mark = _block_mask(
    lambda builder, block: builder.icmp_unsigned(">=", block, splat(TRAINED_END))
)  # a mark of token_layout


@intrinsic
def mask_equal(typing_context, buffer, i, value):
    """int64 whose bit k says whether byte i + k is `value`, an int64 in 0..255."""

    def generate(context, builder, signature, arguments):
        buffer, i, value = arguments
        source = place(context, builder, buffer, i, int64_of(BLOCK), BLOCK_OF_BYTES)
        first = builder.insert_element(
            ir.Constant(BLOCK_OF_BYTES, ir.Undefined), builder.trunc(value, I8), ir.Constant(I32, 0)
        )
        lanes = ir.Constant(ir.VectorType(I32, BLOCK), [0] * BLOCK)
        values = builder.shuffle_vector(first, ir.Constant(BLOCK_OF_BYTES, ir.Undefined), lanes)
        return builder.bitcast(builder.icmp_unsigned("==", builder.load(source, align=1), values), I64)

    return types.int64(BUFFER, types.int64, types.int64), generate


@intrinsic
def mask_difference(typing_context, buffer, i, j):
    """int64 whose bit k says whether the bytes i + k and j + k differ."""

    def generate(context, builder, signature, arguments):
        buffer, i, j = arguments
        left, right = (
            builder.load(place(context, builder, buffer, at, int64_of(BLOCK), BLOCK_OF_BYTES), align=1)
            for at in (i, j)
        )
        return builder.bitcast(builder.icmp_unsigned("!=", left, right), I64)

    return types.int64(BUFFER, types.int64, types.int64), generate


@intrinsic
def trailing_zeros(typing_context, mask):
    """Number of the lowest set bit of an int64; 64 when there is none."""

    def generate(context, builder, signature, arguments):
        return builder.cttz(arguments[0], ir.Constant(I1, 0))

    return types.int64(types.int64), generate


copy_exactly = _copy_bytes


@inner
def copy(target, at, source, start, count):
    """Copy `count` bytes; may write up to 63 bytes more (so outputs are written in order, with PADDING).

    Short copies go in whole blocks, ten times the speed of a byte loop, when the source can be read that
    far; long ones, and those at the end of the source, are memcpy. Bytes moved: 2 x count.
    """
    if count > 4096 or start + count + BLOCK > source[1] or at + count + BLOCK > target[1]:
        _copy_bytes(target, at, source, start, count)
        return
    done = 0
    while done < count:
        copy_block(target, at + done, source, start + done)
        done += BLOCK


@inner
def find_newline(buffer, start, end):
    r"""Index of the first \n in [start, end), or `end`."""
    i = start
    while i + BLOCK <= buffer[1] and i < end:
        mask = mask_newline(buffer, i)
        if mask != 0:
            return min(i + trailing_zeros(mask), end)
        i += BLOCK
    while i < end:
        if byte(buffer, i) == 10:
            return i
        i += 1
    return end


_word_at, _HEAD = c_size_t.from_address, object.__basicsize__


def _address_in_object(array: np.ndarray) -> int:
    """What `array.ctypes.data` says, in a third of its time: in numpy's C interface the pointer is the first
    field of an array, after CPython's head of every object."""
    return _word_at(id(array) + _HEAD).value


def _asked_address(array: np.ndarray) -> int:
    return array.ctypes.data


def _can_look_inside() -> bool:
    probe = np.zeros(3, np.uint8)[1:]
    plain = sys.implementation.name == "cpython" and not hasattr(sys, "getobjects")  # no longer heads
    return plain and _address_in_object(probe) == probe.ctypes.data


address = _address_in_object if _can_look_inside() else _asked_address
"""The address of an array's first byte, for tables of buffers; the array must outlive its use."""


def whole(array: np.ndarray) -> tuple[np.uint64, int]:
    """The buffer of a C-contiguous array of any dtype, from outside a kernel; the array must outlive it.

    Unlike an array it has one type to numba whether it may be written or not, so one kernel serves both,
    and a kernel counts no references to it.
    """
    return np.uint64(address(array)), array.nbytes
