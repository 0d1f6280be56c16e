"""XXH3, 64 and 128 bits (see reference/hashing.py, which follows the specification step by step).

A kernel reads a row only within its bytes, as the specification does: the last word, chunk or stripe of a
row overlaps the one before. Long rows keep the eight accumulators in one vector.
Arithmetic is uint64 throughout: numba makes int64 or float64 of a mix.
"""

import numpy as np

from forge_gpu.kernels.compiled import inner, kernel
from forge_gpu.kernels.cpu import lanes
from forge_gpu.kernels.cpu.lanes import folded_product, rotate_left, swap_bytes, wide_product
from forge_gpu.kernels.cpu.memory import byte, half, item64, whole, word
from forge_gpu.kernels.layout import I64, U8, U64, Text
from forge_gpu.kernels.reference import hashing as xxh3
from forge_gpu.kernels.scratch import Scratch

PRIME32_1, PRIME32_2 = np.uint64(xxh3.PRIME32_1), np.uint64(xxh3.PRIME32_2)
PRIME64_1, PRIME64_2, PRIME64_3 = (np.uint64(p) for p in (xxh3.PRIME64_1, xxh3.PRIME64_2, xxh3.PRIME64_3))
PRIME64_4 = np.uint64(xxh3.PRIME64_4)
PRIME_MX1, PRIME_MX2 = np.uint64(xxh3.PRIME_MX1), np.uint64(xxh3.PRIME_MX2)
LOW_HALF = np.uint64(0xFFFFFFFF)
ZERO = np.uint64(0)

STRIPE = xxh3.STRIPE
STRIPES_A_BLOCK = xxh3.STRIPES_A_BLOCK
SECRET_SIZE = len(xxh3.SECRET)
_SECRET = np.frombuffer(xxh3.SECRET, np.uint8).copy()
_START = np.array(xxh3.START, np.uint64)
_WORDS, _HALF_WORDS = _SECRET.view(np.uint64), _SECRET.view(np.uint32).astype(np.uint64)
_PAIRS = tuple(_WORDS[:-1] ^ _WORDS[1:])  # [k]: the words of the secret at 8 k and 8 k + 8
_HALVES = tuple(_HALF_WORDS[::2] ^ _HALF_WORDS[1::2])  # [k]: its half words at 8 k and 8 k + 4
# Where the secret is used at the end of a row: by the length of rows, and by the result.
TAIL64_AT, TAIL128_AT, STRIPE_AT = np.int64(119), np.int64(103), np.int64(SECRET_SIZE - 71)
LOW_AT, HIGH_AT = np.int64(11), np.int64(SECRET_SIZE - 75)


@inner
def _avalanche(value):
    value ^= value >> np.uint64(37)
    value *= PRIME_MX1
    return value ^ value >> np.uint64(32)


@inner
def _finish(value):
    """The avalanche of XXH64."""
    value ^= value >> np.uint64(33)
    value *= PRIME64_2
    value ^= value >> np.uint64(29)
    value *= PRIME64_3
    return value ^ value >> np.uint64(32)


@inner
def _combined(data, i, n):
    """1 to 3 bytes and their number as 32 bits."""
    return np.uint64(byte(data, i + n - 1) | n << 8 | byte(data, i) << 16 | byte(data, i + (n >> 1)) << 24)


@inner
def _mixed(data, i, secret, at, seed):
    left = word(data, i) ^ word(secret, at) + seed
    right = word(data, i + 8) ^ word(secret, at + 8) - seed
    return folded_product(left, right)


@inner
def _hash64_to_16(data, i, n, secret, seed):
    if n > 8:
        low = _PAIRS[3] + seed ^ word(data, i)
        high = _PAIRS[5] - seed ^ word(data, i + n - 8)
        return _avalanche(np.uint64(n) + swap_bytes(low) + high + folded_product(low, high))
    if n > 3:
        seed ^= swap_bytes(seed & LOW_HALF) >> np.uint64(32) << np.uint64(32)
        value = _PAIRS[1] - seed ^ (half(data, i + n - 4) | half(data, i) << np.uint64(32))
        value ^= rotate_left(value, 49) ^ rotate_left(value, 24)
        value *= PRIME_MX2
        value ^= (value >> np.uint64(35)) + np.uint64(n)
        value *= PRIME_MX2
        return value ^ value >> np.uint64(28)
    if n > 0:
        return _finish(_HALVES[0] + seed ^ _combined(data, i, n))
    return _finish(seed ^ _PAIRS[7])


