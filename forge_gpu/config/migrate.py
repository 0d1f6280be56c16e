"""Older versions of forge.yaml. A step is a table of keys that moved from one version to the next."""

from __future__ import annotations

from typing import Any

from forge_gpu.config.keys import Path
from forge_gpu.config.parse import Parsed
from forge_gpu.config.schema import VERSION
from forge_gpu.errors import ConfigError

STEPS: dict[int, dict[Path, Path]] = {
    # Version 0 had no sections for these, and no `version` either.
    0: {
        (name,): ("preprocessing", name)
        for name in (
            "train_split",
            "validation_split",
            "test_split",
            "chunk_size",
            "quality_checks",
            "streaming_threshold_gb",
            "seed",
        )
    },
}


def version_of(parsed: Parsed, name: str) -> int:
    """The version of a file. Without the key: 0 if a key of version 0 stands at the top, else this one.

    Raises ConfigError for a version that is newer than this Forge, or no version.
    """
    if "version" not in parsed.values:
        return 0 if any(len(path) == 1 and path[0] in parsed.values for path in STEPS[0]) else VERSION
    version = parsed.values["version"]
    where = f"{name}:{parsed.lines[('version',)]}: version"
    if isinstance(version, bool) or not isinstance(version, int) or version < 0:
        raise ConfigError(f"{where}: {version!r} is not a version; this Forge writes {VERSION}")
    if version > VERSION:
        raise ConfigError(
            f"{where}: {version} is newer than this Forge reads ({VERSION}); upgrade with "
            "'pip install --upgrade forge-gpu', or run 'forge plan' again"
        )
    return version


def migrate(parsed: Parsed, version: int) -> None:
    """Bring the values, and the lines of their keys, from `version` to this one, in place."""
    for step in range(version, VERSION):
        for old, new in STEPS[step].items():
            _move(parsed, old, new)
    parsed.values["version"] = VERSION


def _move(parsed: Parsed, old: Path, new: Path) -> None:
    source = _section(parsed.values, old[:-1])
    if source is None or old[-1] not in source:
        return
    target = parsed.values
    for name in new[:-1]:
        target = target.setdefault(name, {})
        if not isinstance(target, dict):
            return  # the schema refuses what stands in the way
    if new[-1] in target:
        return  # given in both places: the schema refuses the old key by name
    target[new[-1]] = source.pop(old[-1])
    moved = {path: line for path, line in parsed.lines.items() if path[: len(old)] == old}
    for path, line in moved.items():
        del parsed.lines[path]
        parsed.lines[new + path[len(old) :]] = line


def _section(values: dict[str, Any], path: Path) -> dict[str, Any] | None:
    here: Any = values
    for name in path:
        here = here.get(name) if isinstance(here, dict) else None
    return here if isinstance(here, dict) else None
