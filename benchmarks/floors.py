"""What the machine itself takes for the input's bytes, and libraries to decode or encode them: nobody can be
faster than the first of these, and nobody who uses these libraries than the others."""

from __future__ import annotations

import os
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

BUFFER = 2 << 20


def read_file(input: str, **others: Any) -> Callable[[], Any]:
    """Read the file once, into one buffer of 2 MiB; its pages are in the page cache."""
    buffer = memoryview(bytearray(BUFFER))

    def work() -> None:
        source = os.open(input, os.O_RDONLY)
        while os.readv(source, [buffer]):
            pass
        os.close(source)

    return work


def copy_file(input: str, folder: str) -> Callable[[], Any]:
    """Read the file and write it to another, through one buffer of 2 MiB; not synced, as nobody else does."""
    Path(folder).mkdir(parents=True, exist_ok=True)
    buffer = memoryview(bytearray(BUFFER))

    def work() -> None:
        source = os.open(input, os.O_RDONLY)
        target = os.open(Path(folder, "copy"), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
        while count := os.readv(source, [buffer]):
            os.write(target, buffer[:count])
        os.close(source)
        os.close(target)

    return work


def memcpy(input: str, **others: Any) -> Callable[[], Any]:
    """Copy the input's bytes from one place in memory to another that has been touched before."""
    source = np.fromfile(input, np.uint8)
    target = source.copy()
    return lambda: np.copyto(target, source)


def gunzip(input: str, **others: Any) -> Callable[[], Any]:
    """Decompress a gzip file with isal, 1 MiB after another."""
    isal = import_module("isal.igzip")

    def work() -> None:
        with isal.open(input) as source:
            while source.read(2**20):
                pass

    return work


def unzstd(input: str, **others: Any) -> Callable[[], Any]:
    """Decompress a Zstandard file with Arrow's library, 1 MiB after another."""
    import pyarrow as pa

    def work() -> None:
        with pa.input_stream(input, compression="zstd") as source:
            while source.read(2**20):
                pass

    return work


def decode_parquet(input: str, **others: Any) -> Callable[[], Any]:
    """Decode a Parquet file with Arrow, 2,048 rows after another."""
    import pyarrow.parquet as pq

    def work() -> None:
        with pq.ParquetFile(input, buffer_size=2**20, pre_buffer=False) as file:
            for _ in file.iter_batches(2048, use_threads=False):
                pass

    return work


def encode_parquet(input: str, folder: str) -> Callable[[], Any]:
    """Write the columns of a Parquet file, decoded before, to another with Zstandard at level 1."""
    import pyarrow.parquet as pq

    groups = list(pq.ParquetFile(input).iter_batches(8192, use_threads=False))
    Path(folder).mkdir(parents=True, exist_ok=True)

    def work() -> None:
        with pq.ParquetWriter(
            Path(folder, "copy"), groups[0].schema, compression="zstd", write_statistics=False
        ) as writer:
            for group in groups:
                writer.write_batch(group)

    return work
