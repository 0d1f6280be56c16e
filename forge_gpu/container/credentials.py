"""Keys for stores: by name from a list, in the engine's environment and never on a command line."""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import cache
from importlib import resources
from pathlib import Path

from forge_gpu.io import urls
from forge_gpu.job.state.spec import JobSpec
from forge_gpu.plain import frozen

ALIASES = {"s3a": "s3", "gcs": "gs", "abfs": "az", "abfss": "az", "adl": "az"}


@frozen
class Credentials:
    """variables: names that the container gets with the values they have here. files: to mount."""

    variables: tuple[str, ...] = ()
    files: tuple[Path, ...] = ()


@cache
def _allowed() -> dict[str, dict[str, list[str]]]:
    from ruamel.yaml import YAML

    text = resources.files("forge_gpu.container").joinpath("credentials.yaml").read_text("utf-8")
    table: dict[str, dict[str, list[str]]] = YAML(typ="safe", pure=True).load(text)
    return table


def credentials_of(spec: JobSpec, environ: Mapping[str, str] = os.environ) -> Credentials:
    """What the stores that the plan names need, of what is set here; nothing where all is local."""
    data = spec.config.data
    named = [*data.inputs, *data.against, spec.destination or ""]
    protocols = {urls.protocol(name) for name in named if urls.is_url(name)}
    variables: list[str] = []
    files: list[Path] = []
    for protocol in sorted({ALIASES.get(name, name) for name in protocols} & _allowed().keys()):
        allowed = _allowed()[protocol]
        variables += [name for name in allowed["variables"] + allowed["files"] if environ.get(name)]
        files += [Path(environ[name]) for name in allowed["files"] if environ.get(name)]
    return Credentials(tuple(variables), tuple(files))
