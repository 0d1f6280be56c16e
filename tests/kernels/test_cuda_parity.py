"""Every kernel that has work on a device, on every engine, against the reference: one body for all.

The simulator wants a process of its own: `test_in_the_simulator` runs this file there.
"""

from __future__ import annotations

import numpy as np
import pytest

from forge_gpu.kernels.layout import (
    ABSENT,
    AS_JSON,
    AS_TEXT,
    BODIES,
    CANONICAL,
    CLEAN,
    ESCAPED,
    JSON,
    NULL,
    PLAIN,
    Spans,
    Text,
)
from forge_gpu.kernels.reference import dedup, hashing, jsontext, minhash, render, shingles, statistics, utf8
from forge_gpu.kernels.scratch import Scratch
from forge_gpu.templates.program import Literal, LiteralIfPresent, LiteralIfText, Program, RawSlot, Slot, pack
from tests.kernels.adversarial import rows_of
from tests.kernels.cuda_backends import BACKENDS, SIMULATED, Kernels, equal, run_simulated

SCRATCH = Scratch()
SPELLINGS = [
    b"a", b"plain text ", b"\xc3\xa9", b"\xf0\x9f\x98\x80", b"\x01", b"\n", b"\r\n\t  ", b" ", b'"', b"\\",
    b"\\\\", b"\\n", b"\\/", b"\\u0041", b"\\u001F", b"\\u00e9", b"\\ud83d\\ude00", b"\\ud83d", b"\\u00",
    b"\xff",
]  # fmt: skip
KINDS = [ABSENT, NULL, PLAIN, *BODIES, JSON]
TEXTS = ["Ã©", "â€™", "Â ", "Gruß…", "\u2003", "\x00", "\x7f", "\ufffd", "word word word ", "\u0085",
         "voilà »", "é", "\u3000", "ð\x9f\x98\x80"]  # fmt: skip


@pytest.fixture(params=BACKENDS)
def kernels(request: pytest.FixtureRequest) -> Kernels:
    return Kernels(request.param)


def column(values: list[tuple[int, bytes]], before: bytes = b"??") -> Spans:
    values = [(kind, value if kind > NULL else b"") for kind, value in values]
    length = np.array([len(value) for _, value in values], np.int64)
    start = len(before) + np.concatenate([[0], np.cumsum(length)])[:-1].astype(np.int64)
    start[[kind <= NULL for kind, _ in values]] = 0
    data = np.frombuffer(before + b"".join(value for _, value in values), np.uint8)
    return Spans(data, start, length, np.array([kind for kind, _ in values], np.uint8))


def spelled(random: np.random.Generator, most: int) -> bytes:
    return b"".join(SPELLINGS[i] for i in random.integers(0, len(SPELLINGS), random.integers(0, most)))


def assert_renders(kernels: Kernels, table, program, columns, rows, first=None) -> None:
    for encoding in (AS_TEXT, AS_JSON):
        arguments = table, program, columns, rows, encoding, first
        result = rows_of(kernels("render.render", *arguments))
        expected = rows_of(render.render(*arguments, SCRATCH))
        assert result == expected


@pytest.mark.parametrize("seed", range(4))
def test_programs_over_random_spellings(kernels: Kernels, seed: int) -> None:
    random = np.random.default_rng(seed)
    row_level = column(
        [(int(random.choice(KINDS)), spelled(random, [8, 60][seed % 2])) for _ in range(5)], b"?" * seed
    )
    messages = column([(int(random.choice(KINDS)), spelled(random, 12)) for _ in range(9)])
    first = np.array([0, 2, 2, 5, 7, 9], np.int64)
    programs: list[Program] = [
        (Literal(b"<"), Slot("row"), LiteralIfText(b"--" * 30, "row"), RawSlot("row")),
        (Slot("message", 1), Literal(b"x" * 40), RawSlot("message"), LiteralIfPresent(b"!", "message")),
        (),
    ]
    table = pack(programs, ["message"])
    columns = [{"row": row_level, "message": messages}[name] for name in table.columns]
    program = np.array([0, -1, 1, 0, 1], np.int32)
    assert_renders(kernels, table, program, columns, np.array([4, 0, 0, 3, 1, 2]), first)


