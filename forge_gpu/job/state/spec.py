"""A job as data: what to prepare, where to, and how to behave. As JSON it can be run elsewhere."""

from __future__ import annotations

import json
from dataclasses import field, fields
from functools import cache
from pathlib import Path
from typing import Any, ClassVar

from pydantic import ConfigDict, TypeAdapter, ValidationError

from forge_gpu.config.schema import Config
from forge_gpu.errors import ConfigError
from forge_gpu.io.chunks import RANGE_BYTES
from forge_gpu.plain import frozen


@frozen
class JobSpec:
    """config: the plan. base: the folder that relative inputs start from. output: the folder to write.

    limit: rows to take from the input's start. strict: stop at the first rejected row. fresh: forget what
    an earlier run left. wait: seconds to wait for another run on the same output; None for no bound.
    range_bytes: of input between two checkpoints. against_base: where relative evaluation files start
    from; None for `base`. destination: the URL that the finished output is moved to. workers: processes of a
    Dask cluster made for the job, on this machine; scheduler: the address of a running one; without either
    the job runs in this process's threads. surroundings: what whoever starts the job wants noted of where it
    runs. command: by which it was started, as it may be shown. foretold: what an estimate has said of the
    job.
    """

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")

    config: Config
    base: Path
    output: Path
    limit: int | None = None
    strict: bool = False
    fresh: bool = False
    wait: float | None = None
    range_bytes: int = RANGE_BYTES
    against_base: Path | None = None
    destination: str | None = None
    workers: int | None = None
    scheduler: str | None = None
    surroundings: dict[str, str] = field(default_factory=dict)
    command: list[str] = field(default_factory=list)
    foretold: dict[str, float] = field(default_factory=dict)

    @property
    def on_cluster(self) -> bool:
        """Whether ranges go to the workers of a Dask cluster instead of this process's threads."""
        return self.workers is not None or self.scheduler is not None

    def to_dict(self) -> dict[str, Any]:
        """As values of JSON; what is secret in URLs is there."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        values["config"] = self.config.model_dump(mode="json")
        return {name: str(value) if isinstance(value, Path) else value for name, value in values.items()}

    def to_json(self) -> str:
        """One line that `from_json` makes the same job of, in this process or another."""
        return json.dumps(self.to_dict(), allow_nan=False)

    @classmethod
    def from_json(cls, text: str | bytes) -> JobSpec:
        """The job that `to_json` wrote. Raises ConfigError where the text describes none."""
        try:
            values = json.loads(text, parse_constant=_refuse)
            if not isinstance(values, dict):
                raise ValueError("it is not a JSON object")
            for name in PATHS & values.keys():
                if isinstance(values[name], str):
                    values[name] = Path(values[name])
            return _checked().validate_python(values)
        except (ValueError, RecursionError) as fault:
            raise ConfigError(f"this describes no job: {_first_line(fault)}") from fault


PATHS = {"base", "output", "against_base"}


@cache
def _checked() -> TypeAdapter[JobSpec]:
    """What holds values from elsewhere against the types above."""
    return TypeAdapter(JobSpec)


def _refuse(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def _first_line(fault: Exception) -> str:
    if isinstance(fault, ValidationError):
        first = fault.errors(include_url=False, include_context=False, include_input=False)[0]
        return f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
    return str(fault)
