"""Buffers by their address, as the CPU's kernels have them (`cpu/memory.py`), for kernels that are both's.

A buffer is the tuple (address: uint64, size: int64). A device loads and stores words only at addresses that
they divide: an item of an array lies so, other words are put together from two. In the simulator every access
is compared with the arrays that the kernel was given (`buffer_of`).
"""

import ctypes
from bisect import bisect
from threading import RLock
from weakref import finalize

import numpy as np
from numba import config

from forge_gpu.kernels.cuda.device import OVER_READ, function

if config.ENABLE_CUDASIM:
    _ENDS: dict[int, int] = {}
    """Of the arrays that kernels were given: address -> the end of what may be read."""
    _SORTED: list[tuple[list[int], list[int]]] = [([], [])]
    """The same, by address. Threads of a block look while others note an array: both lists are made anew."""
    _LOCK = RLock()

    def buffer_of(array):
        array = array._ary if hasattr(array, "_ary") else array
        address = array.ctypes.data
        end = address + array.nbytes + OVER_READ
        if _ENDS.get(address) != end:
            with _LOCK:
                if address not in _ENDS:
                    finalize(array, _forget, address)
                _ENDS[address] = end
                _sort()
        return np.uint64(address), np.int64(array.nbytes)

    def _forget(address):
        with _LOCK:
            del _ENDS[address]
            _sort()

    def _sort():
        addresses = sorted(_ENDS)
        _SORTED[0] = addresses, [_ENDS[address] for address in addresses]

    def _checked(address, count):
        addresses, ends = _SORTED[0]
        at = bisect(addresses, address)
        if at == 0 or address + count > ends[at - 1]:
            raise IndexError("a kernel left its buffers")
        if address % count:
            raise IndexError(f"{count} bytes at {address} are not aligned")
        return address

    def _reader(kind, scale, result):
        size = ctypes.sizeof(kind)

        def read(buffer, i):
            return result(kind.from_address(_checked(int(buffer[0]) + scale * int(i), size)).value)

        return read

    def _writer(kind, scale):
        size = ctypes.sizeof(kind)

        def write(buffer, i, value):
            kind.from_address(_checked(int(buffer[0]) + scale * int(i), size)).value = int(value)

        return write

    def apart(made):
        return made

    def trailing_zeros(mask):
        return np.int64((int(mask) & -int(mask)).bit_length() - 1) if mask else np.int64(64)

    byte = _reader(ctypes.c_uint8, 1, np.int64)
    item32 = _reader(ctypes.c_int32, 4, np.int64)
    item64 = _reader(ctypes.c_int64, 8, np.int64)
    aligned_word = _reader(ctypes.c_uint64, 1, np.uint64)
    put_byte = _writer(ctypes.c_uint8, 1)
    put_item64 = _writer(ctypes.c_int64, 8)
    put_aligned_word = _writer(ctypes.c_uint64, 1)
else:
    from llvmlite import ir
    from numba import types
    from numba.cuda.extending import intrinsic

    BUFFER = types.Tuple((types.uint64, types.int64))
    I8, I32, I64 = ir.IntType(8), ir.IntType(32), ir.IntType(64)

    @intrinsic
    def _stay_apart(typing_context):
        def generate(context, builder, signature, arguments):
            builder.function.attributes.add("noinline")
            return context.get_dummy_value()

        return types.void(), generate

    def apart(made):
        """A device function that is called, and not made part of its callers."""

        def called(*arguments):
            _stay_apart()
            return made(*arguments)

        return function(called)

    @intrinsic
    def buffer_of(typing_context, array):
        """The buffer of a C-contiguous array."""

        def generate(context, builder, signature, arguments):
            view = context.make_array(signature.args[0])(context, builder, arguments[0])
            size = builder.mul(view.nitems, view.itemsize)
            return context.make_tuple(builder, BUFFER, (builder.ptrtoint(view.data, I64), size))

        return BUFFER(array), generate

    @intrinsic
    def trailing_zeros(typing_context, mask):
        """Number of the lowest set bit of an int64; 64 when there is none."""

        def generate(context, builder, signature, arguments):
            return builder.cttz(arguments[0], ir.Constant(ir.IntType(1), 0))

        return types.int64(types.int64), generate

    def _pointer(builder, buffer, i, kind, scale):
        place = builder.mul(i, ir.Constant(I64, scale))
        return builder.inttoptr(builder.add(builder.extract_value(buffer, 0), place), kind.as_pointer())

    def _reader(kind, scale, result=types.int64):
        """An intrinsic (buffer, i) that reads an item of LLVM type `kind`, which begins `scale` * i bytes
        after the buffer's address."""
        size = kind.width // 8

        @intrinsic
        def read(typing_context, buffer, i):
            def generate(context, builder, signature, arguments):
                value = builder.load(_pointer(builder, *arguments, kind, scale), align=size)
                if kind is I64:
                    return value
                return builder.zext(value, I64) if kind is I8 else builder.sext(value, I64)

            return result(BUFFER, types.int64), generate

        return read

    def _writer(kind, scale, value_type=types.int64):
        size = kind.width // 8

        @intrinsic
        def write(typing_context, buffer, i, value):
            def generate(context, builder, signature, arguments):
                buffer, i, value = arguments
                target = _pointer(builder, buffer, i, kind, scale)
                builder.store(value if kind is I64 else builder.trunc(value, kind), target, align=size)
                return context.get_dummy_value()

            return types.void(BUFFER, types.int64, value_type), generate

        return write

    byte = _reader(I8, 1)
    item32 = _reader(I32, 4)
    item64 = _reader(I64, 8)
    aligned_word = _reader(I64, 1, types.uint64)
    put_byte = _writer(I8, 1)
    put_item64 = _writer(I64, 8)
    put_aligned_word = _writer(I64, 1, types.uint64)