@pytest.mark.parametrize("kind", [PLAIN, CANONICAL, ESCAPED, JSON])
def test_blocks_end_between_tokens(kernels: Kernels, kind: int) -> None:
    tokens = [b"\\ud83d\\ude00", b"\\u0041", b"\\\\", b"\\n", b"\n      ", b"\\u001F", b"\x02", b"\\"]
    values = [(kind, b"a" * (116 + k) + token * 3 + b"b" * k) for k in range(0, 13, 2) for token in tokens]
    values += [(kind, b"\\" * 300), (kind, b"a\n" + b" " * 300 + b"b"), (kind, b"\\u0041" * 50)]
    table = pack([(Slot("v"), RawSlot("v"))])
    texts = column(values)
    assert_renders(kernels, table, np.zeros(len(values), np.int32), [texts], np.arange(len(values)))


@pytest.mark.parametrize("kind", [PLAIN, ESCAPED, JSON])
def test_marks_at_every_place_of_a_word(kernels: Kernels, kind: int) -> None:
    marks = [b'"#', b"\\n]", b"\x1f ", b"\n\x0b", b"\r\x0e"]  # each before the byte that a borrow would mark
    values = [(kind, b"\xfe" * k + mark + b"#]\x7f\x80") for k in range(9) for mark in marks]
    texts = column(values)
    table = pack([(Slot("v"),)])
    assert_renders(kernels, table, np.zeros(len(values), np.int32), [texts], np.arange(len(values)))


@pytest.mark.parametrize("at", range(0, 9, 2))
def test_copies_at_every_alignment(kernels: Kernels, at: int) -> None:
    sizes = [0, 1, 7, 8, 9, 31, 32, 33, 40, 63, 64, 255, 1100]
    texts = column([(CLEAN, bytes(k % 251 for k in range(size))) for size in sizes], b"?" * at)
    table = pack([(Literal(b"l" * (8 - at)), Slot("v"), Literal(b"m" * 300))])
    assert_renders(kernels, table, np.zeros(len(sizes), np.int32), [texts], np.arange(len(sizes))[::-1])


def test_a_piece_over_many_tiles(kernels: Kernels) -> None:
    table = pack([(Literal(b"<"), Slot("v"), Literal(b">"))])
    value = bytes(k * 7 % 256 for k in range(9001))
    texts = column([(CLEAN, value), (PLAIN, b'"' * 2100), (CLEAN, b"")])
    assert_renders(kernels, table, np.zeros(3, np.int32), [texts], np.array([0, 1, 2, 0]))


def test_no_rows_and_no_columns(kernels: Kernels) -> None:
    table = pack([(Literal(b"only"),)])
    assert_renders(kernels, table, np.zeros(0, np.int32), [], np.zeros(0, np.int64))
    assert_renders(kernels, table, np.zeros(2, np.int32), [], np.arange(2))


def test_what_points_outside_is_refused(kernels: Kernels) -> None:
    table = pack([(Slot("v"),)])
    good = column([(CLEAN, b"ab"), (CLEAN, b"cd")])
    bad_start = Spans(good.data, np.array([0, 5]), good.length, good.kind)
    huge = Spans(good.data, good.start, np.array([1, 2**63 - 1]), good.kind)
    negative = Spans(good.data, np.array([-1, 0]), good.length, good.kind)
    unknown = Spans(good.data, good.start, good.length, np.array([3, 9], np.uint8))
    program, rows = np.zeros(2, np.int32), np.arange(2)
    for spans in (bad_start, huge, negative, unknown):
        with pytest.raises(ValueError, match="outside its buffer"):
            kernels("render.render", table, program, [spans], rows, AS_TEXT, None)
    for faulty in (np.array([0, 2]), np.array([-1, 0]), np.array([2**62, 0])):
        with pytest.raises(ValueError, match="row"):
            kernels("render.render", table, program, [good], faulty, AS_TEXT, None)
    with pytest.raises(ValueError, match="program"):
        kernels("render.render", table, np.array([0, 7], np.int32), [good], rows, AS_TEXT, None)
    of_messages = pack([(Slot("m", 1),)], ["m"])
    for first in ([0, 1, 2], [2**62, 2**62 + 4, 2**62 + 8], [-5, 0, 2]):
        with pytest.raises(ValueError, match="no message"):
            kernels("render.render", of_messages, program, [good], rows, AS_TEXT, np.array(first))


