"""The hash of a row's dedup key, by which exact duplicates are known and splits are drawn."""

from __future__ import annotations

import numpy as np

from forge_gpu.fates import Reason
from forge_gpu.job.facts.fact import Fact
from forge_gpu.job.rows.rows import Rows
from forge_gpu.job.rows.workspace import Workspace
from forge_gpu.kernels.layout import U64


def _compute(workspace: Workspace, rows: Rows) -> U64:
    """XXH3-128: uint64[n, 2], zero where the row is rejected. Rejects rows whose text is empty, which their
    keys tell."""
    good = rows.live
    keys = workspace.keys(rows, good)
    of_keys = workspace.engine.hash128(keys)
    if len(good) == len(rows):
        hashes = of_keys.copy()
    else:
        hashes = np.zeros((len(rows), 2), np.uint64)
        hashes[good] = of_keys
    empty = workspace.renders_to_nothing(rows, good, keys.offsets)
    if len(empty):
        rows.reason[empty] = Reason.EMPTY_TEXT
        hashes[empty] = 0
    for reason, unfit in workspace.unfit_for_tokens(rows, rows.live).items():
        rows.reason[unfit] = reason
        hashes[unfit] = 0
    return hashes


HASHES = Fact("hashes", np.dtype(np.uint64), _compute, width=lambda config: 2)
