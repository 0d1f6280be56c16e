"""Whether there is anything to train on."""

from __future__ import annotations

from forge_gpu.errors import NoTrainingRows
from forge_gpu.fates import Fate, name
from forge_gpu.job.output.result import Result
from forge_gpu.job.state.spec import JobSpec


def require_training(result: Result, spec: JobSpec, allow_empty: bool) -> Result:
    """The result. Raises NoTrainingRows where the input had rows, train has a share and no row is in it."""
    counts = result.counts
    has_share = spec.config.preprocessing.train_split > 0 or bool(spec.config.data.splits.train)
    if allow_empty or not has_share or counts[name(Fate.TRAIN)] or not any(counts.values()):
        return result
    others = ", ".join(f"{count:,} {fate}" for fate, count in counts.items() if count)
    raise NoTrainingRows(
        f"no row is left to train on: {others}; {result.output} is whole, and rejected rows are there with "
        "their reasons; --allow-empty ends such a run with 0",
        result,
    )
