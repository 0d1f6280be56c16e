"""Texts and columns that lie on an engine's device, and come to the host when their bytes are asked for.

Most never are: of a dedup key only the hash is wanted, of a field its statistics; and a column of a frame on
the device goes into a text that stays there too.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from forge_gpu.kernels.layout import I64, U8, Records, Spans, Text

FEW = 64
"""Values of a column that are brought one by one; who wants more of them wants them all."""

_NOTHING: U8 = np.zeros(0, np.uint8)
"""Stands for the bytes until they are here."""


class LazyText(Text):
    """`offsets` are on the host. `source` is the text where it is; `fetch` brings its bytes, in memory that
    nothing else uses."""

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
    the one that it was cut from is `begin`. places: start, length and kind where the bytes are, if they
    are there too. here: the bytes on the host, as long as they are there too."""

    __slots__ = ("_asked", "_fetch", "_is_here", "begin", "places", "source")

    def __init__(
        self,
        source: Any,
        start: I64,
        length: I64,
        kind: U8,
        fetch: Callable[[LazySpans], U8],
        begin: int = 0,
        places: tuple[Any, Any, Any] | None = None,
        here: U8 | None = None,
    ) -> None:
        super().__init__(_NOTHING if here is None else here, start, length, kind)
        self.source = source
        self.begin = begin
        self.places = places
        self._fetch = fetch
        self._is_here = here is not None
        self._asked = 0

    @property
    def data(self) -> U8:
        if not self._is_here:
            self._data = self._fetch(self)
            self._is_here = True
        return self._data

    @property
    def is_here(self) -> bool:
        """Whether the bytes are on the host as well."""
        return self._is_here

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

    def over(self, start: I64, length: I64, kind: U8) -> LazySpans:
        here = self._data if self._is_here else None
        return LazySpans(self.source, start, length, kind, self._fetch, self.begin, here=here)

    def window(self, low: int, high: int, start: I64, length: I64, kind: U8) -> LazySpans:
        here = self._data[low:high] if self._is_here else None
        source = self.source[low:high]
        return LazySpans(source, start, length, kind, self._fetch, self.begin + low, here=here)

    def guarded(self, instead: Callable[[LazySpans, BaseException], U8]) -> LazySpans:
        """The same column; where its bytes, or some of them, cannot be brought, `instead` gives them."""

        def fetch(column: LazySpans) -> U8:
            try:
                return self._fetch(column)
            except Exception as error:
                return instead(column, error)

        here = self._data if self._is_here else None
        return LazySpans(
            self.source, self.start, self.length, self.kind, fetch, self.begin, self.places, here
        )


class LazyRecords(Records):
    """Records whose bytes lie on a device. rows: the records themselves; columns: over the same bytes."""

    __slots__ = ("_rows",)

    _rows: LazySpans

    def __init__(self, rows: LazySpans, reason: U8, columns: dict[str, Spans]) -> None:
        values = {"_rows": rows, "start": rows.start, "length": rows.length, "reason": reason}
        for name, value in {**values, "columns": columns}.items():
            object.__setattr__(self, name, value)

    @property
    def data(self) -> U8:
        return self._rows.data

    def over(self, start: I64, length: I64, reason: U8, columns: dict[str, Spans]) -> LazyRecords:
        return LazyRecords(self._rows.over(start, length, reason), reason, columns)

    def spans(self, kind: U8) -> LazySpans:
        return self._rows.over(self.start, self.length, kind)

    def source(self, i: int) -> bytes:
        return self._rows.raw(i)


def here(text: Text) -> Text | None:
    """A text of a device on the host, valid for good; None of a text that was not on one."""
    return Text(text.data, text.offsets) if isinstance(text, LazyText) else None


def text_over(text: Text, offsets: I64) -> Text:
    """The bytes of a text under other offsets, such as those with empty rows put in between."""
    if isinstance(text, LazyText):
        return LazyText(offsets, Text(text.source.data, offsets), lambda: text.data)
    return Text(text.data, offsets)
