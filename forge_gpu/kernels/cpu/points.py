"""The code points of UTF-8, normalised: see `normalised` in kernels.reference.shingles for what they are.

A block of bytes is decoded at once where it is made of whole sequences: at every byte the sequence of each
width that could begin there is put together, and those where one does begin are moved to the front. Other
bytes go one by one. Each code point is then looked up in the fold table, and the runs of white space in LANES
of them are told by their bits, without a branch for each that texts would mislead.
"""

import numpy as np

from forge_gpu.kernels.compiled import inner
from forge_gpu.kernels.cpu.masks import count_ones, utf8_lead_masks
from forge_gpu.kernels.cpu.memory import (
    BLOCK,
    byte,
    check,
    half,
    item64,
    put_half,
    put_word,
    trailing_zeros,
)
from forge_gpu.kernels.lowering import cgutils, intrinsic, ir, types
from forge_gpu.kernels.reference.shingles import SPACE

LANES = 16
ROOM = BLOCK + LANES + 1
"""Items that `more_points` may write past the count that it was to reach."""

I1, I8, I16, I32, I64 = (ir.IntType(width) for width in (1, 8, 16, 32, 64))
VECTOR = ir.VectorType(I32, LANES)
LONGEST = 4  # bytes of a sequence
BLANK = 0x20

_ALL, _ONE = np.uint64(2**64 - 1), np.uint64(1)

# The state of a row, in items of 64 bits at the start of the scratch buffer: which byte is next, whether a
# blank waits for a point to follow it, whether there was a point. The points come after FIELDS such items.
AT, WAITING, STARTED = range(3)
FIELDS = 8
POINTS = 8 * FIELDS


def vector_pointer(builder, base, index, kind):
    """Element `index` of 32 bits at address `base`, as a pointer to `kind`."""
    at = builder.add(base, builder.shl(index, ir.Constant(I64, 2)))
    return builder.inttoptr(at, kind.as_pointer())


def constant(value):
    """A 32-bit value in all lanes."""
    return ir.Constant(VECTOR, [value] * LANES)


def _widened(builder, base, index, offset):
    """LANES bytes at index + offset of the buffer at `base`, 32 bits each."""
    at = builder.add(builder.add(base, index), ir.Constant(I64, offset))
    narrow = builder.load(builder.inttoptr(at, ir.VectorType(I8, LANES).as_pointer()), align=1)
    return builder.zext(narrow, VECTOR)


def _compress(builder, vector, bits, points, at):
    """Store the lanes whose bits are set at points[at:], one after the other; the bits. Mostly all are set,
    and the lanes are as they should be: that spares the many instructions of processors before AVX-512."""
    some = builder.trunc(bits, I16)
    mask = builder.bitcast(some, ir.VectorType(I1, LANES))
    kind = ir.FunctionType(VECTOR, [VECTOR, mask.type, VECTOR])
    name = "llvm.experimental.vector.compress.v16i32"
    compress = cgutils.get_or_insert_function(builder.module, kind, name)
    target = vector_pointer(builder, points, at, VECTOR)
    all_set = builder.icmp_unsigned("==", some, ir.Constant(I16, 2**LANES - 1))
    with builder.if_else(all_set, likely=True) as (whole, in_part):
        with whole:
            builder.store(vector, target, align=4)
        with in_part:
            packed = builder.call(compress, [vector, mask, ir.Constant(VECTOR, ir.Undefined)])
            builder.store(packed, target, align=4)
    return some


@intrinsic
def _widen_block(typing_context, base, index, points, at):
    """points[at : at + BLOCK] = the BLOCK bytes at `index` of the buffer at `base`."""

    def generate(context, builder, signature, arguments):
        base, index, points, at = arguments
        for step in range(0, BLOCK, LANES):
            target = vector_pointer(builder, points, builder.add(at, ir.Constant(I64, step)), VECTOR)
            builder.store(_widened(builder, base, index, step), target, align=4)
        return context.get_dummy_value()

    return types.void(types.uint64, types.int64, types.uint64, types.int64), generate


