"""Forge's engine of frames, over pandas' frames with Arrow columns, as training code has them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pandas as pd
import pyarrow.json

import forge_gpu
from benchmarks.work import COLUMNS, SEED, VALIDATION, facts, split_facts

VERSIONS = {"forge": forge_gpu.__version__}
MAPPING = {"query": "instruction", "input": "input", "response": "output"}


def frames_render(input: str) -> Callable[[], Any]:
    frame, engine = _read(input), forge_gpu.open_engine("cpu")

    def work() -> Callable[[], Any]:
        texts = engine.render(frame, "chatml", mapping=MAPPING)
        return lambda: facts(texts)

    return work


def frames_dedup(input: str) -> Callable[[], Any]:
    frame, engine = _read(input), forge_gpu.open_engine("cpu")
    rows = pd.DataFrame({"text": engine.render(frame, "chatml", mapping=MAPPING)})

    def work() -> Callable[[], Any]:
        unique = engine.deduplicate(rows, "text")
        return lambda: facts(unique["text"])

    return work


def frames_split(input: str) -> Callable[[], Any]:
    frame, engine = _read(input), forge_gpu.open_engine("cpu")

    def work() -> Callable[[], Any]:
        parts = engine.split(frame, validation=VALIDATION, seed=SEED)
        return lambda: split_facts(parts["train"], parts["validation"])

    return work


def _read(input: str) -> pd.DataFrame:
    table = pyarrow.json.read_json(input).select(list(COLUMNS))
    frame: pd.DataFrame = table.to_pandas(types_mapper=pd.ArrowDtype)
    return frame
