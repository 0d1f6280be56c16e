"""Which evaluation rows a row matches: of those that match one."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from forge_gpu.config.schema import Config
from forge_gpu.io.to_arrow import texts_to_arrow
from forge_gpu.job.facts.columns import TEXT, Column, Columns, LedgerRows, coded
from forge_gpu.job.facts.fact import Fact
from forge_gpu.job.rows.rows import Rows
from forge_gpu.job.rows.workspace import Workspace
from forge_gpu.job.state.index import ROW

DTYPE = np.dtype([(ROW, np.int64), ("ngram", np.int64), ("near", np.int64), ("similarity", np.float64)])
"""A row; the evaluation rows that it matches by either rule, -1 for none; how similar the second is."""

RULES = ("ngram", "minhash")
"""Names of the rules in the ledger."""


def is_compared(config: Config) -> bool:
    return bool(config.data.against)


def _compute(workspace: Workspace, rows: Rows) -> np.ndarray:
    assert workspace.evaluation is not None
    good = rows.live
    result = workspace.evaluation.against.check(workspace.against_text.of(rows, good))
    hit = np.flatnonzero((result.ngram >= 0) | (result.near >= 0))
    matched = np.empty(len(hit), DTYPE)
    matched[ROW], matched["ngram"], matched["near"] = good[hit], result.ngram[hit], result.near[hit]
    matched["similarity"] = result.similarity[hit]
    return matched


def _fill(rows: LedgerRows) -> Sequence[pa.Array]:
    hits = rows.fact("matched")
    row, rule = np.full(len(rows), -1, np.int64), np.zeros(len(rows), np.int32)
    # Where both rules hold, the more similar row tells more than the first shared run of words.
    by_near = hits["near"] >= 0
    row[hits[ROW]] = np.where(by_near, hits["near"], hits["ngram"])
    rule[hits[ROW]] = np.where(by_near, RULES.index("minhash"), RULES.index("ngram"))
    return [*rows.matched_files.place(row), coded(rule, texts_to_arrow(RULES), row < 0)]


MATCHED = Fact(
    "matched",
    DTYPE,
    _compute,
    required=is_compared,
    columns=Columns(
        (
            Column("matched_file", TEXT, "the evaluation file that it matches"),
            Column("matched_row", pa.int64(), "and the row there"),
            Column("matched_by", TEXT, "the rule: `ngram` or `minhash`"),
        ),
        is_compared,
        _fill,
    ),
)
