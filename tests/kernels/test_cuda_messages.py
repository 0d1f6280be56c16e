"""Message lists on a device: what it flattens is what the reference finds, and it hands over little else than
faults."""

from __future__ import annotations

import json
import random
from itertools import product

import numpy as np
import pytest

from forge_gpu.fates import Reason
from forge_gpu.kernels.layout import ABSENT, BODIES, JSON, NULL, PLAIN, Spans
from forge_gpu.kernels.reference import messages as reference
from forge_gpu.kernels.reference.grammar import decoded, has_lone_surrogate, value_end
from tests.kernels.adversarial import column_of
from tests.kernels.cuda_backends import SIMULATED, open_device, run_simulated
from tests.kernels.json_texts import EVERY, mutate
from tests.kernels.test_kernels_messages import LISTS, ROLES

BACKENDS = [pytest.param("sim", marks=pytest.mark.sim), pytest.param("gpu", marks=pytest.mark.gpu)]
TURN = b'{"role":"user","content":"x"}'
LONG = json.dumps(
    [{"role": "user", "content": 'é "x"\n' * 9}, {"content": [{"type": "text", "text": "]}"}], "role": "é"}],
    ensure_ascii=False,
).encode().replace("é".encode(), "é\\u00e9\\/".encode(), 5)  # fmt: skip


def check(
    values: list[tuple[int, bytes]], backend: str, role: str = "role", content: str = "content"
) -> tuple[int, list[bytes]]:
    """(rows that were flattened, the texts of good ones that were handed over), against the reference."""
    from forge_gpu.kernels.cuda.messages import HANDED, scan_messages

    device = open_device(backend)
    column = column_of(values, before=b"#" * 70, between=b"]")
    expected = reference.scan_messages(column, ROLES, role, content)
    result = scan_messages(column, ROLES, role, content, device)
    first, codes, start, length, kind, plain, reason = map(device.download, result)
    assert [array.dtype for array in (first, codes, start, length, kind, plain, reason)] == [
        np.int64, np.uint8, np.int64, np.int64, np.uint8, np.uint8, np.uint8
    ]  # fmt: skip
    handed = reason == HANDED
    count = np.diff(expected.first) * ~handed
    assert np.diff(first).tolist() == count.tolist() and first[0] == 0
    assert reason[~handed].tolist() == expected.reason[~handed].tolist()
    assert plain.tolist() == (expected.plain * ~handed).tolist()
    of_row = np.repeat(~handed, np.diff(expected.first))
    spans = expected.content
    for have, wanted in (
        (codes, expected.role),
        (start, spans.start),
        (length, spans.length),
        (kind, spans.kind),
    ):
        assert have.tolist() == wanted[of_row].tolist()
    good = np.flatnonzero(handed & (expected.reason == Reason.NONE))
    return int((~handed).sum()), [values[i][1] for i in good.tolist()]


def is_for_the_host(text: bytes) -> bool:
    """Whether a good list has something that the device does not read: half a surrogate pair, bytes that are
    no UTF-8, an escape in a message's key or in its role."""
    try:
        text.decode()
    except UnicodeDecodeError:
        return True
    escaped: list[bytes] = []

    def member(key: bytes, begin: int, end: int) -> None:
        escaped.append(key + (text[begin:end] if decoded(key) == "role" else b""))

    def message(key: bytes, begin: int, end: int) -> None:
        value_end(text, begin, visit=member)

    value_end(text, 0, visit=message)
    return has_lone_surrogate(text) or any(b"\\" in spelled for spelled in escaped)


@pytest.mark.parametrize("backend", BACKENDS)
def test_every_list(backend: str) -> None:
    texts = [*LISTS, *EVERY, LONG, *(b"[" + text + b"]" for text in EVERY)]
    flattened, handed = check([(JSON, text) for text in texts], backend)
    assert flattened > 100 and handed and all(map(is_for_the_host, handed)), handed
    check([(JSON, text) for text in LISTS], backend, "from", "value")


@pytest.mark.parametrize("backend", BACKENDS)
def test_every_truncation(backend: str) -> None:
    flattened, handed = check([(JSON, LONG[:end]) for end in range(len(LONG) + 1)], backend)
    assert flattened == 2 and not handed  # nothing at all, and all of it


@pytest.mark.parametrize("backend", BACKENDS)
def test_kinds_of_rows(backend: str) -> None:
    text = b"[" + TURN + b"]"
    kinds = (ABSENT, NULL, PLAIN, *BODIES, JSON)
    assert check([(kind, text if kind > NULL else b"") for kind in kinds], backend) == (7, [])


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_order_of_keys_and_lists_of_parts(backend: str) -> None:
    turns = (
        TURN, b'{"content":"x","role":"user"}', b'{"role":"user","content":[1]}',
        b'{"content":[],"role":"user"}', b'{"role":"user","content":{}}', b"{}",
        b'{"role":"user","content":"x","role":"system"}',
    )  # fmt: skip
    lists = [b"[ " + b" ,\n".join(three) + b"\t]" for three in product(turns, repeat=3)]
    assert check([(JSON, text) for text in lists], backend) == (len(lists), [])


@pytest.mark.parametrize("backend", BACKENDS)
def test_values_that_are_nested_deep(backend: str) -> None:
    from forge_gpu.kernels.cuda.grammar import DEEPEST

    texts = [
        b'[{"role":"user","content":' + b"[" * depth + b"]" * depth + b"}]"
        for depth in (DEEPEST, DEEPEST + 1)
    ]
    assert check([(JSON, text) for text in texts], backend) == (1, texts[1:])


@pytest.mark.parametrize("backend", BACKENDS)
def test_many_messages_and_none(backend: str) -> None:
    texts = [b"[" + b",".join([TURN] * n) + b"]" for n in (1, 0, 100, 3, 0, 1)]
    assert check([(JSON, text) for text in texts], backend) == (6, [])
    assert check([], backend) == (0, [])


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("seed", range(6))
def test_changed_bytes(backend: str, seed: int) -> None:
    chance = random.Random(seed)
    texts = []
    for _ in range(60):
        text = bytearray(chance.choice([LONG, *LISTS[:40]]))
        for _ in range(chance.randrange(3)):
            mutate(text, chance)
        texts.append(bytes(text))
    flattened, handed = check([(JSON, text) for text in texts], backend)
    assert flattened > 15 and all(map(is_for_the_host, handed)), handed


@pytest.mark.parametrize("backend", BACKENDS)
def test_questions_that_make_no_sense(backend: str) -> None:
    from forge_gpu.kernels.cuda.messages import scan_messages

    device = open_device(backend)
    for roles, role, content in [(("user", "user"), "role", "content"), (ROLES, "role", "role")]:
        with pytest.raises(ValueError):
            scan_messages(column_of([(JSON, b"[]")]), roles, role, content, device)
    zero = np.zeros(0, np.int64)
    none = Spans(np.zeros(0, np.uint8), zero, zero, np.zeros(0, np.uint8))
    assert device.download(scan_messages(none, (), "role", "content", device).first).tolist() == [0]


@pytest.mark.skipif(SIMULATED, reason="this is the simulator's process")
def test_in_the_simulator() -> None:
    run_simulated(__file__)
