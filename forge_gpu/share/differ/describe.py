"""A comparison in lines for people."""

from __future__ import annotations

from typing import Any

import orjson

from forge_gpu.share.differ.compare import Comparison
from forge_gpu.share.differ.rows import Changed
from forge_gpu.share.differ.settings import Difference

SHOWN = 3
"""Rows of a kind of change whose places are shown."""
MOST = 60
"""Characters of a value."""
WORDS = {
    "only_in_a": "in A alone",
    "only_in_b": "in B alone",
    "text": "another text",
    "fate": "another fate",
    "reason": "another reason",
    "tokens": "another number of tokens",
    "trained": "another number of trained tokens",
}


def sections(comparison: Comparison) -> list[tuple[str, list[str]]]:
    """(title, lines) of what differs; a section without lines is left away."""
    made = [
        ("Settings", [_difference(of) for of in comparison.settings]),
        ("Inputs", [_difference(of) for of in comparison.inputs] + _renamed(comparison)),
        ("Columns", [_difference(of) for of in comparison.columns]),
        ("Splits", [_split(of) for of in comparison.splits]),
        ("Tokens", [_difference(of) for of in comparison.tokens]),
        ("Rows, by their place in the input", _rows(comparison)),
        ("Texts, wherever they are", _texts(comparison)),
    ]
    return [(title, lines) for title, lines in made if lines]


def _difference(of: Difference) -> str:
    return f"{of['key']}: {_value(of['a'])} → {_value(of['b'])}"


def _value(value: Any) -> str:
    text = value if isinstance(value, str) else orjson.dumps(value).decode()
    return text if len(text) <= MOST else f"{text[:MOST]}… ({len(text):,} characters)"


def _renamed(comparison: Comparison) -> list[str]:
    lines = [f"{a} of A is taken for {b} of B" for a, b in comparison.renamed.items()]
    return lines if len(lines) <= SHOWN else [*lines[:SHOWN], f"and {len(lines) - SHOWN:,} more"]


def _split(of: Difference) -> str:
    a, b = of["a"], of["b"]
    if a is None or b is None:
        there = a or b
        return f"{of['key']}: in {'A' if b is None else 'B'} alone, {there['rows']:,} rows"
    if a["rows"] != b["rows"]:
        return f"{of['key']}: {a['rows']:,} → {b['rows']:,} rows"
    return f"{of['key']}: {a['rows']:,} rows, in other bytes"


def _rows(comparison: Comparison) -> list[str]:
    lines = []
    for change, changed in comparison.rows.by.items():
        lines.append(f"{changed.rows:,} {WORDS.get(change, f'another {change}')}{_places(changed)}")
        if change == "fate":
            ordered = sorted(comparison.rows.moves.items(), key=lambda item: -item[1])
            lines += [f"  {rows:,} {a} → {b}" for (a, b), rows in ordered]
    return lines and [f"{comparison.rows.compared:,} in both", *lines]


def _places(changed: Changed) -> str:
    shown = [f"{row['file']}, row {row['row']}" for row in changed.examples[:SHOWN]]
    more = ", …" if changed.rows > len(shown) else ""
    return f": {'; '.join(shown)}{more}"


def _texts(comparison: Comparison) -> list[str]:
    texts = comparison.texts
    lines = [
        (texts.only_in_a, "in A alone"),
        (texts.only_in_b, "in B alone"),
        (texts.moved, "in both, in another split"),
    ]
    differing = [f"{rows:,} {what}" for rows, what in lines if rows]
    return differing and [f"{texts.same:,} in both, in the same split", *differing]
