"""The guard of ids: which rows the library `tokenizers` encodes as well."""

from __future__ import annotations

import numpy as np

from forge_gpu.kernels.layout import I32, I64

SPREAD_ROWS = 4
"""Rows of a chunk that are compared, whatever wrote them."""


class ComparedRows:
    """Belongs to one workspace, and to one text of a row."""

    def __init__(self) -> None:
        self._seen = np.zeros(0, np.bool_)
        """bool[programs]: of which a row was chosen."""

    def choose(self, program: I32, guarded: I64) -> list[int]:
        """Rows spread over a chunk, and the first one of each program that no chunk had before.

        program: int32[n], what wrote the text of each row: a traced program, the machine's code, or Jinja.
        guarded: int64[n], see `tokens.tokenizer.Tokens`: rows with any cannot be compared, so the program of
        such a row waits for another.
        """
        n = len(program)
        spread = np.linspace(0, n - 1, SPREAD_ROWS).astype(np.int64) if n else np.zeros(0, np.int64)
        more = int(program.max(initial=-1)) + 1 - len(self._seen)
        self._seen = np.concatenate((self._seen, np.zeros(max(more, 0), np.bool_)))
        new = np.flatnonzero(~self._seen[program] & (guarded == 0))
        firsts = new[np.unique(program[new], return_index=True)[1]]
        self._seen[program[firsts]] = True
        chosen: list[int] = np.union1d(spread, firsts).tolist()
        return chosen
