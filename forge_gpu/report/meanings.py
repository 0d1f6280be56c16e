"""What a person who has not read the documentation is told of fates and reasons."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import orjson


@cache
def meanings() -> dict[str, dict[str, str]]:
    """fates and reasons -> a name -> what it means."""
    loaded: dict[str, dict[str, str]] = orjson.loads(Path(__file__).with_name("meanings.json").read_bytes())
    return loaded
