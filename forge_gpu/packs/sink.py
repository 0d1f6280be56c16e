"""Lines of rows that become lines of packs: each list of a pack is its rows' lists, one behind the other."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import numpy as np
import orjson

from forge_gpu.config.schema import OutputConfig
from forge_gpu.io.sinks.base import Positions, Sink, Written
from forge_gpu.io.sinks.lines import Blocks, LinesToArrow
from forge_gpu.io.sinks.token_columns import ATTENTION, IGNORED, LABELS, LENGTHS
from forge_gpu.kernels.cpu.token_rows import as_json
from forge_gpu.kernels.layout import I64, U8, Text
from forge_gpu.packs.places import U32
from forge_gpu.plain import frozen

Lists = tuple[np.ndarray, I64]
"""The lists of a column: their numbers, int32[t], and where each begins, int64[n + 1]."""


class Cut(Protocol):
    """Where packs end."""

    def whole(self, offsets: I64, is_last: bool) -> tuple[I64, I64]:
        """(where packs begin that are whole, int64[p + 1], in numbers of a column; where the lists begin that
        are left, the first at 0). offsets: of the lists of a column."""

    def taken(self, packs: int) -> None:
        """So many packs are written."""


class ByRows:
    """rows: uint32[p], how many rows each pack has."""

    def __init__(self, rows: U32) -> None:
        self._ends = np.concatenate(([0], np.cumsum(rows, dtype=np.int64)))
        self._packs = 0

    def whole(self, offsets: I64, is_last: bool) -> tuple[I64, I64]:
        first = self._ends[self._packs]
        end = int(np.searchsorted(self._ends, first + len(offsets) - 1, side="right"))
        bounds = self._ends[self._packs : end] - first
        return offsets[bounds], offsets[bounds[-1] :] - offsets[bounds[-1]]

    def taken(self, packs: int) -> None:
        self._packs += packs


class ByTokens:
    """most: tokens of each pack but the last."""

    def __init__(self, most: int) -> None:
        self._most = most

    def whole(self, offsets: I64, is_last: bool) -> tuple[I64, I64]:
        bounds = np.arange(0, offsets[-1] + 1, self._most)
        if is_last and bounds[-1] < offsets[-1]:
            bounds = np.append(bounds, offsets[-1])
        return bounds, np.array([0, offsets[-1] - bounds[-1]])

    def taken(self, packs: int) -> None:
        """It cuts everywhere alike."""


@frozen
class Padding:
    """Rows, and then packs, are padded to multiples of so many tokens: with `token`, which is not trained and
    not read. What is put behind the rows of a pack is a row of its own in `seq_lengths`."""

    rows_to: int
    packs_to: int
    token: int

    @classmethod
    def of(cls, output: OutputConfig) -> Padding | None:
        """That of a plan."""
        if output.pad_id is None or (output.pad_rows_to, output.pad_to) == (1, 1):
            return None
        return cls(output.pad_rows_to, output.pad_to, output.pad_id)

    def rows(self, name: str, numbers: np.ndarray, offsets: I64) -> Lists:
        """The lists of a column, one for each row."""
        if name == LENGTHS:
            return -(-numbers // self.rows_to) * self.rows_to, offsets
        return self._padded(name, numbers, offsets, self.rows_to)

    def packs(self, name: str, numbers: np.ndarray, offsets: I64) -> Lists:
        """The lists of a column, one for each pack."""
        if name != LENGTHS:
            return self._padded(name, numbers, offsets, self.packs_to)
        lengths = np.add.reduceat(np.append(numbers, 0), offsets[:-1]) if len(numbers) else numbers
        lacking = -lengths % self.packs_to
        behind = np.repeat(offsets[1:], lacking > 0)
        more = np.concatenate(([0], np.cumsum(lacking > 0)))
        return np.insert(numbers, behind, lacking[lacking > 0]), offsets + more

    def _padded(self, name: str, numbers: np.ndarray, offsets: I64, multiple: int) -> Lists:
        lacking = -np.diff(offsets) % multiple
        value = {LABELS: IGNORED, ATTENTION: 0}.get(name, self.token)
        behind = np.repeat(offsets[1:], lacking)
        return np.insert(numbers, behind, value), offsets + np.concatenate(([0], np.cumsum(lacking)))


class PackingSink:
    """Gives packs to the sink of a format; see `base.Sink`. Its rows come in the order of their places, and
    after a stop from the first one on: nothing of it is noted in a checkpoint."""

    def __init__(
        self, sink: Sink, columns: Mapping[str, str], cut: Cut, padding: Padding | None = None
    ) -> None:
        self._sink, self._cut, self._names, self._padding = sink, cut, list(columns), padding
        self._blocks, self._to_arrow = Blocks(), LinesToArrow(columns)
        self._held: dict[str, Lists] = {name: _no_lists() for name in columns}

    def append(self, lines: Text) -> None:
        for block in self._blocks.add(lines):
            self._take(block)

    def begin_sync(self) -> None:
        self._sink.begin_sync()

    def sync(self) -> Positions:
        return self._sink.sync()

    def finish(self) -> list[Written]:
        for block in self._blocks.rest():
            self._take(block)
        self._give(is_last=True)
        return self._sink.finish()

    def close(self) -> None:
        self._sink.close()

    def _take(self, block: U8) -> None:
        batch = self._to_arrow.batch(block)
        for name in self._names:
            rows = batch[name].values.to_numpy(), batch[name].offsets.to_numpy().astype(np.int64)
            if self._padding is not None:
                rows = self._padding.rows(name, *rows)
            self._held[name] = _joined(self._held[name], *rows)
        self._give(is_last=False)

    def _give(self, is_last: bool) -> None:
        """Append the packs that are whole; what is left waits for what follows."""
        packs: list[tuple[bytes, Text]] = []
        for name, (numbers, offsets) in self._held.items():
            bounds, left = self._cut.whole(offsets, is_last)
            whole = numbers[: bounds[-1]], bounds
            if self._padding is not None:
                whole = self._padding.packs(name, *whole)
            packs.append((orjson.dumps(name), as_json(*whole)))
            self._held[name] = numbers[bounds[-1] :], left
        count = len(packs[0][1])
        self._cut.taken(count)
        if count:
            self._sink.append(lines_of(packs, count))


def lines_of(columns: list[tuple[bytes, Text]], count: int) -> Text:
    """Lines as the form spells them. columns: the name of each, as JSON, and its lists."""
    lines = [
        b"{" + b",".join(name + b":" + lists.row(number) for name, lists in columns) + b"}\n"
        for number in range(count)
    ]
    offsets = np.concatenate(([0], np.cumsum([len(line) for line in lines])))
    return Text(np.frombuffer(b"".join(lines), np.uint8), offsets.astype(np.int64))


def _no_lists() -> Lists:
    return np.zeros(0, np.int32), np.zeros(1, np.int64)


def _joined(lists: Lists, more: np.ndarray, begins: I64) -> Lists:
    numbers, offsets = lists
    return np.concatenate([numbers, more]), np.concatenate([offsets, begins[1:] + len(numbers)])
