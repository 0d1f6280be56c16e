"""How texts are cut into shingles: the settings, as the kernels take them."""

from __future__ import annotations

from functools import cache
from typing import Literal

from forge_gpu.errors import ConfigError
from forge_gpu.kernels.reference.shingles import CHARACTERS, MAX_UNITS, U32, WORDS, fold_table
from forge_gpu.plain import frozen

Arguments = tuple[int, int, U32]
"""(kind, n, fold): see kernels.reference.shingles."""


@frozen
class Shingling:
    """Shingles of `size` consecutive code points or words, after normalisation.

    case: letters that differ in case are equal. white_space: runs of white space are one blank, none at the
    ends; always so for words. punctuation: punctuation and symbols count as white space. The exact Unicode
    rules are in kernels.reference.shingles.fold_table. Raises ConfigError.
    """

    unit: Literal["characters", "words"] = "characters"
    size: int = 5
    case: bool = True
    white_space: bool = True
    punctuation: bool = False

    def __post_init__(self) -> None:
        if not 1 <= self.size <= MAX_UNITS:
            raise ConfigError(f"a shingle has {self.size} {self.unit}: it takes 1 to {MAX_UNITS}")

    def arguments(self) -> Arguments:
        words = self.unit == "words"
        fold = _fold(self.case, self.white_space or words, self.punctuation)
        return WORDS if words else CHARACTERS, self.size, fold


@cache
def _fold(case: bool, white_space: bool, punctuation: bool) -> U32:
    return fold_table(case, white_space, punctuation)
