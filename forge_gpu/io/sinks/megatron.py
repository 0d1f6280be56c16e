"""Megatron's indexed dataset: `.bin`, the ids of all rows one behind the other; `.idx`, where each begins.

The format is that of `megatron/core/datasets/indexed_dataset.py`. Each row is a sequence and a document. It
has no labels: every token is trained.
"""

from __future__ import annotations

import numpy as np

from forge_gpu.io.sinks.flat import Layout, flat
from forge_gpu.kernels.layout import I64

MAGIC = b"MMIDIDX\0\0"
VERSION, INT32 = 1, 4
HEAD = np.dtype([("magic", "S9"), ("version", "<u8"), ("type", "u1"), ("rows", "<u8"), ("ends", "<u8")])
"""Of the index; behind it int32[rows] lengths, int64[rows] bytes where rows begin, int64[ends] documents."""


def _content(lengths: I64) -> bytes:
    begins = (np.cumsum(lengths, dtype="<i8") - lengths) * 4
    head = np.array((MAGIC, VERSION, INT32, len(lengths), len(lengths) + 1), HEAD)
    arrays = (head, lengths.astype("<i4"), begins, np.arange(len(lengths) + 1, dtype="<i8"))
    return b"".join(array.tobytes() for array in arrays)


def _lengths(index: bytes, tokens: int) -> I64:
    head = np.frombuffer(index[: HEAD.itemsize].ljust(HEAD.itemsize, b"\1"), HEAD)[0]
    rows = int(head["rows"])
    known = index.startswith(MAGIC) and (head["version"], head["type"]) == (VERSION, INT32)
    if not known or len(index) != HEAD.itemsize + 20 * rows + 8:
        raise ValueError("is not an index of Megatron's, or is cut off")
    lengths = np.frombuffer(index, "<i4", rows, HEAD.itemsize).astype(np.int64)
    begins = np.frombuffer(index, "<i8", rows, HEAD.itemsize + 4 * rows)
    if not np.array_equal(begins, (np.cumsum(lengths) - lengths) * 4):
        raise ValueError("rows do not begin where the ones before them end")
    return lengths


FORMAT = flat(Layout(".bin", ".idx", _content, _lengths))