@intrinsic
def _decode_block(typing_context, base, index, begins, points, at):
    """points[at:] = the code points of the sequences that begin where `begins` has bits, in the BLOCK bytes
    at `index`. Reads LONGEST - 1 bytes more, writes LANES items more."""

    def generate(context, builder, signature, arguments):
        base, index, begins, points, at = arguments
        for step in range(0, BLOCK, LANES):
            first, *rest = (_widened(builder, base, index, step + k) for k in range(LONGEST))
            point = first
            for width, lead in ((2, 0xC0), (3, 0xE0), (4, 0xF0)):
                value = builder.and_(first, constant(0x7F >> width))
                for following in rest[: width - 1]:
                    low = builder.and_(following, constant(0x3F))
                    value = builder.or_(builder.shl(value, constant(6)), low)
                point = builder.select(builder.icmp_unsigned(">=", first, constant(lead)), value, point)
            some = _compress(builder, point, builder.lshr(begins, ir.Constant(I64, step)), points, at)
            at = builder.add(at, builder.zext(builder.ctpop(some), I64))
        return context.get_dummy_value()

    return types.void(types.uint64, types.int64, types.int64, types.uint64, types.int64), generate


@inner
def more_points(buffer, end, fold, scratch, count, enough):
    """Append the next points of the row that ends at byte `end` to the `count` there are, until there are
    `enough`; the new count. scratch: the row's state, and points from POINTS on; fold: a table's buffer."""
    i = item64(scratch, AT)
    folding = np.int64(fold[1] > 0)  # a blank may come before the first point: there is room for it
    while i < end and count < enough:
        first = at = count + folding
        while i < end and at < enough + folding:
            i, at = _decode(buffer, i, end, scratch, at)
        count = _fold(scratch, count, first, at, fold) if folding else at
    put_word(scratch, 8 * AT, np.uint64(i))
    return count


@inner
def _decode(buffer, i, end, scratch, at):
    """Decode a block, or a sequence, of the row's bytes from i on to the points from `at` on; (the next byte,
    the next point)."""
    if i + BLOCK + LONGEST - 1 <= buffer[1]:
        check(buffer, i, BLOCK + LONGEST - 1)
        check(scratch, POINTS + 4 * at, 4 * (BLOCK + LANES))
        ascii, begins, size = _sequences(buffer, i, end)
        if ascii:
            _widen_block(buffer[0], i, scratch[0] + np.uint64(POINTS), at)
            return i + size, at + size
        if size > 0:
            _decode_block(buffer[0], i, begins, scratch[0] + np.uint64(POINTS), at)
            return i + size, at + count_ones(begins)
    return _decode_one(buffer, i, end, scratch, at), at + 1


@inner
def _sequences(buffer, i, end):
    """The whole sequences from `i` on, within a block and the row: (whether the block is ASCII, a bit where
    each begins, bytes of them all). None of them where bytes are not as in UTF-8."""
    inside = _ALL if end - i >= BLOCK else (_ONE << np.uint64(end - i)) - _ONE
    masks = utf8_lead_masks(buffer, i)
    high, two = np.uint64(masks[0]) & inside, np.uint64(masks[1]) & inside
    three, four = np.uint64(masks[2]) & inside, np.uint64(masks[3]) & inside
    if high == 0:
        return True, np.int64(inside), min(end - i, BLOCK)
    following = (two << _ONE | three << np.uint64(2) | four << np.uint64(3)) & inside
    if following != high & ~two:
        return False, 0, 0
    torn = two & ~(inside >> _ONE) | three & ~(inside >> np.uint64(2)) | four & ~(inside >> np.uint64(3))
    begins = inside & ~following
    if torn == 0:
        return False, np.int64(begins), min(end - i, BLOCK)
    size = trailing_zeros(np.int64(torn))
    return False, np.int64(begins & (_ONE << np.uint64(size)) - _ONE), size


