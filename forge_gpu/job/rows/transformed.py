"""The rows that a transform script makes, as an expansion. What runs a script is imported where one is."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from forge_gpu.config.schema import Config
from forge_gpu.engine.base import Engine
from forge_gpu.errors import ValidationError
from forge_gpu.fates import Fate
from forge_gpu.job.rows.expansion import Expanded, Expansion, Held
from forge_gpu.job.state.spec import JobSpec
from forge_gpu.kernels.layout import Records
from forge_gpu.templates.forms.source import RECORD


def _open(spec: JobSpec, folder: Path) -> Held:
    from forge_gpu.job.rows.transformer import open_script

    return open_script(spec, folder)


def _unopened(config: Config, engine: Engine, records: Records) -> Expanded:
    raise ValidationError(
        "a transform was asked for before its script was opened: a fault of Forge; report it"
    )


def _requires(config: Config) -> bool:
    return config.data.transform.script is not None


def _inputs(config: Config) -> Sequence[str]:
    return (RECORD,)


TRANSFORM = Expansion("transform", _requires, _unopened, Fate.DROPPED_BY_TRANSFORM, _inputs, _open)
