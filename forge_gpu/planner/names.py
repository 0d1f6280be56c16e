"""The names of columns that people give: mapping.yaml, and names in messages."""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection
from functools import cache
from importlib import resources
from typing import Any

from ruamel.yaml import YAML

SHOWN = 12


@cache
def rules() -> dict[str, Any]:
    """What mapping.yaml says."""
    text = resources.files("forge_gpu.planner").joinpath("mapping.yaml").read_text("utf-8")
    loaded: dict[str, Any] = YAML(typ="safe", pure=True).load(text)
    return loaded


def folded(name: str) -> str:
    """A name as mapping.yaml spells it."""
    return re.sub(r"[\s-]+", "_", name.strip().lower())


def listed(columns: Collection[str]) -> str:
    shown = [repr(name) for name in list(columns)[:SHOWN]]
    return ", ".join(shown) + (f" and {len(columns) - SHOWN} more" if len(columns) > SHOWN else "")


def missing_column(name: str, columns: Collection[str]) -> str:
    """One line on a column that the data lacks: the nearest one, or all there are."""
    near = difflib.get_close_matches(name, columns, 1, 0.6)
    hint = f"did you mean {near[0]!r}?" if near else f"it has {listed(columns)}"
    return f"the data has no column {name!r}; {hint}"
