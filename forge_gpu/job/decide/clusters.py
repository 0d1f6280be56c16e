"""Near-duplicates between the passes: candidates from the index, their texts, clusters."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from forge_gpu.dedup import near
from forge_gpu.dedup.clusters import Clusters, Decider
from forge_gpu.dedup.near import NearDuplicates
from forge_gpu.io.disk import output_fault
from forge_gpu.job.decide.candidates import CandidateTexts
from forge_gpu.job.facts.near import BANDS
from forge_gpu.job.state import index
from forge_gpu.kernels.layout import I64, U64


def band_reader(ranges: Sequence[Path]) -> Callable[[int], Iterator[U64]]:
    """Reads one band of the index files of all ranges, a range at a time."""

    def read_band(band: int) -> Iterator[U64]:
        for path in ranges:
            yield from index.read_arrays(path, (BANDS.item_name(band),)).values()

    return read_band


def find_clusters(
    settings: NearDuplicates,
    ranges: Sequence[Path],
    live: npt.NDArray[np.bool_],
    text_bytes: I64,
    texts: CandidateTexts,
    budget_bytes: int,
    threads: int,
    decider: Decider,
) -> Clusters:
    """Clusters of near-duplicates among the live rows; as dedup.near.find_clusters, but the texts of all
    candidates are read from the input together. Raises OutputError."""
    try:
        return near.find_clusters(
            settings,
            band_reader(ranges),
            live,
            text_bytes,
            texts.read,
            budget_bytes,
            threads,
            texts.folder,
            texts.fetch,
            decider,
        )
    except OSError as fault:
        if fault.filename is not None:
            raise
        raise output_fault(fault, texts.folder / "pairs of candidates") from fault


def section(settings: NearDuplicates, clusters: Clusters) -> dict[str, Any]:
    """What the manifest says: a function of input and plan."""
    bands, members = settings.bands, clusters.partner >= 0
    return {
        "threshold": settings.threshold,
        "permutations": settings.permutations,
        "bands": bands.count,
        "rows_a_band": bands.rows,
        "recall_at_threshold": round(bands.curve(settings.threshold), 6),
        "clusters": int(np.count_nonzero(members & (clusters.label == np.arange(len(members))))),
        "rows_in_clusters": int(np.count_nonzero(members)),
    }
