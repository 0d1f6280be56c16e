"""The scan of JSON lines on a device: what it calls good is what the reference finds."""

from __future__ import annotations

import random

import numpy as np
import pytest

from forge_gpu.kernels.reference import scan as reference
from forge_gpu.kernels.reference.grammar import value_end
from tests.kernels.cuda_backends import SIMULATED, open_device, run_simulated
from tests.kernels.json_texts import ACCEPTED, EVERY, KEYS, mutate

BACKENDS = [pytest.param("sim", marks=pytest.mark.sim), pytest.param("gpu", marks=pytest.mark.gpu)]
MANY = 2**40
CHAT = (
    b'{"messages": [{"role": "user", "content": "h\\u00e9 \\"x\\""}, '
    b'{"role": "assistant", "content": "\xe4\xbd\xa0"}], "id": 7}'
)
NAMES = (*KEYS, "messages", "id")


def check(data: bytes, backend: str, limit: int = MANY) -> tuple[int, int]:
    """(records that are good, those of them that were handed over), compared with the reference."""
    from forge_gpu.kernels.cuda.scan import GOOD, HANDED, scan_lines

    device = open_device(backend)
    whole = np.frombuffer(data, np.uint8)
    expected = reference.scan_records(whole, "lines", NAMES, limit)
    source = device.bytes(len(data))[: len(data)]
    source[:] = device.upload(whole)
    start, length, kind = map(device.download, scan_lines(source, NAMES, limit, device))
    assert (start.dtype, length.dtype, kind.dtype) == (np.int64, np.int64, np.uint8)
    assert start[-1].tolist() == expected.start.tolist() and length[-1].tolist() == expected.length.tolist()
    good = kind[-1] == GOOD
    assert (good | (kind[-1] == HANDED)).all() and not (expected.reason[good] != 0).any()
    for k, key in enumerate(NAMES):
        column = expected.columns[key]
        for have, values in ((start, column.start), (length, column.length), (kind, column.kind)):
            assert have[k].tolist() == (values * good).tolist(), key
    handed = np.flatnonzero((expected.reason == 0) & ~good)
    for i in handed.tolist():
        assert has_escaped_key(data[start[-1, i] : start[-1, i] + length[-1, i]])
    return int((expected.reason == 0).sum()), len(handed)


def has_escaped_key(record: bytes) -> bool:
    keys: list[bytes] = []
    value_end(record, 0, visit=lambda key, begin, end: keys.append(key))
    return any(b"\\" in key for key in keys)


@pytest.mark.parametrize("backend", BACKENDS)
def test_every_text_is_judged_as_the_reference_does(backend: str) -> None:
    texts = [text for text in (*EVERY, CHAT) if b"\n" not in text]
    good, handed = check(b" \r\n".join(texts), backend)
    assert good == len(ACCEPTED) + 1 and 0 < handed == sum(map(has_escaped_key, map(bytes.strip, ACCEPTED)))


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("ending", [b"", b"\n", b"\n\n \t\r\n"])
def test_lines_and_their_ends(backend: str, ending: bytes) -> None:
    assert check(b"\n \n" + b'\n\t{"a":1} \r\n'.join([CHAT] * 3) + ending, backend) == (5, 0)
    check(ending, backend)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("size", [0, 1, 7, 8, 63, 64, 70])
def test_what_is_behind_the_bytes_is_no_line(backend: str, size: int) -> None:
    from forge_gpu.kernels.cuda.scan import BLOCK, count_lines

    device = open_device(backend)
    memory = device.bytes(128)
    memory[:] = ord("\n")
    counts = device.xp.zeros(-(-size // BLOCK), np.int64)
    device.launch(count_lines, len(counts), device.words(memory), 3, size, counts)
    assert device.download(counts).sum() == size


@pytest.mark.parametrize("backend", BACKENDS)
def test_strings_that_end_at_every_place_of_a_word(backend: str) -> None:
    lines = [
        b'{"a":"' + b"x" * n + tail + b'","b":null}' for n in range(9) for tail in (b"", b"\\n", b"\xc3\xa9")
    ]
    assert check(b"\n".join(lines), backend) == (27, 0)


@pytest.mark.parametrize("backend", BACKENDS)
def test_records_that_are_long_or_deep_are_handed_over(backend: str) -> None:
    from forge_gpu.kernels.cuda.grammar import DEEPEST
    from forge_gpu.kernels.cuda.scan import GOOD, HANDED, scan_lines

    device = open_device(backend)
    at = [b'{"a":' + b"[" * n + b"]" * n + b"}" for n in (DEEPEST, DEEPEST + 1)]
    data = np.frombuffer(b"\n".join([*at, b'{"a":"' + b"x" * 200 + b'"}']), np.uint8)
    source = device.bytes(len(data))[: len(data)]
    source[:] = device.upload(data)
    kind = device.download(scan_lines(source, ("a",), 150, device)[2])
    assert kind[-1].tolist() == [GOOD, HANDED, HANDED]


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("seed", range(6))
def test_changed_bytes(backend: str, seed: int) -> None:
    chance = random.Random(seed)
    lines = []
    for _ in range(60):
        line = bytearray(chance.choice([CHAT, *ACCEPTED]))
        for _ in range(chance.randrange(3)):
            mutate(line, chance)
        lines.append(bytes(line))
    assert check(b"\n".join(lines), backend)[0] > 15


@pytest.mark.skipif(SIMULATED, reason="this is the simulator's process")
def test_in_the_simulator() -> None:
    run_simulated(__file__)
