"""Rows through a sandboxed script: what came of each, checked, and whether it comes again."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import orjson

from forge_gpu.fates import Reason, name
from forge_gpu.kernels.cpu.scan import scan_records
from forge_gpu.kernels.layout import I32
from forge_gpu.kernels.scratch import Scratch
from forge_gpu.plain import frozen
from forge_gpu.sandbox.inside.frames import BATCH, REJECTED, ROWS, SIZE
from forge_gpu.sandbox.layers import SandboxError
from forge_gpu.sandbox.sandbox import MAX_ANSWER, Sandbox

FRAME_ROWS = 512
FRAME_BYTES = 2**20
"""A frame has so many rows at most, and about so many bytes: what `seconds` bounds."""
BATCH_ROWS = 16384
BATCH_BYTES = 2**23
"""The same of a script that takes batches."""
MAX_LINES = MAX_ANSWER
"""Bytes of the lines that a batch may become."""
ODD_ROWS = 7
"""Rows of the batches that a script gets when it is tried again: its results must not depend on them."""


@frozen
class Transformed:
    """What came of rows, in their order.

    counts: int32[rows], how many lines each became, REJECTED (-1) where it was. lines: JSON objects, a
    newline after each. reasons: of the rejected rows, one line each.
    """

    counts: I32
    lines: bytes
    reasons: tuple[str, ...]

    def each(self) -> list[list[bytes] | str]:
        """For each row: its lines, or why it was rejected."""
        lines, reasons = iter(self.lines.split(b"\n")), iter(self.reasons)
        return [
            next(reasons) if n == REJECTED else [next(lines) for _ in range(n)] for n in self.counts.tolist()
        ]

    @classmethod
    def of(cls, each: Sequence[list[bytes] | str]) -> Transformed:
        """What `each` gives."""
        counts = [REJECTED if isinstance(made, str) else len(made) for made in each]
        lines = b"".join(line + b"\n" for made in each if not isinstance(made, str) for line in made)
        return cls(np.array(counts, np.int32), lines, tuple(made for made in each if isinstance(made, str)))

    @classmethod
    def joined(cls, pieces: Sequence[Transformed]) -> Transformed:
        """What came of rows that were given piece by piece."""
        counts = np.concatenate([np.zeros(0, np.int32), *(piece.counts for piece in pieces)])
        reasons = tuple(reason for piece in pieces for reason in piece.reasons)
        return cls(counts, b"".join(piece.lines for piece in pieces), reasons)


def run(
    sandbox: Sandbox,
    rows: Sequence[bytes],
    max_row_bytes: int = 64 * 2**20,
    batch_rows: int = BATCH_ROWS,
) -> Transformed:
    """Give rows, each a JSON object, to the script. max_row_bytes: of a line that it may return. batch_rows:
    of a batch, where it takes batches.

    Raises SandboxError.
    """
    asked = _Asked(sandbox, max_row_bytes)
    if sandbox.takes_batches:
        pieces, ask = _pieces(rows, batch_rows, BATCH_BYTES), asked.by_batch
    else:
        pieces, ask = _pieces(rows, FRAME_ROWS, FRAME_BYTES), asked.by_row
    return Transformed.joined([ask(piece) for piece in pieces])


def unlike(script: Sandbox, again: Sandbox, rows: Sequence[bytes]) -> int | None:
    """The first row whose result differs where another process gets the rows in reverse: in other batches, or
    one by one, where `again` takes them so."""
    forward = run(script, rows).each()
    backward = run(again, rows[::-1], batch_rows=ODD_ROWS).each()[::-1]
    if script.takes_batches != again.takes_batches:  # the two spell values and faults in their own ways
        forward, backward = ([_meaning(made) for made in each] for each in (forward, backward))
    return next(
        (row for row, (one, other) in enumerate(zip(forward, backward, strict=True)) if one != other), None
    )


def _meaning(made: list[bytes] | str) -> Any:
    """The rows that were made, as values; None where the row was rejected."""
    return None if isinstance(made, str) else [json.loads(line) for line in made]


def _pieces(rows: Sequence[bytes], most_rows: int, most_bytes: int) -> Iterator[Sequence[bytes]]:
    """The rows in the pieces that are given at once; these depend on the rows alone."""
    ends = np.cumsum(np.fromiter(map(len, rows), np.int64, len(rows)))
    begin = before = 0
    while begin < len(rows):
        end = int(np.searchsorted(ends, before + most_bytes, "right"))
        end = min(max(end, begin + 1), begin + most_rows)
        yield rows[begin:end]
        begin, before = end, int(ends[end - 1])


def _lines(rows: Sequence[bytes]) -> bytes:
    """A line for each row: a line break between its values becomes a blank."""
    lines = b"\n".join(rows)
    if lines.count(b"\n") == len(rows) - 1:
        return lines
    return b"\n".join(row.replace(b"\n", b" ") for row in rows)


class _Asked:
    """A sandbox that is asked for pieces of rows; every answer is checked as one would a stranger's file."""

    def __init__(self, sandbox: Sandbox, max_row_bytes: int) -> None:
        self._sandbox, self._max_row_bytes = sandbox, max_row_bytes
        self._scratch = Scratch()

    def by_row(self, rows: Sequence[bytes]) -> Transformed:
        return self._ask(len(rows), _lines(rows), ROWS, _of_lines)

    def by_batch(self, rows: Sequence[bytes]) -> Transformed:
        """Rows of other columns or types go in batches of their own."""
        from forge_gpu.sandbox.batches import batches_of, lines_of
        from forge_gpu.sandbox.inside.columns import encode

        try:
            given = [*batches_of(_lines(rows), self._scratch)]
        except ValueError as fault:
            raise SandboxError(f"{self._sandbox.path}: {fault}") from fault
        pieces = [
            self._ask(
                len(each.places),
                encode(each.batch),
                BATCH,
                lambda made: lines_of(made, MAX_LINES, self._scratch),
            )
            for each in given
        ]
        if len(pieces) == 1:
            return pieces[0]
        result: list[Any] = [None] * len(rows)
        for each, piece in zip(given, pieces, strict=True):
            for place, made in zip(each.places.tolist(), piece.each(), strict=True):
                result[place] = made
        return Transformed.of(result)

    def _ask(self, rows: int, body: bytes, word: int, lines_of: Callable[[memoryview], bytes]) -> Transformed:
        answer = self._sandbox.ask(rows, body, word)
        try:
            return self._taken(answer, rows, lines_of)
        except (ValueError, TypeError, LookupError, RecursionError, struct.error) as fault:
            raise SandboxError(
                f"{self._sandbox.path}: an answer that no worker of Forge gives: {fault}"
            ) from fault

    def _taken(self, answer: memoryview, rows: int, lines_of: Callable[[memoryview], bytes]) -> Transformed:
        """Raises what reading a stranger's bytes raises."""
        head = 4 * rows + SIZE.size
        if len(answer) < head:
            raise ValueError("it is too short")
        counts = np.frombuffer(answer[: 4 * rows], "<i4").astype(np.int32)
        end = head + SIZE.unpack_from(answer, 4 * rows)[0]
        if len(answer) < end or (counts < REJECTED).any():
            raise ValueError("its sizes do not fit")
        reasons = orjson.loads(answer[end:])
        rejected = counts == REJECTED
        if not isinstance(reasons, list) or len(reasons) != int(rejected.sum()):
            raise ValueError("its reasons do not fit")
        text = lines_of(answer[head:end])
        data = np.frombuffer(text, np.uint8)
        records = scan_records(data, "lines", (), self._max_row_bytes, self._scratch)
        expected = int(counts[~rejected].sum(dtype=np.int64))
        if len(records) != expected or text.count(b"\n") != expected:
            raise ValueError(f"{len(records)} lines where {expected} were announced")
        made = Transformed(counts, text, tuple(map(_one_line, reasons)))
        return _without_refused(made, records.reason) if records.reason.any() else made


def _of_lines(made: memoryview) -> bytes:
    return bytes(made) + (b"\n" if len(made) else b"")


def _without_refused(made: Transformed, refused: np.ndarray) -> Transformed:
    """Rows with a line that the scanner refuses are rejected; whatever made it, no reader would take it."""
    result: list[list[bytes] | str] = []
    at = 0
    for lines in made.each():
        if not isinstance(lines, str):
            why = refused[at : at + len(lines)]
            at += len(lines)
            if why.any():
                lines = f"what it returned is refused: {name(Reason(int(why[why > 0][0])))}"
        result.append(lines)
    return Transformed.of(result)


def _one_line(reason: object) -> str:
    if not isinstance(reason, str) or len(reason) > 1000:
        raise ValueError("a reason is not a short text")
    return " ".join("".join(c if c.isprintable() else " " for c in reason).split())
