"""From marked texts, pieces and ids to the tokens of rows: their ids, their weights, and both as JSON."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from forge_gpu.kernels.layout import I64, PADDING, U8, Text
from forge_gpu.kernels.token_layout import (
    CONTROL,
    EMPTY,
    PLAIN,
    PREFIXED,
    RUN,
    RUN_END,
    SIZE_BITS,
    TRAINED,
    TRAINED_END,
    UNKNOWN,
    WRONG_BYTES,
    WRONG_SIZE,
    EncodedPieces,
    Pieces,
    Runs,
    Spelling,
)

U32 = np.ndarray


def unmark(marked: Text) -> tuple[Text, Runs, Runs, U8]:
    """(the texts without marks, the runs of literals, what is trained, uint8[n]: whether the origin of a
    row's bytes is unknown). Marks of a kind do not nest; runs that touch are one."""
    data = bytearray()
    offsets, unknown = [0], []
    ranges: dict[int, list[tuple[int, int]]] = {RUN: [], TRAINED: []}
    ends: dict[int, list[int]] = {RUN: [0], TRAINED: [0]}
    for row in range(len(marked)):
        opened = {RUN: 0, TRAINED: 0}
        before = len(data)
        flag = 0
        for byte in marked.row(row):
            if byte in opened:
                opened[byte] = len(data)
            elif byte in (RUN_END, TRAINED_END):
                kind = byte + 1
                mine = ranges[kind]
                if opened[kind] == len(data):
                    continue
                if kind == RUN and len(mine) > ends[RUN][-1] and mine[-1][1] == opened[RUN]:
                    mine[-1] = (mine[-1][0], len(data))
                else:
                    mine.append((opened[kind], len(data)))
            elif byte == UNKNOWN:
                flag = 1
            else:
                data.append(byte)
        offsets.append(len(data))
        unknown.append(flag if len(data) > before else 0)
        for kind in ends:
            ends[kind].append(len(ranges[kind]))
    made = [
        Runs(
            np.array(ends[kind], np.int64),
            np.array([start for start, _ in ranges[kind]], np.int64),
            np.array([stop for _, stop in ranges[kind]], np.int64),
        )
        for kind in (RUN, TRAINED)
    ]
    text = Text(np.frombuffer(bytes(data) + bytes(PADDING), np.uint8), np.array(offsets, np.int64))
    return text, made[0], made[1], np.array(unknown, np.uint8)


def bytes_of_characters(texts: Text, runs: Runs) -> Runs:
    """Ranges that are told in characters of each row's text, in bytes of all texts. Those of a row are in
    order and apart; none ends behind the text."""
    start, stop = runs.start.copy(), runs.stop.copy()
    for row in range(len(texts)):
        text = texts.row(row).decode()
        for k in range(runs.offsets[row], runs.offsets[row + 1]):
            for bound in (start, stop):
                bound[k] = texts.offsets[row] + len(text[: bound[k]].encode())
    return Runs(runs.offsets, start, stop)


def amiss(
    data: U8,
    start: I64,
    stop: I64,
    ids: U32,
    begin: I64,
    end: I64,
    spelled: Spelling,
    prefix: bool,
) -> U8:
    """What is to be said of the ids of each piece: uint8[m], of WRONG_BYTES ... EMPTY.

    start, stop: int64[m], pieces of text in `data`. ids: uint32[t]; piece i has those from begin[i] to
    end[i] - 1. prefix: whether a blank may come before a piece that the text has not. The bytes of a piece of
    the wrong size are not looked at.
    """
    result = np.zeros(len(start), np.uint8)
    for piece in range(len(start)):
        own = ids[begin[piece] : end[piece]].tolist()
        words = [spelled.data[spelled.offsets[k] : spelled.offsets[k + 1]].tobytes() for k in own]
        together, text = b"".join(words), data[start[piece] : stop[piece]].tobytes()
        is_control = any(int(spelled.entries[k, 1]) >> SIZE_BITS & CONTROL for k in own)
        flags = CONTROL * is_control | EMPTY * (b"" in words)
        extra = len(together) - len(text)
        if extra != 0 and not (prefix and extra == 1 and together[:1] == b" "):
            flags |= WRONG_SIZE
        elif extra != 0:
            flags |= PREFIXED | WRONG_BYTES * (together[1:] != text)
        else:
            flags |= WRONG_BYTES * (together != text)
        result[piece] = flags
    return result


def assemble(
    pieces: Pieces, encoded: EncodedPieces, spelled_offsets: I64, trained: Runs
) -> tuple[U32, U8, I64, I64, I64]:
    """(the ids of all rows, whether each is trained, int64[n + 1] where each row begins, int64[n] trained
    tokens of each row, int64[n] tokens that begin before what is trained, or end behind it).

    encoded: the pieces that are text, in order. spelled_offsets: of a `Spelling`.

    A token of a text is trained where one of its bytes lies in a range of `trained`, and an added token where
    one of its own does. A token of no byte counts as the byte that it stands at; so does a blank before a
    piece. Ranges are in order and apart.
    """
    made: list[int] = []
    weights: list[int] = []
    rows = [0]
    counts, straddling = [], []
    text = 0
    for row in range(len(pieces.offsets) - 1):
        ranges = [
            (int(trained.start[k]), int(trained.stop[k]))
            for k in range(trained.offsets[row], trained.offsets[row + 1])
        ]
        before, over = sum(weights), 0
        for piece in range(pieces.offsets[row], pieces.offsets[row + 1]):
            if pieces.id[piece] != PLAIN:
                bounds = [(int(pieces.id[piece]), int(pieces.own_start[piece]), int(pieces.own_stop[piece]))]
            else:
                bounds = _bounds(int(pieces.start[piece]), encoded, text, spelled_offsets)
                text += 1
            for number, begin, end in bounds:
                touched = [(a, b) for a, b in ranges if begin < b and end > a]
                made.append(number)
                weights.append(int(bool(touched)))
                over += any(begin < a or end > b for a, b in touched)
        rows.append(len(made))
        counts.append(sum(weights) - before)
        straddling.append(over)
    return (
        np.array(made, np.uint32),
        np.array(weights, np.uint8),
        np.array(rows, np.int64),
        np.array(counts, np.int64),
        np.array(straddling, np.int64),
    )


def _bounds(start: int, encoded: EncodedPieces, text: int, offsets: I64) -> list[tuple[int, int, int]]:
    """(id, first byte, the one behind the last) of the tokens of a piece that begins at `start`."""
    own = encoded.ids[encoded.begin[text] : encoded.end[text]].tolist()
    if encoded.given[text] >= 0:
        at = slice(encoded.given[text], encoded.given[text] + len(own))
        pairs = list(zip(encoded.first[at].tolist(), encoded.last[at].tolist(), strict=True))
    else:
        ends = np.cumsum([0, *(offsets[k + 1] - offsets[k] for k in own)]) + start
        ends = np.maximum(ends - bool(encoded.amiss[text] & PREFIXED), start).tolist()
        pairs = list(pairwise(ends))
    return [(k, first, max(last, first + 1)) for k, (first, last) in zip(own, pairs, strict=True)]


def as_json(values: np.ndarray, offsets: I64) -> Text:
    """Lists of whole numbers as JSON, without blanks. values: int32[t]; list i has offsets[i] ... of them."""
    lists = [
        b"[" + b",".join(b"%d" % value for value in values[offsets[i] : offsets[i + 1]]) + b"]"
        for i in range(len(offsets) - 1)
    ]
    bounds = np.zeros(len(lists) + 1, np.int64)
    np.cumsum([len(made) for made in lists], out=bounds[1:])
    return Text(np.frombuffer(b"".join(lists) + bytes(PADDING), np.uint8), bounds)


def from_json(data: U8, start: I64, length: I64) -> tuple[np.ndarray, I64]:
    """The way back: (int32[t], int64[n + 1]). Raises ValueError for what is no list of such numbers."""
    values: list[int] = []
    offsets = [0]
    for begin, size in zip(start.tolist(), length.tolist(), strict=True):
        text = data[begin : begin + size].tobytes()
        inner = text[1:-1]
        if text[:1] != b"[" or text[-1:] != b"]":
            raise ValueError("no list of whole numbers")
        for number in inner.split(b",") if inner else ():
            if not number.removeprefix(b"-").isdigit() or not -(2**31) <= int(number) < 2**31:
                raise ValueError("no list of whole numbers")
            values.append(int(number))
        offsets.append(len(values))
    return np.array(values, np.int32), np.array(offsets, np.int64)


def gather(data: U8, starts: I64, offsets: I64) -> U8:
    """Texts one behind the other. Text i begins at starts[i] in `data`, and in the result at offsets[i]."""
    sizes = np.diff(offsets)
    pieces = [data[start : start + size] for start, size in zip(starts, sizes, strict=True)]
    return np.concatenate(pieces) if pieces else np.zeros(0, np.uint8)


def holds_any(data: U8, starts: I64, stops: I64, points: U8) -> U8:
    """uint8[m]: whether a text of UTF-8 has one of some code points. points: a bit for each."""
    return np.array(
        [
            any(points[ord(each) >> 3] >> (ord(each) & 7) & 1 for each in data[start:stop].tobytes().decode())
            for start, stop in zip(starts, stops, strict=True)
        ],
        np.uint8,
    )
