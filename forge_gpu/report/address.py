"""Where something is served, as the command line spells it."""

from __future__ import annotations

import re


def address_of(text: str) -> tuple[str, int] | None:
    """Host and port of `PORT` or `ADDRESS:PORT`; None for what is neither. A port alone is on 127.0.0.1."""
    match = re.fullmatch(r"(?:(?P<host>\[[0-9a-fA-F:]+\]|[^\s/:]+):)?(?P<port>\d{1,5})", text)
    if match is None or int(match["port"]) >= 2**16:
        return None
    return (match["host"] or "127.0.0.1").strip("[]"), int(match["port"])
