"""messages: the reference against json, the kernel against the reference."""

from __future__ import annotations

import json
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from forge_gpu.fates import Reason
from forge_gpu.kernels.cpu import messages as cpu
from forge_gpu.kernels.cpu import scan
from forge_gpu.kernels.layout import (
    ABSENT,
    BODIES,
    CONTENT_FIRST,
    JSON,
    NULL,
    PLAIN,
    ROLE_FIRST,
    WITH_LISTS,
    Messages,
    Spans,
)
from forge_gpu.kernels.reference import messages as reference
from forge_gpu.kernels.scratch import Scratch
from tests.kernels.adversarial import column_of, run_checked
from tests.kernels.json_texts import EVERY, mutate

ROLES = ("system", "user", "assistant", "é", 'q"')
SCRATCH = Scratch()

LISTS = [
    b"[]", b"[ ]", b'[{"role":"user","content":"hi"}]', b'[\n{ "content" : "hi" , "role" : "user" }\t]',
    b"[{}]", b"[{},{}]", b'[{"role":"user","content":"a\\n"},{"role":"assistant","content":""}]',
    b'[{"role":"user"}]', b'[{"content":"x"}]', b'[{"role":"user","content":null}]',
    b'[{"role":"user","content":[{"type":"text"}]}]', b'[{"role":"robot","content":"x"}]',
    b'[{"role":1,"content":"x"}]', b'[{"role":null,"content":"x"}]',
    b'[{"role":"user","content":"x","name":"y"}]', b'[{"role":"user","role":"assistant","content":"x"}]',
    b'[{"role":"user","content":"x","content":"y"}]', b'[{"role":"user","content":"x"},1]',
    b'[1,{"role":"user","content":"x"}]', b'[[{"role":"user"}]]', b'[{"role":"user"},null]',
    b'[{"\\u0072ole":"\\u0075ser","content":"x"}]', '[{"role":"é","content":"x"}]'.encode(),
    b'[{"role":"\\u00e9","content":"x"}]', b'[{"role":"q\\"","content":"x"}]',
    b'[{"role":"User","content":"x"}]', b'[{"role":"user ","content":"x"}]',
    b'[{"role":"use","content":"x"}]', b'[{"role":"","content":"x"}]', b'[{"from":"human","value":"x"}]',
    b"{}", b"1", b"true", b"[", b"[{", b"[{}", b"[{},", b"[{},]", b"[,{}]", b"[{}{}]", b"[{}]]", b"[{}}", b"",
    b"[{}] ", b'[{"role":"user","content":"x}]',
]  # fmt: skip


def rows(messages: Messages) -> list[tuple[object, ...]]:
    """Everything, row by row, with the bytes that the contents point at."""
    content = messages.content
    return [
        (
            int(messages.plain[r]),
            Reason(messages.reason[r]),
            [
                (int(messages.role[m]), int(content.kind[m]), int(content.start[m]), content.raw(m))
                for m in range(first, end)
            ],
        )
        for r, (first, end) in enumerate(zip(messages.first[:-1], messages.first[1:], strict=True))
    ]


def check(values: list[tuple[int, bytes]], role: str = "role", content: str = "content") -> Messages:
    column = column_of(values, before=b"#" * 70, between=b"]")
    expected = reference.scan_messages(column, ROLES, role, content)
    result = cpu.scan_messages(column, ROLES, role, content, SCRATCH)
    assert rows(result) == rows(expected)
    assert result.first[0] == 0 and len(result.role) == len(result.content) == result.first[-1]
    return expected


@pytest.mark.parametrize("text", LISTS)
def test_each_list_alone(text: bytes) -> None:
    check([(JSON, text)])
    check([(JSON, text)], "from", "value")


def test_all_lists_in_a_column() -> None:
    check([(JSON, text) for text in LISTS + EVERY])


def test_every_truncation() -> None:
    text = '[{"role": "user", "content": "x\\u00e9é"}, {"content":[1,{"a":"]"}], "role":"\\u0075ser"}, {}]'
    whole = text.encode()
    check([(JSON, whole[:end]) for end in range(len(whole) + 1)])


