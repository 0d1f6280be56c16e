"""Bytes in and out of raw buffers, with SIMD written as portable LLVM vector IR.

A *buffer* inside a kernel is the tuple (address: uint64, size: int64); `buffer_of` makes it from a
uint8 array, `(bases[c], sizes[c])` from a table of columns. All indices, lengths and bit masks are
int64: numba turns a sum of int64 and uint64 into float64. In checked mode every function here raises
IndexError when an access leaves [0, size).

A block function reads or writes exactly BLOCK bytes at `i`: the caller makes sure that i + BLOCK <= size
(kernels end with a bytewise tail, so inputs need no padding; outputs have layout.PADDING to spare).
"""

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from forge_gpu.kernels.compiled import CHECKED, kernel

BLOCK = 64
I1, I8, I32, I64 = ir.IntType(1), ir.IntType(8), ir.IntType(32), ir.IntType(64)
BLOCK_OF_BYTES = ir.VectorType(I8, BLOCK)


def _pointer(builder, base, index, kind):
    return builder.inttoptr(builder.add(base, index), kind.as_pointer())


def _splat(byte):
    return ir.Constant(BLOCK_OF_BYTES, [byte] * BLOCK)


def _load_block(builder, base, index):
    return builder.load(_pointer(builder, base, index, BLOCK_OF_BYTES), align=1)


@intrinsic
def buffer_of(typing_context, array):
    """(address, size) of a C-contiguous uint8 array; the array must outlive the buffer."""
    result = types.Tuple((types.uint64, types.int64))

    def generate(context, builder, signature, arguments):
        view = context.make_array(signature.args[0])(context, builder, arguments[0])
        return context.make_tuple(builder, result, (builder.ptrtoint(view.data, I64), view.nitems))

    return result(array), generate


@intrinsic
def _load_byte(typing_context, base, index):
    def generate(context, builder, signature, arguments):
        return builder.zext(builder.load(_pointer(builder, *arguments, I8)), I64)

    return types.int64(types.uint64, types.int64), generate


@intrinsic
def _store_byte(typing_context, base, index, value):
    def generate(context, builder, signature, arguments):
        builder.store(builder.trunc(arguments[2], I8), _pointer(builder, *arguments[:2], I8))
        return context.get_dummy_value()

    return types.void(types.uint64, types.int64, types.int64), generate


@intrinsic
def _load_word(typing_context, base, index):
    def generate(context, builder, signature, arguments):
        return builder.load(_pointer(builder, *arguments, I64), align=1)

    return types.uint64(types.uint64, types.int64), generate


@intrinsic
def _load_half(typing_context, base, index):
    def generate(context, builder, signature, arguments):
        return builder.zext(builder.load(_pointer(builder, *arguments, I32), align=1), I64)

    return types.uint64(types.uint64, types.int64), generate


@intrinsic
def _store_word(typing_context, base, index, value):
    def generate(context, builder, signature, arguments):
        builder.store(arguments[2], _pointer(builder, *arguments[:2], I64), align=1)
        return context.get_dummy_value()

    return types.void(types.uint64, types.int64, types.uint64), generate


@intrinsic
def _copy_bytes(typing_context, target, at, source, start, count):
    """LLVM's memcpy: the regions do not overlap."""

    def generate(context, builder, signature, arguments):
        target, at, source, start, count = arguments
        cgutils.raw_memcpy(
            builder, _pointer(builder, target, at, I8), _pointer(builder, source, start, I8), count, 1
        )
        return context.get_dummy_value()

    return types.void(types.uint64, types.int64, types.uint64, types.int64, types.int64), generate


@intrinsic
def prefetch(typing_context, base, index):
    """Ask for the cache line at base + index; any address is allowed, and nothing is read."""

    def generate(context, builder, signature, arguments):
        pointer = _pointer(builder, *arguments, I8)
        flags = [ir.Constant(I32, flag) for flag in (0, 3, 1)]  # to read, to be kept, data
        kind = ir.FunctionType(ir.VoidType(), [I8.as_pointer(), I32, I32, I32])
        function = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0")
        builder.call(function, [pointer, *flags])
        return context.get_dummy_value()

    return types.void(types.uint64, types.int64), generate


def _copy_vector(width):
    @intrinsic
    def copy(typing_context, target, at, source, start):
        def generate(context, builder, signature, arguments):
            target, at, source, start = arguments
            vector = ir.VectorType(I8, width)
            value = builder.load(_pointer(builder, source, start, vector), align=1)
            builder.store(value, _pointer(builder, target, at, vector), align=1)
            return context.get_dummy_value()

        return types.void(types.uint64, types.int64, types.uint64, types.int64), generate

    return copy


_copy64 = _copy_vector(64)


def _block_mask(condition):
    """An intrinsic (base, index) -> int64 whose bit k says whether byte index + k meets `condition`."""

    @intrinsic
    def mask(typing_context, base, index):
        def generate(context, builder, signature, arguments):
            block = _load_block(builder, *arguments)
            return builder.bitcast(condition(builder, block), I64)

        return types.int64(types.uint64, types.int64), generate

    return mask


def _is_json_special(builder, block):
    quote = builder.icmp_unsigned("==", block, _splat(ord('"')))
    backslash = builder.icmp_unsigned("==", block, _splat(ord("\\")))
    control = builder.icmp_unsigned("<", block, _splat(0x20))
    return builder.or_(builder.or_(quote, backslash), control)