def test_decode(kernels: Kernels) -> None:
    random = np.random.default_rng(3)
    texts = column([(kind, spelled(random, 40)) for kind in KINDS * 3])
    assert rows_of(kernels("render.decode", texts)) == rows_of(jsontext.decode(texts, SCRATCH))


LENGTHS = [*range(18), 31, 32, 33, 64, 127, 128, 129, 143, 144, 200, 239, 240, 241, 255, 256, 257, 1024, 1025,
           1088, 1089, 2100]  # fmt: skip


def text_of_lengths() -> Text:
    random = np.random.default_rng(1)
    return jsontext.text_of([random.bytes(length) for length in LENGTHS])


def test_hashes(kernels: Kernels) -> None:
    text = text_of_lengths()
    assert equal(kernels("hashing.xxh3_128", text), hashing.xxh3_128(text, SCRATCH))
    for seed in (0, 2**64 - 1, 0x9E3779B97F4A7C15):
        assert equal(kernels("hashing.xxh3_64", text, seed), hashing.xxh3_64(text, seed, SCRATCH))


def test_hashes_of_a_slice_and_of_nothing(kernels: Kernels) -> None:
    text = text_of_lengths()
    part = Text(text.data, text.offsets[30:40])
    assert equal(kernels("hashing.xxh3_128", part), hashing.xxh3_128(part, SCRATCH))
    assert kernels("hashing.xxh3_128", Text(text.data, text.offsets[:1])).shape == (0, 2)
    for offsets in ([0, 5, 3], [-1, 2], [0, len(text.data) + 1]):
        with pytest.raises(ValueError, match="outside its data"):
            kernels("hashing.xxh3_64", Text(text.data, np.array(offsets)), 0)


def test_first_occurrences(kernels: Kernels) -> None:
    random = np.random.default_rng(5)
    for count, values in ((0, 1), (1, 1), (70, 4), (90, 1000), (40, 1)):
        hashes = random.integers(0, values, (count, 2)).astype(np.uint64)
        live = random.integers(0, 4, count).astype(np.uint8)
        assert equal(kernels("dedup.first_occurrence", hashes, live), dedup.first_occurrence(hashes, live))


def texts_to_judge() -> Text:
    random = np.random.default_rng(9)
    rows = ["".join(random.choice(TEXTS, random.integers(0, 24))).encode() for _ in range(16)]
    rows += [
        b" \t\n",
        b"",
        b"\xc2",
        b"\xef\xbf",
        b"\xc3\xa2\xe2\x82",
        random.bytes(200),
        b"ab" * 2500,
        b" " * 70,
    ]
    return jsontext.text_of(rows)


@pytest.mark.parametrize("repetition", [True, False])
def test_statistics(kernels: Kernels, repetition: bool) -> None:
    text = texts_to_judge()
    expected = statistics.text_statistics(text, SCRATCH, repetition)
    for name, result, required in zip(
        expected._fields, kernels.statistics(text, repetition), expected, strict=True
    ):
        assert equal(result, required), name
    part = Text(text.data, text.offsets[3:9])
    assert equal(kernels.statistics(part, False), statistics.text_statistics(part, SCRATCH, False))


@pytest.mark.parametrize(
    ("kind", "fold"), [(0, (False,) * 3), (0, (True,) * 3), (1, (True, True, False))], ids=str
)
def test_minhash(kernels: Kernels, kind: int, fold: tuple[bool, bool, bool]) -> None:
    rows = [b"", b"a", b" a  b ", "Straße  FOO, bar baz; qux".encode(), b"\xf0\x9d", b"\xc3", b"word " * 30]
    text = jsontext.text_of([*rows, *(texts_to_judge().row(i) for i in range(3))])
    arguments = text.data, text.offsets, kind, 3, shingles.fold_table(*fold), minhash.multipliers(20, 3)
    assert equal(kernels("minhash.band_hashes", *arguments, 5, 4), minhash.band_hashes(*arguments, 5, 4))
    few = jsontext.text_of([b"a b", b"", b"c"])  # and more permutations than a warp has at once
    arguments = few.data, few.offsets, kind, 1, shingles.fold_table(*fold), minhash.multipliers(137, 3)
    assert equal(kernels("minhash.signatures", *arguments), minhash.signatures(*arguments))


