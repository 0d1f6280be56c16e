"""split.times: what is a time, and when."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from forge_gpu.kernels.layout import Text
from forge_gpu.split.times import parse_time, parse_times

SECOND = 10**9
NOON = 1717156800 * SECOND  # 2024-05-31T12:00:00Z


@pytest.mark.parametrize(
    ("text", "time"),
    [
        ("2024-05-31T12:00:00Z", NOON),
        ("2024-05-31 12:00", NOON),
        ("  2024-05-31t14:00:00+02:00\n", NOON),
        ("2024-05-31T14:00:00 +0200", NOON),
        ("2024-05-31T07:00:00.000-05", NOON),
        ("2024-05-31T12:00:00,25", NOON + SECOND // 4),
        ("2024-05-31T12:00:00.123456789Z", NOON + 123456789),
        ("2024-05-31T11:59:60Z", NOON),
        ("2024-05-31", NOON - 43200 * SECOND),
        ("2024-05", NOON - 43200 * SECOND - 30 * 86400 * SECOND),
        ("1717156800", NOON),
        ("1717156800.5", NOON + SECOND // 2),
        ("1717156800000", NOON),
        ("1717156800000.25", NOON + 250_000),
        ("1717156800000000", NOON),
        ("1717156800000000000", NOON),
        ("-1.5", -SECOND * 3 // 2),
        ("0", 0),
        ("7", 7 * SECOND),
        ("99999999999", None),  # the year 5138: beyond 64 bits of nanoseconds
        ("9223372036854775807", 2**63 - 1),
        ("9223372036854775808", None),
        ("1677-01-01", None),
        ("2263-01-01", None),
        ("2023-02-29", None),
        ("2024-13-01", None),
        ("2024-05-31T24:00", None),
        ("2024-05-31T12:60", None),
        ("2024-05-31T12:00:61", None),
        ("2024-05-31T12:00:00+02:60", None),
        ("2024-05-31T12", None),
        ("31.05.2024", None),
        ("05/31/2024", None),
        ("yesterday", None),
        ("", None),
        ("1e9", None),
        ("nan", None),
        ("٢٠٢٤-٠٥-٣١", None),
    ],
)
def test_what_is_a_time(text, time):
    assert parse_time(text.encode()) == time


@given(
    st.datetimes(datetime(1678, 1, 1), datetime(2262, 1, 1)),
    st.integers(-14 * 60, 14 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes))),
)
def test_equals_the_standard_library(moment, zone):
    moment = moment.replace(tzinfo=zone)
    since = moment - datetime(1970, 1, 1, tzinfo=UTC)
    assert parse_time(moment.isoformat().encode()) == since // timedelta(microseconds=1) * 1000


def test_columns():
    data = np.frombuffer(b"2024-05-31T12:00?17" + bytes(64), np.uint8)
    for column in (Text(data, np.array([0, 16, 17, 19, 19])), [b"2024-05-31T12:00", b"?", b"17", b""]):
        times, parsed = parse_times(column)
        assert times.tolist() == [NOON, 0, 17 * SECOND, 0] and times.dtype == np.int64
        assert parsed.tolist() == [True, False, True, False]
