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


NEVER_ZERO = ("vram_gb", "compute_capability", "recommended_batch_size")
"""Of the section hardware: version 0 wrote 0 where nothing is there."""


def version_of(parsed: Parsed, name: str) -> int:
    """The version of a file. Without the key: 0 if it is written as those of version 0 are, else this one.

    Raises ConfigError for a version that is newer than this Forge, or no version.
    """
    if "version" not in parsed.values:
        return 0 if _is_first(parsed.values) else VERSION
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


def _is_first(values: dict[str, Any]) -> bool:
    """Whether values are of version 0: keys at the top that have a section by now, checks switched as a
    whole, a template by its name alone in a plan without data."""
    if any(len(path) == 1 and path[0] in values for path in STEPS[0]):
        return True
    preprocessing, model = _section(values, ("preprocessing",)) or {}, _section(values, ("model",)) or {}
    is_switch = isinstance(preprocessing.get("quality_checks"), bool)
    return is_switch or ("chat_template" in model and "template_kind" not in model and "data" not in values)


def migrate(parsed: Parsed, version: int, name: str) -> list[str]:
    """Bring the values, and the lines of their keys, from `version` to this one, in place. name: the file's.
    Returns a line for each change."""
    changed = []
    for step in range(version, VERSION):
        for old, new in STEPS[step].items():
            line = parsed.lines.get(old)
            if _move(parsed, old, new):
                changed.append(f"{name}:{line}: {'.'.join(old)} is {'.'.join(new)} by now")
    hardware = _section(parsed.values, ("hardware",)) or {}
    for key in NEVER_ZERO:
        if key in hardware and str(hardware[key]) in ("0", "0.0", ""):
            del hardware[key]
            changed.append(f"{name}:{parsed.lines['hardware', key]}: hardware.{key}: 0 is left out by now")
    parsed.values["version"] = VERSION
    return changed


def _move(parsed: Parsed, old: Path, new: Path) -> bool:
    """Whether there was a key to move."""
    source = _section(parsed.values, old[:-1])
    if source is None or old[-1] not in source:
        return False
    target = parsed.values
    for name in new[:-1]:
        target = target.setdefault(name, {})
        if not isinstance(target, dict):
            return False  # the schema refuses what stands in the way
    if new[-1] in target:
        return False  # given in both places: the schema refuses the old key by name
    target[new[-1]] = source.pop(old[-1])
    moved = {path: line for path, line in parsed.lines.items() if path[: len(old)] == old}
    for path, line in moved.items():
        del parsed.lines[path]
        parsed.lines[new + path[len(old) :]] = line
    return True


def _section(values: dict[str, Any], path: Path) -> dict[str, Any] | None:
    here: Any = values
    for name in path:
        here = here.get(name) if isinstance(here, dict) else None
    return here if isinstance(here, dict) else None
