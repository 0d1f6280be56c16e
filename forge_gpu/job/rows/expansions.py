"""All expansions, in the order in which they run."""

from __future__ import annotations

from pathlib import Path

from forge_gpu.config.schema import Config
from forge_gpu.fates import Fate
from forge_gpu.job.rows.converted import CONVERT
from forge_gpu.job.rows.expansion import NOTHING_LEFT, Expansion, Expansions
from forge_gpu.job.rows.media import EXPANSION as MEDIA
from forge_gpu.job.rows.transformed import TRANSFORM
from forge_gpu.job.rows.turns import TURNS
from forge_gpu.job.state.spec import JobSpec

DECLARED: tuple[Expansion, ...] = (TRANSFORM, CONVERT, MEDIA, TURNS)


def required_expansions(config: Config) -> list[Expansion]:
    """Those that a plan asks for."""
    return [expansion for expansion in DECLARED if expansion.required(config)]


def open_expansions(spec: JobSpec, spool: Path) -> Expansions:
    """Those of a job, with all that they hold while it runs. Raises ForgeError."""
    return Expansions.opened(required_expansions(spec.config), spec, spool)


def has_parts(config: Config) -> bool:
    """Whether the rows of a plan have parts: a record may become several rows."""
    return any(expansion.makes_parts(config) for expansion in required_expansions(config))


def fates_without_parts(config: Config) -> dict[int, Fate]:
    """By the number of a row of which an expansion left nothing, the fate that it then has."""
    return {
        NOTHING_LEFT - place: expansion.without_parts
        for place, expansion in enumerate(required_expansions(config))
    }
