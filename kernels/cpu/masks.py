"""Several masks of one block of bytes at once, at the end of a buffer too.

Bit k of a mask says something of byte i + k. The block is BLOCK bytes where the buffer has that many
from `i` on; else only the bytes that are left are read, and the bits past them are 0. So a loop over a
buffer needs no padding and no bytewise tail. Requires i < size.
"""

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from forge_gpu.kernels.compiled import CHECKED, kernel
from forge_gpu.kernels.cpu.memory import (
    BLOCK,
    BLOCK_OF_BYTES,
    I8,
    I64,
    _check,
    _load_block,
    _pointer,
    _splat,
)


def _masks(*conditions):
    """An intrinsic (base, size, index) -> one int64 mask a condition (builder, block) -> <64 x i1>."""
    result = types.UniTuple(types.int64, len(conditions))

    @intrinsic
    def masks(typing_context, base, size, index):
        def generate(context, builder, signature, arguments):
            base, size, index = arguments
            edge = cgutils.alloca_once(builder, BLOCK_OF_BYTES)
            left = builder.sub(size, index)
            whole = builder.icmp_signed(">=", left, ir.Constant(I64, BLOCK))
            with builder.if_else(whole, likely=True) as (then, otherwise):
                with then:
                    inner = _load_block(builder, base, index)
                    inner_end = builder.block
                with otherwise:
                    builder.store(ir.Constant(BLOCK_OF_BYTES, [0] * BLOCK), edge)
                    bytes_of_edge = builder.bitcast(edge, I8.as_pointer())
                    cgutils.raw_memcpy(builder, bytes_of_edge, _pointer(builder, base, index, I8), left, 1)
                    last = builder.load(edge)
                    one = ir.Constant(I64, 1)
                    read = builder.sub(builder.shl(one, left), one)
                    last_end = builder.block
            block = builder.phi(BLOCK_OF_BYTES)
            block.add_incoming(inner, inner_end)
            block.add_incoming(last, last_end)
            inside = builder.phi(I64)
            inside.add_incoming(ir.Constant(I64, -1), inner_end)
            inside.add_incoming(read, last_end)
            found = [builder.bitcast(condition(builder, block), I64) for condition in conditions]
            return context.make_tuple(builder, result, [builder.and_(mask, inside) for mask in found])

        return result(types.uint64, types.int64, types.int64), generate

    return masks


def _is(byte):
    return lambda builder, block: builder.icmp_unsigned("==", block, _splat(byte))


def _is_either(one, other):
    return lambda builder, block: builder.or_(_is(one)(builder, block), _is(other)(builder, block))


def _below(byte):
    return lambda builder, block: builder.icmp_unsigned("<", block, _splat(byte))


def _from(byte):
    return lambda builder, block: builder.icmp_unsigned(">=", block, _splat(byte))


def _ends_clean_run(builder, block):
    return builder.or_(_is_either(ord('"'), ord("\\"))(builder, block), _below(0x20)(builder, block))


def _between(first, last):
    return lambda builder, block: builder.icmp_unsigned(
        "<=", builder.sub(block, _splat(first)), _splat(last - first)
    )


def _is_control(builder, block):
    """Below 0x20 but tab, line feed and carriage return; or 0x7F."""
    white = builder.or_(_is_either(ord("\t"), ord("\n"))(builder, block), _is(ord("\r"))(builder, block))
    below = builder.and_(_below(0x20)(builder, block), builder.not_(white))
    return builder.or_(below, _is(0x7F)(builder, block))


def _begins_image(builder, block):
    """The first bytes in UTF-8 of what 0x80-0xBF are in Windows-1252 and Latin-1: C2, C5, C6, CB, E2."""
    two = builder.or_(_is_either(0xC2, 0xC5)(builder, block), _is_either(0xC6, 0xCB)(builder, block))
    return builder.or_(two, _is(0xE2)(builder, block))


_string = _masks(_ends_clean_run, _from(0x80))
_structure = _masks(
    _is(ord("\\")),
    _is(ord('"')),
    _is_either(ord("["), ord("{")),
    _is_either(ord("]"), ord("}")),
    _is(ord(",")),
)
_ascii = _masks(_from(0x80), _is_control)
_text = _masks(
    _between(0x80, 0xBF),
    _between(0x80, 0x9F),
    _is(0xC2),
    _is(0xC3),
    _between(0x82, 0xB4),
    _is(0xEF),
    _is(0xBF),
    _is(0xBD),
    _begins_image,
)
_utf8_lead = _masks(_from(0x80), _from(0xC0), _from(0xE0), _from(0xF0))
_utf8_bounds = _masks(
    _is_either(0xC0, 0xC1),
    _from(0xF5),
    _is(0xE0),
    _is(0xED),
    _is(0xF0),
    _is(0xF4),
    _below(0x90),
    _below(0xA0),
)


@intrinsic
def count_ones(typing_context, mask):
    """Number of set bits of an int64."""

    def generate(context, builder, signature, arguments):
        return builder.ctpop(arguments[0])

    return types.int64(types.int64), generate


@kernel
def string_masks(buffer, i):
    """Masks of bytes that end a clean run (below 0x20, quote, backslash), and of bytes that are not ASCII."""
    if CHECKED:
        _check(buffer, i, 1)
    return _string(buffer[0], buffer[1], i)


@kernel
def structure_masks(buffer, i):
    """Masks of backslashes, quotes, opening brackets, closing brackets, commas."""
    if CHECKED:
        _check(buffer, i, 1)
    return _structure(buffer[0], buffer[1], i)


@kernel
def ascii_masks(buffer, i):
    """Masks of bytes that are not ASCII, and of ASCII control characters but tab, line feed, return."""
    if CHECKED:
        _check(buffer, i, 1)
    return _ascii(buffer[0], buffer[1], i)


@kernel
def text_masks(buffer, i):
    """Masks of bytes 80-BF, 80-9F, C2, C3, 82-B4, EF, BF, BD, and of what begins an image of mojibake."""
    if CHECKED:
        _check(buffer, i, 1)
    return _text(buffer[0], buffer[1], i)


@kernel
def utf8_lead_masks(buffer, i):
    """Masks of bytes from 0x80, from 0xC0, from 0xE0 and from 0xF0 on."""
    if CHECKED:
        _check(buffer, i, 1)
    return _utf8_lead(buffer[0], buffer[1], i)


@kernel
def utf8_bounds_masks(buffer, i):
    """Masks of bytes that are C0 or C1, from F5 on, E0, ED, F0, F4, below 0x90, below 0xA0."""
    if CHECKED:
        _check(buffer, i, 1)
    return _utf8_bounds(buffer[0], buffer[1], i)
