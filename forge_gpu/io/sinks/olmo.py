"""OLMo-core's arrays: raw ids under the name `.npy`, a byte a token that says whether it is trained, and
where documents begin and end, as lines of numbers in a gzip file."""

from __future__ import annotations

import gzip

import numpy as np

from forge_gpu.io.sinks.flat import Layout, flat
from forge_gpu.kernels.layout import I64


def _content(lengths: I64) -> bytes:
    ends = np.cumsum(lengths)
    bounds = zip((ends - lengths).tolist(), ends.tolist(), strict=True)
    return gzip.compress("".join(f"{begin},{end}\n" for begin, end in bounds).encode(), mtime=0)


def _lengths(index: bytes, tokens: int) -> I64:
    lines = [line.split(b",") for line in gzip.decompress(index).splitlines()]
    bounds = np.array(lines, np.int64).reshape(-1, 2)
    lengths: I64 = bounds[:, 1] - bounds[:, 0]
    if not np.array_equal(np.cumsum(lengths), bounds[:, 1]) or lengths.sum() != tokens:
        raise ValueError("documents do not follow each other to the end of the tokens")
    return lengths


FORMAT = flat(Layout(".token_ids.npy", ".token_ids.csv.gz", _content, _lengths, mask=".labels_mask.npy"))
