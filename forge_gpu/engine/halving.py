"""Parts of what an engine is asked, and their results put together: for work that does not fit in memory.

A part's columns show only the bytes between the first and the last of their spans, so half of the rows is
half of the memory, however large the chunk is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from forge_gpu.kernels.layout import I32, I64, PADDING, ProgramTable, Spans, Text
from forge_gpu.kernels.reference.statistics import Judged

if TYPE_CHECKING:
    from forge_gpu.kernels.cpu.vm_rows import Rendered


def halves(count: int) -> tuple[slice, slice]:
    """The first and the second half of `count` > 1 rows."""
    return slice(0, count // 2), slice(count // 2, count)


def part_of_text(text: Text, part: slice) -> Text:
    """Some consecutive rows."""
    offsets = text.offsets[part.start : part.stop + 1]
    return Text(text.data[offsets[0] : offsets[-1]], offsets - offsets[0])


def part_of_render(
    table: ProgramTable,
    program: I32,
    columns: Sequence[Spans],
    rows: I64,
    first: I64 | None,
    part: slice,
) -> tuple[I32, list[Spans], I64, I64 | None]:
    """(program, columns, rows, first) of a render of rows[part] alone."""
    chosen = rows[part]
    low, high = int(chosen.min()), int(chosen.max()) + 1
    of_rows = slice(low, high)
    of_messages = slice(0, 0) if first is None else slice(int(first[low]), int(first[high]))
    parts = [
        column.part(of_messages if level else of_rows)
        for column, level in zip(columns, table.level, strict=True)
    ]
    begin = None if first is None else first[low : high + 1] - first[low]
    return program[of_rows], parts, chosen - low, begin


def joined_texts(parts: Sequence[Text]) -> Text:
    """The rows of all parts, one after the other, in new memory."""
    sizes = np.concatenate([np.diff(part.offsets) for part in parts])
    offsets = np.zeros(len(sizes) + 1, np.int64)
    np.cumsum(sizes, out=offsets[1:])
    data = np.empty(int(offsets[-1]) + PADDING, np.uint8)
    at = 0
    for part in parts:
        begin, end = int(part.offsets[0]), int(part.offsets[-1])
        data[at : at + end - begin] = part.data[begin:end]
        at += end - begin
    return Text(data, offsets)


def joined_rendered(parts: Sequence[Rendered]) -> Rendered:
    """The rows of all parts, one after the other, their texts in new memory, without marks.

    A machine writes its texts one behind the other, so what is between the first and the last is all of them.
    """
    ends = [int(part.text.length.sum()) for part in parts]
    begins = [int(part.text.start[0]) for part in parts]
    data = [part.text.data[begin : begin + end] for part, begin, end in zip(parts, begins, ends, strict=True)]
    at = np.cumsum([0, *ends]) - [*begins, 0]
    text = Spans(
        np.concatenate([*data, np.zeros(PADDING, np.uint8)]),
        np.concatenate([part.text.start + by for part, by in zip(parts, at, strict=False)]),
        np.concatenate([part.text.length for part in parts]),
        np.concatenate([part.text.kind for part in parts]),
    )
    outcome = np.concatenate([part.outcome for part in parts])
    place = np.concatenate([part.place for part in parts])
    none = np.zeros(len(outcome) + 1, np.int64)
    marks = parts[0].marks[:0]
    return replace(parts[0], outcome=outcome, place=place, text=text, mark_offsets=none, marks=marks)


def joined_judged(parts: Sequence[Judged]) -> Judged:
    """What was found in all parts' values."""
    return Judged(*(np.concatenate(fields) for fields in zip(*parts, strict=True)))


def out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory did not suffice, in the words of any of the GPU libraries."""
    if isinstance(error, MemoryError):
        return True
    text = str(error).lower().replace("_", " ")
    return "out of memory" in text or "bad alloc" in text or "memory allocation" in text