@inner
def _hash64_to_240(data, i, n, secret, seed):
    total = np.uint64(n) * PRIME64_1
    if n <= 128:
        for k in range((n - 1 >> 5) + 1):
            total += _mixed(data, i + 16 * k, secret, 32 * k, seed)
            total += _mixed(data, i + n - 16 * k - 16, secret, 32 * k + 16, seed)
        return _avalanche(total)
    for k in range(8):
        total += _mixed(data, i + 16 * k, secret, 16 * k, seed)
    total = _avalanche(total)
    for k in range(8, n >> 4):
        total += _mixed(data, i + 16 * k, secret, 16 * (k - 8) + 3, seed)
    return _avalanche(total + _mixed(data, i + n - 16, secret, TAIL64_AT, seed))


@inner
def _hash128_to_16(data, i, n, secret):
    if n > 8:
        last = word(data, i + n - 8)
        low, high = wide_product(_PAIRS[4] ^ word(data, i) ^ last, PRIME64_1)
        other = _PAIRS[6] ^ last
        low += np.uint64(n - 1) << np.uint64(54)
        high += other + (other & LOW_HALF) * (PRIME32_2 - np.uint64(1))
        low ^= swap_bytes(high)
        low, carry = wide_product(low, PRIME64_2)
        return _avalanche(low), _avalanche(carry + high * PRIME64_2)
    if n > 3:
        value = _PAIRS[2] ^ (half(data, i) | half(data, i + n - 4) << np.uint64(32))
        low, high = wide_product(value, PRIME64_1 + np.uint64(n << 2))
        high += low << np.uint64(1)
        low ^= high >> np.uint64(3)
        low ^= low >> np.uint64(35)
        low *= PRIME_MX2
        return low ^ low >> np.uint64(28), _avalanche(high)
    if n > 0:
        combined = _combined(data, i, n)
        swapped = swap_bytes(combined) >> np.uint64(32)
        turned = (swapped << np.uint64(13) | swapped >> np.uint64(19)) & LOW_HALF
        return _finish(_HALVES[0] ^ combined), _finish(_HALVES[1] ^ turned)
    return _finish(_PAIRS[8]), _finish(_PAIRS[10])


@inner
def _mix_two(low, high, data, i, j, secret, at):
    low = low + _mixed(data, i, secret, at, ZERO) ^ word(data, j) + word(data, j + 8)
    high = high + _mixed(data, j, secret, at + 16, ZERO) ^ word(data, i) + word(data, i + 8)
    return low, high


@inner
def _hash128_to_240(data, i, n, secret):
    low, high = np.uint64(n) * PRIME64_1, ZERO
    if n <= 128:
        for k in range(n - 1 >> 5, -1, -1):
            low, high = _mix_two(low, high, data, i + 16 * k, i + n - 16 * k - 16, secret, 32 * k)
    else:
        for k in range(4):
            low, high = _mix_two(low, high, data, i + 32 * k, i + 32 * k + 16, secret, 32 * k)
        low, high = _avalanche(low), _avalanche(high)
        for k in range(4, n >> 5):
            low, high = _mix_two(low, high, data, i + 32 * k, i + 32 * k + 16, secret, 32 * (k - 4) + 3)
        low, high = _mix_two(low, high, data, i + n - 16, i + n - 32, secret, TAIL128_AT)
    mixed = low * PRIME64_1 + high * PRIME64_4 + np.uint64(n) * PRIME64_2
    return _avalanche(low + high), ZERO - _avalanche(mixed)


@inner
def _accumulated(state, data, i, secret, at):
    """The accumulators after the stripe at i with the secret at `at`."""
    stripe = lanes.load(data, i)
    keyed = lanes.xor(stripe, lanes.load(secret, at))
    state = lanes.add(state, lanes.swap_neighbours(stripe))
    return lanes.add(state, lanes.low_times_high(keyed, keyed))


@inner
def _accumulators(data, i, n, secret, start):
    """The accumulators after all of a row of more than 240 bytes."""
    state = lanes.load(start, 0)
    left = (n - 1) // STRIPE  # stripes; the last one of the row, whole or not, goes in apart
    at = i
    while left > 0:
        for k in range(min(left, STRIPES_A_BLOCK)):
            state = _accumulated(state, data, at, secret, 8 * k)
            at += STRIPE
        if left >= STRIPES_A_BLOCK:
            scrambled = lanes.xor(
                lanes.xor_shifted(state, np.uint64(47)), lanes.load(secret, SECRET_SIZE - STRIPE)
            )
            state = lanes.scale(scrambled, PRIME32_1)
        left -= STRIPES_A_BLOCK
    return _accumulated(state, data, i + n - STRIPE, secret, STRIPE_AT)


@inner
def _merged(state, secret, at, total):
    keyed = lanes.xor(state, lanes.load(secret, at))
    total += folded_product(lanes.lane(keyed, 0), lanes.lane(keyed, 1))
    total += folded_product(lanes.lane(keyed, 2), lanes.lane(keyed, 3))
    total += folded_product(lanes.lane(keyed, 4), lanes.lane(keyed, 5))
    total += folded_product(lanes.lane(keyed, 6), lanes.lane(keyed, 7))
    return _avalanche(total)


