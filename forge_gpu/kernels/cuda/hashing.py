"""XXH3, 64 and 128 bits (see reference/hashing.py, which follows the specification step by step).

Rows of up to 240 bytes go one a thread. A longer row goes to eight lanes, one for each accumulator: the lanes
read a stripe of 64 bytes together, and what they keep meets in shared memory once, at the row's end. A row is
read only within its bytes but for the reading contract of `memory`. Bytes moved: the rows once, 16 to 24 a
row. Expected: 65-80% of the device's copy bandwidth (counted as bytes read) for rows of 1 kB and more, about
30% for short rows, whose loads are not coalesced. Arithmetic is uint64 throughout: numba makes int64 or
float64 of a mix.
"""

import numpy as np
from numba import cuda, types

from forge_gpu.kernels.cuda.device import Device, function, kernel
from forge_gpu.kernels.cuda.memory import byte, half, thread, word
from forge_gpu.kernels.layout import U64, Text
from forge_gpu.kernels.reference import hashing as xxh3

PRIME32_1, PRIME32_2 = np.uint64(xxh3.PRIME32_1), np.uint64(xxh3.PRIME32_2)
PRIME64_1, PRIME64_2, PRIME64_3 = (np.uint64(p) for p in (xxh3.PRIME64_1, xxh3.PRIME64_2, xxh3.PRIME64_3))
PRIME64_4 = np.uint64(xxh3.PRIME64_4)
PRIME_MX1, PRIME_MX2 = np.uint64(xxh3.PRIME_MX1), np.uint64(xxh3.PRIME_MX2)
LOW_HALF, HALF_BITS = np.uint64(0xFFFFFFFF), np.uint64(32)
ZERO, ONE = np.uint64(0), np.uint64(1)

STRIPE = xxh3.STRIPE
STRIPES_A_BLOCK = xxh3.STRIPES_A_BLOCK
SECRET_SIZE = len(xxh3.SECRET)
SHORT = 240
LANES = 8
BLOCK = 128
START = np.array(xxh3.START, np.uint64)


def words_of(secret: bytes) -> U64:
    """The eight bytes at every place of a secret: uint64[185], so that no read of it is unaligned."""
    return np.array([int.from_bytes(secret[i : i + 8], "little") for i in range(len(secret) - 7)], np.uint64)


@function
def wide_product(left, right):
    """(low, high) halves of the 128-bit product, from four products of 32 bits."""
    a, b = left & LOW_HALF, left >> HALF_BITS
    c, d = right & LOW_HALF, right >> HALF_BITS
    low, middle = a * c, b * c
    middle += low >> HALF_BITS
    other = a * d + (middle & LOW_HALF)
    high = b * d + (middle >> HALF_BITS) + (other >> HALF_BITS)
    return other << HALF_BITS | low & LOW_HALF, high


@function
def folded_product(left, right):
    low, high = wide_product(left, right)
    return low ^ high


@function
def swap_bytes(value):
    value = (value & np.uint64(0x00FF00FF00FF00FF)) << np.uint64(8) | value >> np.uint64(8) & np.uint64(
        0x00FF00FF00FF00FF
    )
    value = (value & np.uint64(0x0000FFFF0000FFFF)) << np.uint64(16) | value >> np.uint64(16) & np.uint64(
        0x0000FFFF0000FFFF
    )
    return value << HALF_BITS | value >> HALF_BITS


@function
def _avalanche(value):
    value ^= value >> np.uint64(37)
    value *= PRIME_MX1
    return value ^ value >> HALF_BITS


@function
def _finish(value):
    """The avalanche of XXH64."""
    value ^= value >> np.uint64(33)
    value *= PRIME64_2
    value ^= value >> np.uint64(29)
    value *= PRIME64_3
    return value ^ value >> HALF_BITS


@function
def _pair(secret, i):
    return secret[i] ^ secret[i + 8]


@function
def _halves(secret, i):
    return (secret[i] ^ secret[i] >> HALF_BITS) & LOW_HALF


@function
def _combined(memory, i, n):
    """1 to 3 bytes and their number as 32 bits."""
    return np.uint64(
        byte(memory, i + n - 1) | n << 8 | byte(memory, i) << 16 | byte(memory, i + (n >> 1)) << 24
    )


@function
def _mixed(words, i, secret, at, seed):
    left = word(words, i) ^ secret[at] + seed
    right = word(words, i + 8) ^ secret[at + 8] - seed
    return folded_product(left, right)


