"""Rows through a sandboxed script: what came of each, checked, and whether it comes again."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import orjson

from forge_gpu.fates import Reason, name
from forge_gpu.kernels.cpu.scan import scan_records
from forge_gpu.kernels.layout import I32
from forge_gpu.kernels.scratch import Scratch
from forge_gpu.sandbox.inside.frames import REJECTED, SIZE
from forge_gpu.sandbox.layers import SandboxError
from forge_gpu.sandbox.sandbox import Sandbox

FRAME_ROWS = 512
FRAME_BYTES = 2**20
"""A frame has so many rows at most, and about so many bytes: what `seconds` bounds."""


@dataclass(frozen=True, slots=True)
class Transformed:
    """What came of rows, in their order.

    counts: int32[rows], how many lines each became, REJECTED (-1) where it was. lines: JSON objects, a
    newline after each. reasons: of the rejected rows, one line each.
    """

    counts: I32
    lines: bytes
    reasons: tuple[str, ...]


def run(sandbox: Sandbox, rows: Sequence[bytes], max_row_bytes: int = 64 * 2**20) -> Transformed:
    """Give rows, each a JSON object, to the script. max_row_bytes: of a line that it may return.

    Raises SandboxError.
    """
    scratch, made = Scratch(), _Made()
    for frame in _frames(rows):
        answer = sandbox.ask(len(frame), b"\n".join(row.replace(b"\n", b" ") for row in frame))
        try:
            _take(answer, len(frame), max_row_bytes, scratch, made)
        except (ValueError, TypeError) as fault:
            raise SandboxError(f"{sandbox.path}: an answer that no worker of Forge gives: {fault}") from fault
    counts = np.concatenate(made.counts) if made.counts else np.zeros(0, np.int32)
    return Transformed(counts, b"".join(made.lines), tuple(made.reasons))


def unlike(script: Sandbox, again: Sandbox, rows: Sequence[bytes]) -> int | None:
    """The first row whose result differs where another process gets the rows in reverse, if any."""
    forward, backward = _each(run(script, rows)), _each(run(again, rows[::-1]))[::-1]
    return next(
        (row for row, (one, other) in enumerate(zip(forward, backward, strict=True)) if one != other), None
    )


def _each(made: Transformed) -> list[object]:
    """For each row: its lines, or why it was rejected."""
    lines, reasons = iter(made.lines.split(b"\n")), iter(made.reasons)
    return [next(reasons) if n == REJECTED else [next(lines) for _ in range(n)] for n in made.counts.tolist()]


@dataclass(slots=True)
class _Made:
    counts: list[I32] = field(default_factory=list)
    lines: list[bytes] = field(default_factory=list)
    reasons: list[str] = field(default_factory=list)


def _frames(rows: Sequence[bytes]) -> Iterator[Sequence[bytes]]:
    """The rows in the pieces that are given at once; these depend on the rows alone."""
    begin = size = 0
    for end, row in enumerate(rows):
        if end > begin and (end - begin == FRAME_ROWS or size + len(row) > FRAME_BYTES):
            yield rows[begin:end]
            begin, size = end, 0
        size += len(row)
    if begin < len(rows):
        yield rows[begin:]


def _take(answer: memoryview, rows: int, max_row_bytes: int, scratch: Scratch, made: _Made) -> None:
    """Check the body of an answer as one would a stranger's file. Raises ValueError."""
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
    reasons = [_one_line(reason) for reason in reasons]
    text = bytes(answer[head:end]) + (b"\n" if end > head else b"")
    records = scan_records(np.frombuffer(text, np.uint8), "lines", (), max_row_bytes, scratch)
    expected = int(counts[~rejected].sum(dtype=np.int64))
    if len(records) != expected or text.count(b"\n") != expected:
        raise ValueError(f"{len(records)} lines where {expected} were announced")
    if records.reason.any():
        counts, text, reasons = _without_refused(counts, text, reasons, records.reason)
    made.counts.append(counts)
    made.lines.append(text)
    made.reasons += reasons


def _without_refused(
    counts: I32, text: bytes, reasons: Sequence[str], refused: np.ndarray
) -> tuple[I32, bytes, list[str]]:
    """Rows with a line that the scanner refuses are rejected; whatever made it, no reader would take it."""
    lines = text.split(b"\n")
    given, kept, told, at = iter(reasons), [], [], 0
    result = counts.copy()
    for row, count in enumerate(counts.tolist()):
        if count == REJECTED:
            told.append(next(given))
            continue
        why = refused[at : at + count]
        if why.any():
            result[row] = REJECTED
            told.append(f"what it returned is refused: {name(Reason(int(why[why > 0][0])))}")
        else:
            kept += lines[at : at + count]
        at += count
    return result, b"".join(line + b"\n" for line in kept), told


def _one_line(reason: object) -> str:
    if not isinstance(reason, str) or len(reason) > 1000:
        raise ValueError("a reason is no short text")
    return " ".join("".join(c if c.isprintable() else " " for c in reason).split())
