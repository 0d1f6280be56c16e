"""The rules of Gopher and C4 over texts: which of them each row fails. Limits and sources: filters.yaml."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import Any

import numpy as np
import numpy.typing as npt
from ruamel.yaml import YAML

from forge_gpu.kernels.layout import I64, Text
from forge_gpu.kernels.scratch import Scratch

Bools = npt.NDArray[np.bool_]


@cache
def limits() -> dict[str, Any]:
    """What filters.yaml says."""
    text = files("forge_gpu.quality").joinpath("filters.yaml").read_text(encoding="utf-8")
    result: dict[str, Any] = YAML(typ="safe").load(text)
    return result


def gopher(text: Text, scratch: Scratch) -> dict[str, Bools]:
    """Rule -> bool[n]: rows that fail it."""
    from forge_gpu.kernels.cpu.prose import prose_of  # numba is for those who look at rows

    rules, prose = limits()["gopher"], prose_of(text)
    least, most = rules["words"]
    shortest, longest = rules["mean_word_length"]
    mean = _share(prose.letters, prose.words)
    symbols = np.maximum(prose.hashes, prose.points)
    return {
        "words": (prose.words < least) | (prose.words > most),
        "word_length": (mean < shortest) | (mean > longest),
        "symbols": _share(symbols, prose.words) > rules["symbols_a_word"],
        "bullets": _share(prose.bulleted, prose.lines) > rules["bulleted_lines"],
        "ellipses": _share(prose.trailing, prose.lines) > rules["trailing_lines"],
        "letters": _share(prose.with_letter, prose.words) < rules["words_with_letter"],
        "stop_words": prose.stops < rules["stop_words"],
        **_repetition(text, scratch, rules),
    }


def _repetition(text: Text, scratch: Scratch, rules: dict[str, Any]) -> dict[str, Bools]:
    from forge_gpu.kernels.cpu.repeats import repeats_of

    repeats = repeats_of(text, scratch)
    size = repeats.size
    lines = _share(repeats.repeated_lines, repeats.lines) > rules["repeated_lines"]
    paragraphs = _share(repeats.repeated_paragraphs, repeats.paragraphs) > rules["repeated_paragraphs"]
    line_bytes = _share(repeats.line_bytes, size) > rules["repeated_line_bytes"]
    paragraph_bytes = _share(repeats.paragraph_bytes, size) > rules["repeated_paragraph_bytes"]
    frequent = np.array(rules["most_frequent_run_bytes"])[:, None]
    repeated = np.array(rules["repeated_run_bytes"])[:, None]
    return {
        "repeated_lines": lines | line_bytes,
        "repeated_paragraphs": paragraphs | paragraph_bytes,
        "frequent_words": (_share(repeats.top, size) > frequent).any(axis=0),
        "repeated_words": (_share(repeats.repeated, size) > repeated).any(axis=0),
    }


def c4(text: Text, scratch: Scratch) -> dict[str, Bools]:
    """Rule -> bool[n]: rows that fail it."""
    from forge_gpu.kernels.cpu.prose import prose_of

    prose = prose_of(text)
    return {
        "sentences": prose.sentences < limits()["c4"]["sentences"],
        "braces": prose.braces > 0,
        "lorem_ipsum": prose.lorem > 0,
    }


def _share(count: I64, of: I64) -> npt.NDArray[np.float64]:
    return count / np.maximum(of, 1)
