"""How many images, sounds and videos the texts of a row name, and how many its columns hold."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Any

import numpy as np
import numpy.typing as npt

from forge_gpu.config.schema import DataConfig
from forge_gpu.kernels.layout import Spans
from forge_gpu.plain import frozen
from forge_gpu.records.values import ABSENT, json_text, values_of

SHARED = ("query", "messages", "input", "system", "response", "text")
"""The keys of data.mapping whose columns are all of a row; a pair has one of two answers besides."""
SIDES = ("chosen", "rejected")
INNER = ("content", "value", "text", "parts")
"""Keys of a message, or of a part, in which more texts and parts stand."""


@frozen
class Marks:
    """Of one kind: see marks.toml."""

    marks: tuple[str, ...]
    parts: frozenset[str]
    sources: tuple[str, ...]

    def named_in(self, value: Any) -> int:
        """How many a text, a list of messages or a part of one asks for."""
        if isinstance(value, str):
            return sum(map(value.count, self.marks))
        if isinstance(value, list):
            return sum(map(self.named_in, value))
        if not isinstance(value, dict):
            return 0
        if value.get("type") in self.parts:
            return int(not any(value.get(key) for key in self.sources))
        return sum(self.named_in(value[key]) for key in INNER if key in value)


@cache
def kinds() -> dict[str, Marks]:
    """Kind of media -> its marks."""
    loaded = tomllib.loads((files("forge_gpu.media") / "marks.toml").read_text(encoding="utf-8"))
    return {
        kind: Marks(tuple(said["marks"]), frozenset(said["parts"]), tuple(said["sources"]))
        for kind, said in loaded.items()
    }


def held_in(value: Any) -> int:
    """How many media a column holds: one as it is, or a list of them; an empty value is none."""
    value = json_text(value)
    if value is ABSENT or not value:
        return 0
    return sum(bool(each) for each in value) if isinstance(value, list) else 1


def media_columns(data: DataConfig) -> dict[str, str]:
    """Kind -> column, of those that a plan names."""
    return {kind: column for kind in kinds() if (column := getattr(data.media, kind)) is not None}


def unequal(data: DataConfig, columns: Mapping[str, Spans]) -> npt.NDArray[np.bool_]:
    """Rows whose texts ask for another number of media than their columns hold: bool[n].

    columns: those of the mapping and of the media.
    """
    values = {
        name: values_of(columns[name])
        for name in (*mapped_columns(data).values(), *media_columns(data).values())
    }
    rows = len(next(iter(values.values())))
    texts = {key: list(map(json_text, values[name])) for key, name in mapped_columns(data).items()}
    result = np.zeros(rows, np.bool_)
    for kind, column in media_columns(data).items():
        held = list(map(held_in, values[column]))
        for row in range(rows):
            result[row] |= not _is_equal(kinds()[kind], {key: texts[key][row] for key in texts}, held[row])
    return result


def _is_equal(marks: Marks, texts: Mapping[str, Any], held: int) -> bool:
    shared = sum(marks.named_in(texts[key]) for key in SHARED if key in texts)
    sides = [marks.named_in(texts[key]) for key in SIDES if key in texts]
    return all(shared + side == held for side in sides or (0,))


def mapped_columns(data: DataConfig) -> dict[str, str]:
    """Key of data.mapping -> column, of those that hold texts."""
    named = ((key, getattr(data.mapping, key)) for key in (*SHARED, *SIDES))
    return {key: column for key, column in named if column is not None}
