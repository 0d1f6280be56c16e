"""Cuts and questions on spans, against their plain meaning and against str itself."""

import json
import os
import random
import subprocess
import sys

import numpy as np
import pytest

from forge_gpu.kernels.cpu import grouping, textops
from forge_gpu.kernels.layout import ABSENT, CANONICAL, ESCAPED, NULL, PLAIN, Spans
from forge_gpu.kernels.reference import grouping as grouping_reference
from forge_gpu.kernels.reference import textops as reference

PIECES = [*'ab<>/ \n\t\\"é日😀\u3000\u001c\u2028\x85\u00a0\x00', "</think>", "aa", "\\n", "\\u0061", "x" * 70]
PARTS = ["a", "aa", "</think>", "\n", "\\", "😀", "日\n", '"', "\x00", "ab"]


def body(text, rng):
    ascii_only = rng.random() < 0.4
    spelled = json.dumps(text, ensure_ascii=ascii_only)[1:-1]
    if rng.random() < 0.3:
        spelled = spelled.replace("/", "\\/")
    return spelled.replace("a", "\\u0061") if rng.random() < 0.2 and not ascii_only else spelled


def column(count, seed):
    """Values of all kinds, with no byte between them, in a buffer that ends with the last one."""
    rng = random.Random(seed)
    texts, values, kinds = [], [], []
    for _ in range(count):
        text = "".join(rng.choice(PIECES) for _ in range(rng.choice([0, 1, 2, 3, 5, 9, 40])))
        kind = rng.choice([PLAIN, ESCAPED, CANONICAL, NULL, ABSENT])
        spelled = text if kind == PLAIN else body(text, rng)
        texts.append(text if kind > NULL else "")
        values.append(spelled.encode() if kind > NULL else b"")
        kinds.append(kind)
    length = np.array([len(value) for value in values], np.int64)
    start = np.where(length > 0, np.cumsum(length) - length, 0)
    return Spans(np.frombuffer(b"".join(values), np.uint8), start, length, np.array(kinds, np.uint8)), texts


SPANS, TEXTS = column(400, 3)
AT = np.array(random.Random(4).sample(range(400), 300), np.int64)


def decoded(spans, k):
    return reference.text(spans, k)


def check_cut(name, meaning, *arguments):
    result, required = (
        getattr(textops, name)(SPANS, AT, *arguments),
        getattr(reference, name)(SPANS, AT, *arguments),
    )
    assert result.kind.tolist() == required.kind.tolist()
    for k, i in enumerate(AT.tolist()):
        assert result.raw(k) == required.raw(k), (name, arguments, SPANS.raw(i))
        assert decoded(result, k) == meaning(TEXTS[i]), (name, arguments, TEXTS[i])


def check_answer(name, meaning, *arguments):
    result = getattr(textops, name)(SPANS, AT, *arguments)
    assert result.tolist() == getattr(reference, name)(SPANS, AT, *arguments).tolist()
    assert result.tolist() == [meaning(TEXTS[i]) for i in AT.tolist()]


@pytest.mark.parametrize("characters", [None, "\n", "ab\\😀", "xa"])
def test_strip(characters):
    check_cut("strip", lambda text: text.strip(characters), True, True, characters)
    check_cut("strip", lambda text: text.lstrip(characters), True, False, characters)
    check_cut("strip", lambda text: text.rstrip(characters), False, True, characters)
    for module in (textops, reference):
        whole = module.strip(SPANS, None, True, True, characters)
        assert [decoded(whole, k) for k in range(400)] == [text.strip(characters) for text in TEXTS]


def test_white_space_is_what_python_strips():
    assert set(reference.WHITE_SPACE) == {chr(c) for c in range(0x110000) if chr(c).isspace()}
    assert len(reference.WHITE_SPACE) == 29


def test_cut():
    for start in (None, 0, 1, -1, 3, -3, 60):
        for stop in (None, 0, 1, -1, 3, -3, 60):
            check_cut("cut", lambda text, start=start, stop=stop: text[start:stop], start, stop)


