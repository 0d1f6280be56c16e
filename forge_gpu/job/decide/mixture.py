"""Mixtures of several inputs: how the plan's weights and caps fall to sources, and which rows are used."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from forge_gpu.config.schema import DataConfig
from forge_gpu.errors import ConfigError
from forge_gpu.io import urls
from forge_gpu.io.inputs import InputFile
from forge_gpu.kernels.arrays import HOST, Arrays
from forge_gpu.kernels.layout import U64
from forge_gpu.plain import frozen
from forge_gpu.split import mixture

Number = TypeVar("Number")
Bool = npt.NDArray[np.bool_]
Sources = npt.NDArray[np.uint32]
Counts = npt.NDArray[np.uint32]

_MIXER = np.uint64(0x9E3779B97F4A7C15)


@frozen
class Sampled:
    """used: bool[n], live rows that are used. copies: uint32[n], how often each is, where the plan repeats
    any. suffice: of each source, the repeats with which no row of another would be left out; None where rows
    of texts are mixed, which are not repeated."""

    used: Bool
    copies: Counts | None = None
    suffice: list[int] | None = None


@frozen
class Mixture:
    """inputs: as the plan names them, without what is secret in a URL, a source each. source: the number of
    each file's source. weights, caps, repeats: of each source; None where the plan has none."""

    inputs: tuple[str, ...]
    source: tuple[int, ...]
    weights: list[float] | None
    caps: list[int | None] | None
    repeats: list[int] | None = None

    def sample(
        self,
        source: Sources,
        hashes: U64,
        live: Bool,
        seed: int,
        budget_bytes: int,
        trained: Counts | None = None,
        arrays: Arrays = HOST,
    ) -> Sampled:
        """source: of each row. trained: uint32[n], tokens of each row by which weights are meant; None where
        they are meant by rows."""
        number = len(self.inputs)
        if self.repeats is None and trained is None:
            there = mixture.available(source, live, number).tolist()
            required = mixture.shares(there, self.weights, self.caps)
            return Sampled(mixture.sample(source, hashes, live, required, seed, budget_bytes, arrays))
        sizes = self.weights, self.caps, self.repeats, number
        passes, offered = mixture.sample_repeated(
            source, hashes, live, trained, *sizes, seed, budget_bytes, arrays
        )
        suffice = mixture.sufficient_repeats(offered.tolist(), self.weights)
        return Sampled(passes.used(source), None if self.repeats is None else passes.copies(source), suffice)

    def section(
        self,
        source: Sources,
        live: Bool,
        copies: Counts,
        trained: Counts | None,
        suffice: list[int] | None,
    ) -> list[dict[str, Any]]:
        """What the manifest says of it. live: rows that there were; copies: how often each is written."""
        number, used = len(self.inputs), copies != 0
        columns = {
            "rows": mixture.available(source, live, number),
            "used": mixture.available(source, used, number),
        }
        if self.repeats is not None:
            columns["repeats"] = np.array(self.repeats, np.int64)
            columns["written"] = mixture.sums_of(source, copies, used, number)
        if suffice is not None:
            columns["sufficient_repeats"] = np.array(suffice, np.int64)
        if trained is not None:
            columns["trained"] = mixture.sums_of(source, trained, live, number)
            columns["trained_used"] = mixture.sums_of(
                source, trained * copies.astype(np.uint64), used, number
            )
        return [
            {"input": path, **{name: int(column[at]) for name, column in columns.items()}}
            for at, path in enumerate(self.inputs)
        ]


def lacking_repeats(manifest: Mapping[str, Any]) -> dict[str, int]:
    """Inputs of a mixture that come less often than would suffice for all rows of the others, and how often
    that is. manifest: of a job."""
    entries = manifest.get("mixture", ())
    suffice = {entry["input"]: entry.get("sufficient_repeats", 0) for entry in entries}
    repeats = {entry["input"]: entry.get("repeats", 1) for entry in entries}
    return {path: number for path, number in suffice.items() if number > repeats[path]}


def strata(source: npt.NDArray[np.uint32], stratum: U64 | None) -> U64:
    """Strata that are parted by source as well: uint64[n]."""
    if stratum is None:
        return source.astype(np.uint64)
    parted: U64 = np.asarray(stratum) ^ (source.astype(np.uint64) * _MIXER)
    return parted


def mixture_of(data: DataConfig, files: Sequence[InputFile]) -> Mixture | None:
    """The mixture of its files that the plan asks for; None where it takes all rows. Raises ConfigError."""
    if data.weights is None and data.caps is None and data.repeats is None:
        return None
    weights = None if data.weights is None else _per_input(data.weights, data.inputs, "weights")
    caps = None if data.caps is None else _per_input(data.caps, data.inputs, "caps")
    if weights is not None and None in weights:
        lacking = urls.shown(data.inputs[weights.index(None)])
        raise ConfigError(
            f"data.weights: {lacking!r} has no weight; give each of data.inputs one, 0 to leave it out"
        )
    given = None if weights is None else [weight for weight in weights if weight is not None]
    repeats = None if data.repeats is None else _per_input(data.repeats, data.inputs, "repeats")
    often = None if repeats is None else [repeat or 1 for repeat in repeats]
    mixture.shares([1] * len(data.inputs), given, caps)  # what it would refuse after the first pass
    return Mixture(
        tuple(map(urls.shown, data.inputs)), tuple(file.given for file in files), given, caps, often
    )


def _per_input(
    values: Sequence[Number | None] | Mapping[str, Number], inputs: Sequence[str], key: str
) -> list[Number | None]:
    named = ", ".join(map(urls.shown, inputs))
    if not isinstance(values, Mapping):
        if len(values) != len(inputs):
            raise ConfigError(f"data.{key}: {len(values)} numbers for {len(inputs)} inputs: {named}")
        return list(values)
    unknown = [urls.shown(path) for path in values if path not in inputs]
    if unknown:
        raise ConfigError(f"data.{key}: {unknown[0]!r} is none of data.inputs: {named}")
    return [values.get(path) for path in inputs]
