"""Texts and numbers as Arrow arrays over their own memory."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from forge_gpu.kernels.layout import Text

STRINGS = (pa.string(), pa.large_string())
"""Arrow's types of text in one piece of memory."""


def text_to_arrow(text: Text, valid: npt.NDArray[np.bool_] | None = None) -> pa.LargeStringArray:
    """A rendered column as Arrow large_string over the same memory; rows not `valid` are null.

    The text must outlive the array, and be UTF-8, which is not checked.
    """
    n = len(text)
    mask = None if valid is None or valid.all() else pa.py_buffer(np.packbits(valid, bitorder="little"))
    size = int(text.offsets[-1])
    return pa.LargeStringArray.from_buffers(
        n, pa.py_buffer(text.offsets), pa.py_buffer(text.data[:size]), mask
    )


def numbers_to_arrow(
    values: npt.NDArray[Any], kind: pa.DataType, absent: npt.NDArray[np.bool_] | None = None
) -> pa.Array:
    """Numbers as an Arrow array over their own memory; null where `absent`.

    Arrow's own way in would import pandas, which a job does not need.
    """
    mask = None if absent is None else pa.py_buffer(np.packbits(~absent, bitorder="little"))
    return pa.Array.from_buffers(kind, len(values), [mask, pa.py_buffer(np.ascontiguousarray(values))])


def texts_to_arrow(texts: Sequence[str]) -> pa.StringArray:
    """A few texts as an Arrow array."""
    encoded = [text.encode() for text in texts]
    offsets = np.zeros(len(encoded) + 1, np.int32)
    np.cumsum([len(text) for text in encoded], out=offsets[1:])
    return pa.StringArray.from_buffers(len(encoded), pa.py_buffer(offsets), pa.py_buffer(b"".join(encoded)))