@function
def _hash64_to_16(memory, words, i, n, secret, seed):
    if n > 8:
        low = _pair(secret, 24) + seed ^ word(words, i)
        high = _pair(secret, 40) - seed ^ word(words, i + n - 8)
        return _avalanche(np.uint64(n) + swap_bytes(low) + high + folded_product(low, high))
    if n > 3:
        seed ^= swap_bytes(seed & LOW_HALF) >> HALF_BITS << HALF_BITS
        value = _pair(secret, 8) - seed ^ (half(words, i + n - 4) | half(words, i) << HALF_BITS)
        value ^= (value << np.uint64(49) | value >> np.uint64(15)) ^ (
            value << np.uint64(24) | value >> np.uint64(40)
        )
        value *= PRIME_MX2
        value ^= (value >> np.uint64(35)) + np.uint64(n)
        value *= PRIME_MX2
        return value ^ value >> np.uint64(28)
    if n > 0:
        return _finish(_halves(secret, 0) + seed ^ _combined(memory, i, n))
    return _finish(seed ^ _pair(secret, 56))


@function
def _hash64_to_240(words, i, n, secret, seed):
    total = np.uint64(n) * PRIME64_1
    if n <= 128:
        for k in range((n - 1 >> 5) + 1):
            total += _mixed(words, i + 16 * k, secret, 32 * k, seed)
            total += _mixed(words, i + n - 16 * k - 16, secret, 32 * k + 16, seed)
        return _avalanche(total)
    for k in range(8):
        total += _mixed(words, i + 16 * k, secret, 16 * k, seed)
    total = _avalanche(total)
    for k in range(8, n >> 4):
        total += _mixed(words, i + 16 * k, secret, 16 * (k - 8) + 3, seed)
    return _avalanche(total + _mixed(words, i + n - 16, secret, 119, seed))


@function
def _hash128_to_16(memory, words, i, n, secret):
    if n > 8:
        last = word(words, i + n - 8)
        low, high = wide_product(_pair(secret, 32) ^ word(words, i) ^ last, PRIME64_1)
        other = _pair(secret, 48) ^ last
        low += np.uint64(n - 1) << np.uint64(54)
        high += other + (other & LOW_HALF) * (PRIME32_2 - ONE)
        low ^= swap_bytes(high)
        low, carry = wide_product(low, PRIME64_2)
        return _avalanche(low), _avalanche(carry + high * PRIME64_2)
    if n > 3:
        value = _pair(secret, 16) ^ (half(words, i) | half(words, i + n - 4) << HALF_BITS)
        low, high = wide_product(value, PRIME64_1 + np.uint64(n << 2))
        high += low << ONE
        low ^= high >> np.uint64(3)
        low ^= low >> np.uint64(35)
        low *= PRIME_MX2
        return low ^ low >> np.uint64(28), _avalanche(high)
    if n > 0:
        combined = _combined(memory, i, n)
        swapped = swap_bytes(combined) >> HALF_BITS
        turned = (swapped << np.uint64(13) | swapped >> np.uint64(19)) & LOW_HALF
        return _finish(_halves(secret, 0) ^ combined), _finish(_halves(secret, 8) ^ turned)
    return _finish(_pair(secret, 64)), _finish(_pair(secret, 80))


@function
def _mix_two(low, high, words, i, j, secret, at):
    low = low + _mixed(words, i, secret, at, ZERO) ^ word(words, j) + word(words, j + 8)
    high = high + _mixed(words, j, secret, at + 16, ZERO) ^ word(words, i) + word(words, i + 8)
    return low, high


@function
def _hash128_to_240(words, i, n, secret):
    low, high = np.uint64(n) * PRIME64_1, ZERO
    if n <= 128:
        for k in range(n - 1 >> 5, -1, -1):
            low, high = _mix_two(low, high, words, i + 16 * k, i + n - 16 * k - 16, secret, 32 * k)
    else:
        for k in range(4):
            low, high = _mix_two(low, high, words, i + 32 * k, i + 32 * k + 16, secret, 32 * k)
        low, high = _avalanche(low), _avalanche(high)
        for k in range(4, n >> 5):
            low, high = _mix_two(low, high, words, i + 32 * k, i + 32 * k + 16, secret, 32 * (k - 4) + 3)
        low, high = _mix_two(low, high, words, i + n - 16, i + n - 32, secret, 103)
    mixed = low * PRIME64_1 + high * PRIME64_4 + np.uint64(n) * PRIME64_2
    return _avalanche(low + high), ZERO - _avalanche(mixed)


@function
def _accumulated(total, words, at, lane, secret, key):
    """Accumulator `lane` after the stripe at `at`, keyed with the secret at `key`."""
    keyed = word(words, at + 8 * lane) ^ secret[key + 8 * lane]
    return total + word(words, at + 8 * (lane ^ 1)) + (keyed & LOW_HALF) * (keyed >> HALF_BITS)


@function
def _accumulator(words, i, n, lane, secret, start):
    """Accumulator `lane` after all of a row of more than 240 bytes."""
    total = start[lane]
    stripes = (n - 1) // STRIPE  # the last one of the row, whole or not, goes in apart
    at = i
    while stripes >= STRIPES_A_BLOCK:
        for k in range(STRIPES_A_BLOCK):
            total = _accumulated(total, words, at + STRIPE * k, lane, secret, 8 * k)
        total = (total ^ total >> np.uint64(47) ^ secret[SECRET_SIZE - STRIPE + 8 * lane]) * PRIME32_1
        at += STRIPE * STRIPES_A_BLOCK
        stripes -= STRIPES_A_BLOCK
    for k in range(stripes):
        total = _accumulated(total, words, at + STRIPE * k, lane, secret, 8 * k)
    return _accumulated(total, words, i + n - STRIPE, lane, secret, SECRET_SIZE - 71)