CHARACTERS = [b"a", b"\x00", "é".encode(), b"\xe0\xa0\x80", "中".encode(), b"\xed\x9f\xbf",
              b"\xf0\x90\x80\x80", b"\xf4\x8f\xbf\xbf", b"\xef\xbf\xbf"]  # fmt: skip
FAULTS = [b"\x80", b"\xc0\x80", b"\xc1\xbf", b"\xc2", b"\xc2a", b"\xe0\x9f\xbf", b"\xe0\xa0", b"\xe4",
          b"\xed\xa0\x80", b"\xf0\x8f\xbf\xbf", b"\xf0\x9f\x98", b"\xf4\x90\x80\x80",
          b"\xf5\x80\x80\x80", b"\xff", b"\xc3\xc3\xa9", b"\xe4\xb8\xad\xad",
          b"\xf0\x9f\x98\x80\x80"]  # fmt: skip


def assert_judges(kernels: Kernels, texts: Spans) -> None:
    result = kernels("utf8.valid_utf8", texts)
    assert equal(result, utf8.valid_utf8(texts))
    assert result.dtype == np.uint8


def test_utf8_with_every_fault(kernels: Kernels) -> None:
    random = np.random.default_rng(11)
    values = [b"x" * before + part + b"y" * after for part in (*CHARACTERS, *FAULTS) for before in (0, 3, 7)
              for after in (0, 1, 9)]  # fmt: skip
    values += [b"".join(random.choice(np.array(CHARACTERS, object), 12)) for _ in range(10)]
    values += [random.bytes(6) for _ in range(10)]
    values += [b"\xe4\xb8", b"\xad", b"", b"\xf0", b"\x9f\x98\x80"]  # nobody's neighbour mends it
    assert_judges(kernels, column([(PLAIN, value) for value in values]))


def test_utf8_over_the_ends_of_tiles(kernels: Kernels) -> None:
    long = [b"a" * (4096 - k) + "😀".encode() + b"b" * 40 for k in range(1, 4)]
    broken = b"c" * 4094 + b"\xe4\xb8" + b"d" * 30
    assert_judges(kernels, column([(PLAIN, value) for value in (*long, broken, b"", b"e")]))


def test_utf8_of_values_in_any_order(kernels: Kernels) -> None:
    data = np.frombuffer("aé\xff中".encode("latin-1", "ignore") + "é中".encode(), np.uint8)
    size = len(data)
    start, length = np.array([size - 3, 0, 0, size - 5, size - 4, 3]), np.array([3, 1, 0, 2, 2, size - 3])
    assert_judges(
        kernels, Spans(data, start, length, np.array([PLAIN, CLEAN, NULL, JSON, PLAIN, ABSENT], np.uint8))
    )
    none = np.zeros(0, np.int64)
    assert_judges(kernels, Spans(data[:0], none, none, np.zeros(0, np.uint8)))


@pytest.mark.sim
def test_utf8_outside_of_the_buffer_sim() -> None:
    if not SIMULATED:
        pytest.skip("runs in a process of its own, with NUMBA_ENABLE_CUDASIM=1")
    good = column([(PLAIN, b"ab"), (PLAIN, b"cd")])
    for start, length in ([0, 5], [2, 2]), ([-1, 0], [1, 1]), ([0, 2**62], [1, 2**62]), ([0, 0], [1, -1]):
        with pytest.raises(ValueError, match="outside its buffer"):
            Kernels("sim")("utf8.valid_utf8", Spans(good.data, np.array(start), np.array(length), good.kind))


@pytest.mark.sim
@pytest.mark.skipif(SIMULATED, reason="this is the simulator's process")
def test_in_the_simulator() -> None:
    run_simulated(__file__)
