"""Which values of a column spell one of some words, as their texts are once escapes are resolved."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from forge_gpu.kernels.layout import U8, Spans
from forge_gpu.kernels.reference.jsontext import plain


def spelled(column: Spans, words: Sequence[bytes]) -> U8:
    """uint8[n]: 1 where the text of the value holds a word; a JSON value as it stands, null and absent none.

    words: none of them empty. Raises ValueError where a span lies outside its buffer or has no known kind.
    """
    texts = (plain(column, i) for i in range(len(column)))
    return np.array([any(word in text for word in words) for text in texts], np.uint8)
