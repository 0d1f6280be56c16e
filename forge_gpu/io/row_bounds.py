"""Chunks of JSON with no more rows than there is room for what is kept of each: a row of two bytes costs as
much beside its bytes as one of a thousand."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from forge_gpu.hardware.budget import ROW_BYTES
from forge_gpu.io.chunks import JsonChunk
from forge_gpu.kernels.layout import CUT, I64, U8

_BLOCK = 2**17


def bounded(chunk: JsonChunk, chunk_bytes: int, records: int | None = None) -> Iterator[JsonChunk]:
    """The chunk in parts whose rows count for no more than `chunk_bytes`; as it is, where they do. records:
    the chunk is known to have no more of them, and is not counted."""
    most = max(chunk_bytes // ROW_BYTES, 1)
    if chunk.truncated or (records is not None and records <= most) or _ends(chunk) < most:
        yield chunk
        return
    ends = _line_ends(chunk.data, most) if chunk.form == "lines" else _element_ends(chunk.data, most)
    begin = 0
    for end in ends:
        yield replace(chunk, data=chunk.data[begin:end], offset=chunk.offset + begin)
        begin = end


def _ends(chunk: JsonChunk) -> int:
    """How many bytes of a chunk may end a record."""
    from forge_gpu.kernels.cpu.separators import separators

    lines, commas = separators(chunk.data)
    return lines if chunk.form == "lines" else commas


def _line_ends(data: U8, most: int) -> Iterator[int]:
    """Where parts of `most` lines end."""
    lines = 0
    for begin in range(0, len(data), _BLOCK):
        ends = np.flatnonzero(data[begin : begin + _BLOCK] == ord("\n"))
        for place in range(most - lines - 1, len(ends), most):
            if begin + int(ends[place]) + 1 < len(data):
                yield begin + int(ends[place]) + 1
        lines = (lines + len(ends)) % most
    yield len(data)


def _element_ends(data: U8, most: int) -> Iterator[int]:
    """Where parts end that have `most` commas and the rest of an element, about: an element that has more of
    them is a part of its own."""
    from forge_gpu.kernels.cpu.structure import walk_array

    at = 0
    while at < len(data):
        state: I64 = np.array([1, 0, 0, 0], np.int64)
        end = walk_array(data, at, _comma(data, at, most), state)
        at = end if state[3] == CUT else len(data)
        yield at


def _comma(data: U8, at: int, number: int) -> int:
    """Where the comma of a number is, counted from 1 and from a byte on; the end where there are fewer."""
    for begin in range(at, len(data), _BLOCK):
        places = np.flatnonzero(data[begin : begin + _BLOCK] == ord(","))
        if len(places) >= number:
            return begin + int(places[number - 1])
        number -= len(places)
    return len(data)
