"""Structure of JSON that the device finds, together with what it hands over to the host's kernels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from forge_gpu.engine.base import Engine
from forge_gpu.engine.held import Column
from forge_gpu.engine.lazy import LazySpans
from forge_gpu.kernels.cuda import messages, scan
from forge_gpu.kernels.cuda.device import Device, DeviceSpans
from forge_gpu.kernels.layout import I64, NULL, U8, Messages, Records, Spans


def records_of(
    data: U8, source: Any, keys: tuple[str, ...], max_row_bytes: int, device: Device, host: Engine
) -> tuple[Records, dict[str, Column]]:
    """The records of JSON lines, whose bytes are here and there; those that the device hands over are put
    among the others."""
    there = scan.scan_lines(source, keys, max_row_bytes, device)
    start, length, kind = map(device.download, there)
    reason = np.zeros(len(kind[-1]), np.uint8)
    handed = np.flatnonzero(kind[-1] == scan.HANDED)
    if len(handed):
        lines, first = _lines_of(data, start[-1, handed], length[-1, handed])
        own = host.scan(lines, "lines", keys, max_row_bytes)
        reason[handed] = own.reason
        for k, spans in enumerate(own.columns.values()):
            shift = np.where(spans.kind > NULL, start[-1, handed] - first, 0)
            start[k, handed] = spans.start + shift
            length[k, handed], kind[k, handed] = spans.length, spans.kind
        there = tuple(map(device.upload, (start, length, kind)))
    columns = {
        key: Column(start[k], length[k], kind[k], tuple(array[k] for array in there))
        for k, key in enumerate(keys)
    }
    values = {key: Spans(data, start[k], length[k], kind[k]) for k, key in enumerate(keys)}
    return Records(data, start[-1], length[-1], reason, values), columns


def _lines_of(data: U8, start: I64, length: I64) -> tuple[U8, I64]:
    """Some records as lines of their own, and where each begins there."""
    joined, first = Spans(data, start, length, np.zeros(len(start), np.uint8)).joined(np.arange(len(start)))
    number = np.arange(len(start))
    lines = np.full(len(joined) + len(start), ord("\n"), np.uint8)
    lines[np.arange(len(joined)) + np.repeat(number, length)] = joined
    return lines, first + number


def messages_of(
    column: LazySpans, roles: Sequence[str], role_key: str, content_key: str, device: Device, host: Engine
) -> tuple[Messages, Column]:
    """A column of message lists whose bytes are there, flattened, and the contents with their places there.

    What comes down is 18 bytes a message and 10 a row: which message is a row's, its role, and whether its
    content is a text decide which program a row has, and the columns of a row are picked by where they are.
    """
    source = DeviceSpans(column.source, column.start, column.length, column.kind, column.places)
    there = messages.scan_messages(source, roles, role_key, content_key, device)
    first, role, start, length, kind, plain, reason = map(device.download, there)
    places = there.start, there.length, there.kind
    handed = np.flatnonzero(reason == messages.HANDED)
    if len(handed):
        here, begin = _brought(column, handed)
        own = host.messages(here, roles, role_key, content_key)
        plain[handed], reason[handed] = own.plain, own.reason
        count, content = np.diff(own.first), own.content
        shift = np.repeat(column.start[handed] - begin, count) * (content.kind > NULL)
        first, is_own = _with_rows(first, handed, count)
        role = _put_together(role, own.role, is_own)
        start = _put_together(start, content.start + shift, is_own)
        length = _put_together(length, content.length, is_own)
        kind = _put_together(kind, content.kind, is_own)
        places = device.upload(start), device.upload(length), device.upload(kind)
    contents = Column(start, length, kind, places)
    return Messages(first, role, column.over(start, length, kind), plain, reason), contents


def _brought(column: LazySpans, rows: I64) -> tuple[Spans, I64]:
    """Some values of a column on the host, and where each begins there; few alone, if no others are here."""
    if column.is_here:
        data, begin = column.joined(rows)
    else:
        data = np.frombuffer(b"".join([column.raw(row) for row in rows.tolist()]), np.uint8)
        begin = np.cumsum(column.length[rows]) - column.length[rows]
    return Spans(data, begin, column.length[rows], column.kind[rows]), begin


def _with_rows(first: I64, rows: I64, count: I64) -> tuple[I64, npt.NDArray[np.bool_]]:
    """`first` once some rows, which had no messages, have so many; and which messages are theirs."""
    counts = np.diff(first)
    counts[rows] = count
    is_theirs = np.zeros(len(counts), np.bool_)
    is_theirs[rows] = True
    return np.concatenate(([0], np.cumsum(counts))), np.repeat(is_theirs, counts)


def _put_together(
    mine: npt.NDArray[Any], theirs: npt.NDArray[Any], is_theirs: npt.NDArray[np.bool_]
) -> npt.NDArray[Any]:
    """Items of two arrays, in their order, each where it belongs."""
    result = np.empty(len(is_theirs), mine.dtype)
    result[~is_theirs], result[is_theirs] = mine, theirs
    return result
