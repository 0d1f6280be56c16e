"""statistics: against the reference on hostile bytes, and the reference against what Python says of text."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from forge_gpu.kernels.cpu.statistics import judge
from forge_gpu.kernels.layout import ABSENT, CANONICAL, CLEAN, ESCAPED, JSON, NULL, PLAIN, Spans
from forge_gpu.kernels.reference import statistics as reference
from forge_gpu.kernels.reference.jsontext import decode
from forge_gpu.kernels.reference.statistics import BLANK, REPEATS, text_statistics
from forge_gpu.kernels.scratch import Scratch
from tests.kernels.adversarial import column_of, edge_text, run_checked

SCRATCH = Scratch()
WHITE = [chr(value) for value in range(sys.maxunicode + 1) if chr(value).isspace()]
CONTROLS = tuple("\t\n\r\x00\x1f\x7f\x80\x85\x9f\ufffd")
WORDS = ["Ã©", "â€™", "Â\u00a0", "中文，", *"aéÂÃðŸ˜€ß»…”Š😀"]
PIECES = st.sampled_from([*CONTROLS, *WORDS, *WHITE, "x" * 61, "y" * 63, "z" * 64])
TEXTS = st.lists(PIECES, max_size=16).map("".join).map(str.encode)
HOSTILE = bytes.fromhex("00092041 7f808285 9aa0a8ac bdbfc0c2 c3c5c6cb e1e2e3ed eff0f4ff")
ESCAPES = st.lists(
    st.sampled_from(rb"""a \n \t \u0007 \u00c3 \u00a9 \ufffd \ud83d \" \\ \u00""".split()), max_size=40
).map(b"".join)
BYTES = st.lists(st.sampled_from(HOSTILE), max_size=160).map(bytes)


def assert_alike(column: Spans, limit: float | None) -> None:
    result, expected = judge(column, limit, SCRATCH), reference.judge(column, limit, Scratch())
    assert [field.tolist() for field in result] == [field.tolist() for field in expected]


def assert_equal(rows: list[bytes], limit: float | None = 0.6) -> None:
    assert_alike(column_of([(PLAIN, row) for row in rows]), limit)


def of(row: str | bytes) -> dict[str, int]:
    """The statistics of one row, and what the kernel finds in it."""
    data = row if isinstance(row, bytes) else row.encode()
    assert_equal([data])
    result = text_statistics(edge_text([data]), SCRATCH)
    return {name: int(getattr(result, name)[0]) for name in result._fields}


@given(
    rows=st.lists(TEXTS | BYTES | ESCAPES | st.binary(max_size=200), max_size=8),
    kind=st.sampled_from([PLAIN, CLEAN, CANONICAL, ESCAPED, JSON]),
    limit=st.sampled_from([None, 0.0, 0.3, 0.5, 0.6, 1.0]),
)
@settings(deadline=None, max_examples=300)
def test_equals_the_reference(rows: list[bytes], kind: int, limit: float | None) -> None:
    """Of every kind, which lies more often than not about the bytes."""
    assert_alike(column_of([(kind, row) for row in rows]), limit)


def test_null_and_absent_hold_nothing() -> None:
    assert judge(column_of([(NULL, b""), (ABSENT, b"")]), 0.6, SCRATCH).found.tolist() == [BLANK, BLANK]


@pytest.mark.parametrize("repeats", [3, 4, 7])
@pytest.mark.parametrize("size", [17, 300, 1200, 4000])
def test_the_limit_is_exact(repeats: int, size: int) -> None:
    """A share that is the limit does not exceed it; the next float below is exceeded."""
    generator = np.random.default_rng(size)
    column = column_of([(PLAIN, generator.integers(97, 123, size).astype(np.uint8).tobytes() * repeats)])
    counts = text_statistics(decode(column, SCRATCH), SCRATCH)
    exact = float(counts.repeated[0] / counts.windows[0])
    for limit, repeating in ((exact, False), (np.nextafter(exact, 0) - 1e-9, True)):
        assert_alike(column, limit)
        assert bool(judge(column, limit, SCRATCH).found[0] & REPEATS) is repeating


def test_slots_are_forgotten_between_rows() -> None:
    """More rows than there are marks, all alike: none repeats because of another."""
    generator = np.random.default_rng(3)
    row = generator.integers(97, 123, 40).astype(np.uint8).tobytes()
    assert not (judge(column_of([(PLAIN, row)] * 600), 0.3, SCRATCH).found & REPEATS).any()


@pytest.mark.parametrize(
    "piece", ["\ufffd", "\x85", "\x7f", "Ã©", "â€™", "ðŸ˜€", "Â\u00a0", "ß”", "\u2003", "😀"]
)
def test_every_position_of_a_block(piece: str) -> None:
    """Patterns that cross a block, and rows that end in the middle of one with the rest in the next row."""
    whole = piece.encode()
    rows = [b"a" * before + whole + b"b" * after for before in range(131) for after in (0, 3)]
    rows += [part for cut in range(len(whole)) for part in (b"c" * 62 + whole[:cut], whole[cut:])]
    assert_equal(rows)


