"""Batches of Arrow as the frames that training code asks for."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from forge_gpu.errors import ConfigError

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa


def batches_as(kind: str) -> Callable[[pa.RecordBatch], Any]:
    """What makes a batch a frame of this kind. Raises ConfigError."""
    if kind == "arrow":
        return lambda batch: batch
    if kind == "pandas":
        return _pandas
    if kind == "cudf":
        from forge_gpu.engine.gpu.cudf_adapter import frame_of_batch

        return frame_of_batch()
    raise ConfigError(f"as_ is {kind!r}: choose arrow, pandas or cudf")


def _pandas(batch: pa.RecordBatch) -> pd.DataFrame:
    import pandas as pd

    frame: pd.DataFrame = batch.to_pandas(types_mapper=pd.ArrowDtype)
    return frame
