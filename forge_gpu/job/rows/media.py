"""What rows refer to, as an expansion. What looks at media is imported where a job has some."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from forge_gpu.config.schema import Config
from forge_gpu.engine.base import Engine
from forge_gpu.fates import Fate
from forge_gpu.job.rows.expansion import PLACE, Expanded, Expansion, Held
from forge_gpu.job.rows.media_found import Found, Hidden, kinds_of_columns
from forge_gpu.job.state.spec import JobSpec
from forge_gpu.kernels.layout import Records
from forge_gpu.media.marks import mapped_columns
from forge_gpu.templates.forms import form_of
from forge_gpu.templates.forms.source import RECORD

SHELF = "media"
"""The folders in `.forge/`, and in the spool, that it uses: for what it knows, and for files by content."""


def _inputs(config: Config) -> Sequence[str]:
    mapped = mapped_columns(config.data).values() if config.data.media.parts else ()
    record = (RECORD,) if form_of(config).is_record else ()
    return [*kinds_of_columns(config), *mapped, *record, PLACE]


def _unopened(config: Config, engine: Engine, records: Records) -> Expanded:
    """Where rows are only looked at, as by plan, they stay as they are."""
    return Expanded(np.arange(len(records)), Hidden([(Found(), "")] * len(records)).made())


def _open(spec: JobSpec, spool: Path) -> Held:
    from forge_gpu.job.rows.media_seen import Media

    return Media(spec, spool.parent / SHELF, spool / SHELF)


EXPANSION = Expansion(
    "media",
    required=lambda config: config.data.media.are_there,
    expand=_unopened,
    without_parts=Fate.REJECTED,  # never: it makes no parts
    inputs=_inputs,
    open=_open,
    makes_parts=lambda config: False,
)
