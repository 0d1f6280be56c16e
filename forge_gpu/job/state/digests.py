"""What jobs are called in the rates of a machine: digests, so that neither data nor settings are there."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import PurePosixPath
from typing import Any

import orjson

from forge_gpu.config import keys
from forge_gpu.io.inputs import InputFile
from forge_gpu.job.state.spec import JobSpec

DECIDING = ("data", "model", "preprocessing", "tokens")
"""The sections that what becomes of a row depends on, with what of `output` makes rows."""
ROWS_OF_OUTPUT = ("form", "turns", "packing", "pack_length", "pad_rows_to")


def kind_of(spec: JobSpec, files: Sequence[InputFile], engine: str, threads: int) -> str:
    """Of the jobs with these settings, whatever their data."""
    settings = keys.effective(spec.config)
    suffixes = sorted({"".join(PurePosixPath(file.path).suffixes[-2:]) for file in files})
    return digest([settings, suffixes, engine, threads, spec.workers, spec.scheduler is not None])


def data_of(spec: JobSpec, files: Sequence[InputFile], against: Sequence[InputFile]) -> str:
    """Of the jobs with the same fates: the same data, and the same settings of what decides them."""
    settings = keys.effective(spec.config)
    deciding = {section: settings[section] for section in DECIDING}
    output = {key: settings["output"][key] for key in ROWS_OF_OUTPUT}
    return digest([deciding, output, _sources(files), _sources(against), spec.limit])


def job_of(spec: JobSpec, files: Sequence[InputFile], against: Sequence[InputFile]) -> str:
    """Of one job, and of how it is to run here."""
    preprocessing = spec.config.preprocessing
    how = [preprocessing.engine, preprocessing.chunk_size, preprocessing.memory.model_dump(mode="json")]
    cluster = [spec.workers, spec.scheduler is not None, spec.config.container.use != "off"]
    kind = kind_of(spec, files, preprocessing.engine, 0)
    return digest([kind, data_of(spec, files, against), how, cluster])


def _sources(files: Sequence[InputFile]) -> list[list[Any]]:
    return [[file.path, file.size, file.fingerprint, file.split] for file in files]


def digest(values: list[Any]) -> str:
    return hashlib.sha256(orjson.dumps(values, option=orjson.OPT_SORT_KEYS)).hexdigest()[:32]
