"""XXH3, 64 and 128 bits, with the default secret: the specification in plain Python.

Source: "xxHash fast digest algorithm", doc/xxhash_spec.md of github.com/Cyan4973/xxHash.
All values are Python integers, kept below 2^64 by `& MASK`; all reads are little-endian.
"""

from __future__ import annotations

import struct
from functools import lru_cache

import numpy as np

from forge_gpu.kernels.layout import I64, U8, U64, Text
from forge_gpu.kernels.scratch import Scratch

MASK = 2**64 - 1
PRIME32_1, PRIME32_2, PRIME32_3 = 0x9E3779B1, 0x85EBCA77, 0xC2B2AE3D
PRIME64_1, PRIME64_2, PRIME64_3 = 0x9E3779B185EBCA87, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9
PRIME64_4, PRIME64_5 = 0x85EBCA77C2B2AE63, 0x27D4EB2F165667C5
PRIME_MX1, PRIME_MX2 = 0x165667919E3779F9, 0x9FB21C651E98DF25

SECRET = bytes.fromhex(
    "b8fe6c3923a44bbe7c01812cf721ad1cded46de9839097db7240a4a4b7b3671f"
    "cb79e64eccc0e578825ad07dccff7221b8084674f743248ee03590e6813a264c"
    "3c2852bb91c300cb88d0658b1b532ea371644897a20df94e3819ef46a9deacd8"
    "a8fa763fe39c343ff9dcbbc7c70b4f1d8a51e04bcdb45931c89f7ec9d9787364"
    "eac5ac8334d3ebc3c581a0fffa1363eb170ddd51b7f0da49d316552629d4689e"
    "2b16be587d47a1fc8ff8b8d17ad031ce45cb3a8f95160428afd7fbcabb4b407e"
)
STRIPE = 64
STRIPES_A_BLOCK = (len(SECRET) - STRIPE) // 8
START = (PRIME32_3, PRIME64_1, PRIME64_2, PRIME64_3, PRIME64_4, PRIME32_2, PRIME64_5, PRIME32_1)


def digest(data: U8, start: I64, length: I64) -> int:
    """The sum, modulo 2^64, of the XXH3-64 with seed 0 of the spans."""
    spans = zip(start.tolist(), length.tolist(), strict=True)
    return sum(hash64(data[first : first + count].tobytes(), 0) for first, count in spans) & MASK


def xxh3_128(text: Text, scratch: Scratch) -> U64:
    """XXH3-128 with seed 0 of each row: uint64[n, 2], (low, high)."""
    return np.array([hash128(text.row(i)) for i in range(len(text))], np.uint64).reshape(len(text), 2)


def xxh3_64(text: Text, seed: int, scratch: Scratch) -> U64:
    """XXH3-64 of each row: uint64[n]. Raises ValueError unless 0 <= seed < 2^64."""
    check_seed(seed)
    return np.array([hash64(text.row(i), seed) for i in range(len(text))], np.uint64)


def check_seed(seed: int) -> None:
    if not 0 <= seed <= MASK:
        raise ValueError(f"seed {seed} is no unsigned 64-bit integer")


@lru_cache(maxsize=64)
def derived_secret(seed: int) -> bytes:
    """The secret of long inputs: the default one with the seed added and subtracted in turn."""
    words = struct.unpack("<24Q", SECRET)
    return struct.pack(
        "<24Q", *((word + (seed if k % 2 == 0 else -seed)) & MASK for k, word in enumerate(words))
    )


def hash64(data: bytes, seed: int = 0) -> int:
    n = len(data)
    if n == 0:
        return _finish(seed ^ _secret(56) ^ _secret(64))
    if n <= 3:
        return _finish((_secret32(0) ^ _secret32(4)) + seed & MASK ^ _combined(data))
    if n <= 8:
        return _hash64_of_4_to_8(data, seed)
    if n <= 16:
        low = (_secret(24) ^ _secret(32)) + seed & MASK ^ _word(data, 0)
        high = (_secret(40) ^ _secret(48)) - seed & MASK ^ _word(data, n - 8)
        return avalanche(n + _swapped(low, 8) + high + _folded(low, high) & MASK)
    if n <= 240:
        return _hash64_of_17_to_240(data, seed)
    secret = derived_secret(seed)
    return _merge(_accumulators(data, secret), secret, 11, n * PRIME64_1 & MASK)


