"""How many tokens the lines of a prepared split have, from the least that says it."""

from __future__ import annotations

import numpy as np

from forge_gpu.derive.rows import is_padded
from forge_gpu.job.output.ledger import open_ledger
from forge_gpu.kernels.layout import I64
from forge_gpu.loading.mapped import mapped_split
from forge_gpu.share.prepared import Prepared, reading

BATCH_ROWS = 1 << 16


def tokens_of_lines(prepared: Prepared, split: str) -> I64:
    """int64[n], in the order of the lines: from the ledger, unless rows go on from
    line to line or are padded."""
    config = prepared.config
    goes_on = config.output.packing == "wrapped" or config.tokens.cut == "split"
    if goes_on or config.data.repeats is not None or is_padded(prepared):
        return mapped_split(prepared, split).tokens
    files = prepared.split_files[split]
    first, result = {}, np.zeros(sum(file.rows for file in files), np.int64)
    begin = 0
    for file in files:
        first[file.file] = begin
        begin += file.rows
    with reading(prepared.ledger), open_ledger(prepared.ledger) as ledger:
        for batch in ledger.iter_batches(BATCH_ROWS, columns=["shard", "line", "tokens"]):
            shard = batch["shard"]
            starts = np.array([first.get(name, -1) for name in shard.dictionary.to_pylist()] or [-1])
            start = starts[shard.indices.fill_null(0).to_numpy()]
            own = (start >= 0) & shard.is_valid().to_numpy(zero_copy_only=False)
            line = start + batch["line"].fill_null(1).to_numpy() - 1
            np.add.at(result, line[own], batch["tokens"].fill_null(0).to_numpy()[own])
    return result