_mask_json_special = _block_mask(_is_json_special)
_mask_backslash = _block_mask(lambda builder, block: builder.icmp_unsigned("==", block, _splat(ord("\\"))))
_mask_not_ascii = _block_mask(lambda builder, block: builder.icmp_signed("<", block, _splat(0)))
_mask_newline = _block_mask(lambda builder, block: builder.icmp_unsigned("==", block, _splat(ord("\n"))))


def _is_line_break(builder, block):
    newline = builder.icmp_unsigned("==", block, _splat(ord("\n")))
    return builder.or_(newline, builder.icmp_unsigned("==", block, _splat(ord("\r"))))


_mask_line_break = _block_mask(_is_line_break)


@intrinsic
def trailing_zeros(typing_context, mask):
    """Number of the lowest set bit of an int64; 64 when there is none."""

    def generate(context, builder, signature, arguments):
        return builder.cttz(arguments[0], ir.Constant(I1, 0))

    return types.int64(types.int64), generate


@kernel
def _check(buffer, i, count):
    if i < 0 or i + count > buffer[1]:
        raise IndexError("a kernel left its buffer")


@kernel
def byte(buffer, i):
    """Byte i, as int64 in 0..255."""
    if CHECKED:
        _check(buffer, i, 1)
    return _load_byte(buffer[0], i)


@kernel
def put_byte(buffer, i, value):
    if CHECKED:
        _check(buffer, i, 1)
    _store_byte(buffer[0], i, value)


@kernel
def word(buffer, i):
    """Eight bytes at i, little-endian, as uint64."""
    if CHECKED:
        _check(buffer, i, 8)
    return _load_word(buffer[0], i)


@kernel
def half(buffer, i):
    """Four bytes at i, little-endian, as uint64."""
    if CHECKED:
        _check(buffer, i, 4)
    return _load_half(buffer[0], i)


@kernel
def item64(buffer, i):
    """Item i of a buffer of int64."""
    return np.int64(word(buffer, 8 * i))


@kernel
def item32(buffer, i):
    """Item i of a buffer of int32, as int64."""
    return np.int64(np.int32(half(buffer, 4 * i)))


@kernel
def put_word(buffer, i, value):
    if CHECKED:
        _check(buffer, i, 8)
    _store_word(buffer[0], i, value)


@kernel
def mask_json_special(buffer, i):
    """Bit k: byte i+k is below 0x20, a quote or a backslash. Reads BLOCK bytes."""
    if CHECKED:
        _check(buffer, i, BLOCK)
    return _mask_json_special(buffer[0], i)


@kernel
def mask_backslash(buffer, i):
    """Bit k: byte i+k is a backslash. Reads BLOCK bytes."""
    if CHECKED:
        _check(buffer, i, BLOCK)
    return _mask_backslash(buffer[0], i)


@kernel
def mask_not_ascii(buffer, i):
    """Bit k: byte i+k is 0x80 or more. Reads BLOCK bytes."""
    if CHECKED:
        _check(buffer, i, BLOCK)
    return _mask_not_ascii(buffer[0], i)


@kernel
def mask_newline(buffer, i):
    r"""Bit k: byte i+k is \n. Reads BLOCK bytes."""
    if CHECKED:
        _check(buffer, i, BLOCK)
    return _mask_newline(buffer[0], i)


@kernel
def mask_line_break(buffer, i):
    r"""Bit k: byte i+k is \n or \r. Reads BLOCK bytes."""
    if CHECKED:
        _check(buffer, i, BLOCK)
    return _mask_line_break(buffer[0], i)


@kernel
def copy_block(target, at, source, start):
    """Copy BLOCK bytes."""
    if CHECKED:
        _check(target, at, BLOCK)
        _check(source, start, BLOCK)
    _copy64(target[0], at, source[0], start)


@kernel
def copy(target, at, source, start, count):
    """Copy `count` bytes; may write up to 63 bytes more (so outputs are written in order, with PADDING).

    Short copies go in whole blocks, ten times the speed of a byte loop, when the source can be read that
    far; long ones, and those at the end of the source, are memcpy. Bytes moved: 2 x count.
    """
    if CHECKED:
        _check(target, at, count)
        _check(source, start, count)
    if count > 4096 or start + count + BLOCK > source[1] or at + count + BLOCK > target[1]:
        _copy_bytes(target[0], at, source[0], start, count)
        return
    done = 0
    while done < count:
        _copy64(target[0], at + done, source[0], start + done)
        done += BLOCK


@kernel
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


def address(array: np.ndarray) -> np.uint64:
    """The address of an array's first byte, for tables of buffers; the array must outlive its use."""
    return np.uint64(array.ctypes.data)


def whole(array: np.ndarray) -> tuple[np.uint64, int]:
    """A C-contiguous array of any type as a buffer, for a kernel's argument; the array must outlive its use.

    Unlike an array, a buffer has one type to numba whether it may be written or not.
    """
    return address(array), array.nbytes


def buffer_at(array: np.ndarray) -> tuple[np.uint64, int]:
    """The buffer of a C-contiguous array of any dtype, from outside a kernel; the array must outlive it.

    One kernel then serves read-only and writable arrays alike, and counts no references in its loops.
    """
    return address(array), array.nbytes
