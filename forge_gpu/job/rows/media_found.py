"""What is known of the media that rows refer to: columns that only Forge reads, and what asks for them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import field
from typing import Any

import numpy as np
import orjson

from forge_gpu.config.schema import Config
from forge_gpu.fates import Reason
from forge_gpu.kernels import layout
from forge_gpu.kernels.layout import I64, Records, Spans
from forge_gpu.media.marks import media_columns
from forge_gpu.plain import mutable
from forge_gpu.templates.renderer import own

MEDIA = own("media")
"""A column of JSON that this one makes, see `Found`."""
DIGESTS = own("media by content")
"""A column that it makes: what the media of a row are, as text; empty where they are not compared."""


@mutable
class Found:
    """Of a row. amiss: [reason, detail] of each fault; named: [SHA-256, name] of each file that is to lie
    in the output; media, urls: how many there are; tokens: that they become besides those of the text."""

    amiss: list[list[Any]] = field(default_factory=list)
    named: list[list[str]] = field(default_factory=list)
    media: int = 0
    urls: int = 0
    tokens: int = 0


class Hidden:
    """The columns that only Forge reads, some rows at a time: of a row no object stays."""

    def __init__(self, found: Sequence[tuple[Found, str]] = ()) -> None:
        self._found: list[bytes] = []
        self._compared: list[bytes] = []
        self._lengths: list[tuple[int, int]] = []
        self.add(found)

    def add(self, found: Sequence[tuple[Found, str]]) -> None:
        plain = [orjson.dumps(each) for each, _ in found]
        compared = [text.encode("utf-8", "surrogatepass") for _, text in found]
        self._found.append(b"".join(plain))
        self._compared.append(b"".join(compared))
        self._lengths += zip(map(len, plain), map(len, compared), strict=True)

    def made(self) -> dict[str, Spans]:
        lengths = np.array(self._lengths, np.int64).reshape(-1, 2)
        return {
            MEDIA: _texts(self._found, lengths[:, 0], layout.JSON),
            DIGESTS: _texts(self._compared, lengths[:, 1], layout.PLAIN),
        }


def _texts(texts: Sequence[bytes], length: I64, kind: int) -> Spans:
    data = np.frombuffer(b"".join(texts) or b"\0", np.uint8)
    return Spans(data, np.cumsum(length) - length, length.copy(), np.full(len(length), kind, np.uint8))


def found_in(records: Records, row: int) -> Mapping[str, Any]:
    """What was found in a row, as `Found` has it; {} of a row that was not looked at."""
    column = records.columns.get(MEDIA)
    if column is None or column.kind[row] != layout.JSON:
        return {}
    found: Mapping[str, Any] = orjson.loads(column.raw(row))
    return found


def amiss(records: Records, rows: I64) -> dict[Reason, np.ndarray]:
    """For each reason, bool[n]: of these rows those that have it."""
    result: dict[Reason, np.ndarray] = {}
    column = records.columns.get(MEDIA)
    if column is None:
        return result
    for row in rows[column.kind[rows] == layout.JSON].tolist():
        for code, _ in found_in(records, row).get("amiss", ()):
            result.setdefault(Reason(code), np.zeros(len(records), np.bool_))[row] = True
    return result


def counts_tokens(config: Config) -> bool:
    """Whether the tokens of media are counted."""
    return config.model.media_tokens is not None and config.data.media.are_there


def tokens_beside(records: Records) -> I64:
    """The tokens that the media of rows become, besides those of their texts: int64[n]."""
    return np.array([found_in(records, row).get("tokens", 0) for row in range(len(records))], np.int64)


def detail_of(records: Records, row: int, reason: int) -> str:
    """One line about why a row is rejected for its media."""
    return next((detail for code, detail in found_in(records, row).get("amiss", ()) if code == reason), "")


def compares_media(config: Config) -> bool:
    """Whether the media of a row are part of what makes it a duplicate of another."""
    return config.preprocessing.dedup.media and config.data.media.are_there


def kinds_of_columns(config: Config) -> dict[str, str]:
    """Column of media -> its kind."""
    named = {column: kind for kind, column in media_columns(config.data).items()}
    return {**config.data.media.beside, **named}
