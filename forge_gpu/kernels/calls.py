"""Calls of the kernels that no job of `forge warm` comes to, with arguments like those of jobs.

What a kernel takes is known from its calls, and a library needs it of all of them.
"""

from __future__ import annotations

import numpy as np

from forge_gpu.kernels.cpu.added_tokens import cut
from forge_gpu.kernels.cpu.deal import deal
from forge_gpu.kernels.cpu.language import languages_of
from forge_gpu.kernels.cpu.members import scan_elements, scan_members
from forge_gpu.kernels.cpu.memory import whole
from forge_gpu.kernels.cpu.minhash import signatures
from forge_gpu.kernels.cpu.packing import best_fit
from forge_gpu.kernels.cpu.prose import prose_of
from forge_gpu.kernels.cpu.repeats import repeats_of
from forge_gpu.kernels.cpu.textops import characters
from forge_gpu.kernels.cpu.token_rows import (
    amiss,
    as_json,
    assemble,
    bytes_of_characters,
    from_json,
    gather,
    holds_any,
    unmark,
)
from forge_gpu.kernels.cpu.union import bucket_pairs, keep_nearest
from forge_gpu.kernels.cpu.vm_rows import count_mark_characters, same_texts
from forge_gpu.kernels.layout import JSON, PADDING, PLAIN, Spans, Text
from forge_gpu.kernels.reference.language import Model
from forge_gpu.kernels.reference.shingles import CHARACTERS, fold_table
from forge_gpu.kernels.scratch import Scratch
from forge_gpu.kernels.token_layout import WORD_BITS, EncodedPieces, Pieces, Runs, added_tokens, spelling

_CONTENT = b"<e>[12]"


def call_the_rest() -> None:
    """Call each once."""
    text, one = _text(_CONTENT), np.ones(1, np.int64)
    offsets, zeros = np.array([0, len(_CONTENT)], np.int64), np.zeros(1, np.int64)
    _of_texts(text, one, zeros)
    _of_tokens(text, offsets, one, zeros)
    deal(np.array([0, 1]), zeros, one, np.ones(1, np.uint64), np.ones((2, 1), np.int64))
    best_fit(np.ones(1, np.uint32), 1)
    for pairs in bucket_pairs(np.ones(3, np.uint64), np.arange(3, dtype=np.uint32), 2):
        rows = pairs.view(np.uint32).reshape(-1, 2).astype(np.int64)
        keep_nearest(rows, np.ones(len(rows)), np.full(3, -1), np.zeros(3))


def _text(content: bytes) -> Text:
    """One row."""
    return Text(np.frombuffer(content + bytes(PADDING), np.uint8), np.array([0, len(content)], np.int64))


def _column(content: bytes, kind: int) -> Spans:
    """One row."""
    sizes = np.array([len(content)], np.int64)
    return Spans(_text(content).data, np.zeros(1, np.int64), sizes, np.full(1, kind, np.uint8))


def _of_texts(text: Text, one: np.ndarray, zeros: np.ndarray) -> None:
    prose_of(text)
    repeats_of(text, Scratch())
    signatures(text.data, text.offsets, CHARACTERS, 5, fold_table(True, True, False), np.ones(1, np.uint32))
    state = np.zeros(256, np.uint32), zeros, np.zeros(1, np.int32)
    languages_of(text, Model(*state, np.zeros((1, 1), np.float32), np.zeros(1, np.float32), zeros))
    scan_members(_column(b'{"a":1}', JSON), ("a",))
    scan_elements(_column(b"[1]", JSON), 0)
    plain = _column(_CONTENT, PLAIN)
    characters(plain, zeros)
    same_texts(plain, plain, True)
    marks = (np.array([0, 2]), np.zeros(2, np.int64))
    count_mark_characters(*(whole(array) for array in (text.data, text.offsets, *marks)))


def _of_tokens(text: Text, offsets: np.ndarray, one: np.ndarray, zeros: np.ndarray) -> None:
    runs, none = Runs(offsets[:1].repeat(2), zeros[:0], zeros[:0]), zeros[:0]
    cut(text, runs, added_tokens([b"<e>"], [1], [0], np.zeros(WORD_BITS, np.uint8)))
    unmark(text)
    bytes_of_characters(text, runs)
    spelled = spelling(text.data, offsets, np.zeros(1, np.bool_))
    ids = np.zeros(1, np.uint32)
    flags = amiss(text.data, zeros, offsets[1:], ids, zeros, one, spelled, False)
    pieces = Pieces(np.array([0, 1]), zeros, offsets[1:], np.full(1, -1), zeros, offsets[1:], zeros)
    assemble(pieces, EncodedPieces(ids, zeros, one, flags, np.full(1, -1), none, none), spelled.offsets, runs)
    as_json(np.ones(1, np.int32), np.array([0, 1]))
    from_json(text.data, np.full(1, 3), np.full(1, 4))
    gather(text.data, zeros, offsets)
    holds_any(text.data, zeros, offsets[1:], np.zeros(WORD_BITS, np.uint8))
