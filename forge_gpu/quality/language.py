"""The languages of texts, by the model of py3langid: the library reads it, a kernel runs it over every
row."""

from __future__ import annotations

from functools import cache

import numpy as np
import numpy.typing as npt

from forge_gpu.errors import ConfigError
from forge_gpu.kernels.layout import I64, Text
from forge_gpu.kernels.reference.language import Model
from forge_gpu.plain import frozen

LEAST_CERTAINTY = 0.5
"""The probability of a language from which on a text is said to be in it."""
LEAST_BYTES = 20
"""A shorter text is in no language for certain."""
UNKNOWN = "und"
"""What ISO 639 calls a language that is not determined."""


@frozen
class Detector:
    """names: of the languages, by number, as ISO 639-1 has them, or 639-3 where it has none."""

    names: tuple[str, ...]
    model: Model

    def of(self, text: Text) -> I64:
        """The number of each row's language: -1 where that is not certain. Shape: (n,)."""
        from forge_gpu.kernels.cpu.language import languages_of

        number: I64
        number, share = languages_of(text, self.model)
        number[(share < LEAST_CERTAINTY) | (np.diff(text.offsets) < LEAST_BYTES)] = -1
        return number

    def name(self, number: int) -> str:
        """Of the language of a number that `of` gives."""
        return UNKNOWN if number < 0 else self.names[number]

    def require(self, names: list[str]) -> None:
        """Raises ConfigError for a language that it does not know."""
        strange = [name for name in names if name not in self.names]
        if strange:
            raise ConfigError(
                f"preprocessing.quality_checks.languages: no language is known as {strange[0]!r}; known are "
                f"{', '.join(sorted(self.names))}"
            )

    def others(self, text: Text, allowed: list[str]) -> npt.NDArray[np.bool_]:
        """Which rows are in none of the languages. Shape: (n,)."""
        number = self.of(text)
        numbers = [self.names.index(name) for name in allowed]
        return (number >= 0) & ~np.isin(number, numbers)


def has_detector() -> bool:
    """Whether the extra is there."""
    try:
        import py3langid  # noqa: F401
    except ModuleNotFoundError:
        return False
    return True


@cache
def detector() -> Detector:
    """The one of this process; it takes some 110 MB. Raises ConfigError where the extra is missing."""
    try:
        from py3langid.langid import MODEL_FILE, LanguageIdentifier
    except ImportError:
        raise ConfigError(
            "preprocessing.quality_checks.language needs a detector: pip install 'forge-gpu[language]'"
        ) from None
    given = LanguageIdentifier.from_model_file(MODEL_FILE)
    names = tuple(dict.fromkeys(given.nb_classes))
    model = Model(
        np.asarray(given.tk_nextmove, np.uint32),
        np.asarray(given.tk_row, np.int64),
        np.asarray(given.tk_output, np.int32),
        np.asarray(given.nb_ptc, np.float32),
        np.asarray(given.nb_pc, np.float32),
        np.array([names.index(name) for name in given.nb_classes], np.int64),
    )
    return Detector(names, model)
