"""members: the reference against json, the kernel against the reference."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from forge_gpu.kernels.cpu import members as cpu
from forge_gpu.kernels.layout import ABSENT, BODIES, JSON, NULL, PLAIN, Spans
from forge_gpu.kernels.reference import members as reference
from forge_gpu.kernels.scratch import Scratch
from tests.kernels.adversarial import column_of, run_checked
from tests.kernels.json_texts import EVERY, mutate

KEYS = ("a", "é", 'q"', "")
PLACES = (0, 1, reference.LAST)
SCRATCH = Scratch()

VALUES = [
    b"{}", b"{ }", b'{"a":1}', b'{"a" : "x\\n" , "b":[1,{"a":2}]}', b'{"a":null}', b'{"a":1,"a":"y"}',
    b'{"\\u0061":true}', '{"é":"é"}'.encode(), b'{"\\u00e9":{}}', b'{"q\\"":[]}',
    b'{"":""}', b'{"a":{"a":3}}',
    b"[]", b"[ ]", b"[1]",
    b'["x"]', b'["\\u00e9",null]', b"[null]", b'[[1],{"a":2}]', b"[1,]", b"[1", b"[1 2]",
    b'{"a":1', b'{"a"}', b'{"a":1}}', b'{"a":1} ', b"1", b'"a"', b"null", b"", b"[1]]", b'{"a":1,}',
]  # fmt: skip


def values(column: Spans) -> list[tuple[int, int, bytes]]:
    return [(int(column.kind[i]), int(column.start[i]), column.raw(i)) for i in range(len(column))]


def check(rows: list[tuple[int, bytes]]) -> None:
    column = column_of(rows, before=b"#" * 70, between=b"]")
    result, expected = cpu.scan_members(column, KEYS, SCRATCH), reference.scan_members(column, KEYS)
    assert {key: values(spans) for key, spans in result.items()} == {
        key: values(spans) for key, spans in expected.items()
    }
    for place in PLACES:
        assert values(cpu.scan_elements(column, place, SCRATCH)) == values(
            reference.scan_elements(column, place)
        )


@pytest.mark.parametrize("text", VALUES)
def test_each_value_alone(text: bytes) -> None:
    check([(JSON, text)])


def test_all_values_in_a_column() -> None:
    check([(JSON, text) for text in VALUES + EVERY])


def test_every_truncation() -> None:
    for text in ('{"a": "x\\u00e9é", "é":[1,{"a":"]"}]}'.encode(), '["x", {"a": [1, 2]}, "é"]'.encode()):
        check([(JSON, text[:end]) for end in range(len(text) + 1)])


def test_values_that_are_no_json_have_no_members() -> None:
    check([(kind, b'{"a":1}' if kind > NULL else b"") for kind in (ABSENT, NULL, PLAIN, *BODIES, JSON)])
    check([])


def test_no_place_before_the_last() -> None:
    for module in (cpu, reference):
        with pytest.raises(ValueError):
            module.scan_elements(column_of([]), -2)


_VALUE = st.recursive(
    st.none() | st.integers() | st.booleans() | st.text(max_size=70),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from((*KEYS, "b")), inner),
    max_leaves=8,
)


@given(st.lists(_VALUE, max_size=5), st.booleans(), st.none() | st.randoms(use_true_random=False))
@settings(deadline=None, max_examples=100)
def test_random_values(drawn: list[object], ascii_only: bool, rng) -> None:
    texts = [json.dumps(value, ensure_ascii=ascii_only).encode() for value in drawn]
    if rng is None:
        column = column_of([(JSON, text) for text in texts])
        for i, value in enumerate(drawn):
            inner = value.get("a", ABSENT) if isinstance(value, dict) else ABSENT
            span = reference.scan_members(column, ["a"])["a"]
            if span.kind[i] == JSON:
                assert json.loads(span.raw(i)) == inner
            if span.kind[i] == ABSENT:
                assert inner is ABSENT
    else:
        for i, text in enumerate(texts):
            changed = bytearray(text)
            mutate(changed, rng)
            texts[i] = bytes(changed)
    check([(JSON, text) for text in texts])


def test_checked_mode_touches_no_byte_outside() -> None:
    run_checked(__file__)