def test_kinds_of_rows() -> None:
    text = b'[{"role":"user","content":"x"}]'
    result = check([(kind, text if kind > NULL else b"") for kind in (ABSENT, NULL, PLAIN, *BODIES, JSON)])
    bad = Reason.BAD_MESSAGES
    assert result.reason.tolist() == [
        Reason.MISSING_FIELD,
        Reason.NULL_FIELD,
        bad,
        bad,
        bad,
        bad,
        Reason.NONE,
    ]
    assert result.plain.tolist() == [0, 0, 0, 0, 0, 0, 1]
    assert result.first.tolist() == [0, 0, 0, 0, 0, 0, 0, 1]


def test_plain() -> None:
    plain = {LISTS[i] for i in (2, 3, 6, 21, 22, 23, 24)}
    result = check([(JSON, text) for text in LISTS])
    assert {text for text, is_plain in zip(LISTS, result.plain, strict=True) if is_plain in (1, 2)} == plain
    assert [LISTS[i] for i, how in enumerate(result.plain) if how & WITH_LISTS] == [LISTS[10]]


def test_the_order_of_keys() -> None:
    role_first, content_first = b'{"role":"user","content":"x"}', b'{"content":"x","role":"user"}'
    lists = [b"[" + b",".join(pair) + b"]" for pair in product((role_first, content_first), repeat=2)]
    assert check([(JSON, text) for text in lists]).plain.tolist() == [ROLE_FIRST, 0, 0, CONTENT_FIRST]


_PART = st.none() | st.integers() | st.text(max_size=9) | st.lists(st.text(max_size=3), max_size=2)
_MESSAGE = st.fixed_dictionaries(
    {}, optional={"role": st.sampled_from(ROLES) | _PART, "content": st.text(max_size=80) | _PART, "x": _PART}
)


@given(
    st.lists(st.lists(_MESSAGE, max_size=5), max_size=5),
    st.booleans(),
    st.none() | st.randoms(use_true_random=False),
)
@settings(deadline=None, max_examples=300)
def test_random_lists(conversations: list, ascii_only: bool, rng) -> None:
    texts = [json.dumps(messages, ensure_ascii=ascii_only).encode() for messages in conversations]
    if rng:
        for i, text in enumerate(texts):
            changed = bytearray(text)
            mutate(changed, rng)
            texts[i] = bytes(changed)
    result = check([(JSON, text) for text in texts])
    for r, text in enumerate(texts):
        if result.reason[r] == Reason.NONE:
            assert len(json.loads(text.decode(errors="replace"))) == result.first[r + 1] - result.first[r]


def test_columns_of_a_scan() -> None:
    """As it is used: the spans of a scan, whose lists lie inside records."""
    lines = [b'{"id":%d,"m":%s}' % (i, text) for i, text in enumerate(LISTS)]
    data = np.frombuffer(b"\n".join(lines), np.uint8)
    column = scan.scan_records(data, "array", ("m",), 1 << 30).columns["m"]
    for role in ("role", "from"):
        result, expected = (m.scan_messages(column, ROLES, role, "content") for m in (cpu, reference))
        assert rows(result) == rows(expected)


def test_messages_outgrow_the_arrays() -> None:
    one = b'{"role":"user","content":"x"}'
    texts = [b"[" + b",".join([one] * n) + b"]" for n in (1, 0, 700, 3, 2000, 1)]
    for scratch in (None, Scratch(), SCRATCH):
        column = column_of([(JSON, text) for text in texts])
        result = cpu.scan_messages(column, ROLES, "role", "content", scratch)
        assert np.diff(result.first).tolist() == [1, 0, 700, 3, 2000, 1]
        assert (result.role == 1).all() and {result.content.raw(m) for m in range(len(result.role))} == {b"x"}


def test_no_rows() -> None:
    none = np.zeros(0, np.int64)
    column = Spans(np.zeros(0, np.uint8), none, none, np.zeros(0, np.uint8))
    result = cpu.scan_messages(column, ROLES, "role", "content")
    assert result.first.tolist() == [0] and len(result.role) == len(result.content) == 0


@pytest.mark.parametrize("module", [cpu, reference])
def test_questions_that_make_no_sense(module) -> None:
    column = column_of([(JSON, b"[]")])
    for roles, role, content in [
        (("user", "user"), "role", "content"),
        (tuple(map(str, range(256))), "role", "content"),
        (ROLES, "role", "role"),
    ]:
        with pytest.raises(ValueError):
            module.scan_messages(column, roles, role, content)
    assert module.scan_messages(column, (), "role", "content").first.tolist() == [0, 0]


def test_checked() -> None:
    run_checked(__file__)
