"""JSON lines and arrays, cut into ranges and chunks without being parsed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from itertools import pairwise
from typing import Literal

import numpy as np

from forge_gpu.errors import InputError
from forge_gpu.io.chunks import JsonChunk, Origin, Range, ReadBuffer
from forge_gpu.io.loss import Loss
from forge_gpu.io.stores import ByteStore
from forge_gpu.kernels.layout import CUT, ENDED, I64, U8

BLOCK = 2**20
OVERLAP = 2**16
"""How far a range is read past its end at first, for its last line."""
PEEK = 2**12
"""How far at once to find the first line of a range: of a part it is the first byte."""
BLANK = b" \t\r\n"
NEVER_WRITTEN = b"\0"
"""What a file holds where a writer that was cut off had room and no text."""
_TOO_LONG_MARK = ord("+")  # no blank and no quote: the byte after the kept part of a row that is too long


class _JsonSource:
    """What lines and arrays have in common: one store of bytes, cut at offsets."""

    form: Literal["lines", "array"]

    def __init__(self, origin: Origin, store: ByteStore, cuts: Sequence[int]) -> None:
        self.file = origin.file
        self.format = origin.format
        self.losses = origin.losses
        self.rows: int | None = None
        self.columns: tuple[str, ...] | None = None
        self.ranges = tuple(
            Range(number, begin, end, end - begin) for number, (begin, end) in enumerate(pairwise(cuts))
        )
        self._store = store
        self._max = origin.max_row_bytes

    def close(self) -> None:
        self._store.close()

    def _load(self, buffer: ReadBuffer, begin: int, end: int) -> bytearray:
        data = buffer.reserve(end - begin)
        self._store.read_into(memoryview(data)[: end - begin], begin)
        return data

    def _blocks(self, begin: int, end: int, block: int = BLOCK) -> Iterator[tuple[int, bytearray, int]]:
        """(offset, data, size) of the bytes [begin, end) in small blocks of their own."""
        data = bytearray(min(block, max(end - begin, 0)))
        for offset in range(begin, end, block):
            size = min(block, end - offset)
            self._store.read_into(memoryview(data)[:size], offset)
            yield offset, data, size

    def _too_long(self, buffer: ReadBuffer, begin: int, end: int) -> JsonChunk:
        data = buffer.reserve(self._max + 1)
        self._store.read_into(memoryview(data)[: self._max], begin)
        data[self._max] = _TOO_LONG_MARK
        whole = partial(self._record, begin, end)
        return JsonChunk(_view(data, self._max + 1), self.form, begin, True, whole)

    def _record(self, begin: int, end: int) -> Iterator[bytes]:
        """What is between the blanks around it."""
        blocks = (bytes(data[:size]) for _, data, size in self._blocks(begin, end))
        return without_blanks(blocks)


class LinesSource(_JsonSource):
    """JSON lines. A line belongs to the range in which its first byte lies."""

    form = "lines"

    def __init__(self, origin: Origin, store: ByteStore, begin: int = 0) -> None:
        self._begin = begin
        super().__init__(origin, store, _even_cuts(begin, store.size, origin.range_bytes))

    def read(
        self,
        part: Range,
        chunk_bytes: int,
        buffer: ReadBuffer | None = None,
        columns: Sequence[str] | None = None,
    ) -> Iterator[JsonChunk]:
        buffer = buffer or ReadBuffer()
        buffer.reserve(min(chunk_bytes, part.end - part.begin + OVERLAP))  # chunks are not all of one size
        at = self._first_line(part)
        want, evenly = chunk_bytes, True
        while at < part.end:
            stop = min(at + (_even_share(part.end - at, want) if evenly else want), self._store.size)
            data = self._load(buffer, at, stop)
            size = self._whole_lines(data, at, stop, part.end)
            if size:
                yield from self._bounded(data, size, at)
                at += size
                want, evenly = chunk_bytes, True
            elif evenly:
                evenly = False
            elif want < self._max + 2:  # with two bytes more, a line end that is \r\n has shown itself
                want = min(2 * want, self._max + 2)
            else:
                end, blank = self._line_end(at)
                if not blank:
                    yield self._too_long(buffer, at, end)
                at = end
                want, evenly = chunk_bytes, True

    def _first_line(self, part: Range) -> int:
        """Where the first line that begins in the range begins; its end if none does."""
        if part.begin == self._begin:
            return part.begin
        for offset, data, size in self._blocks(part.begin - 1, part.end - 1, PEEK):
            result = data.find(b"\n", 0, size)
            if result >= 0:
                return offset + result + 1
        return part.end

    def _whole_lines(self, data: bytearray, at: int, stop: int, end: int) -> int:
        """Bytes of the lines in data[0:stop - at] that are whole and begin before `end`; 0 if none is."""
        size = stop - at
        if at + size >= end:
            last = data.find(b"\n", end - 1 - at, size)
            if last >= 0:
                return last + 1
            if stop == self._store.size:
                return size
        return data.rfind(b"\n", 0, size) + 1

    def _bounded(self, data: bytearray, size: int, offset: int) -> Iterator[JsonChunk]:
        """Whole lines as chunks; those that are too long are cut, as they would be in smaller chunks."""
        view = _view(data, size)
        begin = 0
        if size > self._max + 2:
            edges = np.concatenate([[0], np.flatnonzero(view == ord("\n")) + 1, [size]])
            for i in np.flatnonzero(np.diff(edges) > self._max + 2).tolist():
                start, end = int(edges[i]), int(edges[i + 1])
                if start > begin:
                    yield JsonChunk(view[begin:start], self.form, offset + begin)
                if data[start:end].strip(BLANK):
                    bounded = np.append(view[start : start + self._max], np.uint8(_TOO_LONG_MARK))
                    whole = partial(self._record, offset + start, offset + end)
                    yield JsonChunk(bounded, self.form, offset + start, True, whole)
                begin = end
        if begin < size:
            yield JsonChunk(view[begin:], self.form, offset + begin)

    def _line_end(self, begin: int) -> tuple[int, bool]:
        """Where the next line begins, and whether the one at `begin` is blank."""
        blank = True
        for offset, data, size in self._blocks(begin, self._store.size):
            result = data.find(b"\n", 0, size)
            blank = blank and not data[: result if result >= 0 else size].strip(BLANK + NEVER_WRITTEN)
            if result >= 0:
                return offset + result + 1, blank
        return self._store.size, blank


class ArraySource(_JsonSource):
    """The elements of a JSON array. Ranges end after a comma between elements, or at the closing bracket."""

    form = "array"

    def __init__(self, origin: Origin, store: ByteStore, begin: int = 0) -> None:
        from forge_gpu.kernels.cpu.structure import walk_array

        self._walk = walk_array
        self._store = store
        cuts, lost = self._cuts(origin, begin)
        super().__init__(origin.after(lost), store, cuts)

    def read(
        self,
        part: Range,
        chunk_bytes: int,
        buffer: ReadBuffer | None = None,
        columns: Sequence[str] | None = None,
    ) -> Iterator[JsonChunk]:
        buffer = buffer or ReadBuffer()
        at = part.begin
        chunk_bytes = min(chunk_bytes, self._max)  # so that what is too long is cut in chunks of any size
        want = chunk_bytes
        while at < part.end:
            stop = min(at + want, part.end)
            data = self._load(buffer, at, stop)
            size = stop - at if stop == part.end else self._whole_elements(_view(data, stop - at))
            if size:
                yield JsonChunk(_view(data, size), self.form, at)
                at += size
                want = chunk_bytes
            elif want < self._max + 2:
                want = min(2 * want, self._max + 2)
            else:
                first, last, at = self._element(at, part.end)
                if last - first > self._max:
                    yield self._too_long(buffer, first, last)
                else:  # what made it long is white space
                    yield JsonChunk(_view(self._load(buffer, first, last), last - first), self.form, first)
                want = chunk_bytes

    def _whole_elements(self, data: U8) -> int:
        """Bytes of the elements of `data` that end, with their comma, inside it; 0 if none does."""
        state = _inside_array()
        at = self._walk(data, 0, len(data) - min(len(data) // 8, _TAIL), state)
        if state[3] == CUT:
            return at
        state = _inside_array()
        last = at = 0
        while at < len(data):  # a long element is at the end: step through those before it
            at = self._walk(data, at, 0, state)
            if state[3] != CUT:
                break
            last = at
        return last

    def _element(self, begin: int, end: int) -> tuple[int, int, int]:
        """Of the element that begins at `begin`: its first byte that is not blank, the byte after its
        last one, and where the next element begins."""
        state = _inside_array()
        first = last = -1
        for offset, data, size in self._blocks(begin, end):
            stop = self._walk(_view(data, size), 0, 0, state)
            ended = state[3] == CUT
            text = bytes(data[: stop - 1 if ended else size])
            if text.strip(BLANK):
                if first < 0:
                    first = offset + len(text) - len(text.lstrip(BLANK))
                last = offset + len(text.rstrip(BLANK))
            if ended:
                return max(first, begin), max(last, begin), offset + stop
        return max(first, begin), max(last, begin), end

    def _cuts(self, origin: Origin, begin: int) -> tuple[list[int], list[Loss]]:
        """Where ranges begin, and the end of the last; what was lost after it."""
        state = np.zeros(4, np.int64)
        cuts: list[int] = []
        for offset, data, size in self._blocks(begin, self._store.size):
            at = 0
            if not cuts:
                at = size - len(data[:size].lstrip(BLANK))
                if at == size:
                    continue
                if data[at] != ord("["):
                    raise InputError(
                        f"{origin.file.path}: not a JSON array: it begins with {chr(data[at])!r}; "
                        "leave data.format at auto"
                    )
                cuts.append(offset + at + 1)
            while at < size:
                at = self._walk(
                    _view(data, size), at, max(0, cuts[-1] + origin.range_bytes - 1 - offset), state
                )
                if state[3] == ENDED:
                    return self._ended(origin, cuts, offset + at)
                if state[3] == CUT:
                    cuts.append(offset + at)
        return self._not_ended(origin, cuts, state) if cuts else ([], [])

    def _ended(self, origin: Origin, cuts: list[int], end: int) -> tuple[list[int], list[Loss]]:
        for offset, data, size in self._blocks(end + 1, self._store.size):
            rest = data[:size].lstrip(BLANK + NEVER_WRITTEN)
            if rest:
                where = offset + size - len(rest)
                what = "something follows the end of the array"
                if not origin.keep_prefix:
                    raise InputError(
                        f"{origin.file.path}: {what} (byte {end}) at byte {where}; mend the file, or "
                        "keep the array with data.on_corrupt: keep_prefix"
                    )
                return _closed(cuts, end), [Loss(what, where)]
        return _closed(cuts, end), []

    def _not_ended(self, origin: Origin, cuts: list[int], state: I64) -> tuple[list[int], list[Loss]]:
        inside = "in a string" if state[1] else f"{int(state[0])} brackets deep"
        what = f"the array is not closed: the file ends {inside}"
        if not origin.keep_prefix:
            raise InputError(
                f"{origin.file.path}: {what} at byte {self._store.size}; fetch or mend the file, or keep "
                "its whole elements with data.on_corrupt: keep_prefix"
            )
        if state[0] == 1 and not state[1]:  # only the bracket is missing
            return _closed(cuts, self._store.size), [Loss(what, self._store.size)]
        end = cuts[-1]
        state = _inside_array()
        for offset, data, size in self._blocks(cuts[-1], self._store.size):
            at = 0
            while at < size:
                at = self._walk(_view(data, size), at, 0, state)
                if state[3] == CUT:
                    end = offset + at
        return _closed(cuts, end), [Loss(what, end)]


def without_blanks(blocks: Iterable[bytes]) -> Iterator[bytes]:
    """Bytes in blocks, without the blanks before and after them all."""
    before, blanks = True, b""
    for block in blocks:
        text = block.lstrip(BLANK) if before else block
        body = text.rstrip(BLANK)
        if body:
            yield blanks + body
            before, blanks = False, text[len(body) :]
        elif not before:
            blanks += text


_TAIL = 2**16


def _inside_array() -> I64:
    """The state of a walk between two elements."""
    return np.array([1, 0, 0, 0], np.int64)


def _closed(cuts: list[int], end: int) -> list[int]:
    return [*cuts, end] if end > cuts[-1] else cuts


def _even_cuts(begin: int, size: int, step: int) -> list[int]:
    return [*range(begin, size, step), size] if begin < size else []


def _even_share(left: int, most: int) -> int:
    """Bytes of one chunk, of a range with `left` bytes and OVERLAP more: all of one size, at most `most`.

    Where there are several, each has room for OVERLAP behind it: read as a range of its own, it is one chunk.
    """
    left += OVERLAP
    if left <= most:
        return left
    room = most - OVERLAP if most > 2 * OVERLAP else most
    return -(-left // -(-left // room))


def _view(data: bytearray, size: int) -> U8:
    return np.frombuffer(data, np.uint8, size)