@inner
def _decode_one(buffer, i, end, scratch, at):
    """Point `at` becomes the code point at byte i, whatever the bytes are; where the next one begins."""
    point, width = byte(buffer, i), 1
    if point >= 0xC0:
        required = 2 if point < 0xE0 else 3 if point < 0xF0 else LONGEST
        if i + required <= end:
            width = required
            point &= 0x7F >> width
            for k in range(1, width):
                point = point << 6 | byte(buffer, i + k) & 0x3F
    put_half(scratch, POINTS + 4 * at, np.uint64(point))
    return i + width


@intrinsic
def _spaces(typing_context, points, at):
    """A bit for each of the LANES points from `at` on that is SPACE."""

    def generate(context, builder, signature, arguments):
        point = builder.load(vector_pointer(builder, *arguments, VECTOR), align=4)
        space = builder.bitcast(builder.icmp_unsigned("==", point, constant(SPACE)), I16)
        return builder.zext(space, I64)

    return types.uint64(types.uint64, types.int64), generate


def _blanked(builder, points, at):
    """The LANES points from `at` on, SPACE as a blank."""
    point = builder.load(vector_pointer(builder, points, at, VECTOR), align=4)
    space = builder.icmp_unsigned("==", point, constant(SPACE))
    return builder.select(space, constant(BLANK), point)


@intrinsic
def _keep_step(typing_context, points, at, retained, target):
    """Move those of the LANES points from `at` on that have a bit in `kept` to `target`; SPACE as a blank."""

    def generate(context, builder, signature, arguments):
        points, at, retained, target = arguments
        _compress(builder, _blanked(builder, points, at), retained, points, target)
        return context.get_dummy_value()

    return types.void(types.uint64, types.int64, types.uint64, types.int64), generate


@intrinsic
def _move_step(typing_context, points, at, target):
    """As _keep_step, of all LANES points."""

    def generate(context, builder, signature, arguments):
        points, at, target = arguments
        builder.store(_blanked(builder, points, at), vector_pointer(builder, points, target, VECTOR), align=4)
        return context.get_dummy_value()

    return types.void(types.uint64, types.int64, types.int64), generate


@inner
def _fold(scratch, count, first, end, fold):
    """Normalise the points first ... end - 1 and append them to the `count` there are; the new count.

    Of a run of white space that a point follows in the same LANES points the last is kept, as a blank; a run
    at their end is left out, and a blank waits. So there is room for that blank, and no point is overtaken
    before it is read; for one that waits from before, `first` is past `count`.
    """
    for k in range(first, end):
        at = np.int64(4 * half(scratch, POINTS + 4 * k))
        if at < fold[1]:
            put_half(scratch, POINTS + 4 * k, half(fold, at))
    points = scratch[0] + np.uint64(POINTS)
    waiting, started = np.uint64(item64(scratch, WAITING)), np.uint64(item64(scratch, STARTED))
    for at in range(first, end, LANES):
        here = (_ONE << np.uint64(min(LANES, end - at))) - _ONE
        space = _spaces(points, at) & here
        other = here & ~space
        if waiting & other != 0:  # a point in the first lane, which the blank waited for
            put_half(scratch, POINTS + 4 * count, np.uint64(BLANK))
            count += 1
        followed = space & other >> _ONE
        if started == 0:
            followed &= ~((other & ~other + _ONE) - _ONE)  # not before the row's first point
        retained = other | followed
        if retained == here:
            _move_step(points, at, count)
        else:
            _keep_step(points, at, retained, count)
        count += count_ones(np.int64(retained))
        started |= np.uint64(other != 0)
        waiting = started & np.uint64(space > other)
    put_word(scratch, 8 * WAITING, waiting)
    put_word(scratch, 8 * STARTED, started)
    return count
