"""Texts and columns that lie on an engine's device, and come to the host when their bytes are asked for.

Most never are: of a dedup key only the hash is wanted, of a field its statistics; and a column of a frame on
the device goes into a text that stays there too.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from forge_gpu.kernels.layout import I64, U8, Spans, Text


class LazyText(Text):
    """`offsets` are on the host. `source` is the text where it is; `fetch` brings its bytes."""

    __slots__ = ("_data", "_fetch", "source")

    source: Text
    _data: U8 | None
    _fetch: Callable[[], U8]

    def __init__(self, offsets: I64, source: Text, fetch: Callable[[], U8]) -> None:
        object.__setattr__(self, "offsets", offsets)
        object.__setattr__(self, "source", source)
        object.__setattr__(self, "_fetch", fetch)
        object.__setattr__(self, "_data", None)

    @property
    def data(self) -> U8:
        if self._data is None:
            object.__setattr__(self, "_data", self._fetch())
        assert self._data is not None
        return self._data

    def guarded(self, fetch: Callable[[], U8]) -> LazyText:
        """The same text, brought by another function."""
        return LazyText(self.offsets, self.source, fetch)


class LazySpans(Spans):
    """`start`, `length` and `kind` are on the host. `source`: uint8[size], the bytes where they are, with the
    readable ones behind that kernels ask for; `fetch` brings such bytes."""

    __slots__ = ("_data", "_fetch", "source")

    source: Any
    _data: U8 | None
    _fetch: Callable[[Any], U8]

    def __init__(self, source: Any, start: I64, length: I64, kind: U8, fetch: Callable[[Any], U8]) -> None:
        for name, value in (("start", start), ("length", length), ("kind", kind), ("source", source)):
            object.__setattr__(self, name, value)
        object.__setattr__(self, "_fetch", fetch)
        object.__setattr__(self, "_data", None)

    @property
    def data(self) -> U8:
        if self._data is None:
            object.__setattr__(self, "_data", self._fetch(self.source))
        assert self._data is not None
        return self._data

    def window(self, low: int, high: int, start: I64, length: I64, kind: U8) -> LazySpans:
        """See `spans_over`."""
        return LazySpans(self.source[low:high], start, length, kind, self._fetch)


def spans_over(column: Spans, low: int, high: int, start: I64, length: I64, kind: U8) -> Spans:
    """Values at other places, in bytes low ... high - 1 of a column's buffer, which stay where they are."""
    if isinstance(column, LazySpans):
        return column.window(low, high, start, length, kind)
    return Spans(column.data[low:high], start, length, kind)


def text_over(text: Text, offsets: I64) -> Text:
    """The bytes of a text under other offsets, such as those with empty rows put in between."""
    if isinstance(text, LazyText):
        return LazyText(offsets, Text(text.source.data, offsets), lambda: text.data)
    return Text(text.data, offsets)
