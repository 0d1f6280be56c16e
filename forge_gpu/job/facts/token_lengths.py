"""How many tokens a row has, where what becomes of it depends on that: it is encoded in the first pass too.

Where nothing depends on it, rows are encoded when they are written, and only those that are.
"""

from __future__ import annotations

import numpy as np

from forge_gpu.config.schema import Config
from forge_gpu.fates import Reason
from forge_gpu.job.facts.fact import Fact
from forge_gpu.job.rows.rows import Rows
from forge_gpu.job.rows.workspace import Workspace
from forge_gpu.templates.forms import form_of


def depends_on_lengths(config: Config) -> bool:
    """Whether a row may be rejected for the number of its tokens."""
    if not form_of(config).is_encoded:
        return False
    return rejects_long(config) or config.tokens.min_trained > 1


def rejects_long(config: Config) -> bool:
    return config.preprocessing.quality_checks.too_long == "reject" and config.model.max_length is not None


def _compute(workspace: Workspace, rows: Rows) -> np.ndarray:
    """uint32[n], 0 of rows that cannot be rendered. Rejects rows with too many tokens, or too few trained."""
    config, good = workspace.config, rows.live
    lengths = np.zeros(len(rows), np.uint32)
    assert workspace.encoder is not None
    if not len(good):
        return lengths
    tokens = workspace.encoder.encode(rows, good).tokens
    own = np.diff(tokens.offsets)
    lengths[good] = own
    if rejects_long(config):
        rows.reason[good[own > config.model.max_length]] = Reason.TOO_LONG
    few = (tokens.trained < config.tokens.min_trained) & (rows.reason[good] == 0)
    rows.reason[good[few]] = Reason.NOTHING_TRAINED
    return lengths


TOKEN_LENGTHS = Fact("token_lengths", np.dtype(np.uint32), _compute, required=depends_on_lengths)
