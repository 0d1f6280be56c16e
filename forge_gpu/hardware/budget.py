"""The memory budget: bytes that may be taken beyond the imports' own, and the chunks that fit in them."""

from __future__ import annotations

import tomllib
from functools import cache
from importlib import resources
from typing import Any, Literal

from forge_gpu.errors import ConfigError
from forge_gpu.hardware.host import Cores, Memory
from forge_gpu.plain import frozen

BESIDE_BUDGET = 64 * 2**20
"""Bytes that a job may take beside libraries and budget, whatever its input: a row group of the output that
is written or read back, the pages of one that is read, a block of a table of text."""

TIMES_ROW = 4
"""A row that is larger than a chunk may take so many times its bytes beside that."""

ROW_BYTES = 160
"""A row counts for so many bytes of a chunk beside its own: places and kinds of its columns, offsets of its
texts, what a template adds to them."""


@frozen
class Budget:
    """bytes: anonymous memory beyond the imports' own, for everything that a pass holds at once.

    threads: workers, each with one chunk. chunk_bytes: of input. reason: one line, why it is so much.
    """

    bytes: int
    threads: int
    chunk_bytes: int
    reason: str


@cache
def peak_factors() -> dict[str, Any]:
    """The table of measured peaks, `peak_factors.toml`."""
    return tomllib.loads(
        resources.files("forge_gpu.hardware").joinpath("peak_factors.toml").read_text("utf-8")
    )


def cpu_budget(
    memory: Memory | None,
    cores: Cores | None,
    cap: int | Literal["auto"] = "auto",
    threads: int | Literal["auto"] = "auto",
) -> Budget:
    """The budget of a CPU run. `cap` (bytes) and `threads` are the user's wishes.

    There are never more threads than cores. Where the budget is too small for all of them with a chunk of
    the least size, there are fewer. Raises ConfigError where `cap` is more than the memory there is.
    """
    table = peak_factors()
    allowed, reason = _bytes_allowed(memory, cap, table)
    most = cores.allowed if cores else 1
    threads_asked = most if threads == "auto" else min(threads, most)
    factor = worker_factor(table)
    least, largest = table["chunk"]["least"], table["chunk"]["most"]
    workers = max(1, min(threads_asked, int(allowed / least / factor)))
    chunk = int(allowed / (workers * factor))
    chunk_bytes = max(least, min(largest, chunk // 65536 * 65536))
    return Budget(allowed, workers, chunk_bytes, reason)


def _bytes_allowed(
    memory: Memory | None, cap: int | Literal["auto"], table: dict[str, Any]
) -> tuple[int, str]:
    if cap != "auto":
        if memory is not None and cap > memory.total:
            raise ConfigError(
                f"preprocessing.memory.budget is {cap} bytes, but this machine lets a process use "
                f"{memory.total}; give less, or auto"
            )
        return cap, "as set"
    if memory is None:
        return int(table["default_bytes"]), "the default: available memory is not known"
    share = int(memory.available * table["default_share"])
    if share >= table["default_bytes"]:
        return int(table["default_bytes"]), "the default, which keeps a run under 300 MB"
    least = int(table["least_bytes"])
    return max(
        least, share
    ), f"{table['default_share']:.0%} of the {memory.available / 2**20:.0f} MiB available"


def worker_factor(table: dict[str, Any]) -> float:
    """Bytes of memory for each byte of a chunk in a worker's hands, in the dearer pass."""
    return float(max(sum(stages.values()) for stages in table["passes"].values()))
