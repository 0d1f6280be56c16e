"""utf8: the kernel against Python's own decoder."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from forge_gpu.kernels.cpu import utf8 as cpu
from forge_gpu.kernels.layout import ABSENT, NULL, PLAIN, Spans
from forge_gpu.kernels.reference import utf8 as reference
from tests.kernels.adversarial import column_of, run_checked

GOOD = [
    b"a",
    b"\x00",
    "é".encode(),
    b"\xe0\xa0\x80",
    "中".encode(),
    b"\xed\x9f\xbf",
    b"\xee\x80\x80",
    b"\xf0\x90\x80\x80",
]
GOOD += [b"\xf4\x8f\xbf\xbf", b"\xc2\x80", b"\xdf\xbf", b"\xef\xbf\xbf", b"a" * 61]
BAD = [
    b"\x80",
    b"\xbf",
    b"\xc0\x80",
    b"\xc1\xbf",
    b"\xc2",
    b"\xc2a",
    b"\xe0\x9f\xbf",
    b"\xe0\xa0",
    b"\xe4\xb8",
    b"\xe4",
    b"\xed\xa0\x80",
]
BAD += [
    b"\xed\xbf\xbf",
    b"\xf0\x8f\xbf\xbf",
    b"\xf0\x9f\x98",
    b"\xf0\x9f",
    b"\xf0",
    b"\xf4\x90\x80\x80",
    b"\xf5\x80\x80\x80",
    b"\xff",
]
BAD += [b"\xf8\x88\x80\x80\x80", b"\xfe", b"\xc3\xc3\xa9", b"\xe4\xb8\xad\xad", b"\xf0\x9f\x98\x80\x80"]


def check(values: list[bytes]) -> None:
    column = column_of([(PLAIN, value) for value in values])
    assert cpu.valid_utf8(column).tolist() == reference.valid_utf8(column).tolist()


def test_every_place_in_a_block() -> None:
    for part in GOOD + BAD:
        check([b"x" * n + part + b"y" * after for n in range(130) for after in (0, 1, 3, 64)])
    for part in BAD:
        assert not cpu.valid_utf8(column_of([(PLAIN, part), (PLAIN, b"x" * 100 + part)])).any()


def test_values_side_by_side() -> None:
    """The end of one value is not mended by the beginning of the next."""
    check([b"\xe4\xb8", b"\xad", b"\xe4\xb8\xad", b"", b"\xf0", b"\x9f\x98\x80"])
    column = column_of([(NULL, b""), (ABSENT, b""), (PLAIN, b"")])
    assert cpu.valid_utf8(column).tolist() == [1, 1, 1]


def test_two_bytes_of_every_value() -> None:
    check([bytes([first, second]) for first in range(0x7E, 0x100) for second in range(0x7E, 0x100)])
    check([bytes([first, second, 0x80]) for first in range(0xDE, 0x100) for second in range(0x7E, 0x100)])
    check(
        [bytes([first, second, 0xBF, 0x80]) for first in range(0xEE, 0x100) for second in range(0x7E, 0x100)]
    )


@given(
    st.lists(
        st.lists(st.sampled_from(GOOD * 4 + BAD), max_size=40).map(b"".join) | st.binary(max_size=99),
        max_size=9,
    )
)
@settings(deadline=None, max_examples=300)
def test_random(values: list[bytes]) -> None:
    check(values)


def test_empty_column() -> None:
    none = np.zeros(0, np.int64)
    assert len(cpu.valid_utf8(Spans(np.zeros(0, np.uint8), none, none, np.zeros(0, np.uint8)))) == 0


def test_checked() -> None:
    run_checked(__file__)
