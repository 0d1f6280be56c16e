"""A plan over a frame: the job of `prepare`, whose output comes back as frames."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Generic

import pyarrow.parquet as pq

from forge_gpu.config.layers import Layer, build
from forge_gpu.config.load import load
from forge_gpu.config.schema import ForgeConfig
from forge_gpu.frames.base import FRAME, Frame
from forge_gpu.frames.files import write_lines
from forge_gpu.frames.passes import Passes
from forge_gpu.job.events.dispatch import Dispatcher
from forge_gpu.job.start import run
from forge_gpu.job.state.spec import JobSpec
from forge_gpu.plain import frozen
from forge_gpu.planner.complete import complete


@frozen
class Applied(Generic[Frame]):
    """splits: train, validation and test, those that the plan writes. ledger: a row for each of the frame's,
    in their order; docs/outputs.md says what its columns are."""

    splits: dict[str, Frame]
    ledger: Frame


def apply(
    passes: Passes[Frame, Any], frame: Any, plan: ForgeConfig | str | Path, engine: str
) -> Applied[Frame]:
    """Run a plan over an opened frame. Raises ForgeError."""
    config = plan if isinstance(plan, ForgeConfig) else load(plan).config
    with TemporaryDirectory(prefix="forge-apply-") as name:
        folder = Path(name)
        write_lines(passes, frame, folder / FRAME)
        if not config.data.is_mapped:
            config = complete(build([Layer(config.model_dump())]), [str(folder / FRAME)], folder).config
        config = _here(config, passes, engine)
        base = Path.cwd() if isinstance(plan, ForgeConfig) else Path(plan).absolute().parent
        spec = JobSpec(config, folder, folder / "out", against_base=base)
        with Dispatcher([]) as dispatcher:
            result = run(spec, dispatcher, lambda: None)
        ledger = pq.read_table(folder / "out" / "ledger.parquet")
        splits = {
            name: passes.frames.of_arrow(frame, split.to_arrow()) for name, split in result.splits.items()
        }
        return Applied(splits, passes.frames.of_arrow(frame, ledger))


def _here(config: ForgeConfig, passes: Passes[Any, Any], engine: str) -> ForgeConfig:
    """The plan for the frame alone, in the bounds of the engine that it was given to; no byte depends on
    these."""
    budget = passes.budget
    memory = config.preprocessing.memory.model_copy(
        update={"budget": budget.bytes, "threads": budget.threads}
    )
    preprocessing = config.preprocessing.model_copy(update={"memory": memory, "engine": engine})
    output = config.output.model_copy(update={"report": False})
    data = config.data.model_copy(update={"inputs": [FRAME], "format": "jsonl", "encoding": "utf-8"})
    return config.model_copy(update={"preprocessing": preprocessing, "output": output, "data": data})
