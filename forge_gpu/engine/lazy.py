"""A text that an engine holds somewhere else, and brings to the host when its bytes are first asked for.

Most texts never are: of a dedup key only the hash is wanted, of a field its statistics.
"""

from __future__ import annotations

from collections.abc import Callable

from forge_gpu.kernels.layout import I64, U8, Text


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
