"""Opening the inputs of a job."""

from __future__ import annotations

from collections.abc import Sequence

from forge_gpu.io.dialects import Dialect
from forge_gpu.io.inputs import InputFile
from forge_gpu.io.kept import KeptRows
from forge_gpu.io.linked import Links
from forge_gpu.io.loss import Loss
from forge_gpu.io.sources import open_source
from forge_gpu.io.spool import Spool
from forge_gpu.job.events.events import Listener, Warned
from forge_gpu.job.events.retry import telling
from forge_gpu.job.events.stages import stage
from forge_gpu.job.state.inputs import JobInputs
from forge_gpu.job.state.spec import JobSpec


def open_inputs(
    spec: JobSpec, files: Sequence[InputFile], spool: Spool, streamed: bool, listener: Listener
) -> JobInputs:
    data, kept = spec.config.data, KeptRows(spool.folder)
    with stage("open", listener) as done:
        sources = [
            open_source(
                file,
                data.format,
                data.encoding,
                spool=spool,
                max_row_bytes=data.max_row_bytes,
                on_corrupt=data.on_corrupt,
                range_bytes=spec.range_bytes,
                hold=not streamed,
                by_parts=spec.on_cluster,
                on_retry=telling("open", listener),
                dialect=Dialect.of(data.dialect),
                links=Links.of(data.linked),
                kept=kept,
            )
            for file in files
        ]
        for source in sources:
            for loss in source.losses:
                listener(Warned("open", f"{source.file.path}: {_loss_text(loss)}"))
        done(0)
    return JobInputs(sources, streamed, kept)


def _loss_text(loss: Loss) -> str:
    where = "" if loss.offset is None else f" at byte {loss.offset}"
    rows = "" if loss.rows is None else f", {loss.rows} rows are lost"
    return f"{loss.what}{where}{rows}; what is undamaged is kept"