@function
def _merged(shared, first, secret, at, total):
    for k in range(0, LANES, 2):
        left = shared[first + k] ^ secret[at + 8 * k]
        right = shared[first + k + 1] ^ secret[at + 8 * k + 8]
        total += folded_product(left, right)
    return _avalanche(total)


@kernel
def short64(memory, words, base, offsets, secret, seed, result):
    """Rows of at most SHORT bytes, a thread a row. offsets: int64[n + 1]; result: uint64[n, 1]."""
    r = thread()
    if r >= len(result):
        return
    i, n = base + offsets[r], offsets[r + 1] - offsets[r]
    if n <= 16:
        result[r, 0] = _hash64_to_16(memory, words, i, n, secret, seed)
    elif n <= SHORT:
        result[r, 0] = _hash64_to_240(words, i, n, secret, seed)


@kernel
def short128(memory, words, base, offsets, secret, result):
    """Rows of at most SHORT bytes, a thread a row. offsets: int64[n + 1]; result: uint64[n, 2]."""
    r = thread()
    if r >= len(result):
        return
    i, n = base + offsets[r], offsets[r + 1] - offsets[r]
    if n <= 16:
        result[r, 0], result[r, 1] = _hash128_to_16(memory, words, i, n, secret)
    elif n <= SHORT:
        result[r, 0], result[r, 1] = _hash128_to_240(words, i, n, secret)


@kernel
def long(words, base, offsets, secret, start, result):
    """Rows of more than SHORT bytes, eight lanes a row. result: uint64[n, 1] or, for 128 bits, uint64[n, 2].

    secret: for 64 bits the one derived from the seed.
    """
    shared = cuda.shared.array(BLOCK, dtype=types.uint64)
    t = np.int64(cuda.threadIdx.x)
    r, lane = thread() // LANES, t % LANES
    n = offsets[r + 1] - offsets[r] if r < len(result) else np.int64(0)
    if n > SHORT:
        shared[t] = _accumulator(words, base + offsets[r], n, lane, secret, start)
    cuda.syncthreads()
    if n > SHORT and lane < result.shape[1]:
        key = 11 if lane == 0 else SECRET_SIZE - 75
        total = np.uint64(n) * PRIME64_1 if lane == 0 else ~(np.uint64(n) * PRIME64_2)
        result[r, lane] = _merged(shared, t - lane, secret, key, total)


def xxh3_128(text: Text, device: Device) -> U64:
    """XXH3-128 with seed 0 of each row: uint64[n, 2], (low, high), on the device.

    The text may be on the host or the device. Raises ValueError where a row lies outside the data.
    """
    offsets, memory, words, base = _read(text, device)
    secret = device.upload(words_of(xxh3.SECRET))
    result = device.xp.zeros((len(text), 2), np.uint64)
    device.launch(short128, len(text), memory, words, base, offsets, secret, result)
    _hash_long(words, base, offsets, secret, result, device)
    return result


def xxh3_64(text: Text, seed: int, device: Device) -> U64:
    """XXH3-64 of each row: uint64[n], on the device.

    Raises ValueError unless 0 <= seed < 2^64, and where a row lies outside the data.
    """
    xxh3.check_seed(seed)
    offsets, memory, words, base = _read(text, device)
    secret = device.upload(words_of(xxh3.SECRET))
    derived = device.upload(words_of(xxh3.derived_secret(seed)))
    result = device.xp.zeros((len(text), 1), np.uint64)
    device.launch(short64, len(text), memory, words, base, offsets, secret, np.uint64(seed), result)
    _hash_long(words, base, offsets, derived, result, device)
    return result[:, 0]


def _read(text: Text, device: Device) -> tuple:
    """(offsets, memory, words, base) of a text, as the kernels take them."""
    offsets = text_offsets(text, device)
    memory, words, bases = device.window([text.data])
    return offsets, memory, words, bases[0]


def _hash_long(words, base, offsets, secret, result, device) -> None:
    threads = LANES * len(result)
    device.launch(long, threads, words, base, offsets, secret, device.upload(START), result, block=BLOCK)


def text_offsets(text: Text, device: Device) -> U64:
    """The offsets of a text on the device. Raises ValueError where a row lies outside the data."""
    offsets = device.upload(text.offsets).astype(np.int64)
    bad = (offsets[:-1] < 0) | (offsets[1:] < offsets[:-1]) | (offsets[1:] > len(text.data))
    if bool(bad.any()):
        raise ValueError(f"row {int(bad.argmax())} of a text lies outside its data")
    return offsets