@given(text=st.text(st.characters(exclude_categories=["Cs"]), max_size=300))
@settings(deadline=None, max_examples=100)
def test_counts_are_those_of_python(text: str) -> None:
    result = of(text)
    assert result["characters"] == len(text)
    assert result["replacements"] == text.count("\ufffd")
    controls = [
        char for char in text if (ord(char) < 0x20 and char not in "\t\n\r") or 0x7F <= ord(char) < 0xA0
    ]
    assert result["controls"] == len(controls)
    assert result["blank"] == (not text.strip())


def test_white_space_is_that_of_python() -> None:
    assert len(WHITE) == 29
    assert of("".join(WHITE))["blank"] == 1
    others = [chr(value) for value in range(0x3100) if not chr(value).isspace()]
    rows = [(" " + char).encode() for char in others]
    assert not text_statistics(edge_text(rows), SCRATCH).blank.any()
    assert_equal(rows)
    assert of(b"\xe2\x80")["blank"] == of(b"\xc2")["blank"] == of(b" \xff")["blank"] == 0


HEALTHY = [
    "Gruß…",
    "« voilà\u00a0»",
    "MENÜ–",
    "“CAFÉ”",
    "Úžasný",
    "JOSÉ",
    "été déjà vu",
    "Ñandú",
    "ROSÉ®",
    "Ångström",
    "20\u00a0°C",
    "ß²",
]
BROKEN = ["é", "’", "\u00a0", "“quoted”", "naïve", "привет", "中文", "😀", "Ärger", "š", "£5", "→", "Ελλάδα"]


@pytest.mark.parametrize("text", HEALTHY)
def test_healthy_text_is_no_mojibake(text: str) -> None:
    assert of(text)["mojibake"] == 0


@pytest.mark.parametrize("text", BROKEN)
def test_text_read_as_the_wrong_encoding_is_mojibake(text: str) -> None:
    as_windows = "".join(_as_windows(byte) for byte in text.encode())
    assert of(as_windows)["mojibake"] > 0
    assert of(text.encode().decode("latin-1"))["mojibake"] > 0
    assert of(text)["mojibake"] == 0


def _as_windows(byte: int) -> str:
    try:
        return bytes([byte]).decode("cp1252")
    except UnicodeDecodeError:
        return chr(byte)


def share(row: str) -> float:
    result = of(row)
    return result["repeated"] / max(result["windows"], 1)


def test_repetition_is_the_share_of_windows_seen_before() -> None:
    generator = np.random.default_rng(5)
    unique = "".join(map(chr, generator.integers(97, 123, 700)))
    assert share("") == share("1234567") == 0
    assert share("12345678") == 0
    assert share("a" * 100) == pytest.approx(92 / 93)
    assert share(unique) < 0.05
    assert share(unique * 3) == pytest.approx(2 / 3, abs=0.03)
    assert share("no, no, " * 40) > 0.95
    assert share(unique[:97] * 3000) > 0.95
    assert share("".join(map(chr, generator.integers(97, 123, 300_000)))) < 0.05


@pytest.mark.parametrize("length", [7, 8, 9, 39, 40, 41, 4103, 4104, 4105, 8198, 8199, 8200, 100_003])
def test_windows_of_any_length(length: int) -> None:
    generator = np.random.default_rng(length)
    for limit in (0.1, 0.6, 0.99):
        assert_equal([generator.integers(97, 100, length).astype(np.uint8).tobytes()], limit)
    assert of(b"x" * length)["windows"] <= reference.MAX_WINDOWS


def test_no_rows_and_values_apart() -> None:
    assert_equal([])
    whole = column_of([(PLAIN, b"a"), (PLAIN, "é\u2003".encode()), (PLAIN, b""), (PLAIN, b"ccc")])
    part = whole.over(whole.start[1:3], whole.length[1:3], whole.kind[1:3])
    assert judge(part, 0.6, SCRATCH).characters.tolist() == [2, 0]


@pytest.mark.parametrize(
    ("start", "length", "kind"),
    [(0, 4, PLAIN), (-1, 2, CLEAN), (2**62, 2**62, ESCAPED), (3, 1, PLAIN), (0, 1, 7)],
)
def test_a_value_outside_the_data_is_refused(start: int, length: int, kind: int) -> None:
    data = column_of([(PLAIN, b"abc")]).data
    column = Spans(data, np.array([start]), np.array([length]), np.array([kind], np.uint8))
    with pytest.raises(ValueError, match="value 0 of a column lies outside"):
        judge(column, 0.6, SCRATCH)


def test_statistics_in_checked_mode() -> None:
    run_checked(__file__)
