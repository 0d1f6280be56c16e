"""Texts and columns that lie on an engine's device, and come to the host when their bytes are asked for.

Most never are: of a dedup key only the hash is wanted, of a field its statistics; and a column of a frame on
the device goes into a text that stays there too.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from forge_gpu.kernels.layout import I64, U8, Spans, Text

FEW = 64
"""Values of a column that are brought one by one; who wants more of them wants them all."""

_NOTHING: U8 = np.zeros(0, np.uint8)
"""Stands for the bytes until they are here."""


class LazyText(Text):
    """`offsets` are on the host. `source` is the text where it is; `fetch` brings its bytes."""

    __slots__ = ("_fetch", "_is_here", "source")

    def __init__(self, offsets: I64, source: Text, fetch: Callable[[], U8]) -> None:
        super().__init__(_NOTHING, offsets)
        self.source = source
        self._fetch = fetch
        self._is_here = False

    @property
    def data(self) -> U8:
        if not self._is_here:
            self._data = self._fetch()
            self._is_here = True
        return self._data

    def guarded(self, fetch: Callable[[], U8]) -> LazyText:
        """The same text, brought by another function."""
        return LazyText(self.offsets, self.source, fetch)


class LazySpans(Spans):
    """`start`, `length` and `kind` are on the host. `source`: uint8[size], the bytes where they are, with the
    readable ones behind that kernels ask for. `fetch` brings the bytes of such a column; where they begin in
    the one that it was cut from is `begin`."""

    __slots__ = ("_asked", "_fetch", "_is_here", "begin", "source")

    def __init__(
        self,
        source: Any,
        start: I64,
        length: I64,
        kind: U8,
        fetch: Callable[[LazySpans], U8],
        begin: int = 0,
    ) -> None:
        super().__init__(_NOTHING, start, length, kind)
        self.source = source
        self.begin = begin
        self._fetch = fetch
        self._is_here = False
        self._asked = 0

    @property
    def data(self) -> U8:
        if not self._is_here:
            self._data = self._fetch(self)
            self._is_here = True
        return self._data

    @property
    def size(self) -> int:
        return len(self.source)

    def raw(self, i: int) -> bytes:
        """The bytes of value `i`: of the first FEW that are asked for they alone come to the host."""
        if self._is_here or self._asked >= FEW:
            return super().raw(i)
        self._asked += 1
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
