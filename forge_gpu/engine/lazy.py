"""Texts and columns that lie on an engine's device, and come to the host when their bytes are asked for.

Most never are: of a dedup key only the hash is wanted, of a field its statistics; and a column of a frame on
the device goes into a text that stays there too.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from forge_gpu.kernels.layout import I64, U8, Spans, Text

FEW = 64
"""Values of a column that are brought one by one; who wants more of them wants them all."""


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
    readable ones behind that kernels ask for. `fetch` brings the bytes of such a column; where they begin in
    the one that it was cut from is `begin`."""

    __slots__ = ("_asked", "_data", "_fetch", "begin", "source")

    source: Any
    begin: int
    _asked: int
    _data: U8 | None
    _fetch: Callable[[LazySpans], U8]

    def __init__(
        self,
        source: Any,
        start: I64,
        length: I64,
        kind: U8,
        fetch: Callable[[LazySpans], U8],
        begin: int = 0,
    ) -> None:
        for name, value in (("start", start), ("length", length), ("kind", kind), ("source", source)):
            object.__setattr__(self, name, value)
        object.__setattr__(self, "_fetch", fetch)
        object.__setattr__(self, "_data", None)
        object.__setattr__(self, "_asked", 0)
        object.__setattr__(self, "begin", begin)

    @property
    def data(self) -> U8:
        if self._data is None:
            object.__setattr__(self, "_data", self._fetch(self))
        assert self._data is not None
        return self._data

    @property
    def size(self) -> int:
        return len(self.source)

    def raw(self, i: int) -> bytes:
        """The bytes of value `i`: of the first FEW that are asked for they alone come to the host."""
        if self._data is not None or self._asked >= FEW:
            return super().raw(i)
        object.__setattr__(self, "_asked", self._asked + 1)
        low, high = int(self.start[i]), int(self.start[i] + self.length[i])
        return self.window(low, high, self.start, self.length, self.kind).data.tobytes()

    def window(self, low: int, high: int, start: I64, length: I64, kind: U8) -> LazySpans:
        return LazySpans(self.source[low:high], start, length, kind, self._fetch, self.begin + low)

    def guarded(self, instead: Callable[[LazySpans, BaseException], U8]) -> LazySpans:
        """The same column; where its bytes, or some of them, cannot be brought, `instead` gives them."""

        def fetch(column: LazySpans) -> U8:
            try:
                return self._fetch(column)
            except Exception as error:
                return instead(column, error)

        return LazySpans(self.source, self.start, self.length, self.kind, fetch, self.begin)


def text_over(text: Text, offsets: I64) -> Text:
    """The bytes of a text under other offsets, such as those with empty rows put in between."""
    if isinstance(text, LazyText):
        return LazyText(offsets, Text(text.source.data, offsets), lambda: text.data)
    return Text(text.data, offsets)
