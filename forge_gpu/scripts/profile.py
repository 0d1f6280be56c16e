"""What the columns of some rows hold, without quoting a value."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from forge_gpu.plain import frozen

NAMES = {str: "text", bool: "true or false", int: "number", float: "number", dict: "object", list: "list"}


@frozen
class Profile:
    """One column. rows: those looked at; present, nulls: of them. lengths: of its texts, in characters."""

    name: str
    rows: int
    present: int
    nulls: int
    kinds: tuple[str, ...]
    lengths: tuple[int, ...]


def profile(rows: Sequence[Mapping[str, Any]]) -> list[Profile]:
    """Of every column, in the order in which they first occur."""
    values: dict[str, list[Any]] = {}
    for row in rows:
        for name, value in row.items():
            values.setdefault(name, []).append(value)
    return [_profile(name, held, len(rows)) for name, held in values.items()]


def _profile(name: str, held: Sequence[Any], rows: int) -> Profile:
    there = [value for value in held if value is not None]
    kinds = tuple(sorted({NAMES[type(value)] for value in there}))
    lengths = tuple(sorted(len(value) for value in there if isinstance(value, str)))
    return Profile(name, rows, len(held), len(held) - len(there), kinds, lengths)


def described(columns: Sequence[Profile]) -> list[str]:
    """A line for each column."""
    return [", ".join(_words(column)) for column in columns]


def _words(column: Profile) -> Iterator[str]:
    yield f"{column.name}: {' or '.join(column.kinds) or 'null'}"
    yield f"in {column.present} of {column.rows} rows"
    if column.nulls:
        yield f"null in {column.nulls}"
    if column.lengths:
        lengths = column.lengths
        yield f"{lengths[0]} to {lengths[-1]} characters, half of them up to {lengths[len(lengths) // 2]}"