@pytest.mark.parametrize("part", PARTS)
def test_pieces_and_affixes(part):
    for limit in (-1, 0, 1, 2):
        for index in (0, 1, 3, -1, -2):

            def meaning(text, limit=limit, index=index):
                pieces = text.split(part, limit)
                return pieces[index] if -len(pieces) <= index < len(pieces) else ""

            check_cut("piece", meaning, part, limit, index)
    check_cut("remove_affix", lambda text: text.removeprefix(part), part, False)
    check_cut("remove_affix", lambda text: text.removesuffix(part), part, True)


@pytest.mark.parametrize("part", PARTS)
def test_questions(part):
    check_answer("starts_with", lambda text: text.startswith(part), part)
    check_answer("ends_with", lambda text: text.endswith(part), part)
    check_answer("equals", lambda text: text == part, part)
    for times in (1, 2, 3):
        check_answer("counts", lambda text, times=times: text.count(part) >= times, part, times)


def test_lengths():
    for length in (0, 1, 2, 10, 71):
        check_answer("at_least", lambda text, length=length: len(text) >= length, length)
    assert textops.characters(SPANS, AT).tolist() == [len(TEXTS[i]) for i in AT.tolist()]
    assert reference.characters(SPANS, AT).tolist() == [len(TEXTS[i]) for i in AT.tolist()]


def test_what_cannot_be_read():
    with pytest.raises(ValueError, match="none of the 400"):
        textops.strip(SPANS, np.array([400]), True, True)
    broken = Spans(SPANS.data, SPANS.start + 10**6, SPANS.length, SPANS.kind)
    with pytest.raises(ValueError, match="outside its buffer"):
        textops.starts_with(broken, AT, "a")
    for at in (None, AT):
        with pytest.raises(ValueError, match="outside its buffer"):
            textops.strip(broken, at, True, True)
    with pytest.raises(ValueError, match="empty separator"):
        textops.counts(SPANS, AT, "", 1)


def test_bytes_that_are_no_text():
    """Whatever the bytes are, a kernel stays inside its value and ends."""
    rng = np.random.default_rng(9)
    data = rng.choice(np.frombuffer(b'a\\u0n"\xc3\xf0\x80\xff', np.uint8), 4000)
    start = np.arange(0, 4000, 8, dtype=np.int64)
    for kind in (PLAIN, CANONICAL, ESCAPED):
        spans = Spans(data, start, np.full(500, 8, np.int64), np.full(500, kind, np.uint8))
        every = np.arange(500)
        for cut in (
            textops.strip(spans, every, True, True, "a\xff"),
            textops.strip(spans, None, True, True),
            textops.cut(spans, every, 1, -1),
            textops.piece(spans, every, "a", -1, -1),
            textops.remove_affix(spans, every, "aa", True),
        ):
            assert (cut.start >= start).all() and (cut.start + cut.length <= start + 8).all()
        assert (textops.characters(spans, every) <= 8).all()


def test_checked_kernels():
    """The same tests once more, with every access compared with its buffer."""
    command = [sys.executable, "-m", "pytest", "-q", __file__, "-k", "not checked"]
    environment = {**os.environ, "FORGE_CHECKED_KERNELS": "1"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout[-2000:]


def test_group_rows():
    rng = np.random.default_rng(1)
    count = rng.choice([0, 1, 2, 7, 8, 9, 16, 17], 500)
    first = np.concatenate([[0], np.cumsum(count)])
    code = (rng.random(first[-1]) < 0.1).astype(np.uint8)
    required = (rng.random(500) < 0.9).astype(np.uint8)
    result, examples = grouping.group_rows(first, code, required)
    same, first_rows = grouping_reference.group_rows(first, code, required)
    assert result.tolist() == same.tolist() and examples.tolist() == first_rows.tolist()
    empty = grouping.group_rows(np.zeros(1, np.int64), code, np.zeros(0, np.uint8))
    assert [len(part) for part in empty] == [0, 0]
    with pytest.raises(ValueError):
        grouping.group_rows(first + 1, code, required)
