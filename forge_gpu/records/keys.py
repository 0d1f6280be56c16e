"""The keys by which people say who speaks, and what."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cache
from importlib.resources import files
from typing import Any

from ruamel.yaml import YAML


@cache
def written() -> dict[str, Any]:
    """What conventions.yaml says."""
    text = (files("forge_gpu.records") / "conventions.yaml").read_text(encoding="utf-8")
    loaded: dict[str, Any] = YAML(typ="safe", pure=True).load(text)
    return loaded


@cache
def turn_keys(what: str) -> tuple[str, ...]:
    """`who`, `said`, `asked` or `answered`: the keys for it, the likeliest first."""
    return tuple(written()["keys"][what])


def first_key(value: Mapping[str, Any], keys: Iterable[str]) -> str | None:
    """The first of some keys that an object has."""
    return next((key for key in keys if key in value), None)
