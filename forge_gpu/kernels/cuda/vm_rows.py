"""Rows by the template VM of a device: in which order, in how much memory, with which tools made beforehand.

Rows are sorted by the class of their length, the number of their messages, the keys and roles of these, their
tools and their length, so that the threads of a warp go through the code alike. Each class is launched on its
own, with as much memory a thread as its rows take. Of `tools` that several rows have one row goes first (see
vm_tools). The texts are put together in the rows' order by whole warps (`together`).

A row that is not DONE is to be run by the CPU's machine: one that needs more room than it has here, that goes
on too long or too deep, or that is Jinja's or refused.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from forge_gpu.kernels.cuda import pieces, vm
from forge_gpu.kernels.cuda.device import Device
from forge_gpu.kernels.cuda.render import values_there
from forge_gpu.kernels.cuda.vm import FIXED, OUTCOME_BITS, Shape
from forge_gpu.kernels.cuda.vm_tools import OF_CELLS
from forge_gpu.kernels.layout import I64, NULL, PADDING, U8, Spans, Text
from forge_gpu.kernels.vm_layout import Outcome, VmProgram
from forge_gpu.kernels.vm_tables import tables
from forge_gpu.plain import frozen

LEAST, LONGEST = 1 << 10, 1 << 16
"""Bytes of messages and tools: of rows of the first class, and the most of a row that is run here."""

LEAST_OUTPUT = 512
"""Bytes of output beside those for what the row and the template have."""

SHARED = 4
"""So many rows must have the same tools before one of them goes first."""

BLOCK = 64
"""Threads of a block."""


@frozen
class Written:
    """What the device made of n rows.

    outcome: int64[n], an Outcome each; what is not DONE says nothing of the row. output: uint8[] on the
    device; start, length: int64[n], where the text of a row that is DONE is in it. escaped: bool[n], is there
    a backslash in that?
    """

    outcome: I64
    output: Any
    start: I64
    length: I64
    escaped: npt.NDArray[np.bool_]


@frozen
class _Records:
    """Of values of tools. of_row: int64[m], the record of each row or -1; words, text: of the device; each:
    words of a record."""

    of_row: I64
    words: Any
    each: int
    text: Any


def run_rows(program: VmProgram, columns: Sequence[Spans], rows: I64, device: Device, room: int) -> Written:
    """Run a program for some rows of its two columns, with about `room` bytes of working memory; the columns'
    bytes may be on the host or the device, all else is on the host."""
    sizes = np.zeros(len(rows), np.int64)
    for column in columns:
        sizes += np.where(column.kind[rows] > NULL, column.length[rows], 0)
    taken = np.flatnonzero(sizes <= LONGEST)
    launches = _Launches(program, columns, device, room)
    signatures, tools = launches.keys(rows[taken])
    values = _shared(tools)
    classes = _classes(sizes[taken])
    order = np.lexsort((sizes[taken], values, signatures, classes))
    taken, values, classes = taken[order], values[order], classes[order]
    records = launches.records(rows[taken], values, sizes[taken])
    return launches.all(rows, taken, sizes, classes, records)


def _classes(sizes: I64) -> I64:
    """The class of each size: rows of class k have at most LEAST << k bytes."""
    classes: I64 = np.searchsorted(LEAST << np.arange(LONGEST.bit_length()), sizes)
    return classes


def _shared(tools: I64) -> I64:
    """The number of each row's tools among those that SHARED rows or more have, the most frequent first; -1
    of others. tools: a hash of them, -1 where there are none."""
    hashes, number, count = np.unique(tools, return_inverse=True, return_counts=True)
    count[hashes == -1] = 0
    rank = np.empty(len(hashes), np.int64)
    rank[np.argsort(-count, kind="stable")] = np.arange(len(hashes))
    result: I64 = np.where(count >= SHARED, rank, -1)[number]
    return result


class _Launches:
    """A program and its columns on a device."""

    def __init__(self, program: VmProgram, columns: Sequence[Spans], device: Device, room: int) -> None:
        self._program, self._device, self._room = program, device, room
        literals = np.frombuffer(program.literals + bytes(PADDING), np.uint8)
        known = tables()
        data = [column.data for column in columns]
        self._window, self._words, self._places = device.window([literals, known, *data])
        self._sizes = [len(known), *map(len, data)]
        self._values = values_there(columns, device)
        self._code = device.upload(program.code)
        self._constants = device.upload(program.constants)

    def keys(self, rows: I64) -> tuple[I64, I64]:
        """(a signature of the messages of each row, a hash of its tools)."""
        device = self._device
        keys = device.xp.zeros((2, len(rows)), np.int64)
        shape = device.upload(self._shape(LEAST))
        device.launch(vm.sign, len(rows), self._window, shape, *self._values, device.upload(rows), keys)
        signatures, tools = device.download(keys)
        return signatures, tools

    def _shape(self, most: int) -> I64:
        """Of threads for rows of up to so many bytes."""
        program = self._program
        cells, stack, text = most // 8 + 256, most // 8 + 256, self._text_room(most)
        words = FIXED + stack + 2 * (program.cells + cells) + (text + PADDING) // 8
        shape = [program.cells, cells, stack, text, (words + 3) // 4 * 4, *program.renamed]
        shape += [*self._places[:2], self._sizes[0]]
        for c, variable in enumerate(program.variables):
            shape += [*map(int, variable), self._places[2 + c], self._sizes[1 + c]]
        return np.array(shape, np.int64)

    def _text_room(self, most: int) -> int:
        """Bytes for texts that a row of up to so many makes; one that is gone on with is often copied."""
        return (4 * most + 2 * len(self._program.literals) + 4096) // 8 * 8

    def records(self, rows: I64, values: I64, sizes: I64) -> _Records:
        """Those of tools that several rows have, made by one row each, as many as there is room for."""
        device = self._device
        most = _class_bytes(sizes[values >= 0])
        cells = most // 8 + 256
        each, text = OF_CELLS + 2 * cells, self._text_room(most)
        count = min(int(values.max(initial=-1)) + 1, self._room // 2 // (8 * each + text))
        values = np.where(values < count, values, -1)
        words = device.xp.full(max(count, 1) * each, -1, np.int64)
        texts = device.bytes(max(count, 1) * text)
        made = _Records(values, words, each, texts[: max(count, 1) * text])
        if count:
            first = np.unique(values, return_index=True)[1][-count:]
            own = _Records(np.arange(count), words, each, made.text)
            ends = self._ends(sizes[first])
            output = device.bytes(int(ends[-1]))
            self._launch(most, rows[first], own, True, ends, output)
        return made

    def all(self, rows: I64, taken: I64, sizes: I64, classes: I64, records: _Records) -> Written:
        """Run the rows rows[taken], which are in order."""
        device, n = self._device, len(rows)
        outcome = np.full(n, Outcome.TO_JINJA, np.int64)
        start, length, escaped = np.zeros(n, np.int64), np.zeros(n, np.int64), np.zeros(n, np.bool_)
        ends = self._ends(sizes[taken])
        output = device.bytes(int(ends[-1]))
        start[taken] = ends[:-1]
        for number in np.unique(classes):
            of_class = np.flatnonzero(classes == number)
            part = slice(int(of_class[0]), int(of_class[-1]) + 1)
            own = _Records(records.of_row[part], records.words, records.each, records.text)
            room = ends[part.start : part.stop + 1]
            result = self._launch(LEAST << int(number), rows[taken[part]], own, False, room, output)
            if result is not None:
                outcome[taken[part]], length[taken[part]], escaped[taken[part]] = result
        return Written(outcome, output, start, length, escaped)

    def _launch(
        self, most: int, rows: I64, records: _Records, leads: bool, room: I64, output: Any
    ) -> tuple[I64, I64, U8] | None:
        """(outcome, size, escaped) of rows of up to `most` bytes; None where not one thread has room."""
        device, n = self._device, len(rows)
        shape = self._shape(most)
        stride = int(shape[Shape.STRIDE])
        threads, scratch = self._scratch(min(n, self._room // 2 // (8 * stride)), stride)
        if threads == 0:
            return None
        given = [device.upload(array) for array in (rows, records.of_row, room)]
        results = [device.xp.zeros(n, kind) for kind in (np.int64, np.int64, np.uint8)]
        device.launch(
            vm.run, threads, self._window, device.upload(shape), self._code, self._constants, *self._values,
            *given[:2], records.words, records.each, leads, records.text, threads, scratch, given[2], output,
            *results, block=BLOCK,
        )  # fmt: skip
        outcome, size, escaped = map(device.download, results)
        return outcome & ((1 << OUTCOME_BITS) - 1), size, escaped

    def _ends(self, sizes: I64) -> I64:
        """int64[n + 1]: where the output of each row of so many bytes begins, and where the last ends.

        A text that is escaped once more asks for twice its bytes before it is written; and a template may
        write all that it has in each row.
        """
        own = len(self._program.literals) + LEAST_OUTPUT + PADDING
        ends = np.zeros(len(sizes) + 1, np.int64)
        np.cumsum((2 * sizes + own + 7) // 8 * 8, out=ends[1:])
        return ends

    def _scratch(self, threads: int, stride: int) -> tuple[int, Any]:
        """(how many threads have room, at most so many; their memory)."""
        while threads:
            try:
                return threads, self._device.xp.empty(threads * stride, np.int64)
            except MemoryError:
                threads //= 2
        return 0, None


def _class_bytes(sizes: I64) -> int:
    """The most bytes of a row of the highest class of some rows."""
    return LEAST << int(_classes(sizes).max(initial=0))


def together(written: Written, left: I64, others: Spans, device: Device) -> Text:
    """The texts of all rows in their order, on the device: of those number `left` the texts of the host,
    of the rest what the device has written."""
    window, words, places = device.window([written.output, others.data])
    source, size = places[0] + written.start, written.length.copy()
    source[left], size[left] = places[1] + others.start, others.length
    first = device.upload(np.arange(len(size) + 1))
    return pieces.write_all(window, words, device.upload(source), device.upload(size), first, device)
