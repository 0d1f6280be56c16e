"""The sample through the very row path of the job: how many rows would be rejected and why, and one row as it
is written."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import field

import numpy as np

from forge_gpu.config.schema import Config
from forge_gpu.engine.cpu.engine import CpuEngine
from forge_gpu.fates import Reason, name
from forge_gpu.io.chunks import JsonChunk
from forge_gpu.job.facts.registry import compute, input_columns
from forge_gpu.job.rows.rows import Rows
from forge_gpu.job.rows.workspace import Workspace
from forge_gpu.plain import mutable
from forge_gpu.planner.sample import Sample
from forge_gpu.templates.forms import form_of
from forge_gpu.templates.forms.source import RECORD

MOST_REASONS = 3


@mutable
class Trial:
    """rows: that were tried. refused: why, in the job's words -> rows. personal: rows that hold personal
    data. shown: field -> text of one row."""

    rows: int = 0
    personal: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    shown: dict[str, str] = field(default_factory=dict)

    @property
    def line(self) -> str | None:
        """How many rows would be rejected, and why; None where none would be."""
        if not self.refused:
            return None
        common = self.refused.most_common(MOST_REASONS)
        whys = "; ".join(f"{why} ({count})" if len(self.refused) > 1 else why for why, count in common)
        more = len(self.refused) - len(common)
        rest = f"; and {more} more reason{'s' if more > 1 else ''}" if more > 0 else ""
        return f"{self.refused.total()} of {self.rows} rows looked at would be rejected: {whys}{rest}"

    @property
    def advice(self) -> str | None:
        """What to do about personal data; None where none was seen."""
        if not self.personal:
            return None
        return (
            f"{self.personal} of {self.rows} rows looked at hold personal data: output.mode private "
            "keeps what is written from other users of this machine, and "
            "preprocessing.quality_checks.personal_data counts or rejects such rows"
        )

    @property
    def is_hopeless(self) -> bool:
        """Whether more than half of the rows would be rejected."""
        return 2 * self.refused.total() > self.rows


def try_sample(config: Config, samples: Sequence[Sample]) -> Trial | None:
    """Read, judge and render the sample as a job does. None where a script of the plan makes the rows first:
    it is not run here; and where the tokenizer that rows need is not named yet."""
    if config.data.transform.script is not None:
        return None
    if form_of(config).is_encoded and config.tokens.tokenizer is None:
        return None
    workspace = Workspace(_tried(config), CpuEngine, lambda event: None, input_columns(config))
    trial = Trial()
    for sample in samples:
        if sample.lines:
            _try_lines(trial, workspace, sample.lines)
        if sample.amiss:
            trial.rows += sample.amiss.total()
            trial.refused.update({name(reason): count for reason, count in sample.amiss.items()})
    return trial


def _tried(config: Config) -> Config:
    """The plan without evaluation files, and with a look for personal data."""
    checks = config.preprocessing.quality_checks
    if checks.personal_data == "off":
        checks = checks.model_copy(update={"personal_data": "warn"})
    return config.model_copy(
        update={
            "data": config.data.model_copy(update={"against": []}),
            "preprocessing": config.preprocessing.model_copy(update={"quality_checks": checks}),
        }
    )


def _try_lines(trial: Trial, workspace: Workspace, lines: Sequence[bytes]) -> None:
    data = np.frombuffer(b"\n".join(lines) + b"\n", np.uint8)
    rows = workspace.reader.read(JsonChunk(data, "lines", 0), judge=True)
    compute(workspace, rows)  # what a fact rejects too
    trial.rows += len(rows)
    trial.personal += int((rows.reason == np.uint8(Reason.PERSONAL_DATA)).sum())
    trial.personal += int(np.count_nonzero(rows.warned.get(Reason.PERSONAL_DATA, ())))
    for row in np.flatnonzero(rows.reason).tolist():
        detail = rows.detail(row)
        reason = name(Reason(rows.reason[row]))
        trial.refused[f"{reason} ({detail})" if detail else reason] += 1
    if not trial.shown and len(rows.live):
        trial.shown = _fields_of(workspace, rows, int(rows.live[0]))


def _fields_of(workspace: Workspace, rows: Rows, row: int) -> dict[str, str]:
    """The fields of a row as they are written; of a form without any, the record."""
    chosen = np.array([row], np.int64)
    fields = workspace.reader.renderer.fields
    if not fields:
        return {"record": rows.column(RECORD).raw(row).decode("utf-8", "replace")}
    return {field: workspace.field(rows, field, chosen).row(0).decode("utf-8", "replace") for field in fields}
