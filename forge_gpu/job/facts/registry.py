"""All facts, and all columns of the ledger, in order: facts are computed in it, columns stand in it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

import numpy as np

from forge_gpu.config.schema import Config
from forge_gpu.job.facts.columns import Columns
from forge_gpu.job.facts.copies import COPIES
from forge_gpu.job.facts.duplicates import CLUSTER, DUPLICATE, SIMILARITY
from forge_gpu.job.facts.fact import Fact
from forge_gpu.job.facts.hashes import HASHES
from forge_gpu.job.facts.length import CHARACTERS
from forge_gpu.job.facts.matched import MATCHED
from forge_gpu.job.facts.media import MEDIA_TOKENS
from forge_gpu.job.facts.near import BANDS, SCORE, TEXT_BYTES
from forge_gpu.job.facts.pack import PACK
from forge_gpu.job.facts.part import PART
from forge_gpu.job.facts.place import FATE, OUTPUT, SOURCE
from forge_gpu.job.facts.reason import REASON
from forge_gpu.job.facts.split import GROUP, STRATUM, TIME
from forge_gpu.job.facts.token_counts import TOKENS

if TYPE_CHECKING:
    from forge_gpu.job.rows.rows import Rows
    from forge_gpu.job.rows.workspace import Workspace

DECLARED: tuple[Fact | Columns, ...] = (
    SOURCE,
    PART,
    FATE,
    TIME,  # it and the hashes may reject a row, so they come before its reason
    HASHES,
    REASON,
    DUPLICATE,
    OUTPUT,
    PACK,
    COPIES,
    CHARACTERS,
    STRATUM,
    GROUP,
    BANDS,
    TEXT_BYTES,
    SCORE,
    CLUSTER,
    MATCHED,
    SIMILARITY,
    TOKENS,
    MEDIA_TOKENS,
)


def required_facts(config: Config) -> list[Fact]:
    """The facts that a plan needs."""
    return [fact for fact in DECLARED if isinstance(fact, Fact) and fact.required(config)]


def all_columns() -> Iterator[Columns]:
    """Those of the ledger of any plan."""
    for declared in DECLARED:
        columns = declared.columns if isinstance(declared, Fact) else declared
        if columns is not None:
            yield columns


def required_columns(config: Config) -> list[Columns]:
    """Those of the ledger of a plan."""
    return [columns for columns in all_columns() if columns.required(config)]


def compute(workspace: Workspace, rows: Rows) -> Mapping[str, np.ndarray]:
    """The arrays of the index of a chunk."""
    arrays: dict[str, np.ndarray] = {}
    for fact in required_facts(workspace.config):
        arrays |= fact.as_stored(fact.compute(workspace, rows))
    return arrays


def input_columns(config: Config) -> list[str]:
    """The columns of the input that facts are computed from."""
    return [column for fact in required_facts(config) for column in fact.inputs(config)]
