"""Secrets and personal data in texts, by kind. Patterns: patterns.yaml. What is found is counted, never
shown."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Iterator
from functools import cache
from importlib.resources import files

import numpy as np
import numpy.typing as npt
from ruamel.yaml import YAML

from forge_gpu.kernels.layout import I64, U8, Text
from forge_gpu.kernels.scratch import Scratch
from forge_gpu.plain import frozen

Bools = npt.NDArray[np.bool_]

GAP = 3
"""Bytes between two digits of one number, at most."""
LONGEST = 160
"""Bytes from an anchor on that are looked at."""
AFTER_DIGITS = 8
"""Bytes from the last digit of a number on that are looked at."""
RESERVED = re.compile(r"(^|[.@])(example(\.(com|net|org))?|test|invalid|localhost|local)$", re.IGNORECASE)
"""Domains that RFC 2606 keeps for examples."""


@frozen
class Pattern:
    """One way to spell a kind. anchor: bytes that are in each match; or digits: how many at least are."""

    pattern: re.Pattern[bytes]
    anchor: bytes = b""
    digits: int = 0
    before: int = 0
    check: Callable[[str], bool] = bool


def _is_luhn(text: str) -> bool:
    """ISO/IEC 7812: the check digit of a card's number; not of one digit alone."""
    digits = [int(sign) for sign in text if sign.isdigit()]
    doubled = [sum(divmod(2 * digit, 10)) for digit in digits[-2::-2]]
    return len(set(digits)) > 1 and (sum(digits[-1::-2]) + sum(doubled)) % 10 == 0


def _is_iban(text: str) -> bool:
    """ISO 13616: the remainder by 97 is 1."""
    plain = text.replace(" ", "")
    moved = plain[4:] + plain[:4]
    return 15 <= len(plain) <= 34 and int("".join(str(int(sign, 36)) for sign in moved)) % 97 == 1


def _is_public_address(text: str) -> bool:
    try:
        return ipaddress.ip_address(text).is_global
    except ValueError:
        return False


def _is_phone(text: str) -> bool:
    """E.164: up to 15 digits."""
    return 8 <= sum(sign.isdigit() for sign in text) <= 15


CHECKS: dict[str, Callable[[str], bool]] = {
    "luhn": _is_luhn,
    "iban": _is_iban,
    "ip_address": _is_public_address,
    "phone": _is_phone,
    "email": lambda text: RESERVED.search(text) is None,
}


@cache
def patterns(check: str) -> dict[str, list[Pattern]]:
    """Kind -> its patterns, of "secrets" or "personal_data"."""
    text = files("forge_gpu.quality").joinpath("patterns.yaml").read_text(encoding="utf-8")
    return {
        kind: [
            Pattern(
                re.compile(each["pattern"].encode()),
                each.get("anchor", "").encode(),
                each.get("digits", 0),
                each.get("before", 0),
                CHECKS.get(each.get("check", ""), bool),
            )
            for each in listed
        ]
        for kind, listed in YAML(typ="safe").load(text)[check].items()
    }


def secrets(text: Text, scratch: Scratch) -> dict[str, Bools]:
    """Kind -> bool[n]: rows that hold one."""
    return _rows_of(text, "secrets")


def personal_data(text: Text, scratch: Scratch) -> dict[str, Bools]:
    """Kind -> bool[n]: rows that hold some."""
    return _rows_of(text, "personal_data")


def _rows_of(text: Text, check: str) -> dict[str, Bools]:
    offsets = text.offsets
    data = np.ascontiguousarray(text.data[offsets[0] : offsets[-1]])
    whole, begins = data.tobytes(), offsets - offsets[0]
    numbers = _numbers(data, begins) if check == "personal_data" else []
    result = {}
    for kind, listed in patterns(check).items():
        rows = np.zeros(len(text), np.bool_)
        for pattern in listed:
            places = _anchors(whole, pattern.anchor) if pattern.anchor else _long(numbers, pattern.digits)
            for begin, end in places:
                row = int(np.searchsorted(begins, begin, "right")) - 1
                if not rows[row]:
                    first = max(begin - pattern.before - 1, int(begins[row]))
                    rows[row] = _holds(whole[first : min(end, int(begins[row + 1]))], pattern)
        result[kind] = rows
    return result


def _holds(window: bytes, pattern: Pattern) -> bool:
    """Whether a match is there that passes the check."""
    found = pattern.pattern.finditer(window)
    return any(pattern.check(match.group().decode("utf-8", "replace")) for match in found)


def _anchors(whole: bytes, anchor: bytes) -> Iterator[tuple[int, int]]:
    """(where an anchor is, where what is looked at ends)."""
    at = whole.find(anchor)
    while at >= 0:
        yield at, at + LONGEST
        at = whole.find(anchor, at + 1)


def _numbers(data: U8, begins: I64) -> list[tuple[int, int, int]]:
    """(begin, end, digits) of runs of four digits and more of a row that hardly anything stands between."""
    digits = np.flatnonzero((data - np.uint8(48)) < 10)
    if not len(digits):
        return []
    row = np.searchsorted(begins, digits, "right")
    first = np.flatnonzero(np.concatenate(([True], (np.diff(digits) > GAP) | (np.diff(row) > 0))))
    counts = np.diff(np.concatenate((first, [len(digits)])))
    last = first + counts - 1
    some = counts >= 4
    runs = zip(digits[first[some]].tolist(), digits[last[some]].tolist(), counts[some].tolist(), strict=True)
    return list(runs)


def _long(numbers: list[tuple[int, int, int]], digits: int) -> Iterator[tuple[int, int]]:
    """The same of runs of so many digits."""
    return ((begin, end + AFTER_DIGITS) for begin, end, count in numbers if count >= digits)
