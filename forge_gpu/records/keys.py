"""The keys by which people say who speaks, and what."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cache, lru_cache
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


@lru_cache(maxsize=256)
def two_keys(one: str, other: str, keys: tuple[str, ...]) -> tuple[str | None, str | None]:
    """Of the keys of an object the likeliest for two things that stand in it: `who` and `said`, or `asked`
    and `answered`."""
    first = next((key for key in turn_keys(one) if key in keys), None)
    return first, next((key for key in turn_keys(other) if key in keys and key != first), None)


def first_key(value: Mapping[str, Any], keys: Iterable[str]) -> str | None:
    """The first of some keys that an object has."""
    return next((key for key in keys if key in value), None)
