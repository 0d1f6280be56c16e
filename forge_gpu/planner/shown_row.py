"""One row as it is written, in lines for a terminal: cut to its width, control tokens set off."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterable, Mapping

MOST_LINES = 16
OPEN, CLOSE = "⟦", "⟧"
_TOKEN = (
    r"<\|[^|<>\s]{1,60}\|>|<｜[^｜<>\s]{1,60}｜>|</?[a-z]+(?:_[a-z]+)+>|\[/?(?:INST|SYS)\]|</?s>|<</?SYS>>"
)
"""How models spell their control tokens, where the plan does not name them."""


def row_lines(fields: Mapping[str, str], tokens: Iterable[str]) -> list[str]:
    """The fields of a row, a line of text each line. tokens: control tokens that the plan names."""
    width = max(shutil.get_terminal_size((100, 24)).columns - 4, 20)
    named = "|".join(re.escape(token) for token in sorted(tokens, key=len, reverse=True) if token)
    token = re.compile(f"{named}|{_TOKEN}" if named else _TOKEN)
    lines = []
    for name, text in fields.items():
        title = f"{name}: " if len(fields) > 1 else ""
        set_off = token.sub(lambda match: OPEN + match[0] + CLOSE, text)
        lines += [_cut(title * (not number) + line, width) for number, line in enumerate(set_off.split("\n"))]
    more = len(lines) - MOST_LINES
    return [*lines[:MOST_LINES], f"… and {more} more lines"] if more > 0 else lines


def _cut(line: str, width: int) -> str:
    return line if len(line) <= width else line[: width - 1] + "…"
