"""Texts of a time column as nanoseconds since 1970.

What is a time, after white space around it is removed:

- ISO 8601 dates and times: `2024-05`, `2024-05-31`, `2024-05-31T10:00`, `...T10:00:30`, `...T10:00:30.25`,
  with a blank in place of `T`, a comma in place of the point, up to nine digits of a second, seconds up
  to 60, and `Z`, `+02`, `+0200` or `+02:00` behind a time of day. Without a zone it is UTC. A month
  is its first day, a day its midnight.
- A number, with or without a sign and a fraction: an epoch in seconds when its whole part is below 10^11
  in size, in milliseconds below 10^14, in microseconds below 10^17, else in nanoseconds. (10^11
  seconds is the year 5138, 10^11 milliseconds is 1973.) So numbers of one unit keep their order, and
  any column of small integers can serve as a time.

Anything else is no time, nor is one outside the years 1677 to 2262 that 64 bits of nanoseconds span.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import date

import numpy as np
import numpy.typing as npt

from forge_gpu.kernels.layout import I64, Text

_EPOCH_DAY = date(1970, 1, 1).toordinal()
_SECOND = 10**9
_NUMBER = re.compile(rb"([+-]?)([0-9]{1,19})(?:\.([0-9]{1,30}))?")
_ISO = re.compile(
    rb"([0-9]{4})-([0-9]{2})(?:-([0-9]{2})(?:[Tt ]([0-9]{2}):([0-9]{2})(?::([0-9]{2})(?:[.,]([0-9]{1,9}))?)?"
    rb"[ ]?(?:([Zz])|([+-])([0-9]{2}):?([0-9]{2})?)?)?)?"
)


def parse_times(values: Sequence[bytes] | Text) -> tuple[I64, npt.NDArray[np.bool_]]:
    """(times, parsed): int64[n] nanoseconds since 1970-01-01T00:00Z, 0 where not parsed; bool[n]."""
    n = len(values)
    times, parsed = np.zeros(n, np.int64), np.zeros(n, np.bool_)
    for i in range(n):
        time = parse_time(values.row(i) if isinstance(values, Text) else values[i])
        if time is not None:
            times[i], parsed[i] = time, True
    return times, parsed


def parse_time(text: bytes) -> int | None:
    """Nanoseconds since 1970-01-01T00:00Z, or None when `text` is no time."""
    text = text.strip()
    if match := _ISO.fullmatch(text):
        time = _iso(match)
    elif match := _NUMBER.fullmatch(text):
        time = _epoch(match)
    else:
        return None
    return time if time is not None and -(2**63) <= time < 2**63 else None


def _epoch(match: re.Match[bytes]) -> int:
    sign, whole, fraction = match.groups(b"")
    size = int(whole)
    digits = 9 if size < 10**11 else 6 if size < 10**14 else 3 if size < 10**17 else 0
    time: int = size * 10**digits + int((fraction + b"0" * digits)[:digits] or b"0")
    return -time if sign == b"-" else time


def _iso(match: re.Match[bytes]) -> int | None:
    year, month, day, hour, minute, second = (int(part or b"0") for part in match.groups()[:6])
    fraction, _, sign, zone_hour, zone_minute = (part or b"" for part in match.groups()[6:])
    zone = int(zone_hour or b"0") * 60 + int(zone_minute or b"0")
    if hour > 23 or minute > 59 or second > 60 or int(zone_minute or b"0") > 59 or zone > 24 * 60:
        return None
    try:
        days = date(year, month, day if match.group(3) else 1).toordinal() - _EPOCH_DAY
    except ValueError:
        return None
    minutes = (days * 24 + hour) * 60 + minute - (-zone if sign == b"-" else zone)
    return (minutes * 60 + second) * _SECOND + int(fraction.ljust(9, b"0") or b"0")
