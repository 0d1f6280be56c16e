"""Several masks of one block of bytes at once, at the end of a buffer too.

Bit k of a mask says something of byte i + k. The block is BLOCK bytes where the buffer has that many
from `i` on; else only the bytes that are left are read, and the bits past them are 0. So a loop over a
buffer needs no padding and no bytewise tail. Requires i < size.
"""

from forge_gpu.kernels.cpu.memory import (
    BLOCK,
    BLOCK_OF_BYTES,
    BUFFER,
    I8,
    I64,
    int64_of,
    parts_of,
    place,
    splat,
)
from forge_gpu.kernels.lowering import cgutils, intrinsic, types


def _masks(*conditions):
    """An intrinsic (buffer, i) -> one int64 mask a condition (builder, block) -> <64 x i1>."""
    result = types.UniTuple(types.int64, len(conditions))

    @intrinsic
    def masks(typing_context, buffer, i):
        def generate(context, builder, signature, arguments):
            buffer, index = arguments
            source = place(context, builder, buffer, index, int64_of(1), BLOCK_OF_BYTES)
            edge = cgutils.alloca_once(builder, BLOCK_OF_BYTES)
            left = builder.sub(parts_of(builder, buffer)[1], index)
            whole = builder.icmp_signed(">=", left, int64_of(BLOCK))
            with builder.if_else(whole, likely=True) as (then, otherwise):
                with then:
                    inside_block = builder.load(source, align=1)
                    inside_end = builder.block
                with otherwise:
                    builder.store(splat(0), edge)
                    bytes_of_edge = builder.bitcast(edge, I8.as_pointer())
                    bytes_of_source = builder.bitcast(source, I8.as_pointer())
                    cgutils.raw_memcpy(builder, bytes_of_edge, bytes_of_source, left, 1)
                    last_block = builder.load(edge)
                    read = builder.sub(builder.shl(int64_of(1), left), int64_of(1))
                    last_end = builder.block
            block = builder.phi(BLOCK_OF_BYTES)
            block.add_incoming(inside_block, inside_end)
            block.add_incoming(last_block, last_end)
            inside = builder.phi(I64)
            inside.add_incoming(int64_of(-1), inside_end)
            inside.add_incoming(read, last_end)
            matches = [builder.bitcast(condition(builder, block), I64) for condition in conditions]
            return context.make_tuple(builder, result, [builder.and_(mask, inside) for mask in matches])

        return result(BUFFER, types.int64), generate

    return masks


def _masks_of_block(*conditions):
    """As _masks, of a whole block: requires i + BLOCK <= size."""
    result = types.UniTuple(types.int64, len(conditions))

    @intrinsic
    def masks(typing_context, buffer, i):
        def generate(context, builder, signature, arguments):
            source = place(context, builder, *arguments, int64_of(BLOCK), BLOCK_OF_BYTES)
            block = builder.load(source, align=1)
            matches = [builder.bitcast(condition(builder, block), I64) for condition in conditions]
            return context.make_tuple(builder, result, matches)

        return result(BUFFER, types.int64), generate

    return masks


def _is(byte):
    return lambda builder, block: builder.icmp_unsigned("==", block, splat(byte))


def _is_either(one, other):
    return lambda builder, block: builder.or_(_is(one)(builder, block), _is(other)(builder, block))


def _below(byte):
    return lambda builder, block: builder.icmp_unsigned("<", block, splat(byte))


def _from(byte):
    return lambda builder, block: builder.icmp_unsigned(">=", block, splat(byte))


def _is_letter_of_escape(builder, block):
    """b, f, n, r or t: in an escape of two bytes, with quote, backslash and slash.

    b and r differ in one bit, and so do f and n: a comparison each, without that bit.
    """
    result = _is(ord("t"))(builder, block)
    for one, other in ((ord("b"), ord("r")), (ord("f"), ord("n"))):
        same = splat(0xFF ^ one ^ other)
        result = builder.or_(
            result, builder.icmp_unsigned("==", builder.and_(block, same), splat(one & other))
        )
    return result


def _is_stop(builder, block):
    """A quote, a backslash or a control character: where a string has to be looked at."""
    return builder.or_(_is_either(ord('"'), ord("\\"))(builder, block), _below(0x20)(builder, block))


def _between(first, last):
    return lambda builder, block: builder.icmp_unsigned(
        "<=", builder.sub(block, splat(first)), splat(last - first)
    )


def _is_narrow(builder, block):
    """C0, C1, E0, ED, F0 and from F4 on: no lead byte, or one whose second byte has narrower bounds."""
    three = builder.or_(_is_either(0xE0, 0xED)(builder, block), _is_either(0xC0, 0xC1)(builder, block))
    return builder.or_(three, builder.or_(_is(0xF0)(builder, block), _from(0xF4)(builder, block)))


def _is_control(builder, block):
    """Below 0x20 but tab, line feed and carriage return; or 0x7F."""
    white = builder.or_(_is_either(ord("\t"), ord("\n"))(builder, block), _is(ord("\r"))(builder, block))
    below = builder.and_(_below(0x20)(builder, block), builder.not_(white))
    return builder.or_(below, _is(0x7F)(builder, block))


def _begins_image(builder, block):
    """The first bytes in UTF-8 of what 0x80-0xBF are in Windows-1252 and Latin-1: C2, C5, C6, CB, E2."""
    two = builder.or_(_is_either(0xC2, 0xC5)(builder, block), _is_either(0xC6, 0xCB)(builder, block))
    return builder.or_(two, _is(0xE2)(builder, block))


string_masks = _masks_of_block(_is(ord('"')), _is(ord("\\")), _below(0x20), _is_letter_of_escape, _from(0x80))
stop_masks = _masks(_is_stop, _from(0x80))
structure_masks = _masks(
    _is(ord("\\")),
    _is(ord('"')),
    _is_either(ord("["), ord("{")),
    _is_either(ord("]"), ord("}")),
    _is(ord(",")),
)
separator_masks = _masks(_is(ord("\n")), _is(ord(",")))
ascii_masks = _masks(_from(0x80), _is_control)  # not ASCII; control characters but tab, line feed, return
telling_masks = _masks(  # a continuation byte; what begins all that text_masks are about
    _between(0x80, 0xBF),
    lambda builder, block: builder.or_(_is_either(0xC2, 0xC3)(builder, block), _is(0xEF)(builder, block)),
)
text_masks = _masks(
    _between(0x80, 0x9F),
    _is(0xC2),
    _is(0xC3),
    _between(0x82, 0xB4),
    _is(0xEF),
    _is(0xBF),
    _is(0xBD),
    _begins_image,  # the first byte of an image of mojibake
)
utf8_lead_masks = _masks(_from(0x80), _from(0xC0), _from(0xE0), _from(0xF0), _is_narrow)
utf8_bounds_masks = _masks(
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
