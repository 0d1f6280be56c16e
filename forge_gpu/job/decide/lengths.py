"""The step that leaves out rows for the number of their tokens, where a plan counts these before it."""

from __future__ import annotations

import numpy as np

from forge_gpu.fates import Fate, Reason
from forge_gpu.job.decide.verdict import Case, Verdict
from forge_gpu.job.rows.tokenizers import longest_row, min_trained
from forge_gpu.job.state.token_table import pieces_of


def lengths(case: Case, verdict: Verdict) -> None:
    """Rows of more tokens than the model takes, and rows with too few that are trained."""
    if case.tokens is None:
        return
    config, open_rows = case.config, verdict.open_rows
    reason = np.array(case.facts["reason"])
    longest = longest_row(config)
    if longest is not None and config.tokens.cut != "split":
        long = open_rows & (case.beside + case.tokens["longest"] > longest)
        reason[long] = Reason.TOO_LONG
    few = open_rows & (reason == 0) & (case.tokens["trained"] < min_trained(config))
    reason[few] = Reason.NOTHING_TRAINED
    verdict.settle(open_rows & (reason != 0), Fate.REJECTED)
    verdict.reason = reason
    if config.tokens.cut == "split" and config.model.max_length is not None:
        verdict.lines = pieces_of(case.tokens["tokens"], config.model.max_length).astype(np.uint32)
