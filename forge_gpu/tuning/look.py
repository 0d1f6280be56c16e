"""A part of the job that the questions are asked of: its rows' lengths in tokens, and the texts compared."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from functools import cached_property, partial
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow.parquet as parquet

from forge_gpu.config.schema import Config
from forge_gpu.foretell.pieces import Pieces, sizes_of
from forge_gpu.foretell.sample import SHARE, Sampler
from forge_gpu.io.spool import never
from forge_gpu.job.decide.candidates import read_texts
from forge_gpu.job.events.events import Event
from forge_gpu.job.job import Job
from forge_gpu.job.output.result import LEDGER
from forge_gpu.job.prepare import open_job, prepare
from forge_gpu.job.start import engines_for
from forge_gpu.job.state.files import JobFiles
from forge_gpu.job.state.spec import JobSpec
from forge_gpu.kernels.layout import I64, Text
from forge_gpu.plain import frozen

LOOK_BYTES = 8 * 2**20
"""Of input, at least, that is looked at."""
MOST_TEXTS = 2000

U32 = npt.NDArray[np.uint32]


@frozen
class Lengths:
    """Of the rows that would be written, in the order of the input. tokens, trained: uint32[n]. file:
    int64[n], the number of each row's input file. given: of each file the number of its entry in
    `data.inputs`. share: of all rows that these are."""

    tokens: U32
    trained: U32
    file: I64
    given: tuple[int, ...]
    share: float

    @property
    def source(self) -> I64:
        """Of each row, the entry of `data.inputs` that it comes from: int64[n]."""
        return np.asarray(self.given, np.int64)[self.file]


class Look:
    """The same part of a job for all questions: its seed and its data choose it."""

    def __init__(self, spec: JobSpec) -> None:
        self.spec = spec
        self.files = JobFiles(spec)
        self.total = sum(sizes_of(self.files.inputs))
        self.most = min(max(int(SHARE * self.total), LOOK_BYTES), self.total)

    @property
    def config(self) -> Config:
        return self.spec.config

    def sampler(self, changes: dict[str, dict[str, Any]]) -> Sampler:
        """Runs the job with other values of some keys: section -> key -> value."""
        spec = replace(self.spec, config=with_values(self.config, changes))
        return Sampler(spec, self.files, *engines_for(spec, self.files))

    @contextmanager
    def part(self, changes: dict[str, dict[str, Any]]) -> Iterator[tuple[Sampler, JobSpec, JobFiles, Pieces]]:
        """The job over the part, which writes into a folder that is thrown away."""
        sampler = self.sampler(changes)
        with TemporaryDirectory(prefix="forge-tune-") as name:
            yield sampler, *sampler.of_part(self.most, Path(name))

    @cached_property
    def lengths(self) -> Lengths:
        """Of the rows as they are before any is cut, packed, or left out for its length."""
        with self.part(_UNCUT) as (sampler, spec, files, pieces):
            prepare(spec, sampler.budget, sampler.engines, _unheard, never, files)
            table = parquet.read_table(spec.output / LEDGER, columns=["file", "tokens", "trained"])
        table = table.filter(table["trained"].is_valid())
        names = {file.path: number for number, file in enumerate(pieces.files)}
        numbers = [names[name] for name in table["file"].to_pylist()]
        return Lengths(
            table["tokens"].to_numpy().astype(np.uint32),
            table["trained"].to_numpy().astype(np.uint32),
            np.array(numbers, np.int64),
            tuple(file.given for file in pieces.files),
            pieces.share,
        )

    @cached_property
    def texts(self) -> list[bytes]:
        """What near-duplicates are compared by, of up to MOST_TEXTS rows that have any."""
        with self.part({}) as (sampler, spec, files, _):
            spec.output.mkdir()
            job = open_job(spec, sampler.budget, sampler.engines, _unheard, files)
            assert isinstance(job, Job)
            with closing(job):
                rows = np.arange(max(1, MOST_TEXTS // max(len(job.inputs.items), 1)))
                tasks = (
                    partial(read_texts, item=item, required=rows, chunk_bytes=job.budget.chunk_bytes)
                    for item in job.inputs.items
                )
                read = list(job.pool.map(tasks, lambda text: _bytes_of(text)))
        return [text for texts in read for text in texts if text]


_UNCUT: dict[str, dict[str, Any]] = {
    "model": {"max_length": None},
    "tokens": {"cut": "none"},
    "data": {"weights": None, "weights_by": "rows", "caps": None},
    "output": {
        "packing": "none",
        "pack_length": None,
        "pad_rows_to": 1,
        "pad_to": 1,
        "format": "jsonl",
        "order": "input",
        "rows_per_shard": None,
        "verify": False,
        "report": False,
    },
}
"""All rows whole, one by one."""


def with_values(config: Config, changes: dict[str, dict[str, Any]]) -> Config:
    """The config with other values of some keys; what the rules say of it is not asked."""
    return config.model_copy(
        update={
            section: getattr(config, section).model_copy(update=values) for section, values in changes.items()
        }
    )


def _bytes_of(text: Text) -> list[bytes]:
    data, offsets = text.data.tobytes(), text.offsets.tolist()
    return [data[begin:end] for begin, end in pairwise(offsets)]


def _unheard(event: Event) -> None:
    """Nobody asks what a look is at."""