@inner
def hash64(data, i, n, secret, long_secret, start, seed):
    """XXH3-64 of the n bytes at i. `long_secret`: the secret derived from `seed`."""
    if n <= 16:
        return _hash64_to_16(data, i, n, secret, seed)
    if n <= 240:
        return _hash64_to_240(data, i, n, secret, seed)
    state = _accumulators(data, i, n, long_secret, start)
    return _merged(state, long_secret, LOW_AT, np.uint64(n) * PRIME64_1)


@inner
def hash128(data, i, n, secret, start):
    """XXH3-128 of the n bytes at i with seed 0: (low, high)."""
    if n <= 16:
        return _hash128_to_16(data, i, n, secret)
    if n <= 240:
        return _hash128_to_240(data, i, n, secret)
    state = _accumulators(data, i, n, secret, start)
    low = _merged(state, secret, LOW_AT, np.uint64(n) * PRIME64_1)
    return low, _merged(state, secret, HIGH_AT, ~(np.uint64(n) * PRIME64_2))


@kernel
def _hash64_rows(data, offsets, secret, long_secret, start, seed, result):
    for r in range(len(result)):
        i, end = np.int64(word(offsets, 8 * r)), np.int64(word(offsets, 8 * r + 8))
        if i < 0 or end < i or end > data[1]:
            return r
        result[r] = hash64(data, i, end - i, secret, long_secret, start, seed)
    return -1


@kernel
def _hash128_rows(data, offsets, secret, start, result):
    for r in range(len(result)):
        i, end = np.int64(word(offsets, 8 * r)), np.int64(word(offsets, 8 * r + 8))
        if i < 0 or end < i or end > data[1]:
            return r
        result[r, 0], result[r, 1] = hash128(data, i, end - i, secret, start)
    return -1


@kernel
def _digest(data, start, length, count, secret, long_secret, first):
    """(sum of the hashes, -1), or (0, the first span outside the data)."""
    total = ZERO
    for r in range(count):
        i, n = item64(start, r), item64(length, r)
        if i < 0 or n < 0 or n > data[1] or i > data[1] - n:
            return ZERO, r
        total += hash64(data, i, n, secret, long_secret, first, ZERO)
    return total, -1


def digest(data: U8, start: I64, length: I64) -> int:
    """The sum, modulo 2^64, of the XXH3-64 with seed 0 of spans of `data`, whatever their order.

    start, length: int64[n], bytes. Raises ValueError where a span lies outside the data. Bytes moved: the
    spans read once, and 16 a span.
    """
    data = np.ascontiguousarray(data, np.uint8)
    start, length = np.ascontiguousarray(start, np.int64), np.ascontiguousarray(length, np.int64)
    secret = whole(_SECRET)
    total, bad = _digest(whole(data), whole(start), whole(length), len(start), secret, secret, whole(_START))
    if bad >= 0:
        raise ValueError(f"span {bad} lies outside the data")
    return int(total)


def checksum(data: np.ndarray) -> int:
    """XXH3-64 with seed 0 of the bytes of a C-contiguous array. Bytes moved: its own, read once."""
    return digest(data.reshape(-1).view(np.uint8), np.zeros(1, np.int64), np.array([data.nbytes]))


def xxh3_128(text: Text, scratch: Scratch) -> U64:
    """XXH3-128 with seed 0 of each row: uint64[n, 2], (low, high).

    Valid until the next call with the same scratch. Raises ValueError where a row lies outside the data.
    Bytes moved: the rows once, and 24 a row.
    """
    data, offsets = np.ascontiguousarray(text.data, np.uint8), np.ascontiguousarray(text.offsets, np.int64)
    result = scratch.array("hash128", 2 * len(text), np.uint64).reshape(len(text), 2)
    _refuse(_hash128_rows(whole(data), whole(offsets), whole(_SECRET), whole(_START), result))
    return result


def xxh3_64(text: Text, seed: int, scratch: Scratch) -> U64:
    """XXH3-64 of each row: uint64[n].

    Valid until the next call with the same scratch. Raises ValueError unless 0 <= seed < 2^64, and where a
    row lies outside the data. Bytes moved: the rows once, and 16 a row.
    """
    xxh3.check_seed(seed)
    data, offsets = np.ascontiguousarray(text.data, np.uint8), np.ascontiguousarray(text.offsets, np.int64)
    long_secret = np.frombuffer(xxh3.derived_secret(seed), np.uint8)
    result = scratch.array("hash64", len(text), np.uint64)
    tables = whole(_SECRET), whole(long_secret), whole(_START)
    _refuse(_hash64_rows(whole(data), whole(offsets), *tables, np.uint64(seed), result))
    return result


def _refuse(row: int) -> None:
    if row >= 0:
        raise ValueError(f"row {row} of a text lies outside its data")
