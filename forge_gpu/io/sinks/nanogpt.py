"""nanoGPT's shards as NeMo's processor writes them: a head of 256 numbers, ids as uint32, and in `.bos.idx`
the tokens at which rows begin. It has no labels: every token is trained."""

from __future__ import annotations

import numpy as np

from forge_gpu.io.sinks.flat import Layout, flat
from forge_gpu.kernels.layout import I64

MAGIC, VERSION, BYTES_OF_AN_ID = 278895051, 1, 4


def _head(tokens: int) -> bytes:
    head = np.zeros(256, "<i4")
    head[:4] = MAGIC, VERSION, 0, BYTES_OF_AN_ID
    head[2:3].view("<u4")[0] = tokens & 0xFFFFFFFF
    return head.tobytes()


def _content(lengths: I64) -> bytes:
    return (np.cumsum(lengths) - lengths).astype("<u4").tobytes()


def _lengths(index: bytes, tokens: int) -> I64:
    begins = np.frombuffer(index, "<u4").astype(np.int64)
    lengths: I64 = np.diff(np.append(begins, tokens))
    if len(begins) and (begins[0] or lengths.min() < 0):
        raise ValueError("rows do not begin within the tokens, one behind the other")
    return lengths


FORMAT = flat(Layout(".bin", ".bos.idx", _content, _lengths, head=_head))
