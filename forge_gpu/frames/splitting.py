"""What `split` is asked for, and which split each row goes to."""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction

import numpy as np

from forge_gpu.errors import ConfigError, InputError
from forge_gpu.frames.base import Bools
from forge_gpu.frames.blocks import Columns
from forge_gpu.frames.workers import Worker
from forge_gpu.kernels.arrays import Arrays
from forge_gpu.kernels.layout import I64, U8, U64
from forge_gpu.plain import frozen
from forge_gpu.split import exact, groups, temporal, threshold
from forge_gpu.split.fractions import Splits
from forge_gpu.split.times import parse_times

TOLERANCE = Fraction(1, 10**9)
DEFAULT = Splits(0.9, 0.1, 0.0)


@frozen
class Asked:
    """How rows are to be split: modes exact, threshold, or, where `time` is a column, by time."""

    mode: str
    stratify: tuple[str, ...]
    time: str | None
    group: str | None
    seed: int
    keyed: bool

    def check(self) -> None:
        """Raises ConfigError for what the mode cannot honour."""
        if self.mode not in ("exact", "threshold"):
            raise ConfigError(f"mode is {self.mode!r}: choose exact or threshold, or name a column with time")
        if not 0 <= self.seed < 2**63:
            raise ConfigError(f"seed is {self.seed!r}: it must be from 0 to 2**63 - 1")
        given = {"stratify": bool(self.stratify), "group": self.group is not None, "columns": self.keyed}
        if self.time is not None:
            if self.mode != "exact":
                raise ConfigError("a split by time has no mode threshold: leave time or mode out")
            refused = [name for name, is_given in given.items() if is_given]
            why = "a split by time looks at nothing else"
        else:
            refused = [name for name in ("stratify", "group") if given[name] and self.mode == "threshold"]
            why = "mode threshold keeps no shares of strata and no groups whole"
        if refused:
            raise ConfigError(f"{why}: leave {' and '.join(refused)} out")


def fractions_of(train: float | None, validation: float | None, test: float | None) -> Splits:
    """The sizes; the first that is left out, where any is given, takes what the others leave."""
    given = {"train": train, "validation": validation, "test": test}
    for name, fraction in given.items():
        if fraction is not None and not 0 <= fraction <= 1:
            raise ConfigError(f"{name} is {fraction!r}: it must be from 0 to 1")
    known = {name: Fraction(str(fraction)) for name, fraction in given.items() if fraction is not None}
    if not known:
        return DEFAULT
    rest = 1 - sum(known.values(), Fraction(0))
    lacking = next((name for name in given if name not in known), None)
    if abs(rest) > TOLERANCE and (lacking is None or rest < 0):
        message = ", ".join(f"{name}={float(fraction):g}" for name, fraction in known.items())
        raise ConfigError(f"the fractions must add up to 1, not {float(1 - rest):g}: {message}")
    if lacking is not None:
        known[lacking] = max(rest, Fraction(0))
    return Splits(*(float(known.get(name, 0)) for name in given))


def by_key(
    asked: Asked,
    sizes: Splits,
    hashes: U64,
    stratum: U64 | None,
    group: U64 | None,
    memory: int,
    arrays: Arrays,
) -> U8:
    """The split of each row, by its key: uint8[n]. group: 0 for rows that have none."""
    live = np.ones(len(hashes), np.bool_)
    if asked.mode == "threshold":
        return threshold.assign(hashes, live, sizes, asked.seed, arrays)
    if group is None:
        return exact.assign(stratum, hashes, live, sizes, asked.seed, memory, arrays)
    if len(group) and not group.any():
        raise InputError(f"no row has a value in the column {asked.group!r}: choose another one for group")
    whole = groups.groups_of(group, group != 0)
    return groups.assign(whole, stratum, hashes, live, sizes, asked.seed, memory, arrays).fates


def by_time(column: str, sizes: Splits, blocks: Iterable[tuple[I64, Bools]]) -> U8:
    """The split of each row, by its time: uint8[n]. blocks: of `times_of`. Raises InputError for a row that
    has none."""
    result = [(np.zeros(0, np.int64), np.zeros(0, np.bool_)), *blocks]
    times, parsed = (np.concatenate(parts) for parts in zip(*result, strict=True))
    if not parsed.all():
        row = int(np.flatnonzero(~parsed)[0])
        raise InputError(f"column {column!r}: row {row} has no time; drop such rows first")
    return temporal.assign(times, np.ones(len(times), np.bool_), sizes)


def times_of(worker: Worker, columns: Columns) -> tuple[I64, Bools]:
    """The one column as times, and which rows have one."""
    (column,) = columns.values()
    return parse_times(worker.engine.text(column))


def groups_hashed(worker: Worker, columns: Columns) -> U64:
    """The hash of each row's group, 0 where the one column has no text: uint64[n]."""
    (column,) = columns.values()
    text = worker.engine.text(column)
    named = np.diff(text.offsets) > 0
    return np.where(named, np.maximum(worker.engine.hash64(text, 0), np.uint64(1)), np.uint64(0))