def hash128(data: bytes) -> tuple[int, int]:
    """Seed 0, as all terms of the seed are zero then."""
    n = len(data)
    if n == 0:
        return _finish(_secret(64) ^ _secret(72)), _finish(_secret(80) ^ _secret(88))
    if n <= 3:
        combined = _combined(data)
        swapped = _swapped(combined, 4)
        turned = (swapped << 13 | swapped >> 19) & 0xFFFFFFFF
        return (
            _finish(_secret32(0) ^ _secret32(4) ^ combined),
            _finish(_secret32(8) ^ _secret32(12) ^ turned),
        )
    if n <= 8:
        return _hash128_of_4_to_8(data)
    if n <= 16:
        return _hash128_of_9_to_16(data)
    if n <= 240:
        return _hash128_of_17_to_240(data)
    lanes = _accumulators(data, SECRET)
    low = _merge(lanes, SECRET, 11, n * PRIME64_1 & MASK)
    return low, _merge(lanes, SECRET, len(SECRET) - 75, ~(n * PRIME64_2) & MASK)


def avalanche(value: int) -> int:
    value ^= value >> 37
    value = value * PRIME_MX1 & MASK
    return value ^ value >> 32


def _finish(value: int) -> int:
    """The avalanche of XXH64."""
    value ^= value >> 33
    value = value * PRIME64_2 & MASK
    value ^= value >> 29
    value = value * PRIME64_3 & MASK
    return value ^ value >> 32


def _word(data: bytes, i: int) -> int:
    return int.from_bytes(data[i : i + 8], "little")


def _half(data: bytes, i: int) -> int:
    return int.from_bytes(data[i : i + 4], "little")


def _secret(i: int) -> int:
    return _word(SECRET, i)


def _secret32(i: int) -> int:
    return _half(SECRET, i)


def _swapped(value: int, size: int) -> int:
    return int.from_bytes(value.to_bytes(size, "little"), "big")


def _folded(left: int, right: int) -> int:
    product = left * right
    return product & MASK ^ product >> 64


def _rotated(value: int, count: int) -> int:
    return (value << count | value >> 64 - count) & MASK


def _combined(data: bytes) -> int:
    """1 to 3 bytes and their number as 32 bits."""
    n = len(data)
    return data[n - 1] | n << 8 | data[0] << 16 | data[n >> 1] << 24


def _hash64_of_4_to_8(data: bytes, seed: int) -> int:
    n = len(data)
    seed ^= _swapped(seed & 0xFFFFFFFF, 4) << 32
    value = (_secret(8) ^ _secret(16)) - seed & MASK ^ (_half(data, n - 4) | _half(data, 0) << 32)
    value ^= _rotated(value, 49) ^ _rotated(value, 24)
    value = value * PRIME_MX2 & MASK
    value ^= (value >> 35) + n
    value = value * PRIME_MX2 & MASK
    return value ^ value >> 28


def _hash128_of_4_to_8(data: bytes) -> tuple[int, int]:
    n = len(data)
    value = _secret(16) ^ _secret(24) ^ (_half(data, 0) | _half(data, n - 4) << 32)
    product = value * (PRIME64_1 + (n << 2))
    low, high = product & MASK, product >> 64
    high = high + (low << 1) & MASK
    low ^= high >> 3
    low ^= low >> 35
    low = low * PRIME_MX2 & MASK
    return low ^ low >> 28, avalanche(high)


def _hash128_of_9_to_16(data: bytes) -> tuple[int, int]:
    n = len(data)
    first, last = _word(data, 0), _word(data, n - 8)
    product = (_secret(32) ^ _secret(40) ^ first ^ last) * PRIME64_1
    other = _secret(48) ^ _secret(56) ^ last
    low = (product & MASK) + (n - 1 << 54) & MASK
    high = (product >> 64) + other + (other & 0xFFFFFFFF) * (PRIME32_2 - 1) & MASK
    low ^= _swapped(high, 8)
    product = low * PRIME64_2
    return avalanche(product & MASK), avalanche((product >> 64) + high * PRIME64_2 & MASK)


