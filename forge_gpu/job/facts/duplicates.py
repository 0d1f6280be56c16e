"""Columns of the ledger for what was decided of rows alike: of duplicates, clusters, and how similar."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from forge_gpu.job.facts.columns import TEXT, Column, Columns, LedgerRows, numbers
from forge_gpu.job.facts.fact import always
from forge_gpu.job.facts.matched import is_compared
from forge_gpu.job.facts.near import is_near
from forge_gpu.job.state.index import ROW


def _duplicates(rows: LedgerRows) -> Sequence[pa.Array]:
    return rows.files.place(rows.of(rows.decisions.duplicate_of))


def _clusters(rows: LedgerRows) -> Sequence[pa.Array]:
    cluster, partner = rows.decisions.cluster, rows.decisions.partner
    assert cluster is not None and partner is not None
    return [*rows.files.place(rows.of(cluster)), *rows.files.place(rows.of(partner))]


def _similarity(rows: LedgerRows) -> Sequence[pa.Array]:
    decisions = rows.decisions
    similarity = np.zeros(len(rows))
    if decisions.similarity is not None:
        similarity = rows.of(decisions.similarity).copy()
    if "matched" in decisions.facts:
        hits = rows.fact("matched")
        similarity[hits[ROW]] = hits["similarity"]
    return [numbers(similarity, similarity == 0)]


DUPLICATE = Columns(
    (
        Column(
            "duplicate_of_file", TEXT, "of a duplicate or near-duplicate: the file of the row that stayed"
        ),
        Column("duplicate_of_row", pa.int64(), "and its number"),
        Column("duplicate_of_part", pa.int64(), "and its part", of_parts=True),
    ),
    always,
    _duplicates,
)

CLUSTER = Columns(
    (
        Column("cluster_file", TEXT, "of a row in a cluster: the file of the cluster's first row"),
        Column("cluster_row", pa.int64(), "and its number"),
        Column("cluster_part", pa.int64(), "and its part", of_parts=True),
        Column(
            "similar_file",
            TEXT,
            "the file of the row that it is most similar to, of those it was compared with",
        ),
        Column("similar_row", pa.int64(), "and its number"),
        Column("similar_part", pa.int64(), "and its part", of_parts=True),
    ),
    is_near,
    _clusters,
)

SIMILARITY = Columns(
    (
        Column(
            "similarity",
            pa.float64(),
            "the exact Jaccard similarity to the row that it is similar to or matches, where it was measured",
        ),
    ),
    lambda config: is_near(config) or is_compared(config),
    _similarity,
)
