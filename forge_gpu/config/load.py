"""forge.yaml, the environment and `--set`, merged over the defaults and checked against the schema.

Later wins: defaults < file < `FORGE_CONFIG__SECTION__KEY` < `--set section.key=value`. All faults are told
at once, each with the file and line (or the variable, or the option) and the key.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from forge_gpu.config import keys
from forge_gpu.config.explain import unknown
from forge_gpu.config.layers import Layer, Loaded, build
from forge_gpu.config.migrate import migrate, version_of
from forge_gpu.config.parse import parse, parse_value
from forge_gpu.config.schema import VERSION, Config
from forge_gpu.errors import ConfigError, NoPlanError

PREFIX = "FORGE_CONFIG__"


def load(path: Path | str, environ: Mapping[str, str] = os.environ, overrides: Sequence[str] = ()) -> Loaded:
    """Read a plan. An older version is rewritten as the current one, with a backup beside it.

    overrides: `section.key=value` each. Raises NoPlanError where there is no file, ConfigError with one
    line for every fault.
    """
    path = Path(path)
    layer, version, moved = _file_layer(path)
    loaded = build([layer, environment_layer(environ), override_layer(overrides)])
    if version == VERSION:
        return loaded
    return Loaded(
        loaded.config,
        (_rewrite(path, build([layer]).config, version), *moved, *loaded.warnings),
        loaded.where,
        version,
    )


def _file_layer(path: Path) -> tuple[Layer, int, list[str]]:
    """The values of a file, its version, and a line for each key that is another one by now."""
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except FileNotFoundError:
        raise NoPlanError("No plan found. Run 'forge plan' first.") from None
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path} is not UTF-8: byte {error.start}; save it as UTF-8") from None
    parsed = parse(text, str(path))
    version = version_of(parsed, str(path))
    moved = migrate(parsed, version, str(path)) if version < VERSION else []
    where = {key: f"{path}:{line}" for key, line in parsed.lines.items()}
    return Layer(parsed.values, where, parsed.faults), version, moved


def environment_layer(environ: Mapping[str, str]) -> Layer:
    """`FORGE_CONFIG__PREPROCESSING__TRAIN_SPLIT=0.8`; names of keys in any case."""
    layer = Layer()
    for name in sorted(environ):
        if name.startswith(PREFIX):
            _put(layer, name[len(PREFIX) :].split("__"), environ[name], name)
    return layer


def override_layer(overrides: Iterable[str]) -> Layer:
    """`preprocessing.train_split=0.8`."""
    layer = Layer()
    for override in overrides:
        name, equals, text = override.partition("=")
        if not equals or not name.strip():
            layer.faults.append(f"--set {override}: write --set section.key=value")
            continue
        _put(layer, name.strip().split("."), text, "--set")
    return layer


def _put(layer: Layer, names: Sequence[str], text: str, origin: str) -> None:
    path = keys.schema_path(names)
    if path is None:
        named = tuple(name.lower() for name in names)
        layer.faults.append(f"{origin}: {'.'.join(named)}: {unknown(named)}")
        return
    annotation = keys.known().get(path)
    if keys.is_section(annotation) and not (keys.is_optional(annotation) and text in ("", "null", "{}")):
        inside = ", ".join(keys.inside(path))
        layer.faults.append(f"{origin}: {'.'.join(path)} is a section; set one of its keys: {inside}")
        return
    section = layer.values
    for name in path[:-1]:
        section = section.setdefault(name, {})
    section[path[-1]] = parse_value(text, path)
    layer.where[path] = origin


def _rewrite(path: Path, config: Config, version: int) -> str:
    from forge_gpu.config.write import save

    try:
        backup = save(path, config, {}, backup_suffix=f".v{version}.bak")
    except OSError as error:
        return f"{path}: version {version} read as {VERSION}, but not rewritten: {error.strerror}"
    return f"{path}: migrated from version {version} to {VERSION}; the old file is {backup}"