def _mixed(data: bytes, i: int, secret_at: int, seed: int) -> int:
    left = _word(data, i) ^ (_secret(secret_at) + seed & MASK)
    right = _word(data, i + 8) ^ (_secret(secret_at + 8) - seed & MASK)
    return _folded(left, right)


def _hash64_of_17_to_240(data: bytes, seed: int) -> int:
    n = len(data)
    total = n * PRIME64_1
    if n <= 128:
        for i in range((n - 1 >> 5) + 1):
            total += _mixed(data, 16 * i, 32 * i, seed) + _mixed(data, n - 16 * i - 16, 32 * i + 16, seed)
        return avalanche(total & MASK)
    total = avalanche(total + sum(_mixed(data, 16 * i, 16 * i, seed) for i in range(8)) & MASK)
    total += sum(_mixed(data, 16 * i, 16 * (i - 8) + 3, seed) for i in range(8, n >> 4))
    return avalanche(total + _mixed(data, n - 16, 119, seed) & MASK)


def _hash128_of_17_to_240(data: bytes) -> tuple[int, int]:
    n = len(data)
    low, high = n * PRIME64_1 & MASK, 0

    def mix_two(i: int, j: int, secret_at: int) -> None:
        nonlocal low, high
        low = low + _mixed(data, i, secret_at, 0) & MASK ^ (_word(data, j) + _word(data, j + 8) & MASK)
        high = high + _mixed(data, j, secret_at + 16, 0) & MASK ^ (_word(data, i) + _word(data, i + 8) & MASK)

    if n <= 128:
        for i in reversed(range((n - 1 >> 5) + 1)):
            mix_two(16 * i, n - 16 * i - 16, 32 * i)
    else:
        for i in range(4):
            mix_two(32 * i, 32 * i + 16, 32 * i)
        low, high = avalanche(low), avalanche(high)
        for i in range(4, n >> 5):
            mix_two(32 * i, 32 * i + 16, 32 * (i - 4) + 3)
        mix_two(n - 16, n - 32, 103)
    mixed = low * PRIME64_1 + high * PRIME64_4 + n * PRIME64_2
    return avalanche(low + high & MASK), -avalanche(mixed & MASK) & MASK


def _accumulators(data: bytes, secret: bytes) -> list[int]:
    """The eight accumulators after all of an input of more than 240 bytes."""
    lanes = list(START)
    stripes = (len(data) - 1) // STRIPE  # the last one, whole or not, goes in apart
    for stripe in range(stripes):
        _accumulate(lanes, data, STRIPE * stripe, secret, 8 * (stripe % STRIPES_A_BLOCK))
        if stripe % STRIPES_A_BLOCK == STRIPES_A_BLOCK - 1:
            for k in range(8):
                lanes[k] ^= lanes[k] >> 47
                lanes[k] = (lanes[k] ^ _word(secret, len(secret) - STRIPE + 8 * k)) * PRIME32_1 & MASK
    _accumulate(lanes, data, len(data) - STRIPE, secret, len(secret) - 71)
    return lanes


def _accumulate(lanes: list[int], data: bytes, at: int, secret: bytes, secret_at: int) -> None:
    for k in range(8):
        value = _word(data, at + 8 * k)
        keyed = value ^ _word(secret, secret_at + 8 * k)
        lanes[k ^ 1] = lanes[k ^ 1] + value & MASK
        lanes[k] = lanes[k] + (keyed & 0xFFFFFFFF) * (keyed >> 32) & MASK


def _merge(lanes: list[int], secret: bytes, secret_at: int, start: int) -> int:
    total = start
    for k in range(0, 8, 2):
        left = lanes[k] ^ _word(secret, secret_at + 8 * k)
        right = lanes[k + 1] ^ _word(secret, secret_at + 8 * k + 8)
        total += _folded(left, right)
    return avalanche(total & MASK)
