"""statistics: against the reference on hostile bytes, and against what Python says of real text."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from forge_gpu.kernels.cpu.statistics import text_statistics
from forge_gpu.kernels.layout import Text
from forge_gpu.kernels.reference import statistics as reference
from forge_gpu.kernels.scratch import Scratch
from tests.kernels.adversarial import edge_text, run_checked

SCRATCH = Scratch()
WHITE = [chr(value) for value in range(sys.maxunicode + 1) if chr(value).isspace()]
CONTROLS = tuple("\t\n\r\x00\x1f\x7f\x80\x85\x9f\ufffd")
WORDS = ["Ã©", "â€™", "Â\u00a0", "中文，", *"aéÂÃðŸ˜€ß»…”Š😀"]
PIECES = st.sampled_from([*CONTROLS, *WORDS, *WHITE, "x" * 61, "y" * 63, "z" * 64])
TEXTS = st.lists(PIECES, max_size=16).map("".join).map(str.encode)
HOSTILE = bytes.fromhex("00092041 7f808285 9aa0a8ac bdbfc0c2 c3c5c6cb e1e2e3ed eff0f4ff")
BYTES = st.lists(st.sampled_from(HOSTILE), max_size=160).map(bytes)


def assert_equal(rows: list[bytes], repetition: bool = True) -> None:
    text = edge_text(rows)
    result = text_statistics(text, SCRATCH, repetition)
    expected = reference.text_statistics(text, SCRATCH, repetition)
    for name in result._fields:
        assert getattr(result, name).tolist() == getattr(expected, name).tolist(), name


def of(row: str | bytes) -> dict[str, int]:
    """The statistics of one row."""
    result = text_statistics(edge_text([row if isinstance(row, bytes) else row.encode()]), SCRATCH)
    return {name: int(getattr(result, name)[0]) for name in result._fields}


@given(rows=st.lists(TEXTS | BYTES | st.binary(max_size=200), max_size=8), repetition=st.booleans())
@settings(deadline=None, max_examples=300)
def test_equals_the_reference(rows: list[bytes], repetition: bool) -> None:
    assert_equal(rows, repetition)


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
    result = text_statistics(edge_text([(" " + char).encode() for char in others]), SCRATCH)
    assert not result.blank.any()
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
    assert_equal([generator.integers(97, 100, length).astype(np.uint8).tobytes()])
    assert of(b"x" * length)["windows"] <= reference.MAX_WINDOWS


def test_no_rows_and_sliced_texts() -> None:
    assert_equal([])
    text = edge_text([b"a", "é\u2003".encode(), b"", b"ccc"])
    part = Text(text.data, text.offsets[1:4])
    assert text_statistics(part, SCRATCH).characters.tolist() == [2, 0]


@pytest.mark.parametrize("offsets", [[0, 4], [2, 1], [-1, 2], [2**62, 2**62 + 1]])
def test_a_row_outside_the_data_is_refused(offsets: list[int]) -> None:
    text = Text(edge_text([b"abc"]).data, np.array(offsets, np.int64))
    with pytest.raises(ValueError, match="row 0 of a text lies outside"):
        text_statistics(text, SCRATCH)


def test_statistics_in_checked_mode() -> None:
    run_checked(__file__)
